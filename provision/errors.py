"""What can go wrong, as one plain sentence and what to do about it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path

from provision.words import did_you_mean, printable


class ProvisionError(Exception):
    """A run that did not reach its end.

    Parameters
    ----------
    message : str
        One sentence that says what was wrong.
    hint : str, optional
        What to do about it.
    role, task, host : str, optional
        Where it happened; empty when nothing was started.
    log : pathlib.Path, optional
        The file with all that Ansible said; None when nothing was started.
    said : sequence of str, optional
        The last lines of what the program said that failed.
    code : str, optional
        A short name of the kind of error that stays the same from version to version, such as ``"disk-full"``.

    Attributes
    ----------
    errors : dict of str to ProvisionError
        With an inventory, the error of each machine whose run failed.
    hosts : dict of str to dict
        With an inventory, what the roles reported of the machines, ``{host: {role: {...}}}``.

    Examples
    --------
    >>> error = ProvisionError("There is no role 'mrtrix'.", hint="Did you mean 'mrtrix3'?")
    >>> print(error)
    There is no role 'mrtrix'. Did you mean 'mrtrix3'?
    """

    code = "failed"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        role: str = "",
        task: str = "",
        host: str = "",
        log: Path | None = None,
        said: Sequence[str] = (),
        code: str = "",
    ):
        super().__init__(message)
        self.message, self.hint, self.code = message, hint, code or self.code
        self.role, self.task, self.host, self.log = role, task, host, log
        self.said = tuple(said)
        self.hosts: dict[str, dict] = {}
        self.errors: dict[str, ProvisionError] = {}

    def __str__(self) -> str:
        """Return the sentence, and what to do where that is known."""
        return f"{self.message} {self.hint}".strip()

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: ``{"error": {...}}`` with plain values.

        With an inventory there are ``hosts``, as in a result, and ``errors``, by host, too.
        """
        names = ("code", "role", "task", "host", "message", "hint")
        fields = {name: getattr(self, name) for name in names}
        of_hosts = {"hosts": self.hosts, "errors": {host: error.to_dict()["error"] for host, error in self._each()}}
        return {"error": {**fields, "log": str(self.log) if self.log else None}, **(of_hosts if self.errors else {})}

    def _each(self) -> Iterable[tuple[str, ProvisionError]]:
        """Give the error of each machine; what was raised is one of them."""
        for host, error in self.errors.items():
            alone = copy.copy(error)
            alone.errors = {}
            yield host, alone

    def lines(self) -> list[str]:
        """Return all that a person wants to know, as lines of text.

        Returns
        -------
        list of str
            What was wrong, what to do, where it happened, what was said last and the log's path, where these are known.

        Examples
        --------
        >>> ProvisionError("It broke.", hint="Mend it.", role="deps", task="Install", said=["E: no"]).lines()
        ['Error: It broke.', 'Mend it.', 'At: role deps, task Install', 'It said last:', '    E: no']
        """
        where = ", ".join(f"{name} {getattr(self, name)}" for name in ("role", "task", "host") if getattr(self, name))
        told = [f"Error: {self.message}", self.hint, where and f"At: {where}"]
        told += [f"{host}: {error}" for host, error in self.errors.items() if error is not self]
        done = {host: reports for host, reports in self.hosts.items() if host not in self.errors}
        told += [f"{host}: done, {', '.join(reports)}" for host, reports in done.items()]
        if self.said:
            told += ["It said last:", *(f"    {line}" for line in self.said)]
        if self.log:
            told.append(f"Log: {self.log}")
        return list(filter(None, told))

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: to a person the way through this package's code says nothing."""
        first, *rest = map(printable, self.lines())
        return [f"\x1b[31m{first}\x1b[0m", *rest]


class OptionError(ProvisionError, ValueError):
    """A role or option that does not exist, or a value that is not allowed; nothing was started."""

    code = "usage"


class Declined(OptionError):
    """What only a person can give was not given: a token, or the consent to open a tunnel; nothing was started."""

    code = "declined"


class Interrupted(KeyboardInterrupt):
    """An interrupted cell of a notebook: all that it had started has ended.

    Examples
    --------
    >>> print(Interrupted())
    Interrupted: all that was started has been stopped. Run the cell again, and it goes on from here.
    """

    def __str__(self) -> str:
        """Return how to go on."""
        return "Interrupted: all that was started has been stopped. Run the cell again, and it goes on from here."

    def _render_traceback_(self) -> list[str]:
        # A notebook breaks long lines of a traceback within words.
        return str(self).replace(". ", ".\n", 1).splitlines()


def unexpected(error: Exception, log: Path | None = None) -> ProvisionError:
    """Return the error for what nobody has thought of: a sentence for a person, and its traceback in a file."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    hint = "Please report it with its log." if log else "Please report it."
    return ProvisionError(f"This is a mistake in provision: {said}.", hint=hint, log=log, code="internal")


def no_such_file(path: Path, name: str) -> OptionError:
    """Return the error for a file that does not exist, which offers the nearest name in its folder."""
    names = sorted(other.name for other in path.parent.iterdir()) if path.parent.is_dir() else []
    return OptionError(
        f"There is no file {name}.", hint=did_you_mean(path.name, names) or "Check the path.", code="no-file"
    )

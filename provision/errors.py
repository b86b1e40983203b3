"""Errors: one plain sentence, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from provision.words import did_you_mean, no_such, printable


class ProvisionError(Exception):
    """An error with a sentence for people and a code for programs.

    Parameters
    ----------
    message : str
        What went wrong, in one sentence.
    hint : str, optional
        What to do about it.
    role, task, host : str, optional
        Where it happened; empty if nothing was started.
    log : pathlib.Path, optional
        The file with Ansible's output; None if nothing was started.
    said : sequence of str, optional
        The last lines that the failed program printed.
    code : str, optional
        A short name for the kind of error, such as ``"disk-full"``. It stays the same from version to version.

    Attributes
    ----------
    errors : dict of str to ProvisionError
        With an inventory, the error of each host that failed.
    hosts : dict of str to dict
        With an inventory, what the roles reported, ``{host: {role: {...}}}``; of a host that failed, what had reported
        before that.
    per_host : dict of str to dict
        With an inventory, ``{host: {"changed": ..., "seconds": ..., "failed": ...}}``.

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
        self.per_host: dict[str, dict] = {}
        self.table: list[str] = []

    def __str__(self) -> str:
        """Return the sentence and the hint."""
        return f"{self.message} {self.hint}".strip()

    def to_dict(self) -> dict:
        """Return what ``--json`` prints: ``{"error": {...}}`` with plain values.

        With an inventory it also has ``hosts`` and ``per_host``, as in a result, and ``errors`` by host.
        """
        errors = {host: error._fields() for host, error in self.errors.items()}
        of_hosts = {"hosts": self.hosts, "errors": errors, "per_host": self.per_host}
        return {"error": self._fields(), **(of_hosts if self.errors else {})}

    def _fields(self) -> dict:
        """Return the error itself, without those of other hosts."""
        fields = {name: getattr(self, name) for name in ("code", "role", "task", "host", "message", "hint")}
        return {**fields, "log": str(self.log) if self.log else None}

    def lines(self) -> list[str]:
        """Return the error as lines of text.

        Returns
        -------
        list of str
            What went wrong, what to do, where it happened, the last output and the path of the log, as far as known.

        Examples
        --------
        >>> ProvisionError("It broke.", hint="Mend it.", role="deps", task="Install", said=["E: no"]).lines()
        ['Error: It broke.', 'Mend it.', 'At: role deps, task Install', 'Last output:', '    E: no']
        """
        if self.table:
            failed = f"{len(self.errors)} of {len(self.per_host)} hosts failed: {', '.join(sorted(self.errors))}."
            return [f"Error: {failed}", *self.table, *([f"Log: {self.log}"] if self.log else [])]
        where = ", ".join(f"{name} {getattr(self, name)}" for name in ("role", "task", "host") if getattr(self, name))
        lines = [f"Error: {self.message}", self.hint, where and f"At: {where}"]
        lines += [f"{host}: {error}" for host, error in self.errors.items() if error is not self]
        done = {host: reports for host, reports in self.hosts.items() if host not in self.errors}
        lines += [f"{host}: done, {', '.join(reports)}" for host, reports in done.items()]
        if self.said:
            lines += ["Last output:", *(f"    {line}" for line in self.said)]
        if self.log:
            lines.append(f"Log: {self.log}")
        return list(filter(None, lines))

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: the lines for people, without a traceback through this package."""
        first, *rest = map(printable, self.lines())
        return [f"\x1b[31m{first}\x1b[0m", *rest]


class OptionError(ProvisionError, ValueError):
    """An unknown role or option, or a value that is not allowed; nothing was started."""

    code = "usage"


class Declined(OptionError):
    """A password, a token or the consent to open a tunnel was not given; nothing was started."""

    code = "declined"


class Interrupted(KeyboardInterrupt):
    """An interrupted notebook cell; everything it had started has been stopped.

    Examples
    --------
    >>> print(Interrupted())
    Interrupted: everything that was running has been stopped. Run the cell again to resume.
    """

    def __str__(self) -> str:
        """Return how to resume."""
        return "Interrupted: everything that was running has been stopped. Run the cell again to resume."

    def _render_traceback_(self) -> list[str]:
        # A notebook breaks long lines of a traceback within words.
        return str(self).replace(". ", ".\n", 1).splitlines()


def unexpected(error: Exception, log: Path | None = None) -> ProvisionError:
    """Return the error for a bug in this package; the traceback is in the log."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    hint = "Please report it with its log." if log else "Please report it."
    return ProvisionError(f"This is a bug in provision: {said}.", hint=hint, log=log, code="internal")


def unknown(
    kind: str,
    name: object,
    names: Iterable[str],
    *,
    where: str = "",
    kinds: str = "",
    near: Iterable[str] = (),
    code: str = "bad-value",
) -> OptionError:
    """Return the error for a name that was looked up and does not exist; the arguments are those of `words.no_such`."""
    message, hint = no_such(kind, name, names, where=where, kinds=kinds, near=near)
    return OptionError(message, hint=hint, code=code)


def no_such_file(path: Path, name: str) -> OptionError:
    """Return the error for a file that does not exist; it offers the nearest name in the folder."""
    if path.is_dir():
        return OptionError(f"{name} is a folder, not a file.", code="not-a-file")
    names = sorted(other.name for other in path.parent.iterdir()) if path.parent.is_dir() else []
    return OptionError(
        f"There is no file {name}.", hint=did_you_mean(path.name, names) or "Check the path.", code="no-file"
    )

"""A modulefile, with which the users of a cluster load what is installed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from provision.engine import catalog
from provision.errors import OptionError
from provision.machine import notes

_EVERYBODYS = ("/usr/bin", "/usr/local/bin", "/bin")  # on PATH anyway, and not to be put before anything


@dataclass(frozen=True, repr=False)
class Modulefile:
    """A modulefile for Environment Modules and Lmod; ``str()`` is its text.

    Attributes
    ----------
    versions : mapping of str to str
        The version of each role in it.
    paths : tuple of str
        The folders that it puts on PATH.
    environment : mapping of str to str
        The variables that it sets.
    """

    versions: Mapping[str, str]
    paths: tuple[str, ...]
    environment: Mapping[str, str]

    def __str__(self) -> str:
        what = ", ".join(f"{role} {version}".strip() for role, version in self.versions.items())
        lines = ["#%Module1.0", f"module-whatis {_quoted(f'{what}, installed by provision')}"]
        lines += [f"prepend-path PATH {_quoted(path)}" for path in self.paths]
        lines += [f"setenv {name} {_quoted(value)}" for name, value in self.environment.items()]
        return "\n".join(lines)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        told = {"versions": dict(self.versions), "paths": list(self.paths), "environment": dict(self.environment)}
        return {**told, "modulefile": f"{self}\n"}


def modulefile(*roles: str) -> Modulefile:
    """Return a modulefile for what this user has installed on this machine.

    Parameters
    ----------
    *roles : str
        Names of roles that install commands (default: all of them that are installed).

    Returns
    -------
    Modulefile
        ``str()`` is the text, in Tcl, which Environment Modules and Lmod read.

    Raises
    ------
    OptionError
        If a role does not exist (code ``no-role``) or is not installed (``not-installed``), or a path has characters
        that modules cannot have (``bad-value``): line breaks, quotes, backslashes.

    References
    ----------
    https://modules.readthedocs.io/en/stable/modulefile.html

    Examples
    --------
    >>> print(Modulefile({"mrtrix3": "3.0.8"}, ("/home/jane/.local/opt/mrtrix3/bin",), {}))
    #%Module1.0
    module-whatis "mrtrix3 3.0.8, installed by provision"
    prepend-path PATH "/home/jane/.local/opt/mrtrix3/bin"
    """
    asked = [catalog.role(name).name for name in roles] or list(catalog.roles())
    reports = {name: notes.read_state(name).get("report") or {} for name in asked}
    tools = {name: report for name, report in reports.items() if report.get("bin")}
    missing = [name for name in roles if name not in tools] or ([] if tools else ["mrtrix3"])
    if missing:
        hint = f"Install it: provision run {missing[0]}."
        raise OptionError(f"{missing[0]} is not installed for this user.", hint=hint, code="not-installed")
    paths = dict.fromkeys(str(report["bin"]) for report in tools.values() if report["bin"] not in _EVERYBODYS)
    variables = {name: value for report in tools.values() for name, value in (report.get("environment") or {}).items()}
    for text in (*paths, *variables.values()):
        # Of a line break, Environment Modules make what a shell executes; Lmod fails at the others.
        if not text.isprintable() or {'"', "\\"} & set(text):
            hint = "Install it into another folder: --prefix."
            raise OptionError(f"{text!r} cannot be in a modulefile.", hint=hint, code="bad-value")
    return Modulefile({name: str(report.get("version", "")) for name, report in tools.items()}, tuple(paths), variables)


def _quoted(text: str) -> str:
    """Return text as a word of Tcl."""
    return '"' + re.sub(r"([$\[\]{}])", r"\\\1", text) + '"'

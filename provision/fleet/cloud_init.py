"""User-data for cloud-init, with which a new machine sets itself up."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from provision.engine import catalog
from provision.errors import OptionError

SCRIPT = "/usr/local/sbin/provision-first-boot"
"""Where the script is on the new machine."""

_URL = re.compile(r"(?:https?://[!-~]+|file:///[!-~]+)")
_FILE = re.compile(r"mrtrix_provision-[\w.+-]+(?:\.whl|\.tar\.gz)", re.A)
# Of an address, what is before the host and lets somebody in: a password, or the token that takes its place.
_LOGIN = re.compile(r"(?:https?://[^/\s@]*|\w+://[^/\s@]*:[^/\s@]*)@", re.I)
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")


class _Text(str):
    """Text that YAML shows line by line."""


class _Dumper(yaml.SafeDumper):
    """Writes YAML that any reader takes, and multi-line text as it is where that is safe."""


_Dumper.add_representer(_Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"))


@dataclass(frozen=True, repr=False)
class UserData:
    """User-data for cloud-init; ``str()`` is its text.

    Attributes
    ----------
    roles : tuple of str
        The roles that the machine runs.
    options : mapping of str to object
        Their options, by full name.
    wheel, sha256 : str
        The address and the digest of the package.
    """

    roles: tuple[str, ...]
    options: Mapping[str, Any]
    wheel: str
    sha256: str

    def __str__(self) -> str:
        written = {"path": SCRIPT, "owner": "root:root", "permissions": "0755", "content": _Text(self.script)}
        settings = {"write_files": [written], "runcmd": [[SCRIPT]]}
        return f"#cloud-config\n{yaml.dump(settings, Dumper=_Dumper, sort_keys=False, width=1000)}".rstrip("\n")

    __repr__ = __str__

    @property
    def script(self) -> str:
        """The script that the machine runs, for images and containers that are built without cloud-init."""
        given = {"url": self.wheel, "sha256": self.sha256, "file": _file(self.wheel)}
        lines = [f"{name}={shlex.quote(value)}" for name, value in given.items()]
        words = shlex.join([*self.roles, *_flags(self.options)])
        rest = Path(__file__).with_name("first_boot.sh").read_text("utf-8")
        return "\n".join(["#!/bin/sh", "set -eu", *lines, f"set -- {words}", rest])

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        asked = {"roles": list(self.roles), "options": dict(self.options), "wheel": self.wheel, "sha256": self.sha256}
        return {**asked, "user_data": f"{self}\n", "script": self.script}


def cloud_init(*roles: str, wheel: str, sha256: str, **options: Any) -> UserData:
    """Return user-data for cloud-init, with which a new machine installs this package and runs roles by itself.

    The machine needs Ubuntu or Debian, and a Python of 3.11 or newer or a package ``python3.11-venv``. Paths among the
    options are paths on that machine.

    Parameters
    ----------
    *roles : str
        Names of roles; ``provision list`` lists them.
    wheel : str
        The address of a wheel of this package (``.whl``), or of its source archive (``.tar.gz``): https, http, or file
        for one that is on the machine. With the archive, its dependencies are checked by hash as well.
    sha256 : str
        The SHA-256 of that file, in hexadecimal digits.
    **options
        Options of the roles, as for `provision.run`. Those with the short names ``wheel`` and ``sha256`` are given by
        their full ones.

    Returns
    -------
    UserData
        ``str()`` is the text, which begins with ``#cloud-config``; ``script`` is the shell script in it.

    Raises
    ------
    OptionError
        If a role or option does not exist, a value is not allowed, or one is a secret (code ``secret``): every user of
        the machine, and whoever may look at it in the cloud's console, can read user-data.

    References
    ----------
    https://docs.cloud-init.io/en/latest/reference/modules.html

    Examples
    --------
    >>> wheel = "https://example.org/mrtrix_provision-0.1.0-py3-none-any.whl"
    >>> text = str(cloud_init("mrtrix3", version="any", wheel=wheel, sha256="0" * 64))
    >>> text.splitlines()[0]
    '#cloud-config'
    """
    variables = catalog.variables(roles, options)
    _refuse_secrets(variables)
    _refuse_unwritable(variables)
    return UserData(tuple(dict.fromkeys(roles)), variables, _checked_url(wheel), _checked_digest(sha256))


def _flags(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield options as flags of ``provision run``."""
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            yield flag if value else f"--no-{flag[2:]}"
        else:
            yield f"{flag}={_as_text(value)}"


def _as_text(value: Any) -> str:
    """Return a value as a flag takes it; a list as YAML, because commas would divide its items."""
    if isinstance(value, list):
        return yaml.safe_dump(value, default_flow_style=True, width=1e9).rstrip("\n")
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for pair in value.items() for part in pair for text in _texts(part))
    elif isinstance(value, Iterable):
        yield from (text for part in value for text in _texts(part))


def _refuse_secrets(variables: Mapping[str, Any]) -> None:
    hidden = {option.name for role in catalog.roles().values() for option in role.options.values() if option.secret}
    for name, value in variables.items():
        if name in hidden:
            raise _secret(f"{name} is")
        if any(_PRIVATE_KEY.search(text) or _LOGIN.search(text) for text in _texts(value)):
            raise _secret(f"{name} contains")


def _secret(what: str) -> OptionError:
    hint = "Leave it out: others can read user-data. Set it on the machine itself."
    return OptionError(f"{what} a secret, which must not be in user-data.", hint=hint, code="secret")


def _refuse_unwritable(variables: Mapping[str, Any]) -> None:
    for name, value in variables.items():
        for text in _texts(value):
            if _UNWRITABLE.search(text):
                raise OptionError(f"{name} has characters that no command line takes.", code="bad-value")


def _file(url: str) -> str:
    """Return the name of the file at an address."""
    return unquote(posixpath.basename(urlsplit(url).path))


def _is_address(url: str) -> bool:
    try:
        return bool(_URL.fullmatch(url) and (url.startswith("file:") or urlsplit(url).hostname))
    except ValueError:  # a host in brackets that is no IPv6 address
        return False


def _checked_url(url: str) -> str:
    if not _is_address(url):
        hint = "Give the address at which the new machine finds the wheel."
        raise OptionError(f"{url!r} is not an https, http or file address.", hint=hint, code="bad-url")
    if _LOGIN.search(url):
        raise _secret("The address of the wheel contains")
    if not _FILE.fullmatch(_file(url)):
        hint = "`pip wheel --no-deps .` in a clone makes one, `python -m build --sdist` an archive."
        raise OptionError(f"{url} is not a wheel or source archive of mrtrix-provision.", hint=hint, code="bad-url")
    return url


def _checked_digest(digest: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", digest):
        raise OptionError(f"{digest!r} is not a SHA-256.", hint="sha256sum FILE prints it.", code="bad-value")
    return digest.lower()

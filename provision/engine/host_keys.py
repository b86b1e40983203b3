"""The key of a host that ssh does not know yet: its fingerprint, asked for from here, and what to do about it."""

from __future__ import annotations

import base64
import contextlib
import shlex
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from provision.engine.inventory import ssh_words
from provision.errors import OptionError
from provision.machine.look import connection

_SECONDS = 5
_AT_ONCE = 25
_KINDS = ("ed25519", "ecdsa", "rsa")  # in the order in which ssh prefers them


def explained(hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return what is to be said of each host whose key is unknown, given its variables, and what to do."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        said = threads.map(lambda item: _of_variables(*item), hosts.items())
        return dict(zip(hosts, said, strict=True))


def _of_variables(name: str, variables: Mapping[str, Any]) -> tuple[str, str]:
    try:
        words = ssh_words(name, variables)
    except OptionError:
        message = f"{name} could not be reached: its host key is unknown."
        return message, "Log in once with ssh and compare the fingerprint that it shows."
    return of_host(name, words)


def of_host(name: str, words: list[str]) -> tuple[str, str]:
    """Return the same of one host, given what a person types after `ssh` to log in there."""
    why = f"{name} could not be reached: its host key is unknown"
    # A host that cannot be asked, or not directly, is named without a fingerprint.
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError, LookupError):
        config = _config(words)
        kind, fingerprint, command = _offered(config)
        own = f"ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub"
        hint = f"If `{own}` prints the same there, run `{command} >> {_known_hosts(config)}`."
        return f"{why}; it offers {fingerprint} ({kind.upper()}).", hint
    return f"{why}.", f"Log in once with `{shlex.join(['ssh', *words])}` and compare the fingerprint that it shows."


def _config(words: list[str]) -> dict[str, str]:
    """Return what ssh would do with its arguments and the user's configuration."""
    if words[-1].startswith("-"):
        raise LookupError("that is an option and no host")
    done = subprocess.run(["ssh", "-G", *words], capture_output=True, text=True, timeout=_SECONDS, check=True)
    lines = (line.partition(" ") for line in done.stdout.splitlines())
    found: dict[str, str] = {}
    for key, _, value in lines:
        found.setdefault(key, value)
    return found


def _offered(config: Mapping[str, str]) -> tuple[str, str, str]:
    """Return the kind and the fingerprint of the key that a server offers, and the command that prints the key."""
    if any(config.get(key, "none") != "none" for key in ("proxyjump", "proxycommand", "hostkeyalias")):
        raise LookupError("ssh goes another way")
    port = [] if config["port"] == "22" else ["-p", config["port"]]
    argv = ["ssh-keyscan", "-T", str(_SECONDS), *port, "-t"]
    asked = [*argv, ",".join(_KINDS), "--", config["hostname"]]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=2 * _SECONDS, check=False)
    lines = [line.split() for line in done.stdout.splitlines() if line and not line.startswith("#")]
    keys = {kind: key for kind in _KINDS for _, name, key in lines if kind in name}
    if not keys:
        raise LookupError("it offers no key")
    kind, key = next(iter(keys.items()))
    base64.b64decode(key, validate=True)  # refuses what is no key
    return kind, connection.fingerprint(f"{kind} {key}"), shlex.join([*argv[:1], *port, "-t", kind, config["hostname"]])


def _known_hosts(config: Mapping[str, str]) -> str:
    """Return the file in which ssh looks for keys, as a person writes it."""
    path = config.get("userknownhostsfile", "").split()[0]
    return path.replace(str(Path.home()), "~", 1) if path.startswith(str(Path.home())) else path

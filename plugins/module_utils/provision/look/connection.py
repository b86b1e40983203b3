"""How to reach and recognise an SSH server: a read-only part of the probe."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import shlex

from ..commands import run
from ..notes import read_state
from ..system import on_colab


def server_port(given):
    """Return the port of this machine's SSH server: the one given, else that of the role sshd, else its default."""
    return given or read_state("sshd").get("wanted", {}).get("port") or 2222


def offered_key(host, port, seconds=5):
    """Return the host key, ``ssh-ed25519 AAAA...``, of an SSH server; an empty string if it does not answer in time."""
    # ssh-keyscan's own time limit does not cover the name lookup.
    scan = ["ssh-keyscan", "-T", str(seconds), "-t", "ed25519", "-p", str(port), host]
    _code, out, _error = run(["timeout", str(seconds), *scan])
    keys = [line.split()[1:3] for line in out.splitlines() if not line.startswith("#") and len(line.split()) >= 3]
    return " ".join(keys[0]) if keys else ""


def way_in(user, host, port, key, jump=""):
    """Return what a person needs to log in, perhaps through a `jump` host, and to recognise the server."""
    words = ["ssh", *(["-J", jump] if jump else []), *(["-p", str(port)] if port != 22 else []), f"{user}@{host}"]
    stanza = {"HostName": host, "Port": port, "User": user, **({"ProxyJump": jump} if jump else {})}
    return {
        "host": host,
        "port": port,
        "command": " ".join(map(shlex.quote, words)),
        "fingerprint": fingerprint(key),
        "known_hosts": f"{host if port == 22 else f'[{host}]:{port}'} {key}",
        "config": "".join(["Host provision\n", *(f"    {name} {_quoted(value)}\n" for name, value in stanza.items())]),
    }


def _quoted(value):
    """Return a value quoted for ssh_config(5): user names may contain blanks or backslashes."""
    text = str(value)
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"' if re.search(r'[\s"\\#]', text) else text


def fingerprint(key):
    """Return a public key's fingerprint as ``ssh-keygen -l`` prints it: the SHA-256 of the key itself, in base64."""
    digest = hashlib.sha256(binascii.a2b_base64(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def colab_policy_problem(accepted, option="accept_colab_policy"):
    """Return [problem, hint, code] if Colab's terms apply and have not been accepted, else an empty list."""
    if accepted or not on_colab():
        return []
    return [
        "Colab's terms forbid SSH shells and other remote control unless you have paid for compute units, and forbid "
        "connecting to remote proxies altogether",
        "Use pictures in the notebook (provision.peek, provision.view), Colab's own terminal or its command "
        f"`colab ssh`. If your plan allows remote control, confirm that with {option}=true.",
        "declined",
    ]

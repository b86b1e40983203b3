"""The reverse tunnel of this machine, and what has drifted: a read-only part of the probe."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import shutil
import time
from fnmatch import fnmatchcase

from ..alive import answers, running
from ..commands import run
from ..notes import read_state
from ..places import state_folder
from ..reading import read_json, read_text, sha256_of
from .connection import colab_policy_problem, offered_key, server_port, way_in
from .deps import absent_report, installed_for
from .keys import Wrong, is_whole, known_hosts, private_key
from .login import user_of

_GATEWAY = re.compile(
    r"(?P<user>[\w.][\w.-]*)@(?:(?P<name>[\w.][\w.-]*)|\[(?P<address>[\da-fA-F:.%]+)\])(?::(?P<port>\d{1,5}))?", re.A
)
# Options that do not affect the tunnel; of known_hosts, only the gateway's lines matter.
_NO_DRIFT = ("state", "accept_colab_policy", "jump", "known_hosts", "server_comes", "can_ask")


def gateway_parts(gateway):
    """Return the ``user``, ``host`` and ``port`` of ``user@host`` or ``user@host:port``; {} if it is neither."""
    found = _GATEWAY.fullmatch(gateway)
    port = int(found["port"] or 22) if found else 0
    if not 0 < port < 65536:
        return {}
    return {"user": found["user"], "host": found["name"] or found["address"], "port": port}


def _place(host, port):
    """Return the name of a server in known_hosts."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def known_lines(text, host, port):
    """Return the lines of a known_hosts for a server; names may be patterns or hashed (sshd(8))."""
    place = _place(host, port)
    lines = []
    for line in text.split("\n"):
        words = line.split()
        names = words[1 if words[0].startswith("@") else 0] if len(words) > 2 and words[0][0] != "#" else ""
        if _names(names, place):
            lines.append(line.strip())
    return lines


def _is_usable(line):
    """Return whether a line of known_hosts holds a complete key that may be trusted."""
    words = line.split()
    kind_and_key = words[2:4] if words[0] == "@cert-authority" else words[1:3]
    return words[0] != "@revoked" and len(kind_and_key) == 2 and is_whole(*kind_and_key)


def _names(names, place):
    if names.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part) for part in names[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.new(salt, place.encode(), hashlib.sha1).digest(), digest)
    patterns = [name.lower().replace("[", "[[]") for name in names.split(",")]  # a bracket is literal
    if any(fnmatchcase(place, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(fnmatchcase(place, pattern) for pattern in patterns)


def key_line(wanted, public_key):
    """Return the line for the gateway's authorized_keys: it lets this machine's key forward a port and nothing else."""
    # The first limit forbids commands, the last two other addresses to listen at or connect to.
    if not public_key:
        return ""
    port = wanted["gateway_port"] or "*"
    limits = f'restrict,command="false",port-forwarding,permitlisten="127.0.0.1:{port}",permitopen="127.0.0.1:1"'
    return f"{limits} {public_key}"


def tunnel_answers(folder):
    """Return whether the gateway answers on the connection that holds the port there."""
    # The request for a port that the key may not open travels through that connection, and the gateway refuses it.
    ask = ["ssh", "-F", "none", "-S", "control", "-o", "ProxyCommand=false", "-W", "127.0.0.1:1", "gateway"]
    code, _out, error = run(ask, seconds=4, folder=folder)  # in that folder, since socket paths must be short
    return code == 0 or "refused by peer" in error


def _expires(started, seconds):
    if not started or not seconds:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started + seconds))


def identity_of(wanted):
    """Return the file name of the key: a given one does not replace the machine's own."""
    return "given_key" if wanted["identity"] else "id_ed25519"


def tunnel_now(wanted, gateway, folder):
    """Return the note of a tunnel, for later comparison, with its report."""
    identity = identity_of(wanted)
    public_key = " ".join(read_text(os.path.join(folder, identity + ".pub")).split()[:2])
    key = offered_key("127.0.0.1", wanted["port"], seconds=2)
    names = ("config.json", "known_hosts", "reverse_tunnel.py", identity, identity + ".pub")
    return {
        "wanted": {name: value for name, value in wanted.items() if name not in _NO_DRIFT},
        "known": known_lines(wanted["known_hosts"], gateway["host"], gateway["port"]),
        "files": {name: sha256_of(os.path.join(folder, name)) for name in names},
        "key": key,
        "report": tunnel_report(wanted, gateway, read_json(os.path.join(folder, "tunnel.json")), key, public_key),
    }


def tunnel_report(wanted, gateway, tunnel, key, public_key):
    """Return how to reach and recognise the machine, {} if the tunnel has never been up."""
    if not tunnel.get("port") or not key:
        return {}
    host = f"[{gateway['host']}]" if ":" in gateway["host"] else gateway["host"]
    jump = wanted["jump"] or (host if gateway["port"] == 22 else f"{host}:{gateway['port']}")
    user = user_of(wanted["port"])
    return {
        "user": user,
        **way_in(user, "127.0.0.1", tunnel["port"], key, jump),
        "jump": jump,
        "authorize": key_line(wanted, f"{public_key} provision"),
        "expires": _expires(tunnel.get("started"), wanted["max_seconds"]),
        "state": "started",
    }


def tunnel_drift(state, now, folder):
    """Return in words how the tunnel noted in `state` differs from the one wanted; empty if it does not."""
    if not state.get("report"):
        return "no tunnel is set up"
    for name, value in now["wanted"].items():
        if state.get("wanted", {}).get(name) != value:
            return f"reverse_ssh_{name} has changed"
    if now["known"] != state.get("known"):
        return "the gateway's line of known_hosts has changed"
    for name, digest in now["files"].items():
        if state.get("files", {}).get(name) != digest:
            return f"{os.path.join(folder, name)} has changed"
    return ""


def what_is_lost(state, key, folder):
    """Return in words why a tunnel no longer works, its server showing `key` now; empty if it leads here."""
    if not running(os.path.join(folder, "reverse_ssh.pid")):
        return "it is not running"
    if not key or key != state.get("key"):
        return f"the SSH server at port {state['wanted']['port']} " + (
            "has another host key" if key else "does not answer"
        )
    if not tunnel_answers(folder):
        said = read_json(os.path.join(folder, "tunnel.json")).get("said")
        return "the gateway does not answer" + (f": {said[-1]}" if said else "")
    return ""


def tunnel_problem(wanted, gateway, known):
    """Return [problem, hint, code] for options that cannot be used; an empty list if all is well."""
    consents = wanted["accept_colab_policy"] or wanted.get("can_ask")
    policy = colab_policy_problem(consents, "reverse_ssh_accept_colab_policy")
    return policy or _wrong_gateway(wanted, gateway, known) or _wrong_number(wanted)


def _wrong_gateway(wanted, gateway, known):
    if not wanted["gateway"]:
        return [
            "reverse_ssh_gateway is missing",
            "Set it to a host of yours and your user there: reverse_ssh_gateway=user@host.",
            "bad-value",
        ]
    if not gateway:
        return [
            f"reverse_ssh_gateway must be user@host or user@host:port, not {wanted['gateway'][:80]!r}",
            "It cannot contain ssh options.",
            "bad-value",
        ]
    host, port = gateway["host"], gateway["port"]
    scan = f"`ssh-keyscan -t ed25519 -p {port} {host}` on a machine and network that you trust"
    if not known:
        missing = f"has no line for {_place(host, port)}" if wanted["known_hosts"] else "is missing"
        return [
            f"reverse_ssh_known_hosts {missing}, so this machine could not tell the gateway from an impostor",
            f"Give the path of your own known_hosts if you have logged in there before, or the output of {scan}.",
            "gateway-key-unknown",
        ]
    if not any(map(_is_usable, known)):
        return [
            f"reverse_ssh_known_hosts has no line for {_place(host, port)} with a complete key that is not revoked",
            f"Copy whole lines, from your own known_hosts or from the output of {scan}.",
            "bad-key",
        ]
    return []


def _wrong_number(wanted):
    ports = {
        "reverse_ssh_port": (1, "to use the port of the role sshd"),
        "reverse_ssh_gateway_port": (0, "to let the gateway choose"),
    }
    for name, (least, default) in ports.items():
        port = wanted[name.replace("reverse_ssh_", "")]
        if not least <= port < 65536:
            return [f"{name} must be from {least} to 65535, not {port}", f"Leave it out {default}.", "bad-value"]
    if wanted["max_seconds"] < 0:
        return ["reverse_ssh_max_seconds must not be negative", "Use 0 for no limit.", "bad-value"]
    if not wanted.get("server_comes") and not answers("127.0.0.1", wanted["port"], "SSH-2.0-"):
        return [
            f"No SSH server answers at port {wanted['port']} of 127.0.0.1",
            "Run the role sshd first, or choose another port: reverse_ssh_port.",
            "no-ssh-server",
        ]
    return []


def now(role, report):
    """Return whether the tunnel is up now and leads here, as `look.now` describes."""
    state = read_state(role)
    folder = os.path.join(state_folder(), "reverse_ssh")
    if not os.path.exists(os.path.join(folder, "reverse_ssh.pid")):
        return {"state": "stopped", "works": False}
    if not state.get("wanted") or not report.get("jump"):
        return {"state": "started", "works": False, "problem": "its notes are lost"}
    key = offered_key("127.0.0.1", state["wanted"]["port"], seconds=2)
    problem = what_is_lost(state, key, folder)
    if problem:
        return {"state": "started", "works": False, "problem": problem}
    # After a reconnection the port may be another.
    port = read_json(os.path.join(folder, "tunnel.json")).get("port", report.get("port"))
    return {"state": "started", "works": True, **way_in(report["user"], "127.0.0.1", port, key, report["jump"])}


def read_here(wanted):
    """Return what is wanted with the lines of known_hosts and a digest of the key; see `look.read_here`."""
    wanted = dict(wanted)
    folder, path = wanted.pop("folder"), wanted["identity"]
    try:
        wanted["known_hosts"] = known_hosts(wanted["known_hosts"], folder, "reverse_ssh_known_hosts")
        key = private_key(path, folder, "reverse_ssh_identity") if path else ""
        return dict(wanted, identity=hashlib.sha256(key.encode()).hexdigest() if key else "")
    except Wrong as wrong:
        return dict(wanted, known_hosts="", identity="", given_problem=list(wrong.args))


def look_at(wanted, machine):
    """Return whether the tunnel is as wanted, what has drifted, and what is needed to set it up."""
    state = read_state("reverse_ssh")
    folder = os.path.join(machine["state"], "reverse_ssh")
    pid_file = os.path.join(folder, "reverse_ssh.pid")
    pid = running(pid_file)
    result = {"folder": folder, "pid_file": pid_file, "pid": pid, "report": state.get("report", {})}
    if wanted["state"] == "absent":
        there = os.path.lexists(folder)
        report = absent_report("reverse_ssh", wanted, folder=folder if there else "")
        return dict(result, converged=not (state or there or installed_for("reverse_ssh")), report=report)
    if wanted["state"] == "stopped":
        # The pid file of a tunnel that has ended goes too: then it counts as stopped, not lost.
        return dict(result, converged=not os.path.exists(pid_file), report=dict(result["report"], state="stopped"))
    if wanted.get("given_problem"):
        return dict(result, converged=False, drift="", problem=wanted["given_problem"])
    wanted = dict(wanted, port=server_port(wanted["port"]))
    gateway = gateway_parts(wanted["gateway"])
    if not gateway:
        return dict(result, converged=False, drift="", problem=tunnel_problem(wanted, gateway, []))
    now = tunnel_now(wanted, gateway, folder)
    drift = tunnel_drift(state, now, folder)
    # Only once: a gateway that hangs takes seconds.
    lost = what_is_lost(now if drift else state, now["key"], folder)
    drift = drift or lost
    return dict(
        result,
        converged=not drift,
        drift=drift,
        lost=lost,
        now=now,
        report=now["report"] or result["report"],
        problem=tunnel_problem(wanted, gateway, now["known"]) if drift else [],
        identity=identity_of(wanted),
        ssh=shutil.which("ssh") or "",
        needs={} if shutil.which("ssh") else {"extra": ["openssh-client"]},
        config={
            "gateway_user": gateway["user"],
            "gateway_host": gateway["host"],
            "gateway_port": gateway["port"],
            "identity": identity_of(wanted),
            "port": wanted["gateway_port"],
            "local_port": wanted["port"],
        },
    )

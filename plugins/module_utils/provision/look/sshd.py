"""The SSH server of the role sshd, and what has drifted: a read-only part of the probe."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import shutil
import socket

from ..alive import answers, running
from ..commands import run
from ..notes import all_states, read_state
from ..places import state_folder
from ..reading import read_text, sha256_of
from ..system import sudo_works
from . import login
from .connection import way_in
from .deps import absent_report, installed_for
from .keys import Wrong, authorized_keys

# The PATH of sessions: that of a login, and the folders that Google Colab's notebooks have in addition.
_SESSION_PATH = (
    "/opt/bin",
    "/usr/local/nvidia/bin",
    "/usr/local/cuda/bin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/tools/node/bin",
    "/tools/google-cloud-sdk/bin",
)
_COLAB_LIBRARIES = "/usr/lib64-nvidia"  # its graphics driver
_PROFILE = "/etc/profile.d/provision-sshd.sh"
_HOLD = "/etc/ssh/sshd_not_to_be_run"
_RUN = "/run/sshd"
_RUN_NOTE = f"{_RUN} was there before."  # systemd 256 and later make it even without a server
# The codes of errors that do not mean a bad address.
_CODES = {errno.EADDRINUSE: "port-taken", errno.EACCES: "not-permitted"}


def session_environment(extra, machine):
    """Return the environment variables of sessions."""
    folders = [folder for folder in _SESSION_PATH if os.path.isdir(folder)]
    if not machine["root"]:
        folders.insert(0, os.path.join(machine["home"], ".local/bin"))
    found = {}
    for state in all_states().values():
        found.update(state["report"].get("environment", {}))
        folder = state.get("link_dir") or state["report"].get("bin", "")
        if folder and folder not in folders:
            folders.insert(0, folder)
    found["PATH"] = os.pathsep.join(folders)
    if os.path.isdir(_COLAB_LIBRARIES):
        found["LD_LIBRARY_PATH"] = _COLAB_LIBRARIES
    found.update({name: str(value) for name, value in extra.items()})
    # Under a second name for login shells, because /etc/profile resets PATH.
    return dict(found, PROVISION_PATH=found["PATH"])


def bind_problem(address, port):
    """Return why this user's server cannot listen at an address, and a code; two empty strings if it can."""
    try:
        family, kind, protocol, _name, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(place)
            one.listen(1)
    except OSError as error:
        return (error.strerror or str(error)).lower(), _CODES.get(error.errno, "bad-value")
    except ValueError:  # not a valid host name
        return "it is not a valid address", "bad-value"
    return "", ""


def listens(pid, port):
    """Return whether a process of this user (or any, for root) listens at a TCP port."""
    # Notes and configuration may be lost, changed, or left by an interrupted run.
    # proc_net(5): the local address, the state (0A is LISTEN) and the inode are the fields 2, 4 and 10.
    tables = (read_text(f"/proc/{pid}/net/{name}").splitlines()[1:] for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table]
    there = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}
    try:
        return any(os.readlink(entry.path) in there for entry in os.scandir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def find_sshd():
    """Return the path of the OpenSSH server, an empty string if it is not installed."""
    folders = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which("sshd", path=folders) or ""


def has_penalties(program):
    """Return whether an sshd delays clients after failed logins (PerSourcePenalties, from OpenSSH 9.8 on)."""
    _code, out, error = run([program, "-V"])  # versions without -V print it with their usage
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", out + error)
    return bool(found) and [int(number) for number in found.groups()] >= [9, 8]


def sshd_report(wanted, user, folder):
    """Return how to reach and recognise the server, {} if it has no host key."""
    key = read_text(os.path.join(folder, "ssh_host_ed25519_key.pub")).split()[:2]
    if len(key) != 2:
        return {}
    address, port = wanted["listen_addresses"][0], wanted["port"]
    host = (wanted["host"] or platform.node()) if address in login.EVERYWHERE else address
    report = {"user": user, **way_in(user, host, port, " ".join(key))}
    if os.path.exists(os.path.join(folder, "password")):
        report["password_file"] = os.path.join(folder, "password")
    return report


def sshd_now(wanted, user, folder, machine):
    """Return the note of a server, for later comparison."""
    names = [os.path.join(folder, name) for name in ("sshd_config", "authorized_keys", "ssh_host_ed25519_key.pub")]
    return {
        "wanted": {name: value for name, value in wanted.items() if name != "state"},
        "environment": session_environment(wanted["environment"], machine),
        "files": {path: sha256_of(path) for path in [*names, *([_PROFILE] if machine["root"] else [])]},
        "report": sshd_report(wanted, user, folder),
    }


def sshd_drift(wanted, state, now, user, folder, machine):
    """Return in words how the server noted in `state` differs from the one wanted; empty if it does not."""
    noted = state.get("wanted", {})
    if not state.get("report"):
        return "no server is set up"
    if noted.get("form") != wanted["form"]:
        return "it was set up by another version of this role"
    for name, value in now["wanted"].items():
        if noted.get(name) != value:
            return f"sshd_{name} has changed"
    if state.get("environment") != now["environment"]:
        return "the environment of its sessions has changed"
    for path, digest in now["files"].items():
        if state.get("files", {}).get(path) != digest:
            return f"{path} has changed"
    if not os.path.exists(os.path.join(folder, "ssh_host_ed25519_key")):
        return "its host key is missing"
    if machine["root"] and login.password_state(folder) != (
        {"user": user, "set": True} if login.wants_password(wanted) else {}
    ):
        return "the password has changed"
    if machine["root"] and not os.path.isdir(_RUN):
        return f"{_RUN} is missing"
    return ""


def what_is_lost(wanted, user, folder):
    """Return in words why nobody can log in now, empty if nothing prevents it."""
    if not running(os.path.join(folder, "sshd.pid")):
        return "it is not running"
    if not answers(_reached_at(wanted), wanted["port"], "SSH-2.0-"):
        return "it does not answer"
    problem = login.login_problem(wanted, user, folder)
    return f"nobody can log in: {problem[0]}" if problem else ""


def _reached_at(wanted):
    """Return the address at which this machine reaches the server."""
    address = wanted["listen_addresses"][0]
    return login.EVERYWHERE.get(address, address)


# --- What is wrong with the options, and what prevents a login -------------------------------------------------------


def sshd_problem(wanted, user, pid, folder, machine):
    """Return [problem, hint, code] for options that cannot be used; an empty list if all is well."""
    own = [os.path.realpath(path) for path in (os.path.join(folder, "authorized_keys"), folder, machine["state"])]
    return (
        login.user_problem(wanted, user, machine)
        or _wrong_environment(wanted)
        or login.login_problem(wanted, user, folder, own)
        or _wrong_place(wanted, pid)
    )


def _wrong_environment(wanted):
    for name, value in wanted["environment"].items():
        text = str(value)
        if (
            not re.fullmatch(r"[A-Za-z_]\w*", name, re.A)
            or isinstance(value, (list, dict, type(None)))
            or re.search(r'[\x00-\x1f"\\\x7f\ud800-\udfff]', text)
        ):
            return [
                f"sshd_environment cannot set {repr(name[:80])[1:-1]}",
                "Names consist of letters, digits and _; values cannot contain quotes, backslashes or line breaks.",
                "bad-value",
            ]
    return []


def _wrong_place(wanted, pid):
    port = wanted["port"]
    if not 0 < port < 65536:
        return [f"sshd_port must be from 1 to 65535, not {port}", "Leave it out to use 2222.", "bad-value"]
    if listens(pid, port):
        return []  # it is our own server
    for address in wanted["listen_addresses"]:
        problem, code = bind_problem(address, port)
        if problem:
            return [
                f"The SSH server cannot listen on port {port} of {address}: {problem}",
                "Change sshd_port or sshd_listen_addresses.",
                code,
            ]
    return []


def now(role, report):
    """Return whether the server runs and lets people in now, as `look.now` describes."""
    folder = os.path.join(state_folder(), "sshd")
    if not os.path.exists(os.path.join(folder, "sshd.pid")):
        return {"state": "stopped", "works": False}
    if not running(os.path.join(folder, "sshd.pid")):
        return {"state": "started", "works": False, "problem": "it has ended"}
    wanted = read_state(role).get("wanted", {})
    if not wanted.get("listen_addresses"):
        return {"state": "started", "works": False, "problem": "its notes are lost"}
    problem = what_is_lost(wanted, report.get("user", ""), folder)
    return {"state": "started", "works": not problem, **({"problem": problem} if problem else {})}


def read_here(wanted):
    """Return what is wanted with the keys themselves; see `look.read_here`."""
    wanted = dict(wanted)
    given, folder = wanted.pop("authorized_keys"), wanted.pop("folder")
    try:
        return dict(wanted, authorized_keys=authorized_keys(given, folder))
    except Wrong as wrong:
        return dict(wanted, authorized_keys=[], given_problem=list(wrong.args))


def _environment(given):
    """Return the given variables, a mapping or JSON from ansible-playbook's command line; None if neither."""
    if isinstance(given, str) and given.strip():
        try:
            given = json.loads(given)
        except ValueError:
            return None
    return given if isinstance(given, dict) else None if given else {}


def look_at(wanted, machine):
    """Return whether the server is as wanted, what has drifted, and what is needed to set it up."""
    state = read_state("sshd")
    folder = os.path.join(machine["state"], "sshd")
    user = login.user_name() if wanted["user"] == "auto" else str(wanted["user"])
    user = getattr(login.passwd_entry(user), "pw_name", user)  # a directory service may accept other spellings
    pid = running(os.path.join(folder, "sshd.pid"))
    result = {"folder": folder, "user": user, "pid": pid, "report": state.get("report", {})}
    if wanted["state"] == "absent":
        packages = installed_for("sshd")
        # Another user removes root's file only if their own run has made it.
        roots = [
            path
            for path in (_PROFILE, _HOLD)
            if "role sshd of provision" in read_text(path) and (machine["root"] or (path == _HOLD and packages))
        ]
        if machine["root"] and packages and os.path.isdir(_RUN) and _RUN_NOTE not in read_text(_HOLD):
            roots.append(_RUN)
        there = state or os.path.lexists(folder) or roots or packages
        report = absent_report("sshd", wanted, folder=folder if os.path.lexists(folder) else "", files=roots)
        return dict(result, converged=not there, roots_files=roots, report=report)
    if wanted["state"] == "stopped":
        # The pid file of a server that has ended goes too: then it counts as stopped, not lost.
        noted = os.path.exists(os.path.join(folder, "sshd.pid"))
        return dict(result, converged=not noted, report=dict(result["report"], state="stopped"))
    environment = _environment(wanted["environment"])
    problem = wanted.get("given_problem") or (
        ["sshd_listen_addresses is empty", "Leave it out for 127.0.0.1, or use 0.0.0.0 for all addresses.", "bad-value"]
        if not all(wanted["listen_addresses"] or [""])
        else ["sshd_environment must map names to values", 'Write it as {"NAME": "value"}.', "bad-value"]
        if environment is None
        else []
    )
    if problem:
        return dict(result, converged=False, drift="", problem=problem)
    wanted = dict(wanted, environment=environment)
    now = sshd_now(wanted, user, folder, machine)
    lost = what_is_lost(wanted, user, folder)
    drift = sshd_drift(wanted, state, now, user, folder, machine) or lost
    if not drift:
        return dict(result, converged=True, now=now, lost="")
    program = find_sshd()
    return dict(
        result,
        converged=False,
        drift=drift,
        lost=lost,
        problem=sshd_problem(wanted, user, pid, folder, machine),
        now=now,
        program=program,
        needs={} if program else {"extra": ["openssh-server"]},
        penalties=bool(program) and has_penalties(program),
        environment=now["environment"],
        authorized_keys=wanted["authorized_keys"],
        password=login.wants_password(wanted),
        local_address=_reached_at(wanted),
        node=platform.node(),
        run_note=_RUN_NOTE if os.path.isdir(_RUN) else "",
        password_there=bool(login.password_state(folder)),
        sudo=bool(program) or machine["root"] or sudo_works(),
    )

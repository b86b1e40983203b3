"""What is there of the role sshd on this machine, and what has drifted: a part of the probe, read-only.

It is sent to the target with provision_checks; see there.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import platform
import pwd
import re
import shutil
import socket

from .provision_checks import answers, read_json, read_state, read_text, run, running, state_folder, sudo_works
from .provision_look_connection import way_in
from .provision_look_deps import absent_report, installed_for

# Where sessions look for commands: what a login's PATH has, and what Google Colab's notebooks have besides.
_SESSION_PATH = (
    "/opt/bin", "/usr/local/nvidia/bin", "/usr/local/cuda/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
    "/usr/bin", "/sbin", "/bin", "/tools/node/bin", "/tools/google-cloud-sdk/bin",
)
_COLAB_LIBRARIES = "/usr/lib64-nvidia"  # its graphics driver
_PROFILE = "/etc/profile.d/provision-sshd.sh"
_HOLD = "/etc/ssh/sshd_not_to_be_run"
_RUN = "/run/sshd"
_RUN_NOTE = f"{_RUN} was there before."  # made by systemd, from 256 on, also where there is no server
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}


def user_name():
    """Return the name of the user who runs this."""
    return pwd.getpwuid(os.getuid()).pw_name


def shadow_entry(user):
    """Return the ``hash`` of a user's password and the day it was ``changed``, as shadow(5) has them; root only."""
    for line in read_text("/etc/shadow").splitlines():
        fields = line.split(":")
        if fields[0] == user and len(fields) > 2:
            return {"hash": fields[1], "changed": fields[2]}
    return {}


def password_state(folder):
    """Return whose password the module sshd_password has set, and whether it still holds; empty when it has not."""
    noted = read_json(os.path.join(folder, "password.json"))
    password = read_text(os.path.join(folder, "password")).strip()
    if not noted and not password:
        return {}
    now = shadow_entry(noted.get("user"))
    return {"user": noted.get("user"), "set": bool(password and now and now["hash"] == noted.get("after"))}


def session_environment(extra, machine):
    """Return the environment variables that sessions get."""
    folders = [folder for folder in _SESSION_PATH if os.path.isdir(folder)]
    if not machine["root"]:
        folders.insert(0, os.path.join(machine["home"], ".local/bin"))
    for tool in ("mrpeek", "mrtrix3"):
        state = read_state(tool)
        folder = state.get("link_dir") or state.get("report", {}).get("bin", "")
        if folder and folder not in folders:
            folders.insert(0, folder)
    found = {"PATH": os.pathsep.join(folders)}
    if os.path.isdir(_COLAB_LIBRARIES):
        found["LD_LIBRARY_PATH"] = _COLAB_LIBRARIES
    found.update({name: str(value) for name, value in extra.items()})
    # Under another name as well, for login shells, whose /etc/profile sets PATH anew.
    return dict(found, PROVISION_PATH=found["PATH"])


def is_public_key(line):
    """Tell whether a line of authorized_keys holds a whole public key (RFC 4253, section 6.6)."""
    found = re.search(r"(?:^|\s)((?:ssh|ecdsa|sk)-\S+)\s+(AAAA\S*)", line)
    try:
        blob = binascii.a2b_base64(found.group(2)) if found else b""
    except ValueError:
        return False
    parts = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            return False
        parts.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
        if "-cert-" in found.group(1):  # whose other parts have no length before them
            break
    return bool(parts) and parts[0] == found.group(1).encode() and ("-cert-" in found.group(1) or len(parts) > 1)


def bind_problem(address, port):
    """Return why a server of this user's cannot listen at an address, an empty string when it can."""
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
        return (error.strerror or str(error)).lower()
    return ""


def listens(pid, port):
    """Tell whether the process with this number, of this user or asked about by root, listens at a TCP port.

    What was noted or configured may be lost, tampered with, or that of a run that was interrupted.
    """
    # proc_net(5): the local address, the state (0A is LISTEN) and the inode are the fields 2, 4 and 10.
    tables = (read_text(f"/proc/{pid}/net/{name}").splitlines()[1:] for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table]
    there = {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}
    try:
        return any(os.readlink(entry.path) in there for entry in os.scandir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def find_sshd():
    """Return the path of the OpenSSH server, an empty string when it is not installed."""
    folders = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which("sshd", path=folders) or ""


def has_penalties(program):
    """Tell whether an sshd makes those wait who have failed to log in (PerSourcePenalties, from OpenSSH 9.8 on)."""
    _code, out, error = run([program, "-V"])  # those that know no -V tell it with their usage
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", out + error)
    return bool(found) and [int(number) for number in found.groups()] >= [9, 8]


def _digest(path):
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def sshd_report(wanted, user, folder):
    """Return how the server is reached and known, an empty dict as long as it has no host key."""
    key = read_text(os.path.join(folder, "ssh_host_ed25519_key.pub")).split()[:2]
    if len(key) != 2:
        return {}
    address, port = wanted["listen_addresses"][0], wanted["port"]
    host = (wanted["host"] or platform.node()) if address in _EVERYWHERE else address
    report = {"user": user, **way_in(user, host, port, " ".join(key))}
    if os.path.exists(os.path.join(folder, "password")):
        report["password_file"] = os.path.join(folder, "password")
    return report


def sshd_now(wanted, user, folder, machine):
    """Return what to note of a server that was set up, with which it is compared later."""
    names = [os.path.join(folder, name) for name in ("sshd_config", "authorized_keys", "ssh_host_ed25519_key.pub")]
    return {
        "wanted": {name: value for name, value in wanted.items() if name != "state"},
        "environment": session_environment(wanted["environment"], machine),
        "files": {path: _digest(path) for path in [*names, *([_PROFILE] if machine["root"] else [])]},
        "report": sshd_report(wanted, user, folder),
    }


def wants_password(wanted):
    """Tell whether there shall be a password: it was asked for, or there is no key."""
    return wanted["with_password"] or not wanted["authorized_keys"]


def sshd_drift(wanted, state, now, user, folder, machine):
    """Return in words how the server noted in `state` differs from the one wanted; empty for not at all."""
    if not state.get("report"):
        return "none is set up"
    if state["wanted"].get("form") != wanted["form"]:
        return "another version of this role has set it up"
    for name, value in now["wanted"].items():
        if state["wanted"].get(name) != value:
            return f"sshd_{name} is another"
    if state["environment"] != now["environment"]:
        return "the environment of its sessions is another"
    for path, digest in now["files"].items():
        if state["files"].get(path) != digest:
            return f"{path} is another"
    if not os.path.exists(os.path.join(folder, "ssh_host_ed25519_key")):
        return "its host key is missing"
    if machine["root"] and password_state(folder) != ({"user": user, "set": True} if wants_password(wanted) else {}):
        return "the password is another"
    if machine["root"] and not os.path.isdir(_RUN):
        return f"{_RUN} is missing"
    if not running(os.path.join(folder, "sshd.pid")):
        return "it does not run"
    address = wanted["listen_addresses"][0]
    if not answers(_EVERYWHERE.get(address, address), wanted["port"], "SSH-2.0-"):
        return "it does not answer"
    return ""


def sshd_problem(wanted, user, pid, machine):
    """Return what is wrong with what was asked for, and what to do, as two texts; none when nothing is."""
    for look in (_wrong_user, _wrong_keys, _wrong_environment):
        problem = look(wanted, user, machine)
        if problem:
            return problem
    return _wrong_place(wanted, pid)


def _wrong_user(wanted, user, machine):
    if not machine["root"] and user != user_name():
        return [f"Only root can let another user in than {user_name()}", "Leave sshd_user at auto, or use sudo."]
    try:
        pwd.getpwnam(user)
    except KeyError:
        return [f"There is no user {user} on this machine", "Name one that there is (sshd_user), or make it first."]
    if not machine["root"] and wants_password(wanted):
        return ["Only root can set a password", "Give a public key: sshd_authorized_keys=~/.ssh/id_ed25519.pub"
                + (", and leave sshd_with_password out." if wanted["authorized_keys"] else ".")]
    return []


def _wrong_keys(wanted, user, machine):
    wrong = [line for line in wanted["authorized_keys"] if not is_public_key(line)]
    if not wrong:
        return []
    if any("PRIVATE KEY" in line for line in wrong):
        return ["sshd_authorized_keys has a private key, which belongs to nobody but you",
                "Give the public one, in the file of the same name with .pub."]
    return [f"sshd_authorized_keys has a line that is not a whole public key: {wrong[0][:40]}",
            "Copy the whole line of a .pub file, or give the path of that file."]


def _wrong_environment(wanted, user, machine):
    for name, value in wanted["environment"].items():
        if not re.fullmatch(r"[A-Za-z_]\w*", name) or re.search(r'[\x00-\x1f"\\]', str(value)):
            return [f"sshd_environment cannot set {name}",
                    "Names have letters, digits and _; values no quotes, backslashes or line ends."]
    return []


def _wrong_place(wanted, pid):
    port = wanted["port"]
    if not 0 < port < 65536:
        return [f"sshd_port must be from 1 to 65535, not {port}", "Leave it out for 2222."]
    if listens(pid, port):
        return []  # what is there is ours
    for address in wanted["listen_addresses"]:
        problem = bind_problem(address, port)
        if problem:
            return [f"The port {port} of {address} cannot be listened on: {problem}",
                    "Choose another: sshd_port, sshd_listen_addresses."]
    return []


def now(report):
    """Return whether the server runs and answers at this moment; `provision_checks.now` says how."""
    folder = os.path.join(state_folder(), "sshd")
    if not os.path.exists(os.path.join(folder, "sshd.pid")):
        return {"state": "stopped", "works": False}
    if not running(os.path.join(folder, "sshd.pid")):
        return {"state": "started", "works": False, "problem": "it has ended"}
    address = read_state("sshd")["wanted"]["listen_addresses"][0]
    if not answers(_EVERYWHERE.get(address, address), report["port"], "SSH-2.0-"):
        return {"state": "started", "works": False, "problem": "it does not answer"}
    return {"state": "started", "works": True}


def look_at(wanted, machine):
    """Return whether the server is there as wanted, what has drifted, and what setting it up needs to know."""
    state = read_state("sshd")
    folder = os.path.join(machine["state"], "sshd")
    user = user_name() if wanted["user"] == "auto" else wanted["user"]
    pid = running(os.path.join(folder, "sshd.pid"))
    result = {"folder": folder, "user": user, "pid": pid, "report": state.get("report", {})}
    if wanted["state"] == "absent":
        packages = installed_for("sshd")
        # Of a file that root alone can write, another user removes the one that their own run has made.
        roots = [path for path in (_PROFILE, _HOLD) if "role sshd of provision" in read_text(path)
                 and (machine["root"] or (path == _HOLD and packages))]
        if machine["root"] and packages and os.path.isdir(_RUN) and _RUN_NOTE not in read_text(_HOLD):
            roots.append(_RUN)
        there = state or os.path.lexists(folder) or roots or packages
        report = absent_report("sshd", wanted, folder=folder if os.path.lexists(folder) else "", files=roots)
        return dict(result, converged=not there, roots_files=roots, report=report)
    if wanted["state"] == "stopped":
        # That of one which has ended goes too: from then on it is stopped, and not lost.
        noted = os.path.exists(os.path.join(folder, "sshd.pid"))
        return dict(result, converged=not noted, report=dict(result["report"], state="stopped"))
    if not wanted["listen_addresses"]:
        problem = ["sshd_listen_addresses is empty", "Leave it out for 127.0.0.1; 0.0.0.0 is every address."]
        return dict(result, converged=False, drift="", problem=problem)
    now = sshd_now(wanted, user, folder, machine)
    drift = sshd_drift(wanted, state, now, user, folder, machine)
    if not drift:
        return dict(result, converged=True, now=now)
    program = find_sshd()
    address = wanted["listen_addresses"][0]
    return dict(
        result,
        converged=False,
        drift=drift,
        problem=sshd_problem(wanted, user, pid, machine),
        now=now,
        program=program,
        penalties=bool(program) and has_penalties(program),
        environment=now["environment"],
        local_address=_EVERYWHERE.get(address, address),
        node=platform.node(),
        run_note=_RUN_NOTE if os.path.isdir(_RUN) else "",
        password_there=bool(password_state(folder)),
        sudo=bool(program) or machine["root"] or sudo_works(),
    )

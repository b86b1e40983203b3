"""Whom the SSH server of the role sshd lets in, and what keeps a user out: a read-only part of the probe."""

from __future__ import annotations

import os
import pwd
import re
import time

from ..notes import read_state
from ..reading import read_json, read_text
from .keys import opens

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}


def user_name():
    """Return the name of the current user, or their number if they have no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def user_of(port):
    """Return the user to log in as at a port of this machine: that of the role sshd, else the current user."""
    sshd = read_state("sshd")
    there = sshd.get("report", {}).get("user") if sshd.get("wanted", {}).get("port") == port else ""
    return there or user_name()


# The fields of shadow(5) after the name; all but the first are in days.
_SHADOW = ("hash", "changed", "least", "most", "warn", "inactive", "expires")


def shadow_entry(user):
    """Return a user's entry in shadow(5): the ``hash``, the day it was ``changed``, and so on; root only."""
    for line in read_text("/etc/shadow").splitlines():
        name, *fields = line.split(":")
        if name == user and fields:
            fields += [""] * len(_SHADOW)
            return {name: fields[number] for number, name in enumerate(_SHADOW)}
    return {}


def password_state(folder):
    """Return whose password the module sshd_password has set, and whether it is still valid; {} if none."""
    noted = read_json(os.path.join(folder, "password.json"))
    password = read_text(os.path.join(folder, "password")).strip()
    if not noted and not password:
        return {}
    now = shadow_entry(noted.get("user"))
    return {"user": noted.get("user"), "set": bool(password and now and now["hash"] == noted.get("after"))}


def wants_password(wanted):
    """Return whether to set a password: it was requested, or there is no key."""
    return wanted["with_password"] or not wanted["authorized_keys"]


def user_problem(wanted, user, machine):
    """Return [problem, hint, code] if the role cannot let this user in; an empty list if it can."""
    if not machine["root"] and user != user_name():
        return [
            f"Only root can let in a user other than {user_name()}",
            "Leave sshd_user at auto, or use sudo.",
            "needs-root",
        ]
    if passwd_entry(user) is None:
        return [
            f"There is no user {user[:80]} on this machine",
            "Set sshd_user to an existing user, or create this one first.",
            "no-user",
        ]
    # sshd_config(5): in user names these characters form patterns, or end the name.
    if re.search(r'[*?,"\x00-\x1f\x7f]', user):
        return [
            f"The user name {user!r} has characters that sshd treats as a pattern, which could let others in",
            "Choose another user: sshd_user.",
            "bad-value",
        ]
    if not machine["root"] and wants_password(wanted):
        return [
            "Only root can set a password",
            "Give a public key: sshd_authorized_keys=~/.ssh/id_ed25519.pub"
            + (", and leave sshd_with_password out." if wanted["authorized_keys"] else "."),
            "needs-root",
        ]
    if wants_password(wanted) and not shadow_entry(user):
        return [
            f"The password of {user} is not stored on this machine, so it cannot be set here",
            "Give a public key: sshd_authorized_keys=~/.ssh/id_ed25519.pub.",
            "password-not-set",
        ]
    return []


def passwd_entry(user):
    """Return a user's entry in the passwd database, None if there is none."""
    try:
        return pwd.getpwnam(user)
    except (KeyError, ValueError):
        return None


def login_problem(wanted, user, folder, mended=()):
    """Return [problem, hint, code] if something keeps a user out; the modes of paths in `mended` are ignored."""
    return (
        _wrong_shell(user)
        or _wrong_account(wanted, user)
        or _wrong_modes(wanted, user, folder, mended)
        or _no_key(wanted)
    )


def _wrong_shell(user):
    entry = passwd_entry(user)
    shell = (entry.pw_shell or "/bin/sh") if entry else "/bin/sh"
    problem = (
        "which does not exist"
        if not os.path.isfile(shell)
        else "which cannot be executed"
        if not os.stat(shell).st_mode & 0o111
        else "which exits at once"
        if os.path.basename(shell) in ("nologin", "false", "true", "sync")
        else ""
    )
    if not problem:
        return []
    return [
        f"The shell of {user} is {shell}, {problem}",
        f"Change it (usermod --shell /bin/bash {user}), or choose another user (sshd_user).",
        "no-shell",
    ]


def _wrong_account(wanted, user):
    entry = passwd_entry(user)
    if entry and entry.pw_uid:
        for path in ("/etc/nologin", "/run/nologin"):
            if os.path.exists(path):
                hint = "Remove that file if it is not meant to be there."
                return [f"{path} keeps out all users but root", hint, "login-refused"]
    days = {name: _days(value) for name, value in shadow_entry(user).items()}
    today = int(time.time() // 86400)
    if days.get("expires", -1) >= 0 and today >= days["expires"]:
        hint = f"Remove the expiry date: chage --expiredate -1 {user}"
        return [f"The account of {user} has expired", hint, "account-expired"]
    # A password that is being set has not expired.
    if not days or wants_password(wanted):
        return []
    too_old = days["most"] >= 0 and days["changed"] >= 0 and today - days["changed"] > days["most"]
    if days["changed"] == 0 or too_old:
        return [
            f"The password of {user} has expired, and sshd demands a new one at login",
            f"Set a new one (passwd {user}), or keep the old one: chage --lastday -1 {user}",
            "password-expired",
        ]
    return []


def _days(text):
    return int(text) if re.fullmatch(r"\d{1,9}", text) else -1


def _wrong_modes(wanted, user, folder, mended):
    """Check the owners and modes that sshd checks (StrictModes) before it trusts authorized_keys."""
    entry = passwd_entry(user)
    if not entry or not wanted["authorized_keys"]:
        return []
    path, home = os.path.realpath(os.path.join(folder, "authorized_keys")), os.path.realpath(entry.pw_dir)
    while True:
        try:
            about = os.stat(path)
        except OSError:
            about = None
        if about and about.st_uid not in (0, entry.pw_uid):
            return [
                f"{path} belongs to another user, so sshd would not trust the keys in it",
                f"Make {user} or root its owner: chown {user} {path}",
                "unsafe-modes",
            ]
        if about and about.st_mode & 0o022 and path not in mended:
            return [
                f"Other users can write to {path}, so sshd would not trust the keys in it",
                f"Remove that permission: chmod go-w {path}",
                "unsafe-modes",
            ]
        if path in (home, "/"):
            return []
        path = os.path.dirname(path)


def _no_key(wanted):
    keys = wanted["authorized_keys"]
    near = [EVERYWHERE.get(address, address) for address in wanted["listen_addresses"]]
    # Connections through a tunnel, or from this machine, come from its own address.
    near = near if all(re.match(r"127\.|::1$", address) for address in wanted["listen_addresses"]) else []
    if not keys or wants_password(wanted) or any(opens(line, near) for line in keys):
        return []
    return [
        "No key in sshd_authorized_keys lets anybody in: each has expired (expiry-time) or is limited to other "
        "addresses (from)",
        "Change these options; connections through a tunnel come from 127.0.0.1.",
        "no-key",
    ]

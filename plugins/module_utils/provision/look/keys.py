"""SSH keys as users give them, in a file or as text: a read-only part of the probe."""

# They are read and checked on the controller: a private key goes no further.

from __future__ import annotations

import base64
import calendar
import codecs
import os
import re
import stat
import time
from fnmatch import fnmatchcase

_LARGEST = 1 << 20  # bytes of a key file
# The fields of each kind of key after its name (RFC 4253, 5656 and 8709; OpenSSH's PROTOCOL.u2f): a length or a text.
_KINDS = {
    "ssh-ed25519": (32,),
    "ssh-rsa": (None, None),
    "ecdsa-sha2-nistp256": (b"nistp256", 65),
    "ecdsa-sha2-nistp384": (b"nistp384", 97),
    "ecdsa-sha2-nistp521": (b"nistp521", 133),
    "sk-ssh-ed25519@openssh.com": (32, None),
    "sk-ecdsa-sha2-nistp256@openssh.com": (b"nistp256", 65, None),
}
_SHORTEST_RSA = 1024  # bits: sshd_config(5), RequiredRSASize
_OPTION = (
    r"(?:(?:no-)?(?:agent-forwarding|port-forwarding|pty|touch-required|user-rc|verify-required|X11-forwarding)"
    r"|cert-authority|restrict|(?:command|environment|expiry-time|from|permitlisten|permitopen|principals|tunnel)="
    r'"(?:\\"|[^"\\]|\\(?!"))*")'
)
# A line of authorized_keys (sshd(8)); its words are separated by blanks and tabs only.
_LINE = re.compile(
    rf"(?:(?P<options>(?i:{_OPTION}(?:,{_OPTION})*))[ \t]+)?"
    r"(?P<kind>\S+)[ \t]+(?P<key>[A-Za-z0-9+/]+={0,2})(?:[ \t].*)?"
)
_IS_TEXT = re.compile(r"\n|(ssh|ecdsa|sk)-\S+\s+AAAA|PRIVATE KEY|-- ?BEGIN |PuTTY-User-Key-File-")
# Formats of other programs: the text that marks them, what they are, and how to convert them to a line of a .pub file.
_OTHER_FORMS = (
    ("---- BEGIN SSH2 PUBLIC KEY", "a public key in PuTTY's format (RFC 4716)", "ssh-keygen -i -f FILE"),
    ("-----BEGIN RSA PUBLIC KEY", "a public key in PEM format", "ssh-keygen -i -m PEM -f FILE"),
    ("-----BEGIN PUBLIC KEY", "a public key in PKCS8 format", "ssh-keygen -i -m PKCS8 -f FILE"),
)


class Wrong(Exception):
    """A value that cannot be used: one sentence without its full stop, what to do, and a code."""


def read_given(path, folder, option):
    """Return the text of a file that a user has named, relative to a folder; raises Wrong."""
    path = os.path.join(folder, os.path.expanduser(path))
    shown = _shown(path) or "a file"
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise Wrong(f"{option} names {shown}, which is a folder", "Give the path of a file in it.", "not-a-file")
        if not stat.S_ISREG(mode):
            raise Wrong(
                f"{option} names {shown}, which is not a regular file", "Copy its content to a file.", "not-a-file"
            )
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise Wrong(
            f"{option} names {shown}, which cannot be read: {reason.lower()}", "Check the path.", "no-file"
        ) from error
    if len(data) > _LARGEST:
        raise Wrong(f"{option} names {shown}, which is too large for a key file", "Check the path.", "too-large")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # Windows PowerShell's > writes that
        return data.decode("utf-16", "replace")
    if b"\0" in data:
        hint = "Check the path, or save it as plain text (UTF-8)."
        raise Wrong(f"{option} names {shown}, which is not text", hint, "not-text")
    return data.decode("utf-8-sig", "replace")


# --- Public keys, for authorized_keys --------------------------------------------------------------------------------


def authorized_keys(given, folder, option="sshd_authorized_keys"):
    """Return the lines of authorized_keys from a list of such lines and of paths to files that hold them."""
    # Every entry must hold a key, or raises Wrong: a missing key must not pass for no key.
    if isinstance(given, str) and not _IS_TEXT.search(given) and not os.path.isfile(_absolute(given, folder)):
        given = [part.strip() for part in given.split(",")]  # a list from ansible-playbook's command line
    entries = given if isinstance(given, list) else [given]
    lines = {}
    for entry in entries:
        if isinstance(entry, list) and entry:
            lines.update(dict.fromkeys(authorized_keys(entry, folder, option)))
            continue
        if not isinstance(entry, str) or not entry.strip():
            raise Wrong(f"{option} has an empty entry", "Leave the option out if you want no key.", "no-key")
        lines.update(dict.fromkeys(_lines_of(entry, folder, option)))
    return list(lines)


def _absolute(path, folder):
    return os.path.join(folder, os.path.expanduser(path.replace("\0", "")))


def _shown(path):
    """Return a path if it is safe to show, else an empty string."""
    return path if path.isprintable() and len(path) <= 200 else ""


def _lines_of(entry, folder, option):
    if _IS_TEXT.search(entry):
        return key_lines(entry.lstrip("\ufeff"), option, "its text")
    if re.match(r"https?://", entry):
        hint = "Download the file, check it, and give its path."
        raise Wrong(f"{option} has a URL", hint, "bad-url")
    path = _absolute(entry.strip(), folder)
    if not os.path.lexists(path):
        raise Wrong(
            f"{option} has {_shown(path) or 'an entry'}, which is neither a public key nor a file",
            "Give the line of a .pub file, or its path: ~/.ssh/id_ed25519.pub.",
            "no-file",
        )
    return key_lines(read_given(entry.strip(), folder, option), option, path)


def key_lines(text, option, where):
    """Return the lines of a text that hold a key, as sshd(8) reads authorized_keys; raises Wrong for invalid ones."""
    _refuse_other_forms(text, option, where)
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r").strip(" \t")
        if line and not line.startswith("#"):
            problem = key_problem(line)
            if problem:
                raise Wrong(f"{option}: line {number} of {where} {problem[0]}", *problem[1:])
            lines.append(line)
    if not lines:
        hint = "Give the line of a .pub file, or its path."
        raise Wrong(f"{option}: there is no key in {where}", hint, "no-key")
    return lines


def _refuse_other_forms(text, option, where):
    if "PRIVATE KEY" in text or "PuTTY-User-Key-File-" in text:
        raise Wrong(
            f"{option} has a private key, which you must not give away",
            "Give the public one, in the file of the same name with .pub; for a .ppk, puttygen -L prints it.",
            "private-key",
        )
    for mark, what, command in _OTHER_FORMS:
        if mark in text:
            raise Wrong(f"{option}: {where} is {what}", f"Give the line that `{command}` prints.", "key-form")


def key_problem(line):
    """Return [problem, hint, code] for a line of authorized_keys that lets nobody in; an empty list for a good one."""
    whole = "Copy the whole line of a .pub file, or give its path."
    found = _LINE.fullmatch(line)
    if not line.isprintable() and re.search(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]", line):
        return ["contains control characters", whole, "bad-key"]
    if not found or (found["options"] and "\ufffd" in found["options"]):
        words = line.split()
        if len(words) > 2 and words[1] in _KINDS and re.search(r"[.|:\[*]|^localhost$", words[0]):
            return ["is from known_hosts: the key of a host, not of a person", whole, "key-kind"]
        if any(word in _KINDS for word in words[1:]):
            problem = "has options before the key that sshd does not know"
            return [problem, "sshd(8) lists the options; quote their values.", "key-options"]
        return ["is not a complete public key", whole, "bad-key"]
    if _IS_TEXT.search(line[found.end("key") :]):
        return ["has more than one key", "Put each key on its own line.", "several-keys"]
    return kind_problem(found["kind"]) or (
        [] if is_whole(found["kind"], found["key"]) else ["is not a complete public key", whole, "bad-key"]
    )


def kind_problem(kind):
    """Return [problem, hint, code] for a kind of key that lets nobody in; an empty list for a good one."""
    if kind.endswith(("-cert-v00@openssh.com", "-cert-v01@openssh.com")):
        return [
            "is a certificate, which does not let anybody in by itself",
            "Give the .pub file without -cert, or the authority's key preceded by cert-authority.",
            "key-kind",
        ]
    if kind == "ssh-dss":
        return ["is a DSA key, which OpenSSH no longer accepts", "Make another: ssh-keygen -t ed25519.", "key-kind"]
    return []


def is_whole(kind, key):
    """Return whether a key in base64 is a complete public key of a kind that OpenSSH accepts."""
    try:
        blob = base64.b64decode(key, validate=True)
    except ValueError:
        return False
    parts = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            return False
        parts.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    shape = _KINDS.get(kind)
    if shape is None or len(parts) != 1 + len(shape) or parts[0] != kind.encode():
        return False
    if kind == "ssh-rsa":
        return int.from_bytes(parts[2], "big").bit_length() >= _SHORTEST_RSA
    return all(map(_fits, parts[1:], shape))


def _fits(part, wanted):
    return part == wanted if isinstance(wanted, bytes) else bool(part) and wanted in (None, len(part))


def opens(line, addresses, now=None):
    """Return whether a line of authorized_keys lets somebody in now, coming from one of the addresses if any."""
    found = _LINE.fullmatch(line)
    options = (found["options"] if found else "") or ""
    expiry = re.search(r'(?i)(?:^|,)expiry-time="([^"]*)"', options)
    if expiry and _moment(expiry[1]) <= (time.time() if now is None else now):
        return False
    patterns = re.search(r'(?i)(?:^|,)from="([^"]*)"', options)
    return not patterns or not addresses or any(_names(patterns[1], address) for address in addresses)


def _moment(text):
    """Return an ``expiry-time``, in UTC if it ends in Z; an invalid one counts as passed."""
    digits = text.rstrip("Zz")
    form = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}.get(len(digits), "none")
    try:
        parsed = time.strptime(digits, form)
        return calendar.timegm(parsed) if digits != text else time.mktime(parsed)
    except (ValueError, OverflowError):
        return 0.0


def _names(patterns, address):
    """Return whether ``from=`` allows an address: by patterns and networks, where ``!`` excludes (ssh_config(5))."""
    import ipaddress  # rarely needed, and slow to import

    def matches(pattern):
        try:
            return ipaddress.ip_address(address) in ipaddress.ip_network(pattern)
        except ValueError:
            return fnmatchcase(address, pattern.lower().replace("[", "[[]"))

    words = [word.strip() for word in patterns.split(",")]
    if any(matches(word[1:]) for word in words if word.startswith("!")):
        return False
    return any(matches(word) for word in words if not word.startswith("!"))


# --- Keys of hosts, and private keys ---------------------------------------------------------------------------------


def known_hosts(given, folder, option):
    """Return the text of a known_hosts, given as text or as the path of a file; raises Wrong."""
    given = given.strip()
    if not given or _IS_TEXT.search(given):
        return given.lstrip("\ufeff")
    if not os.path.lexists(_absolute(given, folder)):
        shown = _shown(_absolute(given, folder)) or "a value"
        raise Wrong(
            f"{option} has {shown}, which is neither a line of known_hosts nor a file",
            "Give the line, or the path of the file: ~/.ssh/known_hosts.",
            "no-file",
        )
    return read_given(given, folder, option)


def private_key(path, folder, option):
    """Return the text of a private key in a file, with Unix line ends; raises Wrong."""
    if _IS_TEXT.search(path):
        raise Wrong(
            f"{option} has the text of a key; it must be the path of a file",
            "Write the key to a file that only you can read, and give its path.",
            "private-key",
        )
    text = read_given(path, folder, option)
    if "PuTTY-User-Key-File-" in text:
        hint = "Convert it: puttygen KEY.ppk -O private-openssh-new -o KEY."
        raise Wrong(f"{option} names a key in PuTTY's format", hint, "key-form")
    if "PRIVATE KEY-----" not in text or not text.isascii():
        raise Wrong(
            f"{option} names a file that is not an OpenSSH private key",
            "Give the file without .pub, saved as plain text.",
            "bad-key",
        )
    if _is_encrypted(text):
        raise Wrong(
            f"{option} names a key with a passphrase, which nobody could type",
            'Make a key without one for this purpose: ssh-keygen -t ed25519 -N "" -f key',
            "key-passphrase",
        )
    return "".join(f"{line.rstrip()}\n" for line in text.strip().splitlines())


def _is_encrypted(text):
    if "ENCRYPTED" in text:
        return True
    body = "".join(line.strip() for line in text.splitlines() if "-----" not in line and ":" not in line)
    # OpenSSH's PROTOCOL.key: a magic string, then the name of the cipher.
    try:
        start = base64.b64decode(body[:64])
    except ValueError:
        return False
    mark = b"openssh-key-v1\0"
    return start.startswith(mark) and not start[len(mark) :].startswith(b"\0\0\0\x04none")

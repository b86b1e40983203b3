"""What a module says when something cannot be done, or the system refuses it."""

from __future__ import annotations

import errno

from .file_lock import Locked

CODES = {
    errno.ENOSPC: "disk-full", errno.EDQUOT: "disk-full", errno.EROFS: "read-only", errno.EACCES: "not-permitted",
    errno.EPERM: "not-permitted", None: "system-error",
}  # fmt: skip


class Problem(Exception):
    """Something that cannot be done; the message and the hint are for people, the code for programs."""

    code = ""

    def __init__(self, message, hint="", code=""):
        super().__init__(message)
        self.message, self.hint, self.code = message, hint, code or self.code


def failure(error):
    """Return what a module says when it fails with a Problem or an OSError, as the arguments of its ``fail_json``."""
    if isinstance(error, Problem):
        return {"msg": error.message, "hint": error.hint, "code": error.code}
    message, hint = explain(error)
    code = "locked" if isinstance(error, Locked) else CODES.get(error.errno, CODES[None])
    return {"msg": message, "hint": hint, "code": code}


def explain(error):
    """Return one sentence for an OSError and what to do about it, as (message, hint)."""
    path = error.filename or ""
    if isinstance(error, Locked):
        return str(error), error.hint
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full{f' at {path}' if path else ''}.", "Free some space there and run it again."
    if error.errno in (errno.ELOOP, errno.EISDIR):
        return f"{path or 'A file'} is not a plain file.", "Move it out of the way and run it again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path or 'A folder'} may not be used by this user.", "Choose a folder of your own, or use sudo."
    return f"{error}.", ""

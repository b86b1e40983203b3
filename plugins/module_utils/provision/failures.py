"""How modules report errors."""

from __future__ import annotations

import errno
import os
import re
import shutil

from .file_lock import Locked

CODES = {
    errno.ENOSPC: "disk-full", errno.EDQUOT: "disk-full", errno.EROFS: "read-only", errno.EACCES: "not-permitted",
    errno.EPERM: "not-permitted", None: "system-error",
}  # fmt: skip


class Problem(Exception):
    """An error with a message and a hint for people, and a code for programs."""

    code = ""

    def __init__(self, message, hint="", code=""):
        super().__init__(message)
        self.message, self.hint, self.code = message, hint, code or self.code


def failure(error):
    """Return the arguments of ``fail_json`` for a Problem or an OSError."""
    if isinstance(error, Problem):
        return {"msg": error.message, "hint": error.hint, "code": error.code}
    error = _one(error)
    message, hint = explain(error)
    code = "locked" if isinstance(error, Locked) else CODES.get(error.errno, CODES[None])
    return {"msg": message, "hint": hint, "code": code}


def explain(error):
    """Return (message, hint) for an OSError."""
    error = _one(error)
    path = error.filename or ""
    if isinstance(error, Locked):
        return str(error), error.hint
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full{f' at {path}' if path else ''}.", "Free some space there and run it again."
    if error.errno in (errno.ELOOP, errno.EISDIR):
        return f"{path or 'A file'} is not a regular file.", "Move it out of the way and run it again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"You have no permission to use {path or 'a folder'}.", "Choose a folder of your own, or use sudo."
    return f"{error}.", ""


def _one(error):
    """Return an OSError, of those that shutil.copytree has collected as texts the first."""
    if not isinstance(error, shutil.Error) or not isinstance(error.args[0], list):
        return error
    text = str(error.args[0][0][2])
    number = re.match(r"\[Errno (\d+)\]", text)
    return OSError(int(number[1]), os.strerror(int(number[1])), error.args[0][0][1]) if number else OSError(text)

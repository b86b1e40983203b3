"""Standard streams that are closed, full or no longer read."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


@contextlib.contextmanager
def tolerated() -> Iterator[None]:
    """Keep commands from failing because a standard stream is closed or standard error cannot be written."""
    _open_what_is_closed()
    said, sys.stderr = sys.stderr, _Tolerant(sys.stderr)
    try:
        yield
    finally:
        sys.stderr = said
        drain(said, 2)


def drain(stream: TextIO, number: int) -> None:
    """Redirect a stream that cannot be written to /dev/null: Python flushes it on exit, and would fail with 120."""
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError):  # a replacement that is not a file
            if stream.fileno() == number:
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def failed_to_print(error: Exception) -> bool:
    """Return whether an error comes from printing, which names no file: a closed pipe, or a full disk behind it."""
    numbers = (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF)
    return isinstance(error, OSError) and error.filename is None and error.errno in numbers


class _Tolerant:
    """Standard error that may be lost: a full disk or a reader that has gone must not cost the result."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _open_what_is_closed() -> None:
    """Connect standard streams that the caller has closed to /dev/null."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)  # otherwise the next file that is opened would take its place
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: PTH123, SIM115

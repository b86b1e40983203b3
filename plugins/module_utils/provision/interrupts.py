"""Signals that would end us, and commands that end with us."""

from __future__ import annotations

import signal
import subprocess
import threading
from contextlib import contextmanager

_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@contextmanager
def handled(handler):
    """Give the signals that would end us to a handler while the block runs."""
    # Only the main thread may do this, and it alone is interrupted; a notebook's cells run there.
    main = threading.current_thread() is threading.main_thread()
    # What the caller ignores, such as SIGHUP under nohup, stays ignored.
    taken = [number for number in _ENDING if main and signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, handler) for number in taken}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def held():
    """Hold these signals back while the block runs; give the list of those that have come."""
    came = []
    try:
        with handled(lambda number, _frame: came.append(number)):
            yield came
    finally:
        for number in came[:1]:
            signal.raise_signal(number)


@contextmanager
def command(argv, end, **options):
    """Start a command in a session of its own, its errors among its output; `end` it if the block is interrupted."""
    process = None
    try:
        with held():  # an interrupt before there is a process to end would leave it running
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True, **options
            )
        yield process
    except BaseException:
        if process:
            end(process)
        raise

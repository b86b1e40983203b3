"""Work that is killed before any of its steps."""

import os
import signal
import sys

# What the system is asked for when a name in a folder changes (table of audit events in Python's documentation).
NAMES_CHANGE = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink")


def ended_at(step, work, steps=NAMES_CHANGE):
    """Do something in a process that kills itself before that step; tell whether it came to its end before."""
    child = os.fork()
    if child == 0:
        left = list(range(step))

        def count(event, _):
            if event in steps:
                left.pop()
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code == 0

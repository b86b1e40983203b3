"""Starts ansible-playbook so that it ends with its parent; run as a program, never imported.

``python -IS launcher.py PARENT PROGRAM [ARGUMENT ...]`` becomes the program. The kernel interrupts it when the process
PARENT dies, even of SIGKILL: otherwise it would carry on compiling for nobody.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2); it survives exec


def main():
    """Become the program."""
    parent, *command = sys.argv[1:]
    # One that inherits an ignored interrupt could not be stopped by anybody.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT))
    if os.getppid() != int(parent):  # it died before that
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()

"""Ctrl-C while the command is still starting."""

from __future__ import annotations

import signal
import subprocess
import sys

# Interrupts itself when the given module is about to be imported, as a person does who has typed too fast.
EARLY = """
import os, signal, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Watch())
from provision.__main__ import main
sys.exit(main())
"""


def test_ctrl_c_while_it_starts_is_one_line_and_no_traceback() -> None:
    for module in ("provision.cli.main", "provision.cli.roles", "provision.engine.catalog"):
        done = subprocess.run([sys.executable, "-c", EARLY, module], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "Interrupted.\n")

"""The progress of a long step, written to a file."""

from __future__ import annotations

import atexit
import os
import time
from contextlib import suppress

from .files import write_json

# Where the progress is that another machine follows (plugins/action/mrtrix3_build.py): nobody else deletes it.
_MEMORY = "/dev/shm"


def teller(path, unit):
    """Return a function that writes progress, such as (3, 401, "core/app.o", 0.01), to a file if one is given."""
    last = [0.0]
    if path and os.path.dirname(path) == _MEMORY:
        atexit.register(_delete, path)

    def tell(number, total, what="", share=None):
        # Quick build steps come many at once; four updates a second are enough for a person.
        now = time.monotonic()
        if now - last[0] < 0.25 and number != total:
            return
        last[0] = now
        with suppress(OSError):  # nobody watches any more; the work continues
            write_json(path, {"number": number, "total": total, "unit": unit, "what": what, "share": share})

    return tell if path and os.path.isdir(os.path.dirname(path)) else lambda *_: None


def _delete(path):
    with suppress(OSError):
        os.unlink(path)

"""How far a long step of a module is, told through a file."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from .files import write_json


def teller(path, unit):
    """Return a function that writes how far a step is, such as (3, 401, "core/app.o", 0.01), to a file, if any."""
    last = [0.0]

    def tell(number, total, what="", share=None):
        # A build prints many steps at once when they are quick; four times a second is enough for a person.
        now = time.monotonic()
        if now - last[0] < 0.25 and number != total:
            return
        last[0] = now
        with suppress(OSError):  # whoever watched has gone; that is no reason to stop the work
            write_json(path, {"number": number, "total": total, "unit": unit, "what": what, "share": share})

    return tell if path and os.path.isdir(os.path.dirname(path)) else lambda *_: None

"""What the roles have noted on this machine."""

from __future__ import annotations

import os

from . import places
from .reading import read_json


def read_state(role):
    """Return what a role noted when it last ended, an empty dict when it never did."""
    return read_json(os.path.join(places.state_folder(), role + ".json"))

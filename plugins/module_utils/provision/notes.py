"""What the roles have noted on this machine."""

from __future__ import annotations

import os

from . import places
from .reading import names_in, read_json


def read_state(role):
    """Return what a role noted when it last ended, an empty dict when it never did."""
    return read_json(os.path.join(places.state_folder(), role + ".json"))


def all_states():
    """Return what each role noted, by its name; of those that have ended at least once."""
    roles = sorted(name[: -len(".json")] for name in names_in(places.state_folder()) if name.endswith(".json"))
    return {role: state for role, state in ((role, read_state(role)) for role in roles) if state.get("report")}

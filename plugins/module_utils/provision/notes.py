"""The notes of the roles on this machine."""

from __future__ import annotations

import os

from . import places
from .reading import names_in, read_json


def read_state(role):
    """Return a role's note, an empty dict if it has none."""
    return read_json(os.path.join(places.state_folder(), role + ".json"))


def all_states():
    """Return the notes by role, of all roles that have finished at least once."""
    roles = sorted(name[: -len(".json")] for name in names_in(places.state_folder()) if name.endswith(".json"))
    return {role: state for role, state in ((role, read_state(role)) for role in roles) if state.get("report")}

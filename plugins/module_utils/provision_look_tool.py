"""What the roles that install a tool in a prefix look for alike: a part of the probe, read-only.

It is sent to the target with provision_checks; see there.
"""

from __future__ import annotations

import os
import shutil

from .provision_checks import (
    RECEIPT,
    default_link_dir,
    default_prefix,
    prefix_problem,
    read_state,
    store_folder,
    store_problem,
    store_warning,
    writable,
)
from .provision_look_deps import absent_report, installed_for


def look_at_tool(tool, wanted, machine, drift_of):
    """Return what is installed of a tool, what has drifted, and what every way to install it needs to know.

    ``drift_of`` is given what the role noted, and says in words how that differs from what is wanted; empty for not at
    all.
    """
    state = read_state(tool)
    prefix = default_prefix(wanted["prefix"], machine, tool)
    result = {
        "prefix": prefix,
        "link_dir": default_link_dir(wanted["link_dir"], machine),
        "report": state.get("report", {}),
    }
    if wanted["state"] == "absent":
        own = os.path.exists(os.path.join(prefix, RECEIPT))
        # A run that was cut off may have installed packages and nothing else.
        there = state or own or installed_for(tool)
        report = absent_report(tool, wanted, prefix=prefix if own else "")
        return dict(result, converged=not there, report=report)
    drift = drift_of(state)
    if not drift:
        return dict(result, converged=True)
    store = store_folder(wanted["store"], wanted["folder"], machine)
    problem = store_problem(store) if store else ""
    return dict(
        result,
        converged=False,
        drift=drift,
        store=store,
        store_there=os.path.isdir(store),
        store_problem=problem,
        store_warning=store_warning(wanted["store"], store, problem),
        prefix_problem=prefix_problem(prefix),
        prefix_writable=writable(prefix),
        git=bool(shutil.which("git")),
    )

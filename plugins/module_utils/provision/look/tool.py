"""What the roles that install a tool in a prefix look for alike: a part of the probe, read-only."""

from __future__ import annotations

import os
import shutil

from ..disk import disk_problem, writable
from ..notes import read_state
from ..places import default_link_dir, default_prefix, state_folder, store_folder
from ..store.folder import store_problem, store_warning
from ..tool.path import broken_links, path_problem
from ..tool.prefix import is_ours, leftovers, prefix_problem
from .deps import absent_report, installed_for


def is_own(state):
    """Tell whether what a role noted is an installation of its own, and not one that it found."""
    return state.get("report", {}).get("origin") not in (None, "present", "package")


def place_of(tool, wanted, state, machine):
    """Return (prefix, folder of links) that are wanted: where no other is named, an installation stays where it is."""
    prefix, link_dir = wanted["prefix"], wanted["link_dir"]
    if is_own(state) and is_ours(state["report"].get("prefix", "")):
        prefix = state["report"]["prefix"] if prefix == "auto" else prefix
        link_dir = (state.get("link_dir") or "none") if link_dir == "auto" else link_dir
    return default_prefix(prefix, machine, tool), default_link_dir(link_dir, machine)


def place_drift(state, prefix, link_dir):
    """Return in words what is not where it is wanted; empty for nothing."""
    report = state["report"]
    if report["prefix"] != prefix:
        return f"it is in {report['prefix']}"
    if link_dir != state.get("link_dir", ""):
        return f"its links are in {state.get('link_dir') or 'no folder'}"
    if link_dir and broken_links(link_dir, state.get("commands", []), report["bin"]):
        return f"links are missing in {link_dir}"
    return ""


def refusal_of(tool, prefix, link_dir):
    """Return why nothing can be installed in a place, as two sentences, what is wrong and what to do; else nothing."""
    problem = prefix_problem(prefix)
    if problem:
        return [f"The prefix {prefix} {problem}.", f"Choose another folder: {tool}_prefix."]
    parent = os.path.dirname(os.path.realpath(prefix))  # it is put together beside its place
    if not writable(parent):
        return [
            f"You may not write to {parent}, the folder of the prefix {prefix}.",
            f"Choose a prefix in a folder of your own ({tool}_prefix), or use sudo.",
        ]
    if link_dir and not writable(link_dir):
        return [
            f"You may not write to {link_dir}, where the commands would be linked.",
            f"Choose another folder ({tool}_link_dir; none makes no links), or use sudo.",
        ]
    if not writable(state_folder()):
        return [
            f"You may not write to {state_folder()}, where it is noted what is installed.",
            "Make that folder writable for this user.",
        ]
    return []


def notes_of(report, state):
    """Return what somebody should know of an installation that works, as ``{"notes": [...]}``, or nothing."""
    problem = path_problem(report, state)
    return {"notes": [problem]} if problem else {}


def look_at_tool(tool, wanted, machine, drift_of):
    """Return what is installed of a tool, what has drifted, and what every way to install it needs to know.

    ``drift_of`` is given what the role noted, and says in words how that differs from what is wanted, but for its
    place; empty for not at all.
    """
    state = read_state(tool)
    prefix, link_dir = place_of(tool, wanted, state, machine)
    result = {"prefix": prefix, "link_dir": link_dir, "report": state.get("report", {})}
    if wanted["state"] == "absent":
        own = is_ours(prefix)
        # A run that was cut off may have installed packages and nothing else, or left what it had begun.
        there = state or own or installed_for(tool) or leftovers(prefix)
        return dict(result, converged=not there, report=absent_report(tool, wanted, prefix=prefix if own else ""))
    drift = drift_of(state) or ("an installation was cut off" if state.get("pending") else "")
    misplaced = place_drift(state, prefix, link_dir) if is_own(state) else ""
    if not (drift or misplaced):
        # In a notebook's kernel, the run itself sees to it that what is in a prefix of its own is found.
        notes = notes_of(result["report"], state) if wanted.get("shell", True) or not is_own(state) else {}
        return dict(result, report={**result["report"], **notes}, **_keeping(wanted, state, machine))
    store = store_folder(wanted.get("store", "none"), wanted["folder"], machine)
    problem = store_problem(store) if store else ""
    return dict(
        result,
        converged=False,
        drift=drift or misplaced,
        movable=not drift,
        store=store,
        store_there=os.path.isdir(store),
        store_problem=problem,
        store_warning=store_warning(wanted.get("store", "none"), store, problem),
        refusal=refusal_of(tool, prefix, link_dir),
        cache_problem=disk_problem(machine["cache"]),
        git=bool(shutil.which("git")),
    )


def _keeping(wanted, state, machine):
    """Return what is due of an installation that is as wanted: at most its build has to be kept in the store.

    A run may have been cut off before that. Where the store itself had a problem, it is tried again once that is gone.
    """
    report = state["report"]
    if report["origin"] == "source" and not report.get("archive"):
        store = store_folder(wanted.get("store", "none"), wanted.get("folder", ""), machine)
        is_due = store and os.path.exists(os.path.join(report["prefix"], "manifest.json")) and not store_problem(store)
        if is_due and state.get("not_kept") != {"store": store, "problem": ""}:
            drift = f"its build is not in the store {store} yet"
            return {"converged": False, "drift": drift, "unkept": True, "store": store}
    return {"converged": True}

"""What the roles that install a tool in a prefix look for alike: a part of the probe, read-only."""

from __future__ import annotations

import os
import re
import shutil

from ..disk import disk_code, disk_problem, writable
from ..notes import read_state
from ..places import absolute, default_link_dir, default_prefix, state_folder, store_folder
from ..store.folder import store_problem, store_warning
from ..system import sudo_works
from ..tool.environment import environment_problem
from ..tool.path import broken_links, foreign_command, path_problem
from ..tool.prefix import is_ours, leftovers, prefix_problem
from ..versions import satisfies
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
    """Return why nothing can be installed in a place: what is wrong, what to do, and a code; else nothing."""
    problem = prefix_problem(prefix)
    if problem:
        code = disk_code(os.path.dirname(os.path.realpath(prefix))) or "prefix"
        return [f"The prefix {prefix} {problem}.", f"Choose another folder: {tool}_prefix.", code]
    parent = os.path.dirname(os.path.realpath(prefix))  # it is put together beside its place
    if not writable(parent):
        return [
            f"You may not write to {parent}, the folder of the prefix {prefix}.",
            f"Choose a prefix in a folder of your own ({tool}_prefix), or use sudo.",
            "not-permitted",
        ]
    if link_dir and not writable(link_dir):
        return [
            f"You may not write to {link_dir}, where the commands would be linked.",
            f"Choose another folder ({tool}_link_dir; none makes no links), or use sudo.",
            "not-permitted",
        ]
    if not writable(state_folder()):
        return [
            f"You may not write to {state_folder()}, where it is noted what is installed.",
            "Make that folder writable for this user.",
            "not-permitted",
        ]
    return []


def notes_of(name, report, state):
    """Return what somebody should know of an installation that works, as ``{"notes": [...]}``, or nothing."""
    problems = [path_problem(report, state), environment_problem(name, report.get("environment", {}))]
    return {"notes": list(filter(None, problems))} if any(problems) else {}


def look_at_tool(wanted, machine, differs, version_in, more=dict):
    """Return what is installed of a tool, what has drifted, and what every way to install it needs to know."""
    name = wanted["name"]
    state = read_state(name)
    prefix, link_dir = place_of(name, wanted, state, machine)
    result = {"prefix": prefix, "link_dir": link_dir, "report": state.get("report", {})}
    if wanted["state"] == "absent":
        own = is_ours(prefix)
        # A run that was cut off may have installed packages and nothing else, or left what it had begun.
        there = state or own or installed_for(name) or leftovers(prefix)
        return dict(result, converged=not there, report=absent_report(name, wanted, prefix=prefix if own else ""))
    drift = _drift(wanted, state, differs, version_in) or (
        "an installation was cut off" if state.get("pending") else ""
    )
    misplaced = place_drift(state, prefix, link_dir) if is_own(state) else ""
    if not (drift or misplaced):
        # In a notebook's kernel, the run itself sees to it that what is in a prefix of its own is found.
        notes = notes_of(name, result["report"], state) if wanted.get("shell", True) or not is_own(state) else {}
        return dict(result, report={**result["report"], **notes}, **_keeping(wanted, state, machine))
    origins = tried(wanted)
    result.update(
        converged=False,
        drift=drift or misplaced,
        movable=not drift,
        archive=absolute(wanted.get("archive", {}).get("url", ""), wanted["folder"], machine),
        git=bool(shutil.which("git")),
        present=_foreign(wanted, version_in) if "present" in origins else {},
        sudo=machine["root"] or ("package" in origins and sudo_works()),
        **_store(wanted, machine),
        **_aim(wanted, state),
        **more(),
    )
    return dict(result, refusal=_refusal(wanted, result), unfit=_unfit(wanted, result, machine))


def tried(wanted):
    """Return the origins that are tried for what is wanted, in their order."""
    asked = wanted.get("origin", "auto")
    return wanted["origins"] if asked == "auto" else [asked]


def _drift(wanted, state, differs, version_in):
    """Return in words how what the role noted differs from what is wanted, but for its place."""
    report = state.get("report")
    if not report:
        return "nothing is installed"
    if not satisfies(state.get("version", ""), wanted["version"], wanted.get("release", "")):
        return f"version {state.get('version')} is installed"
    if wanted.get("origin", "auto") not in ("auto", report["origin"]):
        return f"it came from {report['origin']}"
    sha256 = wanted.get("archive", {}).get("sha256", "").lower()
    if sha256 and report["origin"] == "archive" and state.get("archive_sha256") != sha256:
        return "it came from another archive"
    difference = differs(wanted, state) if is_own(state) else ""
    if difference:
        return difference
    runs = version_in(report["bin"], report["origin"] == "present")
    return "" if runs else f"the commands in {report['bin']} do not run"


def _aim(wanted, state):
    """Return the version to install: the one wanted, and not an older one than is there already."""
    release = wanted.get("release", "")
    version = release if wanted["version"] == "auto" else wanted["version"]
    keeps = is_own(state) and wanted.get("origin", "auto") == "auto" and wanted["version"] in ("auto", "any")
    if keeps and not wanted.get("archive", {}).get("url") and satisfies(state["version"], wanted["version"], release):
        version = state["version"]  # to mend an installation is not to replace it with an older one
    return {"version": version}


def _store(wanted, machine):
    """Return what is known of the store of builds."""
    asked = wanted.get("store", "none")
    store = store_folder(asked, wanted["folder"], machine)
    problem = store_problem(store) if store else ""
    there, warning = os.path.isdir(store), store_warning(asked, store, problem)
    return {"store": store, "store_there": there, "store_problem": problem, "store_warning": warning}


def _refusal(wanted, found):
    """Return why what is wanted cannot be done, as `refusal_of` does; an empty list when it can."""
    name, archive = wanted["name"], wanted.get("archive", {})
    url, sha256, origins = archive.get("url", ""), archive.get("sha256", ""), tried(wanted)
    if set(origins) - {"present", "package"}:
        refusal = refusal_of(name, found["prefix"], found["link_dir"])
        if refusal:
            return refusal
    if found["movable"]:
        return []
    if url and not re.fullmatch("[0-9A-Fa-f]{64}", sha256):
        return [
            f"{name}_archive_sha256 must be the 64 hexadecimal digits of the archive's SHA-256, not {sha256!r}.",
            f"Whoever made {url} can tell it: sha256sum {os.path.basename(url)}.",
            "usage",
        ]
    if not url and origins == ["archive"]:
        hint = f"Give the URL or path of an archive and its {name}_archive_sha256."
        return [f"{name}_archive is empty.", hint, "usage"]
    return []


def _foreign(wanted, version_in):
    """Return the folder and the version of a tool on PATH that is not ours; nothing when there is none."""
    folder = os.path.dirname(foreign_command(wanted["tells"]["command"][0]))
    return {"bin": folder, "version": version_in(folder, True)} if folder else {}


def _unfit(wanted, found, machine):
    """Return {origin: why it cannot give what is wanted}, as far as that is known without trying; the others may."""
    problem, present = disk_problem(machine["cache"]), found["present"]
    if not present:
        no_present = "there is none on PATH"
    elif not present["version"]:
        no_present = f"{present['bin']} does not run"
    else:
        fits = satisfies(present["version"], found["version"])
        no_present = "" if fits else f"{present['bin']} is {present['version']}"
    no_store = "" if found["store_there"] else found["store_problem"] or f"there is no {found['store']}"
    may = found["sudo"] or wanted["can_become"]
    why = {
        "present": no_present,
        "store": no_store if found["store"] else "no store is wanted",
        "archive": "" if found["archive"] else "none was given",
        "package": "" if may else "only an administrator can install it, and sudo asks for a password",
        "source": f"the folder for sources, {machine['cache']}, {problem}; XDG_CACHE_HOME names another"
        if problem
        else "",
    }
    return {origin: why[origin] for origin in tried(wanted) if why[origin]}


def _keeping(wanted, state, machine):
    """Return what is due of an installation that is as wanted: at most its build has to be kept in the store."""
    # A run may have been cut off before that. After a problem of the store itself, it is tried again once that is gone.
    report = state["report"]
    if report["origin"] == "source" and not report.get("archive"):
        store = store_folder(wanted.get("store", "none"), wanted.get("folder", ""), machine)
        is_due = store and os.path.exists(os.path.join(report["prefix"], "manifest.json")) and not store_problem(store)
        if is_due and state.get("not_kept") != {"store": store, "problem": ""}:
            drift = f"its build is not in the store {store} yet"
            return {"converged": False, "drift": drift, "unkept": True, "store": store}
    return {"converged": True}

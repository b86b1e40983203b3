"""The checks that all roles of tools share: a read-only part of the probe."""

from __future__ import annotations

import json
import os
import re
import shutil

from ..conda.lock import FILE, PLATFORMS, LockError, read_lock
from ..cpu import LEVELS
from ..disk import disk_code, disk_problem, folder_problem, writable
from ..notes import read_state
from ..places import absolute, default_link_dir, default_prefix, state_folder, store_folder, unknown_user
from ..store.folder import store_problem, store_warning
from ..system import sudo_works
from ..tool.environment import environment_problem
from ..tool.path import foreign_command, missing_links, path_problem
from ..tool.prefix import is_ours, leftovers, prefix_problem
from ..versions import satisfies
from .deps import absent_report, installed_for


def is_own(state):
    """Return whether a role's note describes its own installation, rather than one that it found."""
    return state.get("report", {}).get("origin") not in (None, "present", "package")


def place_of(tool, wanted, state, machine):
    """Return the (prefix, link folder) that are wanted; by default an installation stays where it is."""
    prefix, link_dir = wanted["prefix"], wanted["link_dir"]
    if is_own(state) and is_ours(state["report"].get("prefix", ""), tool):
        prefix = state["report"]["prefix"] if prefix == "auto" else prefix
        link_dir = (state.get("link_dir") or "none") if link_dir == "auto" else link_dir
    folder = wanted.get("folder", "")
    return default_prefix(prefix, folder, machine, tool), default_link_dir(link_dir, folder, machine)


def place_drift(state, prefix, link_dir):
    """Return in words what is not in its place; empty if all is."""
    report = state["report"]
    if report["prefix"] != prefix:
        return f"it is in {report['prefix']}"
    if link_dir != state.get("link_dir", ""):
        return f"its links are in {state.get('link_dir') or 'no folder'}"
    return _lost_links(state)


def _lost_links(state):
    """Return in words that links to the commands are missing; empty if none is."""
    link_dir = state.get("link_dir")
    lost = missing_links(link_dir, state.get("commands", [])) if link_dir else []
    return f"links are missing in {link_dir}" if lost else ""


def refusal_of(tool, prefix, link_dir):
    """Return [problem, hint, code] if nothing can be installed there; an empty list if it can."""
    if not prefix:
        return ["The prefix is an empty text.", f"Name a folder: {tool}_prefix.", "prefix"]
    problem = prefix_problem(prefix, tool)
    if problem:
        code = disk_code(os.path.dirname(os.path.realpath(prefix))) or "prefix"
        return [f"The prefix {prefix} {problem}.", f"Choose another folder: {tool}_prefix.", code]
    parent = os.path.dirname(os.path.realpath(prefix))  # installations are prepared beside their place
    if not writable(parent):
        return [
            f"You have no permission to write to {parent}, the parent folder of the prefix {prefix}.",
            f"Choose a folder of your own ({tool}_prefix), or use sudo.",
            "not-permitted",
        ]
    problem = folder_problem(link_dir) if link_dir else ""
    if problem:
        hint = f"Choose another folder ({tool}_link_dir), or none for no links."
        return [f"The folder for links, {link_dir}, {problem}.", hint, "prefix"]
    if link_dir and not writable(link_dir):
        return [
            f"You have no permission to write to {link_dir}, where the commands would be linked.",
            f"Choose another folder ({tool}_link_dir, or none for no links), or use sudo.",
            "not-permitted",
        ]
    if not writable(state_folder()):
        return [
            f"You have no permission to write to {state_folder()}, which records what is installed.",
            "Make that folder writable for this user.",
            "not-permitted",
        ]
    return []


def notes_of(name, report, state):
    """Return ``{"notes": [...]}`` with what users should know about a working installation, or {}."""
    problems = [path_problem(report, state), environment_problem(name, report.get("environment", {}))]
    return {"notes": list(filter(None, problems))} if any(problems) else {}


def read_lock_here(wanted):
    """Return what is wanted with a summary of its lock; see `look.read_here`."""
    wanted = dict(wanted)
    given, here, files = wanted["conda"].get("lock", ""), wanted.pop("here"), wanted.pop("files")
    own = os.path.join(files, wanted["conda"].get("file", FILE))
    path = os.path.join(here, os.path.expanduser(given)) if given else own
    found = {"path": path, "given": bool(given)}
    try:
        with open(path, encoding="utf-8") as file:
            lock = read_lock(json.load(file))
        found.update(tool=lock.tool, version=lock.version, platform=lock.platform, cpu=lock.cpu, digest=lock.digest)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not JSON"
        found.update(problem=[f"The lock {path} cannot be read: {why}.", "Check the path.", "bad-lock"])
    except LockError as error:
        found.update(problem=[f"{path}: {error.message}", error.hint, error.code])
    return dict(wanted, conda={**wanted["conda"], **found})


def look_at_tool(wanted, machine, differs, version_in, more=dict):
    """Return the state of a tool, what has drifted, and what every origin needs to know."""
    name = wanted["name"]
    state = read_state(name)
    prefix, link_dir = place_of(name, wanted, state, machine)
    result = {"prefix": prefix, "link_dir": link_dir, "report": state.get("report", {})}
    if wanted["state"] == "absent":
        own = is_ours(prefix, name)
        # An interrupted run may have installed only packages, or left unfinished folders.
        there = state or own or installed_for(name) or leftovers(prefix)
        return dict(result, converged=not there, report=absent_report(name, wanted, prefix=prefix if own else ""))
    drift = _drift(wanted, state, differs, version_in) or (
        "an installation was interrupted" if state.get("pending") else ""
    )
    misplaced = place_drift(state, prefix, link_dir) if is_own(state) else _lost_links(state)
    if not (drift or misplaced):
        # In a notebook's kernel, the run itself makes sure that the commands are found.
        notes = notes_of(name, result["report"], state) if wanted.get("shell", True) or not is_own(state) else {}
        return dict(result, report={**result["report"], **notes}, **_keeping(wanted, state, machine))
    origins = tried(wanted)
    result.update(
        converged=False,
        drift=drift or misplaced,
        # The packages of conda know their place.
        movable=not drift and state["report"]["origin"] != "conda",
        lock=wanted.get("conda", {}).get("path", ""),
        archive=absolute(wanted.get("archive", {}).get("url", ""), wanted["folder"], machine),
        archive_here=wanted.get("archive", {}).get("here", ""),  # on the controller, to be sent
        git=bool(shutil.which("git")),
        present=_foreign(wanted, version_in) if "present" in origins else {},
        sudo=machine["root"] or ("package" in origins and sudo_works()),
        **_store(wanted, machine),
        **_aim(wanted, state),
        **more(),
    )
    unfit = _unfit(wanted, result, machine)
    return dict(result, refusal=_refusal(wanted, result), unfit=unfit, needs=_needs(wanted, result, unfit))


def _needs(wanted, found, unfit):
    """Return the ``groups`` and ``extra`` packages of the first origin that installs any, {} if none will be tried."""
    if found["movable"]:
        return {}
    # An archive from a store includes its libraries.
    of_archive = {} if found["archive"].endswith(".tar.zst") else {
        "groups": wanted.get("groups", []), "extra": wanted.get("packages", [])
    }  # fmt: skip
    needs = {"archive": of_archive, "package": wanted.get("package", {}), "source": wanted.get("needs", {})}
    return next((needs[origin] for origin in tried(wanted) if origin in needs and origin not in unfit), {})


def tried(wanted):
    """Return the origins to try, in order."""
    asked = wanted.get("origin", "auto")
    return wanted["origins"] if asked == "auto" else [asked]


def _drift(wanted, state, differs, version_in):
    """Return in words how the installation differs from what is wanted, apart from its place."""
    report = state.get("report")
    if not report:
        return "it is not installed"
    if not satisfies(state.get("version", ""), wanted["version"], wanted.get("release", "")):
        return f"version {state.get('version')} is installed"
    # The build of another host counts as one of this host's own.
    if wanted.get("origin", "auto") not in ("auto", report["origin"], state.get("instead_of")):
        return f"it came from {report['origin']}"
    sha256 = wanted.get("archive", {}).get("sha256", "").lower()
    if sha256 and report["origin"] == "archive" and state.get("archive_sha256") != sha256:
        return "it came from another archive"
    conda = wanted.get("conda", {})
    if report["origin"] == "conda" and _is_of_another_lock(conda, state):
        return "it came from another lock"
    difference = differs(wanted, state) if is_own(state) else ""
    if difference:
        return difference
    runs = version_in(report["bin"], report["origin"] == "present")
    return "" if runs else f"the commands in {report['bin']} do not run"


def _is_of_another_lock(conda, state):
    """Return whether an installation came from another lock of the user's, or of the role's than is wanted now."""
    if conda.get("given"):
        return state.get("lock") != conda.get("digest")
    name = os.path.basename(conda["path"]) if conda else ""
    return state.get("lock_file", name) != name


def _aim(wanted, state):
    """Return the version to install: the one wanted, but never an older one than is installed."""
    release = wanted.get("release", "")
    version = release if wanted["version"] == "auto" else wanted["version"]
    keeps = is_own(state) and wanted.get("origin", "auto") == "auto" and wanted["version"] in ("auto", "any")
    if keeps and not wanted.get("archive", {}).get("url") and satisfies(state["version"], wanted["version"], release):
        version = state["version"]  # repairing an installation must not downgrade it
    return {"version": version}


def _store(wanted, machine):
    """Return the facts about the store."""
    asked = wanted.get("store", "none")
    store = store_folder(asked, wanted["folder"], machine)
    problem = store_problem(store) if store else ""
    there, warning = os.path.isdir(store), store_warning(asked, store, problem)
    return {"store": store, "store_there": there, "store_problem": problem, "store_warning": warning}


def _refusal(wanted, found):
    """Return [problem, hint, code] if what is wanted cannot be done; an empty list if it can."""
    name, archive = wanted["name"], wanted.get("archive", {})
    for option, path in _folders(wanted).items():
        if unknown_user(path):
            problem = f"There is no user {unknown_user(path)}, whom {option} ({path}) names."
            return [problem, "Give the path of the folder.", "no-user"]
    url, sha256, origins = archive.get("url", ""), archive.get("sha256", ""), tried(wanted)
    if set(origins) - {"present", "package"}:
        refusal = refusal_of(name, found["prefix"], found["link_dir"])
        if refusal:
            return refusal
    if found["movable"]:
        return []
    if url and not re.fullmatch("[0-9A-Fa-f]{64}", sha256):
        return [
            f"{name}_archive_sha256 must be the archive's SHA-256 (64 hexadecimal digits), not {sha256!r}.",
            f"Get it from the maker of {url}: sha256sum {os.path.basename(url)}.",
            "usage",
        ]
    licence = wanted.get("licence")
    if licence and licence["accepts"] not in (licence["given"], read_state(name).get("licence")):
        return [
            f"{licence['terms']}.",
            f"If that is how you use it, set {licence['option']}: {licence['accepts']}.",
            "licence",
        ]
    lock_problem = wanted.get("conda", {}).get("problem")
    if lock_problem and (wanted["conda"]["given"] or origins == ["conda"]):
        return lock_problem
    if not url and origins == ["archive"]:
        hint = f"Set it to the URL or path of an archive, and {name}_archive_sha256 to its SHA-256."
        return [f"{name}_archive is empty.", hint, "usage"]
    return []


def _folders(wanted):
    """Return the folders that a run may make, by option."""
    name, store = wanted["name"], wanted.get("store", "none")
    return {f"{name}_prefix": wanted["prefix"], f"{name}_link_dir": wanted["link_dir"], "provision_store": store}


def _foreign(wanted, version_in):
    """Return the folder and version of a tool on PATH that we did not install; {} if there is none."""
    command = wanted["tells"]["command"][0] if wanted.get("tells") else wanted["required"][0]
    folder = os.path.dirname(foreign_command(command))
    return {"bin": folder, "version": version_in(folder, True)} if folder else {}


def _unfit(wanted, found, machine):
    """Return {origin: why it cannot provide what is wanted}, as far as that is known without trying."""
    problem, present = disk_problem(machine["cache"]), found["present"]
    if not present:
        no_present = "it is not on PATH"
    elif not present["version"]:
        no_present = f"the commands in {present['bin']} do not run"
    elif _off_path(wanted):
        no_present = f"{_off_path(wanted)} is not on PATH"
    else:
        fits = satisfies(present["version"], found["version"])
        no_present = "" if fits else f"{present['bin']} has {present['version']}"
    no_store = "" if found["store_there"] else found["store_problem"] or f"there is no {found['store']}"
    may = found["sudo"] or wanted["can_become"]
    why = {
        "present": no_present,
        "store": no_store if found["store"] else "the store is turned off",
        "archive": "" if found["archive"] else "no archive was given",
        "conda": _no_conda(wanted, found, machine) if "conda" in wanted else "it has no conda packages",
        "wheel": _no_wheel(wanted.get("wheel", {}), found, machine),
        "package": "" if may else "installing packages needs an administrator",
        "source": f"the folder for sources, {machine['cache']}, {problem}; set XDG_CACHE_HOME to another"
        if problem
        else "",
    }
    return {origin: why[origin] for origin in tried(wanted) if why[origin]}


def _no_conda(wanted, found, machine):
    """Return why the packages of the lock are not what is wanted, an empty string if they are."""
    lock, platform = wanted["conda"], PLATFORMS.get(machine["arch"], machine["arch"])
    if lock.get("problem"):
        return lock["problem"][0]
    if lock["tool"] != wanted["name"]:
        return f"its lock is for {lock['tool']}"
    if lock["platform"] != platform:
        return f"its packages are for {lock['platform']}, not {platform}"
    if not satisfies(lock["version"], found["version"]):
        return f"its lock has {lock['version']}"
    if wanted.get("cpu", "auto") not in ("auto", lock["cpu"]):
        return f"its packages are compiled for {lock['cpu']}"
    if lock["cpu"] in LEVELS and machine["cpu"] in LEVELS[: LEVELS.index(lock["cpu"])]:
        return f"its packages are compiled for {lock['cpu']}, and this processor is {machine['cpu']}"
    return ""


def _no_wheel(wheel, found, machine):
    """Return why the package of PyPI is not what is wanted, an empty string if it is."""
    if not wheel:
        return "it has no package on PyPI"
    version, name = wheel["file"].split("-")[1], wheel["file"]
    if not satisfies(version, found["version"]):
        return f"its package on PyPI is {version}"
    return "" if name.endswith((f"{machine['arch']}.whl", "-any.whl")) else f"its package is not for {machine['arch']}"


def _off_path(wanted):
    """Return a command of the tool that the caller's PATH does not have, an empty string if it has all."""
    names = wanted.get("commands") or wanted.get("required") or [words[0] for words in wanted.get("tests") or []]
    return next((name for name in names if not shutil.which(name)), "")


def _keeping(wanted, state, machine):
    """Return what is due for an installation that is as wanted: at most, saving its build in the store."""
    # A run may have been interrupted before that. After a problem with the store, it is retried once that is solved.
    report = state["report"]
    if report["origin"] == "source" and not report.get("archive"):
        store = store_folder(wanted.get("store", "none"), wanted.get("folder", ""), machine)
        is_due = store and os.path.exists(os.path.join(report["prefix"], "manifest.json")) and not store_problem(store)
        if is_due and state.get("not_kept") != {"store": store, "problem": ""}:
            drift = f"its build is not in the store {store} yet"
            return {"converged": False, "drift": drift, "unkept": True, "store": store}
    return {"converged": True}

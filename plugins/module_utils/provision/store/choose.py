"""Choosing the archives of a store that fit, the best first."""

from __future__ import annotations

import os

from ..cpu import LEVELS
from ..versions import is_release, numbers, satisfies
from .errors import ITS_OWN, BadArchive, Unreadable, is_broken, unreadable
from .names import archive_path, archives, key_of
from .read import manifest_of
from .trust import check_owner


def why_not_here(manifest, machine):
    """Return in words why a build cannot run on a machine, an empty string if it can."""
    if manifest["arch"] != machine["arch"]:
        return f"it is for {manifest['arch']}, and this machine is {machine['arch']}"
    if numbers(manifest["glibc"]) > numbers(machine["glibc"]):
        return f"it needs glibc {manifest['glibc']}, and this machine has {machine['glibc'] or 'another C library'}"
    if manifest["cpu"] == "native":
        if not manifest.get("cpu_flags"):
            return "its manifest does not name its processor"
        lacking = sorted(set(manifest["cpu_flags"]) - set(machine["flags"]))
        return f"this processor lacks {', '.join(lacking[:3])}" if lacking else ""
    if _level(manifest["cpu"]) > _level(machine["cpu"]):
        return f"it is for {manifest['cpu']}, and this processor is {machine['cpu']}"
    return ""


def _level(cpu):
    return LEVELS.index(cpu) if cpu in LEVELS else -1


def why_not_wanted(manifest, wanted):
    """Return in words why a build is not the one wanted, an empty string if it is."""
    # A release is the same in every repository; `repo` matters for anything else.
    if manifest["tool"] != wanted["tool"]:
        return f"it is {manifest['tool']}"
    if not satisfies(manifest["version"], wanted["version"]):
        return f"it is version {manifest['version']}"
    if not is_release(manifest["version"]) and wanted["version"] != "any" and manifest.get("repo") != wanted["repo"]:
        return f"it was built from {manifest.get('repo') or 'another repository'}"
    if wanted.get("belongs_to") not in (None, "", manifest.get("belongs_to")):
        return f"it was built for {manifest.get('belongs_to') or 'no particular MRtrix3'}"
    if wanted["cpu"] not in ("", manifest["cpu"]):
        return f"it was compiled for {manifest['cpu'] or 'no particular processor'}"
    lacking = sorted(set(wanted["commands"]) - set(manifest["commands"]))
    if not manifest["complete"] and (lacking or not wanted["commands"]):
        return f"it lacks {', '.join(lacking[:3])}" if lacking else "it has only some of the commands"
    return ""


def _preference(manifest):
    """Return the sort key of an archive, the best last: version, processor, completeness, age."""
    version = manifest["version"]
    release = numbers(version) if is_release(version) else ()
    return release, _level(manifest["cpu"]), manifest["complete"], manifest["created"]


def candidates(store, wanted, machine, passed_over):
    """Yield (path, manifest) of the archives that fit, the best first; add to `passed_over` why the others do not."""
    # First, by name, the archive that this machine would have packed: on Drive, listing costs 0.1 s per archive.
    check_owner(store)
    tried = set()
    if wanted["version"] != "any":
        for complete in (True, False)[: 2 if wanted["commands"] else 1]:
            manifest = {
                **wanted,
                "release": machine["release"],
                "arch": machine["arch"],
                "asked": wanted["commands"],
                "cpu": wanted["cpu"] or machine["own_cpu"],
                "complete": complete,
                "cpu_flags": machine["flags"],
            }
            path = archive_path(store, key_of(manifest))
            if path not in tried and _is_there(path):
                yield from _fitting([path], wanted, machine, passed_over)
            tried.add(path)
    yield from _fitting([path for path in archives(store) if path not in tried], wanted, machine, passed_over)


def _fitting(paths, wanted, machine, passed_over):
    found = []
    for path in paths:
        try:
            manifest = manifest_of(path)
        except BadArchive as error:
            passed_over.append({"archive": path, "why": error.message, "bad": is_broken(error)})
            continue
        except Unreadable as error:
            # A name that is a folder, unreadable, or gone since the listing must not hide the others.
            if getattr(error.__cause__, "errno", 0) not in ITS_OWN:
                raise
            passed_over.append({"archive": path, "why": error.message})
            continue
        why = why_not_wanted(manifest, wanted) or why_not_here(manifest, machine)
        if why:
            passed_over.append({"archive": path, "why": why})
        else:
            found.append((path, manifest))
    yield from sorted(found, key=lambda item: _preference(item[1]), reverse=True)


def _is_there(path):
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in ITS_OWN:
            return False
        raise unreadable(path, error) from error
    return True

"""Read-only checks of what each role has installed on a machine, and what has drifted."""

# The probe sends this package to the target's Python on standard input, and gets all answers in one round trip.

from __future__ import annotations

import os
from importlib import import_module

from ..system import look_at_machine
from .deps import missing_packages
from .tool import read_lock_here

# The states in which a role may have nothing to do. All others have to be reached by running it.
KEPT_UP = ("present", "started")


def _part_of(role):
    """Return the module that checks a role, imported only when it is needed."""
    try:
        return import_module(f".{role}", __package__)
    except ModuleNotFoundError:
        return import_module(".described", __package__)  # a tool that its role describes as data


def look_of(role):
    """Return the function that checks a role, given what is wanted and the facts about the machine."""
    return _part_of(role).look_at


def now(role, report):
    """Return whether what a role installed ``works`` now, with its ``state`` and the ``problem`` where it has them."""
    return _part_of(role).now(role, report)


def completed(role, wanted, common, folder, roles):
    """Return what a role wants with what the checks of all roles need; relative paths start from the folder."""
    # Of a role that has a lock also where to find it: in the user's folder, or among the role's files.
    places = {"here": folder, "files": os.path.join(roles, role, "files")} if "conda" in wanted else {}
    return {**common, **places, **wanted}


def read_here(roles):
    """Return what is wanted of the roles, with the files that only the controller can read: keys and locks."""
    # `given_problem`, or the `problem` of a lock, says what is wrong with them.
    return {role: _reader_of(role, wanted)(wanted) for role, wanted in roles.items()}


def _reader_of(role, wanted):
    if "conda" in wanted:
        return read_lock_here
    return getattr(_part_of(role), "read_here", dict) if wanted.get("state") == "started" else dict


def look(roles):
    """Return the state of the roles: ``due`` from the first that has something to do, ``ready`` those before it."""
    machine = look_at_machine()
    answers = {name: dict(look_of(name)(wanted, machine), wanted=wanted) for name, wanted in roles.items()}
    names = list(answers)
    done = [_nothing_to_do(answer) for answer in answers.values()]
    first = done.index(False) if False in done else len(names)
    ready = {name: answers[name]["report"] for name in names[:first]}
    # Only where the packages cannot be installed, for the administrator who will do it.
    lacking = {"lacking": _lacking(answers, machine)} if answers.get("deps", {}).get("sudo") is False else {}
    return {"machine": machine, "roles": answers, "due": names[first:], "ready": ready, **lacking}


def _lacking(answers, machine):
    """Return the missing packages of all roles, as far as their needs are known before anything is installed."""
    groups = answers["deps"]["wanted"]["packages"].get(machine["release"], {})
    needs = [answer.get("needs", {}) for answer in answers.values()]
    names = {name for need in needs for name in need.get("extra", [])}
    names |= {name for need in needs for group in need.get("groups", []) for name in groups.get(group, [])}
    return missing_packages(sorted(names))


def _nothing_to_do(answer):
    # A role checks its options when it runs. While nothing has drifted they are those it was set up with, except for
    # the state: a misspelt one must not pass for `present`.
    return answer["converged"] and answer["wanted"]["state"] in KEPT_UP

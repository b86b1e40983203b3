"""What there is of each role on a machine, and what has drifted: read-only checks."""

# The probe sends this package to the target's Python on standard input and asks it everything in one round trip.

from __future__ import annotations

from importlib import import_module

from ..system import look_at_machine


def _part_of(role):
    """Return the module that looks for a role."""
    # Read when it is asked for: those who look for other roles need not wait for it.
    try:
        return import_module(f".{role}", __package__)
    except ModuleNotFoundError:
        return import_module(".described", __package__)  # as data, in the note that its role leaves


def look_of(role):
    """Return the function that looks at the machine for a role: it is given what is wanted, and the machine."""
    return _part_of(role).look_at


def now(role, report):
    """Return whether what a role has put here ``works`` now, its ``state`` if it lives on, and the ``problem``."""
    return _part_of(role).now(role, report)


def read_here(roles):
    """Return what is wanted of the roles, with what only the place where the play is run from can read."""
    # That is what people name by the path of a file there, such as keys; `given_problem` says what is wrong with it.
    return {
        role: getattr(_part_of(role), "read_here", dict)(wanted) if wanted.get("state") == "started" else wanted
        for role, wanted in roles.items()
    }


def look(roles):
    """Return what there is of the roles: ``due`` from the first with something to do on, ``ready`` those before."""
    machine = look_at_machine()
    answers = {name: dict(look_of(name)(wanted, machine), wanted=wanted) for name, wanted in roles.items()}
    names = list(answers)
    done = [_nothing_to_do(answer) for answer in answers.values()]
    first = done.index(False) if False in done else len(names)
    ready = {name: answers[name]["report"] for name in names[:first]}
    return {"machine": machine, "roles": answers, "due": names[first:], "ready": ready}


def _nothing_to_do(answer):
    # A role checks its options when it runs. As long as all is as wanted, they are those that it was set up with; but
    # for the state, and a misspelt one must not pass for being there.
    return answer["converged"] and answer["wanted"]["state"] in ("present", "started")

"""What a person gives before a run: a token and, on Google Colab, consent to a tunnel; consent to a licence."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from provision import notebook
from provision.colab import secrets
from provision.engine import catalog
from provision.engine.launch import TOKEN_VARIABLE
from provision.errors import Declined
from provision.machine import notes
from provision.machine.look import connection, ngrok

_TOKEN_PAGE = "https://dashboard.ngrok.com/get-started/your-authtoken"
# Nobody can answer; the latter is raised by the kernel of a notebook that runs without a page.
_NO_ANSWER = (EOFError, NotImplementedError)


def complete(roles: Sequence[str], variables: Mapping[str, Any], *, local: bool, check: bool) -> dict[str, Any]:
    """Return the variables of a run, completed with ngrok's token and the consent to tunnels and licences."""
    asked = [role for name, role in catalog.roles().items() if name in roles]
    if local and not check:
        variables = {**variables, **_licences(asked, variables)}
    opened = [role.name for role in asked if role.lets_in == "tunnel" and _starts(role, variables)]
    if not opened:
        return dict(variables)
    if check:  # nobody is asked now; the roles learn that a person would be
        token = _given_token(variables) if "ngrok" in opened else ""
        asks = {"provision_can_ask": True} if local and _can_ask() else {}
        return {**variables, **asks, **({"ngrok_authtoken": token} if token else {})}
    consent = _consent(opened, variables) if local else {}
    token = _token(variables, local) if "ngrok" in opened else ""
    return {**variables, **consent, **({"ngrok_authtoken": token} if token else {})}


def _licences(asked: Sequence[catalog.Role], variables: Mapping[str, Any]) -> dict[str, str]:
    """Return the licences that a person at a terminal or notebook accepts now; those accepted before are noted."""
    found = {}
    for role in asked:
        option = role.options.get(f"{role.name}_licence")
        removes = variables.get(f"{role.name}_state") == "absent"
        if not option or removes or variables.get(option.name) or not _can_ask():
            continue
        accepts = option.choices[-1]
        if notes.read_state(role.name).get("licence") == accepts:
            continue
        print(catalog.plain(option.description).partition("\n")[0], file=notebook.stream(), flush=True)
        if not _typed_yes("Type yes to confirm: "):
            raise Declined(
                f"{role.name} was not installed: its licence was not accepted.",
                hint=f"Type yes when asked, or pass licence={accepts!r}.",
            )
        found[option.name] = accepts
    return found


def _starts(role: catalog.Role, variables: Mapping[str, Any]) -> bool:
    name = f"{role.name}_state"
    return variables.get(name, role.options[name].default) == "started"


def _consent(roles: Sequence[str], variables: Mapping[str, Any]) -> dict[str, bool]:
    """Print what Google Colab's terms allow, if this is Colab, and return the consent to open tunnels anyway."""
    problem = connection.colab_policy_problem(False)
    if not problem:
        return {}
    names = [f"{role}_accept_colab_policy" for role in roles]
    print(". ".join(problem[:2]), file=notebook.stream(), flush=True)
    if not all(variables.get(name) for name in names) and not _typed_yes("Type yes to open it anyway: "):
        raise Declined(
            "No tunnel was opened: Google Colab's terms on tunnels were not accepted.",
            hint="Type yes when asked, or pass accept_colab_policy=True.",
        )
    return dict.fromkeys(names, True)


def _typed_yes(question: str) -> bool:
    if not _can_ask():
        return False
    try:
        return input(question).strip().lower() == "yes"
    except _NO_ANSWER:
        return False


def _token(variables: Mapping[str, Any], local: bool) -> str:
    """Return the token of the ngrok account; an empty string if the role already has one."""
    given = _given_token(variables)
    if given:
        return given
    kept, problem = secrets.secret(TOKEN_VARIABLE) if local else ("", "")
    if kept:
        return kept
    # An earlier one is in the agent's configuration, which only the role can read.
    if not local or ngrok.has_token():
        return ""
    if problem:
        print(problem, file=notebook.stream(), flush=True)
    return _asked_for_token()


def _given_token(variables: Mapping[str, Any]) -> str:
    return str(variables.get("ngrok_authtoken") or "").strip() or os.environ.get(TOKEN_VARIABLE, "").strip()


def _asked_for_token() -> str:
    token = typed_unseen(f"ngrok authtoken ({_TOKEN_PAGE}): ").strip()
    if not token:
        hint = f"Copy it from {_TOKEN_PAGE}, and set the variable or Colab secret {TOKEN_VARIABLE}."
        raise Declined("ngrok needs the authtoken of your account.", hint=hint, code="no-token")
    return token


def typed_unseen(question: str) -> str:
    """Return what a person types, unseen, in a terminal or below a cell; nothing if nobody can be asked."""
    if not _can_ask():
        return ""
    try:
        return getpass.getpass(question)
    except _NO_ANSWER:
        return ""


def _can_ask() -> bool:
    if notebook.in_notebook():
        return True
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError):  # it is closed
        return False

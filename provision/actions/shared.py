"""What all actions share: checks, the lock, the progress display, and errors for people."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable, Iterator, Sequence

from provision import notebook
from provision.actions import become, fleet
from provision.actions.result import Result
from provision.engine import at_once, catalog, failed, inventory, lock, logbook, runner
from provision.errors import Interrupted, OptionError, ProvisionError, unexpected

On = str | os.PathLike | Sequence[str] | inventory.Inventory
"""What people name machines by: the path of an inventory, hosts with commas between them, or a list of hosts."""


@contextlib.contextmanager
def for_people() -> Iterator[None]:
    """Turn an interrupted notebook cell, or a bug of ours, into a message for people."""
    try:
        yield
    except KeyboardInterrupt:
        if notebook.in_notebook():
            raise Interrupted from None
        raise
    except ProvisionError:
        raise
    except Exception as error:
        log, _ = logbook.write(traceback.format_exc(), ["error"])
        raise unexpected(error, log) from error


def checked_inventory(on: On | None, limit: str | None = None, forks: int | None = None) -> inventory.Inventory | None:
    """Return the machines that a person names; None for this machine."""
    if on is not None:
        return inventory.given(on, limit, forks)
    if limit is not None or forks is not None:
        message = f"{'limit' if limit is not None else 'forks'} would have no effect: this machine alone is meant."
        raise OptionError(message, hint="Name the machines with on.", code="no-effect")
    return None


def run_shown(
    roles, variables, inventory, check, verbose, progress, wait, ask, playbook="site.yml", kind=Result, force=False,
    **more,
):  # fmt: skip
    """Run while showing progress as the caller likes; return a result of the class `kind`.

    `more` holds functions that compute further fields of it while nothing else can change this machine.
    """
    words = ["provision", "remove" if playbook == "remove.yml" else "run", *roles]
    here = inventory is None and playbook == "site.yml"

    def start(password: dict, **watchers) -> Result:
        with alone(" ".join(words), wait, inventory, check, **watchers):
            question = at_once.digest(roles, variables) if here else ""
            outcome = at_once.outcome(question) if question and not (force or verbose) else None
            if outcome is None:
                outcome = started(password, **watchers)
                if playbook == "remove.yml" and not (inventory or check):
                    at_once.forget()
                elif not check:
                    at_once.keep(question, outcome.wanted)
            found = {name: value(outcome) for name, value in more.items()}
        about = {"here": inventory is None, "notes": outcome.notes, "per_host": outcome.per_host}
        return kind(outcome.changed, outcome.seconds, outcome.hosts, check, **about, **found)

    def started(password: dict, **watchers) -> runner.Outcome:
        secrets = [*catalog.secrets(variables), *password.values()]
        settings = {"check": check, "secrets": secrets, "playbook": playbook}
        try:
            outcome = runner.run(roles, {**variables, **password}, inventory=inventory, **settings, **watchers)
        except ProvisionError as error:
            if len(error.per_host) > 1:
                error.table = fleet.table(error.hosts, error.per_host, error.errors).text().splitlines()
            if error.errors and remember(error.per_host, error.errors) and error.table:
                error.table += ["Run it again on the hosts that failed with --retry-failed (retry_failed=True)."]
            raise
        remember(outcome.per_host, ())
        return outcome

    def remember(ran, errors) -> bool:
        keeps = bool(inventory) and playbook == "site.yml" and not check
        if keeps:
            failed.keep(failed.question(roles, variables), inventory, ran, errors)
        return keeps

    def shown(password: dict) -> Result:
        if verbose and progress is None:
            return start(password, on_line=lambda line: print(line, file=notebook.stream(), flush=True))
        with display(progress) as (on_step, end):
            return end(start(password, on_step=on_step))

    return become.with_password(shown, ask=ask, inventory=inventory, check=check)


def asked(
    question: str, machines: inventory.Inventory, progress: Callable | None, ask: bool
) -> tuple[dict, dict[str, ProvisionError]]:
    """Return the answer of each host to ``status`` or ``doctor``, and the errors of the hosts that failed."""

    def shown(password: dict) -> runner.Outcome:
        secrets = [*password.values()]
        variables = {**password, "provision_ask": question}
        with display(progress) as (on_step, _):
            return runner.run(
                [], variables, inventory=machines, playbook="status.yml", secrets=secrets, on_step=on_step
            )

    errors: dict[str, ProvisionError] = {}
    try:
        hosts = become.with_password(shown, ask=ask, inventory=machines, check=False).hosts
    except ProvisionError as error:
        if not error.errors:
            raise
        hosts, errors = error.hosts, error.errors
    return {host: hosts[host][question] for host in sorted(hosts)}, dict(sorted(errors.items()))


def alone(command, wait, inventory, check=False, **watchers) -> contextlib.AbstractContextManager:
    """Return a context that keeps other runs of this user from changing this machine, if this one may change it."""
    return contextlib.nullcontext() if check or inventory else lock.held(command, wait, **watchers)


@contextlib.contextmanager
def display(progress: Callable | None) -> Iterator[tuple[Callable, Callable]]:
    """Yield a function that takes steps, and one that takes and returns the result: the caller's, or a display's."""
    if progress:
        yield progress, lambda result: result
        return
    from provision.display.progress import progress as shown

    with shown() as begun:

        def end(result: Result) -> Result:
            begun.end(repr(result))
            return result

        yield begun.step, end

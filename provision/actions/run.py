"""Run roles on this machine or on those of an inventory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from provision import notebook
from provision.actions import notebook_path, shared
from provision.actions.result import Result
from provision.colab import consent
from provision.engine import catalog, failed, lock
from provision.errors import Declined, OptionError


@shared.for_people()
def run(
    *roles: str,
    on: shared.On | None = None,
    limit: str | None = None,
    forks: int | None = None,
    retry_failed: bool = False,
    check: bool = False,
    verbose: bool = False,
    progress: Callable | None = None,
    optional: bool = False,
    wait: float = lock.SECONDS,
    ask_become_pass: bool = False,
    force: bool = False,
    **options: Any,
) -> Result:
    """Run roles on this machine or on those of an inventory, and return their reports.

    Parameters
    ----------
    *roles : str
        Names of roles; ``provision list`` lists them.
    on : path-like, str or sequence of str, optional
        The machines: an Ansible inventory, or hosts, as in ``["me@host1", "me@host2:2222"]`` (default: this machine).
    limit : str, optional
        Which of them, in Ansible's patterns: names, groups, ``*`` (default: all).
    forks : int, optional
        How many at once (default: 25).
    retry_failed : bool
        Run only on those that failed the last time the same roles were run on the same machines.
    check : bool
        Only show what would change.
    verbose : bool
        Show Ansible's own output, on standard error, or on standard output in a notebook.
    progress : callable, optional
        Called with each `provision.engine.events.Step`. By default, progress is shown on standard error, or
        below the cell of a notebook.
    optional : bool
        If a tunnel needs a token or a consent that is not given, print why and start nothing, so that the notebook
        continues. By default, that raises an `OptionError`.
    wait : float
        How many seconds to wait while another run of yours is changing this machine; 0 not to wait.
    ask_become_pass : bool
        Ask for the sudo password up front. By default, it is asked for only if it turns out to be needed.
    force : bool
        Start Ansible even if this process can tell by itself that nothing is due.
    **options
        Options of the roles, by their full name (``mrtrix3_version="3.0.8"``) or, if only one of the roles has such an
        option, by their short one (``version="3.0.8"``). ``provision describe ROLE`` lists them.

    Returns
    -------
    Result
        What changed, how long it took, and the report of each role: ``result.mrtrix3.version``.

    Raises
    ------
    OptionError
        If a role or option does not exist, or a value is not allowed; nothing was started.
    ProvisionError
        If a task failed, or another run did not finish in time (code ``locked``).
    KeyboardInterrupt
        If interrupted; run it again to resume.

    Examples
    --------
    >>> import provision
    >>> provision.run("mrtrix3").mrtrix3.version  # doctest: +SKIP
    '3.0.8'
    """
    inventory = shared.checked_inventory(on, limit, forks)
    lock.checked(wait)
    variables = catalog.variables(roles, options)
    if retry_failed:
        if inventory is None:
            message = "retry_failed would have no effect: this machine alone is meant."
            raise OptionError(message, hint="Name the machines with on.", code="no-effect")
        inventory = failed.chosen(failed.question(roles, variables), inventory)
        if inventory is None:
            return Result(0, 0.0, {}, notes=["No host failed the last time."])
    try:
        variables = consent.complete(roles, variables, local=inventory is None, check=check)
    except Declined as error:
        if not optional:
            raise
        print(f"Skipped: {error}", file=notebook.stream(), flush=True)
        return Result(0, 0.0, {})
    how = (check, verbose, progress, wait, ask_become_pass)
    result = shared.run_shown(roles, variables, inventory, *how, force=force)
    if inventory is None:
        notebook_path.extend(result.hosts)
    return result

"""Run roles on this machine or on those of an inventory."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from provision import notebook
from provision.actions import notebook_path, shared
from provision.actions.result import Result
from provision.colab import consent
from provision.engine import catalog, lock
from provision.errors import Declined


@shared.for_people()
def run(
    *roles: str,
    on: str | os.PathLike | None = None,
    check: bool = False,
    verbose: bool = False,
    progress: Callable | None = None,
    optional: bool = False,
    wait: float = lock.SECONDS,
    ask_become_pass: bool = False,
    **options: Any,
) -> Result:
    """Run roles on this machine, or on those of an inventory, and return what they report.

    Parameters
    ----------
    *roles : str
        Names of roles; ``provision list`` shows them.
    on : path-like, optional
        An Ansible inventory. Without one, this machine.
    check : bool
        Change nothing, only count what would change.
    verbose : bool
        Show Ansible's own output, on standard error; in a notebook on standard output.
    progress : callable, optional
        Called with each :class:`provision.engine.events.Step`; without it, progress is shown on standard error,
        or below the cell of a notebook.
    optional : bool
        Start nothing, and say why, when a tunnel would need a token or a consent that nobody gives: a notebook goes on
        from there. Without it, that is an :class:`OptionError`.
    wait : float
        How many seconds to wait while another run of yours changes this machine; 0 to not wait.
    ask_become_pass : bool
        Ask for the password of sudo first, unseen. Without it, that is asked for when it turns out to be needed.
    **options
        Options of the roles, by their full name (``mrtrix3_version="3.0.8"``) or, where only one of the roles has
        such an option, by their short one (``version="3.0.8"``). ``provision describe ROLE`` shows them.

    Returns
    -------
    Result
        What changed, how long it took, and what each role reports: ``result.mrtrix3.version``.

    Raises
    ------
    OptionError
        For a role or option that does not exist, or a value that is not allowed; nothing was started.
    ProvisionError
        When a task failed, or another run was not finished in time (code ``locked``).
    KeyboardInterrupt
        When interrupted; a second run goes on from there.

    Examples
    --------
    >>> import provision
    >>> provision.run("mrtrix3").mrtrix3.version  # doctest: +SKIP
    '3.0.8'
    """
    inventory = shared.checked_inventory(on)
    lock.checked(wait)
    variables = catalog.variables(roles, options)
    try:
        variables = consent.complete(roles, variables, local=inventory is None, check=check)
    except Declined as error:
        if not optional:
            raise
        print(f"Left out: {error}", file=notebook.stream(), flush=True)
        return Result(0, 0.0, {})
    result = shared.run_shown(roles, variables, inventory, check, verbose, progress, wait, ask_become_pass)
    if inventory is None:
        notebook_path.extend(result.hosts)
    return result

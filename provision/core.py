"""Run roles, see what is there, and show that it computes the right thing."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision import become, catalog, consent, inventory, launch, lock, logbook, notebook, paths
from provision.errors import Declined, Interrupted, OptionError, ProvisionError, unexpected
from provision.machine import look, notes
from provision.machine.tool import prefix
from provision.result import Result

if TYPE_CHECKING:
    from provision.overview import Status
    from provision.removal import Removed


@contextlib.contextmanager
def _for_people() -> Iterator[None]:
    """Have what ends early end in a line for people: an interrupted cell of a notebook, and a mistake of ours."""
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


@_for_people()
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
        Called with each :class:`provision.events.Step`; without it, progress is shown on standard error, or below the
        cell of a notebook.
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
    inventory = _inventory(on)
    lock.checked(wait)
    variables = catalog.variables(roles, options)
    try:
        variables = consent.complete(roles, variables, local=inventory is None, check=check)
    except Declined as error:
        if not optional:
            raise
        print(f"Left out: {error}", file=notebook.stream(), flush=True)
        return Result(0, 0.0, {})
    result = _run_shown(roles, variables, inventory, check, verbose, progress, wait, ask_become_pass)
    if inventory is None:
        _extend_path(result.hosts)
    return result


def _inventory(on: str | os.PathLike | None) -> Path | None:
    if on is None:
        return None
    path = paths.absolute(on)
    if not path.exists():
        raise OptionError(f"There is no inventory {path}.", hint="Give the path of an Ansible inventory file.")
    inventory.check(path)
    return path


def _run_shown(
    roles, variables, inventory, check, verbose, progress, wait, ask, playbook="site.yml", kind=Result, **more
):
    """Run with the progress shown as the caller likes it; return what came of it as a `kind` of result.

    It has what `more` makes of the outcome while nothing else changes this machine.
    """
    from provision import runner

    words = ["provision", "remove" if playbook == "remove.yml" else "run", *roles]

    def start(password: dict, **watchers) -> Result:
        with _alone(" ".join(words), wait, inventory, check, **watchers):
            secrets = [*catalog.secrets(variables), *password.values()]
            settings = {"check": check, "secrets": secrets, "playbook": playbook}
            outcome = runner.run(roles, {**variables, **password}, inventory=inventory, **settings, **watchers)
            found = {name: value(outcome) for name, value in more.items()}
        here = {"here": inventory is None, "notes": outcome.notes}
        return kind(outcome.changed, outcome.seconds, outcome.hosts, check, **here, **found)

    def shown(password: dict) -> Result:
        if verbose and progress is None:
            return start(password, on_line=lambda line: print(line, file=notebook.stream(), flush=True))
        with _display(progress) as (on_step, end):
            return end(start(password, on_step=on_step))

    return become.with_password(shown, ask=ask, inventory=inventory, check=check)


def _alone(command, wait, inventory, check=False, **watchers) -> contextlib.AbstractContextManager:
    """Return what lets nothing else of this user's change this machine, for what changes it."""
    return contextlib.nullcontext() if check or inventory else lock.held(command, wait, **watchers)


@contextlib.contextmanager
def _display(progress: Callable | None) -> Iterator[tuple[Callable, Callable]]:
    """Give what takes steps, and what takes a result at the end and returns it: the caller's, or those of a display."""
    from provision.progress import progress as shown

    def end(result: Result) -> Result:
        # Elsewhere whoever has called tells of the result.
        if not progress and notebook.in_notebook():
            display.end(repr(result))
        return result

    with contextlib.nullcontext() if progress else shown() as display:
        yield progress or display.step, end


def _extend_path(hosts: dict) -> None:
    """Make the commands just installed on this machine known to this process, and so to ``!`` in a notebook."""
    is_ours = prefix.is_ours
    for report in (report for reports in hosts.values() for report in reports.values()):
        folder, folders = report.get("bin"), os.environ.get("PATH", os.defpath).split(os.pathsep)
        # A prefix of ours has no other commands, and those of its names that came before are not the ones meant.
        if folder and Path(folder).is_dir() and (folder not in folders or is_ours(str(Path(folder).parent))):
            os.environ["PATH"] = os.pathsep.join([folder, *(other for other in folders if other != folder)])
    if notebook.in_notebook():
        _show_help_in_cells()


def _show_help_in_cells() -> None:
    """Have ``!mrinfo -help`` print its page: a pager waits in a cell for keys that nobody can press."""
    # What a user has in ~/.mrtrix.conf is read after this file, and what an administrator has is not replaced.
    if "MRTRIX_CONFIGFILE" not in os.environ and not Path("/etc/mrtrix.conf").exists():
        os.environ["MRTRIX_CONFIGFILE"] = str(Path(__file__).with_name("notebook.conf"))


@_for_people()
def stop(
    on: str | os.PathLike | None = None, *, progress: Callable | None = None, wait: float = lock.SECONDS
) -> Result:
    """Let nobody in any more: close the tunnels, then stop the SSH server.

    Sessions through a tunnel end with it; what they have started goes on, and all that was installed stays.

    Parameters
    ----------
    on : path-like, optional
        An Ansible inventory. Without one, this machine.
    progress : callable, optional
        As for :func:`run`.
    wait : float
        As for :func:`run`.

    Returns
    -------
    Result
        What was stopped: ``result.changed`` is 0 when nothing ran.

    Raises
    ------
    OptionError
        When there is no such inventory.
    ProvisionError
        When something could not be stopped.

    Examples
    --------
    >>> stop()  # doctest: +SKIP
    sshd stopped in 0.9 s - 1 change
    """
    inventory = _inventory(on)
    lock.checked(wait)
    with _display(progress) as (on_step, end), _alone("provision stop", wait, inventory, on_step=on_step):
        # What leads to the server goes first, so that nobody finds a way to nowhere.
        waves = [[role for role in _stoppable() if role != "sshd"], ["sshd"]]
        if on is None:
            known = status()["hosts"]["localhost"]
            waves = [[role for role in wave if known.get(role, {}).get("state") == "started"] for wave in waves]
        states = ({f"{role}_state": "stopped" for role in wave} for wave in waves)
        asked = [(wave, options) for wave, options in zip(waves, states, strict=True) if wave]
        if not asked:  # there is no run that would do it
            launch.clear_up(launch.temporary_folder())
        results = [run(*wave, on=on, progress=on_step, **options) for wave, options in asked]
        return end(_joined(results, here=on is None))


@_for_people()
def remove(
    *roles: str,
    on: str | os.PathLike | None = None,
    check: bool = False,
    verbose: bool = False,
    progress: Callable | None = None,
    wait: float = lock.SECONDS,
    ask_become_pass: bool = False,
) -> Removed:
    """Take away what roles have put on this machine, or on those of an inventory.

    What lets others in goes first, packages last. Files and packages that were there before stay, and so does what can
    be of use on the next machine: the store of builds, the logs of runs, the sources of unfinished builds.

    Parameters
    ----------
    *roles : str
        Names of roles; all of them when none is named.
    on : path-like, optional
        An Ansible inventory. Without one, this machine.
    check : bool
        Change nothing, only tell what would be removed.
    verbose : bool
        Show Ansible's own output.
    progress : callable, optional
        As for :func:`run`.
    wait : float
        As for :func:`run`.
    ask_become_pass : bool
        As for :func:`run`.

    Returns
    -------
    Removed
        What has gone, and in ``kept`` what was left on purpose and what removes that.

    Raises
    ------
    OptionError
        For a role that does not exist, or when there is no such inventory; nothing was started.
    ProvisionError
        When something could not be removed; a second call goes on from there.

    Examples
    --------
    >>> remove()  # doctest: +SKIP
    removed sshd, mrtrix3, deps in 4.1 s - 9 changes
    kept: 2 builds in /root/.cache/provision, 40.1 MB - provision store prune --keep 0
    """
    from provision import removal

    for name in roles:
        catalog.role(name)
    asked = [name for name in reversed(catalog.roles()) if name in (roles or catalog.roles())]
    inventory = _inventory(on)
    lock.checked(wait)
    return _run_shown(
        asked, {}, inventory, check, verbose, progress, wait, ask_become_pass, playbook="remove.yml",
        kind=removal.Removed, gone=lambda outcome: tuple(removal.gone(outcome.hosts, asked)),
        kept=lambda _: tuple(removal.kept()) if inventory is None else (),
    )  # fmt: skip


def _stoppable() -> list[str]:
    """Return the roles whose work goes on after a run."""
    options = {role.name: role.options.get(f"{role.name}_state") for role in catalog.roles().values()}
    return [name for name, option in options.items() if option and "stopped" in option.choices]


def _joined(results: list[Result], here: bool) -> Result:
    """Return several runs as one."""
    hosts: dict[str, dict] = {}
    for result in results:
        for host, reports in result.to_dict()["hosts"].items():
            hosts.setdefault(host, {}).update(reports)
    seconds = round(sum(result.seconds for result in results), 1)
    notes = tuple(dict.fromkeys(note for result in results for note in result.notes))
    return Result(sum(result.changed for result in results), seconds, hosts, here=here, notes=notes)


def status() -> Status:
    """Tell what is installed on this machine, what runs and what is stored, without starting Ansible.

    Returns
    -------
    Status
        A dict, ``{"hosts": {"localhost": {role: report}}, "store": {...}}``. Each report has ``works`` besides, which
        says whether it does at this moment: commands are run, servers and tunnels are connected to. Where it does not,
        ``problem`` may say why. :func:`provision.overview.measured` and :func:`provision.overview.stored` say what else
        there is. While a run changes this machine, ``lock`` is what :func:`provision.lock.holder` returns.

    Examples
    --------
    >>> status()["hosts"]["localhost"]["mrtrix3"]["version"]  # doctest: +SKIP
    '3.0.8'
    """
    from provision import overview

    found = {}
    for name in catalog.roles():
        report = notes.read_state(name).get("report")
        if report:
            found[name] = {**report, **look.now(name, report), **overview.measured(name, report)}
    packages = overview.packages()
    if packages:
        found = {"deps": {"packages": packages}, **found}
    changing = lock.holder()
    busy = {} if changing is None else {"lock": changing}
    return overview.Status({"hosts": {"localhost": found}, "store": overview.stored(), **busy})


@_for_people()
def demo(
    folder: str | os.PathLike = "provision-demo",
    *,
    version: str = "any",
    data: str = "phantom",
    progress: Callable | None = None,
    wait: float = lock.SECONDS,
    **options: Any,
):
    """Install MRtrix3 and show on data whose answer is known that it computes the right one.

    Parameters
    ----------
    folder : path-like
        Where the results go.
    version : str
        The version of MRtrix3, as the role's option ``mrtrix3_version``.
    data : {"phantom", "sherbrooke_3shell"}
        A phantom with known fibre directions, or the human data of the blog post, which is downloaded.
    progress : callable, optional
        As for :func:`run`.
    wait : float
        As for :func:`run`.
    **options
        As for :func:`provision.demo.run_demo`.

    Returns
    -------
    provision.demo.DemoResult

    Raises
    ------
    OptionError
        When the folder is relative to one that is gone; nothing was started.
    ProvisionError
        When something could not be installed or a command failed, and when the angles are too large.

    Examples
    --------
    >>> demo("results").passed  # doctest: +SKIP
    True
    """
    from provision.demo import COMMANDS, check, run_demo

    # Refused, if need be, before anything is installed.
    paths.absolute(folder)
    check(data)
    # A build of these commands alone is enough, and one that has them is taken as it is.
    result = run("mrtrix3", version=version, commands=COMMANDS, progress=progress, wait=wait)
    with _display(progress) as (on_step, _), paths.somewhere("/"):
        return run_demo(folder, bin=Path(result.mrtrix3.bin), data=data, on_step=on_step, **options)

"""What Ansible's events mean: pure functions from an event to a step, a failure or a report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One thing a person may want to see while a run goes on.

    Attributes
    ----------
    kind : {"task", "done", "work"}
        A task has started, a task has ended, or a long task tells how far it is.
    role, task, host : str
        Where the run is now.
    changed : bool
        For ``"done"``: whether the task changed the machine.
    skipped : bool
        For ``"done"``: whether the task had nothing to do.
    number, total : int
        For ``"work"``: how many of how many units (compile steps, bytes) are done; total 0 means unknown.
    unit : str
        For ``"work"``: what is counted, for example ``"steps"``.
    """

    kind: str
    role: str = ""
    task: str = ""
    host: str = ""
    changed: bool = False
    skipped: bool = False
    number: int = 0
    total: int = 0
    unit: str = ""

"""The tasks of a study: each step of each series, what it reads and writes, and what it waits for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from provision.study import records
from provision.study.series import Series
from provision.study.steps import Step, imports


@dataclass(eq=False)
class Task:
    """One step of one series, or of a group.

    Attributes
    ----------
    step : Step
        The step.
    owner : str
        The name of the series, or of the group.
    series : Series or None
        The series; None for a group.
    inputs : dict of str to list of str
        The paths of what it reads, absolute or below the output folder.
    outputs : dict of str to str
        The paths of what it writes, below the output folder.
    sources : dict of str to list of Task or None
        The task that writes each input; None for the dataset's own files.
    lacks : str
        An input that the series does not have.
    tries : int
        How often it has been started in this run.
    record : dict
        Its record, of this run or of an earlier one; empty if there is none.
    state : str
        ``""`` until it is known, then ``"running"``, ``"kept"``, ``"done"``, ``"due"``, ``"failed"``, ``"blocked"`` or
        ``"waiting"``.
    reason : str
        Why it is due, or how it failed.
    """

    step: Step
    owner: str
    series: Series | None
    inputs: dict[str, list[str]]
    outputs: dict[str, str]
    sources: dict[str, list[Task | None]]
    lacks: str = ""
    state: str = ""
    reason: str = ""
    tries: int = 0
    record: dict = field(default_factory=dict)

    @property
    def record_path(self) -> str:
        """The path of its record, below the output folder."""
        return records.path_of(self.owner, self.step.name)

    @property
    def parents(self) -> list[Task]:
        """The tasks that it waits for."""
        return [task for tasks in self.sources.values() for task in tasks if task]

    @property
    def settled(self) -> bool:
        """Whether nothing more happens to it in this run."""
        return self.state not in ("", "running")

    @property
    def good(self) -> bool:
        """Whether its outputs can be used."""
        return self.state in ("kept", "done", "due")


def by_owner(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    """Return the tasks of each series, and of each group."""
    found: dict[str, list[Task]] = {}
    for task in tasks:
        found.setdefault(task.owner, []).append(task)
    return found


def group_of(shells: Sequence[int]) -> str:
    """Return the name of the group of series with these shells; their responses can be averaged.

    Examples
    --------
    >>> group_of((0, 1000, 2000))
    'group_b0b1000b2000'
    """
    return "group_" + "".join(f"b{shell}" for shell in shells)


def plan(series: Sequence[Series], steps: Sequence[Step]) -> list[Task]:
    """Return the tasks, those of the first series first, each after those that it waits for.

    Parameters
    ----------
    series : sequence of Series
        Those without a problem.
    steps : sequence of Step
        In the order in which they are done.

    Returns
    -------
    list of Task
        The tasks.
    """
    bindings = {each.name: _raw(each) for each in series}
    found: dict[str, list[Task]] = {}
    first = imports()
    for each in (each for each in series if each.image.name.endswith((".mif", ".mif.gz"))):
        found[each.name] = [_own(first[each.bval is not None], each, bindings[each.name])]
    for step in steps:
        suited = [each for each in series if step.suits(each.shells)]
        if step.level == "participant":
            for each in suited:
                found.setdefault(each.name, []).append(_own(step, each, bindings[each.name]))
        else:
            for name in dict.fromkeys(group_of(each.shells) for each in suited):
                members = [bindings[each.name] for each in suited if group_of(each.shells) == name]
                found.setdefault(name, []).append(_shared(step, name, members))
    return [task for tasks in found.values() for task in tasks]


_Bound = dict[str, tuple[str, Task | None]]


def _raw(series: Series) -> _Bound:
    files = {"dwi": series.image, "bvec": series.bvec, "bval": series.bval, "sidecar": series.sidecar}
    return {name: (str(path), None) for name, path in files.items() if path}


def _own(step: Step, series: Series, bound: _Bound) -> Task:
    lacks = next((name for name in step.inputs if name not in bound), "")
    there = [name for name in step.inputs if name in bound]
    inputs, sources = {name: [bound[name][0]] for name in there}, {name: [bound[name][1]] for name in there}
    outputs = {name: f"{series.folder}/{series.name}_{suffix}" for name, suffix in step.outputs.items()}
    task = Task(step, series.name, series, inputs, outputs, sources, lacks)
    bound.update({name: (path, task) for name, path in outputs.items()})
    return task


def _shared(step: Step, name: str, members: Sequence[_Bound]) -> Task:
    inputs = {key: [bound[key][0] for bound in members if key in bound] for key in step.inputs}
    sources = {key: [bound[key][1] for bound in members if key in bound] for key in step.inputs}
    outputs = {key: f"group/{name}_{suffix}" for key, suffix in step.outputs.items()}
    task = Task(step, name, None, inputs, outputs, sources)
    for bound in members:
        bound.update({key: (path, task) for key, path in outputs.items()})
    return task

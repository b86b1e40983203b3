"""How much of a build is done, where each step counts for what it costs."""

from __future__ import annotations

import heapq
import os
import re
from statistics import mean, median

from .costs import COSTS, LINK

# What MRtrix3's own script prints of a step, such as "[CC] tmp/core/app.o", and what Ninja does.
_STEP = re.compile(r"(?:\[\w+\] (?:tmp/)?|Building CXX object (?:cpp/)?|Linking CXX .* )(\S+?)(?:\.cpp)?(?:\.o)?$")

_GRAPHICAL = ("mrview.cpp", "shview.cpp")


def read_costs(text):
    """Return ``{"core/app": seconds}`` of lines that have a folder, then names and seconds in turn."""
    rows = [line.split() for line in text.splitlines() if line]
    return {f"{row[0]}/{row[at]}": float(row[at + 1]) for row in rows for at in range(1, len(row), 2)}


_KNOWN = read_costs(COSTS)
_MEDIANS = {top: median(_KNOWN[name] for name in _KNOWN if name.startswith(top)) for top in ("cmd/", "core/", "src/")}
_MEDIAN = median(_KNOWN.values())


def step_name(what):
    """Return the name of a step, such as ``core/app`` or ``bin/mrinfo``."""
    found = _STEP.match(what)
    return re.sub(r"CMakeFiles/[^/]+/", "", found[1]) if found else what


def step_cost(name):
    """Return the seconds that a step takes: those measured, else the median of its kind."""
    if name.startswith(("bin/", "lib/")):
        return LINK
    return _KNOWN.get(name, _MEDIANS.get(name.partition("/")[0] + "/", _MEDIAN))


def steps_ahead(source, commands):
    """Return the steps that a build in this tree may have to make, of the commands named or of all."""
    sources = list(_sources(os.path.join(source, "cpp"))) or list(_sources(source))
    programs = {name: f"bin/{name[4:]}" for name in sources if name.startswith("cmd/")}
    if commands:
        programs = {name: program for name, program in programs.items() if program[4:] in commands}
    objects = [name for name in sources if name in programs or not name.startswith("cmd/")]
    made = {**{name: f"tmp/{name}.o" for name in objects}, **{program: program for program in programs.values()}}
    return [name for name, path in made.items() if not os.path.exists(os.path.join(source, path))]


def _sources(base):
    """Give the names of the files that are compiled, without those of the graphical programs."""
    for top in ("cmd", "core", "src"):
        for folder, _folders, names in os.walk(os.path.join(base, top)):
            inside = os.path.relpath(folder, base)
            if "gui" not in inside.split(os.sep):
                yield from (
                    f"{inside}/{name[:-4]}" for name in names if name.endswith(".cpp") and name not in _GRAPHICAL
                )


def share_done(costs, left, jobs):
    """Return the share of the work that is done when the last of the steps with these costs begins.

    `left` is what those cost that have not begun, and `jobs` how many run at once.
    """
    ends = [0.0] * jobs
    for cost in costs:
        now = heapq.heappop(ends)
        heapq.heappush(ends, now + cost)
    running = sum(end - now for end in ends if end > now)
    return (sum(costs) - running) / (sum(costs) + left)


def seconds_left(ahead, steps):
    """Return what so many steps cost that are among those ahead; of those in src a build may need a part only."""
    parts = [step_cost(name) for name in ahead if name.startswith("src/")] or [_MEDIAN]
    sure = [step_cost(name) for name in ahead if not name.startswith("src/")]
    count = min(steps, len(sure))
    return (count * mean(sure) if sure else 0.0) + (steps - count) * mean(parts)

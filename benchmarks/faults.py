"""Break `provision` in hundreds of ways, and see what is left.

    python benchmarks/faults.py [--short] [--only kills,pairs,machine,user,servers,secrets] [--seed N] [--case N]
                                [--kills 200] [--pairs 60] [--json FILE]

kills    a command is killed in the middle (provision, ansible-playbook, a worker, everything, Ctrl-C): the next run
         converges, the one after changes nothing, and the machine is as if nothing had been killed
pairs    two commands at nearly the same time end as if one had come after the other
machine  homes, folders for temporary files, umask, full disks, dpkg, clocks, locks, odd paths, the environment
user     another local user holds locks, plants folders, links and a store, and reads what they can
servers  archives and repositories from servers that misbehave
secrets  a token and a password are found in their files alone

Each case is a machine of its own, a box of tests/machine; nothing happens to this one, which must be able to make boxes
(root, Debian, debootstrap) and needs the extra `test`. What decides a case follows from the seed and its number, so
that one that went wrong can be tried again by itself. Prints a table; the exit code is 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import fault_kills
import fault_tables
from fault_machine import Machines, World

# sys.path has tests/machine by now.
from box import cache, why_not  # isort: skip

# By their numbers: a server, a replacement and a removal are killed, and a run meets a removal.
SHORT = {"kills": (2, 3, 4), "pairs": (1,)}


class Verdict(NamedTuple):
    """What one case came to."""

    kind: str
    number: int
    name: str
    wrong: list[str]
    tracebacks: int
    seconds: float


Case = tuple[str, int, Callable[[World], tuple[str, list[str], int]]]


def cases(only: list[str], seed: int, kills: Iterable[int], pairs: Iterable[int], short: bool) -> Iterator[Case]:
    """Give the cases of some kinds, in their order."""
    if "kills" in only:
        kinds = 5 if short else len(fault_kills.KILLS)  # to find out what each comes to undisturbed takes long
        yield from (("kills", n, lambda world, n=n: fault_kills.kill(world, seed, n, kinds)) for n in kills)
    if "pairs" in only:
        yield from (("pairs", n, lambda world, n=n: fault_kills.meet(world, seed, n)) for n in pairs)
    for kind in fault_tables.KINDS:
        if kind in only:
            for number, case in enumerate(fault_tables.KINDS[kind]):
                if case.short or not short:
                    yield kind, number, lambda world, case=case: case.verdict(world)


def judged(world: World, case: Case, seed: int, short: bool = False) -> Verdict:
    """Try one case, and say at once what is wrong."""
    kind, number, function = case
    begin = time.monotonic()
    try:
        name, wrong, tracebacks = function(world)
    except Exception as error:  # of the harness, or a machine that cannot even be prepared
        name, tracebacks = "not tried", 0
        wrong = [f"{type(error).__name__}: {error}", *traceback.format_exc().splitlines()[-4:-1]]
    verdict = Verdict(kind, number, name, wrong, tracebacks, round(time.monotonic() - begin, 1))
    for problem in wrong:
        print(f"WRONG {kind} {number} ({name}): {problem}", flush=True)
    if wrong:
        options = f"{'--short ' * short}--seed {seed} --only {kind} --case {number}"
        print(f"      again: python benchmarks/faults.py {options}", flush=True)
    return verdict


def world_of(machines: Machines, suite: str = "bookworm") -> World:
    """Return the machines of all kinds of cases."""
    return World(machines, suite, fault_kills.STARTS)


def attack(
    world: World,
    only: list[str],
    *,
    seed: int = 1,
    kills: Iterable[int] = range(200),
    pairs: Iterable[int] = range(60),
    short: bool = False,
    case: int | None = None,
    jobs: int = 2,
) -> list[Verdict]:
    """Try all cases of some kinds, some of them at once, and return what came of them."""
    wanted = [one for one in cases(only, seed, kills, pairs, short) if case in (None, one[1])]
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda one: judged(world, one, seed, short), wanted))


def table(verdicts: list[Verdict]) -> list[dict]:
    """Return a row per kind."""
    rows = []
    for kind in dict.fromkeys(verdict.kind for verdict in verdicts):
        ours = [verdict for verdict in verdicts if verdict.kind == kind]
        wrong = sum(bool(verdict.wrong) for verdict in ours)
        rows.append({
            "kind": kind, "tried": len(ours), "right": len(ours) - wrong,
            "tracebacks": sum(verdict.tracebacks for verdict in ours), "wrong": wrong,
            "seconds": round(sum(verdict.seconds for verdict in ours) / len(ours), 1),
        })  # fmt: skip
    return rows


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = ["kills", "pairs", *fault_tables.KINDS]
    parser.add_argument("--short", action="store_true", help="a few cases of each kind, in minutes")
    parser.add_argument("--only", default=",".join(kinds), help="the kinds to try (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="the number of the one case to try")
    parser.add_argument("--kills", type=int, default=None, help="how many commands are killed (default: 200)")
    parser.add_argument("--pairs", type=int, default=None, help="how many pairs of commands meet (default: 60)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="cases at once")
    parser.add_argument("--suite", default="bookworm", choices=("bookworm", "trixie"))
    parser.add_argument("--json", type=Path, help="a file to write all cases to")
    given = parser.parse_args()
    given.only = given.only.split(",")
    if unknown := set(given.only) - set(kinds):
        parser.error(f"there is no kind {', '.join(sorted(unknown))}: it is one of {', '.join(kinds)}")
    usual = SHORT if given.short else {"kills": range(200), "pairs": range(60)}
    for kind in ("kills", "pairs"):
        count = getattr(given, kind)
        setattr(given, kind, usual[kind] if count is None else range(count))
        if given.case is not None:
            setattr(given, kind, (given.case,))
    return given


def main() -> int:
    given = arguments()
    if reason := why_not():
        sys.exit(f"Nothing can be tried here: {reason}.")
    begin = time.monotonic()
    with contextlib.closing(Machines(cache())) as machines:
        verdicts = attack(
            world_of(machines, given.suite), given.only, seed=given.seed, kills=given.kills, pairs=given.pairs,
            short=given.short, case=given.case, jobs=given.jobs,
        )  # fmt: skip
    rows = table(verdicts)
    print(f"{'kind':10} {'tried':>6} {'as it should be':>16} {'tracebacks':>11} {'wrong':>6} {'s each':>7}")
    for row in rows:
        print(
            f"{row['kind']:10} {row['tried']:6} {row['right']:16} {row['tracebacks']:11} {row['wrong']:6} "
            f"{row['seconds']:7.1f}"
        )
    print(f"seed {given.seed}, {time.monotonic() - begin:.0f} s")
    if given.json:
        found = {"seed": given.seed, "rows": rows, "cases": [verdict._asdict() for verdict in verdicts]}
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(row["wrong"] or row["tracebacks"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())

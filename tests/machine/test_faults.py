"""What `provision` promises when it is killed, meets another run, or finds a machine that is not well.

The short form of benchmarks/faults.py, which has many more cases.
"""

from __future__ import annotations

import sys

import pytest
from box import PROJECT, Machines

sys.path.append(str(PROJECT / "benchmarks"))

import fault_tables
import faults


@pytest.fixture(scope="module")
def world(machines: Machines) -> faults.World:
    return faults.world_of(machines)


@pytest.mark.parametrize("kind", ["kills", "pairs", *fault_tables.KINDS])
def test_nothing_goes_wrong(world: faults.World, kind: str) -> None:
    verdicts = faults.attack(world, [kind], short=True, **faults.SHORT)
    assert verdicts
    assert [verdict for verdict in verdicts if verdict.wrong or verdict.tracebacks] == []

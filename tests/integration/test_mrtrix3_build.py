"""Compiling MRtrix3, with a build script of our own in MRtrix3's place: what is killed, and what takes its time."""

import json
import signal
import subprocess
import sys

import pytest
from waiting import wait_until

from plugins.module_utils.provision.build.driver import BuildError, Clock
from plugins.module_utils.provision.build.tree import tree_locked
from provision.engine import content

from ..unit.plugins.module_utils.build.source_tree import (
    _no_hangup,  # noqa: F401
    compile_,
    source,  # noqa: F401
)

# Builds a tree as a process of its own: argv is the tree and where the modules are.
BUILDER = """
import sys; sys.path.insert(0, sys.argv[2])
from plugins.module_utils.provision.build.driver import stop_on_signals
from plugins.module_utils.provision.build.tree import build
stop_on_signals()
build(sys.argv[1], [], '', 1, lambda *_: None, print)
"""


def wait_for_first_step(source):
    log = source / "provision-build.log"
    wait_until(lambda: log.exists() and "1/2)" in log.read_text())


def test_a_build_stops_when_the_run_that_started_it_is_gone(source):
    (source / "step").write_text("600")
    root = str(content.root())
    process = subprocess.Popen(
        [sys.executable, "-c", BUILDER, source, root],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for_first_step(source)
    process.stdout.close()  # as when the run that reads it is killed
    assert process.wait(timeout=60) != 0
    with tree_locked(str(source), seconds=60):
        assert not (source / "bin" / "mrinfo").exists()


def test_an_ended_builder_ends_its_compilers(source):
    (source / "step").write_text("600")
    root = str(content.root())
    process = subprocess.Popen([sys.executable, "-c", BUILDER, source, root], stdout=subprocess.PIPE)
    wait_for_first_step(source)
    process.terminate()
    assert process.wait(timeout=60) == 1
    process.stdout.close()
    with tree_locked(str(source), seconds=60):  # what is killed may still be on its way out
        pass


def test_a_killed_builder_leaves_the_lock_to_its_compilers(source):
    (source / "step").write_text("600")
    root = str(content.root())
    process = subprocess.Popen([sys.executable, "-c", BUILDER, source, root], stdout=subprocess.PIPE)
    wait_for_first_step(source)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with pytest.raises(BuildError) as caught, tree_locked(str(source), seconds=0):
        pass
    assert caught.value.code == "locked"
    (source / "go").touch()
    with tree_locked(str(source), seconds=60):
        pass


def test_a_run_that_fails_has_spent_all_of_its_time(source):
    (source / "step").write_text("0.5")
    (source / "say").write_text("error: no")
    with pytest.raises(BuildError):
        compile_(source)
    assert Clock(str(source)).seconds() >= 1.0


def test_a_real_build_tells_how_long_it_took(source):
    (source / "step").write_text("0.2")
    assert compile_(source).clock.seconds() >= 0.4
    assert json.loads((source / ".provision-spent.json").read_text())["seconds"] >= 0

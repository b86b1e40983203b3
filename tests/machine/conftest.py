"""Fixtures that give fresh machines; `box.py` says what they are.

    box              a bare machine; the test runs once on each suite
    bookworm, trixie a bare machine of that suite
    ready_box, ready_bookworm, ready_trixie
                     the same with the project's .venv (base and `demo`) and apt's package lists in place
    make_box         a function that makes them: make_box("trixie", ready=True, offline=True, apt=True)
    machines         what lies under all of them, for a layer that several tests stand on
    real_agent       ngrok's own agent of version 2

The project's working tree is at /root/project, where commands start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from box import SUITES, Box, Machines, cache, why_not
from ngrok_service import agents

HERE = Path(__file__).parent

# Files of minutes come first, the longest of all at the front, so that none is left over when all else is done.
LONGEST_FIRST = (
    "mrtrix3",
    "sshd",
    "faults",
    "reverse_ssh",
    "documented_commands",
    "study",
    "deps",
    "ngrok",
    "remove",
    "bootstrap",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("machine")
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """The turn of a test: the long files of this folder in their order, its others, and then all other tests."""
    if not item.path.is_relative_to(HERE):
        return len(LONGEST_FIRST) + 1
    name = item.path.stem.removeprefix("test_")
    return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with contextlib.closing(Machines(cache())) as machines:
        yield machines


@pytest.fixture
def make_box(machines: Machines) -> Iterator[Callable[..., Box]]:
    with contextlib.ExitStack() as stack:

        def make(suite: str, *, ready: bool = False, **options: bool) -> Box:
            root = machines.ready(suite) if ready else machines.base(suite)
            return stack.enter_context(machines.box(root, **options))

        yield make


@pytest.fixture(params=SUITES)
def box(request: pytest.FixtureRequest, make_box: Callable[..., Box]) -> Box:
    return make_box(request.param)


@pytest.fixture
def bookworm(make_box: Callable[..., Box]) -> Box:
    return make_box("bookworm")


@pytest.fixture
def trixie(make_box: Callable[..., Box]) -> Box:
    return make_box("trixie")


@pytest.fixture(params=SUITES)
def ready_box(request: pytest.FixtureRequest, make_box: Callable[..., Box]) -> Box:
    return make_box(request.param, ready=True)


@pytest.fixture
def ready_bookworm(make_box: Callable[..., Box]) -> Box:
    return make_box("bookworm", ready=True)


@pytest.fixture
def ready_trixie(make_box: Callable[..., Box]) -> Box:
    return make_box("trixie", ready=True)


@pytest.fixture(scope="session")
def real_agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("real") / "ngrok"
    try:
        agents.install_real_agent(path)
    except agents.NoAgent as reason:
        pytest.skip(str(reason))
    return path

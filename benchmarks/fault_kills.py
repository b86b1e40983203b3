"""Commands that are killed in the middle, and commands that meet: the tables, and what must hold afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from fault_machine import KEY, NEW, OLD, REPO, STORE, Done, Looker, Machine, World, difference

RESTORE = f"provision run mrtrix3 --store {STORE} --json"
OLDER = f"provision run mrtrix3 --version {OLD} --store {STORE} --json"
DEPS = "provision run deps --groups run --json"
SERVER = f"provision run sshd --authorized-keys {KEY} --json"
ALL = f"provision run deps mrtrix3 sshd --groups run --store {STORE} --authorized-keys {KEY} --json"
# The stand-in's release is not the one that MRtrix3's team made.
COMMIT = f"$(env -u GIT_DIR git -c safe.directory=* -C {REPO} rev-parse {NEW}^0)"
BUILD = f"provision run mrtrix3 --origin source --repo {REPO} --commit {COMMIT} --store /srv/new --cpu x86-64 --json"
REMOVE = "provision remove --yes --json"
STOP = "provision stop --json"
PLAYBOOK = (
    "cd /root/project; export ANSIBLE_CONFIG=/root/project/ansible.cfg PATH=/root/project/.venv/bin:$PATH; "
    f"exec ansible-playbook playbooks/mrtrix3.yml -e provision_store={STORE}"
)
# Where machines begin, besides `bare`: what was run there before, and the machine started anew.
STARTS = {
    "installed": ALL, "older": OLDER, "restored": RESTORE, "compiler": DEPS.replace("run --json", "run,build --json"),
}  # fmt: skip
# What came with a machine's image is moved otherwise than what was installed since: overlays make a difference there.
INSTALLED_SINCE = "cp -a /opt/mrtrix3 /opt/m; rm -r /opt/mrtrix3; mv /opt/m /opt/mrtrix3"


class Scenario(NamedTuple):
    """A command to kill: where it begins, what is run before and may be run next, and files that show how far it is."""

    name: str
    command: str
    start: str = "bare"
    before: tuple[str, ...] = ()
    nexts: tuple[str, ...] = ()  # the command itself when there is none
    marks: tuple[str, ...] = ()
    whole: bool = True  # whether the prefix must be whole at every look


PREFIX = (
    "opt/.mrtrix3.provision-*",
    "opt/mrtrix3",
    "opt/mrtrix3/.provision.json",
    "usr/local/bin/mrinfo",
    "var/lib/provision/*",
)
DPKG = (
    "var/lib/provision/deps.json",
    "var/lib/dpkg/updates/*",
    "var/lib/dpkg/status",
    "var/lib/dpkg/lock",
    "usr/share/doc/lib*/copyright",
)
PACKED = ("srv/new/.new-*", "srv/new/*.tar.zst", "srv/new/*.json")
SSHD = ("var/lib/provision/sshd", "var/lib/provision/sshd/*", "var/lib/provision/sshd.json", "etc/profile.d/*")
KILLS = (
    Scenario("restore", RESTORE, marks=PREFIX),
    Scenario("deps", DEPS, marks=DPKG),
    Scenario("sshd", SERVER, marks=SSHD),
    Scenario("replace", RESTORE, "older", (INSTALLED_SINCE,), marks=PREFIX),
    Scenario("remove", REMOVE, "restored", (INSTALLED_SINCE,), nexts=(REMOVE, RESTORE), marks=PREFIX, whole=False),
    Scenario("build and pack", BUILD, "compiler", marks=(*PACKED, *PREFIX)),
    Scenario("all", ALL, marks=(*DPKG, *PREFIX, *SSHD)),
    # A prefix that came with the machine's image cannot be renamed: the old one is taken apart where it is.
    Scenario("replace an image's", RESTORE, start="older", marks=PREFIX, whole=False),
    Scenario("remove an image's", REMOVE, "installed", (), (REMOVE, ALL), (*PREFIX, *SSHD, *DPKG), whole=False),
    Scenario("stop", STOP, before=(SERVER,), marks=SSHD),
)
# What is killed, and by what; "interrupted" is what Ctrl-C in a terminal does.
TARGETS = ("provision", "ansible-playbook", "worker", "everything", "worker", "everything", "interrupted")


class Pair(NamedTuple):
    """Two commands that are started at nearly the same time."""

    name: str
    first: str
    second: str
    start: str = "bare"
    before: tuple[str, ...] = ()


PAIRS = (
    Pair("run twice", RESTORE, RESTORE),
    Pair("run and remove", RESTORE, REMOVE, "restored"),
    Pair("two servers", SERVER, "provision run sshd --port 2223 --with-password --json"),
    Pair("stop and run", STOP, "provision run sshd --port 2224 --authorized-keys " + KEY + " --json", before=(SERVER,)),
    Pair("deps and build", DEPS + " --groups build", BUILD),
    Pair("playbook and run", PLAYBOOK, OLDER),
)


def chosen(seed: int, kind: str, number: int) -> random.Random:
    """Return what decides everything about a case, so that it can be repeated by its number."""
    return random.Random(f"{seed}/{kind}/{number}")


# --- Kills ------------------------------------------------------------------------------------------------------------


def kill(world: World, seed: int, number: int, kinds: int = len(KILLS)) -> tuple[str, list[str], int]:
    """Kill one of the first so many commands.

    Returns what the case was, what was wrong afterwards, and how many tracebacks were shown.
    """
    choice = chosen(seed, "kills", number)
    scenario = KILLS[number % kinds]
    target = choice.choice(TARGETS)
    following = choice.choice(scenario.nexts or (scenario.command,))
    by_mark, mark, late, at = choice.random() < 0.6, choice.choice(scenario.marks), choice.random(), choice.random()
    _, seconds = world.outcome(scenario.start, *scenario.before, scenario.command)
    expected, _ = world.outcome(scenario.start, *scenario.before, following)
    name = f"{scenario.name}, {target}, " + (f"at {mark} + {late * 100:.0f} ms" if by_mark else f"at {at:.0%}")
    for attempt in range(4):
        with world.machine(scenario.start) as machine:
            for command in scenario.before:
                machine.run(command)
            delay = seconds[-1] * (0.1 + 0.85 * at) * 0.7**attempt
            done, wrong = killed(
                machine,
                scenario,
                target,
                choice,
                by_mark_of(machine, mark, late * 0.1) if by_mark and not attempt else after(delay),
            )
            if done is None:
                continue
            more, tracebacks = resumed(machine, following, expected)
            return name, wrong + more, tracebacks + done.tracebacks
    return f"{name}: not hit", [], 0


def after(seconds: float) -> Callable[[], bool]:
    """Return what says true so many seconds after it was first asked."""
    since = []

    def reached() -> bool:
        since.append(time.monotonic())
        return since[-1] > since[0] + seconds

    return reached


def by_mark_of(machine: Machine, mark: str, late: float) -> Callable[[], bool]:
    """Return what says true some moments after a file of a pattern has changed."""
    before, since = machine.signature(mark), []

    def reached() -> bool:
        if not since and machine.signature(mark) != before:
            since.append(time.monotonic())
        return bool(since) and time.monotonic() > since[0] + late

    return reached


def killed(
    machine: Machine, scenario: Scenario, target: str, choice: random.Random, reached: Callable[[], bool]
) -> tuple[Done | None, list[str]]:
    """Run and kill; None when the command was quicker."""
    wrong, number = [], signal.SIGINT if target == "interrupted" else signal.SIGKILL
    with contextlib.ExitStack() as stack:
        looker = stack.enter_context(Looker(machine)) if scenario.whole else None
        running = machine.start(scenario.command)
        while not reached() and not running.ended():
            time.sleep(0.002)
        victims = []
        while not victims and not running.ended():
            victims = machine.targets("provision" if target == "interrupted" else target, choice)
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        done = running.wait(60)
        left = machine.wait_for_end(30)
        if left:
            wrong.append(f"still running 30 s later: {left[0]}" + (f" and {len(left) - 1} more" if left[1:] else ""))
        if looker and looker.seen:
            wrong.append(f"half a prefix was seen: {looker.seen}")
    if not victims:
        return None, []
    survived = target in ("ansible-playbook", "worker", "interrupted")
    return done, wrong + (ended_well(done, (0, 1, 130)) if survived else [])


def ended_well(done: Done, codes: tuple[int, ...] = (0, 1)) -> list[str]:
    """Return what is wrong with how a command has ended that could still say something."""
    if done.code not in codes:
        return [done.short()]
    if done.tracebacks:
        return [f"a traceback was shown: {done.short()}"]
    if "--json" in done.command and not done.json:
        return [f"it printed no JSON object: {done.out[:200]!r}"]
    if done.code and "--json" in done.command and not done.message:
        return [f"an error without a sentence: {done.out[:200]!r}"]
    return []


def resumed(machine: Machine, command: str, expected: dict[str, set[str]]) -> tuple[list[str], int]:
    """Run the next command, which must end well, and once more, which must change nothing; compare with undisturbed."""
    again = machine.run(command)
    if again.code:
        return [f"the next run does not converge: {again.short()}"], again.tracebacks
    silent = machine.run(command)
    wrong = [] if silent.json.get("changed") == 0 else [f"the run after it is not silent: {silent.short()}"]
    left = machine.wait_for_end(10)
    wrong += [f"left running: {left[0]}"] if left else []
    return wrong + difference(machine.look(), [expected]), again.tracebacks + silent.tracebacks


# --- Pairs ------------------------------------------------------------------------------------------------------------


def meet(world: World, seed: int, number: int) -> tuple[str, list[str], int]:
    """Start two commands at nearly the same time; they must end as if one had come after the other."""
    choice = chosen(seed, "pairs", number)
    pair = PAIRS[number % len(PAIRS)]
    commands = [pair.first, pair.second]
    choice.shuffle(commands)
    apart = choice.choice((0, 0, 0.3, 0.6, 0.9, 1.3))
    name = f"{pair.name}, {apart} s apart"
    with world.machine(pair.start) as machine:
        for command in pair.before:
            machine.run(command)
        running = []
        with Looker(machine) as looker:
            for command in commands:
                running.append(machine.start(command))
                time.sleep(0 if running[1:] else apart)
            done = [one.wait(180) for one in running]
        left = machine.wait_for_end(10)
        wrong = [problem for one in done for problem in ended_well(one, (0, 1, 2))]
        wrong += [f"left running: {left[0]}"] if left else []
        if looker.seen and "remove" not in pair.name:
            wrong.append(f"half a prefix was seen: {looker.seen}")
        succeeded = [command for command, one in zip(commands, done, strict=True) if one.code == 0]
        if not succeeded:
            return name, [*wrong, *(f"neither came to its end: {one.short()}" for one in done)], tracebacks(done)
        unlike = like_no_order(world, pair, succeeded, machine.look())
        if unlike:
            wrong += [*unlike, *(one.short() for one in done)]
        final = machine.run(commands[0])
        wrong += [f"afterwards: {final.short()}"] if final.code else []
        return name, wrong, tracebacks([*done, final])


def like_no_order(world: World, pair: Pair, commands: list[str], found: dict[str, set[str]]) -> list[str]:
    """Return how a machine differs from those on which some commands came one after the other, in whichever order."""
    expected = []
    for order in dict.fromkeys((tuple(commands), tuple(reversed(commands)))):
        expected.append(world.outcome(pair.start, *pair.before, *order)[0])
        if not difference(found, expected):
            return []
    return difference(found, expected)


def tracebacks(done: list[Done]) -> int:
    return sum(one.tracebacks for one in done)

"""Ask both ways whether roles have anything to do, while each thing that they have installed is away or changed.

python compare.py ROLE prints how often something was due, and every change at which Ansible and the process of the
caller did not agree. The options of the role are read as JSON from standard input.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import provision
from provision.colab import consent
from provision.engine import at_once, catalog, runner
from provision.machine import alive, places
from provision.machine.look import deps

LOOK = Path(__file__).with_name("look.yml")
# Pipes through which Ansible says that it is about to look, and is told to.
READY, GO = Path("/tmp/ready"), Path("/tmp/go")
# Folders that are not the roles' own: what is in them may go, they may not.
OURS = re.compile(r"/(opt|srv|root/\.|home/\w+/\.|var/lib/provision|etc/profile\.d/|usr/local/bin/|usr/bin/\w)")
STATUS = Path("/var/lib/dpkg/status")


def question(role, options):
    """Return the digest of a run's question, and its variables."""
    variables = consent.complete([role], catalog.variables([role], options), local=True, check=False)
    return at_once.digest([role], variables), variables


def answers(role, asked, variables, drifts):
    """Return for each drift its name, and the reports of the process itself and of Ansible; None for something to do.

    One run of Ansible looks at all, each in its turn.
    """
    own = []
    with contextlib.ExitStack() as stack:

        def take_turns():
            for _, drift in drifts:
                READY.read_text()
                stack.close()
                stack.enter_context(drift)
                found = at_once.outcome(asked)
                own.append(found and found.hosts["localhost"])
                GO.write_text("")

        threading.Thread(target=take_turns, daemon=True).start()
        given = {**variables, "turn": f"echo > {READY}; cat {GO}", "looks": len(drifts)}
        looks = runner.run([role], given, playbook=str(LOOK)).hosts["localhost"]["looks"]
    theirs = (look if role in look else None for look in looks)
    return [(name, *both) for (name, _), *both in zip(drifts, own, theirs, strict=True)]


def things(role):
    """Return the files and links that a role has noted, and its notes themselves."""
    state = places.state_folder()
    note = Path(state, f"{role}.json")
    text = note.read_text() if note.exists() else "{}"
    noted = json.loads(text)
    named = set(re.findall(r'"(/[^"\\]+)"', text))
    folders = {noted.get("link_dir") or "/nonexistent", (noted.get("report") or {}).get("bin", "/nonexistent")}
    named |= {f"{folder}/{name}" for folder in folders for name in noted.get("commands", ["mrinfo"])[:2]}
    named |= {str(path) for path in (note, *Path(state, role).glob("*")) if path.is_file()}
    return sorted(name for name in named if OURS.match(name) and os.path.lexists(name))


@contextlib.contextmanager
def away(path):
    """Take a file, link or folder away for a while."""
    shutil.move(path, f"{path}.away")
    try:
        yield
    finally:
        shutil.move(f"{path}.away", path)


@contextlib.contextmanager
def changed(path):
    """Change a file for a while."""
    shutil.copy2(path, "/tmp/as-it-was")
    with open(path, "ab") as file:
        file.write(b"\n# changed\n")
    try:
        yield
    finally:
        with open(path, "wb") as file:  # the same file, for whoever has it open
            file.write(Path("/tmp/as-it-was").read_bytes())


@contextlib.contextmanager
def uninstalled(package):
    """Have dpkg take a package for one that is not installed."""
    text = STATUS.read_text()
    mark = rf"(?m)^(Package: {re.escape(package)}\nStatus: )install ok installed$"
    STATUS.write_text(re.sub(mark, r"\1deinstall ok config-files", text))
    try:
        yield
    finally:
        STATUS.write_text(text)


@contextlib.contextmanager
def path_of(value):
    """Export another PATH for a while."""
    before = os.environ["PATH"]
    os.environ["PATH"] = value
    try:
        yield
    finally:
        os.environ["PATH"] = before


@contextlib.contextmanager
def killed(pid):
    """Kill a process, and wait until it is gone."""
    os.kill(pid, 9)
    end = time.monotonic() + 60
    while alive.alive(alive.process(pid)) and time.monotonic() < end:
        time.sleep(0.02)
    yield


def drifts(role, packages):
    """Yield what is changed, and a context in which it is."""
    yield "nothing", contextlib.nullcontext()
    for path in things(role):
        yield f"{path} away", away(path)
        if os.path.isfile(path) and os.path.getsize(path) < 1e6:
            yield f"{path} changed", changed(path)
    for package in (packages or deps.noted()[0]["installed"].get(role, []))[:2]:
        yield f"{package} uninstalled", uninstalled(package)
    pid = alive.running(str(Path(places.state_folder(), role, f"{role}.pid")))
    if pid:
        yield "process", killed(pid)


def main(role, options):
    report = provision.run(role, force=True, progress=lambda step: None, **options).hosts["localhost"][role]
    asked, variables = question(role, options)
    for pipe in (READY, GO):
        os.mkfifo(pipe)
    with path_of("/usr/bin:/bin"):
        compared = answers(role, asked, variables, [("PATH", contextlib.nullcontext())])
    compared += answers(role, asked, variables, list(drifts(role, report.get("packages", []))))
    for pipe in (READY, GO):
        pipe.unlink()
    wrong = [one for one in compared if one[1] != one[2] or one[:2] == ("nothing", None)]
    print(json.dumps({"due": sum(run is None for *_, run in compared), "wrong": wrong}))


signal.alarm(600)  # whatever waits for the other in vain
main(sys.argv[1], json.load(sys.stdin))

"""Ask both ways whether roles have anything to do, while each thing that they have installed is away or changed.

python compare.py ROLE prints how often something was due, and every change at which Ansible and the process of the
caller did not agree. The options of the role are read as JSON from standard input.
"""

import contextlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

import provision
from provision.colab import consent
from provision.engine import at_once, catalog, runner
from provision.machine import alive, places
from provision.machine.look import deps

LOOK = Path(__file__).with_name("look.yml")
# Folders that are not the roles' own: what is in them may go, they may not.
OURS = re.compile(r"/(opt|srv|root/\.|home/\w+/\.|var/lib/provision|etc/profile\.d/|usr/local/bin/|usr/bin/\w)")
STATUS = Path("/var/lib/dpkg/status")


def question(role, options):
    """Return the digest of a run's question, and its variables."""
    variables = consent.complete([role], catalog.variables([role], options), local=True, check=False)
    return at_once.digest([role], variables), variables


def answers(role, asked, variables):
    """Return the reports that the process itself gives, and those of Ansible; None for something to do."""
    own = at_once.outcome(asked)
    run = runner.run([role], variables, playbook=str(LOOK)).hosts.get("localhost", {})
    return own and own.hosts["localhost"], run if role in run else None


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


def drifts(role, packages):
    """Yield what is changed, and a context in which it is."""
    yield "nothing", contextlib.nullcontext()
    for path in things(role):
        yield f"{path} away", away(path)
        if os.path.isfile(path) and os.path.getsize(path) < 1e6:
            yield f"{path} changed", changed(path)
    for package in (packages or deps.noted()[0]["installed"].get(role, []))[:2]:
        yield f"{package} uninstalled", uninstalled(package)
    yield "PATH", path_of("/usr/bin:/bin")
    pid = alive.running(str(Path(places.state_folder(), role, f"{role}.pid")))
    if pid:
        yield "process", contextlib.nullcontext(os.kill(pid, 9))


def main(role, options):
    report = provision.run(role, force=True, progress=lambda step: None, **options).hosts["localhost"][role]
    asked, variables = question(role, options)
    due, wrong = 0, []
    for name, drift in drifts(role, report.get("packages", [])):
        with drift:
            own, run = answers(role, asked, variables)
        due += run is None
        if own != run or (name == "nothing" and own is None):
            wrong.append([name, own, run])
    print(json.dumps({"due": due, "wrong": wrong}))


main(sys.argv[1], json.load(sys.stdin))

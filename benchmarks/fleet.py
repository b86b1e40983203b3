#!/usr/bin/env python3
"""Time a run over many machines against pyinfra, in turn: one in which nothing has to change, or the first one.

    python benchmarks/fleet.py [--machines 1,5,20,50] [--runs 5] [--json FILE]
    python benchmarks/fleet.py --first --archive FILE.tar.zst [--machines 1,20] [--runs 5] [--json FILE]

The machines are bare Debian roots on this one, each with an SSH server of its own on a shared loopback, as
tests/machine makes them; that needs root. Both ways have their own defaults for how many machines are asked at once.

Without `--first` they have the distribution's MRtrix3, and pyinfra looks at the same things, in a deploy as one would
write it (benchmarks/converge.py has it). With it, each run is on machines that are new, and restores MRtrix3 from an
archive of a store that is where the command is typed. pyinfra puts the file on each, unpacks it with tar and zstd,
which are there, and links the commands; it neither checks the archive nor tries the commands.

Printed are medians: the time, the processor time of the machine where the command is typed, which leaves out what the
others spend, the memory of its largest process, the megabytes that it sends to the SSH servers, and the ratio of
neighbouring runs.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
import itertools
import json
import os
import re
import resource
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "tests" / "machine"), str(Path(__file__).parent)]

OPTIONS = {"mrtrix3_version": "any"}
SERVE = "rm -f /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key\n"
SERVE += "mkdir -p /run/sshd; /usr/sbin/sshd -o ListenAddress={}"
# What pyinfra unpacks with, its bytecode, and no command that looks like MRtrix3's.
BARE = "apt-get install -y -qq --no-install-recommends zstd > /dev/null; rm /usr/local/bin/mrinfo\n"
BARE += ".venv/bin/python -m compileall -q -j0 .venv/lib"
DEPLOY = """
from pyinfra.operations import files, server

files.put(name="Send the archive", src={archive!r}, dest="/tmp/mrtrix3.tar.zst")
server.shell(
    name="Unpack it and link the commands",
    commands=[
        "mkdir /opt/mrtrix3",
        "tar --zstd -x -f /tmp/mrtrix3.tar.zst -C /opt/mrtrix3",
        "ln -s /opt/mrtrix3/bin/* /usr/local/bin",
        "rm /tmp/mrtrix3.tar.zst",
    ],
)
"""
WAYS = ("provision", "pyinfra")


# --- The machines -----------------------------------------------------------------------------------------------------


def address(number: int) -> str:
    return f"127.0.1.{number + 1}"


@contextlib.contextmanager
def made(first: bool) -> Iterator[Any]:
    """Give what makes machines, their root, and the one with the project and pyinfra where the commands are typed."""
    import box as boxes  # only what makes the machines needs it, not what runs on one
    import layers

    more = BARE if first else ""

    def with_server(box: boxes.Box) -> None:
        box.run(f"{layers.CLIENT}{layers.SERVER}PROVISION_EXTRAS=benchmark ./bootstrap true\n{more}")

    if reason := boxes.why_not():
        sys.exit(f"No machines can be made here: {reason}.")
    with contextlib.closing(boxes.Machines(boxes.cache())) as machines:
        below = machines.ready("trixie") if first else layers.packaged(machines, "trixie")
        root = machines.layer(
            below, "benchmark", with_server, key=[layers.CLIENT, layers.SERVER, *more.split("\n")[:-1]]
        )
        with machines.box(root) as home:
            home.cut_network()
            yield machines, root, home


@contextlib.contextmanager
def others(machines: Any, root: Path, home: Any, number: int) -> Iterator[list[Any]]:
    """Give so many machines that are reached from home."""
    key, known, found = home.read("/root/.ssh/id_ed25519.pub"), "", []
    with contextlib.ExitStack() as stack:
        for at in range(number):
            other = stack.enter_context(machines.box(root))
            other.join_network(home)
            other.write("/root/.ssh/authorized_keys", key, mode="600")
            other.run(SERVE.format(address(at)))
            known += f"{address(at)} {other.read('/etc/ssh/ssh_host_ed25519_key.pub')}"
            found.append(other)
        home.write("/root/.ssh/known_hosts", known)
        yield found


def measured(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what each way has spent, as `nothing` or `restored` return it."""
    found = []
    with made(given.first) as (machines, root, home):
        if not given.first:
            with others(machines, root, home, max(given.machines)):
                return inside(home, "nothing", counts=given.machines, runs=given.runs)
        archive = f"/srv/{given.archive.name}"
        home.copy_in(given.archive, archive)
        for count, _, way in itertools.product(given.machines, range(given.runs), WAYS):
            with others(machines, root, home, count) as hosts:
                found += inside(home, "restored", count=count, way=way, archive=archive)
                for host in hosts:
                    host.run("mrinfo -version")
    return found


def inside(home: Any, function: str, **arguments: Any) -> list[dict[str, Any]]:
    """Return what a function of this file returns where the commands are typed."""
    words = shlex.quote(json.dumps([function, arguments]))
    done = home.run(f"./bootstrap python benchmarks/fleet.py --inside {words}", timeout=3600)
    return json.loads(done.stdout.splitlines()[-1])


# --- On the machine where one types -----------------------------------------------------------------------------------


@contextlib.contextmanager
def counted() -> Iterator[list[int]]:
    """Count the bytes that are sent to the SSH servers, whichever program does; a list of one number."""
    sent, ended = [0], threading.Event()
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))  # IPv4
    listener.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    listener.settimeout(0.2)

    def count() -> None:
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                head = listener.recv(60 + 20)  # seen once, as it arrives
                words = 4 * (head[0] & 15)
                to = int.from_bytes(head[words + 2 : words + 4], "big")
                if head[9] == socket.IPPROTO_TCP and to == 22:
                    sent[0] += int.from_bytes(head[2:4], "big") - words - 4 * (head[words + 12] >> 4)

    thread = threading.Thread(target=count)
    with listener:
        thread.start()
        try:
            yield sent
        finally:
            time.sleep(0.1)
            ended.set()
            thread.join()


def spent(argv: list[str], folder: Path, environment: dict[str, str]) -> tuple[dict[str, float], str]:
    """Run a command to its end; return its seconds, its processor's, the memory of its largest process; its words."""
    with tempfile.TemporaryFile() as said, counted() as sent:
        begin = time.perf_counter()
        process = subprocess.Popen(
            argv, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        taken = time.perf_counter() - begin
        said.seek(0)
        words = said.read().decode(errors="replace")
    if status:
        sys.exit(f"{argv[0]} failed:\n{words}")
    return {
        "seconds": taken,
        "processor": usage.ru_utime + usage.ru_stime,
        "megabytes": usage.ru_maxrss / 1024,
        "sent": sent[0] / 1e6,
    }, words


def commands(options: dict[str, Any], count: int, deploy: str, folder: Path) -> dict[str, list[str]]:
    """Return the command of each way for so many machines."""
    import converge  # it imports the project, which is installed on this machine

    hosts = [address(at) for at in range(count)]
    (folder / "inventory.py").write_text(f"hosts = {hosts}\n")
    (folder / "deploy.py").write_text(deploy)
    words = ["mrtrix3", *converge.flags(options), "--on", f"{','.join(hosts)},", "--json"]
    files = map(str, (folder / "inventory.py", folder / "deploy.py"))
    ours = [sys.executable, "-m", "provision", "run", *words]
    return dict(zip(WAYS, (ours, ["pyinfra", "--yes", "--user", "root", *files]), strict=True))


def nothing(counts: list[int], runs: int) -> list[dict[str, Any]]:
    """Return what each way spends on so many machines where nothing has to change."""
    import converge

    import provision

    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reports = provision.run("mrtrix3", **OPTIONS).to_dict()["hosts"]["localhost"]
        deploy = converge.DEPLOY.format(checks=converge.looked_at(reports, folder))
        for count in counts:
            ways = commands(OPTIONS, count, deploy, folder)
            for _, (way, argv) in itertools.product(range(runs), ways.items()):
                numbers, words = spent(argv, folder, converge.environment())
                # All of pyinfra's operations, on all machines together, are in the column of those without a change.
                if not re.search(r'"changed": 0\b|Grand total +(\d+) +- +- +\1 ', words):
                    sys.exit(f"{way} found something to do:\n{words}")
                found.append({"way": way, "machines": count, **numbers})
    return found


def restored(count: int, way: str, archive: str) -> list[dict[str, Any]]:
    """Return what one way spends to restore MRtrix3 on so many machines, with the connections that it leaves open."""
    import converge

    digest = hashlib.sha256(Path(archive).read_bytes()).hexdigest()
    options = {**OPTIONS, "mrtrix3_origin": "archive", "mrtrix3_archive": archive, "mrtrix3_archive_sha256": digest}
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what they leave becomes a child of this process
    with tempfile.TemporaryDirectory() as name:
        argv = commands(options, count, DEPLOY.format(archive=archive), Path(name))[way]
        numbers, _words = spent(argv, Path(name), converge.environment())
    with contextlib.suppress(ChildProcessError):
        while True:
            for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
                os.kill(int(child), signal.SIGTERM)
            os.wait()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return [{"way": way, "machines": count, **numbers, "processor": usage.ru_utime + usage.ru_stime}]


# --- What it comes to -------------------------------------------------------------------------------------------------


def table(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each number of machines and each way: medians, and the ratio to pyinfra."""
    rows = []
    for count, way in dict.fromkeys((one["machines"], one["way"]) for one in found):
        ours, theirs = (
            [one for one in found if (one["machines"], one["way"]) == (count, name)] for name in (way, "pyinfra")
        )
        ratios = (a["seconds"] / b["seconds"] for a, b in zip(ours, theirs, strict=True))
        medians = {
            name: round(statistics.median(one[name] for one in ours), 2)
            for name in ("seconds", "processor", "megabytes", "sent")
        }
        rows.append({"machines": count, "way": way, **medians, "pyinfra": round(statistics.median(ratios), 2)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", action="store_true", help="restore MRtrix3 on machines that are new")
    parser.add_argument("--archive", type=Path, help="what is restored: an archive of a store")
    parser.add_argument("--machines", metavar="N,...", type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        function, arguments = given.inside
        print(json.dumps({"nothing": nothing, "restored": restored}[function](**arguments)))
        return
    if given.first != bool(given.archive):
        parser.error("--first and --archive belong together")
    given.machines = given.machines or ([1, 20] if given.first else [1, 5, 20, 50])
    rows = table(measured(given))
    print(f"{'machines':>8} {'way':10} {'median s':>9} {'CPU s':>6} {'MB':>5} {'MB sent':>8} {'x pyinfra':>10}")
    for row in rows:
        print(
            f"{row['machines']:8} {row['way']:10} {row['seconds']:9.2f} {row['processor']:6.2f} "
            f"{row['megabytes']:5.0f} {row['sent']:8.2f} {row['pyinfra']:10.2f}"
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

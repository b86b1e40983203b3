#!/usr/bin/env python3
"""Time a run over many machines in which nothing has to change against pyinfra, in turn.

    python benchmarks/fleet.py [--machines 1,5,20,50] [--runs 5] [--json FILE]

The machines are bare Debian roots on this one, each with an SSH server of its own on a shared loopback and with the
distribution's MRtrix3, as tests/machine makes them; that needs root. pyinfra looks at the same things, in a deploy as
one would write it (benchmarks/converge.py has it). Both have their own defaults for how many machines are asked at
once. Printed are medians: the time, the processor time of the machine where the command is typed, which leaves out what
the others spend, the memory of its largest process, and the ratio of neighbouring runs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "tests" / "machine"), str(Path(__file__).parent)]

OPTIONS = {"mrtrix3_version": "any"}
SERVE = "rm -f /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key\n"
SERVE += "mkdir -p /run/sshd; /usr/sbin/sshd -o ListenAddress={}"


# --- The machines -----------------------------------------------------------------------------------------------------


def address(number: int) -> str:
    return f"127.0.1.{number + 1}"


@contextlib.contextmanager
def fleet(number: int) -> Iterator[Any]:
    """Give a machine with the project and pyinfra that reaches so many others, all with MRtrix3."""
    import box as boxes  # only what makes the machines needs it, not what runs on one
    import layers

    def with_server(box: boxes.Box) -> None:
        box.run(f"{layers.CLIENT}{layers.SERVER}PROVISION_EXTRAS=benchmark ./bootstrap true")

    if reason := boxes.why_not():
        sys.exit(f"No machines can be made here: {reason}.")
    with contextlib.ExitStack() as stack:
        machines = stack.enter_context(contextlib.closing(boxes.Machines(boxes.cache())))
        packaged = layers.packaged(machines, "trixie")
        root = machines.layer(packaged, "benchmark", with_server, key=[layers.CLIENT, layers.SERVER])
        home = stack.enter_context(machines.box(root))
        home.cut_network()
        key = home.read("/root/.ssh/id_ed25519.pub")
        for at in range(number):
            other = stack.enter_context(machines.box(root))
            other.join_network(home)
            other.write("/root/.ssh/authorized_keys", key, mode="600")
            other.run(SERVE.format(address(at)))
            public = other.read("/etc/ssh/ssh_host_ed25519_key.pub").strip()
            home.run(f"echo {shlex.quote(f'{address(at)} {public}')} >> ~/.ssh/known_hosts")
        yield home


# --- On the machine where one types -----------------------------------------------------------------------------------


def spent(argv: list[str], folder: Path, environment: dict[str, str]) -> dict[str, float]:
    """Run a command to its end; return its seconds, its processor's seconds and the memory of its largest process."""
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            argv, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        taken = time.perf_counter() - begin
        said.seek(0)
        words = said.read().decode(errors="replace")
    # All of its operations, on all machines together, are in the column of those that have changed nothing.
    nothing = r'"changed": 0\b' if "--json" in argv else r"Grand total +(\d+) +- +- +\1 "
    if status or not re.search(nothing, words):
        sys.exit(f"{argv[0]} failed, or found something to do:\n{words}")
    return {"seconds": taken, "processor": usage.ru_utime + usage.ru_stime, "megabytes": usage.ru_maxrss / 1024}


def inside(counts: list[int], runs: int) -> list[dict[str, Any]]:
    """Return what each way has spent on so many machines."""
    import converge  # it imports the project, which is installed on this machine

    import provision

    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reports = provision.run("mrtrix3", **OPTIONS).to_dict()["hosts"]["localhost"]
        (folder / "deploy.py").write_text(converge.DEPLOY.format(checks=converge.looked_at(reports, folder)))
        for count in counts:
            hosts = [address(at) for at in range(count)]
            (folder / "inventory.py").write_text(f"hosts = {hosts}\n")
            words = ["mrtrix3", *converge.flags(OPTIONS), "--on", f"{','.join(hosts)},", "--json"]
            ways = {
                "provision": [sys.executable, "-m", "provision", "run", *words],
                "pyinfra": [
                    "pyinfra",
                    "--yes",
                    "--user",
                    "root",
                    *map(str, (folder / "inventory.py", folder / "deploy.py")),
                ],
            }
            for _ in range(runs):
                found += [
                    {"way": way, "machines": count, **spent(argv, folder, converge.environment())}
                    for way, argv in ways.items()
                ]
    return found


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
            for name in ("seconds", "processor", "megabytes")
        }
        rows.append({"machines": count, "way": way, **medians, "pyinfra": round(statistics.median(ratios), 2)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {"type": lambda text: [int(part) for part in text.split(",")], "default": [1, 5, 20, 50]}
    parser.add_argument("--machines", metavar="N,...", **numbers)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        print(json.dumps(inside(given.machines, given.runs)))
        return
    with fleet(max(given.machines)) as home:
        counts = ",".join(map(str, given.machines))
        line = f"./bootstrap python benchmarks/fleet.py --inside --machines {counts} --runs {given.runs}"
        done = home.run(line, timeout=3600)
    rows = table(json.loads(done.stdout.splitlines()[-1]))
    print(f"{'machines':>8} {'way':10} {'median s':>9} {'CPU s':>6} {'MB':>5} {'x pyinfra':>10}")
    for row in rows:
        print(
            f"{row['machines']:8} {row['way']:10} {row['seconds']:9.2f} {row['processor']:6.2f} "
            f"{row['megabytes']:5.0f} {row['pyinfra']:10.2f}"
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

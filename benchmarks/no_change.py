"""Time a run that has nothing to do against an empty play, both through ansible-runner and both in turn.

    python benchmarks/no_change.py [--runs 7] [--json FILE]

MRtrix3 is installed first (any version), so that there is nothing to do. Prints a table: the median of each way, and
the median of the ratios of neighbouring runs, which holds when the machine's speed drifts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import provision
from provision import content

EMPTY_PLAY = "- hosts: all\n  gather_facts: false\n  tasks: []\n"
THROUGH_RUNNER = """
import sys, ansible_runner
done = ansible_runner.run(private_data_dir=sys.argv[1], playbook=sys.argv[2], inventory=sys.argv[3], quiet=True)
sys.exit(done.rc)
"""


def seconds(argv: list[str], environment: dict[str, str]) -> float:
    """Return the wall seconds of a whole process, which must succeed."""
    begin = time.perf_counter()
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)} failed:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - begin


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the ways to compare: the floor first."""
    root = content.root()
    play, inventory = folder / "empty.yml", root / "inventory" / "localhost.yml"
    play.write_text(EMPTY_PLAY)
    script = folder / "through_runner.py"
    script.write_text(THROUGH_RUNNER)
    playbook = ["ansible-playbook", "-i", str(inventory)]
    return {
        "empty play, ansible-playbook": [*playbook, str(play)],
        "site.yml for mrtrix3, ansible-playbook": [
            *playbook, str(root / "playbooks" / "mrtrix3.yml"), "-e", "mrtrix3_version=any",
        ],
        "empty play, ansible-runner": [sys.executable, str(script), str(folder), str(play), str(inventory)],
        "provision run mrtrix3": [sys.executable, "-m", "provision", "run", "mrtrix3", "--version", "any"],
    }


def measure(ways: dict[str, list[str]], runs: int) -> dict[str, list[float]]:
    """Run all ways in turn, once for warmth and then `runs` times."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path, "ANSIBLE_CONFIG": str(content.root() / "ansible.cfg")}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(runs + 1):
        for name, argv in ways.items():
            taken = seconds(argv, environment)
            if turn:
                times[name].append(taken)
    return times


def table(times: dict[str, list[float]]) -> list[dict]:
    """Return a row per way: its median, and its ratio to the empty play started the same way."""
    rows = []
    names = list(times)
    for name, floor in ((names[0], names[0]), (names[1], names[0]), (names[2], names[2]), (names[3], names[2])):
        ratio = statistics.median(a / b for a, b in zip(times[name], times[floor], strict=True))
        rows.append({"way": name, "seconds": round(statistics.median(times[name]), 2), "ratio": round(ratio, 2)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    provision.run("mrtrix3", version="any")
    with tempfile.TemporaryDirectory() as folder:
        rows = table(measure(commands(Path(folder)), arguments.runs))
    print(f"{'way':40} {'median s':>9} {'x empty play':>13}")
    for row in rows:
        print(f"{row['way']:40} {row['seconds']:9.2f} {row['ratio']:13.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measure how quickly a study goes through its steps, against other ways of running the same commands.

    python benchmarks/study.py [real] [steps] [start] [--subjects 12] [--jobs 1,2] [--rounds 1] [--json FILE]

real    subjects per hour: mask, response functions, their average, FODs and normalisation of phantom subjects
steps   what a step costs on top of its command: copies of a small file
start   how long a run takes that has nothing to do, and the start of each engine

The other ways are a loop of the shell (with several jobs: `xargs -P`), GNU parallel, and MRtrix3's for_each, with
the same commands in the same order and as many threads. Ways take turns; a ratio is the median over the rounds. What
they write is looked at: every way has to make every FOD. MRtrix3 has to be on PATH, and parallel if it is to take part.
What is written goes below TMPDIR.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import study_data  # the folder of this file is not where Python looks by itself under -P

PARTS = ("real", "steps", "start")
COPIES, STEPS = 60, 3

# The built-in steps without the check of gradients, which the other ways do not have.
PIPELINE = """
steps:
  - name: mask
    inputs: [dwi, bvec, bval]
    outputs: {mask: mask.nii.gz}
    commands: ["dwi2mask {in.dwi} {out.mask} -fslgrad {in.bvec} {in.bval} -quiet"]
  - name: response
    inputs: [dwi, bvec, bval, mask]
    outputs: {wm: wm.txt, gm: gm.txt, csf: csf.txt}
    commands:
      - dwi2response dhollander {in.dwi} {out.wm} {out.gm} {out.csf} -mask {in.mask} -fslgrad {in.bvec} {in.bval} -quiet
  - name: average
    level: group
    inputs: [wm, gm, csf]
    outputs: {mean_wm: wm.txt, mean_gm: gm.txt, mean_csf: csf.txt}
    commands:
      - responsemean {in.wm} {out.mean_wm} -quiet
      - responsemean {in.gm} {out.mean_gm} -quiet
      - responsemean {in.csf} {out.mean_csf} -quiet
  - name: fod
    inputs: [dwi, bvec, bval, mask, mean_wm, mean_gm, mean_csf]
    outputs: {fod_wm: fod_wm.mif.gz, fod_gm: fod_gm.mif.gz, fod_csf: fod_csf.mif.gz}
    commands:
      - >-
        dwi2fod msmt_csd {in.dwi} {in.mean_wm} {out.fod_wm} {in.mean_gm} {out.fod_gm} {in.mean_csf} {out.fod_csf}
        -mask {in.mask} -fslgrad {in.bvec} {in.bval} -quiet
  - name: normalise
    inputs: [fod_wm, fod_gm, fod_csf, mask]
    outputs: {norm_wm: norm_wm.mif.gz, norm_gm: norm_gm.mif.gz, norm_csf: norm_csf.mif.gz}
    commands:
      - >-
        mtnormalise {in.fod_wm} {out.norm_wm} {in.fod_gm} {out.norm_gm} {in.fod_csf} {out.norm_csf}
        -mask {in.mask} -quiet
"""

# The same for a shell: $1 is the image, $2 the folder of its outputs.
FIRST = """
mkdir -p "$2"
dwi2mask "$1" "$2/mask.nii.gz" -fslgrad BVEC BVAL -quiet -force
cd "$2"
dwi2response dhollander "$1" wm.txt gm.txt csf.txt -mask mask.nii.gz -fslgrad BVEC BVAL -quiet -force
"""
MEAN = 'for t in wm gm csf; do responsemean "$1"/*/$t.txt "$1"/$t.txt -quiet -force; done'
SECOND = """
cd "$2"
dwi2fod msmt_csd "$1" ../wm.txt fod_wm.mif.gz ../gm.txt fod_gm.mif.gz ../csf.txt fod_csf.mif.gz -mask mask.nii.gz \\
  -fslgrad BVEC BVAL -quiet -force
mtnormalise fod_wm.mif.gz norm_wm.mif.gz fod_gm.mif.gz norm_gm.mif.gz fod_csf.mif.gz norm_csf.mif.gz \\
  -mask mask.nii.gz -quiet -force
"""

Way = Callable[[Path, Path, int, int], None]


class Bench:
    """A dataset, and ways to run commands on each of its images."""

    def __init__(self, folder: Path, subjects: int):
        self.folder, self.bids = folder, folder / "bids"
        # Those that are wrong, or of another kind, come last.
        study = study_data.write(folder / "all", subjects + 3)
        self.names = study.right[:subjects]
        for name in self.names:
            image = Path(*name.split("_"), "dwi", f"{name}_dwi.nii.gz")
            (self.bids / image).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "all" / image, self.bids / image)
        for name in ("dwi.bvec", "dwi.bval", "dataset_description.json"):
            shutil.copy(folder / "all" / name, self.bids / name)
        (folder / "steps.yml").write_text(PIPELINE)
        for name, text in (("first", FIRST), ("second", SECOND)):
            body = text.replace("BVEC", str(self.bids / "dwi.bvec")).replace("BVAL", str(self.bids / "dwi.bval"))
            (folder / f"{name}.sh").write_text(f"set -e{body}")

    def images(self) -> list[tuple[str, Path]]:
        """Return the name and the path of each image."""
        return [(name, self.bids.joinpath(*name.split("_"), "dwi", f"{name}_dwi.nii.gz")) for name in self.names]

    def provision(self, bids: Path, out: Path, jobs: int, threads: int, steps: Path | None = None) -> None:
        """Run the steps with this project."""
        argv = [sys.executable, "-m", "provision", "process", bids, out, "participant", "--no-report", "--json"]
        argv += ["--steps", steps or self.folder / "steps.yml", "--jobs", jobs, "--nthreads", threads]
        run([*map(str, argv)], threads)

    def shell(self, out: Path, jobs: int, threads: int, each: Callable[[str], list[str]]) -> None:
        """Run the same with the commands that go through a list of images and folders."""
        for name in ("first", "second"):
            run(each(str(self.folder / f"{name}.sh")), threads)
            if name == "first":
                run(["sh", "-c", MEAN, "sh", str(out)], threads)

    def pairs(self, out: Path) -> list[str]:
        """Return a line for each image: its path, and the folder of its outputs."""
        return [f"{path} {out / name}" for name, path in self.images()]

    def ways(self) -> dict[str, Way]:
        """Return the ways by name."""

        def loop(_: Path, out: Path, jobs: int, threads: int) -> None:
            lines = shlex_lines(self.pairs(out))
            plain = 'script=$1; printf "%s" "$2" | while read -r a b; do sh "$script" "$a" "$b"; done'
            many = f'script=$1; printf "%s" "$2" | xargs -P {jobs} -n 2 sh "$script"'
            self.shell(
                out, jobs, threads, lambda script: ["sh", "-ec", plain if jobs == 1 else many, "sh", script, lines]
            )

        def parallel(_: Path, out: Path, jobs: int, threads: int) -> None:
            argv = ["parallel", "--will-cite", f"-j{jobs}", "--halt", "now,fail=1", "--colsep", " "]
            self.shell(out, jobs, threads, lambda script: [*argv, "sh", script, "{1}", "{2}", ":::", *self.pairs(out)])

        def for_each(_: Path, out: Path, jobs: int, threads: int) -> None:
            images = [str(path) for _, path in self.images()]
            argv = ["for_each", "-quiet", "-nthreads", str(jobs), *images, ":", "sh"]
            self.shell(out, jobs, threads, lambda script: [*argv, script, "IN", f"{out}/PRE"])

        found: dict[str, Way] = {"provision": self.provision, "shell": loop}
        if shutil.which("parallel"):
            found["parallel"] = parallel
        if shutil.which("for_each"):
            found["for_each"] = for_each
        return found


def shlex_lines(lines: list[str]) -> str:
    """Return lines for a shell's `read`."""
    return "".join(f"{line}\n" for line in lines)


def run(argv: list[str], threads: int = 1) -> None:
    """Run a command with so many threads; end with what it said if it fails."""
    names = ("MRTRIX_NTHREADS", "OMP_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{argv[0]} failed: {done.stderr[-2000:]}")


def seconds_of(call: Callable[[], None]) -> float:
    """Return how long a call takes."""
    start = time.monotonic()
    call()
    return time.monotonic() - start


def measure_real(folder: Path, subjects: int, jobs: list[int], rounds: int) -> list[dict]:
    """Return how long each way takes with so many jobs."""
    bench, found = Bench(folder, subjects), []
    cores = len(os.sched_getaffinity(0))
    for number in range(rounds):
        for many in jobs:
            for name, way in bench.ways().items():
                out = folder / f"{name}-{many}-{number}"
                out.mkdir()
                taken = seconds_of(lambda: way(bench.bids, out, many, max(1, cores // many)))  # noqa: B023
                made = len(list(out.rglob("*fod_wm.mif.gz")))
                if made != subjects:
                    sys.exit(f"{name} made {made} FODs, not {subjects}")
                found.append({"part": "real", "way": name, "jobs": many, "seconds": round(taken, 2)})
                print(
                    f"{name:10} {many} jobs: {taken:.1f} s, {3600 * subjects / taken:.0f} subjects an hour", flush=True
                )
                shutil.rmtree(out)
    return found


COPYING = "\n".join(
    ["steps:"]
    + [
        f"  - {{name: s{at}, inputs: [{'dwi' if not at else f'c{at - 1}'}], outputs: {{c{at}: c{at}.nii.gz}}, "
        f"commands: ['cp {{in.{'dwi' if not at else f'c{at - 1}'}}} {{out.c{at}}}']}}"
        for at in range(STEPS)
    ]
)


def measure_steps(folder: Path, rounds: int) -> list[dict]:
    """Return what a step costs on top of its command, with one job."""
    bench, found = Bench(folder, 2), []
    bids, steps = folder / "copies", folder / "copies.yml"
    steps.write_text(COPYING)
    image = bench.images()[0][1]
    for number in range(COPIES):
        place = bids / f"sub-{number:03d}" / "dwi"
        place.mkdir(parents=True)
        shutil.copy(image, place / f"sub-{number:03d}_dwi.nii.gz")
    for name in ("dwi.bvec", "dwi.bval"):
        shutil.copy(bench.bids / name, bids / name)
    images = sorted(bids.rglob("*_dwi.nii.gz"))
    copy = 'set -e; mkdir -p "$2"; cp "$1" "$2/c0"; cp "$2/c0" "$2/c1"; cp "$2/c1" "$2/c2"'
    lines = shlex_lines([f"{path} {folder}/loop/{path.name}" for path in images])
    ways: dict[str, Callable[[], None]] = {
        "provision": lambda: bench.provision(bids, folder / "copied", 1, 1, steps),
        "shell": lambda: run(["sh", "-ec", f"printf '%s' \"$1\" | xargs -n 2 sh -c '{copy}' sh", "sh", lines]),
    }
    for _ in range(rounds):
        for name, way in ways.items():
            for place in ("copied", "loop"):
                shutil.rmtree(folder / place, ignore_errors=True)
            taken = seconds_of(way)
            found.append({"part": "steps", "way": name, "seconds": round(taken, 3), "steps": COPIES * STEPS})
            print(
                f"{name:10} {COPIES * STEPS} copies: {taken:.2f} s, {1000 * taken / COPIES / STEPS:.1f} ms each",
                flush=True,
            )
    # What is left when nothing is due is the start, which is not a step's.
    taken = seconds_of(lambda: bench.provision(bids, folder / "copied", 1, 1, steps))
    if (folder / "copied").exists():
        found.append({"part": "steps", "way": "provision, nothing to do", "seconds": round(taken, 3)})
    return found


def measure_start(folder: Path, rounds: int) -> list[dict]:
    """Return how long each engine takes that has nothing to do, or next to nothing."""
    bench, found = Bench(folder, 2), []
    out = folder / "done"
    bench.provision(bench.bids, out, 2, 1)
    ways: dict[str, Callable[[], None]] = {"provision": lambda: bench.provision(bench.bids, out, 2, 1)}
    ways["shell"] = lambda: run(["sh", "-c", ":"])
    if shutil.which("parallel"):
        ways["parallel"] = lambda: run(["parallel", "--will-cite", "-j2", "true", ":::", "1"])
    if shutil.which("for_each"):
        ways["for_each"] = lambda: run(["for_each", "-quiet", str(bench.images()[0][1]), ":", "true", "IN"])
    connect = (
        "import distributed\n"
        "with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:\n"
        "    with distributed.Client(cluster) as client: client.submit(int, 1).result()\n"
    )
    ways["Dask, two workers"] = lambda: run([sys.executable, "-c", f"if __name__ == '__main__':\n{indented(connect)}"])
    for _ in range(rounds):
        for name, way in ways.items():
            taken = seconds_of(way)
            found.append({"part": "start", "way": name, "seconds": round(taken, 3)})
            print(f"{name:20} start: {taken:.2f} s", flush=True)
    return found


def indented(text: str) -> str:
    """Return lines within a block."""
    return "".join(f"    {line}\n" for line in text.splitlines())


def summarise(found: list[dict]) -> None:
    """Print the median of each way, and the ratio to the best of the others."""
    keys = dict.fromkeys((one["part"], one.get("jobs", 1)) for one in found)
    for part, jobs in keys:
        medians = {
            name: statistics.median(
                one["seconds"] for one in found if (one["part"], one.get("jobs", 1), one["way"]) == (part, jobs, name)
            )
            for name in dict.fromkeys(one["way"] for one in found if (one["part"], one.get("jobs", 1)) == (part, jobs))
        }
        if part == "real":
            best = min(seconds for name, seconds in medians.items() if name != "provision")
            speed = best / medians["provision"]
            print(f"{part}, {jobs} jobs: provision has {speed:.3f} times the speed of the best of the others")
        elif "shell" in medians and part == "steps":
            more = 1000 * (medians["provision"] - medians["shell"]) / COPIES / STEPS
            print(f"steps: {more:.1f} ms more for each than in a loop of the shell")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--subjects", type=int, default=12)
    parser.add_argument("--jobs", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"unknown part: {', '.join(unknown)}")
    if "real" in given.parts and not shutil.which("dwi2fod"):
        parser.error("MRtrix3 is not on PATH")
    found: list[dict] = []
    for part in given.parts:
        with tempfile.TemporaryDirectory(prefix="provision-study-") as name:
            folder = Path(name)
            if part == "real":
                found += measure_real(folder, given.subjects, given.jobs, given.rounds)
            elif part == "steps":
                found += measure_steps(folder, max(3, given.rounds))
            else:
                found += measure_start(folder, max(3, given.rounds))
    summarise(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Measure what a store of builds saves, what it costs, and how quick the programs are that it keeps.

    python benchmarks/store.py [restore] [drive] [speed] [build] [--archive FILE] [--json FILE] ...

restore  unpacking an archive against `zstd -d | tar x`, and a whole run that installs it against one with nothing to do
drive    getting MRtrix3 from a slow drive: as an archive, by starting its commands there, by copying its files
speed    CPU time of a store's commands against those of the distribution's package, and how far their results differ
build    compiling MRtrix3 the role's way against `./configure -nogui && ./build`; only when it is asked for

All ways of a table are run in turn; a ratio is the median of the ratios of neighbouring runs, which holds when the
machine's speed drifts. What is written goes below TMPDIR.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import slow_drive

from provision.engine import content
from provision.machine import cpu, notes, places, reading, system, versions
from provision.machine.store.choose import why_not_here
from provision.machine.store.errors import StoreError
from provision.machine.store.names import SUFFIX, archives
from provision.machine.store.read import manifest_of, read_archive

# A run on the drive mostly sleeps, so that few say as much as many; a build takes half an hour.
RUNS = {"restore": 7, "drive": 3, "speed": 5, "build": 1}
DRIVES = {"typical": slow_drive.TYPICAL, "fast": slow_drive.FAST, "bad": slow_drive.BAD}
COPY = 'zstd -d -c --long=27 "$1" | tar x -C "$2"'
# Times the call alone, in a Python that has imported everything before.
UNPACK = """
import json, sys, time
if "without" in sys.argv: sys.modules["zstandard"] = None
from provision.machine.store.read import read_archive
wall, cpu = time.perf_counter(), time.process_time()
read_archive(sys.argv[1], keep=sys.argv[2])
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""
BUILD = """
import sys
root, source, commands, cpu, jobs, store, commit = sys.argv[1:]
sys.path.insert(0, root)
from plugins.module_utils.provision.build.driver import stop_on_signals
from plugins.module_utils.provision.build.tree import build
stop_on_signals()
build(source, commands.split(), cpu, int(jobs), lambda *_: None, print, store, commit)
"""
# Such that each command takes 5 to 30 s of CPU time. dwidenoise would by itself take windows of 7 x 7 x 7 voxels.
SHAPE, EXTENT, SEEDS = (28, 28, 12), 5, 5000


class Unable(Exception):
    """A table that cannot be measured here; the message says why, and what to do about it."""


class Taken(NamedTuple):
    """Seconds on the clock and of the processors."""

    wall: float
    cpu: float


Ways = dict[str, Callable[[int], dict[str, Taken]]]
Times = dict[str, list[Taken]]


class Table(NamedTuple):
    """What was measured: a row per pair of ways, and what else there is to tell."""

    title: str
    rows: list[dict]
    more: dict[str, object]


# --- Measuring --------------------------------------------------------------------------------------------------------


def now() -> Taken:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(time.perf_counter(), used.ru_utime + used.ru_stime)


def since(begin: Taken) -> Taken:
    """Return what this process's children have taken since then; those that still run are not counted."""
    return Taken(*(after - before for before, after in zip(begin, now(), strict=True)))


def call(argv: Iterable[object], **options) -> tuple[Taken, str]:
    """Return what a whole process, which must succeed, has taken, and its output."""
    words, begin = [str(word) for word in argv], now()
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options)
    taken = since(begin)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise Unable(f"{' '.join(words[:8])} failed with exit code {done.returncode}: {said}")
    return taken, done.stdout


def in_turn(ways: Ways, runs: int, warm: bool = True) -> Times:
    """Run all ways in turn so many times, and once before for warmth; each returns one time or several by name."""
    times: Times = {}
    for turn in range(-1 if warm else 0, runs):
        for way in ways.values():
            for name, taken in way(turn).items():
                if turn >= 0:
                    times.setdefault(name, []).append(taken)
    return times


def rows(times: Times, pairs: Iterable[tuple[str, str]]) -> list[dict]:
    """Return a row per pair: the medians of the first way, and of its ratios to the second one."""
    return [
        {"way": way, "against": floor, **medians(times[way]), **ratios(times[way], times[floor])}
        for way, floor in pairs
        if way in times
    ]


def medians(times: list[Taken]) -> dict[str, float]:
    return {name: round(statistics.median(taken[at] for taken in times), 3) for at, name in enumerate(Taken._fields)}


def ratios(times: list[Taken], floors: list[Taken]) -> dict[str, float | None]:
    """Return the medians of the ratios of neighbouring runs; None where the floor is too short to be measured."""
    found = {}
    for at, name in enumerate(Taken._fields):
        pairs = [(taken[at], floor[at]) for taken, floor in zip(times, floors, strict=False)]
        measurable = all(floor > 0 for _, floor in pairs)
        found[f"{name}_ratio"] = round(statistics.median(a / b for a, b in pairs), 3) if measurable else None
    return found


def fresh(folder: Path) -> Path:
    """Return a folder that is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def environment(first: Path | None = None, **more: str) -> dict[str, str]:
    """Return this process's environment, with a folder, or the programs of its Python, first on the PATH."""
    path = os.pathsep.join([str(first or sysconfig.get_path("scripts")), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, **more}


def need(program: str, package: str) -> str:
    """Return the path of a program that only measuring needs."""
    found = shutil.which(program)
    if not found:
        raise Unable(f"There is no {program} here: apt-get install {package}.")
    return found


# --- The archive ------------------------------------------------------------------------------------------------------


def archive_of(given: argparse.Namespace) -> Path:
    """Return the archive that was named, else the newest whole one of this user's store; it must run here."""
    machine = dict(system.look_at_machine(), flags=cpu.cpu_flags())
    found, whys = [], []
    for path in [str(given.archive)] if given.archive else archives(machine["store"]):
        try:
            manifest = manifest_of(path)
            why = why_not_here(manifest, machine)
        except StoreError as error:
            why = error.message
        if why:
            whys.append(f"{path}: {why}")
        else:
            found.append((manifest["complete"], manifest["created"], path))
    if not found:
        why = "; ".join(whys) or f"there is none in {machine['store']}"
        raise Unable(f"An archive of a build that runs here is needed ({why}): name one with --archive.")
    return Path(max(found)[-1]).resolve()


def unpack(archive: Path, folder: Path, *more: str) -> dict[str, Taken]:
    """Restore an archive into a fresh folder, by a Python of its own."""
    whole, said = call([sys.executable, "-c", UNPACK, archive, fresh(folder), *more])
    name = "read_archive" + "".join(f" {word} zstandard" for word in more)
    return {name: Taken(*json.loads(said)), f"{name}, whole process": whole}


def starting(folder: Path) -> list[str]:
    """Return the names of the commands that answer `-version`: a few scripts know nothing of it."""
    compiled, scripts = [], []
    for path in sorted(folder.iterdir()):
        if os.access(path, os.X_OK) and path.is_file() and path.suffix != ".py":
            (scripts if reading.is_script(path) else compiled).append(path.name)
    return [name for name in compiled + scripts if start(folder, [name])]


def start(folder: Path, names: list[str]) -> bool:
    """Start commands one after the other, as people do; tell whether all of them answered."""
    with tempfile.TemporaryDirectory() as cache:
        # Compiled Python goes to a folder of its own: the next time must find the tree as it was.
        mine = environment(PYTHONPYCACHEPREFIX=cache, first=folder)
        options = {"cwd": cache, "env": mine, "stdin": subprocess.DEVNULL, "capture_output": True, "check": False}
        return all(subprocess.run([folder / name, "-version"], **options).returncode == 0 for name in names)


# --- restore ----------------------------------------------------------------------------------------------------------


def restore(given: argparse.Namespace, folder: Path) -> Iterator[Table]:
    """Compare unpacking, with all that is checked, with what unpacks without a check."""
    need("zstd", "zstd")
    archive = folder / archive_of(given).name
    shutil.copyfile(archive_of(given), archive)  # on the disk that it is unpacked to, and in the page cache
    target, peer = folder / "target", "zstd -d | tar x"
    ways: Ways = {
        peer: lambda _: {peer: call(["sh", "-c", COPY, "sh", archive, fresh(target)])[0]},
        "read_archive": lambda _: unpack(archive, target),
        "system": lambda _: unpack(archive, target, "without"),
    }
    times = in_turn(ways, given.runs or RUNS["restore"])
    manifest = manifest_of(str(archive))
    more = {"archive": archive.name, "bytes": archive.stat().st_size, "bytes unpacked": manifest["unpacked"]}
    yield Table("Unpacking an archive", rows(times, [(name, peer) for name in times]), more)


def install(given: argparse.Namespace, folder: Path) -> Iterator[Table]:
    """Compare a run that installs from a store with one that has nothing to do."""
    if notes.read_state("mrtrix3"):
        raise Unable(
            f"MRtrix3 is noted in {places.state_folder()}, and installing it again would overwrite the note: take it "
            "away with `provision run mrtrix3 --state absent`, or measure on another machine."
        )
    archive, store = archive_of(given), folder / "store"
    store.mkdir()
    (store / archive.name).symlink_to(archive)
    provision = [sys.executable, "-m", "provision", "run", "mrtrix3", "--prefix", folder / "prefix"]
    wanted = [*provision, "--origin", "store", "--store", store, "--link-dir", "none", *which(archive)]
    installs, nothing = "provision run from a store", "provision run, nothing to do"

    def first(_: int) -> dict[str, Taken]:
        call([*provision, "--state", "absent", "--link-dir", "none"], env=environment())
        return {installs: call(wanted, env=environment())[0]}

    try:
        ways: Ways = {installs: first, nothing: lambda _: {nothing: call(wanted, env=environment())[0]}}
        times = in_turn(ways, given.runs or RUNS["restore"])
        unpacked = [unpack(archive, folder / "target")["read_archive"].wall for _ in range(3)]
    finally:
        call([*provision, "--state", "absent", "--link-dir", "none"], env=environment())
    extra = statistics.median(a.wall - b.wall for a, b in zip(times[installs], times[nothing], strict=True))
    more = {"seconds more": round(extra, 2), "of these unpacking": round(statistics.median(unpacked), 2)}
    yield Table("Installing from a store", rows(times, [(nothing, nothing), (installs, nothing)]), more)


def which(archive: Path) -> list[str]:
    """Return the options that ask for this very build."""
    manifest = manifest_of(str(archive))
    options = ["--version", manifest["version"]]
    if not versions.is_release(manifest["version"]):
        options += ["--repo", manifest["repo"]]
    if not manifest["complete"]:
        options += ["--commands", ",".join(manifest["asked"])]
    return options


# --- drive ------------------------------------------------------------------------------------------------------------


def drive(given: argparse.Namespace, folder: Path) -> Iterator[Table]:
    """Compare ways of having MRtrix3 of a slow drive at hand, each with a mount that knows nothing yet."""
    if sentence := slow_drive.missing():
        raise Unable(sentence)
    archive, shown = archive_of(given), folder / "shown"
    (shown / "tree").mkdir(parents=True)
    shutil.copy(archive, shown)
    notes = archive.with_name(archive.name.removesuffix(SUFFIX) + ".json")
    if notes.exists():
        shutil.copy(notes, shown)
    read_archive(str(archive), keep=str(shown / "tree"))
    names = starting(shown / "tree/bin")
    files = sum(len(names) for _, _, names in os.walk(shown / "tree"))
    for kind, preset in DRIVES.items():
        ways = drive_ways(shown, archive.name, preset, folder / "target", names)
        times = in_turn(ways, given.runs or RUNS["drive"], warm=False)
        more = {**preset._asdict(), "commands": len(names), "files": files}
        yield Table(f"A {kind} drive", rows(times, DRIVE_PAIRS), more)


BANDWIDTH, RESTORE = "the archive's bytes at full bandwidth", "restore the archive"
RESTORE_START, FROM_MOUNT = "restore, start all commands", "start all commands from the mount"
COPY_TREE = "copy the unpacked tree"
DRIVE_PAIRS = (
    (RESTORE, BANDWIDTH),
    (RESTORE_START, RESTORE),
    (FROM_MOUNT, RESTORE),
    (FROM_MOUNT, RESTORE_START),
    (COPY_TREE, RESTORE),
)


def drive_ways(shown: Path, name: str, preset: slow_drive.Drive, target: Path, commands: list[str]) -> Ways:
    """Return the ways to compare on one drive."""

    def restored(_: int) -> dict[str, Taken]:
        floor = Taken((shown / name).stat().st_size / preset.bandwidth, 0)
        with slow_drive.mounted(shown, **preset._asdict()) as mount:
            restore = unpack(mount / name, target)["read_archive"]
        started = started_all(target / "bin", commands)
        both = Taken(restore.wall + started.wall, restore.cpu + started.cpu)
        return {BANDWIDTH: floor, RESTORE: restore, RESTORE_START: both}

    def started(_: int) -> dict[str, Taken]:
        with slow_drive.mounted(shown, **preset._asdict()) as mount:
            return {FROM_MOUNT: started_all(mount / "tree/bin", commands)}

    def copied(turn: int) -> dict[str, Taken]:
        if turn:  # it takes minutes, and each time as many
            return {}
        with slow_drive.mounted(shown, **preset._asdict()) as mount:
            return {COPY_TREE: call(["cp", "-r", mount / "tree", fresh(target)])[0]}

    return {RESTORE: restored, FROM_MOUNT: started, COPY_TREE: copied}


def started_all(folder: Path, names: list[str]) -> Taken:
    begin = now()
    if not start(folder, names):
        raise Unable(f"A command in {folder} answered before and does not now.")
    return since(begin)


# --- speed ------------------------------------------------------------------------------------------------------------


def speed(given: argparse.Namespace, folder: Path) -> Iterator[Table]:
    """Compare the CPU time of two installations at the same work, and what they make."""
    places = {"store": store_bin(given, folder), "package": package_bin(given)}
    for place in places.values():
        lacking = [name for name in ("dwi2fod", "dwidenoise", "tckgen") if not (place / name).exists()]
        if lacking:
            raise Unable(f"{place} lacks {', '.join(lacking)}: name a whole installation.")
    data = prepare(folder / "data", places["package"])
    ways: Ways = {}
    for command in work(folder):
        for who, place in places.items():
            ways[f"{command}, {who}"] = worker(command, who, place, data)
    times = in_turn(ways, given.runs or RUNS["speed"])
    pairs = [(f"{command}, store", f"{command}, package") for command in work(folder)]
    more = {who: version(place) for who, place in places.items()}
    more.update(differences({who: data / who for who in places}))
    yield Table("CPU time of the same work", rows(times, pairs), more)


def store_bin(given: argparse.Namespace, folder: Path) -> Path:
    if given.bin:
        return given.bin.resolve()
    (folder / "ours").mkdir()
    read_archive(str(archive_of(given)), keep=str(folder / "ours"))
    return folder / "ours/bin"


def package_bin(given: argparse.Namespace) -> Path:
    place = given.package_bin
    if not (place / "mrinfo").exists():
        raise Unable(f"No MRtrix3 in {place} to compare with: apt-get install mrtrix3, or name one with --package-bin.")
    return place.resolve()


def run_in(place: Path, folder: Path, argv: Iterable[object]) -> Taken:
    """Run a command of an installation; where it draws random numbers, always the same."""
    name, *words = argv
    return call([place / name, *words], cwd=folder, env=environment(place, MRTRIX_RNG_SEED="1", MRTRIX_QUIET="1"))[0]


def prepare(folder: Path, place: Path) -> Path:
    """Make the phantom, and with one of the installations what both begin with."""
    try:
        from provision.demo.phantom import make_phantom

        make_phantom(SHAPE).write(folder)
    except ModuleNotFoundError as error:
        raise Unable(f"The phantom needs {error.name}: pip install 'mrtrix-provision[demo]'.") from error
    for name in ("store", "package"):
        (folder / name).mkdir()
    responses = ["wm.txt", "gm.txt", "csf.txt", "-mask", "mask.nii.gz"]
    for argv in (
        ["mrconvert", "dwi.nii.gz", "dwi.mif", "-fslgrad", "bvecs", "bvals"],
        ["dwi2response", "dhollander", "dwi.mif", *responses],
        work(folder)["dwi2fod"],
    ):
        run_in(place, folder, argv)
    return folder


def work(into: Path) -> dict[str, list[object]]:
    """Return the commands to run, each with a file it makes in a folder."""
    fods = [into / f"{tissue}.nii" if made else f"{tissue}.txt" for tissue in ("wm", "gm", "csf") for made in (0, 1)]
    seeds = ["-seed_image", "mask.nii.gz", "-seeds", SEEDS, "-select", 0]
    return {
        "dwi2fod": ["dwi2fod", "msmt_csd", "dwi.mif", *fods, "-mask", "mask.nii.gz", "-force", "-nthreads", 2],
        "dwidenoise": ["dwidenoise", "dwi.mif", into / "denoised.nii", "-extent", EXTENT, "-force", "-nthreads", 2],
        # Several threads would share the seeds out differently each time.
        "tckgen": ["tckgen", "wm.nii", into / "tracks.tck", *seeds, "-force", "-nthreads", 0],
    }


def worker(command: str, who: str, place: Path, data: Path) -> Callable[[int], dict[str, Taken]]:
    argv = work(data / who)[command]
    return lambda _: {f"{command}, {who}": run_in(place, data, argv)}


def version(place: Path) -> str:
    return call([place / "mrinfo", "-version"])[1].split()[2]


def differences(folders: dict[str, Path]) -> dict[str, object]:
    """Return how far the results of the installations are apart."""
    import nibabel
    import numpy as np

    found: dict[str, object] = {}
    for command, name in (("dwi2fod", "wm.nii"), ("dwidenoise", "denoised.nii")):
        ours, theirs = (np.asarray(nibabel.load(folder / name).dataobj, float) for folder in folders.values())
        apart = ours - theirs
        found[f"{command}, largest difference"] = float(f"{np.abs(apart).max():.2g}")
        found[f"{command}, largest value"] = float(f"{np.abs(theirs).max():.3g}")
        found[f"{command}, RMS of difference / RMS"] = float(f"{np.sqrt((apart**2).mean() / (theirs**2).mean()):.2g}")
        # One noise component more or less, which rounding may decide, makes another voxel of it.
        voxels = (np.abs(apart) > 1e-4 * np.abs(theirs).max()).any(axis=-1)
        found[f"{command}, voxels further apart than 0.0001 of that"] = f"{voxels.sum()} of {voxels.size}"
    for who, folder in folders.items():
        header = nibabel.streamlines.load(folder / "tracks.tck", lazy_load=True).header
        found[f"tckgen, streamlines of {SEEDS} seeds, {who}"] = int(header["count"])
    return found


# --- build ------------------------------------------------------------------------------------------------------------


def build(given: argparse.Namespace, folder: Path) -> Iterator[Table]:
    """Compare the role's way to compile with the one that MRtrix3's documentation tells."""
    if not given.source:
        raise Unable("Compiling needs a clone of MRtrix3: name one with --source.")
    for program, package in (("git", "git"), ("c++", "g++")):
        need(program, package)
    if not (given.source / "configure").exists():
        raise Unable(f"{given.source} has no script configure: name a clone of MRtrix3 3.0.x with --source.")
    own = cpu.own_cpu(cpu.cpu_level())
    plain, same, ours, kept = "plain", f"plain, {own}", f"the role's way, {own}", "the same, unfinished build kept"
    ways: Ways = {
        plain: lambda _: {plain: build_plainly(given, copy_of(given.source, folder / "tree"), "")},
        same: lambda _: {same: build_plainly(given, copy_of(given.source, folder / "tree"), own)},
        ours: lambda _: {ours: build_our_way(given, copy_of(given.source, folder / "tree"), own, "")},
    }
    if given.store:
        ways[kept] = lambda _: {kept: build_kept(given, copy_of(given.source, folder / "tree"), own)}
    times = in_turn(ways, given.runs or RUNS["build"], warm=False)
    pairs = [(plain, plain), (same, plain), (ours, same), (kept, ours)]
    yield Table("Compiling MRtrix3", rows(times, pairs), {"jobs": given.jobs, "commands": given.commands or "all"})


def copy_of(source: Path, folder: Path) -> Path:
    """Return a copy of a clone in which nothing was ever built."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, symlinks=True)
    call(["git", "-c", "safe.directory=*", "-C", folder, "clean", "-ffdxq"])
    return folder


def build_plainly(given: argparse.Namespace, tree: Path, cpu: str) -> Taken:
    mine = environment(NUMBER_OF_PROCESSORS=str(given.jobs))
    mine.pop("ARCH", None)
    mine |= {"ARCH": cpu} if cpu else {}
    targets = [f"bin/{name}" for name in given.commands]
    configured = call([sys.executable, "./configure", "-nogui"], cwd=tree, env=mine)[0]
    built = call([sys.executable, "./build", "-nopaginate", *targets], cwd=tree, env=mine)[0]
    return Taken(configured.wall + built.wall, configured.cpu + built.cpu)


def build_our_way(given: argparse.Namespace, tree: Path, cpu: str, store: str) -> Taken:
    commit = call(["git", "-c", "safe.directory=*", "-C", tree, "rev-parse", "HEAD"])[1].strip()
    commands = " ".join(given.commands)
    argv = [sys.executable, "-c", BUILD, content.root(), tree, commands, cpu, given.jobs, store, commit]
    return call(argv, env=environment())[0]


def build_kept(given: argparse.Namespace, tree: Path, cpu: str) -> Taken:
    given.store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.store) as store:  # a new one, or it would go on from the last
        return build_our_way(given, tree, cpu, store)


# --- The command ------------------------------------------------------------------------------------------------------

PARTS: dict[str, tuple[Callable[[argparse.Namespace, Path], Iterator[Table]], ...]] = {
    "restore": (restore, install),
    "drive": (drive,),
    "speed": (speed,),
    "build": (build,),
}


def show(table: Table) -> None:
    width = max(len(table.title), *(len(row["way"]) for row in table.rows)) + 1
    print(f"{table.title:{width}} {'wall s':>8} {'ratio':>8} {'CPU s':>8} {'ratio':>8}  against")
    for row in table.rows:
        cells = []
        for name in Taken._fields:
            ratio = row[f"{name}_ratio"]
            cells += [f"{row[name]:8.2f}", f"{'-':>8}" if ratio is None else f"{ratio:8.2f}"]
        print(f"{row['way']:{width}}", *cells, f" {row['against']}")
    print(*(f"  {name}: {value}" for name, value in table.more.items()), "", sep="\n", flush=True)


def measure(given: argparse.Namespace) -> list[dict]:
    """Measure and show one table after the other; return all of them, and why others could not be measured."""
    found: list[dict] = []
    for part, function in ((name, function) for name in given.parts for function in PARTS[name]):
        load = round(os.getloadavg()[0], 1)
        try:
            with tempfile.TemporaryDirectory() as folder:
                for table in function(given, Path(folder).resolve()):
                    show(table)
                    found.append({"part": part, "load": load, **table._asdict()})
        except Unable as error:
            note = {"part": part, "unable": str(error)}
            if note not in found:
                print(f"{part}: {error}\n", flush=True)
                found.append(note)
    return found


def listed(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help="restore, drive, speed or build; all but build when none is named")
    add("--archive", type=Path, help="an archive of a store (default: the newest whole one of yours)")
    add("--runs", type=int, help=f"how often each way is run (default: {RUNS})")
    add("--json", type=Path, help="a file to write the figures to")
    add("--bin", type=Path, help="speed: commands to measure instead of the archive's")
    package = Path("/usr/bin")
    add("--package-bin", type=Path, default=package, help="speed: commands to compare with (default: %(default)s)")
    add("--source", type=Path, help="build: a clone of MRtrix3 3.0.x")
    add("--commands", type=listed, default=[], help="build: these commands only, such as mrinfo,dwi2fod")
    cores = len(os.sched_getaffinity(0))
    add("--jobs", type=int, default=cores, help="build: compilers at once (default: one per core)")
    add("--store", type=Path, help="build: a folder to keep unfinished builds in, to see what keeping them costs")
    given = parser.parse_args()
    given.parts = given.parts or ["restore", "drive", "speed"]
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: it is one of {', '.join(PARTS)}")
    return given


def main() -> None:
    given = arguments()
    found = measure(given)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

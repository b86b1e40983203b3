"""Measure how long pictures take, and how much memory, against the plainest way to read the same volumes.

    python benchmarks/pictures.py [open] [move] [glyphs] [qc] [--runs 7] [--json FILE]

open    `peek` of one volume of 193, small and large, compressed or not
move    a slider moved to another slice and to another volume
glyphs  96 x 96 FODs, where VTK can draw
qc      the quality of the whole series, with a mask

Every way has a Python of its own, which does it once for warmth, then so many times, and says how much memory it had
and how much the largest of the programs that it ran. The floor is `mrconvert` of the same volumes, in turn with the
picture; nilearn's plot_anat is another way, where nilearn is installed. A ratio is the median of
the ratios of neighbouring runs, which holds when the machine's speed drifts. MRtrix3 has to be on PATH. What is written
goes below TMPDIR.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

VOLUMES, SHELLS, VOLUME = 193, (1000, 2000, 3500), 60
SHAPES = {"48x48x20": (48, 48, 20), "96x96x60": (96, 96, 60)}
PARTS = ("open", "move", "glyphs", "qc")

Act = Callable[[int], object]


# --- What is drawn ----------------------------------------------------------------------------------------------------


def make(folder: Path) -> None:
    """Write a bright ball in noise as a series, once plain and once compressed, its table and mask, and FODs."""
    import nibabel
    import numpy as np

    random, affine = np.random.default_rng(0), np.diag([2.0, 2, 2, 1])
    bvals = np.array([0] + [SHELLS[at * len(SHELLS) // (VOLUMES - 1)] for at in range(VOLUMES - 1)])
    bvecs = random.normal(size=(3, VOLUMES))
    np.savetxt(folder / "bvals", bvals[None], fmt="%d")
    np.savetxt(folder / "bvecs", bvecs / np.linalg.norm(bvecs, axis=0) * (bvals > 0))
    for name, shape in SHAPES.items():
        middle = (np.array(shape) / 2)[:, None, None, None]
        ball = (((np.indices(shape) - middle) / (0.85 * middle)) ** 2).sum(axis=0) < 1
        series = np.empty((*shape, VOLUMES), np.int16)
        for at, bval in enumerate(bvals):
            series[..., at] = 1000 * np.exp(-bval / 1500) * ball + random.integers(0, 50, shape)
        for ending in ("nii", "nii.gz"):
            nibabel.save(nibabel.Nifti1Image(series, affine), folder / f"{name}.{ending}")
        nibabel.save(nibabel.Nifti1Image(ball.astype(np.uint8), affine), folder / f"{name}_mask.nii")
    fods = random.normal(0, 0.02, (96, 96, 1, 45)).astype(np.float32)
    fods[..., 0] = 0.3
    nibabel.save(nibabel.Nifti1Image(fods, affine), folder / "fods.nii")


def ways(part: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each way of a part, and the file that it draws."""
    endings = ("nii", "nii.gz") if part != "glyphs" else ()
    for image in (f"{name}.{ending}" for name in SHAPES for ending in endings):
        if part == "move":
            yield "move: slice", image
            yield "move: volume", image
        else:
            yield part, image
        if part == "open" and importlib.util.find_spec("nilearn"):
            yield "open: nilearn", image
    if part == "glyphs":
        yield part, "fods.nii"


def prepared(way: str, image: str) -> Act:
    """Return what does it once, such that each call has another volume or slice to show."""
    import provision

    if way == "open":
        return lambda turn: provision.peek(image, volume=VOLUME + turn)
    if way == "open: nilearn":
        return lambda turn: plot(image, VOLUME + turn)
    if way == "glyphs":
        return lambda turn: provision.glyphs(image, region="all")
    if way == "qc":
        mask = f"{image.split('.')[0]}_mask.nii"
        return lambda turn: provision.qc(image, bvals="bvals", bvecs="bvecs", mask=mask)
    explorer = provision.peek(image, interactive=True)
    if way == "move: volume":
        return lambda turn: setattr(explorer, "volume", VOLUME + turn)
    x, y, z = explorer.focus
    return lambda turn: setattr(explorer, "focus", (x, y, z - turn % 5))


def plot(image: str, volume: int) -> None:
    """Draw a volume as nilearn's documentation does."""
    import io

    from nilearn import image as images
    from nilearn import plotting

    shown = plotting.plot_anat(images.index_img(image, volume))
    shown.frame_axes.figure.savefig(io.BytesIO())
    shown.close()


def floor(way: str, image: str, folder: str) -> Act:
    """Return what only reads the same volumes; a slider's image is decompressed already."""
    whole = way in ("qc", "glyphs")
    if way.startswith("move"):
        plain = f"{folder}/plain.mif"
        subprocess.run(["mrconvert", "-quiet", image, plain], check=True)
        image = plain

    def read(turn: int) -> None:
        chosen = [] if whole else ["-coord", "3", str(VOLUME + turn)]
        place = f"{folder}/floor.mih"
        subprocess.run(["mrconvert", "-quiet", "-force", image, place, *chosen, "-datatype", "float32le"], check=True)

    return read


# --- Measuring --------------------------------------------------------------------------------------------------------


def child(way: str, image: str, runs: int) -> dict[str, object]:
    """Do it so many times, in turn with its floor, and return the seconds of both and the memory in bytes."""
    import provision

    try:
        act = prepared(way, image)
        begin = time.perf_counter()
        act(runs)
        first = time.perf_counter() - begin
    except provision.ProvisionError as error:
        return {"unable": str(error)}
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        least, floors = floor(way, image, folder), []
        others = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        least(runs)
        for turn in range(runs):
            for times, one in ((floors, least), (seconds, act)):
                begin = time.perf_counter()
                one(turn)
                times.append(time.perf_counter() - begin)
    return {"first": first, "seconds": seconds, "floors": floors, "memory": memory(), "memory of programs": others}


def memory() -> int:
    """Return the most bytes that this process had in memory; getrusage would count those of its parent before exec."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def measured(way: str, image: str, runs: int, folder: Path) -> dict[str, object]:
    """Return what a fresh process measures."""
    argv = [sys.executable, Path(__file__).resolve(), "--child", way, image, "--runs", str(runs)]
    root = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(argv, cwd=folder, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True)
    if done.returncode:
        return {"unable": (done.stderr.strip().splitlines() or ["it ended"])[-1]}
    return json.loads(done.stdout)


def show(way: str, image: str, found: dict) -> None:
    if "unable" in found:
        print(f"{way:15} {image:16} not measured: {found['unable']}", flush=True)
        return
    ratio = statistics.median(one / least for one, least in zip(found["seconds"], found["floors"], strict=True))
    cells = [found["first"], min(found["seconds"]), statistics.median(found["seconds"]), min(found["floors"]), ratio]
    megabytes = [found[name] / 1e6 for name in ("memory", "memory of programs")]
    print(f"{way:15} {image:16}", *(f"{one:8.3f}" for one in cells), *(f"{one:8.0f}" for one in megabytes), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="open, move, glyphs or qc; all when none is named")
    parser.add_argument("--runs", type=int, default=7, help="how often each way is run (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := sorted(set(given.parts) - set(PARTS)):
        parser.error(f"there is no part {unknown[0]}: use {', '.join(PARTS)}")
    return given


def main() -> None:
    given = arguments()
    if given.child:
        print(json.dumps(child(*given.child, given.runs)))
        return
    if not shutil.which("mrconvert"):
        sys.exit("MRtrix3 is needed, and there is no mrconvert on PATH: provision run mrtrix3.")
    if not importlib.util.find_spec("nilearn"):
        print("nilearn is not installed, so plot_anat is left out: pip install nilearn.\n")
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        names = ("first s", "min s", "median s", "floor s", "ratio", "MB", "MB progr.")
        print(f"{'':15} {'':16}", *(f"{name:>8}" for name in names))
        for part in given.parts or PARTS:
            for way, image in ways(part):
                found = measured(way, image, given.runs, Path(folder))
                show(way, image, found)
                tables.append({"way": way, "image": image, "load": round(os.getloadavg()[0], 1), **found})
    if given.json:
        given.json.write_text(json.dumps(tables, indent=2) + "\n")


if __name__ == "__main__":
    main()

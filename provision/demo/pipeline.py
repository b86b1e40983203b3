"""MRtrix3's multi-tissue pipeline on data with a known answer, and the comparison with that answer."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from provision import __version__, extras
from provision.demo import report, sample
from provision.engine.events import Step
from provision.errors import ProvisionError
from provision.machine import failures
from provision.machine.interrupts import command
from provision.pictures.angles import Angles, compare

if TYPE_CHECKING:
    import numpy as np
    from nibabel.spatialimages import SpatialImage

    from provision.demo.phantom import Phantom

COMMANDS = [
    "mrinfo",
    "mrconvert",
    "mrcalc",
    "mrcat",
    "mrmath",
    "mrstats",
    "mrthreshold",
    "maskfilter",
    "dwi2mask",
    "dwi2tensor",
    "tensor2metric",
    "dwiextract",
    "amp2response",
    "peaks2amp",
    "sh2peaks",
    "dwi2fod",
    "dwi2response",
]
"""What the pipeline calls, and what ``dwi2response dhollander`` of MRtrix3 3.0.3 to 3.0.8 calls."""

SIZE = (32, 32, 8)
"""Of the phantom, in voxels: fewer slices than the sample take a third less time; 6 are too few for dwi2response."""

_EXTRA = ("numpy", "nibabel", "dipy", "matplotlib")
_LOG, _RESULTS, _PICTURE = "demo.log", "results.json", "fod.png"
_REPORT, _GLYPHS, _PEEK = "report.html", "glyphs.png", "peek.png"
# Of the largest peak: smaller ones in grey matter and fluid are noise, and would hide the picture's message.
_SMALLEST_DRAWN_PEAK = 0.15
# Seconds for a command to end by itself when it is interrupted.
_GRACE = 10.0
_LAST_LINES = 5


@dataclass(frozen=True)
class DemoResult:
    """The result of a demo, and where its files are.

    Attributes
    ----------
    folder : pathlib.Path
        The folder with the data, the results and the log.
    data : str
        The data that were used.
    angles : dict of str to Angles
        The angles per kind of voxel; empty for data without a known answer.
    steps : dict of str to float
        Seconds per step, in order.
    versions : dict of str to str
        The versions of MRtrix3, Python and the packages used.
    settings : dict
        Size, signal-to-noise ratio and seed of the phantom; empty for other data.
    """

    folder: Path
    data: str
    angles: dict[str, Angles] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    settings: dict = field(default_factory=dict)

    @property
    def passed(self) -> bool | None:
        """Whether every median is within its limit; None for data without a known answer."""
        return all(angles.passed for angles in self.angles.values()) if self.angles else None

    @property
    def seconds(self) -> float:
        """How long all steps took."""
        return sum(self.steps.values())

    @property
    def picture(self) -> Path:
        """The picture of the found fibres."""
        return self.folder / _PICTURE

    @property
    def glyphs(self) -> Path:
        """The picture of the FODs of the middle slice; missing if VTK is not installed or cannot draw."""
        return self.folder / _GLYPHS

    @property
    def report(self) -> Path:
        """The report, an HTML page with its pictures embedded."""
        return self.folder / _REPORT

    @property
    def log(self) -> Path:
        """The file with every command and its output."""
        return self.folder / _LOG

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        took = f"in {self.seconds:.0f} s; see {self.report}"
        if not self.angles:
            return f"MRtrix3 {self.versions['mrtrix3']} made FODs of {self.data} {took}"
        medians = ", ".join(f"{angles.median:.1f}° ({kind})" for kind, angles in self.angles.items())
        verb = "found" if self.passed else "missed"
        return f"MRtrix3 {self.versions['mrtrix3']} {verb} the phantom's fibres, median angles {medians}, {took}"

    def to_dict(self) -> dict:
        """Return what ``results.json`` holds: plain values, angles in degrees, times in seconds."""
        return {
            "data": self.data,
            "settings": self.settings,
            "passed": self.passed,
            "angles": {kind: {**asdict(found), "passed": found.passed} for kind, found in self.angles.items()},
            "seconds": round(self.seconds, 3),
            "steps": {name: round(seconds, 3) for name, seconds in self.steps.items()},
            "versions": self.versions,
            "folder": str(self.folder),
        }

    def _repr_html_(self) -> str:
        """Return the main picture, the angles and a link to the report, for a notebook."""
        return report.cell(self)


def run_demo(
    folder: str | os.PathLike,
    *,
    bin: Path,
    data: str,
    size: Sequence[int] | None,
    snr: float,
    seed: int,
    on_step: Callable[[Step], None],
) -> DemoResult:
    """Run MRtrix3 from raw volumes to fibre directions, and compare these with the truth if it is known."""
    # A gradient table of the wrong handedness, a command that does not start or a miscompiled one cannot pass.
    check(data, Path(folder).expanduser())
    environment = {**os.environ, "PATH": os.pathsep.join([str(bin), os.environ.get("PATH", os.defpath)])}
    work = _Work(_made(Path(folder).expanduser()), environment, on_step)
    versions = _versions(work)
    if data == "phantom":
        phantom = _phantom(work, size, snr, seed)
        _find_fibres(work, "dwi.nii.gz", "bvecs", "bvals", "mask.nii.gz")
        angles = _compare(work, phantom)
        settings = {"size": list(phantom.tissue.shape), "snr": snr, "seed": seed}
    else:
        _find_fibres(work, *_download(work))
        settings, angles = {}, {}
    _draw(work)
    pictures = _pictures(work)
    result = DemoResult(work.folder, data, angles, work.seconds, versions, settings)
    result.report.write_text(report.page(result, pictures, work.commands), encoding="utf-8")
    (work.folder / _RESULTS).write_text(json.dumps(result.to_dict(), indent=2) + "\n", encoding="utf-8")
    if angles:
        _print_table(result)
        check_limits(angles, work.log)
    return result


def check_limits(angles: Mapping[str, Angles], log: Path) -> None:
    """Refuse a median beyond its limit."""
    beyond = [
        f"{found.median:.1f} degrees ({kind}, at most {found.limit:g})"
        for kind, found in angles.items()
        if not found.passed
    ]
    if beyond:
        raise ProvisionError(
            f"The fibres found differ from the true ones: the median angle is {' and '.join(beyond)}.",
            hint=f"Look at {log.with_name(_PICTURE)}: lines across the ring mean that the gradients were flipped. With "
            "the default size and SNR a working MRtrix3 passes, so try another version or origin.",
            task="sh2peaks",
            log=log,
            code="wrong-fibres",
        )


def run_command(argv: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: Path) -> str:
    """Run a command and return its output; the command line, output and time go to the log.

    If the caller is interrupted (Ctrl-C), the command and everything it started are stopped.
    """
    line = shlex.join(argv)
    program = shutil.which(argv[0], path=environment.get("PATH", os.defpath))
    if program is None:
        raise ProvisionError(
            f"The command {argv[0]} was not found.",
            hint="Install MRtrix3: provision run mrtrix3.",
            task=line,
            log=log,
            code="not-installed",
        )
    started = time.monotonic()
    with log.open("ab") as sink:
        sink.write(f"$ {line}\n".encode())
        sink.flush()
        start = sink.tell()
        # MRtrix3 draws its progress with escape codes on a pipe but not in a file, so the log is the command's output.
        code = _waited([program, *argv[1:]], line, sink, folder, environment)
        end = sink.seek(0, os.SEEK_END)
        sink.write(f"# {argv[0]}: exit code {code}, {time.monotonic() - started:.1f} s\n\n".encode())
    output = log.read_bytes()[start:end].decode(errors="replace")
    if code:
        raise _failure(argv[0], line, code, output, log)
    return output


@dataclass
class _Work:
    """The folder, environment, listener, times and commands of a demo."""

    folder: Path
    environment: Mapping[str, str]
    on_step: Callable[[Step], None]
    seconds: dict[str, float] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """The file with every command and its output."""
        return self.folder / _LOG

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Report the start and end of a step, and time it."""
        self.on_step(Step("task", role="demo", task=name))
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started
        self.on_step(Step("done", role="demo", task=name))

    def run(self, *argv: str) -> str:
        """Run a command in the folder."""
        self.commands.append(shlex.join(argv))
        return run_command(argv, folder=self.folder, environment=self.environment, log=self.log)


def check(data: str, folder: Path) -> None:
    """Refuse unknown data, a folder of others, and missing packages of the demo extra, all in one error."""
    sample.check(data)
    sample.check_folder(folder, lambda folder: (folder / _LOG).exists())
    extras.require("demo", "The demos", *_EXTRA)


def _made(folder: Path) -> Path:
    """Create the folder, with an empty log and no earlier results; return its full path."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _LOG).write_bytes(b"")
        for name in (_RESULTS, _PICTURE, _REPORT, _GLYPHS, _PEEK):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise ProvisionError(
            f"The demo cannot write to the folder {folder}: {error.strerror}.",
            hint="Choose another folder.",
            code=failures.failure(error)["code"],
        ) from error
    return folder.resolve()


def _versions(work: _Work) -> dict[str, str]:
    """Return the versions of everything used; asking MRtrix3 also shows that it starts."""
    answer = re.search(r"== mrinfo (\S+) ==", work.run("mrinfo", "-version"))
    packages = {name: importlib.metadata.version(name) for name in _EXTRA}
    return {
        "mrtrix3": answer[1] if answer else "unknown",
        "provision": __version__,
        "python": platform.python_version(),
        **packages,
    }


def _phantom(work: _Work, size: Sequence[int] | None, snr: float, seed: int) -> Phantom:
    """Create the phantom and write it into the folder."""
    from provision.demo import phantom

    with work.step("phantom"):
        made = phantom.make_phantom(size or SIZE, snr=snr, seed=seed)
        made.write(work.folder)
    return made


def _download(work: _Work) -> tuple[str, str, str]:
    """Return the volumes, b-vectors and b-values of dipy's three-shell head, downloaded if need be."""
    with work.step("download"):
        try:
            head = sample.fetched()
        except ProvisionError as error:
            error.log = work.log
            raise
    return str(head.image), str(head.bvecs), str(head.bvals)


def _find_fibres(work: _Work, image: str, bvecs: str, bvals: str, mask: str | None = None) -> None:
    """Compute response functions, FODs and peaks from the volumes; without a mask, ``dwi2mask`` creates one."""
    with work.step("mrconvert"):
        work.run("mrconvert", image, "dwi.mif", "-fslgrad", bvecs, bvals, "-force")
    if mask is None:
        mask = "mask.mif"
        with work.step("dwi2mask"):
            work.run("dwi2mask", "dwi.mif", mask, "-force")
    responses = ("wm.txt", "gm.txt", "csf.txt")
    with work.step("dwi2response"):
        work.run("dwi2response", "dhollander", "dwi.mif", *responses, "-mask", mask, "-force")
    fods = [name for tissue in ("wm", "gm", "csf") for name in (f"{tissue}.txt", f"{tissue}fod.mif")]
    with work.step("dwi2fod"):
        work.run("dwi2fod", "msmt_csd", "dwi.mif", *fods, "-mask", mask, "-force")
    with work.step("sh2peaks"):
        work.run("sh2peaks", "wmfod.mif", "peaks.nii.gz", "-num", "3", "-mask", mask, "-force")


def _compare(work: _Work, phantom: Phantom) -> dict[str, Angles]:
    """Return the angles between the found peaks and the phantom's fibres, per kind of voxel."""
    import nibabel

    with work.step("compare"):
        found: Any = nibabel.load(work.folder / "peaks.nii.gz")  # by its types it may be no image
        peaks = _aligned(found, phantom.affine)
        return compare(peaks.reshape(*phantom.tissue.shape, -1, 3), phantom.directions)


def _aligned(image: SpatialImage, affine: np.ndarray) -> np.ndarray:
    """Return an image's values along the voxel axes of an affine, whatever the order and sign of its own axes."""
    import nibabel
    import numpy as np

    orientation = nibabel.io_orientation(np.linalg.inv(affine) @ image.affine)
    return image.as_reoriented(orientation).get_fdata()


def _draw(work: _Work) -> None:
    """Draw the found peaks of the middle slice over the isotropic part of the white-matter FOD."""
    import nibabel

    with work.step("draw"):
        # Coefficient 0 of the spherical harmonics is the FOD's mean over all directions.
        work.run("mrconvert", "wmfod.mif", "fod_l0.nii.gz", "-coord", "3", "0", "-axes", "0,1,2", "-force")
        background, peaks = (
            nibabel.as_closest_canonical(nibabel.load(work.folder / name)) for name in ("fod_l0.nii.gz", "peaks.nii.gz")
        )
        _save_picture(background.get_fdata(), peaks.get_fdata(), peaks.affine, work.folder / _PICTURE)


def _pictures(work: _Work) -> dict[str, report.Drawn]:
    """Draw the pictures of the report; where one cannot be drawn, its error takes its place."""
    with work.step("show"):
        return report.pictures(work.folder)


def _save_picture(background: np.ndarray, peaks: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write a PNG of the middle slice: peaks (X, Y, Z, 3 P) in the scanner's frame over grey values (X, Y, Z)."""
    import numpy as np
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    middle = background.shape[2] // 2
    grey = np.nan_to_num(background[:, :, middle])
    segments, colours = _segments(peaks[:, :, middle], affine)
    width, height = grey.shape
    # Without pyplot there is no global state, and the figure's own canvas is Agg's.
    figure = Figure(figsize=(8, 8 * height / width), facecolor="black")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(grey.T, origin="lower", cmap="gray", vmax=2 * max(np.percentile(grey, 99), 1e-6))
    axes.add_collection(LineCollection(list(segments), colors=colours, linewidths=150 / width, capstyle="round"))
    legend = "red: left-right, green: front-back, blue: head-foot"
    axes.text(0.01, 0.01, legend, color="white", transform=axes.transAxes)
    figure.savefig(path, dpi=100)


def _segments(peaks: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lines of one slice's peaks, shape (L, 2, 2) in voxels, and their colours, shape (L, 3)."""
    # A line's length is its peak's amplitude against the slice's largest, its colour the magnitude of the direction's
    # x (red), y (green) and z (blue) in the scanner's frame.
    import numpy as np

    peaks = np.nan_to_num(peaks.reshape(*peaks.shape[:2], -1, 3))
    amplitude = np.linalg.norm(peaks, axis=-1)
    largest = max(np.percentile(amplitude[amplitude > 0], 99), 1e-12) if amplitude.any() else 1.0
    x, y, peak = np.nonzero(amplitude > _SMALLEST_DRAWN_PEAK * largest)
    vectors, lengths = peaks[x, y, peak], amplitude[x, y, peak, np.newaxis]
    directions = vectors / lengths
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    half = 0.47 * np.minimum(lengths / largest, 1) * (directions @ axes)[:, :2]
    centre = np.stack([x, y], axis=-1)
    return np.stack([centre - half, centre + half], axis=1), np.abs(directions)


def _print_table(result: DemoResult) -> None:
    """Print the angles, their limits, and whether they pass."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Angle between found and true fibres, MRtrix3 {result.versions['mrtrix3']}")
    table.add_column("tissue")
    for column in ("voxels", "median", "95th percentile", "limit of median"):
        table.add_column(column, justify="right")
    table.add_column("result")
    for kind, found in result.angles.items():
        degrees = [f"{value:.2f}°" for value in (found.median, found.p95, found.limit)]
        verdict = "[green]pass[/green]" if found.passed else "[red]fail[/red]"
        table.add_row(kind, str(found.voxels), *degrees, verdict)
    Console().print(table)


def _waited(argv: list[str], line: str, sink: BinaryIO, folder: Path, environment: Mapping[str, str]) -> int:
    """Run a command in a session of its own and return its exit code."""
    with ExitStack() as stack:
        try:
            process = stack.enter_context(command(argv, _end, cwd=folder, env=environment, stdout=sink))
        except OSError as error:
            raise ProvisionError(
                f"The command {argv[0]} could not be started: {error.strerror}.",
                task=line,
                log=Path(sink.name),
                code="does-not-run",
            ) from error
        return process.wait()


def _end(process: subprocess.Popen) -> None:
    """Stop a command and everything it started, giving MRtrix3's scripts time to remove their scratch folders."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)


def _failure(name: str, line: str, code: int, output: str, log: Path) -> ProvisionError:
    """Return the error for a command that failed."""
    how = f"was stopped by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"failed with exit code {code}"
    last = [text.strip() for text in output.splitlines() if text.strip()][-_LAST_LINES:]
    # The kernel ends a process that wants more memory than there is with this signal; nothing is written then.
    killed = code == -signal.SIGKILL
    memory = " The machine may have run out of memory." if killed else ""
    return ProvisionError(
        "\n".join([f"{name} {how}{':' if last else '.'}", *last]),
        hint=f"The full output is in {log}.{memory}",
        task=line,
        log=log,
        code="killed" if killed else "failed",
    )

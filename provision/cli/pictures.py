"""The commands ``peek``, ``glyphs``, ``tracks`` and ``qc``: a picture in a file or in the terminal."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import provision
from provision.cli import flags
from provision.cli.help import add_command
from provision.errors import OptionError

COMMANDS = ("peek", "glyphs", "tracks", "qc")
"""The commands that draw a picture."""

_PEEK_EXAMPLES = """\
examples:
  provision peek dwi.nii.gz                            show it in the terminal
  provision peek dwi.nii.gz -o dwi.png                 write a file: PNG, SVG or PDF
  provision peek dwi.mif --plane axial --focus 24,24,10 --volume 3
  provision peek t1.nii.gz --plane coronal --slices 12
  provision peek t1.nii.gz --overlay fa.mif --threshold 0.2 --overlay mask.mif
  provision peek fa.nii.gz -o fa.png --dpi 300 --range 0,1 --colourmap viridis
"""

_GLYPHS_EXAMPLES = """\
examples:
  provision glyphs wmfod.mif -o fod.png
  provision glyphs wmfod.mif -o fod.png --background t1.nii.gz --plane coronal --slice 48
  provision glyphs wmfod.mif -o fod.png --region 30:38,40:48
  provision glyphs tensor.mif -o tensor.png --kind tensor --region -20:20,-30:10mm
"""

_TRACKS_EXAMPLES = """\
examples:
  provision tracks tracks.tck
  provision tracks tracks.tck t1.nii.gz -o tracks.png --plane sagittal --slice 48
  provision tracks tracks.tck t1.nii.gz -o tracks.png --thickness 10 --number 5000
"""

_QC_EXAMPLES = """\
examples:
  provision qc dwi.mif -o qc.png
  provision qc dwi.nii.gz -o qc.pdf --bvals dwi.bval --bvecs dwi.bvec --mask mask.nii.gz
"""

# An argument such as -1,2.5 or -20:20,-30:10mm is a value; argparse knows that of single numbers alone.
_STARTS_WITH_NUMBER = re.compile(r"-\.?\d")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser of ``provision``."""
    _add_peek(_add(commands, "peek", "show slices of an image", "an image: NIfTI, MIF, MGH, DICOM", _PEEK_EXAMPLES))
    about = "draw FODs or tensors as glyphs"
    _add_glyphs(_add(commands, "glyphs", about, "an image of FODs or tensors", _GLYPHS_EXAMPLES))
    _add_tracks(_add(commands, "tracks", "draw tracks over a slice", "a file of tracks (.tck)", _TRACKS_EXAMPLES))
    about = "check a diffusion series: its shells, gradients and noise"
    _add_qc(_add(commands, "qc", about, "the series, such as dwi.mif", _QC_EXAMPLES))


def _add(commands, name: str, about: str, what: str, examples: str) -> argparse.ArgumentParser:
    # What is not given is not passed on, so that each default is in one place only, the function.
    parser = add_command(commands, name, about, examples, argument_default=argparse.SUPPRESS)
    parser._negative_number_matcher = _STARTS_WITH_NUMBER
    parser.add_argument("path", metavar="FILE", help=what)
    about = "the file to write: .png, .svg or .pdf (default: show it in the terminal)"
    parser.add_argument("-o", "--output", metavar="FILE", default=None, help=about)
    parser.add_argument("--dpi", metavar="NUMBER", default=None, help="pixels per inch of a PNG file, such as 300")
    parser.add_argument("--size", metavar="PIXELS", help="the width of the picture in pixels")
    flags.add_json(parser)
    return parser


def _add_plane(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plane", metavar="PLANE", help="axial, coronal or sagittal")


def _add_peek(parser: argparse.ArgumentParser) -> None:
    _add_plane(parser)
    add = parser.add_argument
    add("--focus", metavar="X,Y,Z", help="the voxel that the slices pass through (default: the middle)")
    add("--volume", metavar="NUMBER", help="the volume of a 4-D image, counted from 0 (default: 0)")
    add("--slices", metavar="NUMBERS", help="so many slices of one plane, such as 12; or these: 20,24,28")
    add("--range", metavar="LOW,HIGH", help="the intensities of the darkest and brightest colour")
    add("--percentiles", metavar="LOW,HIGH", help="the same as percentiles of the volume")
    add("--colourmap", metavar="NAME", help="a colour map of matplotlib's (default: gray)")
    add("--overlay", metavar="FILE", action="append", help="an image or mask to draw over it; may be repeated")
    add("--threshold", metavar="VALUE", help="draw only what is at least so large in an overlay")
    add("--overlay-range", metavar="LOW,HIGH", help="the values of an overlay's first and last colour")
    add("--overlay-colourmap", metavar="NAME", help="the colour map of an overlay")
    add("--opacity", metavar="NUMBER", help="the opacity of overlays, from 0 to 1 (default: 0.8)")
    add("--no-smooth", dest="smooth", action="store_false", help="show voxels as they are")
    add("--no-crosshair", dest="crosshair", action="store_false", help="do not mark the focus")


def _add_glyphs(parser: argparse.ArgumentParser) -> None:
    _add_plane(parser)
    add = parser.add_argument
    add("--kind", metavar="KIND", help="what the volumes are, if that cannot be seen: fod or tensor")
    add("--background", metavar="FILE", help="an image to show behind the glyphs")
    add("--slice", metavar="NUMBER", help="the slice, counted from 0 (default: the middle one)")
    about = "the part to draw: from:to across and up, in voxels (30:38,40:48) or mm (-20:20,-30:10mm); or all"
    add("--region", metavar="REGION", help=about)
    add("--scale", metavar="FACTOR", help="the size of the glyphs (default: 1)")


def _add_tracks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="an image to show behind the tracks")
    _add_plane(parser)
    add = parser.add_argument
    about = "the slice, counted from 0, or without an image in mm (default: the one with the most points)"
    add("--slice", metavar="NUMBER", help=about)
    add("--thickness", metavar="MM", help="how thick the slab of tracks around the slice is")
    add("--number", metavar="NUMBER", help="how many tracks are drawn at most")


def _add_qc(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--bvals", metavar="FILE", help="the b-values, if the image does not have them")
    add("--bvecs", metavar="FILE", help="the gradient directions, if the image does not have them")
    add("--mask", metavar="FILE", help="a mask of the brain (default: one is made)")


def call(arguments: argparse.Namespace) -> dict[str, Any]:
    """Draw a picture, and write it to a file or to the terminal."""
    from provision.pictures import terminal
    from provision.pictures.picture import checked_output

    settings = ("command", "json", "output", "dpi", "path", "image")
    given = {name: _read(name, value) for name, value in vars(arguments).items() if name not in settings}
    dpi = None if arguments.dpi is None else _read("dpi", arguments.dpi)
    if arguments.output is None:
        if dpi is not None:
            raise OptionError("--dpi is for files.", hint="Name one as well: -o picture.png.")
        terminal.check(f"provision {arguments.command} {arguments.path} -o picture.png")
    else:
        checked_output(arguments.output, dpi)  # before minutes are spent on drawing
    images = [arguments.image] if "image" in arguments else []
    with _plain_warnings():
        picture = getattr(provision, arguments.command)(arguments.path, *images, **given)
        if arguments.output is None:
            shown = terminal.encoded(picture)
            sys.stdout.flush()
            sys.stdout.buffer.write(shown)
        path = None if arguments.output is None else str(picture.save(arguments.output, dpi=dpi))
    return {"file": path, "width": picture.width, "height": picture.height, "alt": picture.alt}


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print what is odd about an image as one line, without the place in the code."""
    with warnings.catch_warnings():
        before = warnings.showwarning

        def show(message, category, *place, **options):
            if not issubclass(category, UserWarning):
                return before(message, category, *place, **options)
            return print(f"Warning: {' '.join(str(message).split())}", file=sys.stderr)

        warnings.showwarning = show
        yield


def _read(name: str, text: Any) -> Any:
    """Return the value of a flag."""
    read, what = _READ.get(name, (lambda value: value, ""))
    try:
        return read(text)
    except ValueError:
        raise OptionError(f"--{name.replace('_', '-')} takes {what}, not {text!r}.", code="bad-value") from None


def _numbers(text: str) -> list[float | None]:
    """Return numbers separated by commas; an empty one is None."""
    return [float(part) if part.strip() else None for part in text.split(",")]


def _slices(text: str) -> int | list[int]:
    """Return a number of slices, or the slices of a list."""
    return [int(part) for part in text.split(",") if part.strip()] if "," in text else int(text)


# How flags that are not text are read, and what they take.
_READ: dict[str, tuple[Callable[[str], Any], str]] = {
    "focus": (_numbers, "three numbers such as 24,24,10"),
    "range": (_numbers, "two numbers such as 0,1000"),
    "overlay_range": (_numbers, "two numbers such as 0,1"),
    "percentiles": (_numbers, "two numbers such as 1,99"),
    "slices": (_slices, "a number such as 12, or slices such as 20,24,28"),
    "volume": (int, "a whole number such as 3"),
    "slice": (int, "a whole number such as 30"),
    "number": (int, "a whole number such as 5000"),
    "size": (int, "a whole number such as 900"),
    "dpi": (float, "a number such as 300"),
    "threshold": (float, "a number such as 0.2"),
    "opacity": (float, "a number such as 0.5"),
    "thickness": (float, "a number such as 10"),
    "scale": (float, "a number such as 1.5"),
}

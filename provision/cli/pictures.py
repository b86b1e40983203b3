"""The commands ``provision peek`` and ``provision glyphs``: a picture as a file, or straight to the terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import provision
from provision.cli import flags
from provision.cli.help import add_command
from provision.errors import OptionError

if TYPE_CHECKING:
    from provision.pictures.picture import Picture

_PEEK_EXAMPLES = """\
examples:
  provision peek dwi.nii.gz                            draw in a terminal that shows sixel graphics
  provision peek dwi.nii.gz -o dwi.png                 write a PNG file
  provision peek dwi.mif -o dwi.png --plane axial --focus 24,24,10 --volume 3
  provision peek fa.nii.gz -o fa.png --range 0,1 --colourmap hot
  provision peek dwi.nii.gz -o dwi.png --plot volume   with the values along the volumes below
"""

_GLYPHS_EXAMPLES = """\
examples:
  provision glyphs wmfod.mif -o fod.png
  provision glyphs wmfod.mif -o fod.png --background t1.nii.gz --plane coronal --slice 48
  provision glyphs wmfod.mif -o fod.png --region 30,38,40,48
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Add ``peek`` and ``glyphs`` to the parser of ``provision``."""
    peek = _add(commands, "peek", "show slices of an image", "an image: NIfTI, MIF, MGH", _PEEK_EXAMPLES)
    peek.add_argument("--focus", metavar="X,Y,Z", help="the voxel that the slices go through (default: the middle)")
    peek.add_argument("--volume", metavar="NUMBER", help="which volume of a series, counted from 0 (default: 0)")
    peek.add_argument("--range", metavar="LOW,HIGH", help="the intensities of the darkest and the brightest colour")
    peek.add_argument("--percentiles", metavar="LOW,HIGH", help="the same as percentiles (default: 0.2,99.8)")
    peek.add_argument("--colourmap", metavar="NAME", help="gray, hot, cool, jet, inferno, viridis or pet")
    peek.add_argument("--no-crosshair", dest="crosshair", action="store_false", help="draw no lines at the focus")
    peek.add_argument("--plot", metavar="AXIS", help="plot the values along x, y, z or volume as well")
    about = "draw fibre orientation distributions as 3-D glyphs"
    glyphs = _add(commands, "glyphs", about, "an image of FODs: NIfTI or MIF", _GLYPHS_EXAMPLES)
    glyphs.add_argument("--background", metavar="FILE", help="an image to show behind the glyphs")
    glyphs.add_argument("--slice", metavar="NUMBER", help="its number, counted from 0 (default: the middle one)")
    glyphs.add_argument("--region", metavar="X0,X1,Y0,Y1", help="the voxels x0 to x1 - 1 across and y0 to y1 - 1 up")
    glyphs.add_argument("--scale", metavar="FACTOR", help="how large the glyphs are (default: 1)")
    glyphs.add_argument("--size", metavar="PIXELS", help="of the picture's longer side (default: 960)")


def _add(commands, name: str, about: str, what: str, examples: str) -> argparse.ArgumentParser:
    # What is not given is not passed on, so that a default stands in one place only, the function's.
    parser = add_command(commands, name, about, examples, argument_default=argparse.SUPPRESS)
    parser.add_argument("image", metavar="FILE", help=what)
    parser.add_argument("-o", "--output", metavar="FILE", default=None, help="the PNG file to write")
    parser.add_argument("--plane", metavar="PLANE", help="axial, coronal or sagittal")
    parser.add_argument("--zoom", metavar="FACTOR", help="how much larger to draw it")
    flags.add_json(parser)
    return parser


def call(arguments: argparse.Namespace) -> dict[str, Any]:
    """Draw what a command asks for, and write it to its file or to the terminal."""
    from provision.pictures import terminal

    given = {name: value for name, value in vars(arguments).items() if name not in ("command", "json", "output")}
    if arguments.output is None:
        terminal.check(f"provision {arguments.command} {arguments.image} -o picture.png")
    picture = _drawn(arguments.command, given)
    if arguments.output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(terminal.encoded(picture))
    path = None if arguments.output is None else str(picture.save(arguments.output))
    return {"file": path, "width": picture.width, "height": picture.height, "alt": picture.alt}


def _drawn(command: str, given: dict[str, Any]) -> Picture:
    functions: dict[str, Callable[..., Any]] = {"peek": provision.peek, "glyphs": provision.glyphs}
    return functions[command](given.pop("image"), **{name: _READ.get(name, str)(text) for name, text in given.items()})


def _whole(text: str) -> int:
    return _one(int, text, "a whole number")


def _number(text: str) -> float:
    return _one(float, text, "a number")


def _one(kind: type, text: str, what: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise OptionError(
            f"{text!r} is not {what}.", hint="Write numbers such as 3 or 0.5.", code="bad-value"
        ) from None


def _numbers(text: str) -> list[float | None]:
    """Return numbers that are written with commas between them; an empty one is none."""
    return [_number(part) if part.strip() else None for part in text.split(",")]


def _region(text: str) -> list[list[int]]:
    numbers = [_whole(part) for part in text.split(",")]
    return [numbers[:2], numbers[2:]]


# How the options that are not text are read.
_READ: dict[str, Callable[[str], Any]] = {
    "focus": _numbers, "range": _numbers, "percentiles": _numbers, "volume": _whole, "zoom": _number,
    "slice": _whole, "scale": _number, "size": _whole, "region": _region, "crosshair": bool,
}  # fmt: skip

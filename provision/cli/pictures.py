"""The commands ``provision peek`` and ``provision glyphs``: a picture in a file or on the terminal."""

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
  provision peek dwi.nii.gz                            draw in a terminal with sixel graphics
  provision peek dwi.nii.gz -o dwi.png                 write a PNG file
  provision peek dwi.mif -o dwi.png --plane axial --focus 24,24,10 --volume 3
  provision peek fa.nii.gz -o fa.png --range 0,1 --colourmap hot
  provision peek dwi.nii.gz -o dwi.png --plot volume   also plot the values along the volumes
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
    peek.add_argument("--focus", metavar="X,Y,Z", help="the voxel that the slices pass through (default: the middle)")
    peek.add_argument("--volume", metavar="NUMBER", help="the volume of a 4-D image, counted from 0 (default: 0)")
    peek.add_argument("--range", metavar="LOW,HIGH", help="the intensities of the darkest and brightest colour")
    peek.add_argument("--percentiles", metavar="LOW,HIGH", help="the same as percentiles (default: 0.2,99.8)")
    peek.add_argument("--colourmap", metavar="NAME", help="gray, hot, cool, jet, inferno, viridis or pet")
    peek.add_argument("--no-crosshair", dest="crosshair", action="store_false", help="do not mark the focus")
    peek.add_argument("--plot", metavar="AXIS", help="also plot the values along x, y, z or volume")
    about = "draw fibre orientation distributions as 3-D glyphs"
    glyphs = _add(commands, "glyphs", about, "an image of FODs: NIfTI or MIF", _GLYPHS_EXAMPLES)
    glyphs.add_argument("--background", metavar="FILE", help="an image to show behind the glyphs")
    glyphs.add_argument("--slice", metavar="NUMBER", help="the slice, counted from 0 (default: the middle one)")
    glyphs.add_argument("--region", metavar="X0,X1,Y0,Y1", help="only voxels X0 to X1 - 1 across and Y0 to Y1 - 1 up")
    glyphs.add_argument("--scale", metavar="FACTOR", help="the size of the glyphs (default: 1)")
    glyphs.add_argument("--size", metavar="PIXELS", help="the length of the picture's longer side (default: 960)")


def _add(commands, name: str, about: str, what: str, examples: str) -> argparse.ArgumentParser:
    # What is not given is not passed on, so that each default is in one place only, the function.
    parser = add_command(commands, name, about, examples, argument_default=argparse.SUPPRESS)
    parser.add_argument("image", metavar="FILE", help=what)
    parser.add_argument("-o", "--output", metavar="FILE", default=None, help="the PNG file to write")
    parser.add_argument("--plane", metavar="PLANE", help="the plane: axial, coronal or sagittal")
    parser.add_argument("--zoom", metavar="FACTOR", help="how much to enlarge the picture")
    flags.add_json(parser)
    return parser


def call(arguments: argparse.Namespace) -> dict[str, Any]:
    """Draw a picture, and write it to a file or to the terminal."""
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
    return functions[command](given.pop("image"), **{name: _read(name, text) for name, text in given.items()})


def _read(name: str, text: Any) -> Any:
    """Return the value of a flag."""
    read, what = _READ.get(name, (lambda value: value, ""))
    try:
        return read(text)
    except ValueError:
        raise OptionError(f"--{name} takes {what}, not {text!r}.", code="bad-value") from None


def _numbers(text: str) -> list[float | None]:
    """Return numbers separated by commas; an empty one is None."""
    return [float(part) if part.strip() else None for part in text.split(",")]


def _region(text: str) -> list[list[int]]:
    numbers = [int(part) for part in text.split(",")]
    return [numbers[:2], numbers[2:]]


# How flags that are not text are read, and what they take.
_READ: dict[str, tuple[Callable[[str], Any], str]] = {
    "focus": (_numbers, "three numbers such as 24,24,10"),
    "range": (_numbers, "two numbers such as 0,1000"),
    "percentiles": (_numbers, "two numbers such as 1,99"),
    "volume": (int, "a whole number such as 3"),
    "zoom": (float, "a number such as 1.5"),
    "slice": (int, "a whole number such as 30"),
    "scale": (float, "a number such as 1.5"),
    "size": (int, "a whole number such as 960"),
    "region": (_region, "four whole numbers such as 30,38,40,48"),
}

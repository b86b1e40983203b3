"""Installing the viewer mrpeek, which must draw a test picture first."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile

from .. import sixel
from ..commands import plain_environment
from ..store.portable import BUNDLE, PortableError, bundle_libraries, strip
from .image import write_image
from .install import InstallError, Tool

_SIZE = 8


class Mrpeek(Tool):
    """The viewer, with its own copy of what it needs of MRtrix3, so that it does not depend on an installation."""

    def gather(self, given, folder):
        """Copy the program, its libraries, and the library that decodes its pictures."""
        program = os.path.join(given["tree"], "bin", "mrpeek")
        os.makedirs(os.path.join(folder, "bin"))
        shutil.copy2(program, os.path.join(folder, "bin"))
        bundle_libraries(folder, [program])
        shutil.copyfile(_decoder_here(), os.path.join(folder, BUNDLE, sixel.SONAME))
        strip([os.path.join(folder, "bin", "mrpeek")])

    def smoke_test(self, folder):
        """Let it draw a picture and check that; return ("", its commands), as it does not report its version."""
        problem = wrong_in_picture(draw(os.path.join(folder, "bin", "mrpeek")), decoder_in(folder))
        if problem:
            raise InstallError(f"mrpeek's test picture is wrong: {problem}.", code="does-not-run")
        return "", ["mrpeek"]

    def about(self, given, folder):
        """Return the MRtrix3 that it was built for."""
        return {"belongs_to": given["belongs_to"]}

    def report(self, given, manifest):
        """Return the MRtrix3 that it was built for, and the library that decodes its pictures."""
        return {
            "mrtrix3": manifest.get("belongs_to", "").removeprefix("mrtrix3-"),
            "decoder": decoder_in(given["prefix"]),
            "archive": given["archive"] or "",
        }


def decoder_in(folder):
    """Return the path of libsixel in an installation."""
    return os.path.join(folder, BUNDLE, sixel.SONAME)


def _decoder_here():
    """Return the path of this system's libsixel; raise PortableError if there is none."""
    said = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    found = re.search(rf"^\s*{re.escape(sixel.SONAME)} .*=> (/\S+)$", said, re.M)
    if not found:
        raise PortableError("The library libsixel is missing.")
    return os.path.realpath(found.group(1))


def write_picture(path):
    """Write an image whose single slice gets brighter along x and is constant along y."""
    write_image(path, (_SIZE, _SIZE, 1), list(range(0, 30 * _SIZE, 30)) * _SIZE)


def draw(program):
    """Return mrpeek's output for an image of known grey levels."""
    with tempfile.TemporaryDirectory() as folder:
        image = os.path.join(folder, "image.nii")
        write_picture(image)
        argv = [program, image, "-batch", "-axial", "-notext", "-nocrosshairs", "-intensity_range", "0", "240"]
        environment = plain_environment(MRTRIX_CONFIGFILE=os.devnull, HOME=folder)
        try:
            done = subprocess.run(
                argv, capture_output=True, stdin=subprocess.DEVNULL, env=environment, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InstallError(f"mrpeek does not run: {error}.", code="does-not-run") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        problem = said[-1] if said else f"exit code {done.returncode}"
        raise InstallError(f"mrpeek does not run: {problem}.", code="does-not-run")
    return done.stdout


def wrong_in_picture(data, library):
    """Return in words what is wrong with the picture of that image, an empty string if nothing is."""
    # mrpeek shows the subject's left on the right: what gets brighter along x gets darker from left to right.
    found = sixel.PICTURE.search(data)
    if not found:
        return "there is no sixel picture in its output"
    rows = decode(found.group(), library)
    part = [row[-_SIZE:] for row in rows[:_SIZE]]  # to the right of the strip for the colour bar
    if len(part) < _SIZE or len(part[0]) < _SIZE:
        return f"it has {len(rows)} rows of {len(rows[0])} pixels"
    if any(row != part[0] for row in part):
        return "its rows differ"
    if any(left <= right for left, right in zip(part[0], part[0][1:])):  # noqa: B905 (Python 3.9)
        return f"its grey levels are {part[0]}"
    return ""


def decode(data, library):
    """Return the grey levels of a sixel picture, row by row; raise InstallError if it cannot be decoded."""
    try:
        width, _height, indices, palette = sixel.decode(data, sixel.load(library))
    except OSError as error:
        raise InstallError(f"libsixel cannot be loaded: {error}.", code="no-library") from error
    except sixel.SixelError as error:
        raise InstallError("libsixel cannot decode mrpeek's test picture.", code="does-not-run") from error
    levels = [palette[3 * index] for index in indices]
    return [levels[at : at + width] for at in range(0, len(levels), width)]

#!/usr/bin/python
"""Put the viewer mrpeek in its place once it has drawn a picture, or take it away again."""

from __future__ import annotations

DOCUMENTATION = """
module: mrpeek_install
short_description: Put mrpeek in its place once it has drawn a picture
description:
  - Gathers a compiled mrpeek with all libraries it needs, and libsixel, with which its pictures are decoded, or the
    best archive of a store, in a folder beside the prefix, has it draw a picture of known grey levels, decodes that,
    and renames the folder into place.
  - When no archive of the store can be used, nothing is changed and C(report) is empty; C(passed_over) says why.
  - Notes what it put on the machine in a state file, from which C(state=absent) removes it again.
author: The provision founders (!UNKNOWN)
options:
  state:
    type: str
    choices: [present, absent]
    default: present
    description: Whether mrpeek shall be there.
  state_file:
    type: path
    required: true
    description: Where to note what was put on the machine.
  origin:
    type: str
    description: Where it came from.
  version:
    type: str
    default: any
    description: The git reference wanted.
  move:
    type: bool
    default: false
    description:
      - Whether what the state file notes shall be put into C(prefix) and linked in C(link_dir) as it is, without
        another build.
  tree:
    type: path
    description: The compiled source tree of mrpeek.
  store:
    type: path
    description: A folder of archives to choose from.
  belongs_to:
    type: str
    default: ""
    description: The MRtrix3 that it was compiled against, or must have been, such as C(mrtrix3-3.0.8); any when empty.
  repo:
    type: str
    default: ""
    description: Where it was cloned from.
  progress:
    type: path
    description: A file that is told how far the unpacking is, as one JSON object.
  prefix:
    type: path
    description: The folder to install into.
  link_dir:
    type: path
    description: A folder on PATH that gets a link to the command; none when empty.
  cpu:
    type: str
    default: ""
    description: The processor it was compiled for.
  extra:
    type: dict
    default: {}
    description: What else to note in the state file and in the manifest of a build.
  seconds:
    type: float
    default: 0
    description: How long all of it has taken before.
  build_seconds:
    type: float
    default: 0
    description: How long compiling the tree has taken.
"""

EXAMPLES = """
- name: Install a compiled mrpeek
  provision_founders.provision.mrpeek_install:
    origin: source
    tree: /usr/local/src/mrpeek
    prefix: /opt/mrpeek
    link_dir: /usr/local/bin
    belongs_to: mrtrix3-3.0.8
    state_file: /var/lib/provision/mrpeek.json

- name: Take it away again
  provision_founders.provision.mrpeek_install:
    state: absent
    prefix: /opt/mrpeek
    link_dir: /usr/local/bin
    state_file: /var/lib/provision/mrpeek.json
"""

RETURN = """
report:
  description:
    - What is in place now, as the role reports it; V({}) when nothing is.
    - Without C(notes), which the role adds.
  type: dict
  returned: success
left_alone:
  description: Commands in the folder on PATH that are somebody else's, and got no link.
  type: list
  elements: str
  returned: success
passed_over:
  description: The archives of the store that could not be used, best first.
  type: list
  elements: dict
  returned: success
  contains:
    archive:
      description: Its path, or that of the store when that cannot be read.
      type: str
    why:
      description: Why it was not taken.
      type: str
"""
import os
import re
import shutil
import struct
import subprocess
import tempfile

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.provision import sixel as sixel
from ..module_utils.provision.commands import plain_environment
from ..module_utils.provision.store.portable import BUNDLE, PortableError, bundle_libraries, strip
from ..module_utils.provision.tool.install import ARGUMENTS, InstallError, Tool

_SIZE = 8


class Mrpeek(Tool):
    """The viewer, with whatever it needs of MRtrix3 beside it: where that lies, and whether it stays, is all one."""

    name, title = "mrpeek", "mrpeek"

    def gather(self, given, folder):
        """Copy the program with its libraries, and the decoder of its pictures."""
        program = os.path.join(given["tree"], "bin", "mrpeek")
        os.makedirs(os.path.join(folder, "bin"))
        shutil.copy2(program, os.path.join(folder, "bin"))
        bundle_libraries(folder, [program])
        shutil.copyfile(_decoder_here(), os.path.join(folder, BUNDLE, sixel.SONAME))
        strip([os.path.join(folder, "bin", "mrpeek")])

    def smoke_test(self, folder):
        """Have it draw a picture and decode that; return ("", its commands): it does not tell which version it is."""
        problem = wrong_in_picture(draw(os.path.join(folder, "bin", "mrpeek")), decoder_in(folder))
        if problem:
            raise InstallError(f"mrpeek does not draw what it should: {problem}.", code="does-not-run")
        return "", ["mrpeek"]

    def about(self, given, folder):
        """Return the MRtrix3 that it belongs to."""
        return {"belongs_to": given["belongs_to"]}

    def report(self, given, manifest):
        """Return the MRtrix3 that it belongs to, and the library that decodes its pictures."""
        return {
            "mrtrix3": manifest.get("belongs_to", "").removeprefix("mrtrix3-"),
            "decoder": decoder_in(given["prefix"]),
            "archive": given.get("archive", ""),
        }


def decoder_in(folder):
    """Return where an installation has libsixel."""
    return os.path.join(folder, BUNDLE, sixel.SONAME)


def _decoder_here():
    """Return the path of this system's libsixel; raise PortableError when there is none."""
    said = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    found = re.search(rf"^\s*{re.escape(sixel.SONAME)} .*=> (/\S+)$", said, re.M)
    if not found:
        raise PortableError("The library libsixel is missing.")
    return os.path.realpath(found.group(1))


def write_image(path):
    """Write an image whose one slice gets brighter along x and stays the same along y, as NIfTI-1.

    The fields and their places: nifti1.h. The voxels are of 1 mm, and the axes those of the scanner.
    """
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, _SIZE, _SIZE, 1, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 2, 8)  # datatype: unsigned char
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<3f", header, 108, 352, 1, 0)  # where the voxels begin; slope and intercept
    struct.pack_into("<2h", header, 252, 0, 1)  # only the affine holds
    for row in range(3):
        struct.pack_into("<4f", header, 280 + 16 * row, *(float(column == row) for column in range(4)))
    header[344:348] = b"n+1\0"
    with open(path, "wb") as file:
        file.write(bytes(header) + bytes(range(0, 30 * _SIZE, 30)) * _SIZE)


def draw(program):
    """Return what mrpeek writes for an image of known grey levels."""
    with tempfile.TemporaryDirectory() as folder:
        image = os.path.join(folder, "image.nii")
        write_image(image)
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
    """Return what is wrong in the picture of that image, in words; an empty string when nothing is.

    mrpeek shows the patient's left on the right, so that what gets brighter along x gets darker from left to right.
    """
    found = sixel.PICTURE.search(data)
    if not found:
        return "there is no sixel picture in its output"
    rows = decode(found.group(), library)
    part = [row[-_SIZE:] for row in rows[:_SIZE]]  # on the left is a strip for the colour bar
    if len(part) < _SIZE or len(part[0]) < _SIZE:
        return f"its picture has {len(rows)} rows of {len(rows[0])}"
    if any(row != part[0] for row in part):
        return "its rows differ"
    if any(left <= right for left, right in zip(part[0], part[0][1:])):  # noqa: B905 (Python 3.9)
        return f"its grey levels are {part[0]}"
    return ""


def decode(data, library):
    """Return the grey levels of a sixel picture, row by row, as libsixel reads it; raise InstallError."""
    try:
        width, _height, indices, palette = sixel.decode(data, sixel.load(library))
    except OSError as error:
        raise InstallError(f"libsixel cannot be loaded: {error}.") from error
    except sixel.SixelError as error:
        raise InstallError("libsixel cannot decode what mrpeek draws.") from error
    levels = [palette[3 * index] for index in indices]
    return [levels[at : at + width] for at in range(0, len(levels), width)]


def main():
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={**ARGUMENTS, "belongs_to": {"type": "str", "default": ""}},
        required_if=[("state", "present", ["origin", "move"], True)],
        mutually_exclusive=[("tree", "store")],
    )
    Mrpeek().run(module)


if __name__ == "__main__":
    main()

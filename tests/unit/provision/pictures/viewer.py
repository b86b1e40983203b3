"""The viewer mrpeek: the one of this machine, or a stand-in that notes how it was called."""

import io
import json
import os
import stat
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provision.errors import ProvisionError
from provision.machine import notes
from provision.pictures import sixel
from provision.pictures.picture import Picture

SHAPE = (7, 6, 5)
BAR = 20  # pixels of mrpeek's colour bar and of the gap beside it
STAND_IN = """#!{python}
# A stand-in for mrpeek: it notes how it was called, and draws a known picture of 4 x 3 pixels.
import json, os, sys
note = dict(arguments=sys.argv[1:], stdin=sys.stdin.read(), quiet=os.environ.get("MRTRIX_QUIET"))
note["folder"] = os.environ["MRTRIX_TMPFILE_DIR"]
with open({record!r}, "a") as file:
    file.write(json.dumps(note) + chr(10))
open(os.path.join(note["folder"], "left"), "w").close()
calls = len(open({record!r}).readlines())
{before}
picture = "{esc}P9;1q$#1;2;50;50;50#1FFFF-{esc}{back}"
text = "{esc}[2K{high}{esc}[0m\\n{esc}[2G" + picture + "{esc}[1B\\r\\r{esc}[2K{low}{esc}[0m\\n\\r"
text += "{esc}[2Kindex: [ 1 2 3 ] | value: {value}"
if "-plot" in sys.argv:
    text += "\\n\\n\\r95\\n\\r" + picture + "{esc}[2K2\\n\\r{esc}[2Kplot axis: 2 | x range: [ 0 3 ]"
print(text)
"""


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch):
    """What this machine has is no matter of these tests."""
    monkeypatch.setattr(notes, "read_state", lambda _: {})
    return lambda **report: monkeypatch.setattr(notes, "read_state", lambda role: {"report": {role: 0, **report}})


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, to see what is left in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


class StandIn:
    """A program that is called like mrpeek, and what it was called with."""

    def __init__(self, folder: Path):
        self.bin, self._record = folder / "bin", folder / "calls"
        self.bin.mkdir()
        self.write()

    def write(self, before="", high="100", low="0", value="5"):
        text = STAND_IN.format(
            python=sys.executable, record=str(self._record), before=before, high=high, low=low, value=value,
            esc="\\033", back="\\\\",
        )  # fmt: skip
        (self.bin / "mrpeek").write_text(text)
        (self.bin / "mrpeek").chmod(stat.S_IRWXU)

    @property
    def calls(self) -> list[dict]:
        return [json.loads(line) for line in self._record.read_text().splitlines()] if self._record.exists() else []


@pytest.fixture
def stand_in(tmp_path, monkeypatch, temporary):
    """The stand-in is the mrpeek on the path, and each of its pictures is decoded as one grey pixel."""
    monkeypatch.setattr(sixel, "decode", lambda data, library: np.full((1, data.count(b"\x1bP"), 3), 128, np.uint8))
    program = StandIn(tmp_path)
    monkeypatch.setenv("PATH", str(program.bin), prepend=os.pathsep)
    return program


@pytest.fixture
def mrpeek(nothing_installed, temporary):
    """The real mrpeek and libsixel."""
    folder, library = os.environ.get("PROVISION_TEST_MRPEEK"), os.environ.get("PROVISION_TEST_SIXEL")
    if not folder:
        pytest.skip("PROVISION_TEST_MRPEEK does not name the folder of a real mrpeek.")
    try:
        sixel._functions(library or "")
    except ProvisionError as error:
        pytest.skip(f"{error.message} PROVISION_TEST_SIXEL can name its file.")
    nothing_installed(bin=folder, decoder=library)


def values(*shape):
    """Numbers from 0 to 1000, no two slices alike."""
    return np.random.default_rng(0).uniform(0, 1000, shape or SHAPE).astype(np.float32)


def grey(picture: Picture) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture.png)))[..., 0] / 255


def option(call: dict, name: str, count: int = 1) -> list[str]:
    at = call["arguments"].index(name) + 1
    return call["arguments"][at : at + count]

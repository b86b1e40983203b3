"""The notebook that people open in Colab, run from top to bottom: on a plain machine, and on one dressed as Colab's.

PROVISION_TEST_STORE names a folder with a build of all of MRtrix3 3.0.8. Without it one line is replaced, since
compiling it would take half an hour: the distribution's MRtrix3 is taken.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from box import PROJECT, Box, Machines
from cells import has_failed, run_notebook, said
from colab import RELEASE_TAG
from layers import COARSE_FODS, with_colabs_kernel

NOTEBOOK = PROJECT / "notebooks" / "mrtrix3_in_colab.ipynb"
STORE = os.environ.get("PROVISION_TEST_STORE")
FULL = 'provision.run("deps", "mrtrix3", groups=["glyphs"])'
SHORT = 'provision.run("deps", "mrtrix3", groups=["glyphs"], mrtrix3_version="any")'
# The cells in which Colab is not like other machines, with those that they stand on.
OF_COLAB = ("install", "drive", "run", "ssh")


@pytest.fixture(scope="module")
def box(machines: Machines) -> Iterator[Box]:
    with machines.box(with_colabs_kernel(machines, machines.ready("trixie"))) as box:
        box.run("mkdir -p /content")
        # In CI it could be reached, and the head would take as long as everything else together.
        box.run("echo 127.0.0.1 workshop.dipy.org >> /etc/hosts")
        if STORE:
            box.copy_in(Path(STORE), "/root/.cache/provision")
        else:
            box.write("/usr/local/bin/dwi2fod", COARSE_FODS.format(dwi2fod="/usr/bin/dwi2fod"), mode="755")
        yield box


@pytest.fixture(scope="module")
def plain(box: Box) -> dict[str, list[dict]]:
    """The outputs of all cells on a machine that has neither Drive nor a token."""
    return run(box)


@pytest.fixture(scope="module")
def colab(box: Box, plain: dict) -> dict[str, list[dict]]:
    """Those of the cells in which Colab is different, on the same machine dressed as Colab's."""
    environment = {"COLAB_RELEASE_TAG": RELEASE_TAG, "PYTHONPATH": f"{box.project}/tests/colab"}
    return run(box, OF_COLAB, environment)


def run(box: Box, only: tuple[str, ...] = (), env: dict[str, str] | None = None) -> dict[str, list[dict]]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    notebook["cells"] = [cell for cell in notebook["cells"] if not only or cell["id"] in only]
    if not STORE:
        (install,) = [cell for cell in notebook["cells"] if cell["source"] == [FULL]]
        install["source"] = [SHORT]
    return run_notebook(box, notebook, seconds=600, cwd="/content", env=env)


def errors(cells: dict[str, list[dict]]) -> dict[str, str]:
    return {name: said(outputs) for name, outputs in cells.items() if has_failed(outputs)}


def test_every_cell_runs_on_a_plain_machine(plain: dict[str, list[dict]]) -> None:
    assert errors(plain) == {}


def test_every_cell_that_is_different_there_runs_on_colab(colab: dict[str, list[dict]]) -> None:
    assert errors(colab) == {}


def test_without_drive_it_says_where_builds_are_kept(plain: dict[str, list[dict]]) -> None:
    assert "Google Drive is not mounted; builds are saved in /root/.cache/provision" in said(plain["drive"])


def test_on_colab_builds_are_kept_on_drive(colab: dict[str, list[dict]]) -> None:
    assert "/content/drive/MyDrive/provision" in said(colab["drive"])


def test_mrtrix3_is_there_and_what_was_installed_once_is_not_installed_again(
    plain: dict[str, list[dict]], colab: dict[str, list[dict]]
) -> None:
    assert re.search(r"mrtrix3 +3\.\S+ ready", said(plain["run"]))
    assert "nothing changed" not in said(plain["run"]) and "nothing changed" in said(colab["run"])


def test_where_dipys_server_cannot_be_reached_the_phantom_is_taken(plain: dict[str, list[dict]]) -> None:
    assert "Using the phantom instead." in said(plain["sample"])


def test_fods_are_estimated_and_drawn(plain: dict[str, list[dict]], box: Box) -> None:
    box.run("test -s /content/wmfod.mif")
    (picture,) = [one["data"] for one in plain["glyphs"] if "image/png" in one.get("data", {})]
    assert "FODs of axial slice" in picture["text/plain"]


@pytest.mark.parametrize("name", ["peek", "view"])
def test_what_can_be_turned_and_slid_is_a_widget_of_the_page(plain: dict[str, list[dict]], name: str) -> None:
    assert [one for one in plain[name] if "application/vnd.jupyter.widget-view+json" in one.get("data", {})]


def test_without_a_token_nobody_is_let_in_and_it_says_how_to_get_one(plain: dict[str, list[dict]], box: Box) -> None:
    assert "Skipped: ngrok needs the authtoken" in said(plain["ssh"])
    box.run("! pgrep -x sshd")


def test_on_colab_the_terms_are_told_and_silence_is_no_consent(colab: dict[str, list[dict]], box: Box) -> None:
    assert "Colab's terms forbid SSH shells" in said(colab["ssh"])
    assert "Skipped: No tunnel was opened" in said(colab["ssh"])
    box.run("! pgrep -x sshd")

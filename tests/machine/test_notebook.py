"""Pictures, sliders, WebGL and progress in a real JupyterLab, run by a real browser, and through nbconvert.

PROVISION_TEST_SCREENSHOTS names a folder where the screenshots are kept.
"""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from box import Box, CommandFailed, Machines
from PIL import Image

HERE = Path(__file__).parent / "notebook"
PYTHON = "/opt/notebook/bin/python"
FOLDER = "/root/notebook"
# Chromium draws with SwiftShader; libegl1 and Mesa's driver are VTK's, and MRtrix3 reads the images.
APT = "chromium chromium-driver fonts-dejavu-core libegl1 libgl1-mesa-dri mrtrix3 python3-venv"
# No question about news, and every output in the page whether it is in sight or not.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"},
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    # As Google Colab does it: what widgets hold is saved with the notebook.
    "@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": True},
}
START = f"""
setsid /opt/notebook/bin/jupyter lab --allow-root --no-browser --ip=127.0.0.1 --port=8888 \
    --IdentityProvider.token=t --notebook-dir={FOLDER} > {FOLDER}.log 2>&1 < /dev/null &
for _ in $(seq 600); do grep -q 'is running at' {FOLDER}.log && exit; sleep 0.2; done; cat {FOLDER}.log; exit 1
"""

# A ball that is brighter towards the head and twice as bright on the right, its upper half as an overlay, tracks from
# front to back, and FODs whose one fibre runs to the right.
MAKE = """
import provision
import nibabel
import numpy as np

place = np.indices((24, 28, 20)) - np.array([11.5, 13.5, 9.5]).reshape(3, 1, 1, 1)
ball = np.linalg.norm(place, axis=0) < 9
affine = np.diag([2.0, 2, 2, 1])
affine[:3, 3] = -23, -27, -19
brain = (ball * (20 + place[2]) * (1 + (place[0] > 0))).astype(np.float32)
nibabel.save(nibabel.Nifti1Image(brain, affine), "brain.nii.gz")
half = nibabel.Nifti1Image((ball & (place[2] > 0)).astype(np.uint8), affine)
line = np.linspace(-16, 16, 30)
tracks = [np.stack([0 * line + shift, line, 0 * line], axis=1) for shift in np.linspace(-8, 8, 60)]
tracks = nibabel.streamlines.Tractogram(tracks, affine_to_rasmm=np.eye(4))
nibabel.streamlines.save(tracks, "front.tck")
fod = np.zeros((24, 28, 20, 6), np.float32)
fod[ball] = 0.28, 0, 0, -0.3, 0, 0.5
nibabel.save(nibabel.Nifti1Image(fod, affine), "fod.nii.gz")
"""
PASSWORD = "marker-of-a-password"
# What a run would return that lets people in; the button asks the kernel for the password.
LET_IN = """
from provision.actions.result import Result
server = {"user": "root", "host": "127.0.0.1", "port": 2222, "password_file": "/root/password"}
tunnel = {
    "url": "tcp://1.tcp.example.org:12345", "host": "1.tcp.example.org", "port": 12345, "state": "started",
    "command": "ssh -p 12345 root@1.tcp.example.org", "fingerprint": "SHA256:" + 43 * "x",
    "known_hosts": "[1.tcp.example.org]:12345 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + 43 * "x",
    "config": "Host provision\\n    HostName 1.tcp.example.org\\n    Port 12345\\n    User root\\n",
    "expires": "2026-11-24T03:14:00+00:00",
}
Result(5, 4.1, {"localhost": {"sshd": server, "ngrok": tunnel}})
"""
# A run that goes on until the browser, which may be busy, has seen how far it is; the machine's name has what must not
# become an element of the page.
PROGRESS = """
import time
from pathlib import Path

from provision.engine.events import Step
from provision.display.progress import progress
from provision.actions.result import Result

with progress() as shown:
    shown.step(Step("done", "deps", "Install packages", "localhost", changed=True))
    shown.step(Step("task", "mrtrix3", "Compile the commands"))
    for number in range(120, 180):
        shown.step(Step("work", "mrtrix3", "Compile the commands", number=number, total=401, unit="steps"))
        time.sleep(0.05)
    end = time.monotonic() + 60
    while not Path("seen").exists() and time.monotonic() < end:
        time.sleep(0.1)
    report = {"version": "3.0.8", "prefix": "/opt/mrtrix3", "origin": "store", "machine": "<img src=x>"}
    r = Result(0, 2.1, {"localhost": {"mrtrix3": report}})
    shown.end(repr(r))
"""
LINE = "mrtrix3 3.0.8 ready in 2.1 s (store) - nothing changed"
CELLS = {
    "progress": PROGRESS,
    "result": f"{PROGRESS}\nr",
    "make": MAKE,
    "peek": 'picture = provision.peek("brain.nii.gz")\nprint(picture.width, picture.height)\npicture',
    "interactive": 'provision.peek("brain.nii.gz", interactive=True)',
    "glyphs": 'picture = provision.glyphs("fod.nii.gz", size=600)\nprint(picture.width, picture.height)\npicture',
    "view": 'provision.view("brain.nii.gz", half, "front.tck")',
    "axial": 'provision.view("brain.nii.gz", layout="axial", height=300)',
    "let in": LET_IN,
}
WITHOUT_BROWSER = ("progress", "result")


@dataclass(frozen=True)
class Page:
    """What was to be seen of each cell that was run, by its name, screenshots of their outputs, the notebook's file.

    And, of another notebook that nbconvert has run, the outputs of each cell.
    """

    cells: dict[str, dict]
    screenshots: Path
    saved: str
    converted: dict[str, list[dict]]

    def cell(self, name: str) -> dict:
        return self.cells[name]

    def screenshot(self, name: str) -> np.ndarray:
        """Return the pixels of a cell's output, shape (H, W, 3)."""
        path = self.screenshots / f"cell-{list(self.cells).index(name)}.png"
        return np.asarray(Image.open(path).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def page(machines: Machines, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Run the notebook once, on a fresh machine with Chromium and JupyterLab."""
    folder = Path(os.environ.get("PROVISION_TEST_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    with machines.box(with_browser(machines)) as box:
        box.copy_in(HERE / "browser.py", f"{FOLDER}/browser.py")
        box.write(f"{FOLDER}/pictures.ipynb", notebook(CELLS))
        box.write("/root/password", f"{PASSWORD}\n", mode="600")
        box.write("/opt/notebook/share/jupyter/lab/settings/overrides.json", json.dumps(SETTINGS))
        box.run(START, env={"PYTHONPATH": box.project})
        command = f"{PYTHON} browser.py 'http://127.0.0.1:8888/lab/tree/pictures.ipynb?token=t' {FOLDER}/shots"
        try:
            seen = json.loads(box.run(command, cwd=FOLDER, timeout=1800).stdout)
        finally:
            for name in box.run(f"ls {FOLDER}/shots", check=False).stdout.split():
                (folder / name).write_bytes(base64.b64decode(box.run(f"base64 {FOLDER}/shots/{name}").stdout))
        saved = box.run(f"cat {FOLDER}/pictures.ipynb").stdout
        converted = convert(box, {name: CELLS[name] for name in WITHOUT_BROWSER})
    return Page(dict(zip(CELLS, seen, strict=True)), folder, saved, converted)


def with_browser(machines: Machines) -> Path:
    """Return a root with Chromium and, in an environment of its own, JupyterLab and what the cells import."""
    requirements = (HERE / "requirements.txt").read_text()

    def install(box: Box) -> None:
        box.run(f"apt-get update -qq && apt-get install -qq -y --no-install-recommends {APT} && apt-get clean", cwd="/")
        box.write("/opt/requirements.txt", requirements)
        box.run(f"python3 -m venv /opt/notebook && {PYTHON} -m pip install -q -r /opt/requirements.txt", cwd="/")

    try:
        return machines.layer(machines.base("trixie"), "browser", install, key=[APT, requirements])
    except CommandFailed as error:
        pytest.skip(f"Chromium or JupyterLab cannot be installed here: {str(error).splitlines()[-1]}")


def notebook(cells: dict[str, str]) -> str:
    fields = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps(
        {
            "cells": [{"id": name, "source": source, **fields} for name, source in cells.items()],
            "metadata": {"kernelspec": kernel},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )


def convert(box: Box, cells: dict[str, str]) -> dict[str, list[dict]]:
    """Run a notebook without a browser and return the outputs of its cells."""
    box.write(f"{FOLDER}/plain.ipynb", notebook(cells))
    command = f"{PYTHON} -m jupyter nbconvert --log-level ERROR --to notebook --execute --stdout plain.ipynb"
    done = json.loads(box.run(command, cwd=FOLDER, env={"PYTHONPATH": box.project}).stdout)
    return {name: cell["outputs"] for name, cell in zip(cells, done["cells"], strict=True)}


def size_printed(cell: dict) -> list[int]:
    return [int(number) for number in cell["text"].split()[:2]]


def test_every_cell_runs_without_an_error_or_a_warning(page: Page) -> None:
    assert {name: cell["error"] for name, cell in page.cells.items() if cell["error"]} == {}


@pytest.mark.parametrize("name", ["peek", "glyphs"])
def test_a_picture_is_shown_as_it_was_drawn(page: Page, name: str) -> None:
    cell = page.cell(name)
    (picture,) = cell["pictures"]
    assert [picture["file_width"], picture["file_height"]] == size_printed(cell)
    # One that is wider than the cell is made to fit, in the same proportions.
    assert picture["width"] <= picture["file_width"]
    assert picture["file_width"] * picture["height"] / picture["file_height"] == pytest.approx(picture["width"], abs=2)
    assert len(np.unique(page.screenshot(name).reshape(-1, 3), axis=0)) > 50


def test_moving_a_slider_draws_another_slice(page: Page) -> None:
    assert page.cell("interactive")["moved"]


@pytest.mark.parametrize("name", ["interactive", "view", "axial"])
def test_a_saved_notebook_shows_a_picture_where_its_widgets_no_longer_work(page: Page, name: str) -> None:
    (picture,) = page.cell(name)["reopened"]
    assert picture["file_width"] == 900 and picture["height"] > 100


def test_the_browser_draws_images_overlays_and_tracks(page: Page) -> None:
    red, green, blue = np.moveaxis(page.screenshot("view"), -1, 0)
    grey = (abs(red - green) < 12) & (abs(green - blue) < 12) & (red > 40) & (red < 240)
    overlay = (red > blue + 40) & (green > blue + 40) & (red > 100)
    tracks = (green > 150) & (red < 110) & (blue < 110)
    shares = {"grey": grey.mean(), "overlay": overlay.mean(), "tracks": tracks.mean()}
    assert shares["grey"] > 0.02 and shares["overlay"] > 0.02 and shares["tracks"] > 0.002, shares


def test_the_patients_right_is_on_the_left_as_peek_has_it(page: Page) -> None:
    brightness = page.screenshot("axial").sum(axis=2)
    # The canvas is black; its lowest part has the colour bar, and what is white is the page.
    rows, columns = (np.flatnonzero(np.median(brightness, axis=axis) < 200) for axis in (1, 0))
    canvas = brightness[rows[: int(0.8 * len(rows))]][:, columns[0] : columns[-1]]
    left, right = np.array_split(canvas, 2, axis=1)
    assert left.mean() > 1.5 * right.mean() > 0


def test_the_password_is_shown_when_the_button_is_pressed_and_is_not_saved(page: Page) -> None:
    cell = page.cell("let in")
    assert cell["password"] == PASSWORD
    # Its box is in the file, as what the widget holds; the password has never been before the button was pressed.
    assert "provision-password" in page.saved and "application/vnd.jupyter.widget-state+json" in page.saved
    assert PASSWORD not in page.saved and PASSWORD not in cell["text"]
    assert "ssh -p 12345 root@1.tcp.example.org" in cell["text"]


def test_a_run_shows_how_far_it_is_and_ends_as_one_line(page: Page) -> None:
    cell = page.cell("progress")
    assert re.search(r"✓ deps: Install pack.*mrtrix3: Compiling the commands .*\d+/401 steps", cell["meanwhile"], re.S)
    assert cell["text"] == LINE


def test_a_cell_that_shows_the_result_says_it_once(page: Page) -> None:
    text = page.cell("result")["text"]
    assert text.startswith("done in 2.1 s - nothing changed") and LINE not in text
    assert "3.0.8 ready (store)" in text and "/opt/mrtrix3" in text
    # Behind a click.
    assert "machine <b>&lt;img src=x&gt;</b>" in page.saved
    assert page.cell("result")["pictures"] == []


def test_what_runs_a_notebook_without_a_browser_keeps_the_end_alone(page: Page) -> None:
    (line,) = page.converted["progress"]
    assert "".join(line["data"]["text/plain"]) == LINE and LINE in "".join(line["data"]["text/html"])
    nothing, table = page.converted["result"]
    assert "".join(nothing["data"]["text/html"]) == ""
    assert "<table>" in "".join(table["data"]["text/html"])

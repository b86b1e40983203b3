"""A notebook on a machine dressed as Google Colab's: its kernel's versions, its package, its environment."""

from __future__ import annotations

import cells
import pytest
from box import Machines
from cells import run_cells
from colab import RELEASE_TAG
from layers import packaged, with_colabs_kernel

LIBRARIES = "/usr/lib64-nvidia"
CELLS = {
    "versions": "import google.colab, IPython, ipykernel; print(IPython.__version__, ipykernel.__version__)",
    "drive": "import provision; provision.drive()",
    "run": 'r = provision.run("mrtrix3", version="any"); r',
    "command": "!mrinfo -version | head -n 1; echo $LD_LIBRARY_PATH",
    "write": "from pathlib import Path; _ = Path('/content/drive/MyDrive/kept').write_text('')\n!ls /srv/google-drive",
    "flush": "provision.drive(flush=True)\n!ls /srv/google-drive /content/drive/MyDrive",
    "refused": "google.colab._page.page.gives_drive = False; google.colab.drive.flush_and_unmount(); provision.drive()",
}


@pytest.fixture(scope="module")
def said(machines: Machines) -> dict[str, str]:
    """Run the cells once, on a machine that has MRtrix3, and give what each has shown."""
    with machines.box(with_colabs_kernel(machines, packaged(machines, "trixie"))) as box:
        environment = {
            "COLAB_RELEASE_TAG": RELEASE_TAG, "LD_LIBRARY_PATH": LIBRARIES, "PYTHONPATH": f"{box.project}/tests/colab",
        }  # fmt: skip
        box.run(f"mkdir -p /content {LIBRARIES}")
        outputs = run_cells(box, list(CELLS.values()), seconds=120, cwd="/content", env=environment)
    return dict(zip(CELLS, map(cells.said, outputs), strict=True))


def test_the_kernel_is_the_one_that_colab_pins(said: dict[str, str]) -> None:
    assert said["versions"].split() == ["7.34.0", "6.17.1"]


def test_drive_is_mounted_and_the_store_is_there(said: dict[str, str]) -> None:
    assert "Mounted at /content/drive" in said["drive"]
    assert "There are no builds in /content/drive/MyDrive/provision." in said["drive"]


def test_a_run_goes_on_as_anywhere_and_its_commands_are_there_in_the_next_cell(said: dict[str, str]) -> None:
    assert "nothing changed" in said["run"]
    assert said["command"].startswith("== mrinfo 3.")


def test_the_notebook_and_what_it_starts_keep_the_library_path(said: dict[str, str]) -> None:
    assert said["command"].splitlines()[-1] == LIBRARIES


def test_what_was_written_reaches_drive_at_the_latest_with_a_flush(said: dict[str, str]) -> None:
    assert "kept" not in said["write"]
    assert said["flush"].count("kept") == 2


def test_who_does_not_allow_drive_gets_a_note_and_no_error(said: dict[str, str]) -> None:
    assert "Google Drive was not mounted" in said["refused"]
    assert "builds are saved in /root/.cache/provision" in said["refused"]

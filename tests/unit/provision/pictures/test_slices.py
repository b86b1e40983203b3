"""How mrpeek is started, what becomes of it, and how large what it draws is."""

import errno
import os
import re
import subprocess
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from provision.errors import ProvisionError
from provision.pictures import images, slices
from provision.pictures.peek import peek

from .viewer import (
    BAR,
    mrpeek,  # noqa: F401
    nothing_installed,  # noqa: F401
    stand_in,  # noqa: F401
    temporary,  # noqa: F401
    values,
)

# --- against the image itself, with the real mrpeek -----------------------------------------------------------------


@pytest.mark.parametrize("colourmap", slices.COLOURMAPS)
def test_mrpeek_has_every_colour_map_that_is_offered(mrpeek, colourmap):
    assert peek(values(), plane="axial", colourmap=colourmap, zoom=2).width == BAR + 14


def test_mrpeek_has_no_colour_map_that_is_not_offered(mrpeek):
    command, _ = slices._commands()
    page = subprocess.run([command, "__print_full_usage__"], capture_output=True, text=True, check=True).stdout
    offered = re.search(r"choices are: ([a-z,]+)\.", page.replace("\n", "")).group(1)
    assert tuple(offered.split(",")) == slices.COLOURMAPS


def test_mrpeeks_own_words_are_told_when_it_fails(mrpeek, tmp_path, monkeypatch):
    nibabel.save(nibabel.Nifti1Image(values(), np.eye(4)), tmp_path / "a.nii")
    header = images.header(tmp_path / "a.nii")
    view = slices.checked(header, None, None, None, None, None, "gray", None, True, None)
    with pytest.raises(ProvisionError, match="out of bounds for axis 0") as caught:  # mrpeek's words
        slices.drawn(tmp_path / "a.nii", header, replace(view, focus=(99, 0, 0)), "a.nii")
    assert caught.value.code == "mrpeek-failed" and "a.nii" in caught.value.message


# --- how mrpeek is called, with a stand-in --------------------------------------------------------------------------


@pytest.fixture
def typed():
    """Somebody types into the terminal; pytest itself would leave an empty standard input."""
    kept, (reading, writing) = os.dup(0), os.pipe()
    os.write(writing, b"typed ahead")
    os.close(writing)
    os.dup2(reading, 0)
    os.close(reading)
    yield
    os.dup2(kept, 0)
    os.close(kept)


def test_mrpeek_is_started_quietly_and_reads_nothing_from_the_terminal(stand_in, typed):
    peek(values())
    assert (stand_in.calls[0]["quiet"], stand_in.calls[0]["stdin"]) == ("1", "")


def test_nothing_is_left_in_the_temporary_folder(stand_in, temporary):
    peek(values())
    assert stand_in.calls[0]["folder"].startswith(str(temporary))
    stand_in.write(before="sys.exit(1)")
    with pytest.raises(ProvisionError):
        peek(values())
    assert os.listdir(temporary) == []


def test_mrpeeks_last_line_is_told_when_it_fails(stand_in, temporary):
    stand_in.write(before="sys.exit('mrpeek: [WARNING] odd\\nmrpeek: [ERROR] cannot open the image.')")
    with pytest.raises(ProvisionError) as caught:
        peek(values())
    assert caught.value.code == "mrpeek-failed" and "\n" not in caught.value.message
    assert "cannot open the image" in caught.value.message and "odd" not in caught.value.message


def test_an_end_without_a_word_is_told_with_its_code(stand_in):
    stand_in.write(before="os._exit(3)")
    with pytest.raises(ProvisionError) as caught:
        peek(values())
    assert caught.value.code == "mrpeek-failed" and re.search(r"\b3\b", caught.value.message)


def test_a_viewer_that_hangs_is_stopped(stand_in, monkeypatch, temporary):
    monkeypatch.setattr(slices, "_SECONDS", 0.5)
    stand_in.write(before="import time; time.sleep(60)")
    with pytest.raises(ProvisionError) as caught:
        peek(values())
    assert caught.value.code == "mrpeek-failed" and "0.5 s" in caught.value.message
    assert os.listdir(temporary) == []


def test_a_viewer_that_cannot_be_started_is_told(stand_in, nothing_installed):
    (stand_in.bin / "mrpeek").write_text("#!/nowhere/python\n")
    nothing_installed(bin=str(stand_in.bin))
    with pytest.raises(ProvisionError) as caught:
        peek(values())
    assert caught.value.code == "does-not-run" and str(stand_in.bin / "mrpeek") in caught.value.message
    assert os.strerror(errno.ENOENT) in caught.value.message and 'provision.run("mrpeek")' in caught.value.hint


# --- how large a picture is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "spacing", "plane", "plot", "zoom"),
    [
        ((48, 48, 20), (2, 2, 2), "axial", None, 12),
        ((48, 48, 20), (2, 2, 2), None, None, 6),
        ((48, 48, 20), (2, 2, 2), "axial", "volume", 5),
        ((256, 256, 256), (1, 1, 1), "axial", None, 2),
        ((64, 64, 20), (1, 1, 4), "coronal", None, 7),
        ((1000, 1000, 10), (1, 1, 1), "axial", None, 1),
    ],
)
def test_a_picture_is_as_large_as_a_cell_allows_and_a_voxel_a_whole_number_of_pixels(shape, spacing, plane, plot, zoom):
    assert slices.default_zoom(images.Header(shape, spacing, np.eye(4)), plane, plot) == zoom


def test_a_very_large_image_is_made_smaller():
    assert slices.default_zoom(images.Header((4000, 4000, 9), (1, 1, 1), np.eye(4)), "axial") == pytest.approx(0.15)

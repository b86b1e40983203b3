"""Glyphs: what cannot be shown, and a process that draws nothing."""

import os
import re
import subprocess
import sys
import tempfile

import nibabel
import numpy as np
import pytest

from provision import extras
from provision.engine import content
from provision.errors import OptionError, ProvisionError
from provision.pictures import fod_render
from provision.pictures.glyphs import glyphs

from .fibres import X, volume

pytestmark = pytest.mark.usefixtures("mrtrix")

# What is missing or wrong


@pytest.fixture
def undrawn(monkeypatch):
    """VTK as if it were there; nothing is drawn, for there is an error before."""
    monkeypatch.setattr(extras, "find_spec", lambda name: name)


@pytest.fixture
def drawer(tmp_path, monkeypatch):
    """Put some code in the place of what draws."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(fod_render, "__name__", "drawer")
    return (tmp_path / "drawer.py").write_text


FIBRES = volume({(1, 1, 2): X, (1, 1, 4): X, (1, 1, 5): X}, (4, 5, 6))


@pytest.mark.parametrize(
    ("image", "options", "code", "values"),
    [
        (np.ones((3, 3, 3)), {}, "not-fods", ["3 x 3 x 3"]),
        (np.ones((3, 3, 3, 1, 6)), {}, "not-fods", ["3 x 3 x 3 x 1 x 6"]),
        (np.ones((3, 3, 3, 7)), {}, "not-fods", ["7", "1, 6, 15, 28, 45, 66, 91"]),
        (FIBRES, {"plane": "axail"}, "bad-value", ["'axail'", "'axial'"]),
        (FIBRES, {"plane": ["axial"]}, "bad-value", ["['axial']"]),
        (FIBRES, {"plane": "z"}, "bad-value", ["'z'", "axial"]),
        (FIBRES, {"slice": 6}, "bad-value", ["axial", " 6", "0 to 5"]),
        (FIBRES, {"slice": -1, "plane": "coronal"}, "bad-value", ["coronal", "-1", "0 to 4"]),
        (FIBRES, {"slice": 1.5}, "bad-value", ["slice", "1.5"]),
        (FIBRES, {"slice": 0}, "nothing-to-show", ["axial", " 0", "2, 4, 5"]),
        (FIBRES, {"region": ((0, 5), (0, 5))}, "bad-value", ["axial", "4 x 5", "'0:4,0:5'"]),
        (FIBRES, {"region": "0:5"}, "bad-value", ["'0:5'", "30:38,40:48"]),
        (FIBRES, {"kind": "fods"}, "bad-value", ["'fods'", "'fod'"]),
        (FIBRES, {"scale": "big"}, "bad-value", ["scale", "'big'"]),
        (FIBRES, {"size": float("inf")}, "bad-value", ["size", "inf"]),
        (FIBRES, {"size": 9000}, "bad-value", ["9000", "8192"]),
        (FIBRES * 0, {}, "nothing-to-show", []),
        (-FIBRES[..., :1], {}, "nothing-to-show", ["4"]),
        (FIBRES, {"slice": 2, "region": "2:3,2:3"}, "nothing-to-show", ["2:3,2:3"]),
        (nibabel.Nifti1Image(FIBRES, np.eye(4)), {"background": np.ones((4, 5, 6))}, "bad-value", ["background"]),
        (FIBRES, {"background": nibabel.Nifti1Image(FIBRES, np.eye(4) + 99 * np.eye(4, k=3))}, "wrong-image", []),
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_what_cannot_be_shown_is_an_option_error_that_says_why(image, options, code, values):
    with pytest.raises(OptionError) as refused:
        glyphs(image, **options)
    assert refused.value.code == code
    assert [value for value in values if value not in str(refused.value)] == []


@pytest.mark.usefixtures("undrawn")
def test_where_there_is_nothing_in_any_slice_none_is_offered():
    with pytest.raises(OptionError) as refused:
        glyphs(FIBRES * 0, slice=0)
    assert refused.value.code == "nothing-to-show" and not re.search(r"\d", refused.value.hint)


@pytest.mark.usefixtures("undrawn")
def test_nothing_is_left_behind_when_drawing_fails(drawer, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    drawer("raise ValueError")
    with pytest.raises(ProvisionError):
        glyphs(FIBRES, background=FIBRES)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir() and path.name.startswith("provision")] == []


def test_missing_vtk_is_an_error_that_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "vtkmodules" else name)
    with pytest.raises(ProvisionError) as caught:
        glyphs(FIBRES)
    assert caught.value.code == "missing-packages" and "vtkmodules" in caught.value.message
    assert 'pip install "mrtrix-provision[view]"' in caught.value.hint


@pytest.mark.parametrize(
    ("program", "code", "told"),
    [
        ("import os; os.kill(os.getpid(), 11)", "no-library", 'provision.run("deps", groups=["glyphs"])'),
        ("raise ImportError('libX11.so.6: cannot open shared object file: No such file')", "no-library", "OpenGL"),
        ("import os; os.kill(os.getpid(), 9)", "out-of-memory", "region"),
        ("raise ValueError('something else')", "failed", "ValueError: something else"),
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_process_that_draws_nothing_is_an_error_and_leaves_this_one_alive(drawer, program, code, told):
    drawer(program)
    with pytest.raises(ProvisionError) as caught:
        glyphs(FIBRES)
    assert caught.value.code == code and told in str(caught.value)


@pytest.mark.parametrize("chosen", [None, "vtkOSOpenGLRenderWindow"])
@pytest.mark.usefixtures("undrawn")
def test_process_that_draws_is_told_of_no_display_and_to_take_egl_if_nothing_else_was_chosen(
    drawer, monkeypatch, chosen
):
    monkeypatch.setenv("DISPLAY", "localhost:10.0")
    if chosen:
        monkeypatch.setenv("VTK_DEFAULT_OPENGL_WINDOW", chosen)
    drawer("import os; raise ValueError([os.environ.get(n) for n in ('DISPLAY', 'VTK_DEFAULT_OPENGL_WINDOW')])")
    with pytest.raises(ProvisionError) as caught:
        glyphs(FIBRES)
    assert str([None, chosen or "vtkEGLRenderWindow"]) in caught.value.message


def test_importing_needs_neither_numpy_nor_vtk():
    code = "import sys; sys.modules.update(numpy=None, vtkmodules=None, nibabel=None); import provision.pictures.glyphs"
    path = {**os.environ, "PYTHONPATH": str(content.root())}
    subprocess.run([sys.executable, "-c", code], env=path, check=True)


def test_without_the_packages_glyphs_is_one_sentence(tmp_path):
    script = (
        "import sys\nsys.modules.update(numpy=None, nibabel=None)\nfrom provision.pictures.glyphs import glyphs\n"
        "from provision.errors import ProvisionError\ntry: glyphs('x.nii')\nexcept ProvisionError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert 'pip install "mrtrix-provision[view]"' in done.stdout

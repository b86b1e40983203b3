"""Fibre orientation distributions: what cannot be shown, and a process that draws nothing."""

import os
import re
import subprocess
import sys

import nibabel
import numpy as np
import pytest

from provision import extras
from provision.engine import content
from provision.errors import OptionError, ProvisionError
from provision.pictures import fod_render
from provision.pictures import glyphs as fod
from provision.pictures.glyphs import glyphs

from .fibres import X, fibre, volume

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
        (FIBRES, {"plane": "z"}, "bad-value", ["'z'", "axial, coronal, sagittal"]),
        (FIBRES, {"slice": 6}, "bad-value", ["axial", " 6", "0 to 5"]),
        (FIBRES, {"slice": -1, "plane": "coronal"}, "bad-value", ["coronal", "-1", "0 to 4"]),
        (FIBRES, {"slice": 1.5}, "bad-value", ["slice", "1.5"]),
        (FIBRES, {"slice": 0}, "nothing-to-show", ["axial", " 0", "2, 4 to 5"]),
        (FIBRES, {"region": ((0, 5), (0, 5))}, "bad-value", ["axial", "4 x 5", "((0, 4), (0, 5))"]),
        (FIBRES, {"region": ((2, 2), (0, 5))}, "bad-value", ["((2, 2), (0, 5))", "4 x 5"]),
        (FIBRES, {"region": ((-1, 2), (0, 5))}, "bad-value", ["((-1, 2), (0, 5))", "4 x 5"]),
        (FIBRES, {"region": (0, 2)}, "bad-value", ["(0, 2)", "((x0, x1), (y0, y1))"]),
        (FIBRES, {"region": ((0, 2.5), (0, 5))}, "bad-value", ["((0, 2.5), (0, 5))", "((x0, x1), (y0, y1))"]),
        (FIBRES, {"zoom": 0}, "bad-value", ["zoom", "0"]),
        (FIBRES, {"scale": "big"}, "bad-value", ["scale", "'big'"]),
        (FIBRES, {"size": float("inf")}, "bad-value", ["size", "inf"]),
        (FIBRES, {"zoom": 20}, "too-large", ["19200", "8192"]),
        (FIBRES * 0, {}, "nothing-to-show", []),
        (-FIBRES[..., :1], {}, "nothing-to-show", ["4"]),
        (np.ones((180, 180, 1, 1)), {}, "too-large", ["32400", "25000", "region=((x0, x1), (y0, y1))"]),
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
        glyphs(FIBRES, slice=0, region=((2, 3), (2, 3)))
    assert refused.value.code == "nothing-to-show" and not re.search(r"\d", refused.value.hint)


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


# Images that have as many volumes


def directions(count: int = 300) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def tensors(unit: float, order=(0, 1, 2, 3, 4, 5)) -> np.ndarray:
    """Tensors as dwi2tensor writes them, of fibres in all directions and of water, with noise around them."""
    along = directions()
    whole = 0.3 * np.eye(3) + 1.4 * along[:, :, np.newaxis] * along[:, np.newaxis, :]
    whole = np.concatenate([whole, np.tile(3 * np.eye(3), (100, 1, 1))])
    written = whole[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    noise = 0.1 * np.random.default_rng(1).normal(size=(400, 6))
    return unit * np.concatenate([written, noise])[:, order].reshape(20, 40, 1, 6).astype(np.float32)


@pytest.mark.parametrize("unit", [1e-3, 1.0], ids=["mm2/s", "um2/ms"])
@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3, 4, 5), (0, 3, 4, 1, 5, 2), (0, 3, 1, 4, 5, 2)], ids=["MRtrix3", "FSL", "ITK"]
)
def test_a_diffusion_tensor_is_refused(unit, order):
    with pytest.raises(OptionError) as caught:
        fod._check_coefficients(tensors(unit, order))
    assert caught.value.code == "not-fods" and "tensors" in caught.value.message


def test_a_diagonal_tensor_is_refused():
    with pytest.raises(OptionError) as caught:
        fod._check_coefficients(np.full((2, 2, 2, 6), [1.7e-3, 3e-4, 3e-4, 0, 0, 0]))
    assert caught.value.code == "not-fods" and "tensors" in caught.value.message


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e3])
@pytest.mark.parametrize("count", [6, 15])
def test_fods_of_every_size_are_taken(size, count):
    exact = np.array([fibre(direction)[:count] for direction in directions()])
    noisy = exact + 0.05 * np.random.default_rng(2).normal(size=exact.shape)
    for coefficients in (exact, noisy):
        fod._check_coefficients(size * coefficients.reshape(10, 30, 1, count))


def test_fods_of_a_single_direction_and_those_the_same_everywhere_are_taken():
    for direction in directions(100):
        fod._check_coefficients(np.tile(fibre(direction)[:6], (3, 3, 3, 1)))
    fod._check_coefficients(np.tile([0.28, 0, 0, 0, 0, 0], (3, 3, 3, 1)))


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_a_series_of_volumes_is_refused(kind):
    series = np.random.default_rng(3).uniform(100, 1000, (4, 4, 4, 28)).astype(kind)
    with pytest.raises(OptionError) as caught:
        fod._check_coefficients(series)
    assert caught.value.code == "not-fods" and "28 volumes" in caught.value.message


def test_without_the_packages_glyphs_is_one_sentence(tmp_path):
    script = (
        "import sys\nsys.modules.update(numpy=None, nibabel=None)\nfrom provision.pictures.glyphs import glyphs\n"
        "from provision.errors import ProvisionError\ntry: glyphs('x.nii')\nexcept ProvisionError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert 'pip install "mrtrix-provision[view]"' in done.stdout

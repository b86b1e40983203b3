"""Fibre orientation distributions: what cannot be shown, and a process that draws nothing."""

import os
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
    ("image", "options", "message"),
    [
        (np.ones((3, 3, 3)), {}, "FODs are a 4-D image, but this one has 3 dimensions: 3 x 3 x 3."),
        (np.ones((3, 3, 3, 1, 6)), {}, "FODs are a 4-D image, but this one has 5 dimensions: 3 x 3 x 3 x 1 x 6."),
        (np.ones((3, 3, 3, 7)), {}, "The image has 7 volumes, which is no number .* 1, 6, 15, 28, 45, 66, 91"),
        (FIBRES, {"plane": "axail"}, "There is no plane 'axail'. Did you mean 'axial'?"),
        (FIBRES, {"plane": ["axial"]}, r"There is no plane \['axial'\]."),
        (FIBRES, {"plane": "z"}, "The planes are axial, coronal, sagittal."),
        (FIBRES, {"slice": 6}, "There is no axial slice 6. They are counted from 0 to 5."),
        (FIBRES, {"slice": -1, "plane": "coronal"}, "There is no coronal slice -1. They are counted from 0 to 4."),
        (FIBRES, {"slice": 1.5}, "The slice is 1.5, but must be a whole number."),
        (FIBRES, {"slice": 0}, "nothing to show in axial slice 0. There is something in the slices 2, 4 to 5."),
        (FIBRES, {"slice": 0, "region": ((2, 3), (2, 3))}, "nothing to show in axial slice 0. Nor is there in any"),
        (FIBRES, {"region": ((0, 5), (0, 5))}, r"not within the axial slices, which have 4 x 5 voxels. The largest"),
        (FIBRES, {"region": ((2, 2), (0, 5))}, "not within the axial slices"),
        (FIBRES, {"region": ((-1, 2), (0, 5))}, "not within the axial slices"),
        (FIBRES, {"region": (0, 2)}, r"The region \(0, 2\) is not a pair of pairs of whole numbers."),
        (FIBRES, {"region": ((0, 2.5), (0, 5))}, "is not a pair of pairs of whole numbers."),
        (FIBRES, {"zoom": 0}, "zoom is 0, but must be a number greater than 0."),
        (FIBRES, {"scale": "big"}, "scale is 'big', but must be"),
        (FIBRES, {"size": float("inf")}, "size is inf, but must be"),
        (FIBRES, {"zoom": 20}, "The picture would be 19200 pixels wide or high, but 8192 is the most."),
        (FIBRES * 0, {}, "There is nothing to show: every voxel is zero or not finite."),
        (-FIBRES[..., :1], {}, "nothing to show in slice 4: no amplitude is greater than zero."),
        (np.ones((180, 180, 1, 1)), {}, "The slice has 32400 FODs, but at most 25000 can be drawn. Take a region"),
        (nibabel.Nifti1Image(FIBRES, np.eye(4)), {"background": np.ones((4, 5, 6))}, "does not say where its voxels"),
        (FIBRES, {"background": nibabel.Nifti1Image(FIBRES, np.eye(4) + 99 * np.eye(4, k=3))}, "does not overlap"),
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_what_cannot_be_shown_is_an_option_error_that_says_why(image, options, message):
    with pytest.raises(OptionError, match=message):
        glyphs(image, **options)


def test_missing_vtk_is_an_error_that_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "vtkmodules" else name)
    with pytest.raises(ProvisionError, match="vtkmodules") as caught:
        glyphs(FIBRES)
    assert 'pip install "mrtrix-provision[view]"' in caught.value.hint


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.kill(os.getpid(), 11)", "no OpenGL library .* groups=..glyphs.."),
        ("raise ImportError('libX11.so.6: cannot open shared object file: No such file')", "no OpenGL library"),
        ("import os; os.kill(os.getpid(), 9)", "was killed, as happens where memory is short"),
        ("raise ValueError('something else')", "VTK could not draw the FODs: ValueError: something else"),
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_process_that_draws_nothing_is_an_error_and_leaves_this_one_alive(drawer, code, message):
    drawer(code)
    with pytest.raises(ProvisionError, match=message):
        glyphs(FIBRES)


@pytest.mark.parametrize("chosen", [None, "vtkOSOpenGLRenderWindow"])
@pytest.mark.usefixtures("undrawn")
def test_process_that_draws_is_told_of_no_display_and_to_take_egl_if_nothing_else_was_chosen(
    drawer, monkeypatch, chosen
):
    monkeypatch.setenv("DISPLAY", "localhost:10.0")
    if chosen:
        monkeypatch.setenv("VTK_DEFAULT_OPENGL_WINDOW", chosen)
    drawer("import os; raise ValueError([os.environ.get(n) for n in ('DISPLAY', 'VTK_DEFAULT_OPENGL_WINDOW')])")
    with pytest.raises(ProvisionError, match=rf"\[None, '{chosen or 'vtkEGLRenderWindow'}'\]"):
        glyphs(FIBRES)


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
    with pytest.raises(OptionError, match="diffusion tensors") as caught:
        fod._check_coefficients(tensors(unit, order))
    assert caught.value.code == "not-fods"


def test_a_diagonal_tensor_is_refused():
    with pytest.raises(OptionError, match="diffusion tensors"):
        fod._check_coefficients(np.full((2, 2, 2, 6), [1.7e-3, 3e-4, 3e-4, 0, 0, 0]))


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
    with pytest.raises(OptionError, match="28 volumes of intensities") as caught:
        fod._check_coefficients(series)
    assert caught.value.code == "not-fods"


def test_without_the_packages_glyphs_is_one_sentence(tmp_path):
    script = (
        "import sys\nsys.modules.update(numpy=None, nibabel=None)\nfrom provision.pictures.glyphs import glyphs\n"
        "from provision.errors import ProvisionError\ntry: glyphs('x.nii')\nexcept ProvisionError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert 'pip install "mrtrix-provision[view]"' in done.stdout

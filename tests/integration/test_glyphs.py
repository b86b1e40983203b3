"""FODs and tensors: what is seen of them in a picture, which another process draws."""

import io
import itertools
import os
import subprocess
import sys
from ctypes.util import find_library
from importlib.util import find_spec

import nibabel
import numpy as np
import pytest
from PIL import Image

from provision.engine import content
from provision.pictures.drawing import pictured
from provision.pictures.glyphs import glyphs

from ..unit.provision.pictures.fibres import X, Y, Z, fibre, volume
from ..unit.provision.pictures.standin import mrtrix  # noqa: F401

pytestmark = pytest.mark.usefixtures("mrtrix")
drawing = pytest.mark.skipif(
    find_spec("vtkmodules") is None or not (find_library("EGL") or find_library("OSMesa")),
    reason="VTK or an OpenGL library is not installed: pip install vtk; apt-get install libegl1 libgl1-mesa-dri",
)
AXES = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}


def pixels(picture, longest: int = 400) -> np.ndarray:
    """The glyphs of a picture without what is written on them: colours from 0 to 1, shape (H, W, 3)."""
    (shown,) = picture.figure.axes[0].images
    drawn = Image.fromarray(np.ascontiguousarray(shown.get_array()[::-1, ::-1]))
    drawn = drawn.resize([round(longest * side / max(drawn.size)) for side in drawn.size], Image.Resampling.BOX)
    return np.asarray(drawn) / 255


def png(picture) -> np.ndarray:
    """A picture's colours as a cell shows it, 0 to 1, shape (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(picture.png)).convert("RGB")) / 255


def extent(seen: np.ndarray) -> tuple[int, int]:
    """How many columns and rows of a picture are not black."""
    lit = seen.max(axis=-1) > 0.1
    return int(lit.any(axis=0).sum()), int(lit.any(axis=1).sum())


def angle(seen: np.ndarray) -> float:
    """Degrees from the picture's horizontal to what is seen, counter-clockwise, 0 to 180."""
    rows, columns = np.nonzero(seen.max(axis=-1) > 0.1)
    covariance = np.cov(columns, -rows)
    along = np.linalg.eigh(covariance)[1][:, 1]
    return float(np.degrees(np.arctan2(along[1], along[0])) % 180)


def colour(seen: np.ndarray) -> np.ndarray:
    """The mean colour of what is seen."""
    return seen[seen.max(axis=-1) > 0.1].mean(axis=0)


@drawing
@pytest.mark.parametrize("plane", AXES)
def test_fibres_point_where_they_go_and_are_coloured_by_it(plane):
    """A slice's diagonal: fibres along the axes, of which that towards the viewer is as wide as it is high."""
    across, up = AXES[plane]
    coefficients = np.zeros((3, 3, 3, 15))
    here = np.moveaxis(coefficients, (across, up), (0, 1))[:, :, 1]
    for place, axis in enumerate(np.eye(3)):
        here[place, place] = fibre(axis)
    here[0, 2] = fibre(2 * np.eye(3)[across] + np.eye(3)[up])
    seen = pixels(glyphs(coefficients, plane=plane), 300)
    for axis in range(3):
        # The first voxel is on the right and below.
        tile = seen[200 - 100 * axis : 300 - 100 * axis, 200 - 100 * axis : 300 - 100 * axis]
        width, height = extent(tile)
        along = {across: width > 90 and height < 60, up: height > 90 and width < 60}
        assert along.get(axis, width < 60 and height < 60), (plane, axis, width, height)
        assert colour(tile).argmax() == axis
        assert (np.delete(colour(tile), axis) < 0.7 * colour(tile).max()).all()
    # On the right and above; to the right and up leans to the left.
    assert angle(seen[:100, 200:]) == pytest.approx(180 - np.degrees(np.arctan(1 / 2)), abs=1)


@drawing
@pytest.mark.parametrize(("plane", "up", "viewer"), [("axial", Y, -Z), ("coronal", Z, Y), ("sagittal", Z, -X)])
def test_slices_are_seen_from_the_feet_the_front_and_the_left(plane, up, viewer):
    """Of a fibre that leans to the viewer at its top, there the steeper side is seen, and at its bottom the flatter."""
    seen = pixels(glyphs(fibre(2 * up + viewer).reshape(1, 1, 1, 15), plane=plane), 200)
    towards, upward = (np.argmax(np.abs(axis)) for axis in (viewer, up))
    top, bottom = (colour(half)[towards] / colour(half)[upward] for half in (seen[:100], seen[100:]))
    assert top > 1.3 * bottom


@drawing
@pytest.mark.parametrize("axes", [[[1, -1], [0, 1], [2, 1]], [[2, 1], [0, -1], [1, -1]]], ids=["y x z", "y z x"])
def test_directions_are_the_scanners_whatever_the_order_and_sign_of_the_voxel_axes(axes):
    image = nibabel.Nifti1Image(volume({(0, 1, 1): (1, 2, 0), (2, 1, 1): (1, -1, 0)}), np.eye(4))
    turned = image.as_reoriented(axes)
    assert turned.affine[0, 0] == 0
    np.testing.assert_array_equal(pixels(glyphs(turned)), pixels(glyphs(image)))


@drawing
def test_oblique_image_shows_fibres_along_its_own_axes_and_in_the_scanners_colours():
    """Voxel axes turned by 30 degrees about z: a fibre along scanner x is 30 degrees off the first voxel axis."""
    turn = np.eye(4)
    cosine, sine = np.cos(np.radians(30)), np.sin(np.radians(30))
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
    image = nibabel.Nifti1Image(volume({(0, 0, 0): X}, (1, 1, 1)), turn)
    seen = pixels(glyphs(image), 200)
    # In voxel axes it is (cos 30, -sin 30), and to the right of the picture is the left.
    assert angle(seen) == pytest.approx(30, abs=0.5)
    assert colour(seen).argmax() == 0
    assert (colour(seen)[1:] < 0.6 * colour(seen)[0]).all()


@drawing
def test_amplitudes_compare_and_the_largest_fits_its_voxel():
    coefficients = volume({(0, 0, 0): X, (1, 0, 0): X}, (2, 1, 1))
    coefficients[1] /= 2
    seen = pixels(glyphs(coefficients))
    small, large = extent(seen[:, :200])[0], extent(seen[:, 200:])[0]
    assert 194 <= large <= 200
    assert small == pytest.approx(large / 2, abs=2)


@drawing
def test_scale_makes_glyphs_larger():
    coefficients = volume({(1, 1, 1): X})
    widths = [extent(pixels(glyphs(coefficients, scale=scale), 300))[0] for scale in (1, 2)]
    assert widths[1] == pytest.approx(2 * widths[0], abs=4)


@drawing
def test_voxel_that_exceeds_all_others_does_not_cover_the_picture():
    coefficients = volume(dict.fromkeys(itertools.product(range(20), range(20), [0]), X), (20, 20, 1))
    coefficients[10, 10] *= 1000
    seen = pixels(glyphs(coefficients))
    assert np.mean(seen.max(axis=-1) > 0.1) < 0.5


@drawing
def test_empty_voxels_and_negative_amplitudes_are_left_out():
    coefficients = volume({(0, 0, 0): X, (2, 0, 0): Y}, (4, 1, 1))
    coefficients[1, 0, 0] = -fibre(X, 1e-6) * [1, *[0] * 14]
    coefficients[2, 0, 0, 7] = np.nan
    picture = glyphs(coefficients)
    seen = pixels(picture)
    assert "1 glyph" in picture.alt
    assert seen[:, :300].max() == 0 and seen[:, 300:].max() > 0.5


@drawing
@pytest.mark.parametrize("region", [((1, 3), (2, 3)), "1:3,2:3", "1:-3,2:3", "1:2,2:2mm"])
def test_region_shows_its_voxels_alone_and_the_picture_says_which(region):
    coefficients = volume({(1, 2, 0): X, (2, 2, 0): Y, (4, 4, 0): Z}, (6, 5, 1))
    picture = glyphs(coefficients, region=region)
    assert "1:3,2:3" in picture.alt and "2 glyphs" in picture.alt
    assert any("1:3,2:3" in text.get_text() for text in picture.figure.texts)
    seen = pixels(picture, 400)
    assert seen.shape == (200, 400, 3)
    assert [colour(half).argmax() for half in (seen[:, 200:], seen[:, :200])] == [0, 1]


@drawing
def test_of_a_large_slice_the_strongest_glyphs_are_shown_and_all_if_asked_for():
    coefficients = volume({(x, y, 0): X for x in (70, 71) for y in (80, 81)}, (96, 112, 1))
    coefficients[5, 5, 0] = fibre(Y) / 10
    picture = glyphs(coefficients)
    assert "region 55:87,67:95 of 96 x 112 voxels" in picture.alt and "4 glyphs" in picture.alt
    seen = pixels(picture, 32 * 24)
    assert seen.shape == (28 * 24, 32 * 24, 3) and colour(seen).argmax() == 0
    assert extent(seen)[0] == pytest.approx(2 * 24, abs=2)
    assert "all 96 x 112 voxels" in glyphs(coefficients, region="all").alt


@drawing
def test_picture_has_letters_a_scale_bar_and_a_key_and_the_first_voxel_on_its_left_as_the_patients_left_is_right():
    picture = glyphs(volume({(0, 0, 0): X}, (4, 1, 1)), size=800)
    axes = picture.figure.axes[0]
    assert {text.get_text() for text in axes.texts} == {"R", "L", "A", "P", "1 mm"}
    for extra in [*axes.texts, *axes.lines]:
        extra.remove()
    panel = axes.get_window_extent()
    rows = slice(round(picture.height - panel.y1), round(picture.height - panel.y0))
    seen = png(pictured(picture.figure, ""))[rows, round(panel.x0) : round(panel.x1)]
    middle = seen.shape[1] // 2
    assert seen[:, :middle].max() < 0.05 and seen[:, middle:].max() > 0.5
    # The key of an axial slice: red at its sides, green above and below, blue in the middle.
    (key,) = [one.images[0].get_array() for one in picture.figure.axes if one.get_label() == "key"]
    last = len(key) - 1
    places = [(last // 2, 1), (last // 2, last - 1), (1, last // 2), (last - 1, last // 2), (last // 2, last // 2)]
    assert [int(key[at][:3].argmax()) for at in places] == [0, 0, 1, 1, 2]


@drawing
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_picture_is_saved_for_print(tmp_path, kind):
    path = glyphs(volume({(0, 0, 0): X}, (1, 1, 1)), size=300).save(tmp_path / f"fod.{kind}")
    assert path.stat().st_size > 1000


@drawing
@pytest.mark.parametrize("plane", AXES)
def test_tensors_are_ellipsoids_with_their_eigenvalues_as_axes_in_the_colour_of_their_principal_direction(plane):
    """Along the third voxel axis, a tensor whose principal direction leans by 30 degrees to the picture's right."""
    across, up = AXES[plane]
    along = np.cos(np.pi / 6) * np.eye(3)[up] - np.sin(np.pi / 6) * np.eye(3)[across]
    tensor = 1e-3 * (0.5 * np.eye(3) + np.outer(along, along))
    image = np.zeros((1, 1, 1, 6))
    image[0, 0, 0] = tensor[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    picture = glyphs(image, kind="tensor", plane=plane)
    assert picture.alt.startswith("tensors")
    seen = pixels(picture, 400)
    lit = seen.max(axis=-1) > 0.1
    assert angle(seen) == pytest.approx(60, abs=0.5)
    # The area of an ellipse whose longer axis fits the voxel, with a shorter one of a third.
    assert lit.sum() == pytest.approx(np.pi * 200**2 / 3, rel=0.02)
    shades = seen[lit][seen[lit].max(axis=-1) > 0.5]
    np.testing.assert_allclose(
        (shades / shades.max(axis=-1, keepdims=True)).min(axis=0)[[across, up]], [0.577, 1], atol=0.1
    )


@drawing
def test_memory_does_not_grow_with_the_number_of_glyphs():
    code = (
        "import numpy as np, resource\n"
        "from provision.pictures import glyphs\n"
        "from tests.unit.provision.pictures.fibres import fibre\n"
        "places = np.argwhere(np.ones((96, 96))) - 47.5\n"
        "fods = np.tile(np.pad(fibre((1, 2, 3)), (0, 30)), (9216, 1)).astype('f4') / 4\n"
        "glyphs._draw({'coefficients': fods, 'centres': places.astype('f4'), 'to_picture': np.eye(3), 'depth': 1,\n"
        "              'frequencies': np.full(9216, 6), 'pixels': (1366, 1366), 'height': 96})\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
    )
    environment = {**os.environ, "PYTHONPATH": str(content.root())}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert int(said.stdout) < 500, said.stderr


@drawing
def test_voxels_are_shown_as_long_as_they_are():
    image = nibabel.Nifti1Image(volume({(0, 0, 0): X, (1, 1, 0): Y}, (2, 2, 1)), np.diag([2.0, 1, 3, 1]))
    seen = pixels(glyphs(image), 400)
    assert seen.shape == (200, 400, 3)
    # Both fit the shorter edge of a voxel, in the middle of theirs.
    assert extent(seen[100:, 200:])[0] == pytest.approx(98, abs=3)
    assert seen[150, 270].max() > 0.1 and seen[50, 100].max() == pytest.approx(0, abs=0.5)


@drawing
def test_slice_is_the_middle_one_of_those_with_something():
    coefficients = volume({(0, 0, z): X for z in (5, 6, 7)}, (1, 1, 9))
    coefficients[0, 0, 8, 7] = np.nan
    assert "axial slice 6" in glyphs(coefficients, size=200).alt
    assert "axial slice 7" in glyphs(coefficients, size=200, slice=7).alt


@drawing
def test_background_on_another_grid_is_shown_in_its_place():
    """A bright block in a finer, turned grid whose origin is elsewhere."""
    image = nibabel.Nifti1Image(volume({(5, 5, 1): X}, (10, 10, 3)), np.diag([2.0, 2, 2, 1]))
    # Voxel (i, j, k) is at x = 18 - j / 2, y = i / 2, z = k.
    affine = np.array([[0, -0.5, 0, 18], [0.5, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    block = np.zeros((37, 37, 5))
    block[4:9, 2:13] = 1  # y from 2 to 4 mm, x from 12 to 17 mm
    grey = pixels(glyphs(image, background=nibabel.Nifti1Image(block, affine)))
    rows, columns = np.nonzero((grey[..., 0] > 0.3) & (grey.std(axis=-1) < 0.01))
    # 20 pixels per mm; the right edge is x = -1 mm, the lower one y = -1 mm. Half of the brightness is 0.25 mm out.
    np.testing.assert_allclose((400 - columns.max() - 1) / 20 - 1, 11.75, atol=0.06)
    np.testing.assert_allclose((400 - columns.min()) / 20 - 1, 17.25, atol=0.06)
    np.testing.assert_allclose((400 - rows.max() - 1) / 20 - 1, 1.75, atol=0.06)
    np.testing.assert_allclose((400 - rows.min()) / 20 - 1, 4.25, atol=0.06)


@drawing
def test_background_of_the_same_grid_reaches_to_the_edges_and_its_first_volume_is_shown():
    coefficients = volume({(0, 0, 0): X}, (4, 4, 1))
    behind = np.zeros((4, 4, 1, 2))
    behind[..., 0] = np.arange(4)[:, np.newaxis, np.newaxis]
    behind[..., 1] = 100 * np.arange(4)[::-1, np.newaxis, np.newaxis]
    seen = pixels(glyphs(coefficients, background=behind), 200)
    assert seen[:100, 0].min() > 0.4
    assert seen[:100, 199].max() < 0.05
    assert (np.diff(seen[20, :, 0]) <= 0).all()


@drawing
def test_wrong_display_does_no_harm(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":99")
    assert pixels(glyphs(volume({(0, 0, 0): X}, (1, 1, 1)), size=200)).max() > 0.5


@drawing
def test_package_that_only_this_process_can_find_is_found_when_drawing(tmp_path):
    here = content.root()
    code = (
        f"import sys; sys.path.insert(0, {str(here)!r})\n"
        "import numpy as np; from provision.pictures.glyphs import _draw\n"
        "scene = {'coefficients': np.ones((1, 1)), 'centres': np.zeros((1, 2)), 'to_picture': np.eye(3), 'depth': 1}\n"
        "print(_draw(scene | {'frequencies': [6], 'pixels': (20, 10), 'height': 1}).shape)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert said.stdout == "(10, 20, 4)\n", said.stderr

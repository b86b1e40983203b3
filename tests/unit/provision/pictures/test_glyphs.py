"""Fibre orientation distributions: their amplitudes, and what is seen of them in a picture."""

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

from provision import extras
from provision.engine import content
from provision.errors import OptionError, ProvisionError
from provision.pictures import fod_render
from provision.pictures import glyphs as fod
from provision.pictures.fod_render import sh_basis, sphere
from provision.pictures.glyphs import glyphs

drawing = pytest.mark.skipif(
    find_spec("vtkmodules") is None or not (find_library("EGL") or find_library("OSMesa")),
    reason="VTK or an OpenGL library is not installed: pip install vtk; apt-get install libegl1 libgl1-mesa-dri",
)

X, Y, Z = np.eye(3)
AXES = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}


def fibre(direction, sharp: float = 30.0) -> np.ndarray:
    """Coefficients up to degree 4 of a fibre along a direction, by MRtrix3's formulas in x, y and z."""
    x, y, z = np.divide(direction, np.linalg.norm(direction))
    two = np.sqrt(15 / (4 * np.pi)) * np.array([x * y, -y * z, (3 * z**2 - 1) / 12**0.5, -x * z, (x**2 - y**2) / 2])
    p, q = x**2 - y**2, 2 * x * y
    four = [
        3 / 8 * np.sqrt(35 / np.pi) * p * q,
        -3 / 4 * np.sqrt(35 / (2 * np.pi)) * (3 * x**2 * y - y**3) * z,
        3 / 8 * np.sqrt(5 / np.pi) * q * (7 * z**2 - 1),
        -3 / 4 * np.sqrt(5 / (2 * np.pi)) * y * z * (7 * z**2 - 3),
        3 / 16 / np.sqrt(np.pi) * (35 * z**4 - 30 * z**2 + 3),
        -3 / 4 * np.sqrt(5 / (2 * np.pi)) * x * z * (7 * z**2 - 3),
        3 / 8 * np.sqrt(5 / np.pi) * p * (7 * z**2 - 1),
        -3 / 4 * np.sqrt(35 / (2 * np.pi)) * (x**3 - 3 * x * y**2) * z,
        3 / 16 * np.sqrt(35 / np.pi) * (p**2 - q**2),
    ]
    smooth = np.exp(-np.repeat([0, 6, 20], [1, 5, 9]) / sharp)
    return smooth * np.array([0.5 / np.sqrt(np.pi), *two, *four])


def volume(fibres: dict, shape=(3, 3, 3)) -> np.ndarray:
    """An image of some fibres, each at its voxel."""
    result = np.zeros((*shape, 15))
    for voxel, direction in fibres.items():
        result[voxel] = fibre(direction)
    return result


def pixels(picture) -> np.ndarray:
    """A picture's colours, 0 to 1, shape (H, W, 3)."""
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


# Amplitudes


def test_harmonics_up_to_degree_4_are_those_of_the_formulas():
    directions, _ = sphere(3)
    expected = np.array([fibre(direction, np.inf) for direction in directions])
    np.testing.assert_allclose(sh_basis(directions, 4), expected, atol=1e-12)


@pytest.mark.parametrize("lmax", range(0, 17, 2))
def test_harmonics_are_orthonormal_and_obey_the_addition_theorem(lmax):
    """The nodes of Gauss and Legendre, and equal steps around, integrate products of harmonics without error."""
    z, weights = np.polynomial.legendre.leggauss(lmax + 1)
    around = np.arange(2 * lmax + 1) * 2 * np.pi / (2 * lmax + 1)
    z, phi = (grid.ravel() for grid in np.meshgrid(z, around, indexing="ij"))
    directions = np.stack([np.sqrt(1 - z**2) * np.cos(phi), np.sqrt(1 - z**2) * np.sin(phi), z], axis=-1)
    basis = sh_basis(directions, lmax)
    products = basis.T * np.repeat(weights, len(around)) * 2 * np.pi / len(around) @ basis
    np.testing.assert_allclose(products, np.eye(basis.shape[1]), atol=1e-12)
    sums = sh_basis(directions[:1], lmax) @ basis.T
    series = np.zeros(lmax + 1)
    series[::2] = (2 * np.arange(0, lmax + 1, 2) + 1) / (4 * np.pi)
    expected = np.polynomial.legendre.legval(directions @ directions[0], series)
    np.testing.assert_allclose(sums[0], expected, atol=1e-11)


def test_harmonics_have_the_order_and_signs_of_mrtrix_at_a_high_degree():
    """Amplitudes that MRtrix3's sh2amp found for one coefficient of degree 8 at a time, along (2, 3, 6) / 7."""
    theirs = [
        0.003611251, -0.01350123, -0.03754142, 0.2808151, -0.4060863, -0.1374979, 0.3090469, 0.3569213, -0.3524025,
        0.2379475, -0.1287695, 0.7027671, -0.4027023, -0.05738599, 0.09226666, -0.01988919, -3.022021e-05,
    ]  # fmt: skip
    np.testing.assert_allclose(sh_basis(np.array([[2, 3, 6]]) / 7, 8)[0, 28:], theirs, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("frequency", [1, 2, 7])
def test_sphere_is_closed_and_each_triangle_looks_outward(frequency):
    directions, triangles = sphere(frequency)
    assert (len(directions), len(triangles)) == (10 * frequency**2 + 2, 20 * frequency**2)
    corners = directions[triangles]
    assert (np.linalg.det(corners) > 0).all()
    edges = {tuple(edge) for a, b in ((0, 1), (1, 2), (2, 0)) for edge in triangles[:, (a, b)]}
    assert len(edges) == 60 * frequency**2
    assert edges == {(b, a) for a, b in edges}


def test_surface_is_as_far_from_its_centre_as_the_amplitude_and_its_normals_are_at_right_angles_to_it():
    crossing = (fibre((1, 2, 3)) + fibre((3, -1, 0)))[np.newaxis].astype("f4")
    points, normals, colours, triangles = fod_render.surfaces(crossing, np.array([[5, 7]]), np.eye(3), 40)
    points = points - (5, 7, 0)
    distances = np.linalg.norm(points, axis=1)
    directions, _ = sphere(40)
    np.testing.assert_allclose(distances, np.maximum(sh_basis(directions, 4) @ crossing[0], 0), atol=1e-5)
    a, b, c = points[triangles].swapaxes(0, 1)
    flat = np.cross(b - a, c - a)
    whole = distances[triangles].min(axis=1) > 0.2 * distances.max()
    flat = flat[whole] / np.linalg.norm(flat[whole], axis=1, keepdims=True)
    cosines = np.einsum("ij,ij->i", flat, normals[triangles[whole, 0]])
    assert cosines.min() > 0.98
    np.testing.assert_allclose(colours / 255, np.abs(directions), atol=0.5 / 255 + 1e-9)


# What is seen


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
    seen = pixels(glyphs(coefficients, plane=plane, size=300))
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
    seen = pixels(glyphs(fibre(2 * up + viewer).reshape(1, 1, 1, 15), plane=plane, size=200))
    towards, upward = (np.argmax(np.abs(axis)) for axis in (viewer, up))
    top, bottom = (colour(half)[towards] / colour(half)[upward] for half in (seen[:100], seen[100:]))
    assert top > 1.3 * bottom


@drawing
@pytest.mark.parametrize("axes", [[[1, -1], [0, 1], [2, 1]], [[2, 1], [0, -1], [1, -1]]], ids=["y x z", "y z x"])
def test_directions_are_the_scanners_whatever_the_order_and_sign_of_the_voxel_axes(axes):
    image = nibabel.Nifti1Image(volume({(0, 1, 1): (1, 2, 0), (2, 1, 1): (1, -1, 0)}), np.eye(4))
    turned = image.as_reoriented(axes)
    assert turned.affine[0, 0] == 0
    np.testing.assert_array_equal(pixels(glyphs(turned, size=200)), pixels(glyphs(image, size=200)))


@drawing
def test_oblique_image_shows_fibres_along_its_own_axes_and_in_the_scanners_colours():
    """Voxel axes turned by 30 degrees about z: a fibre along scanner x is 30 degrees off the first voxel axis."""
    turn = np.eye(4)
    cosine, sine = np.cos(np.radians(30)), np.sin(np.radians(30))
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
    image = nibabel.Nifti1Image(volume({(0, 0, 0): X}, (1, 1, 1)), turn)
    seen = pixels(glyphs(image, size=200))
    # In voxel axes it is (cos 30, -sin 30), and to the right of the picture is the left.
    assert angle(seen) == pytest.approx(30, abs=0.5)
    assert colour(seen).argmax() == 0
    assert (colour(seen)[1:] < 0.6 * colour(seen)[0]).all()


@drawing
def test_amplitudes_compare_and_the_largest_fits_its_voxel():
    coefficients = volume({(0, 0, 0): X, (1, 0, 0): X}, (2, 1, 1))
    coefficients[1] /= 2
    seen = pixels(glyphs(coefficients, size=400))
    small, large = extent(seen[:, :200])[0], extent(seen[:, 200:])[0]
    assert 194 <= large <= 200
    assert small == pytest.approx(large / 2, abs=2)


@drawing
def test_scale_makes_glyphs_larger():
    coefficients = volume({(1, 1, 1): X})
    widths = [extent(pixels(glyphs(coefficients, scale=scale, size=300)))[0] for scale in (1, 2)]
    assert widths[1] == pytest.approx(2 * widths[0], abs=4)


@drawing
def test_voxel_that_exceeds_all_others_does_not_cover_the_picture():
    coefficients = volume(dict.fromkeys(itertools.product(range(20), range(20), [0]), X), (20, 20, 1))
    coefficients[10, 10] *= 1000
    seen = pixels(glyphs(coefficients, size=400))
    assert np.mean(seen.max(axis=-1) > 0.1) < 0.5


@drawing
def test_empty_voxels_and_negative_amplitudes_are_left_out():
    coefficients = volume({(0, 0, 0): X, (2, 0, 0): Y}, (4, 1, 1))
    coefficients[1, 0, 0] = -fibre(X, 1e-6) * [1, *[0] * 14]
    coefficients[2, 0, 0, 7] = np.nan
    picture = glyphs(coefficients, size=400)
    seen = pixels(picture)
    assert "1 voxel" in picture.alt
    assert seen[:, :300].max() == 0 and seen[:, 300:].max() > 0.5


@drawing
def test_region_shows_its_voxels_alone_and_zoom_makes_them_larger():
    coefficients = volume({(1, 2, 0): X, (2, 2, 0): Y, (4, 4, 0): Z}, (6, 5, 1))
    picture = glyphs(coefficients, region=((1, 3), (2, 3)), size=np.int64(200), zoom=2)
    assert (picture.width, picture.height) == (400, 200)
    seen = pixels(picture)
    assert [colour(half).argmax() for half in (seen[:, 200:], seen[:, :200])] == [0, 1]


@drawing
def test_voxels_are_shown_as_long_as_they_are():
    image = nibabel.Nifti1Image(volume({(0, 0, 0): X, (1, 1, 0): Y}, (2, 2, 1)), np.diag([2.0, 1, 3, 1]))
    picture = glyphs(image, size=400)
    assert (picture.width, picture.height) == (400, 200)
    seen = pixels(picture)
    # Both fit the shorter edge of a voxel, in the middle of theirs.
    assert extent(seen[100:, 200:])[0] == pytest.approx(98, abs=3)
    assert seen[150, 270].max() > 0.1 and seen[50, 100].max() == pytest.approx(0, abs=0.5)


@drawing
def test_slice_is_the_middle_one_of_those_with_something():
    coefficients = volume({(0, 0, z): X for z in (5, 6, 7)}, (1, 1, 9))
    coefficients[0, 0, 8, 7] = np.nan
    assert "axial slice 6" in glyphs(coefficients, size=50).alt
    assert "axial slice 7" in glyphs(coefficients, size=50, slice=7).alt


@drawing
def test_background_on_another_grid_is_shown_in_its_place():
    """A bright block in a finer, turned grid whose origin is elsewhere."""
    image = nibabel.Nifti1Image(volume({(5, 5, 1): X}, (10, 10, 3)), np.diag([2.0, 2, 2, 1]))
    # Voxel (i, j, k) is at x = 18 - j / 2, y = i / 2, z = k.
    affine = np.array([[0, -0.5, 0, 18], [0.5, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    block = np.zeros((37, 37, 5))
    block[4:9, 2:13] = 1  # y from 2 to 4 mm, x from 12 to 17 mm
    grey = pixels(glyphs(image, background=nibabel.Nifti1Image(block, affine), size=400))
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
    seen = pixels(glyphs(coefficients, background=behind, size=200))
    assert seen[:100, 0].min() > 0.4
    assert seen[:100, 199].max() < 0.05
    assert (np.diff(seen[20, :, 0]) <= 0).all()


@drawing
def test_wrong_display_does_no_harm(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":99")
    assert pixels(glyphs(volume({(0, 0, 0): X}, (1, 1, 1)), size=50)).max() > 0.5


@drawing
def test_package_that_only_this_process_can_find_is_found_when_drawing(tmp_path):
    here = content.root()
    code = (
        f"import sys; sys.path.insert(0, {str(here)!r})\n"
        "import numpy; from provision.pictures.glyphs import glyphs\n"
        "print(glyphs(numpy.ones((1, 1, 1, 1)), size=20))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert said.stdout == "<Picture 20 x 20: FODs of axial slice 0, 1 voxel>\n", said.stderr


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

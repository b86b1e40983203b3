"""Fibre orientation distributions and tensors as surfaces, drawn by VTK in a separate process.

Without an OpenGL library VTK crashes with a segmentation fault, which would take a notebook's kernel with it. So
`provision.pictures.glyphs` runs ``python -m provision.pictures.fod_render FOLDER``, which reads ``scene.npz`` in
the folder and writes ``drawn.npy``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

SCENE, DRAWN = "scene.npz", "drawn.npy"
"""The files through which the two processes communicate."""

# So many are drawn, then forgotten: memory does not grow with the number of glyphs.
_VERTICES_AT_ONCE = 200_000
# Of the largest eigenvalue.
_FLATTEST = 0.01
# Radians between the directions of a finite difference; its error is a thousandth at the highest usual lmax.
_STEP = 1e-3


def sphere(frequency: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a sphere of nearly equal triangles: an icosahedron whose edges are divided into equal parts.

    Parameters
    ----------
    frequency : int
        The number of parts of each edge, ``n``.

    Returns
    -------
    directions : numpy.ndarray
        Unit vectors, shape (10 n**2 + 2, 3), which include the opposite of each.
    triangles : numpy.ndarray
        Indices into the directions, counter-clockwise from outside, int32, shape (20 n**2, 3).

    Examples
    --------
    >>> directions, triangles = sphere(2)
    >>> directions.shape, triangles.shape
    ((42, 3), (80, 3))
    """
    import numpy as np

    corners, faces = _icosahedron()
    steps = [(i, j) for i in range(frequency + 1) for j in range(frequency + 1 - i)]
    place = {step: number for number, step in enumerate(steps)}
    weights = np.array([(frequency - i - j, i, j) for i, j in steps]) / frequency
    upright = [(place[i, j], place[i + 1, j], place[i, j + 1]) for i, j in steps if i + j < frequency]
    inverted = [(place[i + 1, j], place[i + 1, j + 1], place[i, j + 1]) for i, j in steps if i + j < frequency - 1]
    points = np.concatenate([weights @ corners[face] for face in faces])
    offsets = np.arange(len(faces))[:, np.newaxis, np.newaxis] * len(steps)
    triangles = (np.array(upright + inverted) + offsets).reshape(-1, 3)
    # Neighbouring faces duplicate the points of their common edge.
    _, first, same = np.unique(points.round(9), axis=0, return_index=True, return_inverse=True)
    points = points[first]
    return points / np.linalg.norm(points, axis=1, keepdims=True), same.reshape(-1)[triangles].astype(np.int32)


def _icosahedron() -> tuple[np.ndarray, np.ndarray]:
    """Return the 12 corners of an icosahedron and its 20 faces, counter-clockwise from outside."""
    import itertools

    import numpy as np

    golden = (1 + 5**0.5) / 2
    corners = np.array([np.roll((0, a, b), k) for k in range(3) for a in (1, -1) for b in (golden, -golden)])
    # Neighbouring corners are 2 apart, the next nearest 2 * golden.
    near = np.linalg.norm(corners[:, np.newaxis] - corners, axis=-1) < 2.1
    faces = [(a, b, c) for a, b, c in itertools.combinations(range(12), 3) if near[a, b] and near[b, c] and near[a, c]]
    outward = [face if np.linalg.det(corners[list(face)]) > 0 else face[::-1] for face in faces]
    return corners, np.array(outward)


def sh_basis(directions: np.ndarray, lmax: int) -> np.ndarray:
    """Return MRtrix3's real, symmetric spherical harmonics along given directions.

    Parameters
    ----------
    directions : numpy.ndarray
        Unit vectors, shape (V, 3).
    lmax : int
        The largest degree, even.

    Returns
    -------
    numpy.ndarray
        Shape (V, (lmax + 1) (lmax + 2) / 2): for every even degree l the orders m from -l to l. Amplitudes are
        ``basis @ coefficients``.

    Notes
    -----
    The basis is orthonormal: the normalised associated Legendre functions, with the sign (-1)^m, times sqrt(2) sin |m|
    phi for m < 0, 1 for m = 0 and sqrt(2) cos m phi for m > 0, as in MRtrix3's ``core/math/SH.h`` and ``legendre.h``
    (after Tournier et al., NeuroImage 35, 2007). The powers of sin theta are combined with the sines and cosines into
    polynomials in x and y, so that nothing is undefined at the poles.

    Examples
    --------
    >>> import numpy as np
    >>> sh_basis(np.array([[0.0, 0.0, 1.0]]), 2).round(3) + 0
    array([[0.282, 0.   , 0.   , 0.631, 0.   , 0.   ]])
    """
    import numpy as np

    x, y, z = directions.T
    basis = np.empty((len(directions), (lmax + 1) * (lmax + 2) // 2))
    around, diagonal = np.ones(len(directions), complex), np.full(len(directions), (4 * np.pi) ** -0.5)
    for m in range(lmax + 1):
        if m:
            around = around * (x + 1j * y)
            diagonal = -diagonal * np.sqrt((2 * m + 1) / (2 * m))
        below, here = np.zeros_like(z), diagonal
        for degree in range(m, lmax + 1):
            if degree > m:
                above = np.sqrt((4 * degree**2 - 1) / (degree**2 - m**2))
                drop = np.sqrt(((degree - 1) ** 2 - m**2) / (4 * (degree - 1) ** 2 - 1))
                below, here = here, above * (z * here - drop * below)
            if degree % 2 == 0:
                middle = degree * (degree + 1) // 2
                # Order 0 is written twice, the second time as it should be.
                basis[:, middle - m] = np.sqrt(2) * here * around.imag
                basis[:, middle + m] = (np.sqrt(2) if m else 1) * here * around.real
    return basis


def surfaces(
    coefficients: np.ndarray, centres: np.ndarray, to_picture: np.ndarray, frequency: int
) -> tuple[np.ndarray, ...]:
    """Return the surfaces whose distance from each centre along a direction is the amplitude along that direction.

    Parameters
    ----------
    coefficients : numpy.ndarray
        Spherical harmonic coefficients, shape (G, N), in the scanner's frame, in the unit of the centres.
    centres : numpy.ndarray
        The place of each surface in the picture, shape (G, 2).
    to_picture : numpy.ndarray
        The axes of the picture (to the right, up, towards the viewer) in the scanner's frame, one per row; (3, 3).
    frequency : int
        How fine the surfaces are: see `sphere`.

    Returns
    -------
    points, normals : numpy.ndarray
        In the frame of the picture, float32, shape (G V, 3).
    colours : numpy.ndarray
        The magnitudes of x, y and z of each direction in the scanner's frame, as uint8, shape (G V, 3).
    triangles : numpy.ndarray
        Indices into the points, int32, shape (G T, 3).
    """
    import numpy as np

    directions, triangles = sphere(frequency)
    lmax = round((8 * coefficients.shape[1] + 1) ** 0.5 - 3) // 2
    amplitude = np.maximum(coefficients @ sh_basis(directions, lmax).T.astype("f4"), 0)
    outward = (directions @ to_picture.T).astype("f4")
    points = amplitude[..., np.newaxis] * outward
    # The normal of a surface r(d) d is r d less the gradient of r along the sphere.
    normals = points.copy()
    for tangent in _tangents(directions):
        slope = (sh_basis(_unit(directions + _STEP * tangent), lmax) - sh_basis(directions, lmax)) / _STEP
        normals -= (coefficients @ slope.T.astype("f4"))[..., np.newaxis] * (tangent @ to_picture.T).astype("f4")
    points[..., :2] += centres[:, np.newaxis]
    colours = np.tile(_colours(directions), (len(coefficients), 1))
    return points.reshape(-1, 3), _unit(normals.reshape(-1, 3)), colours, _repeated(triangles, points)


def ellipsoids(
    tensors: np.ndarray, centres: np.ndarray, to_picture: np.ndarray, frequency: int
) -> tuple[np.ndarray, ...]:
    """Return ellipsoids whose semi-axes are the eigenvalues of tensors, in the colours of their principal directions.

    Parameters
    ----------
    tensors : numpy.ndarray
        Symmetric matrices in the scanner's frame, in the unit of the centres, shape (G, 3, 3).
    centres, to_picture, frequency
        As for `surfaces`.

    Returns
    -------
    points, normals, colours, triangles : numpy.ndarray
        As for `surfaces`.
    """
    import numpy as np

    directions, triangles = sphere(frequency)
    values, vectors = np.linalg.eigh(tensors)
    # Noise makes the smallest eigenvalues of thin tensors negative: these are drawn as flat as can be, not left out.
    values = np.maximum(values, _FLATTEST * values[:, -1:])[:, np.newaxis]
    back = (to_picture @ vectors).swapaxes(1, 2)
    # For all unit vectors u, D u is the ellipsoid, and the inverse of D times u is along its normals.
    points = (directions @ (vectors * values @ back)).astype("f4")
    normals = (directions @ (vectors / values @ back)).astype("f4")
    points[..., :2] += centres[:, np.newaxis]
    colours = np.repeat(_colours(vectors[..., -1]), len(directions), axis=0)
    return points.reshape(-1, 3), _unit(normals.reshape(-1, 3)), colours, _repeated(triangles, points)


def _colours(directions: np.ndarray) -> np.ndarray:
    """Return red for left-right, green for front-back, blue for head-foot, as uint8."""
    import numpy as np

    return np.abs(directions * 255).round().astype(np.uint8)


def _repeated(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the triangles of each surface, shape (G T, 3), for points (G, V, 3)."""
    import numpy as np

    offsets = np.arange(len(points), dtype=np.int32)[:, np.newaxis, np.newaxis] * points.shape[1]
    return (triangles + offsets).reshape(-1, 3)


def _tangents(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each direction two unit vectors perpendicular to it and to each other."""
    import numpy as np

    smallest = np.eye(3)[np.abs(directions).argmin(axis=1)]
    first = _unit(np.cross(directions, smallest))
    return first, np.cross(directions, first)


def _unit(vectors: np.ndarray) -> np.ndarray:
    import numpy as np

    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.finfo("f4").tiny)


def draw(scene: dict[str, np.ndarray]) -> np.ndarray:
    """Draw the surfaces, lit from the viewer, on a transparent background.

    Parameters
    ----------
    scene : dict of str to numpy.ndarray
        ``coefficients`` of `surfaces` or ``tensors`` of `ellipsoids`, with ``centres``, ``to_picture`` and, for each
        glyph, the ``frequencies``; ``pixels``, the picture's width and height; ``height``, the extent from bottom to
        top, and ``depth``, the largest distance from the slice, in the unit of the centres, which are around 0.

    Returns
    -------
    numpy.ndarray
        Red, green, blue and opacity, which is all or nothing; uint8, shape (H, W, 4), top row first.
    """
    # This registers what draws; without it the window is an abstract one.
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow, vtkWindowToImageFilter

    window, renderer = vtkRenderWindow(), vtkRenderer()
    window.SetOffScreenRendering(1)
    window.SetAlphaBitPlanes(1)
    window.SetMultiSamples(0)
    width, height = (int(side) for side in scene["pixels"])
    window.SetSize(width, height)
    window.AddRenderer(renderer)
    renderer.SetBackgroundAlpha(0)
    for part in _parts(scene):
        actor = _actor(*part)
        renderer.AddActor(actor)
        _look(renderer, float(scene["height"]), float(scene["depth"]))
        window.Render()
        renderer.RemoveActor(actor)
        actor.ReleaseGraphicsResources(window)
        renderer.PreserveColorBufferOn()
        renderer.PreserveDepthBufferOn()
    reader = vtkWindowToImageFilter()
    reader.SetInput(window)
    reader.SetInputBufferTypeToRGBA()
    reader.ReadFrontBufferOff()
    reader.ShouldRerenderOff()
    reader.Update()
    return vtk_to_numpy(reader.GetOutput().GetPointData().GetScalars()).reshape(height, width, 4)[::-1]


def _parts(scene: dict[str, np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the surfaces, a few of the same frequency at a time."""
    import numpy as np

    glyphs, make = (scene["tensors"], ellipsoids) if "tensors" in scene else (scene["coefficients"], surfaces)
    for frequency in np.unique(scene["frequencies"]):
        which = np.flatnonzero(scene["frequencies"] == frequency)
        step = max(_VERTICES_AT_ONCE // int(10 * frequency**2), 1)
        for at in range(0, len(which), step):
            some = which[at : at + step]
            yield make(glyphs[some], scene["centres"][some], scene["to_picture"], int(frequency))


def _actor(points: np.ndarray, normals: np.ndarray, colours: np.ndarray, triangles: np.ndarray) -> Any:
    """Return the surfaces as a VTK actor."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonCore import vtkPoints
    from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
    from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

    data, places, cells = vtkPolyData(), vtkPoints(), vtkCellArray()
    places.SetData(numpy_to_vtk(points, deep=True))
    cells.SetData(3, numpy_to_vtk(triangles.reshape(-1), deep=True))
    data.SetPoints(places)
    data.SetPolys(cells)
    data.GetPointData().SetNormals(numpy_to_vtk(normals, deep=True))
    data.GetPointData().SetScalars(numpy_to_vtk(colours, deep=True))
    mapper, actor = vtkPolyDataMapper(), vtkActor()
    mapper.SetInputData(data)
    actor.SetMapper(mapper)
    look = actor.GetProperty()
    look.SetAmbient(0.35)
    look.SetDiffuse(0.65)
    look.SetSpecular(0.15)
    look.SetSpecularPower(20)
    return actor


def _look(renderer: Any, height: float, depth: float) -> None:
    """Point the camera at the centre of the picture, along its third axis, without perspective."""
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    camera.SetParallelScale(height / 2)
    camera.SetFocalPoint(0, 0, 0)
    camera.SetPosition(0, 0, 2 * depth)
    camera.SetViewUp(0, 1, 0)
    # The same for all parts, so that their depths compare.
    camera.SetClippingRange(0.9 * depth, 3.1 * depth)


def main(folder: Path) -> None:
    """Draw ``scene.npz`` in the folder into ``drawn.npy``."""
    import numpy as np

    with np.load(folder / SCENE) as scene:
        np.save(folder / DRAWN, draw(dict(scene)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

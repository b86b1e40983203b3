"""Fibre orientation distributions and tensors: the surfaces that are drawn of them."""

import numpy as np
import pytest

from provision.pictures import fod_render
from provision.pictures.fod_render import sh_basis, sphere

from .fibres import fibre


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


def test_ellipsoid_has_the_eigenvalues_as_semi_axes_and_the_colour_of_its_principal_direction():
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    tensor = turn @ np.diag([1.0, 2.0, 4.0]) @ turn.T
    points, normals, colours, _ = fod_render.ellipsoids(tensor[np.newaxis], np.array([[5, 7]]), np.eye(3), 12)
    own = (points - (5, 7, 0)) @ turn / (1, 2, 4)
    np.testing.assert_allclose(np.linalg.norm(own, axis=1), 1, atol=1e-5)
    gradient = own / (1, 2, 4) @ turn.T
    gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
    np.testing.assert_allclose(normals, gradient, atol=1e-4)
    assert (colours == np.abs(turn[:, 2] * 255).round()).all()


def test_negative_eigenvalues_make_a_flat_ellipsoid():
    points, *_ = fod_render.ellipsoids(np.diag([4.0, 2.0, -3.0])[np.newaxis], np.zeros((1, 2)), np.eye(3), 8)
    np.testing.assert_allclose(np.abs(points).max(axis=0), [4, 2, 0.04], rtol=0.05)


def test_few_glyphs_at_a_time_are_made_of_which_each_is_as_fine_as_asked(monkeypatch):
    monkeypatch.setattr(fod_render, "_VERTICES_AT_ONCE", 1000)
    scene = {"coefficients": np.ones((30, 1)), "centres": np.arange(60).reshape(30, 2), "to_picture": np.eye(3)}
    parts = list(fod_render._parts({**scene, "frequencies": np.array([4, 8] * 15)}))
    sizes = [len(points) for points, *_ in parts]
    assert max(sizes) < 1100 and sum(sizes) == 15 * (162 + 642)

"""Fourth moments against enumeration, spherical designs and quadrature."""

import itertools

import numpy as np
import pytest

from sparsefire.convergence import fourth

M = np.array([[1.0, 0.3, -0.2], [0.3, 2.0, 0.7], [-0.2, 0.7, -0.5]])


def averaged(points, weights, matrix):
    return np.einsum("n,ni,nj,jk,nk,nl->il", weights, points, points, matrix, points, points)


@pytest.mark.parametrize("kurtosis", [1.0, 1.8, 3.0, 30.0])
def test_independent_coordinates(kurtosis):
    far, chance = np.sqrt(kurtosis), 0.5 / kurtosis  # three points with unit variance and this kurtosis
    cells = np.array(list(itertools.product(range(3), repeat=3)))
    points = np.array([far, -far, 0.0])[cells]
    weights = np.prod(np.array([chance, chance, 1 - 2 * chance])[cells], axis=1)
    np.testing.assert_allclose(fourth.independent(kurtosis).of(M), averaged(points, weights, M), atol=1e-12)


def test_normal_is_twice_the_matrix_and_its_trace():
    np.testing.assert_allclose(fourth.independent(3.0).of(M), 2 * M + np.trace(M) * np.eye(3))


def test_sphere():
    golden = (1 + np.sqrt(5)) / 2  # the icosahedron, a spherical 5-design
    corners = [np.roll([0, a, b * golden], turn) for a in (-1, 1) for b in (-1, 1) for turn in range(3)]
    points = np.array(corners) * np.sqrt(3) / np.sqrt(1 + golden**2)
    np.testing.assert_allclose(fourth.sphere(3).of(M), averaged(points, np.full(12, 1 / 12), M), atol=1e-12)
    for size in (1, 2, 7):  # a sphere of radius √n: the trace is n tr M
        matrix = np.diag(np.arange(1.0, size + 1))
        assert np.trace(fourth.sphere(size).of(matrix)) == pytest.approx(size * np.trace(matrix))


def test_coordinates():
    points = np.sqrt(3) * np.concatenate([np.eye(3), -np.eye(3)])
    np.testing.assert_allclose(fourth.coordinates(3).of(M), averaged(points, np.full(6, 1 / 6), M), atol=1e-12)

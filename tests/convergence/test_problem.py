"""The problem: covariance and its root, start, fourth moments of the designs, and what cannot be."""

import numpy as np
import pytest
from scipy import linalg, stats

from sparsefire.convergence.problem import LinearRegression, count, one_of
from sparsefire.errors import UserError

FULL = [[2.0, 0.6, 0.1], [0.6, 0.5, 0.0], [0.1, 0.0, 1.0]]


def test_covariance_and_its_symmetric_root():
    for covariance, truth in (
        (None, np.eye(3)),
        ([1.0, 2.0, 3.0], np.diag([1.0, 2.0, 3.0])),
        (FULL, np.array(FULL)),
    ):
        problem = LinearRegression(3, covariance=covariance)
        np.testing.assert_allclose(problem.matrix, truth)
        np.testing.assert_allclose(problem.root, linalg.sqrtm(truth), atol=1e-12)
        np.testing.assert_allclose(problem.eigenvalues, np.linalg.eigvalsh(truth))
        assert problem.isotropic is (covariance is None)


def test_rank_keeps_the_first_coordinates():
    problem = LinearRegression(4, rank=2)
    assert np.diagonal(problem.matrix).tolist() == [1, 1, 0, 0]
    assert problem.eigenvalues.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(problem.root @ problem.root, problem.matrix)
    assert not problem.isotropic
    assert LinearRegression(4, rank=4).isotropic


def test_start_is_shared_evenly_or_given():
    assert LinearRegression(4, start=2.0).error.tolist() == [np.sqrt(0.5)] * 4
    assert np.sum(LinearRegression(5, outputs=3, active=2, start=0.7).error ** 2) == pytest.approx(0.7)
    assert LinearRegression(5, outputs=3, active=2).error.shape == (5, 3)
    assert not LinearRegression(5, outputs=3, active=2).error[2:].any()
    assert LinearRegression(2, start=[1, -2]).error.tolist() == [1.0, -2.0]
    assert not LinearRegression(3, start=0).error.any()


def test_fourth_moments_are_those_of_scipys_laws():
    for design, law in (("normal", stats.norm()), ("student", stats.t(5))):
        found = LinearRegression(3, design=design).inputs_fourth
        assert found.twice + found.trace + found.diagonal == pytest.approx(float(law.stats(moments="k")) + 3)
    assert LinearRegression(3, design="rademacher").inputs_fourth.diagonal == -2.0
    sparse = LinearRegression(3, design="sparse", filled=0.25).inputs_fourth
    assert sparse.diagonal == pytest.approx(0.25 * 3 * 16 - 3)  # E z⁴ with z = N(0, 4) with chance ¼
    assert LinearRegression(3, design="sphere").inputs_fourth.trace == pytest.approx(3 / 5)


def test_a_large_identity_is_never_built():
    problem = LinearRegression(1_000_000)
    assert len(problem.error) == len(problem.eigenvalues) == 1_000_000


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dimension": 0}, "dimension"),
        ({"dimension": 2.5}, "dimension"),
        ({"dimension": True}, "dimension"),
        ({"dimension": "two"}, "dimension"),
        ({"outputs": 0}, "outputs"),
        ({"outputs": None}, "outputs"),
        ({"rank": 4}, "rank"),
        ({"active": 0}, "active"),
        ({"noise": -1.0}, "noise"),
        ({"noise": np.nan}, "noise"),
        ({"noise": np.inf}, "noise"),
        ({"noise": "loud"}, "noise"),
        ({"noise_law": "cauchy"}, "noise_law 'cauchy'"),
        ({"design": "fractal"}, "design 'fractal'"),
        ({"filled": 0.0}, "filled"),
        ({"filled": 1.1}, "filled"),
        ({"start": -1.0}, "start"),
        ({"start": [1.0, 2.0]}, "start does not fit"),
        ({"start": [1.0, np.nan, 0.0]}, "start holds a number that is not finite"),
        ({"start": ["a", "b", "c"]}, "start holds no numbers"),
        ({"start": [1.0, 0.0, 1.0], "active": 1}, "not 0 outside"),
        ({"covariance": np.eye(3), "rank": 2}, "twice"),
        ({"covariance": np.eye(2)}, "does not fit"),
        ({"covariance": [1.0, 1.0]}, "does not fit"),
        ({"covariance": [[1, 2, 0], [0, 1, 0], [0, 0, 1]]}, "not symmetric"),
        ({"covariance": [[1, 2, 0], [2, 1, 0], [0, 0, 1]]}, "not positive definite"),
        ({"covariance": np.ones((3, 3))}, "not positive definite"),
        ({"covariance": [1.0, 0.0, 1.0]}, "not positive definite"),
        ({"covariance": [1.0, np.inf, 1.0]}, "not finite"),
        ({"covariance": "identity"}, "holds no numbers"),
    ],
)
def test_bad_input_is_named(given, message):
    with pytest.raises(UserError, match=message):
        LinearRegression(**{"dimension": 3, **given})


def test_checks_say_what_came():
    assert count(np.int64(3), "runs") == 3
    with pytest.raises(UserError, match="from 1 to 4"):
        count(5, "rank", 4)
    for law in ("gamma", None, ["normal"], np.array(["normal", "sphere"])):
        with pytest.raises(UserError, match="there is no noise_law") as error:
            one_of(law, "noise_law", ("normal", "sphere"))
        assert error.value.expected == "normal, sphere"


def test_modules_of_the_room_are_there_when_asked_for():
    import sparsefire as sf

    assert sf.convergence.functions.hoelder(1.0).exponent == 2 / 3
    assert sf.convergence.smoothers.smoother_risk
    assert sf.convergence.references.first_order(3)(1.0) == 3.0
    with pytest.raises(AttributeError, match="nothing"):
        _ = sf.convergence.nothing

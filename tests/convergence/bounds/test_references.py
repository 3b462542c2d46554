"""Reference curves against recursions, Monte Carlo and values worked out by hand."""

import math

import numpy as np
import pytest

from sparsefire.convergence.bounds import references
from sparsefire.convergence.bounds.fisher import first_order_bound
from sparsefire.convergence.exact.risk import exact_risk
from sparsefire.convergence.nonparametric.functions import hoelder, linear, minimax_exponent, multi_index
from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.schedules import harmonic
from sparsefire.errors import UserError
from sparsefire.randomness import stream


@pytest.mark.parametrize("law", ["normal", "rademacher", "sphere", "coordinates"])
@pytest.mark.parametrize("directions", [1, 4])
def test_the_forward_gradient_settles_on_its_curve(law: str, directions: int) -> None:
    steps, d = 200_000, 6
    curve = references.forward_gradient(d, 0.7, directions, law)
    risk = exact_risk(
        "forward-gradient",
        dimension=d,
        noise=0.7,
        law=law,
        directions=directions,
        steps=steps,
        step_size=harmonic(offset=(d + 2) ** 2),
    )
    assert risk[-1] == pytest.approx(curve(steps), rel=5e-3)


def test_repeats_settle_on_the_curve_of_as_many_directions() -> None:
    steps, several = 100_000, 5
    risk = exact_risk(
        "forward-gradient",
        dimension=10,
        repeats=several,
        design="sphere",
        steps=steps,
        step_size=harmonic(1 / several, 32.0),
    )
    curve = references.forward_gradient(10, directions=several)
    assert curve(steps) * steps == pytest.approx(32.0)  # d (d + l + 1)/l
    assert risk[-1] == pytest.approx(curve(steps), rel=5e-3)


def test_stochastic_gradients_settle_on_the_first_order_curve() -> None:
    risk = exact_risk("sgd", dimension=5, noise=2.0, steps=100_000, step_size=harmonic(offset=7.0))
    assert risk[-1] == pytest.approx(references.first_order(5, 2.0)(100_000), rel=1e-3)


def test_normal_queries_that_do_not_adapt_have_their_bound() -> None:
    """tr (E I)⁻¹ with I = 2vv′/(σ² + |v|²)², v = ξ − θ*: a number across θ*, another along it, both by Monte Carlo."""
    d, sigma, truth = 400, 1.5, 9.0
    spread = math.sqrt((sigma**2 + truth) / d)
    queries = spread * stream(0, "queries").standard_normal((20_000, d))
    queries[:, 0] -= math.sqrt(truth)
    lengths = np.sum(queries**2, axis=1)
    weights = 2 / (sigma**2 + lengths) ** 2
    along = np.mean(weights * queries[:, 0] ** 2)
    across = np.mean(weights * (lengths - queries[:, 0] ** 2)) / (d - 1)
    bound = 1 / along + (d - 1) / across
    assert references.non_adaptive(d, sigma, truth)(1.0) == pytest.approx(bound, rel=0.02)


def test_adapting_gains_the_size_of_the_truth() -> None:
    gain = references.non_adaptive(7, 2.0, 12.0)(50) / references.one_query(7, 2.0)(50)
    assert gain == pytest.approx(1 + 12.0 / 4.0)


def test_the_sparse_curve_meets_the_dense_one_when_all_are_active() -> None:
    assert references.sparse(9, 9, 1.3)(10) == pytest.approx(references.first_order(9, 1.3)(10))
    assert references.sparse(1000, 10)(1.0) == pytest.approx(10 * math.log(math.e * 100))


def test_the_exponent_is_that_of_the_function() -> None:
    for function in (hoelder(0.7, 3, rng=0), multi_index(2.0, 9, 2, rng=0), linear(4, rng=0)):
        curve = references.nonparametric(function)
        assert curve.exponent == function.exponent
        assert curve(1000.0) == pytest.approx(1000.0**-function.exponent)
    assert references.nonparametric(minimax_exponent([(1.0, 2)])).exponent == 0.5
    assert references.nonparametric(1).exponent == 1.0


def test_logarithms_and_constants_are_options() -> None:
    plain, other = references.nonparametric(4 / 7), references.nonparametric(4 / 7, log_power=3.0, constant=2.0)
    assert other(1e4) == pytest.approx(2 * plain(1e4) * math.log(1e4) ** 3)
    assert "log n" in other.formula
    assert "log n" not in plain.formula


def test_first_order_is_the_bound_of_normal_noise() -> None:
    bound = first_order_bound(LinearRegression(7, noise=1.5))
    assert references.first_order(7, 1.5)(20) == bound / 20 == 1.5**2 * 7 / 20


def test_budgets_are_converted_and_back() -> None:
    curve = references.forward_gradient(10, directions=4)
    per_query = curve.per_query(8)
    assert per_query.unit == "query"
    assert per_query(8000) == pytest.approx(curve(1000))
    assert per_query.per_sample(8)(np.array([3.0, 5.0])) == pytest.approx(curve(np.array([3.0, 5.0])))
    with pytest.raises(UserError, match="already"):
        curve.per_sample(2)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: references.first_order(0),
        lambda: references.first_order(3, -1.0),
        lambda: references.first_order(3, float("nan")),
        lambda: references.one_query(2.5),
        lambda: references.sparse(5, 6),
        lambda: references.forward_gradient(3, directions=0),
        lambda: references.forward_gradient(3, law="cauchy"),
        lambda: references.first_order(3, "a"),
        lambda: references.one_query(10, noise="a"),
        lambda: references.one_query(10, noise=-1.0),
        lambda: references.non_adaptive(10, noise="a"),
        lambda: references.forward_gradient(10, noise="a"),
        lambda: references.sparse(10, 2, noise="a"),
        lambda: references.parametric("own", "a"),
        lambda: references.first_order(3)("a"),
        lambda: references.nonparametric(0.0),
        lambda: references.nonparametric(1.5),
        lambda: references.nonparametric("smooth"),
        lambda: references.nonparametric(0.5, constant=0.0),
        lambda: references.nonparametric(0.5, log_power=-1.0),
        lambda: references.non_adaptive(3, truth=-1.0),
        lambda: references.parametric("own", 1.0, unit="spike"),
        lambda: references.first_order(3)(0),
        lambda: references.first_order(3)([1.0, -1.0]),
        lambda: references.first_order(3).per_query(0),
    ],
)
def test_wrong_input_is_told(wrong) -> None:
    with pytest.raises(UserError):
        wrong()

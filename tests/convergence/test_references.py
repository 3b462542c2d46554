"""Reference curves against recursions, Monte Carlo and values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.convergence import references
from sparsefire.convergence.exact import exact_risk
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


@pytest.mark.parametrize(
    ("smoothness", "dimensions", "exponent"),
    [
        ([1.0], [2], 0.5),
        ([2.0, 1.0], [1, 1], 2 / 3),  # additive: β₀* = 2, β₁* = 1
        ([0.5, 0.5], [1, 3], 1 / 4),  # β₀* = 1/4 with t = 1 gives 1/3; β₁* = 1/2 with t = 3 gives 1/4
        ([2.0, 0.5, 3.0], [4, 1, 1], 1 / 3),  # β₀* = 2 · ½ = 1 with t = 4
    ],
)
def test_exponents_of_compositions_by_hand(smoothness: list, dimensions: list, exponent: float) -> None:
    assert references.composition(smoothness, dimensions).exponent == pytest.approx(exponent, abs=1e-14)


@given(st.floats(0.1, 5.0), st.integers(1, 9), st.floats(1.0, 4.0))
@settings(max_examples=50, deadline=None)
def test_a_smooth_function_of_a_rougher_one_changes_nothing(beta: float, t: int, outer: float) -> None:
    """β_l ≥ 1 further out leaves β* as it is; an outer function as smooth, on t inputs, is no slower."""
    whole = references.composition([beta, max(outer, beta)], [t, t])
    assert whole.exponent == pytest.approx(references.hoelder(beta, t).exponent, rel=1e-12)
    n = np.array([10.0, 1e3, 1e6])
    assert np.allclose(whole(n), n**-whole.exponent)


def test_logarithms_and_constants_are_options() -> None:
    plain = references.composition([2.0], [3])
    assert references.composition([2.0], [3], log_power=3.0, constant=2.0)(1e4) == pytest.approx(
        2 * plain(1e4) * math.log(1e4) ** 3
    )
    assert "log n" in references.hoelder(1.0, 1, log_power=1.0).formula


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
        lambda: references.hoelder(0.0, 2),
        lambda: references.composition([], []),
        lambda: references.composition([1.0, 2.0], [1]),
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

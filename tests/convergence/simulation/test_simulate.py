"""Simulated risk: against a plain oracle step by step, against exact risks, and the same for any number of workers."""

from __future__ import annotations

import _thread
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sparsefire import randomness
from sparsefire.convergence.exact.constants import scalar_risk
from sparsefire.convergence.exact.risk import exact_risk
from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.simulation import _streams as streams
from sparsefire.convergence.simulation import simulate
from sparsefire.convergence.simulation._streams import CODES, LANES
from sparsefire.convergence.simulation.estimate import RiskEstimate
from sparsefire.convergence.simulation.simulate import recorded_steps, simulate_risk
from sparsefire.convergence.update import Update
from sparsefire.errors import UserError

MATRIX = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 0.5]])


def within(found: RiskEstimate, exact: np.ndarray | None = None, bound: float = 4.0) -> None:
    """Assert that the mean lies within so many standard errors of the exact risk, at all recorded steps."""
    exact = found.exact if exact is None else exact
    assert exact is not None
    error = np.maximum(found.standard_error(), 1e-12 * np.abs(exact) + 1e-300)
    assert np.abs((found.mean() - exact) / error).max() < bound


# --- against an oracle ------------------------------------------------------------------------------------------------


def drawn(law: str, rows: int, key: int, step: int, purpose: int, filled: float = 1.0) -> np.ndarray:
    out = np.empty((streams.padded(rows), LANES))
    words, spare = np.empty((8, LANES), np.uint32), np.empty((8, LANES))
    streams.draw(CODES[law], out, rows, filled, words, spare, np.uint64(key), 0, step, np.int64(purpose))
    return out[:rows]


def oracle(problem: LinearRegression, update: Update, alphas: np.ndarray, rng: int, lane: int) -> np.ndarray:
    """Return ‖δ_k‖² of one run by the definition of each rule, from the numbers of its address."""
    key = randomness.integer(rng, "convergence", "vectors")
    d, m = problem.dimension, problem.outputs
    s, delta = update.mask or d, problem.error.reshape(d, m).copy()
    c = update.radius or (problem.noise / np.sqrt(s) if update.rule == "one-query" else 1.0)
    baseline, found = None, [np.sum(delta**2)]
    for k, alpha in enumerate(alphas):
        x = problem.root @ drawn(problem.design, d, key, k, streams.INPUTS, problem.filled)[:, lane]
        noise = drawn(problem.noise_law, 4 * m, key, k // 4, streams.NOISE)[k % 4 * m : (k % 4 + 1) * m, lane]
        noise = problem.noise * noise

        def loss(shift: np.ndarray | float, delta=delta, x=x, noise=noise) -> float:
            return 0.5 * np.sum((noise - x @ (delta + shift)) ** 2)

        for repeat in range(update.repeats):
            gradient = -np.outer(x, noise - x @ delta)
            gradient[s:] = 0
            moves = []
            for i in range(update.directions):
                number = repeat * update.directions + i
                law = "uniform" if update.rule == "hebbian" else update.law
                size = m if update.rule == "node-perturbation" else s * m
                raw = drawn(law, size, key, k, streams.DIRECTIONS + streams.DIRECTION_STEP * number)[:, lane]
                xi = np.zeros((d, m))
                if update.rule == "node-perturbation":
                    xi[:s] = np.outer(x, raw)[:s]
                    moves.append(-((noise - x @ delta) @ raw) * xi)
                    continue
                xi[:s] = raw.reshape(m, s).T
                if update.rule == "sgd":
                    moves.append(gradient)
                elif update.rule in ("forward-gradient", "weight-perturbation"):
                    moves.append(np.sum(gradient * xi) * xi)
                elif update.rule == "two-query":
                    moves.append((loss(c * xi) - loss(-c * xi)) / (2 * c) * xi)
                else:
                    if update.rule == "hebbian":
                        xi = c * xi / np.sqrt(3)
                        read, move = loss(xi), np.exp(xi) - np.exp(-xi)
                    else:
                        read, move = loss(c * xi), xi / c
                    if update.reward is not None:
                        read = np.interp(np.sqrt(2 * read), *update.reward)
                    if update.baseline == "none":
                        moves.append(read * move)
                    else:
                        baseline = read if baseline is None else baseline
                        moves.append((read - baseline) * move)
                        baseline += (1.0 if update.baseline == "previous" else update.memory) * (read - baseline)
            delta -= alpha * np.mean(moves, axis=0)
        found.append(np.sum(delta**2))
    return np.array(found)


TABLE = (np.array([0.0, 0.3, 1.0, 2.5]), np.array([0.0, 0.4, 0.5, 2.0]))


@pytest.mark.parametrize(
    ("update", "problem"),
    [
        (Update("sgd"), {}),
        (Update("sgd", mask=2), {"covariance": MATRIX}),
        (Update("sgd"), {"outputs": 3, "design": "student"}),
        (Update("forward-gradient"), {"noise_law": "laplace"}),
        (Update("forward-gradient", law="rademacher", directions=3), {"covariance": [2.0, 1.0, 0.5]}),
        (Update("forward-gradient", law="uniform", repeats=3), {"rank": 2}),
        (Update("forward-gradient", law="coordinates", mask=2), {"design": "sparse", "filled": 0.5}),
        (Update("two-query", law="sphere", radius=0.3, directions=2), {"design": "sphere"}),
        (Update("one-query"), {"noise_law": "two-point"}),
        (Update("one-query", law="rademacher", baseline="previous", mask=2), {}),
        (Update("one-query", law="sphere", baseline="mean", directions=2), {"design": "rademacher"}),
        (Update("one-query", baseline="mean", memory=0.3, repeats=2, reward=TABLE), {}),
        (Update("hebbian", radius=0.7), {"covariance": MATRIX}),
        (Update("hebbian", baseline="previous"), {}),
        (Update("node-perturbation", mask=2), {"outputs": 4}),
        (Update("node-perturbation", law="rademacher", directions=2), {"outputs": 2, "rank": 2}),
        (Update("weight-perturbation", mask=2, directions=2), {"outputs": 3, "covariance": MATRIX}),
    ],
)
def test_every_rule_does_what_it_says(update: Update, problem: dict[str, Any]) -> None:
    told = LinearRegression(3, noise=0.8, start=2.0, **problem)
    alphas = 0.02 / np.arange(1, 31)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = simulate_risk(update, told, steps=30, step_size=alphas, runs=LANES, rng=5, method="vectors")
    for lane in (0, 17, LANES - 1):
        np.testing.assert_allclose(found.values[lane], oracle(told, update, alphas, 5, lane), rtol=1e-11)


# --- against exact risks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [5, 10, 20, 50])
@pytest.mark.parametrize(
    ("rule", "options", "constant"),
    [
        ("sgd", {}, lambda d: d + 2),
        ("forward-gradient", {}, lambda d: (d + 2) ** 2),
        ("forward-gradient", {"law": "rademacher"}, lambda d: d * (d + 2)),
        ("forward-gradient", {"law": "sphere"}, lambda d: d * (d + 2)),
        ("forward-gradient", {"directions": 5}, lambda d: (d + 2) * (d + 6) / 5),
        ("forward-gradient", {"law": "uniform"}, lambda d: (d + 2) * (d + 0.8)),
        ("two-query", {"law": "coordinates"}, lambda d: d * (d + 2)),
    ],
)
def test_risks_of_identity_inputs(rule: str, options: dict[str, Any], constant: Any, d: int) -> None:
    big, noise = constant(d), constant(d) * d / (d + 2)
    found = simulate_risk(
        rule, dimension=d, steps=300, step_size=lambda k: 1 / (k + big), runs=2000, rng=1, method="vectors", **options
    )
    risk = np.ones(301)  # the recursion by hand, beside the one of the package
    for k in range(1, 301):
        a = 1 / (k + big)
        risk[k] = risk[k - 1] * (1 - 2 * a + big * a**2) + noise * a**2
    np.testing.assert_allclose(found.exact, risk, rtol=1e-10)
    within(found, risk)


@pytest.mark.filterwarnings("ignore:.*no variance over runs")
@pytest.mark.parametrize("of", ["parameters", "prediction"])
@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("forward-gradient", {"covariance": MATRIX, "start": [1.0, -1.0, 0.5]}),
        ("forward-gradient", {"covariance": [2.0, 1.0, 0.3], "law": "rademacher", "noise_law": "laplace"}),
        ("forward-gradient", {"rank": 2, "mask": 2}),
        ("two-query", {"rank": 2, "directions": 2, "noise_law": "two-point"}),
        ("sgd", {"covariance": MATRIX, "design": "rademacher", "active": 1}),
        ("sgd", {"design": "student", "mask": 2, "start": [1.0, 1.0, 0.0]}),
        ("forward-gradient", {"design": "sparse", "filled": 0.5}),
        ("forward-gradient", {"design": "sphere", "law": "sphere", "repeats": 3}),
        ("forward-gradient", {"repeats": 2, "rank": 2}),
        ("node-perturbation", {"outputs": 2, "covariance": MATRIX}),
        ("weight-perturbation", {"outputs": 2, "design": "rademacher", "law": "rademacher"}),
    ],
)
def test_risks_of_other_problems(rule: str, options: dict[str, Any], of: str) -> None:
    found = simulate_risk(
        rule, dimension=3, noise=0.5, steps=60, step_size=lambda k: 0.5 / (k + 40), runs=20_000, rng=2,
        method="vectors", of=of, **options,
    )  # fmt: skip
    within(found)


@pytest.mark.parametrize(
    ("rule", "factor", "reference"),
    [("sgd", 1, 0.0298), ("node-perturbation", 5, 0.1810), ("weight-perturbation", 17, 0.5045)],
)
def test_what_noise_on_nodes_and_on_weights_costs(rule: str, factor: int, reference: float) -> None:
    found = simulate_risk(
        rule, dimension=5, outputs=3, noise=0.5, steps=150, step_size=lambda k: 1 / (k + 7 * factor), runs=4000, rng=0
    )
    within(found)
    assert found.mean()[-1] == pytest.approx(reference, rel=0.03)


def test_full_covariance_example() -> None:
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    found = simulate_risk(
        "forward-gradient", dimension=4, covariance=basis @ np.diag([2, 1, 0.5, 0.25]) @ basis.T, noise=0.7, steps=200,
        step_size=lambda k: 1 / (k + 60), runs=20_000, rng=1,
    )  # fmt: skip
    within(found)


def test_low_rank_inputs_let_the_other_weights_diffuse() -> None:
    call = {
        "dimension": 20, "rank": 3, "steps": 400, "runs": 4000, "rng": 3, "start": 0.0,
        "step_size": lambda k: 1 / (k + 25), "noise": 1.0,
    }  # fmt: skip
    whole, seen = (simulate_risk("forward-gradient", of=of, **call) for of in ("parameters", "prediction"))
    within(whole)
    within(seen)
    assert whole.mean()[-1] > 20 * seen.mean()[-1]


# --- queries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [1e-2, 1.0, 30.0])
@pytest.mark.parametrize("method", ["vectors", "invariant", "projected"])
def test_two_queries_are_a_forward_gradient(radius: float, method: str) -> None:
    call: dict[str, Any] = {
        "dimension": 8, "steps": 500, "step_size": lambda k: 1 / (k + 100), "runs": 100, "rng": 4, "method": method
    }  # fmt: skip
    slope, queries = simulate_risk("forward-gradient", **call), simulate_risk("two-query", radius=radius, **call)
    np.testing.assert_allclose(queries.values, slope.values, rtol=1e-10)


@pytest.mark.parametrize(("baseline", "constant"), [("none", 3.0), ("previous", 4.0), ("mean", 2.0)])
def test_one_query_constants(baseline: str, constant: float) -> None:
    d, steps = 5, 20_000
    found = simulate_risk(
        "one-query", dimension=d, law="rademacher", baseline=baseline, steps=steps, runs=1536, rng=0, record=[steps],
        step_size=lambda k: 1 / (k + 6 * d**2),
    )  # fmt: skip
    assert steps * found.mean()[-1] / d**2 == pytest.approx(constant, rel=0.1)


@pytest.mark.parametrize("x", [pytest.param(0.01, marks=pytest.mark.slow), 0.1, 1.0, 10.0, 100.0])
def test_how_far_to_look(x: float) -> None:
    """k r_k/(σ²d²) → ¾ (1 + x)²/x with x = c²d/σ²; far from x = 1 that takes small first steps, and a start at θ*.

    By hand E‖ĝ‖² = 3d/(4c²) [(m + r)² + 4c² r] where ‖δ‖² = r, with m = σ² + c²d; E‖δ‖⁴ = (1 + 2/d) r² as δ becomes
    normal. The offset of the steps is the slope in r, so that they begin at half of what it allows (at x = 0.01 all
    runs diverge with the usual 6 d²), and they end a hundred times beyond it.
    """
    d, c2, m = 5, x / 5, 1 + x
    constant, slope = 0.75 * (1 + x) ** 2 / x, 3 * d / (4 * c2) * (2 * m + 4 * c2)
    update = Update("one-query", law="rademacher", radius=np.sqrt(c2))
    recursion = scalar_risk(LinearRegression(d), update)
    assert recursion.noise == pytest.approx(constant * d**2, rel=1e-10)
    assert recursion.linear == pytest.approx(slope, rel=1e-10)
    assert recursion.square == pytest.approx(3 * d / (4 * c2) * (1 + 2 / d), rel=1e-10)
    steps = round(100 * slope)
    risk, far = [0.0], 0.0
    for k in range(1, 10 * steps + 1):
        alpha = 1 / (k + slope)
        far += alpha * (alpha * recursion.second_moment(far) - 2 * far)
        if k <= steps:
            risk.append(far)
    assert 10 * steps * far / d**2 == pytest.approx(constant, rel=6e-3)
    found = simulate_risk(
        update, dimension=d, start=0.0, steps=steps, runs=1024, rng=0, record=[steps // 100, steps // 10, steps],
        step_size=lambda k: 1 / (k + slope),
    )  # fmt: skip
    within(found, np.array(risk)[found.steps])
    reached, error = steps * found.mean()[-1] / d**2, steps * found.standard_error()[-1] / d**2
    assert abs(reached - constant) < 4 * error < 0.1 * constant


def test_near_the_limit_few_runs_carry_the_mean() -> None:
    found = simulate_risk(
        "forward-gradient", dimension=10, noise=0.0, steps=1000, step_size=1.9 / 144, runs=20_000, rng=0, record=[1000]
    )
    assert found.exact[-1] == pytest.approx(0.267, abs=5e-4)
    assert found.median()[-1] == pytest.approx(0.0051, rel=0.1)
    assert found.median()[-1] < 0.1 * found.mean()[-1]
    assert found.interval(statistic="median")[1][-1] < 0.1 * found.exact[-1]


# --- the chain of norms -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 3, 12])
@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("sgd", {}),
        ("sgd", {"design": "sphere", "noise_law": "laplace"}),
        ("forward-gradient", {}),
        ("forward-gradient", {"law": "sphere"}),
        ("forward-gradient", {"law": "sphere", "design": "sphere"}),
        ("two-query", {"design": "sphere", "noise_law": "two-point"}),
        ("one-query", {"law": "sphere", "design": "sphere", "baseline": "previous"}),
        ("one-query", {"baseline": "mean", "radius": 1.0, "law": "sphere", "design": "sphere", "reward": TABLE}),
    ],
)
def test_the_chain_of_norms_has_the_law_of_the_vectors(rule: str, options: dict[str, Any], d: int) -> None:
    call: dict[str, Any] = {
        "dimension": d, "steps": 60, "step_size": lambda k: 0.3 / (k + (d + 2) ** 2), "runs": 10_000, "rng": 3,
        "record": [2, 20, 60], **options,
    }  # fmt: skip
    vectors, norms = (simulate_risk(rule, method=method, **call) for method in ("vectors", "invariant"))
    error = np.hypot(vectors.standard_error(), norms.standard_error())[1:]
    assert np.abs((vectors.mean() - norms.mean())[1:] / error).max() < 4
    for step in (1, 2, 3):  # rounded: runs that have not moved are ties
        assert stats.ks_2samp(vectors.values[:, step].round(12), norms.values[:, step].round(12)).pvalue > 1e-4
    if norms.exact is not None:
        within(norms)


@pytest.mark.parametrize(
    "options",
    [{"law": "rademacher"}, {"design": "student"}, {"covariance": [1.0, 2.0]}, {"directions": 2}, {"mask": 1}],
)
def test_the_chain_of_norms_is_refused_elsewhere(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="no Markov chain"):
        simulate_risk("forward-gradient", dimension=2, steps=2, step_size=0.1, method="invariant", **options)


@pytest.mark.parametrize("d", [1, 2, 9])
@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("forward-gradient", {"law": "rademacher"}),
        ("forward-gradient", {"law": "normal", "noise_law": "laplace"}),
        ("two-query", {"law": "uniform"}),
        ("two-query", {"law": "coordinates", "active": 1}),
        ("one-query", {"law": "rademacher", "baseline": "previous", "reward": TABLE, "radius": 1.0}),
    ],
)
def test_two_projections_of_the_input_are_enough(rule: str, options: dict[str, Any], d: int) -> None:
    call: dict[str, Any] = {
        "dimension": d, "steps": 60, "step_size": lambda k: 0.3 / (k + (d + 2) ** 2), "runs": 10_000, "rng": 3,
        "record": [2, 20, 60], **options,
    }  # fmt: skip
    vectors, few = (simulate_risk(rule, method=method, **call) for method in ("vectors", "projected"))
    error = np.hypot(vectors.standard_error(), few.standard_error())[1:]
    assert np.abs((vectors.mean() - few.mean())[1:] / error).max() < 4
    for step in (1, 2, 3):
        assert stats.ks_2samp(vectors.values[:, step].round(12), few.values[:, step].round(12)).pvalue > 1e-4
    if few.exact is not None:
        within(few)


def test_in_a_thousand_dimensions() -> None:
    found = simulate_risk("forward-gradient", dimension=1000, steps=2000, step_size=5e-7, runs=512, rng=0, record=20)
    within(found)


# --- the same numbers -------------------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "dimension": 6, "steps": 90, "step_size": lambda k: 1 / (k + 64), "runs": 3 * LANES + 5, "rng": 9
}  # fmt: skip


@pytest.mark.parametrize("method", ["vectors", "invariant", "projected"])
def test_results_do_not_depend_on_workers_pieces_records_or_runs(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = simulate_risk("one-query", workers=1, method=method, baseline="mean", **SMALL)
    for workers in (2, 3):
        other = simulate_risk("one-query", workers=workers, method=method, baseline="mean", **SMALL)
        np.testing.assert_array_equal(other.values, first.values)
    few = simulate_risk("one-query", method=method, baseline="mean", **{**SMALL, "runs": LANES + 1})
    np.testing.assert_array_equal(few.values, first.values[: LANES + 1])
    some = simulate_risk("one-query", method=method, baseline="mean", record=[7, 31], **SMALL)
    np.testing.assert_array_equal(some.values, first.values[:, [0, 7, 31, 90]])
    monkeypatch.setattr(simulate, "_PIECE", 100.0)  # a few steps at a time
    told: list[float] = []
    pieces = simulate_risk("one-query", method=method, baseline="mean", progress=told.append, **SMALL)
    np.testing.assert_array_equal(pieces.values, first.values)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_rules_see_the_same_luck() -> None:
    call = {**SMALL, "runs": 2000, "method": "vectors"}
    slope, again = simulate_risk("forward-gradient", **call), simulate_risk("forward-gradient", repeats=2, **call)
    other = simulate_risk("forward-gradient", **{**call, "rng": 10})
    here, there = (np.corrcoef(again.values[:, 60], found.values[:, 60])[0, 1] for found in (slope, other))
    assert here > 0.2 > 4 / np.sqrt(2000) > abs(there)
    masked = simulate_risk("forward-gradient", mask=6, **call)
    np.testing.assert_array_equal(masked.values, slope.values)


def test_rng_is_any_generator() -> None:
    a, b = (simulate_risk("sgd", **{**SMALL, "rng": np.random.default_rng(3)}) for _ in range(2))
    np.testing.assert_array_equal(a.values, b.values)
    assert not np.array_equal(a.values, simulate_risk("sgd", **SMALL).values)


# --- steps, bad inputs, interrupts ------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 10**7), st.integers(1, 500))
def test_recorded_steps_start_at_0_and_end_at_the_last(steps: int, points: int) -> None:
    for asked in (None, points):
        found = recorded_steps(asked, steps)
        assert (found[0], found[-1]) == (0, steps)
        assert np.all(np.diff(found) > 0)
        assert len(found) <= max(1001 if asked is None else 0, points + 2)


def test_recorded_steps() -> None:
    assert len(recorded_steps(None, 1000)) == 1001
    assert 120 < len(recorded_steps(None, 10**6)) <= 202
    assert recorded_steps(np.array([4, 2]), 9).tolist() == [0, 2, 4, 9]
    for wrong in ([-1], [2.5], [11], [np.nan], [], "all", True):
        with pytest.raises(UserError, match=r"steps to record|record is no"):
            recorded_steps(wrong, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": 0}, "runs is no such number"),
        ({"runs": 2.5}, "runs is no such number"),
        ({"steps": 0}, "no steps to make"),
        ({"step_size": lambda k: np.nan}, "at step 1"),
        ({"step_size": lambda k: np.sqrt(3.5 - k)}, "at step 4"),
        ({"of": "loss"}, "there is no of"),
        ({"method": "fast"}, "there is no method"),
        ({"workers": 0}, "workers"),
        ({"wings": 2}, "no option 'wings'"),
        ({"record": [1000]}, "no steps to record"),
    ],
)
def test_bad_inputs(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        simulate_risk("sgd", **{**SMALL, **change})


def test_rewards_and_radii_that_cannot_be() -> None:
    for reward in ([1.0, 2.0], ([0.0, 1.0], [1.0]), ([0.0, 0.0], [1.0, 2.0]), ([1.0, 2.0], [1.0, 2.0]), "loss"):
        with pytest.raises(UserError, match="reward is no table"):
            simulate_risk("one-query", reward=reward, **SMALL)
    with pytest.raises(UserError, match="without noise"):
        simulate_risk("one-query", noise=0.0, **SMALL)


def test_steps_beyond_the_limit_warn_and_runs_that_diverge_are_infinite() -> None:
    with pytest.warns(UserWarning, match="0.25"):
        found = simulate_risk("sgd", dimension=6, steps=2000, step_size=2.0, runs=10, rng=0, record=[10])
    assert np.all(np.isinf(found.values[:, -1]))
    assert (found.mean()[-1], found.median()[-1]) == (np.inf, np.inf)
    assert found.interval()[0][-1] == -np.inf
    assert exact_risk("sgd", dimension=6, steps=1, step_size=0.1)[1] < 1


def test_no_warning_without_reason() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate_risk("sgd", **SMALL)


def test_risks_without_a_variance_are_told_once() -> None:
    call = {**SMALL, "runs": 70, "design": "student", "method": "vectors"}
    for rule, said in (("sgd", "exact_risk has the mean"), ("one-query", "one-query itself is infinite")):
        with pytest.warns(UserWarning, match="no variance over runs") as caught:
            found = simulate_risk(rule, **call)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert all(word in str(caught[0].message) for word in ("median()", "quantile()", said))
        assert (found.exact is None) is (rule == "one-query")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate_risk("one-query", reward=TABLE, **call)  # bounded: all moments are there


def test_the_variance_of_student_risks_grows_with_the_runs_and_others_do_not() -> None:
    spread = {}
    for design in ("student", "normal"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = simulate_risk("sgd", dimension=1, design=design, steps=1, step_size=0.3, runs=400_000, rng=1)
        far = np.abs(found.values[:, 1] - found.exact[1])
        spread[design] = np.sort(far**2)[-40:].sum() / (far**2).sum()  # what one run in 10,000 brings to the variance
    assert spread["student"] > 0.8 > 3 * spread["normal"]


def test_filters_of_warnings_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They belong to the whole process: another thread would lose its own."""

    def forbidden(*args: Any, **given: Any) -> None:
        raise AssertionError("filters are touched")

    problem, update = LinearRegression(4), Update("forward-gradient")
    expected = exact_risk(update, problem, steps=3, step_size=0.01)
    monkeypatch.setattr(warnings, "catch_warnings", forbidden)
    monkeypatch.setattr(warnings, "simplefilter", forbidden)
    monkeypatch.setattr(warnings, "filterwarnings", forbidden)
    found = simulate_risk(update, problem, steps=3, step_size=0.01, runs=2, rng=0)
    recursion = scalar_risk(problem, update)
    monkeypatch.undo()
    np.testing.assert_array_equal(found.exact, expected)
    assert recursion.linear == pytest.approx(36)


@pytest.fixture
def listening() -> Iterator[None]:
    """Ctrl-C interrupts, whatever an earlier test in this process has left."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("workers", [1, 2])
def test_control_c_stops_at_once(workers: int, listening: None) -> None:
    given = {"dimension": 20, "step_size": 1e-4, "rng": 0, "method": "vectors", "record": [1]}
    simulate_risk("forward-gradient", steps=2, runs=LANES, **given)  # compile: an interrupt may be lost in there
    threading.Timer(0.7, _thread.interrupt_main).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        simulate_risk("forward-gradient", steps=100_000, runs=10_000, workers=workers, **given)  # half a minute
    assert time.monotonic() - began < 3.5


def test_what_progress_raises_stops_the_simulation() -> None:
    def stop(share: float) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        simulate_risk("sgd", progress=stop, **SMALL)

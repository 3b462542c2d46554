"""Oracle: estimates over runs, against the exact recursion, by hand, and whatever must not matter to them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from scipy import stats

import sparsefire as sf
from sparsefire.errors import UserError

conv = sf.convergence
FULL = [[1.5, 0.4, 0.0], [0.4, 0.8, -0.2], [0.0, -0.2, 0.5]]


# ---------------------------------------------------------------- against the exact recursion


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("sgd", {"dimension": 10}),
        ("sgd", {"dimension": 4, "outputs": 3, "covariance": [2.0, 1.0, 0.5, 0.25]}),
        ("sgd", {"dimension": 3, "covariance": FULL, "design": "student", "noise_law": "laplace"}),
        ("forward-gradient", {"dimension": 10}),
        ("forward-gradient", {"dimension": 5, "law": "rademacher", "start": 4.0}),
        ("forward-gradient", {"dimension": 20, "law": "sphere", "design": "sphere"}),
        ("forward-gradient", {"dimension": 10, "directions": 5}),
        ("forward-gradient", {"dimension": 10, "repeats": 10, "design": "sphere"}),
        ("forward-gradient", {"dimension": 4, "repeats": 3, "rank": 2}),
        ("forward-gradient", {"dimension": 20, "rank": 3}),
        ("forward-gradient", {"dimension": 60, "mask": 4, "active": 4, "law": "coordinates"}),
        ("forward-gradient", {"dimension": 3, "covariance": FULL, "law": "uniform", "design": "sparse", "filled": 0.4}),
        ("forward-gradient", {"dimension": 1, "start": 0.0}),
        ("node-perturbation", {"dimension": 5, "outputs": 3, "noise": 0.5}),
        ("weight-perturbation", {"dimension": 5, "outputs": 3, "noise": 0.5}),
        ("weight-perturbation", {"dimension": 3, "outputs": 2, "mask": 2, "law": "sphere", "directions": 2}),
    ],
)
def test_exact_risk_is_within_four_errors(rule: str, given: dict[str, Any]) -> None:
    limit = conv.stability_limit(rule, **given)
    steps, schedule = 60, conv.harmonic(1.0, 4 / limit)
    for method in ("auto", "vectors"):
        for of in ("parameters", "prediction"):
            found = conv.simulate_risk(
                rule, steps=steps, step_size=schedule, runs=3000, rng=11, method=method, of=of, **given
            )
            exact = conv.exact_risk(rule, steps=steps, step_size=schedule, of=of, **given)
            np.testing.assert_allclose(found.exact, exact[found.steps], rtol=1e-12)
            error = found.standard_error()
            late = slice(1, None)
            z = (found.mean() - exact)[late] / np.maximum(error[late], 1e-12)
            assert np.abs(z).max() < 4.5
            assert abs(z[-1]) < 4


def test_the_norm_alone_has_the_same_law() -> None:
    given: dict[str, Any] = {"dimension": 6, "steps": 30, "step_size": 0.01, "runs": 6000, "noise": 0.7}
    for rule, extra in [
        ("sgd", {}),
        ("sgd", {"design": "sphere"}),
        ("forward-gradient", {}),
        ("forward-gradient", {"law": "sphere", "design": "sphere", "noise_law": "laplace"}),
        ("two-query", {"design": "sphere"}),
        ("one-query", {"baseline": "previous", "design": "sphere", "law": "sphere"}),
        ("one-query", {"baseline": "mean", "noise_law": "two-point"}),
    ]:
        a = conv.simulate_risk(rule, method="invariant", rng=1, **given, **extra)
        b = conv.simulate_risk(rule, method="vectors", rng=2, **given, **extra)
        assert stats.ks_2samp(a.values[:, -1], b.values[:, -1]).pvalue > 1e-4, (rule, extra)
        assert stats.ks_2samp(a.values[:, 5], b.values[:, 5]).pvalue > 1e-4, (rule, extra)


def test_two_queries_are_a_forward_gradient_at_any_scale() -> None:
    for given in (
        {"dimension": 7},
        {"dimension": 3, "covariance": FULL, "law": "uniform", "directions": 2},
        {"dimension": 4, "repeats": 3, "law": "sphere", "mask": 2},
    ):
        call: dict[str, Any] = {"steps": 80, "step_size": 0.01, "runs": 20, "rng": 5, "method": "vectors"} | given
        path = conv.simulate_risk("forward-gradient", **call)
        for radius in (1e-3, 1.0, 30.0):
            np.testing.assert_allclose(
                conv.simulate_risk("two-query", radius=radius, **call).values, path.values, rtol=1e-10
            )


def test_one_query_constants() -> None:
    k = 20_000
    for baseline, constant in (("none", 3.0), ("previous", 4.0), ("mean", 2.0 * (1 + 0.02 / 1.98))):
        found = conv.simulate_risk(
            "one-query", dimension=5, law="rademacher", baseline=baseline, steps=k, runs=384, rng=1,
            step_size=lambda i: 1 / (i + 150), record=[k],
        )  # fmt: skip
        value, error = k * found.mean()[-1] / 25, k * found.standard_error()[-1] / 25
        assert value == pytest.approx(constant, rel=0.10)
        assert error < 0.05 * constant
        assert conv.asymptotic_constant("one-query", dimension=5, law="rademacher", baseline=baseline) == pytest.approx(
            25 * constant, rel=1e-9
        )


def test_mean_and_median_part_close_to_the_stability_limit() -> None:
    found = conv.simulate_risk(
        "forward-gradient", dimension=10, noise=0.0, steps=1000, step_size=1.9 / 144, runs=6000, rng=0, record=[1000]
    )
    assert found.exact[-1] == pytest.approx(0.267, abs=1e-3)
    assert found.median()[-1] == pytest.approx(0.0051, rel=0.1)
    assert found.median()[-1] < 0.1 * found.exact[-1]
    low, high = found.interval(statistic="median")
    assert low[-1] < found.median()[-1] < high[-1]


# ---------------------------------------------------------------- what must not matter


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        ("forward-gradient", {"dimension": 4}),
        ("forward-gradient", {"dimension": 4, "method": "vectors", "law": "uniform", "design": "student"}),
        ("one-query", {"dimension": 2, "baseline": "mean", "covariance": [1.0, 2.0], "noise_law": "laplace"}),
        ("hebbian", {"dimension": 3, "baseline": "previous"}),
        ("weight-perturbation", {"dimension": 2, "outputs": 2, "law": "coordinates"}),
        ("node-perturbation", {"dimension": 2, "outputs": 3, "design": "sparse"}),
    ],
)
def test_neither_workers_nor_records_nor_more_runs_matter(rule: str, given: dict[str, Any]) -> None:
    call: dict[str, Any] = {"steps": 25, "step_size": 0.01, "rng": 42} | given
    whole = conv.simulate_risk(rule, runs=200, workers=1, **call)
    for workers in (2, 3, 7):
        np.testing.assert_array_equal(conv.simulate_risk(rule, runs=200, workers=workers, **call).values, whole.values)
    for runs in (1, 64, 65, 130):
        np.testing.assert_array_equal(conv.simulate_risk(rule, runs=runs, **call).values, whole.values[:runs])
    some = conv.simulate_risk(rule, runs=70, record=[3, 17], **call)
    assert some.steps.tolist() == [0, 3, 17, 25]
    np.testing.assert_array_equal(some.values, whole.values[:70, [0, 3, 17, 25]])
    shorter = conv.simulate_risk(rule, runs=70, **(call | {"steps": 10}))
    np.testing.assert_array_equal(shorter.values, whole.values[:70, :11])
    other = conv.simulate_risk(rule, runs=70, **(call | {"rng": 43}))
    assert (other.values[:, -1] != whole.values[:70, -1]).mean() > 0.9
    assert len(np.unique(whole.values[:, -1])) > 100 or rule == "weight-perturbation"


def test_records() -> None:
    call: dict[str, Any] = {"dimension": 2, "step_size": 0.01, "runs": 2, "rng": 0}
    assert conv.simulate_risk("sgd", steps=1000, **call).steps.tolist() == list(range(1001))
    long = conv.simulate_risk("sgd", steps=50_000, **call)
    assert 100 < len(long.steps) < 300
    assert long.steps[0] == 0
    assert long.steps[-1] == 50_000
    ratio = long.steps[-1] / long.steps[-2]
    np.testing.assert_allclose(long.steps[-20:] / long.steps[-21:-1], ratio, rtol=0.02)
    few = conv.simulate_risk("sgd", steps=5000, record=10, **call)
    assert 8 <= len(few.steps) <= 13
    assert conv.simulate_risk("sgd", steps=1, record=[0], **call).steps.tolist() == [0, 1]
    one = conv.simulate_risk("sgd", dimension=1, start=0.0, noise=0.0, steps=1, step_size=0.3, runs=1, rng=0)
    assert one.values.tolist() == [[0.0, 0.0]]
    still = conv.simulate_risk("one-query", dimension=2, steps=4, step_size=0.0, runs=3, rng=0, start=2.0)
    np.testing.assert_allclose(still.values, 2.0, rtol=1e-14)


def test_progress_is_told_and_ends_at_one() -> None:
    shares: list[float] = []
    lock = threading.Lock()

    def note(share: float) -> None:
        with lock:
            shares.append(share)

    conv.simulate_risk("sgd", dimension=5, steps=300, step_size=0.01, runs=500, rng=0, progress=note, workers=2)
    assert shares
    assert max(shares) == pytest.approx(1.0)
    assert min(shares) >= 0.0


# ---------------------------------------------------------------- statistics of an estimate


def test_statistics_of_an_estimate() -> None:
    found = conv.simulate_risk("forward-gradient", dimension=4, steps=20, step_size=0.02, runs=101, rng=3)
    v = found.values
    np.testing.assert_allclose(found.mean(), v.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.median(), np.median(v, axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.quantile(0.3), np.quantile(v, 0.3, axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.standard_error(), v.std(axis=0, ddof=1) / np.sqrt(101), rtol=1e-12, atol=1e-17)
    for level in (0.5, 0.95, 0.999):
        low, high = found.interval(level)
        t = stats.t.interval(level, 100, loc=v.mean(axis=0), scale=v.std(axis=0, ddof=1) / np.sqrt(101) + 1e-300)
        np.testing.assert_allclose(low, t[0], rtol=1e-10)
        np.testing.assert_allclose(high, t[1], rtol=1e-10)
        low, high = found.interval(level, statistic="median")
        ordered = np.sort(v[:, -1])
        i, j = np.searchsorted(ordered, [low[-1], high[-1]])
        assert ordered[i] == low[-1]
        assert ordered[j] == high[-1]
        cover = stats.binom.cdf(j, 101, 0.5) - stats.binom.cdf(i, 101, 0.5)  # P(i + 1 <= B <= j)
        assert cover >= level
        assert cover < level + 0.09
    low, high = found.interval(method="bootstrap")
    t_low, t_high = found.interval()
    width, t_width = (high - low)[1:], (t_high - t_low)[1:]
    assert (np.abs(np.log(width / t_width)) < 0.35).all()
    assert ((low <= found.mean() + 1e-15) & (found.mean() - 1e-15 <= high)).all()


def test_control_variate() -> None:
    call: dict[str, Any] = {"dimension": 3, "steps": 30, "step_size": 0.02, "runs": 500, "rng": 9, "method": "vectors"}
    target = conv.simulate_risk("forward-gradient", law="uniform", **call)
    control = conv.simulate_risk("sgd", **call)
    found = target.controlled(control)
    x, y = control.values[:, -1], target.values[:, -1]
    b = np.cov(x, y, ddof=1)[0, 1] / x.var(ddof=1)
    assert found.coefficient[-1] == pytest.approx(b, rel=1e-9)
    mean = y.mean() - b * (x.mean() - control.exact[-1])
    assert found.mean()[-1] == pytest.approx(mean, rel=1e-10)
    line = stats.linregress(x, y)
    assert found.coefficient[-1] == pytest.approx(line.slope, rel=1e-9)
    residual = y - y.mean() - b * (x - x.mean())
    s2 = (residual**2).sum() / 498
    naive = np.sqrt(s2 / 500)
    full = np.sqrt(s2 * (1 / 500 + (x.mean() - control.exact[-1]) ** 2 / ((x - x.mean()) ** 2).sum()))
    assert naive * 0.99 <= found.standard_error()[-1] <= full * 1.01
    assert found.reduction[-1] == pytest.approx(
        (target.standard_error()[-1] / found.standard_error()[-1]) ** 2, rel=0.02
    )
    low, high = found.interval(0.9)
    half = stats.t.ppf(0.95, 498) * found.standard_error()[-1]
    np.testing.assert_allclose([low[-1], high[-1]], [mean - half, mean + half], rtol=1e-9)
    assert abs(mean - target.exact[-1]) < 4 * full
    itself = target.controlled(target)
    np.testing.assert_allclose(itself.mean(), target.exact, rtol=1e-9)
    for bad in (
        lambda: target.controlled(conv.simulate_risk("sgd", **(call | {"rng": 8}))),
        lambda: target.controlled(conv.simulate_risk("sgd", **(call | {"runs": 499}))),
        lambda: target.controlled(conv.simulate_risk("sgd", **(call | {"steps": 29}))),
        lambda: target.controlled(conv.simulate_risk("sgd", **(call | {"method": "invariant"}))),
        lambda: target.controlled(conv.simulate_risk("one-query", **call)),
    ):
        with pytest.raises(UserError):
            bad()


def test_divergence_is_infinite_not_nan() -> None:
    with pytest.warns(UserWarning, match="0.0138"):
        found = conv.simulate_risk("forward-gradient", dimension=10, steps=600, step_size=10.0, runs=40, rng=0)
    assert np.isinf(found.values[:, -1]).all()
    assert not np.isnan(found.values).any()
    assert found.mean()[-1] == np.inf
    assert found.median()[-1] == np.inf
    low, high = found.interval()
    assert (low[-1], high[-1]) == (-np.inf, np.inf)
    for method in ("vectors", "invariant"):
        with pytest.warns(UserWarning, match="0.4"):
            found = conv.simulate_risk(
                "sgd", dimension=3, steps=400, step_size=1.5, runs=100, rng=0, method=method, noise=0.0
            )
        assert not np.isnan(found.values).any()
        assert not np.isnan(found.mean()).any()
        assert not np.isnan(found.quantile(0.9)).any()
        for ends in (*found.interval(), *found.interval(statistic="median"), *found.interval(method="bootstrap")):
            assert not np.isnan(ends).any()


BAD: list[dict[str, Any]] = [
    {"runs": 0},
    {"runs": -1},
    {"runs": 2.5},
    {"runs": "many"},
    {"runs": True},
    {"steps": 0},
    {"step_size": lambda k: float("nan")},
    {"step_size": lambda k: np.full(np.shape(k), np.nan)},
    {"step_size": lambda k: -1.0},
    {"record": [4]},
    {"record": [-1]},
    {"record": [1.5]},
    {"record": "all"},
    {"record": 0},
    {"workers": 0},
    {"workers": "two"},
    {"of": "everything"},
    {"method": "magic"},
    {"method": "invariant", "covariance": [1.0, 2.0]},
    {"method": "invariant", "design": "student"},
    {"noise": -1.0},
    {"law": "rademachr"},
    {"covariance": [[1.0, 2.0], [2.0, 1.0]]},
]  # fmt: skip


@pytest.mark.parametrize("given", BAD, ids=lambda v: ",".join(v) if isinstance(v, dict) else str(v))
def test_bad_input_is_told(given: dict[str, Any]) -> None:
    call: dict[str, Any] = {"dimension": 2, "steps": 3, "step_size": 0.01, "runs": 2, "rng": 0} | given
    with pytest.raises(UserError):
        conv.simulate_risk("forward-gradient", **call)


@pytest.mark.parametrize(
    "reward",
    [3, "score", ([0.0, 1.0],), ([0.0, 1.0], [1.0]), ([0.0, 1.0], [1.0, float("nan")]), ([1.0, 0.0], [1.0, 2.0])],
    ids=str,
)
def test_a_reward_that_is_no_table(reward: Any) -> None:
    with pytest.raises(UserError):
        conv.simulate_risk("one-query", dimension=2, steps=3, step_size=0.01, runs=2, rng=0, reward=reward)


def test_one_query_needs_a_radius_without_noise() -> None:
    with pytest.raises(UserError):
        conv.simulate_risk("one-query", dimension=2, noise=0.0, steps=3, step_size=0.01, runs=2, rng=0)
    found = conv.simulate_risk("one-query", dimension=2, noise=0.0, radius=0.1, steps=3, step_size=0.0, runs=2, rng=0)
    np.testing.assert_allclose(found.values, 1.0)


def test_statistics_told_of_bad_input() -> None:
    found = conv.simulate_risk("sgd", dimension=2, steps=3, step_size=0.1, runs=2, rng=0)
    for bad in (
        lambda: found.interval(level=1.0),
        lambda: found.interval(level=0.0),
        lambda: found.interval(level=float("nan")),
        lambda: found.interval(method="magic"),
        lambda: found.interval(statistic="mode"),
        lambda: found.interval(statistic="median"),
        lambda: found.quantile(1.2),
        lambda: conv.simulate_risk("sgd", dimension=2, steps=3, step_size=0.1, runs=1, rng=0).interval(),
    ):
        with pytest.raises(UserError):
            bad()

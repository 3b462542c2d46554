"""Oracle: plans, against the exact risk of the schedules that they give."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import sparsefire as sf
from sparsefire.convergence.bounds.planning import reference
from sparsefire.errors import UserError

conv = sf.convergence


# ---------------------------------------------------------------- plans


PLANS: list[dict[str, Any]] = [
    {"rule": "sgd", "dimension": 5, "risk": 0.02},
    {"rule": "forward-gradient", "dimension": 10, "risk": 0.05},
    {"rule": "forward-gradient", "dimension": 4, "law": "rademacher", "noise": 0.3, "start": 9.0, "risk": 0.01},
    {"rule": "two-query", "dimension": 6, "directions": 3, "risk": 0.03},
    {"rule": "forward-gradient", "dimension": 3, "covariance": [2.0, 1.0, 0.3], "risk": 0.05},
    {"rule": "forward-gradient", "dimension": 3, "covariance": [2.0, 1.0, 0.3], "risk": 0.05, "of": "prediction"},
    {"rule": "forward-gradient", "dimension": 50, "mask": 5, "active": 5, "risk": 0.05},
    {"rule": "node-perturbation", "dimension": 4, "outputs": 2, "risk": 0.05},
    {"rule": "forward-gradient", "dimension": 5, "repeats": 4, "risk": 0.05},
    {"rule": "sgd", "dimension": 1, "risk": 0.5},
    {"rule": "sgd", "dimension": 3, "noise": 0.0, "risk": 1e-6},
]


@pytest.mark.parametrize("schedule", ["harmonic", "oracle"])
@pytest.mark.parametrize("given", PLANS, ids=lambda g: f"{g['rule']}-{g['dimension']}-{len(g)}-{g.get('of', '')}")
def test_plans_keep_their_word(given: dict[str, Any], schedule: str) -> None:
    if "repeats" in given and schedule == "oracle":
        pytest.skip("the greedy step is not known for repeats")
    found = conv.plan(schedule=schedule, **given)
    of = given.get("of", "parameters")
    rest = {k: v for k, v in given.items() if k not in ("rule", "risk", "of")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = conv.exact_risk(given["rule"], steps=found.samples, step_size=found.step_size(), of=of, **rest)
    assert path[-1] <= given["risk"] * (1 + 1e-9)
    assert path[-2] > given["risk"] * (1 - 1e-9)  # and one sample less is too few
    per_sample = {"two-query": 6}.get(given["rule"], given.get("repeats", 1))
    assert found.queries == found.samples * per_sample
    assert found.exact
    back = conv.plan(rule=given["rule"], samples=found.samples, schedule=schedule, of=of, **rest)
    assert back.risk <= path[-1] * (1 + 1e-4)
    paid = conv.plan(rule=given["rule"], queries=found.queries, schedule=schedule, of=of, **rest)
    assert paid.samples == found.samples
    assert paid.risk == pytest.approx(back.risk, rel=1e-12)
    there = conv.exact_risk(given["rule"], steps=back.samples, step_size=back.step_size(), of=of, **rest)
    assert there[-1] == pytest.approx(back.risk, rel=1e-9)
    if schedule == "harmonic" and given.get("repeats", 1) == 1:
        limit = conv.stability_limit(given["rule"], **rest)
        assert found.offset == pytest.approx(2 * found.factor / limit, rel=1e-8)
        for c in (0.8, 1.0, 1.3, 2.0, 4.0):
            if found.samples > 20_000:
                break
            other = conv.exact_risk(
                given["rule"], steps=found.samples, step_size=conv.harmonic(c, 2 * c / limit), of=of, **rest
            )
            unit = 1.0 if "covariance" not in given else 1 / 0.3
            scaled = conv.exact_risk(
                given["rule"],
                steps=found.samples,
                of=of,
                step_size=conv.harmonic(c * unit, 2 * c * unit / limit),
                **rest,
            )
            sooner = min(other[:-1].min(), scaled[:-1].min())
            assert sooner > given["risk"] * (1 - 2e-3)  # no other c does with fewer


def test_a_plan_against_the_bound() -> None:
    found = conv.plan(rule="sgd", dimension=10, risk=0.001)
    assert found.reference is not None
    assert found.reference(1000) == pytest.approx(0.01)
    assert found.ratio == pytest.approx(found.samples / 10_000, rel=1e-3)
    assert 1.0 < found.ratio < 1.1
    query = conv.plan(rule="one-query", law="rademacher", baseline="previous", dimension=5, risk=0.05)
    assert not query.exact
    assert query.queries == query.samples
    assert query.reference(100) == pytest.approx(0.5, rel=1e-8)
    run = conv.simulate_risk(
        "one-query", law="rademacher", baseline="previous", dimension=5, steps=query.samples, runs=512, rng=0,
        step_size=query.step_size(), record=[query.samples],
    )  # fmt: skip
    assert run.mean()[-1] == pytest.approx(0.05, rel=0.12)
    own = reference(conv.LinearRegression(3, covariance=[1.0, 2.0, 4.0], noise=0.5), conv.Update("sgd"))
    assert own(10) == pytest.approx(0.25 * 1.75 / 10, rel=1e-10)


def test_schedules() -> None:
    for given, rule, c in (({"dimension": 10}, "sgd", 12), ({"dimension": 10}, "forward-gradient", 144)):
        alpha = conv.default_schedule(rule, **given)
        np.testing.assert_allclose([float(alpha(k)) for k in (1, 7)], [1 / (1 + c), 1 / (7 + c)], rtol=1e-9)
    problem, update = conv.LinearRegression(3, covariance=[2.0, 1.0, 0.4]), conv.Update("forward-gradient")
    limit = conv.stability_limit(update, problem)
    alpha = conv.default_schedule(update, problem)
    assert float(alpha(5)) == pytest.approx(1 / (0.4 * (5 + 2 / (0.4 * limit))), rel=1e-9)
    one = conv.default_schedule("one-query", dimension=5)
    assert float(one(5)) == pytest.approx(1 / (5 + 150), rel=1e-9)
    kappa = 2 * math.cosh(1.0) - 2 * math.sinh(1.0)
    hebb = conv.default_schedule("hebbian", dimension=5, radius=1.0)
    assert float(hebb(5)) == pytest.approx(1 / (5 + 150) / kappa, rel=1e-9)


def test_plans_told_of_bad_input() -> None:
    for given in (
        {}, {"risk": 0.0}, {"risk": -1.0}, {"risk": 2.0}, {"risk": float("nan")}, {"risk": "low"}, {"samples": 0},
        {"samples": 1.5}, {"samples": "x"}, {"queries": 0}, {"risk": 0.1, "samples": 10},
        {"risk": 0.1, "rule": "hebbian"},
        {"risk": 0.1, "rule": "magic"}, {"risk": 0.1, "schedule": "magic"}, {"risk": 0.1, "of": "magic"},
        {"risk": 1e-6, "most": 100}, {"risk": 0.1, "most": 0}, {"risk": 0.1, "colour": "red"},
        {"queries": 1, "rule": "two-query"}, {"risk": 0.1, "covariance": [1.0, 0.0, 1.0]},
        {"risk": 0.1, "rule": "forward-gradient", "mask": 1, "most": 1000},
    ):  # fmt: skip
        with pytest.raises(UserError):
            conv.plan(**({"dimension": 3} | given))
    with pytest.raises(UserError):
        conv.plan(risk=0.1)
    for problem in (
        conv.LinearRegression(3, noise=0.0),
        conv.LinearRegression(3, outputs=2),
        conv.LinearRegression(3, covariance=[1.0, 2.0, 3.0]),
    ):
        with pytest.raises(UserError):
            conv.fisher_information(problem)
        with pytest.raises(UserError):
            conv.score_reward(problem)
    good = conv.LinearRegression(3)
    for call in (
        lambda: conv.fisher_information(good, radius=0.0),
        lambda: conv.fisher_information(good, radius=float("nan")),
        lambda: conv.fisher_information(good, law="cauchy"),
        lambda: conv.query_bound(good, radius=-1.0),
        lambda: conv.best_radius(good, most=0.0),
        lambda: conv.first_order_bound(conv.LinearRegression(3, rank=2)),
    ):
        with pytest.raises(UserError):
            call()


@pytest.mark.parametrize("problem", [3, "linear", None], ids=str)
def test_a_problem_of_the_wrong_type(problem: Any) -> None:
    update = conv.Update("sgd")
    for call in (
        lambda: conv.fisher_information(problem),
        lambda: conv.query_bound(problem),
        lambda: conv.first_order_bound(problem),
        lambda: conv.best_radius(problem),
        lambda: conv.score_reward(problem),
        lambda: conv.default_schedule(update, problem),
        lambda: conv.best_step_sizes(update, problem, steps=3),
        lambda: conv.best_step_sizes(problem, conv.LinearRegression(2), steps=3),
    ):
        with pytest.raises(UserError):
            call()

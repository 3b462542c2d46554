"""Plans against the recursions and simulations they promise."""

import math

import numpy as np
import pytest

from sparsefire.convergence.bounds import planning
from sparsefire.convergence.bounds.planning import Plan, plan
from sparsefire.convergence.exact.risk import exact_risk
from sparsefire.convergence.simulation.simulate import simulate_risk
from sparsefire.errors import UserError


def risk_of(advice: Plan, samples: int) -> np.ndarray:
    steps = advice.step_size()
    return exact_risk(
        advice.update,
        advice.problem,
        steps=samples,
        step_size=steps if callable(steps) else steps[:samples],
        of=advice.of,
    )


CASES = [
    {"rule": "sgd", "risk": 0.01, "dimension": 10},
    {"rule": "forward-gradient", "risk": 0.05, "dimension": 10, "law": "rademacher"},
    {"rule": "forward-gradient", "risk": 0.05, "dimension": 4, "directions": 3, "design": "student"},
    {"rule": "forward-gradient", "risk": 0.05, "dimension": 3, "covariance": [1.0, 2.0, 5.0]},
    {"rule": "forward-gradient", "risk": 0.05, "dimension": 5, "repeats": 5},
    {"rule": "forward-gradient", "risk": 0.05, "dimension": 20, "active": 4, "mask": 4},
    {"rule": "forward-gradient", "risk": 0.02, "dimension": 8, "rank": 2, "of": "prediction"},
    {"rule": "node-perturbation", "risk": 0.05, "dimension": 5, "outputs": 3, "noise": 0.5},
    {"rule": "two-query", "risk": 1e-4, "dimension": 6, "noise": 0.0},
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_the_risk_is_reached_at_the_last_sample_and_not_before(case: dict) -> None:
    advice = plan(**case)
    path = risk_of(advice, advice.samples)
    assert path[-1] <= case["risk"] < path[-2]
    assert advice.queries == advice.samples * advice.update.queries
    back = plan(**{**case, "risk": None}, samples=advice.samples)
    assert back.risk <= case["risk"] * (1 + 1e-9)
    assert back.risk == pytest.approx(case["risk"], rel=0.02)


@pytest.mark.parametrize(
    "case",
    [CASES[0], CASES[3], {"rule": "forward-gradient", "risk": 0.05, "dimension": 10}],
    ids=["sgd", "covariance", "forward-gradient"],
)
def test_the_oracle_needs_fewer_samples_and_its_steps_are_told(case: dict) -> None:
    harmonic, oracle = plan(**case), plan(**case, schedule="oracle")
    greedy = 1.03 if "covariance" in case else 1.0  # best for the next step, which is best for all where Q = I only
    assert 0.9 * harmonic.samples < oracle.samples <= greedy * harmonic.samples
    assert len(oracle.step_size()) == oracle.samples
    assert risk_of(oracle, oracle.samples)[-1] <= case["risk"] < risk_of(oracle, oracle.samples)[-2]
    assert plan(**{**case, "risk": None}, samples=oracle.samples, schedule="oracle").risk <= case["risk"]


def test_tuning_beats_every_other_factor() -> None:
    advice = plan(risk=0.02, dimension=10)
    for factor in (0.6, 0.8, 1.5, 3.0):
        path = exact_risk(
            "forward-gradient", dimension=10, steps=advice.samples, step_size=lambda k, c=factor: c / (k + 144 * c)
        )
        assert path[-1] >= 0.02 * (1 - 1e-3)


def test_samples_grow_with_the_square_of_the_dimension() -> None:
    few, many = (plan(risk=0.01, dimension=d).samples for d in (10, 40))
    assert many / few == pytest.approx(40 * 42 / 120, rel=0.05)
    assert plan(risk=0.01, dimension=40, active=10, mask=10).samples == pytest.approx(few, rel=0.01)


def test_the_ratio_to_the_bound_goes_to_the_known_constants() -> None:
    assert plan(risk=1e-4, dimension=5, rule="sgd").ratio == pytest.approx(1, abs=0.01)
    assert plan(risk=1e-3, dimension=5).ratio == pytest.approx(7, rel=0.02)
    advice = plan(risk=2e-3, dimension=5, rule="one-query", law="rademacher", baseline="previous")
    assert advice.ratio == pytest.approx(2, rel=0.05)
    assert not advice.exact
    assert math.isnan(plan(risk=0.1, dimension=5, noise=0.0).ratio)
    atoms = plan(risk=0.1, dimension=5, rule="one-query", law="rademacher", design="rademacher", noise_law="two-point")
    assert atoms.reference is None


@pytest.mark.parametrize(
    ("dimension", "start", "baseline", "law", "design", "noise_law"),
    [
        (5, 1.0, "none", "rademacher", "normal", "normal"),
        (5, 4.0, "mean", "normal", "sparse", "laplace"),
        (10, 1.0, "previous", "rademacher", "normal", "two-point"),
    ],
)
def test_a_plan_for_one_query_comes_true(
    dimension: int, start: float, baseline: str, law: str, design: str, noise_law: str
) -> None:
    advice = plan(
        rule="one-query", risk=0.2, dimension=dimension, start=start, baseline=baseline, law=law, design=design,
        noise_law=noise_law,
    )  # fmt: skip
    estimate = simulate_risk(
        advice.update, advice.problem, steps=advice.samples, step_size=advice.step_size(), runs=1000, rng=0, record=[1]
    )
    assert estimate.mean()[-1] == pytest.approx(0.2, abs=0.02 + 4 * estimate.standard_error()[-1])


def test_the_oracle_for_one_query_comes_true() -> None:
    advice = plan(rule="one-query", risk=0.2, dimension=5, law="rademacher", baseline="mean", schedule="oracle")
    estimate = simulate_risk(
        advice.update, advice.problem, steps=advice.samples, step_size=advice.step_size(), runs=1000, rng=0, record=[1]
    )
    assert estimate.mean()[-1] == pytest.approx(0.2, abs=0.03 + 4 * estimate.standard_error()[-1])


def test_changes_are_plans_of_their_own() -> None:
    advice = plan(risk=0.05, dimension=12, active=3)
    changes = {change.what: change.samples for change in advice.changes()}
    assert set(changes) == {"sgd: gradients are seen", "law='rademacher'", "directions=12", "repeats=12", "mask=3"}
    assert changes["sgd: gradients are seen"] == plan(risk=0.05, dimension=12, active=3, rule="sgd").samples
    assert changes["directions=12"] == plan(risk=0.05, dimension=12, directions=12).samples
    assert changes["repeats=12"] == pytest.approx(plan(risk=0.05, dimension=12, repeats=12).samples, rel=0.2)
    one = plan(risk=0.2, dimension=5, rule="one-query", law="rademacher")
    reads = {change.what: change.reads for change in one.changes()}
    assert reads["sgd: gradients are seen"] == "gradients"
    assert reads["baseline='mean'"] == reads["two-query, no baseline"] == "losses"


def test_queries_are_told_by_their_kind() -> None:
    """A gradient, a slope and a loss are no numbers of one kind."""
    kinds = {"sgd": "gradients", "forward-gradient": "slopes", "two-query": "losses", "one-query": "losses"}
    for rule, kind in kinds.items():
        advice = plan(risk=0.3, dimension=3, rule=rule)
        assert advice.reads == kind
        assert f"{advice.queries:,} {kind}" in str(advice)
    first, *others = plan(risk=0.3, dimension=3, rule="two-query").changes()
    assert str(first).endswith(f"{first.samples:,} gradients")
    assert {one.reads for one in others} == {"losses"}
    assert {one.queries // one.samples for one in others} == {2, 6}


def test_printing_a_plan_tunes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    advice = plan(risk=0.1, dimension=6)
    before = str(advice)

    def fail(*given: object, **named: object) -> None:
        raise AssertionError("a plan was made")

    for name in ("_to_risk", "_with_budget", "_tuned", "_Recursion"):
        monkeypatch.setattr(planning, name, fail)
    assert str(advice) == before
    with pytest.raises(AssertionError, match="was made"):
        advice.changes()


def test_a_plan_reads_well() -> None:
    text = str(plan(risk=0.1, dimension=6, rule="two-query", law="rademacher"))
    for said in ("two-query, dimension 6", "0.1 of parameters (from 1; exact", "losses (2 per sample)", "α_k = "):
        assert said in text
    assert "oracle" in str(plan(risk=0.1, dimension=6, schedule="oracle"))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({}, "one target"),
        ({"risk": 0.1, "samples": 10}, "one target"),
        ({"risk": 0.0}, "risk is no such number"),
        ({"risk": -1.0}, "risk is no such number"),
        ({"risk": 1.0}, "risk is no such number"),
        ({"risk": "low"}, "risk is no such number"),
        ({"risk": float("nan")}, "risk is no such number"),
        ({"risk": 0.1, "dimension": 0}, "dimension"),
        ({"risk": 0.1, "rule": "magic"}, "rule"),
        ({"risk": 0.1, "rule": "hebbian"}, "no constant"),
        ({"risk": 0.1, "schedule": "hope"}, "schedule"),
        ({"risk": 0.1, "of": "hope"}, "of"),
        ({"risk": 0.1, "magic": 1}, "no option"),
        ({"samples": 0}, "samples"),
        ({"samples": 10**9}, "samples"),
        ({"queries": 1, "rule": "two-query"}, "one sample"),
        ({"risk": 1e-6, "most": 1000}, "not reached"),
        ({"risk": 0.1, "rank": 1, "most": 10_000}, "not reached"),
    ],
)
def test_wrong_input_is_told(given: dict, match: str) -> None:
    with pytest.raises(UserError, match=match):
        plan(**{"dimension": 4, **given})

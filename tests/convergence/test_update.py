"""The update: its options, and how a call's keywords become problem and update."""

import numpy as np
import pytest
from scipy import stats

from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.simulation.simulate import simulate_risk
from sparsefire.convergence.update import LAWS, RULES, Update, read
from sparsefire.errors import UserError


def test_queries_count_losses_or_slopes():
    assert [Update(rule).queries for rule in RULES] == [1, 1, 2, 1, 1, 1, 1]
    assert Update("forward-gradient", directions=5).queries == 5
    assert Update("two-query", repeats=3).queries == 6


def test_directions_have_unit_variance_and_the_kurtosis_of_scipys_laws():
    for law in LAWS:
        found = Update("forward-gradient", law=law).directions_fourth(1)
        if law in ("normal", "uniform"):
            expected = float(getattr(stats, {"normal": "norm"}.get(law, law)).stats(moments="k")) + 3
        else:
            expected = 1.0  # ±1 in one dimension
        assert found.twice + found.trace + found.diagonal == pytest.approx(expected)


def test_keywords_are_sorted_into_problem_and_update():
    problem, update = read(
        "forward-gradient", None, {"dimension": 3, "noise": 0.5, "law": "sphere", "design": "sphere"}
    )
    assert (problem.dimension, problem.noise, problem.design, update.law) == (3, 0.5, "sphere", "sphere")
    given = LinearRegression(4)
    assert read("sgd", given, {})[0] is given
    chosen = Update("sgd")
    assert read(chosen, None, {"dimension": 2})[1] is chosen
    assert read("forward-gradient", given, {"mask": 4})[1].mask == 4


@pytest.mark.parametrize(
    ("rule", "given", "message"),
    [
        ("adam", {}, "no rule 'adam'"),
        ("forward-gradient", {"law": "cauchy"}, "no law"),
        ("one-query", {"baseline": "median"}, "no baseline"),
        ("forward-gradient", {"directions": 0}, "directions"),
        ("forward-gradient", {"repeats": 1.5}, "repeats"),
        ("forward-gradient", {"mask": 0}, "mask"),
        ("one-query", {"radius": 0.0}, "radius"),
        ("one-query", {"radius": np.nan}, "radius"),
        ("one-query", {"radius": "wide"}, "radius"),
        ("one-query", {"memory": 0.0}, "memory"),
        ("one-query", {"memory": "long"}, "memory"),
        ("sgd", {"baseline": "mean"}, "no baseline and no reward"),
        ("two-query", {"reward": ([0, 1], [0, 1])}, "no baseline and no reward"),
        ("sgd", {"directions": 2}, "no directions"),
        ("sgd", {"repeats": 2}, "no directions"),
        ("forward-gradient", {"directions": 2, "repeats": 2}, "exclude"),
        ("hebbian", {"law": "rademacher"}, "shifts of hebbian are uniform"),
        ("hebbian", {"law": "sphere"}, "shifts of hebbian are uniform"),
        ("sgd", {"law": "rademacher"}, "sgd has no law"),
        ("sgd", {"radius": 0.5}, "sgd has no radius"),
        ("forward-gradient", {"radius": 0.5}, "forward-gradient has no radius"),
        ("node-perturbation", {"radius": 0.5}, "node-perturbation has no radius"),
        ("sgd", {"memory": 0.5}, "sgd has no memory"),
        ("forward-gradient", {"memory": 0.5}, "forward-gradient has no memory"),
        ("two-query", {"memory": 0.5}, "two-query has no memory"),
    ],
)
def test_bad_updates_are_named(rule, given, message):
    with pytest.raises(UserError, match=message):
        Update(rule, **given)


def test_defaults_are_options_of_every_rule():
    for rule in RULES:
        found = Update(rule, law="normal", radius=None, memory=0.02, baseline="none")
        assert (found.law, found.radius, found.memory) == ("normal", None, 0.02)
    assert Update("hebbian", law="uniform", radius=0.5).radius == 0.5
    assert Update("two-query", law="rademacher", radius=0.5).radius == 0.5


def test_the_default_radius_counts_the_coordinates_that_are_perturbed():
    call = dict(dimension=8, mask=2, noise=0.6, steps=20, step_size=0.01, runs=3, rng=0)
    found, masked, whole = (
        simulate_risk("one-query", radius=radius, **call).values
        for radius in (None, 0.6 / np.sqrt(2), 0.6 / np.sqrt(8))
    )
    np.testing.assert_array_equal(found, masked)
    assert not np.allclose(found, whole)


@pytest.mark.parametrize(
    ("rule", "problem", "given", "message"),
    [
        ("sgd", None, {}, "no problem"),
        ("sgd", None, {"dimension": 3, "speed": 2}, "no option 'speed'"),
        ("sgd", LinearRegression(3), {"dimension": 3}, "problem is told twice"),
        (Update("sgd"), LinearRegression(3), {"law": "normal"}, "rule is told twice"),
        ("sgd", LinearRegression(3), {"mask": 4}, "from 1 to 3"),
        ("sgd", 3, {}, "problem is no LinearRegression"),
        ("sgd", {"dimension": 3}, {}, "problem is no LinearRegression"),
        ("forward-gradient", None, {"dimension": 3, "outputs": 2}, "weight-perturbation"),
        ("one-query", None, {"dimension": 3, "outputs": 2}, "one output"),
    ],
)
def test_bad_calls_are_named(rule, problem, given, message):
    with pytest.raises(UserError, match=message):
        read(rule, problem, given)

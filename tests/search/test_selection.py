"""Oracles: the procedure as written (gate, walk, verdict table), small cases by hand, simulation of the level."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsefire.errors import UserError
from sparsefire.search.selection import (
    Candidate,
    Gate,
    Walk,
    bound_of,
    confirm,
    constant_prediction,
    default_margin,
    gate,
    retained_margin,
    state_of,
    why_not,
)
from sparsefire.statistics import (
    CrossedBound,
    accuracy_difference,
    cautions,
    crossed_bound,
    crossed_bound_auc,
    delong,
    r2_difference,
    r2_differences,
    tango,
)

OPEN = Gate(True, 0.3, 0.2, 0.01)
WINNER = Candidate("gmp@0.1", "gmp", 0.1, 100)


def chains(**sizes):
    return {method: [Candidate(f"{method}@{w}", method, None, w) for w in weights] for method, weights in sizes.items()}


def bound(lower, level, estimate=0.0):
    return CrossedBound(estimate, lower, 2 * estimate - lower, level, 500, 5, None, 1e-4, 1e-4, 20.0)


def test_level_is_shared_between_methods():
    walk = Walk(chains(a=[3, 2], b=[3, 2], c=[3, 2]), 0.01)
    assert walk.level_each == pytest.approx(0.05 / 3)
    assert {method: candidate.name for method, candidate in walk.pending().items()} == {
        "a": "a@3",
        "b": "b@3",
        "c": "c@3",
    }


def test_a_method_stops_at_its_first_failure_and_the_others_go_on():
    walk = Walk(chains(a=[30, 20, 10], b=[25, 5]), 0.01)
    each = walk.level_each
    assert walk.record("a@30", bound(-0.005, each)) == "passed"
    assert walk.record("a@20", bound(-0.01, each)) == "stopped"  # the bound must exceed the margin, not meet it
    assert set(walk.pending()) == {"b"}
    assert [walk.outcome(name) for name in ("a@30", "a@20", "a@10", "b@25")] == [
        "passed",
        "stopped",
        "not-tested",
        "not-tested",
    ]
    walk.record("b@25", bound(-0.002, each))
    assert walk.winner().name == "b@25"
    walk.record("b@5", bound(-0.5, each))
    assert walk.pending() == {}
    assert walk.winner().name == "b@25"


def test_a_tie_in_weights_goes_to_the_larger_lower_bound():
    walk = Walk(chains(a=[10], b=[10], c=[11]), 0.01)
    for name, lower in (("a@10", -0.008), ("b@10", -0.003), ("c@11", 0.5)):
        walk.record(name, bound(lower, walk.level_each))
    assert walk.winner().name == "b@10"


def test_nothing_passes():
    walk = Walk(chains(a=[10, 5]), 0.01)
    walk.record("a@10", bound(-0.2, 0.05))
    assert walk.winner() is None


def test_weights_may_be_told_when_recorded():
    walk = Walk({"a": [Candidate("x", "a"), Candidate("y", "a")]}, 0.01)
    with pytest.raises(UserError, match="weights"):
        walk.record("x", bound(0.0, 0.05))
    assert walk.outcome("x") == "not-tested"
    walk.record("x", bound(0.0, 0.05), weights=70)
    walk.record("y", bound(0.0, 0.05), weights=40)
    assert walk.winner().name == "y"


def test_too_few_groups_never_pass():
    values = np.random.default_rng(0).normal(1.0, 0.01, size=(90, 5))
    walk = Walk(chains(a=[10]), 0.01)
    assert walk.record("a@10", crossed_bound(values, clusters=np.arange(90) // 10)) == "stopped"


@pytest.mark.parametrize(
    ("before", "name", "word"),
    [
        (["a@3"], "a@3", "already recorded"),
        ([], "a@2", "not due"),
        ([], "zz", "unknown"),
        (["a@3", "a@2"], "a@2", "already recorded"),
    ],
)
def test_recording_twice_or_out_of_order_raises(before, name, word):
    walk = Walk(chains(a=[3, 2]), 0.01)
    for earlier in before:
        walk.record(earlier, bound(0.0, 0.05))
    with pytest.raises(UserError, match=word):
        walk.record(name, bound(0.0, 0.05))


def test_a_stopped_method_takes_no_second_try():
    walk = Walk(chains(a=[3, 2]), 0.01)
    walk.record("a@3", bound(-1.0, 0.05))
    for name in ("a@3", "a@2"):
        with pytest.raises(UserError):
            walk.record(name, bound(0.0, 0.05))


def test_a_bound_at_another_level_is_refused():
    walk = Walk(chains(a=[3], b=[3]), 0.01)
    with pytest.raises(UserError, match="another level"):
        walk.record("a@3", bound(0.0, 0.05))


@pytest.mark.parametrize(
    ("given", "margin"),
    [
        ({}, 0.01),
        ({"a": []}, 0.01),
        (chains(a=[2, 3]), 0.01),
        (chains(a=[3]), 0.0),
        (chains(a=[3]), np.nan),
        ({"a": [WINNER], "b": [WINNER]}, 0.01),
    ],
)
def test_walks_that_make_no_sense(given, margin):
    with pytest.raises(UserError):
        Walk(given, margin)


@given(st.lists(st.lists(st.floats(-0.03, 0.01), min_size=1, max_size=5), min_size=1, max_size=4))
def test_outcomes_do_not_depend_on_the_order_of_training(lowers):
    given_chains = {
        f"m{j}": [Candidate(f"m{j}-{i}", f"m{j}", None, 100 - i) for i in range(len(ls))] for j, ls in enumerate(lowers)
    }
    found = []
    for turn in (1, -1):
        walk = Walk(given_chains, 0.01)
        while walk.pending():
            method, candidate = list(walk.pending().items())[::turn][0]
            j, i = int(method[1:]), int(candidate.name.split("-")[1])
            walk.record(candidate.name, bound(lowers[j][i], walk.level_each))
        found.append({c.name: walk.outcome(c.name) for chain in given_chains.values() for c in chain})
    assert found[0] == found[1]
    for j, ls in enumerate(lowers):
        passing = next((i for i, low in enumerate(ls) if not low > -0.01), len(ls))
        expected = ["passed"] * passing + ["stopped"] * (passing < len(ls))
        expected += ["not-tested"] * (len(ls) - len(expected))
        assert [found[0][f"m{j}-{i}"] for i in range(len(ls))] == expected


def test_familywise_level_with_every_candidate_at_the_margin():
    rng, sets, margin, false = np.random.default_rng(1), 400, 0.05, 0
    for _ in range(sets):
        dense = rng.normal(size=(60, 1)) * 0.3 + rng.normal(size=(60, 4)) * 0.2  # shared by all candidates
        walk = Walk(chains(a=[4, 3, 2], b=[4, 3, 2], c=[4, 3, 2]), margin)
        while walk.pending():
            for candidate in walk.pending().values():
                small = rng.normal(size=(60, 1)) * 0.3 + rng.normal(size=(60, 4)) * 0.2 - margin
                walk.record(candidate.name, crossed_bound(small - dense, level=walk.level_each, factor=1.0))
        false += walk.winner() is not None
    assert false / sets <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / sets)


def test_bounds_by_score():
    rng = np.random.default_rng(2)
    y = rng.integers(0, 3, 120)
    small, dense = rng.integers(0, 3, (120, 4)), rng.integers(0, 3, (120, 4))
    right = (small == y[:, None]) * 1.0 - (dense == y[:, None])
    groups = np.arange(120) // 3
    assert bound_of("accuracy", y, small, dense, level=0.02, clusters=groups) == crossed_bound(
        right, level=0.02, clusters=groups
    )
    value, p, q = rng.normal(size=120), rng.normal(size=(120, 4)), rng.normal(size=(120, 4))
    assert bound_of("r2", value, p, q, level=0.05) == crossed_bound(r2_differences(value, p, q))
    assert bound_of("auc", y > 0, p, q, level=0.05, folds=5) == crossed_bound_auc(y > 0, p, q, folds=5)
    with pytest.raises(UserError):
        bound_of("loss", y, small, dense, level=0.05)


def test_gate_blocks_noise_and_opens_for_signal():
    rng, passes = np.random.default_rng(3), 0
    for _ in range(300):
        y = (rng.random(150) < 0.6).astype(int)
        dense = (rng.random((150, 5)) < 0.7).astype(int)
        passes += gate("accuracy", y, dense, np.ones(150), margin=0.02).passed
    assert passes == 0
    y = rng.integers(0, 2, 300)
    dense = np.where(rng.random((300, 5)) < 0.9, y[:, None], 1 - y[:, None])
    found = gate("accuracy", y, dense, np.ones((300, 1)), margin=0.1)
    assert found.passed
    assert found.threshold == pytest.approx(0.1)
    assert found.lower == crossed_bound((dense == y[:, None]) * 1.0 - (y[:, None] == 1)).lower
    assert not gate("accuracy", y, dense, np.ones(300), margin=0.5).passed
    with pytest.raises(UserError):
        gate("accuracy", y, dense, np.ones(299), margin=0.05)


def test_a_gate_on_few_groups_stays_shut():
    y = np.arange(90) % 2
    dense = np.tile(y[:, None], 5)
    assert gate("accuracy", y, dense, np.zeros(90), margin=0.01).passed
    assert not gate("accuracy", y, dense, np.zeros(90), margin=0.01, clusters=np.arange(90) // 10).passed


def test_constants_by_score():
    assert constant_prediction("accuracy", np.array([3, 1, 3])) == 3
    assert constant_prediction("auc", np.array([0, 1, 1, 1])) == 0.75
    assert constant_prediction("r2", np.array([1.0, 2.0])) == 1.5


def test_margins():
    assert [default_margin(n) for n in (50, 200, 1000)] == [0.04, 0.01, 0.01]
    assert retained_margin(0.9, 0.8, 0.6) == pytest.approx(0.02)
    assert retained_margin(0.9, 0.5, 0.6) == 0.0
    for call in (lambda: default_margin(0), lambda: retained_margin(1.0, 0.8, 0.6)):
        with pytest.raises(UserError):
            call()


def test_confirmation_by_score():
    rng = np.random.default_rng(4)
    y, a, b = rng.integers(0, 2, 200), rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    assert confirm("accuracy", y, a, b, margin=0.02) == accuracy_difference(a == y, b == y, margin=0.02)
    p, q = rng.random(200) + y, rng.random(200) + y
    assert confirm("auc", y, p, q, margin=0.02, level=0.1) == delong(y, p, q, margin=0.02, level=0.1)
    assert confirm("r2", p, q, p**2, margin=0.02) == r2_difference(p, q, p**2, margin=0.02)


@pytest.mark.parametrize(
    ("shut", "winner", "test", "state", "reason"),
    [
        (True, WINNER, None, "no-network-needed", "constant"),
        (False, None, None, "nothing-passed", "no evidence that small is worse"),
        (False, WINNER, None, "not-confirmable", "no test rows"),
        (False, WINNER, tango(0, 0, 400, margin=0.01), "confirmed", None),
        (False, WINNER, tango(4, 2, 360, margin=0.01), "not-confirmable", "360 test rows are too few"),
        (False, WINNER, tango(30, 20, 5000, margin=0.01), "confirmed", None),
        (False, WINNER, tango(85, 45, 5000, margin=0.01), "not-confirmed", "5,000 rows were enough"),
        (False, WINNER, tango(60, 2, 1000, margin=0.01), "contradicted", "Do not use"),
        (False, WINNER, tango(20, 0, 150, margin=0.01), "contradicted", "Do not use"),
    ],
)
def test_states(shut, winner, test, state, reason):
    door = replace(OPEN, passed=not shut)
    assert state_of(door, winner, test) == state
    told = why_not(door, winner, test)
    assert told is None if reason is None else reason in told


def test_few_positives_are_not_confirmable_with_their_reason():
    rng = np.random.default_rng(5)
    y = np.array([1] * 12 + [0] * 300)
    x = rng.normal(size=312) + y
    test = delong(y, x, x + 0.05 * rng.normal(size=312), margin=0.2)
    assert test.lower > -0.2
    assert state_of(OPEN, WINNER, test) == "not-confirmable"
    assert why_not(OPEN, WINNER, test).startswith(cautions.FEW_POSITIVES)

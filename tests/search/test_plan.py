"""Oracles: the words of the plan by hand; invariants over efforts and sizes."""

from __future__ import annotations

import pytest

from sparsefire.search.candidates import BOOSTING, DENSE, Candidate
from sparsefire.search.plan import PATIENCE, Size, cut, everyone, make_plan, rows_of_plan, share_of_budget, total_cost
from sparsefire.search.request import EFFORTS, Request

SIZE = Size(rows=1_000, features=20, outputs=2, weights=10_000, work=10_000)


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("rows", [50, 1_000, 10_000, 100_000])
def test_plans_of_all_sizes_are_possible(effort, rows):
    plan = make_plan(Request(effort), Size(rows, 30, 2, 10_000, 10_000), rows // 4)
    assert plan.folds >= 2
    assert plan.rounds >= 2
    assert plan.epochs >= 1
    assert 1 <= plan.batch <= max(8, rows)
    assert plan.margin == max(0.01, 2 / (rows // 4))
    assert total_cost(plan, Size(rows, 30, 2, 10_000, 10_000)) > 0


def test_what_is_given_stands():
    given = Request("thorough", folds=4, rounds=6, epochs=3, margin=0.07, densities=[0.3], methods=["lrr"])
    plan = make_plan(given, SIZE, 250)
    assert (plan.folds, plan.rounds, plan.epochs, plan.margin) == (4, 6, 3, 0.07)
    assert (plan.densities, plan.methods) == ((0.3,), ("lrr",))


def test_more_effort_is_more_work():
    costs = [total_cost(make_plan(Request(effort), SIZE, 250), SIZE) for effort in EFFORTS]
    assert costs == sorted(costs)


def test_retain_leaves_the_margin_open():
    plan = make_plan(Request("quick", retain=0.95), SIZE, 250)
    assert plan.margin is None
    assert plan.retain == 0.95


def test_everyone_comes_once_and_boosting_runs_one_round():
    plan = make_plan(Request("quick", rule="forward-gradient"), SIZE, 250)
    ids = [c.id for c in everyone(plan)]
    assert len(ids) == len(set(ids))
    assert {"dense", "linear", "boosting", "backprop"} <= set(ids)
    assert plan.rounds_of(BOOSTING) == 1
    assert plan.rounds_of(DENSE) == plan.rounds


def test_the_yardstick_of_another_rule_learns_by_backprop():
    plan = make_plan(Request("quick", rule="forward-gradient"), SIZE, 250)
    assert plan.training(Candidate("backprop", "backprop", "backprop")).rule == "backprop"
    assert plan.training(DENSE).rule == "forward-gradient"


def test_dense_and_narrow_are_trained_as_long_as_the_sparse_ones():
    plan = make_plan(Request("standard"), SIZE, 250)
    narrow = Candidate("narrow@0.1", "narrow", "narrow", 0.1)
    epochs = {plan.training(c).epochs for c in (DENSE, narrow, *everyone(plan)) if c.kind != "linear"}
    assert epochs == {plan.epochs}
    assert plan.training(narrow).density == 1.0


def test_a_plan_within_its_limit_is_not_cut():
    plan = make_plan(Request("thorough"), SIZE, 250)
    assert cut(plan, 1.0, frozenset()) == plan
    assert cut(plan, PATIENCE, frozenset(), PATIENCE) == plan
    assert cut(plan, PATIENCE, frozenset()) != plan


@pytest.mark.parametrize("effort", ["quick", "standard", "thorough"])
def test_a_cut_plan_is_within_its_budget(effort):
    images = Size(60_000, 784, 10, 266_200, 266_200)
    plan = make_plan(Request(effort), images, 10_000)
    shorter = cut(plan, share_of_budget(plan, images), frozenset())
    assert share_of_budget(shorter, images) <= 1
    assert (shorter == plan) == (share_of_budget(plan, images) <= 1)


def test_cutting_keeps_what_was_given():
    plan = make_plan(Request("standard"), SIZE, 250)
    kept = cut(plan, 1e6, frozenset({"rounds", "densities", "methods"}))
    assert (kept.rounds, kept.folds, kept.densities, kept.methods) == (
        plan.rounds, plan.folds, plan.densities, plan.methods,
    )  # fmt: skip
    everything = cut(plan, 1e6, frozenset())
    assert (everything.rounds, everything.folds) == (3, plan.folds)
    assert set(everything.densities) < set(plan.densities)
    assert everything.methods == plan.methods[:1]


def test_the_table_counts_every_run_once():
    plan = make_plan(Request("quick"), SIZE, 250)
    table = rows_of_plan(plan, SIZE, workers=2)
    assert sum(row["runs"] for row in table) == sum(plan.folds * plan.rounds_of(c) for c in everyone(plan))
    assert sum(row["seconds"] for row in table) == pytest.approx(total_cost(plan, SIZE) / 2)

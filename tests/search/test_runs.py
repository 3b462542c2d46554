"""Oracles: the definition of a run (key, rows, arrays), closed forms, scikit-learn's scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sparsefire.data import problem_from_arrays
from sparsefire.errors import Diverged
from sparsefire.rules import Backprop
from sparsefire.rules.call import finite
from sparsefire.search import runs
from sparsefire.search.candidates import BOOSTING, DENSE, LINEAR, Candidate
from sparsefire.search.plan import Size, make_plan
from sparsefire.search.request import Request
from sparsefire.search.runs import FINAL, Job, Study, execute, fold_rows, interpret, rows_of, safe_score, settings_of
from sparsefire.studies import Store, key_of
from sparsefire.train.loop import steps_of


@pytest.fixture
def study(small):
    X, y = small.blobs()
    request = Request("quick", folds=2, rounds=2, epochs=20, densities=[0.5], margin=0.2)
    plan = make_plan(request, Size(128, 3, 2, 40, 40), 32)
    return Study(problem_from_arrays(X, y), plan, {"kind": "mlp", "hidden": [8]}, 5)


def key(study, job):
    return key_of(settings_of(study, job))


JOB = Job(Candidate("gmp@0.5", "sparse", "gmp", 0.5), 0, 0)


@pytest.mark.parametrize(
    "change",
    [{"epochs": 4}, {"folds": 3}, {"batch": 9}, {"rule": "forward-gradient"}, {"rates": 2}],
    ids=str,
)
def test_the_key_changes_with_what_decides_a_run(study, change):
    assert key(study, JOB) != key(replace(study, plan=replace(study.plan, **change)), JOB)


@pytest.mark.parametrize("change", [{"margin": 0.1}, {"level": 0.1}, {"densities": (0.5, 0.1)}, {"methods": ("lrr",)}])
def test_the_key_does_not_change_with_the_decision(study, change):
    assert key(study, JOB) == key(replace(study, plan=replace(study.plan, **change)), JOB)


def test_the_key_changes_with_rng_data_architecture_and_place(study, small):
    others = [
        key(replace(study, rng=6), JOB),
        key(replace(study, base={"kind": "mlp", "hidden": [9]}), JOB),
        key(replace(study, problem=problem_from_arrays(*small.blobs(rng=1))), JOB),
        key(study, replace(JOB, round=1)),
        key(study, replace(JOB, fold=1)),
        key(study, replace(JOB, candidate=DENSE)),
        key(study, JOB),
    ]
    assert len(set(others)) == len(others)


def test_folds_hold_every_development_row_out_once(study):
    development, test = runs.test_split(study)
    assert sorted([*development, *test]) == list(range(160))
    for number in range(2):
        parts = fold_rows(study, number)
        assert sorted(np.concatenate([held for _, held in parts])) == sorted(development)
        assert all(not set(train) & set(held) for train, held in parts)
    assert any(
        not np.array_equal(a[1], b[1]) for a, b in zip(fold_rows(study, 0), fold_rows(study, 1), strict=True)
    )  # rounds draw their own
    train, seen = rows_of(study, Job(DENSE, FINAL, 0))
    assert np.array_equal(train, development)
    assert np.array_equal(seen, test)


@pytest.mark.parametrize("candidate", [DENSE, LINEAR, BOOSTING, JOB.candidate, Candidate("n", "narrow", "narrow", 0.5)])
def test_a_run_keeps_its_predictions_and_repeats_exactly(study, tmp_path, candidate):
    job = Job(candidate, 0, 1)
    stored = []
    for name in ("one", "two"):
        runs._last.clear()
        store = Store(tmp_path / name)
        stored.append(store.read(execute(study, job, store)))
    one, two = stored
    assert np.array_equal(one.arrays["rows"], rows_of(study, job)[1])
    assert one.arrays.keys() == two.arrays.keys()
    assert all(np.array_equal(one.arrays[name], two.arrays[name]) for name in one.arrays)
    truth = study.problem.target[one.arrays["rows"]]
    assert one.result["score"] == pytest.approx(np.mean(one.arrays["label"] == truth))
    assert one.result["score"] > 0.75  # a constant has 0.5
    assert len(one.metrics) == (one.result["epochs"] or 0)
    if candidate.kind == "sparse":
        assert one.result["weights"] == round(0.5 * (3 * 8 + 8 * 2))


def test_a_refit_keeps_the_network_and_its_preparation(study, tmp_path):
    store = Store(tmp_path)
    found = store.read(execute(study, Job(DENSE, FINAL, 0), store))
    assert any(name.startswith("state.") for name in found.arrays)
    assert any(name.startswith("prep.") for name in found.arrays)
    assert found.result["rows_train"] == len(runs.test_split(study)[0])


@pytest.mark.parametrize("outputs", [np.array([[-2.0], [0.5]]), np.array([[1.0, -1.0], [0.25, 0.75]])])
def test_one_logit_and_two_say_the_same(study, outputs):
    found = interpret(study.problem, outputs, None)
    assert found["label"].tolist() == [0, 1]
    logits = outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, 1] - outputs[:, 0]
    assert found["probability"] == pytest.approx(1 / (1 + np.exp(-logits)))


def test_regression_is_put_back_into_its_units(small):
    X, _ = small.blobs(rows=40)
    problem = problem_from_arrays(X, X[:, 0] * 7 + 0.123)
    assert interpret(problem, np.array([[0.0], [2.0]]), (10.0, 3.0))["value"].tolist() == [10.0, 16.0]


def test_scores_of_a_fold_are_none_where_they_do_not_exist():
    assert safe_score("auc", np.ones(3), np.array([0.1, 0.2, 0.3])) is None
    assert safe_score("r2", np.ones(3), np.array([0.1, 0.2, 0.3])) is None
    target, chance = np.array([0, 1, 1, 0]), np.array([0.2, 0.9, 0.3, 0.3])
    assert safe_score("auc", target, chance) == pytest.approx(roc_auc_score(target, chance))


class Stops(Backprop):
    """A rule that meets NaN after five steps."""

    def __call__(self, net, loss_fn, x, y):
        loss = super().__call__(net, loss_fn, x, y)
        return finite(loss * float("nan") if self.budget.calls > 5 else loss, self.budget)


def test_a_training_that_diverges_is_a_bad_one_and_no_end(study):
    """Back-propagation that diverges leaves NaN, whose outputs count as 0; a rule that stops at NaN leaves the same."""
    x, y = study.problem.select(np.arange(40)).astype("float32").reshape(40, -1), study.problem.target[:40]
    training = study.plan.training(JOB.candidate, 1.0)
    net, _ = runs._network(study, JOB.candidate, x, y, training, 0, rule=Stops())
    assert not runs.outputs_of(net, x).any()
    assert all(p[p != 0].isnan().all() for p in net.parameters())


def test_the_last_training_may_not_diverge(study, monkeypatch):
    monkeypatch.setattr(runs, "rule_of", lambda training, rng: Stops())
    last = Job(DENSE, FINAL, 0)
    with pytest.raises(Diverged, match="not a number"):
        runs.fit(study, last, *rows_of(study, last))


@pytest.mark.parametrize(("rule", "asked"), [("backprop", None), ("two-query", 8), ("spsa", 8)])
def test_every_epoch_tells_the_losses_read_by_then(study, rule, asked):
    study = replace(study, plan=replace(study.plan, rule=rule, epochs=3, directions=4))
    job = Job(DENSE, 0, 0)
    train_rows, seen_rows = rows_of(study, job)
    found = runs.fit(study, job, train_rows, seen_rows)
    steps = steps_of(replace(study.plan.training(DENSE), epochs=1), len(train_rows))
    assert [entry["epoch"] for entry in found.curve] == [1, 2, 3]
    assert [entry.get("queries") for entry in found.curve] == [asked and asked * steps * epoch for epoch in (1, 2, 3)]
    assert found.queries == (asked and asked * steps * 3)

"""Oracles: the stored predictions and files, scored again by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest

import sparsefire.search.verdict as room
from sparsefire import load_model, randomness
from sparsefire.data import problem_from_arrays, split_test
from sparsefire.report import write_report
from sparsefire.search.search import search
from sparsefire.statistics import cautions

NEEDED = {
    "format", "sparsefire", "state", "kind", "headline", "chips", "evidence", "data", "plan", "margin", "selected",
    "confirmed", "why_not", "gate", "confirmation", "candidates", "test_scores", "better_than_both", "errors", "groups",
    "warnings", "limits", "timing", "versions",
}  # fmt: skip


@pytest.fixture
def test_rows(done):
    return split_test(done.problem, randomness.stream(randomness.entropy(0), "test set"))[1]


def test_every_part_is_there_and_json_is_strict(done):
    assert set(done.verdict) >= NEEDED

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    json.loads((done.folder / "verdict.json").read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_stored_model_has_the_test_score_and_the_weights_that_are_told(done, test_rows):
    model = load_model(done.folder)
    X = np.asarray(done.problem.inputs)[test_rows]
    truth = model.labels[done.problem.target[test_rows]]
    accuracy = float((model.predict(X) == truth).mean())
    assert done.verdict["test_scores"]["chosen"]["accuracy"][0] == pytest.approx(accuracy)
    assert done.verdict["confirmation"]["score_chosen"] == pytest.approx(accuracy)
    kept = sum(int(np.count_nonzero(weight)) for weight, _ in model.layers)
    assert done.verdict["selected"]["weights"] == kept
    assert model.extra["candidate"] == done.verdict["selected"]["candidate"]


def test_the_confusion_matrix_counts_the_test_rows(done, test_rows):
    counts = np.array(done.verdict["errors"]["confusion"])
    assert counts.sum() == len(test_rows)
    assert counts.sum(axis=1).tolist() == np.bincount(done.problem.target[test_rows]).tolist()
    right = done.verdict["test_scores"]["chosen"]["accuracy"][0] * len(test_rows)
    assert np.trace(counts) == pytest.approx(right)


def test_the_difference_is_that_of_the_two_scores(done):
    test = done.verdict["confirmation"]
    assert test["difference"] == pytest.approx(test["score_chosen"] - test["score_dense"])
    assert test["lower"] <= test["difference"] <= test["upper"]
    assert (test["only_chosen"] - test["only_dense"]) / test["rows"] == pytest.approx(test["difference"])


def test_candidates_that_were_not_trained_have_no_numbers(done):
    for row in done.verdict["candidates"]:
        if row["walk"] == "not-tested" and row["kind"] != "linear":
            assert row["score"] is None
        else:
            assert row["score_low"] <= row["score"] <= row["score_high"]
        assert (row["latency_us"] is None) == (row["score"] is None or row["kind"] == "boosting")


def test_the_smallest_passer_is_chosen(done):
    passers = [row for row in done.verdict["candidates"] if row["walk"] in ("passed", "chosen")]
    [chosen] = [row for row in passers if row["walk"] == "chosen"]
    assert chosen["weights"] == min(row["weights"] for row in passers)
    assert chosen["id"] == done.verdict["selected"]["candidate"]
    assert all(row["lower"] > -done.verdict["margin"] for row in passers)
    assert done.verdict["plan"]["level_each"] == pytest.approx(0.05 / done.verdict["plan"]["chains"])


def test_costs_of_a_dense_perceptron_are_its_weights(done):
    dense = next(row for row in done.verdict["candidates"] if row["id"] == "dense")
    assert dense["weights"] == dense["macs"] == 3 * 8 + 8 * 2
    assert dense["latency_us"] > 0


def test_results_hold_the_refits_scored_on_the_test_rows(done, test_rows):
    query = "SELECT candidate, fold, rows_held_out, score FROM read_parquet(?) WHERE round = -1"
    found = duckdb.execute(query, [str(done.folder / "results.parquet")]).fetchall()
    test = done.verdict["confirmation"]
    chosen = done.verdict["selected"]["candidate"]
    assert {name for name, *_ in found} == {"dense", "linear", "boosting", chosen}
    assert {(fold, rows) for _, fold, rows, _ in found} == {(0, len(test_rows))}
    scores = {name: score for name, *_, score in found}
    assert scores["dense"] == pytest.approx(test["score_dense"])
    assert scores[chosen] == pytest.approx(test["score_chosen"])


def test_the_plan_says_how_it_came_about(done):
    plan = done.verdict["plan"]
    assert plan["margin_given"] is True
    assert plan["planned_power"]["text"]


def test_warnings_say_which_rows_they_are_about():
    walk = SimpleNamespace(bounds={"gmp@0.5": SimpleNamespace(warnings=("Few groups (12): approximate.",))})
    winner, test = SimpleNamespace(name="gmp@0.5"), SimpleNamespace(warnings=("Few groups (11): approximate.",))
    found = room._warnings(walk, None, winner, None, test)
    assert found == ["Few groups (12): approximate.", "On the test rows: Few groups (11): approximate."]
    assert cautions.fired(found, cautions.FEW_GROUPS)
    assert room._warnings(walk, None, winner, "No such score.", None)[1] == "On the test rows: No such score."


def odd_test_rows(score):
    """Easy data whose own test rows do not define the test: a constant target, one positive, one cluster."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 3))
    if score == "r2":
        y = x[:, 0] + 0.05 * generator.normal(size=200)
        y[160:] = 1.0
        problem = problem_from_arrays(x, y, task="regression")
    else:
        y = (x[:, 0] > 0).astype(int)
        y[160:] = 0
        y[160] = 1
        problem = problem_from_arrays(x, y, score=score)
    if score == "accuracy":
        problem = replace(problem, cluster=np.minimum(np.arange(200) // 4, 40), cluster_name="patient")
    groups = {"sex": np.where(np.arange(200) % 2, "m", "f")}
    return replace(problem, test_rows=np.arange(160, 200), groups=groups)


@pytest.mark.parametrize(
    ("score", "why"), [("r2", "constant target"), ("auc", "rarer class"), ("accuracy", "in one cluster")]
)
def test_a_score_that_the_test_rows_do_not_define_is_left_out(score, why, small, tmp_path, monkeypatch):
    monkeypatch.setattr("sparsefire.data.split.refuse_lacking", lambda *_: None)  # should it ever let one through
    verdict = search(odd_test_rows(score), small.request(epochs=40), tmp_path / "run", workers=1)
    assert verdict["selected"] is not None
    assert verdict["confirmation"] is None
    assert verdict["state"] == "not-confirmable"
    assert why in verdict["why_not"]
    assert why in verdict["warnings"][-1]
    assert verdict["warnings"][-1].startswith("On the test rows: ")
    assert verdict["headline"].endswith("40 test rows cannot confirm it.")
    assert (score in verdict["test_scores"]["dense"]) == (score == "auc")  # one positive: a score, but no variance
    assert verdict["better_than_both"] is None
    assert verdict["groups"][0]["all"]["difference"] is None
    assert write_report(tmp_path / "run").exists()

"""Oracles: the stored predictions and files, scored again by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sparsefire import load_model, randomness
from sparsefire.data import split_test

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

"""Oracles: scikit-learn's scores on the stored predictions, the definition of the constant."""

from __future__ import annotations

import numpy as np
import pytest

from sparsefire import randomness
from sparsefire.search.candidates import BOOSTING, DENSE
from sparsefire.search.evidence import gather
from sparsefire.search.plan import Size, make_plan
from sparsefire.search.request import Request
from sparsefire.search.runs import Study, fold_rows
from sparsefire.studies import Store


@pytest.fixture
def evidence(done):
    request = Request("quick", folds=2, rounds=2, epochs=12, densities=[0.5, 0.25], margin=0.2)
    plan = make_plan(request, Size(128, 3, 2, 40, 40), 32)
    study = Study(done.problem, plan, {"kind": "mlp", "hidden": [8]}, randomness.entropy(0))
    return gather(study, Store(done.folder / "runs"))


def test_every_development_row_is_compared_in_every_round(evidence):
    assert len(evidence.rows) == 128
    assert np.array_equal(evidence.target, evidence.study.problem.target[evidence.rows])


def test_predictions_are_held_out_one_column_per_round(evidence, done):
    predictions = evidence.predictions(DENSE)
    assert predictions.shape == (128, 2)
    assert np.isfinite(predictions).all()
    assert evidence.predictions(BOOSTING).shape == (128, 1)
    dense = next(row for row in done.verdict["candidates"] if row["id"] == "dense")
    by_hand = np.mean([(predictions[:, m] == evidence.target).mean() for m in range(2)])
    assert evidence.score(predictions) == pytest.approx(by_hand) == dense["score"]
    assert dense["score_low"] <= dense["score"] <= dense["score_high"]


def test_a_run_that_is_not_there_is_a_key_error(evidence):
    from sparsefire.search.candidates import Candidate

    with pytest.raises(KeyError):
        evidence.predictions(Candidate("lrr@0.5", "sparse", "lrr", 0.5))


def test_the_constant_is_fitted_to_training_rows(evidence):
    position = {row: i for i, row in enumerate(evidence.rows)}
    for number in range(2):
        for train, held in fold_rows(evidence.study, number):
            values, counts = np.unique(evidence.study.problem.target[train], return_counts=True)
            places = [position[row] for row in held]
            assert (evidence.constant[places, number] == values[counts.argmax()]).all()


def test_the_same_predictions_differ_by_nothing(evidence):
    dense = evidence.predictions(DENSE)
    bound = evidence.bound(dense, dense, 0.05)
    assert bound.estimate == 0
    assert bound.lower == pytest.approx(0, abs=0.05)

"""From stored runs to predictions side by side: [rows, rounds] per candidate, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsefire.data import Problem
from sparsefire.search import selection
from sparsefire.search.candidates import Candidate
from sparsefire.search.runs import Job, Study, fold_rows, prediction_name, settings_of
from sparsefire.statistics import CrossedBound, crossed_bound, score_interval, score_of
from sparsefire.statistics.scores import correctness
from sparsefire.studies import Store, StoredRun, key_of

Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Evidence:
    """Out-of-fold predictions of the development rows.

    Attributes:
        rows: the development rows that were held out in every round (forward splits never hold out the earliest).
        target: their true values.
        constant: what a constant fitted to the training rows predicts, [rows, rounds].
        clusters: their cluster codes, or None.
    """

    study: Study
    store: Store
    rows: np.ndarray
    target: np.ndarray
    constant: np.ndarray
    clusters: np.ndarray | None

    def stored(self, job: Job) -> StoredRun:
        """Return a finished run."""
        return self.store.read(key_of(settings_of(self.study, job)))

    def predictions(self, candidate: Candidate) -> np.ndarray:
        """Return the predictions the score reads, [rows, rounds of this candidate]."""
        plan, problem = self.study.plan, self.study.problem
        name = prediction_name(problem.score)
        found = np.full((problem.rows, plan.rounds_of(candidate)), np.nan)
        for number in range(found.shape[1]):
            for fold in range(plan.folds):
                arrays = self.stored(Job(candidate, number, fold)).arrays
                found[arrays["rows"], number] = arrays[name]
        return found[self.rows]

    def score(self, predictions: np.ndarray) -> float:
        """Return the mean over rounds of the pooled out-of-fold score."""
        name = self.study.problem.score
        return float(np.mean([score_of(name, self.target, column) for column in predictions.T]))

    def interval(self, predictions: np.ndarray, level: float = 0.95) -> Interval:
        """Return the score and an interval that holds for new rows and new initialisations (crossed, factor 1)."""
        name = self.study.problem.score
        value = self.score(predictions)
        if predictions.shape[1] < 2:
            return score_interval(name, self.target, predictions[:, 0], level, self.clusters)
        one_sided = (1 - level) / 2
        if name == "accuracy":
            bound = crossed_bound(
                correctness(self.target, predictions), level=one_sided, factor=1.0, clusters=self.clusters
            )
            return value, max(0.0, bound.lower), min(1.0, bound.upper)
        against = np.full_like(predictions, 0.5 if name == "auc" else float(self.target.mean()))
        bound = selection.bound_of(
            name, self.target, predictions, against, level=one_sided, factor=1.0, clusters=self.clusters
        )
        return value, value + bound.lower - bound.estimate, min(1.0, value + bound.upper - bound.estimate)

    def bound(self, chosen: np.ndarray, dense: np.ndarray, level: float) -> CrossedBound:
        """Return the crossed bound that decides."""
        return selection.bound_of(
            self.study.problem.score,
            self.target,
            chosen,
            dense,
            level=level,
            clusters=self.clusters,
            folds=self.study.plan.folds,
        )


def gather(study: Study, store: Store) -> Evidence:
    """Return the rows, targets and constant predictions that every candidate is compared on."""
    problem, plan = study.problem, study.plan
    held_out = np.zeros((problem.rows, plan.rounds), dtype=bool)
    constant = np.full((problem.rows, plan.rounds), np.nan)
    for number in range(plan.rounds):
        for train_rows, seen_rows in fold_rows(study, number):
            held_out[seen_rows, number] = True
            constant[seen_rows, number] = _constant(problem, train_rows)
    rows = np.flatnonzero(held_out.all(axis=1))
    return Evidence(
        study=study,
        store=store,
        rows=rows,
        target=problem.target[rows],
        constant=constant[rows],
        clusters=None if problem.cluster is None else problem.cluster[rows],
    )


def _constant(problem: Problem, train_rows: np.ndarray) -> float:
    if problem.score == "auc":
        return 0.5  # one constant for all folds: constants that differ by fold rank rows the wrong way round
    return selection.constant_prediction(problem.score, problem.target[train_rows])

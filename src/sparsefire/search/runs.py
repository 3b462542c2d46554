"""One run: prepare the rows of one fold, make one model, predict the rows it has not seen, keep the result.

Everything that is fitted to data happens in here, on the training rows of the fold: preparation, the choice of a rate,
masks, weights. Runs are identified by what they are, so a finished one is never repeated.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from sparsefire import masks, randomness
from sparsefire.data import Preparation, Problem, fit_preparation, folds, split_test
from sparsefire.errors import Diverged, UserError
from sparsefire.evaluate import boosting_bytes, weights_of
from sparsefire.rules import Rule
from sparsefire.search.candidates import Candidate, describe, target_weights
from sparsefire.search.plan import RATE_FACTORS, Plan
from sparsefire.statistics import score_of
from sparsefire.studies import Store, key_of
from sparsefire.train import Training, build, fit_boosting, fit_linear, narrow, outputs_of, train, weight_count
from sparsefire.train.linear import STRENGTHS
from sparsefire.train.loop import rule_of
from sparsefire.train.networks import Description, Factory

FINAL = -1  # the round number of a refit on all development rows
INNER_FOLDS = 5


@dataclass(frozen=True)
class Study:
    """What all runs of one search share.

    Attributes:
        problem: the data.
        plan: what is trained how.
        base: the architecture (:func:`sparsefire.search.candidates.architecture`).
        rng: one integer, from which every stream is named.
        factory: the user's network, if it is one.
    """

    problem: Problem
    plan: Plan
    base: Description
    rng: int
    factory: Factory | nn.Module | None = None


@dataclass(frozen=True)
class Job:
    """One run of a study: a candidate in a fold of a round, or its refit (``round == FINAL``)."""

    candidate: Candidate
    round: int
    fold: int


@dataclass(frozen=True)
class Fitted:
    """A model after training: a network (linear models included) or boosting, and what it took."""

    network: nn.Module | None
    other: Any
    description: Description | None
    preparation: Preparation
    scale: tuple[float, float] | None
    rate: float | None
    epochs: int | None
    curve: list[dict[str, float]]
    shape: tuple[int, ...]
    queries: int | None = None  # losses read, where networks learn by another rule than back-propagation


@functools.lru_cache(maxsize=4)
def fingerprint(problem: Problem) -> str:
    """Return :meth:`Problem.identity`, made once: equal ones give the same splits, preparation and runs."""
    return problem.identity()


def settings_of(study: Study, job: Job) -> dict[str, Any]:
    """Return what a run is, as plain values: its key is their hash."""
    plan = study.plan
    own: dict[str, Any] = {"rates": plan.rates}
    if job.candidate.kind == "boosting":
        own |= {"rows": plan.boosting_rows, "trees": plan.boosting_trees}
    elif job.candidate.kind != "linear":
        training = plan.training(job.candidate)
        own |= {
            "architecture": study.base,
            "rate": training.rate,
            "epochs": training.epochs,
            "batch": training.batch,
            "weight_decay": training.weight_decay,
            "rule": training.rule,
        }
        if training.rule != "backprop":
            own["directions"] = training.directions
        if training.init != "own":
            own["init"] = training.init
    return {
        "format": 1,
        "problem": fingerprint(study.problem),
        "rng": f"{study.rng:x}",
        "candidate": job.candidate.settings(),
        "training": own,
        "folds": 0 if job.round == FINAL else plan.folds,
        "round": job.round,
        "fold": job.fold,
    }


def rows_of(study: Study, job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Return the training rows and the rows to predict."""
    development, test = test_split(study)
    if job.round == FINAL:
        return development, test
    return fold_rows(study, job.round)[job.fold]


def test_split(study: Study) -> tuple[np.ndarray, np.ndarray]:
    """Return the development rows and the test rows."""
    return split_test(study.problem, randomness.stream(study.rng, "test set"))


def fold_rows(study: Study, number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the folds of a round."""
    development, _ = test_split(study)
    return folds(study.problem, development, study.plan.folds, randomness.stream(study.rng, "folds", number))


def execute(study: Study, job: Job, store: Store) -> str:
    """Do one run and keep it in the store; return its key."""
    settings = settings_of(study, job)
    key = key_of(settings)
    started = time.perf_counter()
    train_rows, seen_rows = rows_of(study, job)
    fitted = fit(study, job, train_rows, seen_rows)
    predicted = predict(study.problem, fitted, seen_rows)
    target = study.problem.target[seen_rows]
    arrays = {"rows": seen_rows.astype(np.int64), **predicted}
    if fitted.network is not None and (job.round == FINAL or (job.round, job.fold) == (0, 0)):
        arrays |= {f"state.{name}": value.numpy() for name, value in fitted.network.state_dict().items()}
    if job.round == FINAL:
        arrays |= {f"prep.{name}": value for name, value in fitted.preparation.arrays().items()}
    result = {
        "candidate_id": job.candidate.id,
        "rows_train": len(train_rows),
        "rows_held_out": len(seen_rows),
        "score": safe_score(study.problem.score, target, predicted[prediction_name(study.problem.score)]),
        "weights": _weights(fitted),
        "bytes": boosting_bytes(fitted.other) if fitted.other is not None else None,
        "rate": fitted.rate,
        "epochs": fitted.epochs,
        "queries": fitted.queries,
        "seconds": round(time.perf_counter() - started, 4),
        "description": fitted.description,
        "scale": fitted.scale,
        "shape": fitted.shape,
        "preparation": fitted.preparation.settings() if job.round == FINAL else None,
    }
    store.write(key, settings, fitted.curve, result, arrays)
    return key


def prediction_name(score: str) -> str:
    """Return which stored prediction a score reads."""
    return {"accuracy": "label", "auc": "probability", "r2": "value"}[score]


def safe_score(score: str, target: np.ndarray, prediction: np.ndarray) -> float | None:
    """Return a score of one fold, or None where it is not defined (one class only, a constant target)."""
    if score == "auc" and len(np.unique(target)) < 2:
        return None
    if score == "r2" and np.ptp(target) == 0:
        return None
    return float(score_of(score, target, prediction))


def fit(study: Study, job: Job, train_rows: np.ndarray, watched_rows: np.ndarray) -> Fitted:
    """Prepare the training rows and fit the candidate to them, trying rates inside them first where the plan allows."""
    problem, plan = study.problem, study.plan
    preparation, x = _prepared(study, job, train_rows)
    y, scale = _targets(problem, train_rows)
    where = randomness.integer(study.rng, "run", job.candidate.id, job.round, job.fold)
    if job.candidate.kind == "boosting":
        model = fit_boosting(x, y, task=problem.task, rng=where, rows=plan.boosting_rows, trees=plan.boosting_trees)
        return Fitted(None, model, None, preparation, scale, None, None, [], x.shape[1:])
    factor = _best_factor(study, job, train_rows, where) if plan.rates > 1 else 1.0
    if job.candidate.kind == "linear":
        network = fit_linear(x, y, task=problem.task, strength=factor, classes=len(problem.classes))
        widths = [network[1].in_features, network[1].out_features]  # type: ignore[index]
        return Fitted(
            network, None, {"kind": "mlp", "widths": widths}, preparation, scale, factor, None, [], x.shape[1:]
        )
    training = plan.training(job.candidate, factor)
    rule = rule_of(training, where)
    curve: list[dict[str, float]] = []
    if job.round == FINAL:
        watched = None
    else:
        watched_x, watched_y = _transform(preparation, problem, watched_rows), problem.target[watched_rows]

        def watched(epoch: int, net: nn.Module, loss: float) -> None:
            score = safe_score(problem.score, watched_y, _as_scored(problem, outputs_of(net, watched_x), scale))
            read = {} if training.rule == "backprop" else {"queries": rule.budget.queries}
            curve.append({"epoch": epoch, "loss": loss, "score": float("nan") if score is None else score, **read})

    network, description = _network(study, job.candidate, x, y, training, where, watched, rule, job.round == FINAL)
    queries = None if training.rule == "backprop" else rule.budget.queries
    return Fitted(
        network, None, description, preparation, scale, training.rate, training.epochs, curve, x.shape[1:], queries
    )


def predict(problem: Problem, fitted: Fitted, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return predictions for rows of the problem: ``label`` (and ``probability`` of class 1) or ``value``."""
    x = _transform(fitted.preparation, problem, rows)
    if fitted.network is not None:
        return interpret(problem, outputs_of(fitted.network, x), fitted.scale)
    flat = x.reshape(len(x), -1)
    if problem.task == "regression":
        mean, spread = fitted.scale or (0.0, 1.0)
        return {"value": fitted.other.predict(flat) * spread + mean}
    found = {"label": fitted.other.predict(flat).astype(np.int64)}
    if len(problem.classes) == 2:
        found["probability"] = fitted.other.predict_proba(flat)[:, list(fitted.other.classes_).index(1)]
    return found


def interpret(problem: Problem, outputs: np.ndarray, scale: tuple[float, float] | None) -> dict[str, np.ndarray]:
    """Turn raw outputs of a network into predictions in the user's terms."""
    if problem.task == "regression":
        mean, spread = scale or (0.0, 1.0)
        return {"value": outputs[:, 0] * spread + mean}
    if outputs.shape[1] == 1:  # the log-odds of class 1
        return {"label": (outputs[:, 0] > 0).astype(np.int64), "probability": _sigmoid(outputs[:, 0])}
    found = {"label": outputs.argmax(axis=1)}
    if outputs.shape[1] == 2:
        found["probability"] = _sigmoid(outputs[:, 1] - outputs[:, 0])
    return found


def _as_scored(problem: Problem, outputs: np.ndarray, scale: tuple[float, float] | None) -> np.ndarray:
    return interpret(problem, outputs, scale)[prediction_name(problem.score)]


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500)))


def _network(
    study: Study,
    candidate: Candidate,
    x: np.ndarray,
    y: np.ndarray,
    training: Training,
    where: int,
    watch: Any = None,
    rule: Rule | None = None,
    final: bool = False,
) -> tuple[nn.Module, Description]:
    problem = study.problem
    outputs = len(problem.classes) if problem.task == "classification" else 1
    description = describe(study.base, x.shape[1:], outputs)
    if candidate.kind == "narrow":
        dense_weights = weight_count(description, study.factory)
        description = narrow(description, target_weights(dense_weights, candidate), study.factory)
    net = build(description, rng=where, factory=study.factory)
    try:
        net = train(net, x, y, training, task=problem.task, rng=where, watch=watch, rule=rule)
    except Diverged:
        if final:
            raise
        net = _lost(net)
    return net, description


@torch.no_grad()
def _lost(net: nn.Module) -> nn.Module:
    """Return a network whose rule stopped at a loss that is no number as back-propagation leaves one: worthless."""
    net = masks.bake(net).eval()
    for parameter in net.parameters():
        parameter.copy_(torch.where(parameter != 0, torch.nan, parameter))
    return net


def _best_factor(study: Study, job: Job, rows: np.ndarray, where: int) -> float:
    """Try rates (or penalties) on four fifths of the training rows and return the best on the last fifth."""
    problem, plan = study.problem, study.plan
    inner = _inner_split(problem, rows, where)
    if inner is None:
        return 1.0
    fit_rows, check_rows = inner
    preparation = prepare(problem, fit_rows)
    x, check = preparation.transform(problem.select(fit_rows)), _transform(preparation, problem, check_rows)
    y, scale = _targets(problem, fit_rows)
    best, best_score = 1.0, -np.inf
    for number in range(plan.rates):
        if job.candidate.kind == "linear":
            factor = STRENGTHS[number]
            network = fit_linear(x, y, task=problem.task, strength=factor, classes=len(problem.classes))
        else:
            factor = RATE_FACTORS[number]
            training = plan.training(job.candidate, factor)
            training = replace(training, epochs=max(1, training.epochs // 2))
            network, _ = _network(study, job.candidate, x, y, training, randomness.integer(where, "rate", number))
        predicted = _as_scored(problem, outputs_of(network, check), scale)
        score = safe_score(problem.score, problem.target[check_rows], predicted)
        if score is not None and score > best_score:
            best, best_score = factor, score
    return best


def _inner_split(problem: Problem, rows: np.ndarray, where: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the rows to fit and to check a rate on; None where the training rows of a fold cannot be divided again."""
    for parts in (INNER_FOLDS, 3, 2):  # a rare class, or few clusters or sites, may allow fewer parts
        try:
            return folds(problem, rows, parts, randomness.stream(where, "inner folds"))[-1]
        except UserError:
            continue
    return None


def prepare(problem: Problem, rows: np.ndarray) -> Preparation:
    """Fit the preparation to some rows of the problem."""
    return fit_preparation(problem.select(rows), problem.columns, feature_names=problem.feature_names)


def _targets(problem: Problem, rows: np.ndarray) -> tuple[np.ndarray, tuple[float, float] | None]:
    target = problem.target[rows]
    if problem.task == "classification":
        return target.astype(np.int64), None
    mean, spread = float(target.mean()), float(target.std()) or 1.0
    return ((target - mean) / spread).astype(np.float32), (mean, spread)


_last: dict[tuple[str, int, int, int], tuple[Preparation, np.ndarray]] = {}  # the fold this process worked on last


def _prepared(study: Study, job: Job, rows: np.ndarray) -> tuple[Preparation, np.ndarray]:
    key = (fingerprint(study.problem), study.rng, study.plan.folds, job.round * 1000 + job.fold)
    if key not in _last:
        preparation = prepare(study.problem, rows)
        _last.clear()
        _last[key] = preparation, preparation.transform(study.problem.select(rows))
    return _last[key]


def _transform(preparation: Preparation, problem: Problem, rows: np.ndarray) -> np.ndarray:
    return preparation.transform(problem.select(rows), warn=False)  # levels a fold's training rows lack are no news


def _weights(fitted: Fitted) -> int | None:
    return None if fitted.network is None else int(weights_of(fitted.network))

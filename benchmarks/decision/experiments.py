"""One data set, from fresh rows to the bounds of the shipped code; and the true differences they are held against."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from decision import peers
from decision.cells import Cell
from decision.learners import DENSE, FAMILY, LEARNERS, Learner, read_out
from decision.populations import POPULATIONS, Sample
from sparsefire.randomness import stream
from sparsefire.search.selection import bound_of, constant_prediction, gate
from sparsefire.statistics import CrossedBound, cautions, crossed_bound, r2_differences
from sparsefire.statistics.ranks import placement_variance, placements

LEVEL = 0.05
STREAM = 20  # rng= of the whole benchmark
EACH = LEVEL / 3  # three methods
FLAGS = {
    "L": cautions.LIMITED,
    "F": cautions.FAILING,
    "S": cautions.SMALL,
    "T": cautions.TAIL,
    "G": cautions.FEW_GROUPS,
}

Record = dict[str, Any]


def chunk(cell: Cell, number: int) -> list[Record]:
    """Return the records of the data sets of one chunk, each with the CPU seconds it took."""
    records = []
    for index in range(number * cell.chunk, (number + 1) * cell.chunk):
        began = time.process_time()
        record = {"single": single, "family": family, "gate": gated}[cell.kind](cell, index)
        records.append({"set": index, **record, "seconds": round(time.process_time() - began, 5)})
    return records


def fold_codes(cell: Cell, sample: Sample, rng: np.random.Generator) -> np.ndarray:
    """Return a fresh fold per row: by group, or stratified by class, or at random."""
    if sample.groups is not None:
        groups = int(sample.groups.max()) + 1
        return (rng.permutation(groups) % cell.folds)[sample.groups]
    order = rng.permutation(cell.rows)
    if cell.score != "r2":
        order = order[np.argsort(sample.y[order], kind="stable")]
    folds = np.empty(cell.rows, dtype=np.int64)
    folds[order] = np.arange(cell.rows) % cell.folds
    return folds


def predictions(cell: Cell, index: int, learners: list[tuple[Any, ...]]) -> tuple[Sample, np.ndarray, list[np.ndarray]]:
    """Return the rows, folds [n, M], and for each named learner its out-of-fold predictions [n, M]."""
    sample = POPULATIONS[cell.population](stream(STREAM, cell.name, "rows", index), (cell.rows,))
    folds = np.empty((cell.rows, cell.rounds), dtype=np.int64)
    found = [np.empty((cell.rows, cell.rounds)) for _ in learners]
    for r in range(cell.rounds):
        folds[:, r] = fold_codes(cell, sample, stream(STREAM, cell.name, "folds", index, r))
        for (name, learner), values in zip(learners, found, strict=True):
            start = stream(STREAM, cell.name, "start", index, r, name)
            values[:, r] = learner.out_of_fold(sample.x, sample.y, folds[:, r], start)
    return sample, folds, [read_out(cell.score, values) for values in found]


def single(cell: Cell, index: int) -> Record:
    """One candidate against dense: the crossed bound and the bounds in common use."""
    small, dense = LEARNERS[cell.learner]
    sample, folds, (s, d) = predictions(cell, index, [("small", small), ("dense", dense)])
    if cell.score == "auc":
        record = _summary(*(bound_of("auc", sample.y, s, d, level=a, folds=cell.folds) for a in (LEVEL, EACH)))
        record["clt1"] = _delong(sample.y, s[:, 0], d[:, 0])
        return {"auc": record}
    if cell.score == "accuracy":
        differences = (s == sample.y[:, None]) * 1.0 - (d == sample.y[:, None])
        bounds = [
            bound_of("accuracy", sample.y, s, d, level=a, clusters=sample.groups, folds=cell.folds)
            for a in (LEVEL, EACH)
        ]
        return {"accuracy": _summary(*bounds) | _rivals(differences, folds, bounds[0])}
    bounds = [bound_of("r2", sample.y, s, d, level=a, folds=cell.folds) for a in (LEVEL, EACH)]
    squares = np.square(sample.y[:, None] - d) - np.square(sample.y[:, None] - s)
    plain = [crossed_bound(squares, level=a, folds=cell.folds) for a in (LEVEL, EACH)]
    return {
        "r2": _summary(*bounds) | _rivals(r2_differences(sample.y, s, d), folds, bounds[0]),
        "squared error": _summary(*plain) | _rivals(squares, folds, plain[0]),
    }


def family(cell: Cell, index: int) -> Record:
    """Twelve candidates against one dense network."""
    members = [(f"{method} {step}", net) for method, chain in FAMILY.items() for step, net in enumerate(chain)]
    sample, folds, values = predictions(cell, index, [*members, ("dense", DENSE)])
    dense = values.pop()
    record: Record = {}
    for (name, _), small in zip(members, values, strict=True):
        bounds = [bound_of("accuracy", sample.y, small, dense, level=a, folds=cell.folds) for a in (LEVEL, EACH)]
        differences = (small == sample.y[:, None]) * 1.0 - (dense == sample.y[:, None])
        record[name] = _summary(*bounds) | {
            "clt1_each": peers.central_limit(differences[:, 0], EACH),
            "nb_each": peers.nadeau_bengio(differences, folds, EACH),
        }
    return {"members": record}


def gated(cell: Cell, index: int) -> Record:
    """The gate, and what would have passed without it."""
    small, dense = LEARNERS[cell.learner]
    sample, folds, (s, d) = predictions(cell, index, [("small", small), ("dense", dense)])
    constant = np.empty_like(d)
    for r in range(cell.rounds):
        for k in range(cell.folds):
            held = folds[:, r] == k
            constant[held, r] = constant_prediction(cell.score, sample.y[~held])
    verdict = gate(cell.score, sample.y, d, constant, margin=cell.margin, level=LEVEL, folds=cell.folds)
    bound = bound_of(cell.score, sample.y, s, d, level=LEVEL, folds=cell.folds)
    nothing = bound_of(cell.score, sample.y, constant, d, level=LEVEL, folds=cell.folds)
    return {
        "gate": verdict.passed,
        "gain": verdict.lower,
        "small": bound.passes(cell.margin),
        "constant": nothing.passes(cell.margin),
    }


def truth(cell: Cell, number: int, count: int) -> Record:
    """Return, by candidate, sums over ``count`` fresh trainings of the difference to dense, its square and its cube.

    Scores of new rows are taken in expectation over their target, given the inputs.
    """
    rng = stream(STREAM, cell.name, "truth", number)
    draw = POPULATIONS[cell.population]
    train, new = draw(rng, (count, cell.rows)), draw(rng, (count, cell.fresh))
    members: list[tuple[str, Learner]] = (
        [("small", LEARNERS[cell.learner][0])]
        if cell.kind == "single"
        else [(f"{method} {step}", net) for method, chain in FAMILY.items() for step, net in enumerate(chain)]
    )
    dense = LEARNERS[cell.learner][1] if cell.kind == "single" else DENSE
    base = expected(cell.score, new, dense.fresh(train.x, train.y, new.x, rng))
    spread = new.mean.var() + new.variance.mean()
    result: Record = {"count": count, "spread": float(spread)}
    for name, learner in members:
        gain = expected(cell.score, new, learner.fresh(train.x, train.y, new.x, rng)) - base
        result[name] = [float(gain.sum()), float(np.square(gain).sum()), float((gain**3).sum())]
    return result


def expected(score: str, new: Sample, values: np.ndarray) -> np.ndarray:
    """Return the expected score per data set [B]: accuracy, AUC, or minus the squared error (without the noise)."""
    if score == "r2":
        return -np.square(values - new.mean).mean(axis=1)
    if score == "accuracy":
        return np.where(values > 0.5, new.mean, 1 - new.mean).mean(axis=1)
    order = values.argsort(axis=1)
    ones = np.take_along_axis(new.mean, order, axis=1)
    zeros = 1 - ones
    below = np.cumsum(zeros, axis=1) - zeros
    pairs = ones.sum(axis=1) * zeros.sum(axis=1) - (ones * zeros).sum(axis=1)  # a row is no pair with itself
    return (ones * below).sum(axis=1) / pairs


def _summary(bound: CrossedBound, each: CrossedBound) -> Record:
    return {
        "T": bound.estimate,
        "low": bound.lower,
        "low_each": each.lower,
        "share": round(bound.share_initialisation, 4),
        "flags": "".join(flag for flag, lead in FLAGS.items() if cautions.fired(bound.warnings, lead)),
    }


def _rivals(differences: np.ndarray, folds: np.ndarray, bound: CrossedBound) -> Record:
    if abs(differences.mean() - bound.estimate) > 1e-10 * (1 + abs(bound.estimate)):  # all bounds are about one number
        raise AssertionError(f"the shipped estimate {bound.estimate} is not the mean difference {differences.mean()}")
    return {
        "clt1": peers.central_limit(differences[:, 0], LEVEL),
        "clt": peers.central_limit(differences.mean(axis=1), LEVEL),
        "nb1": peers.nadeau_bengio(differences[:, :1], folds[:, :1], LEVEL),
        "nb": peers.nadeau_bengio(differences, folds, LEVEL),
    }


def _delong(y: np.ndarray, chosen: np.ndarray, dense: np.ndarray) -> float:
    """Return DeLong's uncorrected bound on one round."""
    positive = y == 1
    u, v = placements(positive, np.stack([chosen, dense], axis=1))
    variance, _ = placement_variance(u[:, 0] - u[:, 1], v[:, 0] - v[:, 1], positive)
    return float((u[:, 0] - u[:, 1]).mean() - 1.6448536269514722 * np.sqrt(variance))

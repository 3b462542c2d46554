"""What is trained: accuracy at one depth, and the largest depth that still trains; each piece gives one record."""

from __future__ import annotations

import itertools
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from deep.arms import BY_NAME, build, slope_of_penalty
from deep.sparse import Net
from deep.training import Outcome, Rows, train
from fate.data import load, shape_of

from sparsefire.errors import UserError

WIDTH = 256
STEPS = 400
BATCH = 64
RATES = (3e-3, 1e-2, 3e-2, 6e-2)
LADDER_RATES = (1e-2, 3e-3)
DEPTHS = (5, 7, 10, 14, 20, 28, 40, 57, 80, 113, 160, 226, 320)
BAR = 0.5
LEAST = 0.2
TUNING = (101, 102)


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of one arm in one place.

    Attributes:
        arm: name in :mod:`deep.arms`.
        data: name of a data set of :mod:`fate.data`.
        depth: hidden layers of ``WIDTH`` units.
        density: share of weights that exist.
        units: of each hidden layer that have any weights; the others stand idle.
        replicates: networks, numbered from 1, at the best rate.
        steps: of each training.
    """

    arm: str
    data: str
    depth: int
    density: float
    units: int = WIDTH
    replicates: int = 10
    steps: int = STEPS


@dataclass(frozen=True)
class Ladder:
    """The largest depth at which one arm trains, with ``replicates`` networks at each depth and rate."""

    arm: str
    data: str
    density: float
    depths: tuple[int, ...] = DEPTHS
    replicates: int = 3
    steps: int = STEPS
    rates: tuple[float, ...] = LADDER_RATES


def run(case: Accuracy | Ladder) -> dict[str, Any]:
    """Return the record of a case; ``missing`` says why where an arm has no such network."""
    began = time.process_time()
    found = accuracy(case) if isinstance(case, Accuracy) else climb(case)
    return {"case": asdict(case), **found, "seconds": round(time.process_time() - began, 1)}


def network(arm: str, data: str, depth: int, density: float, number: int, units: int = WIDTH) -> Net:
    """Return a network of ``density`` times the weights of a dense one of width ``WIDTH``, on ``units`` units a layer.

    Raises:
        UserError: the arm has no such network.
    """
    (inputs, outputs), hidden = shape_of(data), [units] * depth
    count = density * _size([inputs, *[WIDTH] * depth, outputs])
    widths = [inputs, *hidden, outputs]
    return build(BY_NAME[arm], widths, count / _size(widths), number)


def accuracy(case: Accuracy) -> dict[str, Any]:
    """Choose the rate on a fifth of the training rows with networks of their own, then train fresh ones at it."""
    x, y, test, truth = load(case.data)
    split = len(y) * 4 // 5
    inner, outer = ((x[:split], y[:split]), (x[split:], y[split:])), ((x, y), (test, truth))
    try:
        tuned = {rate: [_train(case, n, rate, inner)[0].accuracy for n in TUNING] for rate in RATES}
    except UserError as error:
        return {"missing": str(error)}
    rate = max(RATES, key=lambda one: float(np.mean(tuned[one])))
    runs = [_train(case, number, rate, outer) for number in range(1, case.replicates + 1)]
    return {
        "rate": rate,
        "tuned": {str(one): values for one, values in tuned.items()},
        "accuracy": [outcome.accuracy for outcome, _ in runs],
        "loss": [outcome.loss for outcome, _ in runs],
        "weights": [weights for _, weights in runs],
    }


def climb(case: Ladder) -> dict[str, Any]:
    """Go up in depth until two depths in a row fail.

    A network trains if some look, every 50 steps, finds ``BAR`` of the test rows right; one that has not found
    ``LEAST`` by half of the steps is given up. A depth counts if more than half of its networks train at one of the
    rates; what is settled is not run.
    """
    rates, rungs, failed, largest = list(case.rates), [], 0, 0
    for depth in case.depths:
        tried: dict[str, Any] = {}
        passed = False
        for rate in rates:
            try:
                bests = _bests(case, depth, rate)
            except UserError as error:
                tried[str(rate)] = str(error)
                break
            tried[str(rate)] = bests
            passed = _passed(bests) > case.replicates / 2
            if passed:
                rates = [rate, *[other for other in rates if other != rate]]
                break
        rungs.append({"depth": depth, "trains": passed, "tried": tried})
        failed, largest = (0, depth) if passed else (failed + 1, largest)
        if failed == 2:
            break
    return {"largest": largest, "top": largest == case.depths[-1], "depths": rungs}


def _bests(case: Ladder, depth: int, rate: float) -> list[float]:
    """Return the best looks of networks of one depth, until more than half have passed or more than half have not."""
    x, y, test, truth = load(case.data)
    term = BY_NAME[case.arm].term
    bests: list[float] = []
    while 2 * max(_passed(bests), len(bests) - _passed(bests)) <= case.replicates:
        number = len(bests) + 1
        net = network(case.arm, case.data, depth, case.density, number)
        slope = slope_of_penalty(term) if term else None
        outcome = train(
            net, (x, y), (test, truth), rate=rate, steps=case.steps, batch=BATCH, look=50, enough=BAR, least=LEAST,
            term=slope, rng=number,
        )  # fmt: skip
        bests.append(outcome.best)
    return bests


def _passed(bests: list[float]) -> int:
    return sum(best >= BAR for best in bests)


def _train(case: Accuracy, number: int, rate: float, rows: tuple[Rows, Rows]) -> tuple[Outcome, int]:
    net = network(case.arm, case.data, case.depth, case.density, number, case.units)
    weights = int(np.count_nonzero(net.weights))
    term = BY_NAME[case.arm].term
    outcome = train(
        net, *rows, rate=rate, steps=case.steps, batch=BATCH, term=slope_of_penalty(term) if term else None, rng=number
    )
    return outcome, weights


def _size(widths: list[int]) -> int:
    return sum(a * b for a, b in itertools.pairwise(widths))

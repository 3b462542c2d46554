"""Samples to learn from, of functions and of tables, with fresh rows on which the risk is taken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsefire import randomness
from sparsefire.convergence._inputs import entropy, floats, instance, whole
from sparsefire.convergence.nonparametric.functions import Function
from sparsefire.errors import UserError

_TESTED = 4096


@dataclass(frozen=True, eq=False)
class Data:
    """A sample to learn from, and where the risk is taken.

    Attributes:
        x: inputs with mean about 0 and variance about 1, float32 [n, d].
        y: noisy targets, float32 [n].
        test_x: fresh inputs, float32 [m, d].
        test_y: the noiseless truth there, or held-out targets of a table, float64 [m].
    """

    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def function_data(function: Function, n: int, noise: float, rng: Any = None, *, test: int = _TESTED) -> Data:
    """Return a noisy sample of a function, and its noiseless values at fresh points: risk is then excess risk.

    Args:
        function: of :mod:`sparsefire.convergence.nonparametric.functions`; its variance is 1.
        n: rows.
        noise: standard deviation.
        rng: see :func:`sparsefire.randomness.entropy`.
        test: number of fresh points.

    >>> from sparsefire.convergence.nonparametric.functions import hoelder
    >>> function_data(hoelder(1.0, 2, rng=0), 100, 0.1, rng=0).x.shape
    (100, 2)
    """
    x, y = instance(function, "function", Function).sample(n, noise, randomness.stream(entropy(rng), "sample"))
    points = whole(test, "number of test points", 1)
    fresh = randomness.stream(rng, "test points").random((points, function.dimension))
    return Data(_centred(x), y.astype(np.float32), _centred(fresh), function(fresh))


def table_data(x: Any, y: Any, n: int, rng: Any = None, *, test: int | None = None) -> Data:
    """Return n random rows of a table to learn from, and others to be tested on.

    Inputs and targets are standardised by the n rows, so that risk is a share of the variance, noise included: for
    excess risk subtract that of the best predictor known.

    Args:
        x: numbers [rows, d].
        y: [rows].
        n: rows to learn from.
        rng: chooses the rows.
        test: rows to test on; None takes all others.

    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> table_data(x, x[:, 0], 30, rng=0).test_x.shape
    (20, 3)
    """
    columns, targets = floats(x, "x"), floats(y, "y")
    if columns.ndim != 2 or targets.shape != columns.shape[:1]:
        raise UserError(
            "rows and targets do not go together.",
            came=f"shapes {columns.shape}, {targets.shape}",
            expected="(n, d), (n,)",
        )
    if not (np.isfinite(columns).all() and np.isfinite(targets).all()):
        raise UserError("a table is made of finite numbers here.", attempt="drop or fill missing values first")
    rows = whole(n, "sample size", 2)
    others = len(columns) - rows
    asked = others if test is None else whole(test, "number of test rows", 1)
    if not 0 < asked <= others:
        raise UserError(
            "the table has too few rows.", came=f"{len(columns)}", expected=f"more than {rows + (test or 0)}"
        )
    order = randomness.stream(entropy(rng), "rows").permutation(len(columns))
    learnt, tested = order[:rows], order[rows : rows + asked]
    mean, spread = columns[learnt].mean(0), columns[learnt].std(0)
    spread[spread == 0] = 1.0
    middle, size = targets[learnt].mean(), targets[learnt].std() or 1.0
    inputs, values = ((columns - mean) / spread).astype(np.float32), (targets - middle) / size
    return Data(inputs[learnt], values[learnt].astype(np.float32), inputs[tested], values[tested])


def _centred(x: np.ndarray) -> np.ndarray:
    """Return uniform rows with mean 0 and variance 1."""
    return ((x - 0.5) * math.sqrt(12.0)).astype(np.float32)

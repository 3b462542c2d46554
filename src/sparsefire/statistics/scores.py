"""The three scores the package decides by: accuracy, area under the ROC curve, R². Higher is better in all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.statistics._check import binary, vector
from sparsefire.statistics.ranks import placements

SCORES = ("accuracy", "auc", "r2")


def correctness(target: Any, prediction: Any) -> np.ndarray:
    """Return 1.0 where the predicted class is the true one and 0.0 elsewhere.

    Args:
        target: class codes [n].
        prediction: class codes [n] or [n, rounds].

    >>> correctness([0, 1], [[0, 1], [1, 0]]).tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    """
    truth, guess = np.asarray(target), np.asarray(prediction)
    if truth.ndim != 1 or guess.ndim not in (1, 2) or len(truth) != len(guess):
        raise UserError(
            "target and prediction do not belong together.",
            came=f"shapes {truth.shape} and {guess.shape}",
            expected="[n] and [n] or [n, rounds]",
        )
    return (guess == (truth if guess.ndim == 1 else truth[:, None])).astype(np.float64)


def accuracy(target: Any, prediction: Any) -> float:
    """Return the fraction of rows whose class is predicted.

    >>> accuracy([0, 1, 2, 2], [0, 1, 2, 1])
    0.75
    """
    return float(correctness(target, np.asarray(prediction).reshape(-1)).mean())


def auc(target: Any, score: Any) -> float:
    """Return the area under the ROC curve: the chance that a positive is scored above a negative, ties one half.

    Args:
        target: 0 or 1 per row, both present [n].
        score: higher means rather 1, such as the probability of class 1 [n].

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    positive = binary(target)
    u, _ = placements(positive, vector(score, "score", len(positive))[:, None])
    return float(u.mean())


def r2(target: Any, prediction: Any) -> float:
    """Return 1 − mean squared error / variance of the target (both over these rows).

    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 2.0])
    0.5
    """
    truth = vector(target, "target")
    guess = vector(prediction, "prediction", len(truth))
    return float(1.0 - np.mean(np.square(truth - guess)) / spread_of(truth))


def spread_of(target: np.ndarray) -> float:
    """Return the mean square around the mean, which must not be zero (R² divides by it)."""
    spread = float(np.var(target))
    if len(target) < 2 or spread <= 1e-24 * float(np.square(target).max()):  # equal up to rounding
        raise UserError(
            "R² is not defined for a constant target.", came="one value in all rows", expected="values that differ"
        )
    return spread


def score_of(name: str, target: Any, prediction: Any) -> float:
    """Return a score by its name.

    Args:
        name: ``"accuracy"`` (predictions are class codes), ``"auc"`` (probabilities of class 1) or ``"r2"`` (values).
        target: what is true [n].
        prediction: what was predicted [n].

    Raises:
        UserError: for another name, shapes that differ, or a target for which the score is not defined.

    >>> score_of("accuracy", [0, 1], [0, 0])
    0.5
    """
    return {"accuracy": accuracy, "auc": auc, "r2": r2}[known(name)](target, prediction)


def known(name: str) -> str:
    """Return the name of a score, or raise if there is none of that name."""
    if name not in SCORES:
        raise UserError(f"there is no score {name!r}.", came=repr(name), expected="one of " + ", ".join(SCORES))
    return name

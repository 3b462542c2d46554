"""From the spikes of units that learned without labels to classes: who answers to what, and how answers are counted."""

from __future__ import annotations

import numpy as np

VOTES = ("preferred", "share", "poisson")


def class_responses(responses: np.ndarray, codes: np.ndarray, classes: int) -> np.ndarray:
    """Return mean spike counts by class, float64 [classes, units].

    Args:
        responses: spike counts [n, units].
        codes: class of each, 0 … classes - 1; each class is there.

    >>> class_responses(np.array([[2, 0], [4, 0], [0, 1]]), np.array([0, 0, 1]), 2).tolist()
    [[3.0, 0.0], [0.0, 1.0]]
    """
    sums = np.zeros((classes, responses.shape[1]))
    np.add.at(sums, codes, responses)
    return sums / np.bincount(codes, minlength=classes)[:, None]


def preferred(means: np.ndarray) -> np.ndarray:
    """Return for each unit the class with the highest mean response, the first of equals; -1 for silent units.

    >>> preferred(np.array([[3.0, 0.0, 0.0], [1.0, 2.0, 0.0]])).tolist()
    [0, 1, -1]
    """
    return np.where(means.max(axis=0) > 0, means.argmax(axis=0), -1)


def tally(responses: np.ndarray, means: np.ndarray, samples: np.ndarray, vote: str) -> np.ndarray:
    """Return how much speaks for each class, float64 [n, classes]; the highest is predicted.

    Args:
        responses: spike counts [n, units].
        means: of :func:`class_responses`.
        samples: how many samples each class had.
        vote: ``"preferred"``: the mean count of the units that prefer the class (Diehl and Cook 2015), 0 where none
            does. ``"share"``: a unit's spikes count for all classes, in proportion to its mean responses.
            ``"poisson"``: log-likelihood of independent Poisson counts with the class's mean responses, half a spike
            added to each sum.

    >>> means = np.array([[3.0, 0.0], [1.0, 2.0]])
    >>> tally(np.array([[1, 4]]), means, np.array([5, 5]), "share").tolist()
    [[0.75, 4.25]]
    """
    if vote == "preferred":
        owners = preferred(means) == np.arange(len(means))[:, None]
        return responses @ (owners / np.maximum(owners.sum(axis=1), 1)[:, None]).T
    if vote == "share":
        total = means.sum(axis=0)
        return responses @ np.divide(means, total, out=np.zeros_like(means), where=total > 0).T
    rates = means + 0.5 / samples[:, None]
    return responses @ np.log(rates).T - rates.sum(axis=1)

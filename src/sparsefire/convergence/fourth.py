"""Fourth moments E[z z′ M z z′] of the laws by which inputs are drawn and weights are shaken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FourthMoment:
    """E[z z′ M z z′] = twice · (M + M′)/2 + trace · tr(M) I + diagonal · diag(M) for a law with E z z′ = I.

    >>> FourthMoment(2.0, 1.0, 0.0).of(np.eye(2)).tolist()  # standard normal: 2 M + tr(M) I
    [[4.0, 0.0], [0.0, 4.0]]
    """

    twice: float
    trace: float
    diagonal: float

    def of(self, matrix: np.ndarray) -> np.ndarray:
        """Return E[z z′ M z z′] for a symmetric M [n, n]."""
        along = self.trace * np.trace(matrix) + self.diagonal * np.diagonal(matrix)
        return self.twice * matrix + np.diag(along)


def independent(kurtosis: float) -> FourthMoment:
    """Return the fourth moment of independent coordinates with unit variance, symmetric, with this kurtosis.

    >>> independent(3.0)
    FourthMoment(twice=2.0, trace=1.0, diagonal=0.0)
    """
    return FourthMoment(2.0, 1.0, kurtosis - 3.0)


def sphere(size: int) -> FourthMoment:
    """Return the fourth moment of the uniform law on the sphere of radius √n.

    >>> sphere(2)
    FourthMoment(twice=1.0, trace=0.5, diagonal=0.0)
    """
    return FourthMoment(2.0 * size / (size + 2.0), size / (size + 2.0), 0.0)


def coordinates(size: int) -> FourthMoment:
    """Return the fourth moment of ±√n times a unit vector drawn at random.

    >>> coordinates(3)
    FourthMoment(twice=0.0, trace=0.0, diagonal=3.0)
    """
    return FourthMoment(0.0, 0.0, float(size))

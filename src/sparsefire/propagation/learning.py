"""The chance that a network learns anything, told from one pass before training.

Four things stop a network from learning, and one pass shows them (:mod:`~sparsefire.propagation.trace`):

    silence       log10 of the smallest norm of the gradient of a layer: below the optimizer's own ε no layer moves
    chaos         log10 of the gradient of the first layer over that of the last: what norm layers keep in size on the
                  way up grows exponentially on the way down
    sameness      log10 of the share of the last hidden signal that differs between inputs
    bottleneck    fewest units of a layer that still tell inputs apart

The chance is a logistic function of them, each cut where it stops to matter, and 0 if no output depends on the input
or a signal is not finite:

    logit p = b + w · (silence + 2, chaos − 1, sameness, log2 bottleneck)
    silence in [−12, −2], chaos in [1, 4], sameness in [−5, 0], bottleneck in [1, 32]

with b and w fitted once by maximum likelihood (the cuts by cross-validation), on networks and data that no test of it
uses (``benchmarks/trainability.py``; the guide page shows how well it holds). "Learns" means there: within 200 steps of
Adam, at the best of five rates from 1e-4 to 1e-2, the accuracy on fresh rows beats the largest class by five standard
errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from sparsefire.propagation.trace import Trace

INTERCEPT = -0.779
WEIGHTS = (0.9, -2.079, 0.242, 0.987)
SILENCE = (-12.0, -2.0)
CHAOS = (1.0, 4.0)
SAMENESS = (-5.0, 0.0)
BOTTLENECK = (1, 32)


@dataclass(frozen=True)
class Signs:
    """What one pass tells about learning, see the module.

    Attributes:
        silence, chaos, sameness: log10 of gradients and of a share; −∞ where there is nothing.
        bottleneck: units, of the layer that has fewest, whose signal differs between inputs.
        outputs: that depend on the input.
        finite: whether every signal and gradient is a number.
    """

    silence: float
    chaos: float
    sameness: float
    bottleneck: int
    outputs: int
    finite: bool = True

    def features(self) -> np.ndarray:
        """Return what the logistic function sees, float64 [4]."""
        return np.array(
            [
                min(max(self.silence, SILENCE[0]), SILENCE[1]) - SILENCE[1],
                min(max(self.chaos, CHAOS[0]), CHAOS[1]) - CHAOS[0],
                min(max(self.sameness, SAMENESS[0]), SAMENESS[1]),
                math.log2(min(max(self.bottleneck, BOTTLENECK[0]), BOTTLENECK[1])),
            ]
        )


def signs_of(found: Trace) -> Signs:
    """Return the signs of a pass.

    >>> from torch import nn
    >>> from sparsefire.propagation.trace import trace
    >>> signs_of(trace(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))).outputs
    2
    """
    slopes = [passage.gradient for passage in found.passages]
    if not found.chain:  # what has no part in the output, or sits behind a branch that starts at zero, may learn later
        slopes = [slope for slope in slopes if slope > 0] or [0.0]
    last = found.passages[-1].received.flatten(1)
    moving = last - last.mean(0)
    total = float(last.square().sum())
    varies = _varying(found.output)
    hidden = [_varying(passage.received) for passage in found.passages[1:]]
    return Signs(
        silence=_log10(min(slopes)),
        chaos=_log10(slopes[0]) - _log10(slopes[-1]) if slopes[0] > 0 and slopes[-1] > 0 else 0.0,
        sameness=_log10(float(moving.square().sum()) / total) if total > 0 else -math.inf,
        bottleneck=min(hidden, default=BOTTLENECK[1]) if varies else 0,
        outputs=varies,
        finite=bool(found.output.isfinite().all()) and all(math.isfinite(slope) for slope in slopes),
    )


def chance(signs: Signs) -> float:
    """Return the chance that the network learns, 0 if no output depends on the input.

    >>> chance(Signs(silence=-0.5, chaos=0.1, sameness=-0.5, bottleneck=50, outputs=10)) > 0.9
    True
    >>> chance(Signs(silence=-math.inf, chaos=0.0, sameness=-0.5, bottleneck=0, outputs=0))
    0.0
    """
    if not signs.finite or (signs.outputs == 0 and signs.silence == -math.inf):
        return 0.0
    return float(1 / (1 + math.exp(-(INTERCEPT + float(np.dot(WEIGHTS, signs.features()))))))


def _varying(signal: Tensor) -> int:
    """Return how many units [rows, units, ...] do not give the same for all rows."""
    return int((signal != signal[0]).any(0).reshape(signal.shape[1], -1).any(1).sum())


def _log10(value: float) -> float:
    return math.log10(value) if value > 0 else -math.inf

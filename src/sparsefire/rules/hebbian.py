"""Hebbian spike timing as derivative-free optimisation: the jitter of spikes is the perturbation.

J. Schmidt-Hieber. Interpreting learning in biological neural networks as zero-order optimization method, 2023.
arXiv:2301.11777
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from sparsefire.errors import UserError
from sparsefire.rules.asking import Batch, loss_here, losses_at
from sparsefire.rules.baseline import Baseline
from sparsefire.rules.weights import WeightRule


@dataclass(eq=False)
class Hebbian(WeightRule):
    """Estimate κ(A) times a smoothed gradient by g = [L(θ + U) − b] (e^U − e^−U), U uniform on [−A, A].

    A spike that comes U before or after the middle between two postsynaptic spikes changes its synapse by
    e^U − e^−U; the reward is the previous perturbed loss less the present one (baseline b). With SGD at rate α this is
    the published rule. Its mean step is −α κ(A) E ∂ⱼL(θ + V), V with the density f(x) ∝ (e^A − e^−x)(e^A − e^x) in
    coordinate j and uniform in the others, κ(A) = 2 cosh A − 2 sinh(A)/A; see :func:`kappa`.

    Args:
        amplitude: A, half the interval between postsynaptic spikes, in units of the time constant; above 0.
        baseline: ``"previous"`` as published, ``"running-mean"``, which halves the variance in linear regression, or
            ``"none"``; the first call asks for one further loss, unperturbed, to begin with.
        mean_rate: rate of the running mean, in (0, 1].
        directions, rng, chunk: as of :class:`~sparsefire.rules.weights.WeightRule`.

    >>> import torch; from torch import nn
    >>> net = nn.Linear(3, 1, bias=False)
    >>> rule = Hebbian(amplitude=0.5, rng=0)
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> rule.budget.queries
    2
    """

    law: str = field(default="uniform", init=False, repr=False)
    amplitude: float = 1.0
    baseline: str = "previous"
    mean_rate: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.amplitude < 50:
            raise UserError(
                "jitter needs an amplitude.", came=f"amplitude={self.amplitude!r}", expected="a number in (0, 50)"
            )
        self._baseline = Baseline(self.baseline, self.mean_rate)

    def _blocks(self, batch: Batch) -> Iterator[Tensor]:
        for directions in super()._blocks(batch):
            yield directions.mul_(self.amplitude / math.sqrt(3))

    def _shape(self, directions: Tensor) -> Tensor:
        return 2 * directions.sinh()

    def _begin(self, batch: Batch) -> int:
        if not self._baseline.waits:
            return 0
        self._baseline.value = float(self._finite(loss_here(batch)))
        return 1

    def _ask(self, batch: Batch, directions: Tensor) -> tuple[Tensor, Tensor, int]:
        losses = self._finite(losses_at(batch, directions))[0]
        return self._baseline.advantages(losses), losses.mean(), len(losses)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule remembers, as plain tensors and numbers."""
        return {**super().state_dict(), "baseline": self._baseline.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where such a state was taken."""
        super().load_state_dict(state)
        self._baseline.value = state["baseline"]


def kappa(amplitude: float) -> float:
    """Return κ(A) = 2 cosh A − 2 sinh(A)/A = (2/3) A² + O(A⁴), by which the mean step is shorter.

    >>> round(kappa(1.0), 10)
    0.7357588823
    """
    if amplitude < 0.02:  # the difference of near numbers loses digits
        return 2 / 3 * amplitude**2 + amplitude**4 / 15
    return 2 * math.cosh(amplitude) - 2 * math.sinh(amplitude) / amplitude

"""One loss per direction, compared with a baseline: learning from rewards alone.

J. Schmidt-Hieber, W. M. Koolen. Hebbian learning inspired estimation of the linear regression parameters from queries,
2023. arXiv:2311.03483
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sparsefire.errors import UserError
from sparsefire.rules.active import Active
from sparsefire.rules.asking import Batch, fitting, loss_here, losses_at
from sparsefire.rules.baseline import Baseline
from sparsefire.rules.directions import draw
from sparsefire.rules.weights import WeightRule, check_scale


@dataclass(eq=False)
class OneQuery(WeightRule):
    """Estimate the gradient by g = mean over k of [L(θ + c u_k) − b_k] / c · u_k.

    Its mean is the gradient of a smoothed loss, whatever the baseline b. Unlike with two queries there is a best size
    of the perturbation: in linear regression c² = σ²/d, perturbations as large as the noise of the responses, where the
    mean squared error after k samples is 3, 4 or 2 σ²d²/k with no baseline, the previous loss, or their running mean;
    2 is the least that adaptive queries can reach. Much smaller perturbations are much worse.

    Args:
        scale: c, the size of the perturbation of each weight.
        baseline: ``"none"``, ``"previous"`` or ``"running-mean"``; the first call asks for one further loss,
            unperturbed, to begin with.
        mean_rate: rate of the running mean, in (0, 1].
        trace: λ in [0, 1): the direction that is credited is eₖ = λ eₖ₋₁ + uₖ, an eligibility trace, for losses that
            come late. 0 has none. A baseline that holds earlier losses then shortens the mean, by 1 − λ with the
            previous loss and by 1 − ρλ/(1 − λ(1 − ρ)) with a running mean of rate ρ; ``"none"`` does not.
        antithetic: ask at θ − c u_k as well; with K even, half of the directions are new and half their mirror images.
        directions, law, rng, chunk: as of :class:`~sparsefire.rules.weights.WeightRule`.

    >>> import torch; from torch import nn
    >>> net = nn.Linear(3, 1, bias=False)
    >>> rule = OneQuery(scale=0.1, baseline="running-mean", rng=0)
    >>> for _ in range(10):
    ...     loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> rule.budget.queries
    11
    """

    scale: float = 0.1
    baseline: str = "running-mean"
    mean_rate: float = 0.02
    trace: float = 0.0
    antithetic: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scale(self.scale)
        self._baseline = Baseline(self.baseline, self.mean_rate)
        self._trace: Tensor | None = None
        if not 0 <= self.trace < 1:
            raise UserError("a trace fades.", came=f"trace={self.trace!r}", expected="a number in [0, 1)")
        if self.antithetic and self.trace:
            raise UserError(
                "mirrored directions cancel in a trace.", came="antithetic=True with a trace", expected="one of the two"
            )
        if self.antithetic and self.directions % 2:
            raise UserError(
                "mirrored directions come in pairs.", came=f"directions={self.directions}", expected="an even number"
            )

    def _blocks(self, batch: Batch) -> Iterator[Tensor]:
        if not self.antithetic:
            yield from super()._blocks(batch)
            return
        size, pairs = max(1, (self.chunk or fitting(batch.active, batch.x)) // 2), self.directions // 2
        for begin in range(0, pairs, size):
            half = draw(self.law, min(size, pairs - begin), batch.active.size, self._generator, batch.active.dtype)
            yield torch.stack([half, -half], dim=1).flatten(0, 1)

    def _bits(self, active: Active) -> int:
        return super()._bits(active) // (2 if self.antithetic else 1)

    def _begin(self, batch: Batch) -> int:
        if not self._baseline.waits:
            return 0
        self._baseline.value = float(self._finite(loss_here(batch)))
        return 1

    def _ask(self, batch: Batch, directions: Tensor) -> tuple[Tensor, Tensor, int]:
        losses = self._finite(losses_at(batch, directions, (self.scale,)))[0]
        advantages = self._baseline.advantages(losses, 2 if self.antithetic else 1)
        return advantages / self.scale, losses.mean(), len(losses)

    def _shape(self, directions: Tensor) -> Tensor:
        if not self.trace:
            return directions
        trace = torch.zeros_like(directions[0]) if self._trace is None else self._trace.to(directions)
        if trace.shape != directions[0].shape:
            raise UserError(
                "the trace belongs to other weights.",
                came=f"{len(directions[0]):,} active weights",
                expected=f"{len(trace):,}, as in the calls before",
                attempt="trace=0 where the mask moves",
            )
        found = []
        for one in directions:
            trace = self.trace * trace + one
            found.append(trace)
        self._trace = trace
        return torch.stack(found)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule remembers, as plain tensors and numbers."""
        return {**super().state_dict(), "baseline": self._baseline.value, "trace": self._trace}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where such a state was taken."""
        super().load_state_dict(state)
        self._baseline.value, self._trace = state["baseline"], state["trace"]

"""Units without memory, whose input says how likely they fire."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsefire.spiking._numbers import choice, yes
from sparsefire.spiking.neurons._noise import Noise
from sparsefire.spiking.neurons.neuron import Drawn, Neuron, stacked

LINKS = ("exponential", "linear")


class Memoryless(Neuron):
    """Units that fire in each step with a probability that the input of that step gives."""

    state_type = Drawn

    def __init__(self, units: int | tuple[int, ...], dt: float, stochastic: bool, rng: Any) -> None:
        super().__init__(units, dt)
        self.stochastic, self.noise = yes("stochastic", stochastic), Noise(rng, self.units)

    def probability(self, current: Tensor) -> Tensor:
        """Return the probability to fire in a step, of the shape of the input."""
        raise NotImplementedError

    def run(self, current: Tensor, state: Any) -> tuple[Tensor, Drawn]:
        """Return spikes and where the noise is after the last step."""
        chance = self.probability(current)
        if not self.noisy:
            fired = (chance > 0.5).to(chance)
            return chance + (fired - chance).detach(), state
        places = self.places(state.drawn)
        found = [self.draw(part, places, step) for step, part in enumerate(chance)]
        return stacked(found, current), Drawn(self.later(state.drawn, len(current)))


class Bernoulli(Memoryless):
    """Units that fire with probability σ(I) = 1/(1 + exp(−I)) in each step, independently.

    The gradient is that of the probability; with ``stochastic=False`` they fire where σ(I) > ½.

    Args:
        units: how many, or the shape of a layer.
        dt: seconds per step.
        stochastic: False switches the noise off.
        rng: for the noise, which is as of :class:`~sparsefire.spiking.LIF`.

    >>> spikes, _ = Bernoulli(units=1000, rng=0)(torch.zeros(10, 1, 1000))
    >>> round(float(spikes.mean()), 1)
    0.5
    """

    def __init__(
        self, units: int | tuple[int, ...], dt: float = 1e-3, *, stochastic: bool = True, rng: Any = None
    ) -> None:
        super().__init__(units, dt, stochastic, rng)

    def probability(self, current: Tensor) -> Tensor:
        """Return σ(I)."""
        return torch.sigmoid(current)


class Poisson(Memoryless):
    """Units that fire as Poisson processes seen in steps: with probability 1 − exp(−λ dt), so at most once a step.

    λ is exp(I) (``"exponential"``: the input is the logarithm of a rate in Hz) or max(I, 0) (``"linear"``: the input is
    the rate in Hz). The gradient is that of the probability; with ``stochastic=False`` they fire where it exceeds ½.

    Args:
        units: how many, or the shape of a layer.
        dt: seconds per step.
        link: ``"exponential"`` or ``"linear"``.
        stochastic: False switches the noise off.
        rng: for the noise, which is as of :class:`~sparsefire.spiking.LIF`.

    >>> spikes, _ = Poisson(units=1000, link="linear", rng=0)(torch.full((100, 1, 1000), 20.0))
    >>> round(float(spikes.mean()), 2)  # 20 Hz in steps of 1 ms
    0.02
    """

    def __init__(
        self, units: int | tuple[int, ...], dt: float = 1e-3, *, link: str = "exponential", stochastic: bool = True,
        rng: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(units, dt, stochastic, rng)
        self.link = choice("link", link, LINKS)

    def probability(self, current: Tensor) -> Tensor:
        """Return 1 − exp(−λ dt)."""
        rate = torch.exp(current.clamp(max=60.0)) if self.link == "exponential" else current.clamp(min=0)
        return -torch.expm1(-rate * self.dt)

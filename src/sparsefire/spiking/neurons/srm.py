"""The spike response model and point-process neurons with a memory of their own spikes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sparsefire.errors import UserError
from sparsefire.spiking._numbers import choice, yes
from sparsefire.spiking.neurons._noise import Noise
from sparsefire.spiking.neurons.escape import Escape
from sparsefire.spiking.neurons.firing import refractory_period
from sparsefire.spiking.neurons.neuron import Neuron, check_step, stacked
from sparsefire.spiking.neurons.surrogates import spike

MEMORIES = ("last", "all")


class SRM0State(NamedTuple):
    """State of :class:`SRM0`.

    Attributes:
        h: what the input does to the membrane. after: what the neuron's own spikes do to it, η.
        rest: steps for which the neuron is still refractory. drawn: as of :class:`~sparsefire.spiking.LIFState`.
    """

    h: Tensor
    after: Tensor
    rest: Tensor
    drawn: Tensor | None = None


class SRM0(Neuron):
    """The spike response model SRM₀ with escape noise (Gerstner et al. 2014, Neuronal Dynamics, sections 6.4 and 9.1).

    u = h + η, with h the input filtered by the kernel (R/τ) exp(−s/τ) and η(s) = after · exp(−s/τ_after) the
    after-potential of the last spike, s ago (``memory="last"``: with constant input a renewal process), or the sum over
    all spikes (``"all"``: a generalised linear model, Truccolo et al. 2005, doi:10.1152/jn.00697.2004). In a step a
    neuron that is not refractory fires with probability 1 − exp(−ρ(u − v_threshold) dt). The input is never reset.

        h ← a h + (1 − a) (v_leak + R I),   η ← η exp(−dt/τ_after), then + or ← after where the neuron fires

    Args:
        units: how many, or the shape of a layer.
        tau: of the membrane kernel, seconds, not below dt.
        v_threshold, v_leak: potentials.
        dt: seconds per step.
        r: resistance R.
        after, tau_after: amplitude of η, negative for refractoriness, and its time constant, seconds, not below dt.
        memory: ``"last"`` or ``"all"``.
        refractory: seconds after a spike in which none can follow, rounded to steps.
        escape: the noise. stochastic: False fires above the threshold instead, with a surrogate derivative.
        rng: for the noise.

    >>> cell = SRM0(units=1, escape=Escape(rate=50.0, width=0.2), rng=0)
    >>> spikes, state = cell(torch.ones(1000, 1, 1))
    >>> int(spikes.sum())  # in a second
    19
    """

    state_type = SRM0State
    tau: Tensor
    tau_after: Tensor
    v_leak: Tensor

    def __init__(
        self, units: int | tuple[int, ...], tau: Any = 20e-3, v_threshold: Any = 1.0, dt: float = 1e-3, *,
        r: Any = 1.0, v_leak: Any = 0.0, after: Any = -1.0, tau_after: Any = 20e-3, memory: str = "last",
        refractory: float = 0.0, escape: Escape | None = None, stochastic: bool = True, rng: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(units, dt)
        for name, value in (("v_threshold", v_threshold), ("r", r), ("v_leak", v_leak), ("after", after)):
            self.parameter(name, value)
        self.parameter("tau", tau, above=0.0)
        self.parameter("tau_after", tau_after, above=0.0)
        check_step(self.dt, "exponential", tau=self.tau, tau_after=self.tau_after)
        if escape is not None and not isinstance(escape, Escape):
            raise UserError("escape is an Escape.", came=repr(escape), expected="Escape(…) or None")
        self.memory, self.refractory = choice("memory", memory, MEMORIES), refractory_period(refractory, self.dt)
        self.escape, self.stochastic = escape or Escape(), yes("stochastic", stochastic)
        self.noise = Noise(rng, self.units)

    @property
    def refractory_steps(self) -> int:
        """Steps for which a neuron that fired is refractory."""
        return round(self.refractory / self.dt)

    def initial_state(self, batch: int, like: Tensor | None = None) -> SRM0State:
        """Return h = v_leak, no spike so far, new noise."""
        zero = self.zeros(batch, like)
        return SRM0State(zero + self.v_leak.to(zero), zero, zero.clone(), self.drawn(batch, like))

    def potential(self, state: Any) -> Tensor:
        """Return h."""
        return state.h

    def run(self, current: Tensor, state: Any) -> tuple[Tensor, SRM0State]:
        """Return spikes and the state after the last step."""
        self.check_learned("tau", "tau_after")
        h, after, rest, drawn = state
        threshold, r, v_leak, jump = self.like(current, "v_threshold", "r", "v_leak", "after")
        a, left = (torch.exp(-self.dt / tau).to(current) for tau in (self.tau, self.tau_after))
        places = self.places(drawn)
        found = []
        for step, drive in enumerate((1 - a) * (v_leak + r * current)):
            h, after = a * h + drive, left * after
            distance = h + after - threshold
            if self.noisy:
                fired = self.draw(self.escape.probability(distance, self.dt), places, step)
            else:
                fired = spike(distance)
            fired = fired * (rest <= 0)
            after = after + fired * (jump - after if self.memory == "last" else jump)
            if self.refractory_steps:
                rest = torch.where(fired > 0, torch.full_like(rest, self.refractory_steps), (rest - 1).clamp(min=0))
            found.append(fired)
        return stacked(found, current), SRM0State(h, after, rest, self.later(drawn, len(current)))

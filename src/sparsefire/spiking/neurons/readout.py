"""Leaky integrators that never fire: what a network's output is read from."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from sparsefire.spiking.neurons._fused import leaky
from sparsefire.spiking.neurons.neuron import Neuron, check_step, decay


class LIState(NamedTuple):
    """State of leaky integrators: v [batch, unit]; ``drawn`` is not used."""

    v: Tensor
    drawn: Tensor | None = None


class LI(Neuron):
    """Leaky integrators, τ dv/dt = (v_leak − v) + R I (NIR's LI): a readout that gives v instead of spikes.

    Each step v ← a v + (1 − a) (v_leak + R I), with a as of :class:`~sparsefire.spiking.LIF`; the output is v.

    Args:
        units: how many, or the shape of a layer.
        tau: time constant, seconds, not below dt.
        dt: seconds per step.
        r, v_leak: resistance, potential at rest.
        discretisation: ``"exponential"`` or ``"euler"``.

    >>> import torch
    >>> v, state = LI(units=1, tau=20e-3, dt=1e-3)(torch.ones(20, 1, 1))
    >>> round(float(v[-1]), 4)  # 1 − exp(−1)
    0.6321
    """

    state_type = LIState
    tau: Tensor
    r: Tensor
    v_leak: Tensor

    def __init__(
        self, units: int | tuple[int, ...], tau: Any = 20e-3, dt: float = 1e-3, *, r: Any = 1.0, v_leak: Any = 0.0,
        discretisation: str = "exponential",
    ) -> None:  # fmt: skip
        super().__init__(units, dt)
        self.parameter("r", r)
        self.parameter("v_leak", v_leak)
        self.parameter("tau", tau, above=0.0)
        check_step(self.dt, discretisation, tau=self.tau)
        self.discretisation = discretisation

    @property
    def decay(self) -> Tensor:
        """What is left of v after a step."""
        return decay(self.tau, self.dt, self.discretisation)

    def initial_state(self, batch: int, like: Tensor | None = None) -> LIState:
        """Return v = v_leak."""
        zero = self.zeros(batch, like)
        return LIState(zero + self.v_leak.to(zero), self.drawn(batch, like))

    def potential(self, state: Any) -> None:
        """Return None: v is the output itself."""

    def run(self, current: Tensor, state: Any) -> tuple[Tensor, LIState]:
        """Return v after every step and the state after the last."""
        self.check_learned("tau")
        left = self.decay
        v = leaky(current, state.v, left.to(current), (1 - left).to(current), *self.like(current, "v_leak", "r"))
        return v, LIState(v[-1] if len(v) else state.v, state.drawn)

"""Integrate-and-fire neurons without a leak."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsefire.spiking.neurons.firing import Firing
from sparsefire.spiking.neurons.lif import LIFState


class IF(Firing):
    """Integrate-and-fire neurons without a leak: dv/dt = R I (NIR's IF, doi:10.1038/s41467-024-52259-9).

    Each step v ← v + dt R I, then spike and reset as :class:`~sparsefire.spiking.LIF`.

    Args:
        units: how many, or the shape of a layer.
        r: resistance R, per second: a current of 1 raises v by R dt a step.
        v_threshold, v_reset: potentials; v begins at v_reset.
        dt: seconds per step.
        **firing: reset, refractory, adaptation, escape, …: as of :class:`~sparsefire.spiking.LIF`.

    >>> spikes, state = IF(units=1, r=30.0, dt=10e-3)(torch.ones(100, 1, 1))
    >>> int(spikes.sum())  # above 1 after every fourth step
    25
    """

    state_type = LIFState
    r: Tensor

    def __init__(
        self, units: int | tuple[int, ...], r: Any = 1.0, v_threshold: Any = 1.0, v_reset: Any = 0.0,
        dt: float = 1e-3, **firing: Any,
    ) -> None:  # fmt: skip
        super().__init__(units, dt, v_threshold, v_reset, **firing)
        self.parameter("r", r)

    def initial_state(self, batch: int, like: Tensor | None = None) -> LIFState:
        """Return v = v_reset, nothing refractory, the threshold not raised, new noise."""
        zero = self.zeros(batch, like)
        return LIFState(zero + self.v_reset.to(zero), zero, zero.clone(), self.drawn(batch, like))

    def run(self, current: Tensor, state: Any) -> tuple[Tensor, LIFState]:
        """Return spikes and the state after the last step."""
        one = torch.ones((), dtype=current.dtype, device=current.device)
        spikes, *after = self.leaky_fire(current, state, one, self.dt * one, 0 * one, *self.like(current, "r"))
        return spikes, LIFState(*after)

"""Leaky integrate-and-fire neurons behind exponential current synapses."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sparsefire.spiking.neurons._fused import leaky
from sparsefire.spiking.neurons.firing import Firing
from sparsefire.spiking.neurons.lif import LIFState
from sparsefire.spiking.neurons.neuron import check_step, decay


class CubaLIFState(NamedTuple):
    """State of neurons with current synapses: i, what flows; the rest as :class:`~sparsefire.spiking.LIFState`."""

    i: Tensor
    v: Tensor
    rest: Tensor
    raised: Tensor
    drawn: Tensor | None = None


class CubaLIF(Firing):
    """Leaky integrate-and-fire neurons behind exponential current synapses.

    NIR's CubaLIF (doi:10.1038/s41467-024-52259-9): τ_syn di/dt = −i + w_in I and τ_mem dv/dt = (v_leak − v)
    + R i. Each step, with α and β what is left of i and v,

        i ← α i + (1 − α) w_in I,   v ← β v + (1 − β) (v_leak + R i),

    then spike and reset as :class:`~sparsefire.spiking.LIF`. A single spike of weight w thus lets w dt flow, like
    w_in = 1; for jumps of i by w itself set w_in = 1/(1 − α).

    Args:
        units: how many, or the shape of a layer.
        tau_syn, tau_mem: time constants, seconds, not below dt.
        v_threshold, v_reset, v_leak: potentials.
        dt: seconds per step.
        r, w_in: resistance, input weight.
        discretisation: ``"exponential"``, α = exp(−dt/τ), or ``"euler"``, 1 − dt/τ.
        **firing: reset, refractory, adaptation, escape, …: as of :class:`~sparsefire.spiking.LIF`.

    >>> cell = CubaLIF(units=1, tau_syn=5e-3, tau_mem=20e-3)
    >>> spikes, state = cell(torch.full((100, 1, 1), 2.0))
    >>> int(spikes.sum()), round(float(state.i), 3)
    (6, 2.0)
    """

    state_type = CubaLIFState
    tau_syn: Tensor
    tau_mem: Tensor
    r: Tensor
    v_leak: Tensor
    w_in: Tensor

    def __init__(
        self, units: int | tuple[int, ...], tau_syn: Any = 5e-3, tau_mem: Any = 20e-3, v_threshold: Any = 1.0,
        v_reset: Any = 0.0, dt: float = 1e-3, *, r: Any = 1.0, v_leak: Any = 0.0, w_in: Any = 1.0,
        discretisation: str = "exponential", **firing: Any,
    ) -> None:  # fmt: skip
        super().__init__(units, dt, v_threshold, v_reset, **firing)
        for name, value in (("r", r), ("v_leak", v_leak), ("w_in", w_in)):
            self.parameter(name, value)
        self.parameter("tau_syn", tau_syn, above=0.0)
        self.parameter("tau_mem", tau_mem, above=0.0)
        check_step(self.dt, discretisation, tau_syn=self.tau_syn, tau_mem=self.tau_mem)
        self.discretisation = discretisation

    @property
    def decays(self) -> tuple[Tensor, Tensor]:
        """What is left of i and of v after a step."""
        alpha, beta = (decay(tau, self.dt, self.discretisation) for tau in (self.tau_syn, self.tau_mem))
        return alpha, beta

    def initial_state(self, batch: int, like: Tensor | None = None) -> CubaLIFState:
        """Return i = 0, v = v_leak, nothing refractory, the threshold not raised, new noise."""
        zero = self.zeros(batch, like)
        return CubaLIFState(zero, zero + self.v_leak.to(zero), zero.clone(), zero.clone(), self.drawn(batch, like))

    def run(self, current: Tensor, state: Any) -> tuple[Tensor, CubaLIFState]:
        """Return spikes and the state after the last step."""
        self.check_learned("tau_syn", "tau_mem")
        alpha, beta = self.decays
        v_leak, r, w_in = self.like(current, "v_leak", "r", "w_in")
        a = alpha.to(current)
        i = leaky(current, state.i, a, (1 - alpha).to(current), torch.zeros_like(w_in), w_in)
        spikes, *after = self.leaky_fire(i, LIFState(*state[1:]), beta.to(current), (1 - beta).to(current), v_leak, r)
        return spikes, CubaLIFState(i[-1] if len(i) else state.i, *after)

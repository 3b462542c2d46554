"""Leaky integrate-and-fire neurons behind exponential conductance synapses."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sparsefire.errors import UserError
from sparsefire.spiking.neurons.firing import Firing
from sparsefire.spiking.neurons.neuron import check_step, stacked


class CobaLIFState(NamedTuple):
    """State of neurons with conductance synapses, the last four as of :class:`~sparsefire.spiking.LIFState`.

    Attributes:
        g_e, g_i: excitatory and inhibitory conductance, in units of the leak conductance.
    """

    g_e: Tensor
    g_i: Tensor
    v: Tensor
    rest: Tensor
    raised: Tensor
    drawn: Tensor | None = None


class CobaLIF(Firing):
    """Leaky integrate-and-fire neurons behind exponential conductance synapses.

    τ dv/dt = (v_leak − v) + g_e (v_e − v) + g_i (v_i − v), conductances in units of the leak conductance (Gerstner et
    al. 2014, Neuronal Dynamics, section 3.1). The input is what arrives in a step, as two amounts, one for g_e and one
    for g_i, [time, batch, 2, unit]; or as one number [time, batch, unit] which, where positive, raises g_e, and where
    negative g_i by its absolute amount. Such a number has lost what cancelled when it was added up: excitation and
    inhibition of one step then open nothing, and there is no shunting. Behind a linear or convolutional layer a
    :class:`~sparsefire.spiking.Sequential` keeps them apart; a :class:`~sparsefire.spiking.Recurrent` adds them up.
    Each step

        g ← g exp(−dt/τ_g) + arriving,   v ← v∞ + (v − v∞) exp(−dt (1 + g_e + g_i)/τ),
        v∞ = (v_leak + g_e v_e + g_i v_i)/(1 + g_e + g_i)

    which is exact for conductances that are constant within the step; then spike and reset as
    :class:`~sparsefire.spiking.LIF`.

    Args:
        units: how many, or the shape of a layer.
        tau, tau_e, tau_i: time constants of the membrane and of the conductances, seconds, not below dt.
        v_threshold, v_reset, v_leak: potentials.
        v_e, v_i: reversal potentials of excitation and inhibition, v_e > v_i.
        dt: seconds per step.
        **firing: reset, refractory, adaptation, escape, …: as of :class:`~sparsefire.spiking.LIF`.

    >>> cell = CobaLIF(units=1, tau_e=5e-3)
    >>> spikes, state = cell(torch.full((100, 1, 1), 0.2))
    >>> int(spikes.sum()), round(float(state.g_e), 4)  # 0.2/(1 − exp(−1/5))
    (13, 1.1033)
    >>> both = torch.tensor([0.5, 0.5]).view(1, 1, 2, 1)  # excitation and inhibition at once
    >>> [float(g) for g in cell(both)[1][:2]], [float(g) for g in cell(both[:, :, 0] - both[:, :, 1])[1][:2]]
    ([0.5, 0.5], [0.0, 0.0])
    """

    state_type = CobaLIFState
    tau: Tensor
    tau_e: Tensor
    tau_i: Tensor
    v_e: Tensor
    v_i: Tensor
    v_leak: Tensor

    def __init__(
        self, units: int | tuple[int, ...], tau: Any = 20e-3, v_threshold: Any = 1.0, v_reset: Any = 0.0,
        dt: float = 1e-3, *, tau_e: Any = 5e-3, tau_i: Any = 10e-3, v_e: Any = 4.0, v_i: Any = -1.0,
        v_leak: Any = 0.0, **firing: Any,
    ) -> None:  # fmt: skip
        super().__init__(units, dt, v_threshold, v_reset, **firing)
        for name, value in (("v_e", v_e), ("v_i", v_i), ("v_leak", v_leak)):
            self.parameter(name, value)
        for name, value in (("tau", tau), ("tau_e", tau_e), ("tau_i", tau_i)):
            self.parameter(name, value, above=0.0)
        check_step(self.dt, "exponential", tau=self.tau, tau_e=self.tau_e, tau_i=self.tau_i)
        if bool((self.v_e <= self.v_i).any()):
            raise UserError(
                "the reversal potential of excitation is not above that of inhibition.",
                came=f"v_e {float(self.v_e.min()):g}, v_i {float(self.v_i.max()):g}", expected="v_e > v_i",
            )  # fmt: skip

    def initial_state(self, batch: int, like: Tensor | None = None) -> CobaLIFState:
        """Return closed synapses, v = v_leak, nothing refractory, the threshold not raised, new noise."""
        zero = self.zeros(batch, like)
        g_e, g_i, rest, raised = (zero.clone() for _ in range(4))
        return CobaLIFState(g_e, g_i, zero + self.v_leak.to(zero), rest, raised, self.drawn(batch, like))

    def fits(self, current: Tensor) -> bool:
        """Whether a current is one amount for each unit, or two."""
        return self._both(current) or super().fits(current)

    def _both(self, current: Tensor) -> bool:
        return tuple(current.shape[2:]) == (2, *self.shape)

    def run(self, current: Tensor, state: Any) -> tuple[Tensor, CobaLIFState]:
        """Return spikes and the state after the last step."""
        self.check_learned("tau", "tau_e", "tau_i")
        g_e, g_i, v, rest, raised, drawn = state
        names = ("tau", "v_leak", "v_e", "v_i", "v_threshold", "v_reset")
        tau, v_leak, v_e, v_i, threshold, v_reset = self.like(current, *names)
        left_e, left_i = (torch.exp(-self.dt / part) for part in self.like(current, "tau_e", "tau_i"))
        places = self.places(drawn)
        if self._both(current):
            excite, inhibit = current.unbind(2)
            ups, downs = excite.clamp(min=0) + torch.relu(-inhibit), inhibit.clamp(min=0) + torch.relu(-excite)
        else:
            ups, downs = current.clamp(min=0), torch.relu(-current)  # at 0 the derivative is that of excitation
        found = []
        for step, (up, down) in enumerate(zip(ups, downs, strict=True)):
            g_e = left_e * g_e + up
            g_i = left_i * g_i + down
            total = 1 + g_e + g_i
            towards = (v_leak + g_e * v_e + g_i * v_i) / total
            free = rest <= 0
            v = torch.where(free, towards + (v - towards) * torch.exp(-self.dt * total / tau), v)
            fired = self.fire(v - (threshold + raised), places, step) * free
            v, rest, raised = self.settle(v, fired, rest, raised, threshold, v_reset)
            found.append(fired)
        return stacked(found, ups), CobaLIFState(g_e, g_i, v, rest, raised, self.later(drawn, len(current)))

"""Leaky integrate-and-fire neurons.

The names of the parameters are NIR's (doi:10.1038/s41467-024-52259-9): τ dv/dt = (v_leak − v) + R I.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from sparsefire.spiking.neurons.firing import Adaptation as Adaptation
from sparsefire.spiking.neurons.firing import Firing
from sparsefire.spiking.neurons.neuron import check_step, decay


class LIFState(NamedTuple):
    """State of leaky integrate-and-fire neurons, [batch, unit] but for ``drawn``.

    Attributes:
        v: membrane potential.
        rest: steps for which the neuron is still refractory.
        raised: by how much the threshold is raised.
        drawn: int64 [batch, 2], number of the sequence and step, which say what noise comes next; zeros without noise.
            Left out, the noise is that of new sequences.
    """

    v: Tensor
    rest: Tensor
    raised: Tensor
    drawn: Tensor | None = None


class LIF(Firing):
    """Leaky integrate-and-fire neurons.

    Each step, with a = exp(−dt/τ) (exact for a current that is constant within the step) or 1 − dt/τ (``"euler"``):

        v ← a v + (1 − a) (v_leak + R I),   s = 1[v > v_threshold + raised],
        v ← v_reset where s (``"hard"``), or v − v_threshold − raised (``"soft"``)

    With ``escape`` a neuron fires with probability 1 − exp(−ρ(v − threshold) dt); the same draw fires and resets. Noise
    belongs to a sequence: the n-th batch entry that ever began at rest draws the same numbers however a batch is split
    and time is cut into calls, and on every device. A copy, also by pickle, goes on with the same noise, and so does
    what reads ``state_dict``; ``begun`` is the n of the next one. Neurons without learned parameters
    run in compiled code on the CPU. It fires as the loop in torch does, but for draws that fall between two roundings
    of one probability: one in about 10¹⁵ in double, 10⁸ in single precision.

    Args:
        units: how many, or the shape of a layer.
        tau: membrane time constant, seconds; not below dt. Here and below one number, or one for each unit; an
            ``nn.Parameter`` is learned.
        v_threshold, v_reset, v_leak: potentials.
        r: resistance R.
        dt: seconds per step.
        reset: ``"hard"`` or ``"soft"``.
        refractory: seconds after a spike during which v stays as it was reset, rounded to steps.
        adaptation: of the threshold.
        escape: noise at the threshold; None fires exactly above it.
        stochastic: False switches the noise of ``escape`` off: the neuron then fires above its threshold.
        surrogate, steepness: see :func:`~sparsefire.spiking.surrogate_slope`; with noise the derivative is that of the
            probability instead.
        reset_gradient: whether gradients also flow through the reset; not by default, as Zenke and Vogels 2021
            (doi:10.1162/neco_a_01367) recommend.
        discretisation: ``"exponential"`` or ``"euler"``.
        rng: for the noise.

    Raises:
        UserError: for a step longer than tau, parameters that are not finite or of another shape, unknown words,
            a hard reset to or above the threshold.

    >>> import torch
    >>> cell = LIF(units=1, tau=20e-3, dt=1e-3)
    >>> spikes, state = cell(torch.full((100, 1, 1), 2.0))
    >>> int(spikes.sum()), spikes[:14, 0, 0].nonzero().tolist()  # every τ ln 2 = 13.9 ms
    (7, [[13]])
    """

    state_type = LIFState
    tau: Tensor
    r: Tensor
    v_leak: Tensor

    def __init__(
        self, units: int | tuple[int, ...], tau: Any = 20e-3, v_threshold: Any = 1.0, v_reset: Any = 0.0,
        dt: float = 1e-3, *, r: Any = 1.0, v_leak: Any = 0.0, discretisation: str = "exponential", **firing: Any,
    ) -> None:  # fmt: skip
        super().__init__(units, dt, v_threshold, v_reset, **firing)
        self.parameter("r", r)
        self.parameter("v_leak", v_leak)
        self.parameter("tau", tau, above=0.0)
        check_step(self.dt, discretisation, tau=self.tau)
        self.discretisation = discretisation

    @property
    def decay(self) -> Tensor:
        """What is left of v after a step."""
        return decay(self.tau, self.dt, self.discretisation)

    def initial_state(self, batch: int, like: Tensor | None = None) -> LIFState:
        """Return v = v_leak, nothing refractory, the threshold not raised, new noise."""
        zero = self.zeros(batch, like)
        return LIFState(zero + self.v_leak.to(zero), zero, zero.clone(), self.drawn(batch, like))

    def run(self, current: Tensor, state: Any) -> tuple[Tensor, LIFState]:
        """Return spikes and the state after the last step."""
        self.check_learned("tau")
        left = self.decay
        a, k = left.to(current), (1 - left).to(current)
        spikes, *after = self.leaky_fire(current, state, a, k, *self.like(current, "v_leak", "r"))
        return spikes, LIFState(*after)

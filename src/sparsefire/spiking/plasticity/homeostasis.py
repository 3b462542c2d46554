"""Homeostasis: neurons that fire too much, or too little, change their weights or thresholds until they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.spiking.plasticity._inputs import finite, to_numpy
from sparsefire.spiking.spikes import Spikes


class Homeostasis:
    """Synaptic scaling, and thresholds that adapt, towards a firing rate.

    Each neuron keeps a running mean r of its firing rate. A call that lasts T seconds does

        r ← r e^(−T/τ) + (1 − e^(−T/τ)) spikes/T,
        w ← w exp(scaling T (1 − r/target)) for all weights that reach it,
        v_threshold ← v_threshold + threshold T (r/target − 1)

    Scaling multiplies, as found in cortical neurons (Turrigiano et al. 1998, doi:10.1038/36103): ratios of weights, and
    zeros, stay.

    Args:
        layer: the layer in front of the neurons, ``nn.Linear`` or :class:`~sparsefire.spiking.Plastic`.
        target: Hz, above 0; one, or one for each neuron.
        neuron: the neurons behind it, for their ``v_threshold``, which becomes one for each; None where only the
            weights adapt.
        tau: seconds over which r is a mean.
        scaling: per second, 0 or more.
        threshold: in units of v_threshold per second, 0 or more; above 0 only with ``neuron``.
        dt: seconds per step of dense spikes.

    Attributes:
        firing_rates: r in Hz, float64 [neuron]; it begins at the target.

    Raises:
        UserError: for numbers out of range, neurons that do not fit the layer.

    >>> layer = nn.Linear(4, 2, bias=False); _ = nn.init.ones_(layer.weight)
    >>> care = Homeostasis(layer, target=10.0, tau=1.0, scaling=0.5)
    >>> spikes = torch.zeros(1000, 2); spikes[::50, 1] = 1  # one is silent for a second, one fires at 20 Hz
    >>> care.step(spikes)
    >>> care.firing_rates.round(2).tolist(), [round(w, 3) for w in layer.weight[:, 0].tolist()]
    ([3.68, 16.32], [1.372, 0.729])
    """

    def __init__(
        self, layer: nn.Module, target: Any, *, neuron: Any = None, tau: float = 10.0, scaling: float = 0.1,
        threshold: float = 0.0, dt: float = 1e-3,
    ) -> None:  # fmt: skip
        self.layer = getattr(layer, "layer", layer)
        if not isinstance(self.layer, nn.Linear):
            raise UserError("no layer to scale.", came=type(layer).__name__, expected="nn.Linear or Plastic")
        units = self.layer.out_features
        self.target = to_numpy(target).astype(float)
        if self.target.shape not in ((), (units,)) or not np.isfinite(self.target).all() or (self.target <= 0).any():
            raise UserError("a target is a firing rate.", came=repr(target)[:60], expected=f"Hz, one or {units}")
        self.tau, self.dt = finite("tau", tau, 0.0, least=False), finite("dt", dt, 0.0, least=False)
        self.scaling, self.threshold = finite("scaling", scaling, 0.0), finite("threshold", threshold, 0.0)
        if self.threshold and neuron is None:
            raise UserError("no thresholds to adapt.", came="neuron=None", expected="the neurons behind the layer")
        self.neuron = neuron
        if neuron is not None:
            if neuron.units != units:
                raise UserError("the neurons do not fit.", came=f"{neuron.units} neurons", expected=f"{units}")
            neuron.v_threshold = neuron.v_threshold.expand(neuron.shape).clone()
        self.firing_rates = np.broadcast_to(self.target, (units,)).copy()

    @torch.no_grad()
    def step(self, post: Any) -> None:
        """Take in spikes of the neurons and correct them.

        Args:
            post: [time, batch, neuron] or [time, neuron], the mean over the batch counts; or Spikes.

        Raises:
            UserError: for another number of neurons, no time.
        """
        rates, seconds = self._rates(post)
        keep = np.exp(-seconds / self.tau)
        self.firing_rates = keep * self.firing_rates + (1 - keep) * rates
        excess = torch.from_numpy(self.firing_rates / self.target - 1)
        if self.scaling:
            weight: Any = self.layer.weight
            factor = torch.exp(-self.scaling * seconds * excess)[:, None]
            masks.write_weight_(self.layer, weight * factor.to(weight))
        if self.threshold:
            held = self.neuron.v_threshold
            held += (self.threshold * seconds * excess).reshape(held.shape).to(held)

    def _rates(self, post: Any) -> tuple[np.ndarray, float]:
        if isinstance(post, Spikes):
            rates, seconds = post.firing_rates, post.duration
        else:
            spikes = to_numpy(post)
            if spikes.ndim not in (2, 3) or ((spikes != 0) & (spikes != 1)).any():
                raise UserError("no spikes.", came=f"shape {spikes.shape}", expected="zeros and ones [time, batch, n]")
            seconds = len(spikes) * self.dt
            rates = spikes.reshape(-1, spikes.shape[-1]).mean(axis=0, dtype=float) / self.dt if spikes.size else spikes
        if not seconds > 0 or rates.shape != self.firing_rates.shape:
            raise UserError(
                "the spikes do not fit.", came=f"{rates.shape[-1]} neurons in {seconds:g} s",
                expected=f"{len(self.firing_rates)} neurons, some time",
            )  # fmt: skip
        return rates, seconds

"""Homeostasis: neurons that fire too much, or too little, change their weights or thresholds until they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.spiking.neurons.neuron import Neuron
from sparsefire.spiking.plasticity._inputs import finite, on_wirings, to_numpy
from sparsefire.spiking.spikes import Spikes


class Homeostasis:
    """Synaptic scaling, and thresholds that adapt, towards a firing rate.

    Each neuron keeps a running mean r of its firing rate. A call that lasts T seconds does

        r ← r e^(−T/τ) + (1 − e^(−T/τ)) spikes/T,
        w ← w exp(scaling T (1 − r/target)) for all weights that reach it,
        v_threshold ← max(v_threshold + threshold T (r/target − 1), least)

    with least a hundredth of the way from the reset (v_reset; v_leak where the reset is soft) to the threshold as it
    was at first: a threshold at the reset would fire for ever.

    Scaling multiplies, as found in cortical neurons (Turrigiano et al. 1998, doi:10.1038/36103): ratios of weights, and
    zeros, stay.

    Args:
        layer: the layer in front of the neurons, ``nn.Linear`` or :class:`~sparsefire.spiking.Plastic`.
        target: Hz, above 0; one, or one for each neuron.
        neuron: the neurons behind it, for their ``v_threshold``, which becomes one for each; None where only the
            weights adapt. One that is an ``nn.Parameter`` stays it, and has one number for each already.
        tau: seconds over which r is a mean.
        scaling: per second, 0 or more.
        threshold: in units of v_threshold per second, 0 or more; above 0 only with ``neuron``.
        dt: seconds per step of dense spikes.

    Attributes:
        firing_rates: r in Hz, float64 [neuron]; it begins at the target.
        least: the lowest threshold of each neuron; None without ``neuron``.

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
            raise UserError(
                "no layer to scale.", came=type(layer).__name__, expected="nn.Linear or Plastic",
                attempt=on_wirings(layer),
            )  # fmt: skip
        units = self.layer.out_features
        given = to_numpy(target)
        numbers = given.dtype.kind in "iuf" and given.shape in ((), (units,))
        if not numbers or not np.isfinite(given).all() or (given <= 0).any():
            raise UserError("a target is a firing rate.", came=repr(target)[:60], expected=f"Hz, one or {units}")
        self.target = given.astype(float)
        self.tau, self.dt = finite("tau", tau, 0.0, least=False), finite("dt", dt, 0.0, least=False)
        self.scaling, self.threshold = finite("scaling", scaling, 0.0), finite("threshold", threshold, 0.0)
        if self.threshold and neuron is None:
            raise UserError("no thresholds to adapt.", came="neuron=None", expected="the neurons behind the layer")
        self.neuron = neuron
        self.least = None if neuron is None else _least(neuron, units)
        if neuron is not None and abs(neuron.dt - self.dt) > 1e-6 * self.dt:
            raise UserError(
                "the neurons have other steps.", came=f"dt = {neuron.dt:g} s", expected=f"dt = {self.dt:g} s",
                attempt=f"dt={neuron.dt:g}",
            )  # fmt: skip
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
            weight = masks.stored_weight(self.layer)
            factor = torch.exp(-self.scaling * seconds * excess)[:, None]
            masks.write_weight_(self.layer, weight * factor.to(weight))
        if self.threshold:
            held = self.neuron.v_threshold
            moved = held + (self.threshold * seconds * excess).reshape(held.shape).to(held)
            held.copy_(torch.maximum(moved, self.least.to(held)))  # type: ignore[union-attr]

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return what resumes it, beside the state of layer and neurons."""
        found = {"firing_rates": torch.from_numpy(self.firing_rates.copy())}
        return found if self.least is None else {**found, "least": self.least.clone()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Take back what :meth:`state_dict` returned.

        Raises:
            UserError: for the state of something else.
        """
        own = self.state_dict()
        if not isinstance(state, dict) or {name: np.shape(part) for name, part in state.items()} != {
            name: tuple(part.shape) for name, part in own.items()
        }:
            came = {name: np.shape(part) for name, part in state.items()} if isinstance(state, dict) else repr(state)
            raise UserError(
                "this is the state of something else.", came=str(came)[:80],
                expected=", ".join(f"{name} {list(part.shape)}" for name, part in own.items()),
            )  # fmt: skip
        self.firing_rates = to_numpy(state["firing_rates"]).astype(float)
        if self.least is not None:
            self.least = torch.as_tensor(state["least"]).to(self.least).clone()

    def _rates(self, post: Any) -> tuple[np.ndarray, float]:
        if isinstance(post, Spikes):
            rates, seconds = post.firing_rates, post.duration
        else:
            spikes = to_numpy(post)
            if spikes.dtype.kind not in "biuf" or spikes.ndim not in (2, 3):
                raise UserError(
                    "this is no array of spikes.", came=f"{spikes.dtype}, shape {spikes.shape}",
                    expected="zeros and ones, [time, batch, n] or [time, n]",
                )  # fmt: skip
            odd = spikes[(spikes != 0) & (spikes != 1)]
            if len(odd):
                raise UserError("spikes are zeros and ones.", came=f"{odd[0]:g}", expected="0 or 1")
            seconds = len(spikes) * self.dt
            rates = spikes.reshape(-1, spikes.shape[-1]).mean(axis=0, dtype=float) / self.dt if spikes.size else spikes
        if not seconds > 0 or rates.shape != self.firing_rates.shape:
            raise UserError(
                "the spikes do not fit.", came=f"{rates.shape[-1]} neurons in {seconds:g} s",
                expected=f"{len(self.firing_rates)} neurons, some time",
            )  # fmt: skip
        return rates, seconds


@torch.no_grad()
def _least(neuron: Any, units: int) -> torch.Tensor:
    """Give each neuron a threshold of its own, and return the lowest that they may have."""
    if not isinstance(neuron, Neuron) or not isinstance(getattr(neuron, "v_threshold", None), torch.Tensor):
        raise UserError("these are no neurons with thresholds.", came=repr(neuron)[:60], expected="LIF(…) or its kind")
    if neuron.units != units:
        raise UserError("the neurons do not fit.", came=f"{neuron.units} neurons", expected=f"{units}")
    held: Any = neuron.v_threshold
    if tuple(held.shape) != neuron.shape:
        if isinstance(held, nn.Parameter):
            raise UserError(
                "a threshold that is learned cannot become one for each neuron.", came="one nn.Parameter for all",
                expected=f"shape {list(neuron.shape)}", attempt="v_threshold=nn.Parameter(torch.ones(units))",
            )  # fmt: skip
        neuron.v_threshold = held = held.expand(neuron.shape).clone()
    hard = getattr(neuron, "reset", "soft") == "hard"
    foot: Any = neuron.v_reset if hard else getattr(neuron, "v_leak", torch.zeros(()))
    foot = foot.detach().to(held)
    return torch.minimum(held.detach(), foot + 0.01 * (held.detach() - foot).clamp(min=0)).clone()

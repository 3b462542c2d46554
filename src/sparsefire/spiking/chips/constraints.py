"""Put a network under the constraints of a chip, so that it is trained as it will run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.randomness import integer
from sparsefire.spiking.chips._device import Device, mismatched
from sparsefire.spiking.chips._no_backward import wall_off
from sparsefire.spiking.chips.chip import Chip, chip_of
from sparsefire.spiking.chips.placing import cores, layers_of
from sparsefire.spiking.neurons.neuron import Neuron, check_step


def constrain(
    net: nn.Module,
    chip: Chip | None = None,
    *,
    rng: Any = None,
    input_shape: tuple[int, ...] | None = None,
    **limits: Any,
) -> nn.Module:
    """Put the linear and convolutional layers and the neurons of a network under a chip's constraints, in place.

    The stored weight stays a number of full precision, as the accumulator of a learning rule; the layer
    computes with ``layer.weight``: its level, times the factor of its device, faded by drift. Gradients pass straight
    through rounding, so that the network can be trained as it will run. Biases stay as they are: chips keep them in the
    neuron, at higher precision. A limit of fan-in becomes a mask (:mod:`sparsefire.masks`).

    Args:
        net: any network with such layers; masked ones keep their masks.
        chip: the constraints; None takes the defaults of :class:`Chip`.
        rng: draws devices and rounding; None, an integer, or a generator.
        input_shape: of one sample at one step, to count the cores of convolutions.
        limits: single constraints by the names of :class:`Chip`, in place of those of ``chip``.

    Returns:
        The network.

    Raises:
        UserError: no such layer, a network already constrained, a neuron that no core can hold, more cores than there
            are, a time constant that mismatch makes shorter than the step (try another rng), one ``nn.Parameter`` for
            all neurons that devices would have to differ in. The network is then as it was.

    >>> layer = nn.Linear(8, 3); _ = nn.init.uniform_(layer.weight, -1, 1, torch.Generator().manual_seed(0))
    >>> net = constrain(layer, weight_bits=2, rng=0)
    >>> sorted(set(net.weight[0].detach().div(net.weight[0].abs().max()).tolist()))  # levels −s, 0 and s
    [-1.0, 0.0, 1.0]
    >>> net(torch.ones(1, 8)).sum().backward(); net.parametrizations.weight.original.grad[0].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    wanted = chip_of(chip, limits)
    found = layers_of(net)
    if not found:
        raise UserError(
            "there is nothing to constrain.", came=type(net).__name__, expected="linear layers in a network"
        )
    for name, layer in found.items():
        if device_of(layer) is not None:
            raise UserError("the network is constrained already.", came=f"layer {name!r}", expected="a free network")
    seed = integer(rng, "chip")
    parts = {name: part for name, part in net.named_modules() if isinstance(part, Neuron)}
    changed = {name: _mismatched_neuron(part, wanted.mismatch, seed, name) for name, part in parts.items()}
    kept = {name: _strongest(layer, wanted.fan_in) for name, layer in found.items()}
    if wanted.limited:
        cores(net, wanted, input_shape=input_shape, fan_in=wanted.fan_in)
    for name, layer in found.items():
        mask = kept[name]
        if mask is not None and masks.mask_of(layer) is None:
            masks.attach_(layer, mask)
        elif mask is not None:
            masks.write_mask_(layer, mask)
        parametrize.register_parametrization(layer, "weight", Device(layer, wanted, seed, name))
    for name, part in parts.items():
        for key, value in changed[name].items():
            if key in part._parameters:
                part._parameters[key].data.copy_(value)  # type: ignore[union-attr]  # the optimizer holds it
            else:
                setattr(part, key, value)
    if not wanted.backward:
        wall_off(net, [*found.values(), *parts.values()])
    return net


def age(net: nn.Module, seconds: float) -> nn.Module:
    """Set how long ago the weights were written, in units of t₀ = 1 s, and return the network.

    Args:
        net: from :func:`constrain` with ``drift``.
        seconds: from 1 on; weights are then w (t/t₀)^(−ν).

    Raises:
        UserError: a network without constraints, a time before t₀.

    >>> net = constrain(nn.Linear(4, 2), weight_bits=None, drift=0.05, rng=0); young = net.weight.detach().clone()
    >>> bool(torch.allclose(age(net, 100.0).weight, young * 100.0**-0.05))
    True
    """
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 1 <= seconds < float("inf"):
        raise UserError("the age of weights is out of range.", came=repr(seconds), expected="seconds, 1 or more")
    devices = [device for layer in layers_of(net).values() if (device := device_of(layer)) is not None]
    if not devices:
        raise UserError("the network has no devices that could age.", expected="a network from constrain")
    for device in devices:
        device.seconds = float(seconds)
    return net


def device_of(layer: nn.Module) -> Device | None:
    """Return the parametrisation by which a layer is constrained, or None.

    >>> device_of(nn.Linear(2, 2)) is None
    True
    """
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    return next((part for part in layer.parametrizations["weight"] if isinstance(part, Device)), None)  # type: ignore[index]


@torch.no_grad()
def _strongest(layer: nn.Module, fan_in: int | None) -> Tensor | None:
    """Return the mask of each neuron's largest weights, or None where all may stay."""
    weight: Any = layer.weight
    rows = weight.detach().abs().flatten(1).clone()
    own = masks.mask_of(layer)
    if own is not None:
        rows[~own.mask.flatten(1)] = -1.0
    if fan_in is None or int((rows >= 0).sum(1).max()) <= fan_in:
        return None
    best = torch.zeros_like(rows, dtype=torch.bool).scatter_(1, rows.topk(fan_in, dim=1).indices, True)
    return (best & (rows >= 0)).view_as(weight)


def _mismatched_neuron(neuron: Neuron, mismatch: float, rng: int, name: str) -> dict[str, Tensor]:
    """Return the time constants and thresholds of neurons whose devices differ."""
    if not mismatch:
        return {}
    held = {**neuron._parameters, **neuron._buffers}
    taus = [key for key, value in held.items() if key.startswith("tau") and value is not None]
    found: dict[str, Tensor] = {}
    for key in (*taus, *(["v_threshold"] if held.get("v_threshold") is not None else [])):
        value: Any = held[key]
        if isinstance(value, nn.Parameter) and tuple(value.shape) != neuron.shape:
            raise UserError(
                f"the devices of {name!r} differ in {key}, which is one learned number for all of them.",
                came=f"nn.Parameter of shape {list(value.shape)}", expected=f"shape {list(neuron.shape)}",
                attempt=f"{key}=nn.Parameter(torch.full(({', '.join(map(str, neuron.shape))},), …))",
            )  # fmt: skip
        value = value.detach()
        factor = mismatched(value.expand(neuron.shape), mismatch, rng, name, key)
        foot = _foot(neuron).to(value) if key == "v_threshold" else torch.zeros_like(value)
        found[key] = foot + (value - foot) * factor
    check_step(neuron.dt, "exponential", **{key: found[key] for key in taus})
    if getattr(neuron, "reset", None) == "hard" and bool((found["v_threshold"] <= neuron.v_reset).any()):  # type: ignore[operator]
        raise UserError(
            f"mismatch takes a threshold of {name!r} down to v_reset: a neuron that fired once would fire for ever.",
            came=f"mismatch {mismatch:g}", expected="thresholds that v_reset is clearly below", attempt="another rng",
        )  # fmt: skip
    return found


def _foot(neuron: Any) -> Tensor:
    """Return the potential that a threshold is measured from."""
    where = "v_reset" if getattr(neuron, "reset", None) == "hard" else "v_leak"
    return getattr(neuron, where, torch.zeros(())).detach()

"""How many cores a network takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.spiking._numbers import whole
from sparsefire.spiking.chips.chip import Chip


def cores(
    net: nn.Module, chip: Chip, *, input_shape: tuple[int, ...] | None = None, fan_in: int | None = None
) -> dict[str, int]:
    """Return how many cores each layer's neurons and their incoming synapses take.

    A core holds neurons of one layer, in their order, as many as its memory allows (next fit: at most twice the least
    number; the least where all have the same fan-in). Synapses count where a weight is not zero; those of a
    convolution are stored for each neuron, as on chips that do not share weights.

    Args:
        net: the network.
        chip: with ``synapses_per_core``, ``neurons_per_core``, ``bytes_per_core`` or several of them. A weight takes
            ``weight_bits`` of the bytes, 32 where that is None; biases lie with the neurons.
        input_shape: of one sample at one step, needed for convolutions.
        fan_in: counts at most so many synapses for a neuron; None takes that of the chip.

    Raises:
        UserError: no network, no chip; a neuron with more synapses than a core holds, by the name of its layer; more
            cores than the ``cores`` of the chip; a convolution without ``input_shape``.

    >>> cores(nn.Linear(100, 10), Chip(synapses_per_core=256)), cores(nn.Linear(100, 10), Chip(4, bytes_per_core=256))
    ({'': 5}, {'': 2})
    """
    found = layers_of(net)
    if not isinstance(chip, Chip):
        raise UserError("cores are those of a chip.", came=repr(chip), expected="Chip(synapses_per_core=…)")
    fan_in = chip.fan_in if fan_in is None else whole("fan_in", fan_in)
    positions = _positions(net, input_shape)
    taken = {name: _packed(name, layer, positions.get(name, 1), chip, fan_in) for name, layer in found.items()}
    if chip.cores is not None and sum(taken.values()) > chip.cores:
        each = ", ".join(f"{number} for {name!r}" for name, number in taken.items())
        raise UserError(
            "the network needs more cores than the chip has.", came=f"{sum(taken.values())}: {each}",
            expected=f"at most {chip.cores}", attempt="fewer synapses: sf.sparsify(net, density), or fan_in=",
        )  # fmt: skip
    return taken


def layers_of(net: nn.Module) -> dict[str, nn.Module]:
    """Return the linear and convolutional layers of what has to be a network.

    >>> list(layers_of(nn.Sequential(nn.Linear(3, 2), nn.Tanh())))
    ['0']
    """
    if not isinstance(net, nn.Module):
        raise UserError("this is no network.", came=type(net).__name__, expected="a torch module")
    return masks.layers(net)


def _packed(name: str, layer: nn.Module, positions: int, chip: Chip, fan_in: int | None) -> int:
    weight: Tensor = layer.weight  # type: ignore[assignment]
    counts = (weight.detach() != 0).flatten(1).sum(1)
    if fan_in is not None:
        counts = counts.clamp(max=fan_in)
    most = chip.most_synapses
    if most is not None and int(counts.max()) > most:
        size = "" if chip.bytes_per_core is None else f" of {chip.stored_bits} bits"
        raise UserError(
            f"a neuron of layer {name!r} does not fit into a core.", came=f"{int(counts.max())} synapses{size}",
            expected=f"at most {most}", attempt=f"fan_in={most}" if most else "",
        )  # fmt: skip
    number = synapses = neurons = 0
    for count in counts.repeat_interleave(positions).tolist():
        full = most is not None and synapses + count > most
        crowded = chip.neurons_per_core is not None and neurons + 1 > chip.neurons_per_core
        if number == 0 or full or crowded:
            number, synapses, neurons = number + 1, 0, 0
        synapses, neurons = synapses + count, neurons + 1
    return number


@torch.no_grad()
def _positions(net: nn.Module, input_shape: tuple[int, ...] | None) -> dict[str, int]:
    """Return how many neurons share a row of weights, by the name of the convolution."""
    found: dict[str, int] = {}
    shared = {name: layer for name, layer in masks.layers(net).items() if not isinstance(layer, nn.Linear)}
    if not shared:
        return found
    if input_shape is None:
        raise UserError(
            "how many neurons share the weights of a convolution depends on its input.",
            came=f"layer {next(iter(shared))!r} and no input_shape",
            expected="input_shape=(channels, height, width)",
        )

    def keep(name: str) -> Any:
        return lambda layer, _, output: found.update({name: output.shape[-len(layer.kernel_size) :].numel()})

    handles = [layer.register_forward_hook(keep(name)) for name, layer in shared.items()]
    try:
        net(torch.zeros(1, 1, *input_shape))
    finally:
        for handle in handles:
            handle.remove()
    return found

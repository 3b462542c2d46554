"""What running a network costs, counted in operations, by the definitions of NeuroBench (arXiv:2304.04640)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.randomness import sequences_begun
from sparsefire.spiking.chips.constraints import device_of
from sparsefire.spiking.chips.placing import layers_of
from sparsefire.spiking.neurons.neuron import Neuron
from sparsefire.spiking.neurons.readout import LI
from sparsefire.spiking.perceptron import SpikingPerceptron
from sparsefire.spiking.recurrent import Recurrent


@dataclass(frozen=True)
class Costs:
    """What one operation takes, in joules.

    Args:
        ac: an accumulation: a spike that meets a weight.
        mac: a multiplication and an addition: a number that meets a weight.
        update: one step of one neuron.
        source: where the figures are from.
        idle: one step of a neuron that no current reaches in it and that does not fire; None is ``update``.
    """

    ac: float
    mac: float
    update: float
    source: str
    idle: float | None = None

    def __post_init__(self) -> None:
        for name in ("ac", "mac", "update", "idle"):
            value = getattr(self, name)
            if name == "idle" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise UserError(f"the cost {name} is out of range.", came=repr(value), expected="joules, 0 or more")


HOROWITZ = Costs(
    0.9e-12, 4.6e-12, 4.6e-12,
    "45 nm, 32-bit floating point, arithmetic alone: addition 0.9 pJ, multiplication 3.7 pJ; an update is one of each "
    "(Horowitz 2014, doi:10.1109/ISSCC.2014.6757323)",
)  # fmt: skip
LOIHI = Costs(
    23.6e-12, 23.6e-12, 81e-12,
    "Loihi, 14 nm, simulated: synaptic operation at least 23.6 pJ, update of an active neuron 81 pJ, of an inactive "
    "one 52 pJ; taken for inactive: one that no current reaches and that does not fire (Davies et al. 2018, "
    "doi:10.1109/MM.2018.112130359)",
    idle=52e-12,
)  # fmt: skip


@dataclass(frozen=True)
class LayerOperations:
    """Synaptic operations of one layer for one sample over all steps.

    Attributes:
        dense: of all weights with all inputs, zero or not.
        effective: of weights that are not zero with inputs that are not zero.
        binary: whether all inputs are −1, 0 or 1, so that an operation is an accumulation.
    """

    name: str
    dense: float
    effective: float
    binary: bool


@dataclass(frozen=True)
class Account:
    """Operations for one sample over all of its steps, and what they cost.

    Attributes:
        layers: by layer.
        neuron_updates: steps times neurons.
        idle_updates: those of them in which no current reaches the neuron and it does not fire; none of a
            :class:`~sparsefire.spiking.Recurrent` layer.
        activation_sparsity: share of zeros in what neurons give, NaN without neurons.
        connection_sparsity: share of zeros among weights.
        footprint: bytes of the stored parameters and buffers, masks and devices among them.
        weight_bytes: of the weights that are not zero, at the bits of the chip, or as stored.
        costs: of one operation.
    """

    layers: tuple[LayerOperations, ...]
    neuron_updates: float
    idle_updates: float
    activation_sparsity: float
    connection_sparsity: float
    footprint: int
    weight_bytes: float
    costs: Costs

    @property
    def dense(self) -> float:
        """Synaptic operations, were nothing zero."""
        return sum(layer.dense for layer in self.layers)

    @property
    def acs(self) -> float:
        """Effective accumulations: a spike meets a weight that is not zero."""
        return sum(layer.effective for layer in self.layers if layer.binary)

    @property
    def macs(self) -> float:
        """Effective multiplications with addition: another number meets a weight that is not zero."""
        return sum(layer.effective for layer in self.layers if not layer.binary)

    @property
    def joules(self) -> float:
        """Energy for one sample."""
        idle = self.costs.update if self.costs.idle is None else self.costs.idle
        neurons = (self.neuron_updates - self.idle_updates) * self.costs.update + self.idle_updates * idle
        return self.acs * self.costs.ac + self.macs * self.costs.mac + neurons

    @property
    def table(self) -> str:
        """The account as text."""
        rows = [
            ("dense synaptic operations", f"{self.dense:,.0f}"),
            ("effective ACs", f"{self.acs:,.1f}"),
            ("effective MACs", f"{self.macs:,.1f}"),
            ("neuron updates", f"{self.neuron_updates:,.0f}"),
            ("of them idle", f"{self.idle_updates:,.0f}"),
            ("activation sparsity", f"{self.activation_sparsity:.4f}"),
            ("connection sparsity", f"{self.connection_sparsity:.4f}"),
            ("footprint, bytes", f"{self.footprint:,}"),
            ("weights on the chip, bytes", f"{self.weight_bytes:,.0f}"),
            ("energy, nJ", f"{1e9 * self.joules:,.3f}"),
        ]
        return "\n".join([f"{name:<28}{value:>14}" for name, value in rows] + [f"costs: {self.costs.source}"])


@torch.no_grad()
def energy(net: nn.Module, x: Tensor, *, costs: Costs = HOROWITZ, samples: int | None = None) -> Account:
    """Count what a network does with some input, for one sample over all of its steps.

    A synaptic operation is effective where an input that is not zero meets a weight that is not zero, masked and
    rounded as the layer computes with it. It is an accumulation (AC) where all inputs of the layer are −1, 0 or 1, else
    a multiplication and an addition (MAC). Biases do not count. The network runs in evaluation, and is left as it was:
    mode and noise too.

    Args:
        net: with linear or convolutional layers, and neurons. Of a :class:`~sparsefire.spiking.SpikingPerceptron` its
            ``net`` is counted, every layer in every step, as a chip would run it.
        x: spikes or currents [time, batch, …]; rows [batch, …] for a perceptron.
        costs: of operations; :data:`HOROWITZ` or :data:`LOIHI` or other figures.
        samples: how many x holds, where its second axis is not the batch.

    Raises:
        UserError: for x without time and batch, no samples, or a network without such layers.

    >>> from sparsefire.spiking import LIF, Sequential
    >>> layer = nn.Linear(3, 2); _ = layer.weight.data.copy_(torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
    >>> found = energy(Sequential(layer, LIF(2)), torch.tensor([[[1.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]]]))
    >>> found.dense, found.acs, found.macs, found.neuron_updates  # 2 steps; spikes meet 2 and 1 weights
    (12.0, 3.0, 0, 4.0)
    """
    if isinstance(net, SpikingPerceptron):
        inputs: Any = net.net[0].in_features
        if not isinstance(x, Tensor) or x.ndim < 2 or x.shape[1:].numel() != inputs:
            came = f"shape {list(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise UserError("the input does not fit the network.", came=came, expected=f"rows [batch, {inputs}]")
        steps: Any = net.steps
        net, x = net.net, x.flatten(1).expand(steps, -1, -1)
    if not isinstance(x, Tensor) or (x.ndim < 3 and samples is None):
        came = f"shape {list(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise UserError("the input needs axes of time and batch.", came=came, expected="[time, batch, …]")
    if not isinstance(costs, Costs):
        raise UserError(
            "costs are those of operations.", came=type(costs).__name__, expected="Costs(ac, mac, update, …)"
        )
    found = layers_of(net)
    if not found:
        raise UserError("there is nothing to count.", came=type(net).__name__, expected="linear layers in a network")
    batch = x.shape[1] if samples is None else samples
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise UserError("samples is how many there are.", came=repr(batch), expected="1 or more")
    counted: dict[str, list[Any]] = {name: [0.0, 0.0, True] for name in found}
    fired, updates, idle = [0.0, 0], list[float](), list[float]()

    def count(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            given, into = inputs[0].detach(), counted[name]
            weight = _weight(layer)
            into[0] += _operations(layer, torch.ones_like(given), torch.ones_like(weight))
            into[1] += _operations(layer, given != 0, weight != 0)
            into[2] = into[2] and bool(((given == 0) | (given.abs() == 1)).all())

        return hook

    def watch(neuron: nn.Module, inputs: Any, output: Any) -> None:
        spikes = output[0]
        updates.append(spikes.numel() / batch)
        silent = spikes == 0 if not isinstance(neuron, LI) else torch.ones_like(spikes, dtype=torch.bool)
        if not isinstance(neuron, Recurrent):  # whose own spikes are currents, too
            reached = inputs[0] != 0
            reached = reached.any(2) if reached.ndim > silent.ndim else reached  # by excitation or inhibition
            idle.append(float((~reached & silent).sum()) / batch)
        if not isinstance(neuron, LI):  # whose output is a potential
            fired[0] += float(spikes.count_nonzero())
            fired[1] += spikes.numel()

    handles = [layer.register_forward_pre_hook(count(name)) for name, layer in found.items()]
    handles += [part.register_forward_hook(watch) for part in net.modules() if isinstance(part, Neuron)]
    modes = [(part, part.training) for part in net.modules()]
    begun = sequences_begun(net.modules())
    try:
        net.eval()(x)
    finally:
        for handle in handles:
            handle.remove()
        for part, training in modes:
            part.training = training
        for neuron, number in begun:
            neuron.begun = number
    weights = {name: _weight(layer) for name, layer in found.items()}
    kept = {name: int(weight.count_nonzero()) for name, weight in weights.items()}
    return Account(
        layers=tuple(
            LayerOperations(name, dense / batch, some / batch, ac) for name, (dense, some, ac) in counted.items()
        ),
        neuron_updates=sum(updates),
        idle_updates=sum(idle),
        activation_sparsity=1 - fired[0] / fired[1] if fired[1] else math.nan,
        connection_sparsity=1 - sum(kept.values()) / sum(weight.numel() for weight in weights.values()),
        footprint=sum(tensor.numel() * tensor.element_size() for tensor in [*net.parameters(), *net.buffers()]),
        weight_bytes=sum(kept[name] * _bits(layer) / 8 for name, layer in found.items()),
        costs=costs,
    )


def _weight(layer: Any) -> Tensor:
    return layer.weight.detach()


def _operations(layer: Any, x: Tensor, weight: Tensor) -> float:
    """Return the sum of what a layer gives for x with these weights and no bias: for ones and zeros, a count."""
    x, weight = x.double(), weight.double()
    if isinstance(layer, nn.Linear):
        return float(x.flatten(0, -2).sum(0) @ weight.sum(0))
    return float(layer._conv_forward(x, weight, None).sum())


def _bits(layer: nn.Module) -> int:
    device = device_of(layer)
    if device is None or device.chip.weight_bits is None:
        return 8 * masks.own_parameter(layer).element_size()
    return device.chip.weight_bits

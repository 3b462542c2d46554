"""A chain of layers and neurons over time."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.spiking._arrivals import apart, takes_both
from sparsefire.spiking.indexed import by_itself, linear
from sparsefire.spiking.neurons.neuron import Neuron


class Sequential(nn.Sequential):
    """Layers and neurons one after another, over all time steps at once.

    A layer without state (``Linear``, ``Conv2d``, a masked or sparse one, an activation) sees all steps as one batch,
    which is one matrix product instead of one per step. Neurons get their part of the state,
    and a chain within a chain too.

    Where the input of a ``Linear``, also within a :class:`~sparsefire.spiking.Plastic`, are few spikes on the CPU, only
    the weights of inputs that fired are looked up, see :func:`~sparsefire.spiking.linear_of_spikes`;
    ``indexed = False`` on the object switches that off.

    A synapse opens one conductance: a linear or convolutional layer right in front of a
    :class:`~sparsefire.spiking.CobaLIF` hands it two sums, of positive and of negative contributions, by two dense
    products. With anything in between, an ``nn.Identity`` too, or a layer at the end of a chain within this one, they
    are added up first, and cancel.

    Raises:
        UserError: two noisy layers with one ``rng``, neurons with steps of different length.

    >>> import torch
    >>> from sparsefire.spiking import LIF
    >>> net = Sequential(torch.nn.Linear(30, 40), LIF(40), torch.nn.Linear(40, 5), LIF(5))
    >>> spikes, state = net(torch.rand(25, 8, 30))
    >>> spikes.shape, len(state)
    (torch.Size([25, 8, 5]), 2)
    """

    indexed = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        neurons = [part for part in self.modules() if isinstance(part, Neuron)]
        noisy = {id(part): part.noise.key for part in neurons if part.noise is not None}
        if len(set(noisy.values())) < len(noisy):
            raise UserError(
                "two layers would draw the same noise.", came="two neurons with one rng",
                expected="an rng for each layer", attempt="rng=0 for one, rng=1 for the other",
            )  # fmt: skip
        rules = (getattr(getattr(part, "stdp", None), "dt", None) for part in self.modules())
        steps = sorted({part.dt for part in neurons} | {dt for dt in rules if isinstance(dt, float)})
        if steps and steps[-1] > steps[0] * (1 + 1e-6):
            raise UserError(
                "neurons and rules of a chain share their steps.", came=f"dt = {steps[0]:g} s and {steps[-1]:g} s",
                expected="one dt for all",
            )  # fmt: skip

    def forward(self, x: Tensor, state: tuple[Any, ...] | None = None) -> tuple[Tensor, tuple[Any, ...]]:
        """Return what the last layer makes of x [time, batch, …], and the state of every neuron layer.

        Args:
            x: spikes or currents [time, batch, …].
            state: from an earlier call, or None for rest.

        Raises:
            UserError: for x without time and batch or of whole numbers, a state of another network.
        """
        if not isinstance(x, Tensor) or x.ndim < 3:
            came = f"shape {list(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise UserError("the input needs axes of time and batch.", came=came, expected="[time, batch, …]")
        if not x.is_floating_point():
            raise UserError("the input is a floating-point tensor.", came=f"{x.dtype}", attempt="x.float()")
        number = sum(isinstance(part, Neuron | Sequential) for part in self)
        if state is not None and (not isinstance(state, tuple | list) or len(state) != number):
            came = f"{len(state)} parts" if isinstance(state, tuple | list) else type(state).__name__
            raise UserError("the state is of another network.", came=came, expected=f"{number} parts")
        after: list[Any] = []
        for part, following in zip_longest(self, list(self)[1:]):
            if isinstance(part, Neuron | Sequential):
                x, new = part(x, None if state is None else state[len(after)])
                after.append(new)
            else:
                time, batch = x.shape[:2]
                rows = x.flatten(0, 1)
                made = apart(part, _layer_of(part), rows) if takes_both(following) else None
                layer = _within(part)
                if made is None and isinstance(layer, nn.Linear) and rows.ndim == 2:
                    made = linear(layer, rows, indexed=self.indexed)
                elif made is None:
                    made = part(rows)
                x = made.unflatten(0, (time, batch))
        return x, tuple(after)


def _within(part: nn.Module) -> nn.Module:
    """Return the layer that does the work of a part: of a plastic one its own, if nobody listens to it."""
    layer = _layer_of(part)
    return layer if layer is part or by_itself(part, type(part)) else part


def _layer_of(part: nn.Module) -> nn.Module:
    """Return the layer within a part, or the part itself."""
    if not isinstance(getattr(part, "layer", None), nn.Linear):
        return part
    from sparsefire.spiking.plasticity.plastic import Plastic  # late: it loads numba

    return part.layer if isinstance(part, Plastic) and type(part).forward is Plastic.forward else part

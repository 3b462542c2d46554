"""Structural plasticity: weak synapses go, as many grow elsewhere, by the topologies of ``sparsity``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.recipes import recipe
from sparsefire.sparsity.topology.moving import Growth
from sparsefire.spiking.plasticity._inputs import finite

FOREVER = 2**62


class StructuralPlasticity:
    """Make layers that learn by spikes sparse, and keep rewiring them: the density stays exactly what it is.

    Every ``every`` calls of :meth:`step` the weakest ``share`` of the synapses of each layer are pruned, and as many
    grow where none were, at random: sparse evolutionary training (arXiv:1707.04780), applied to weights that no
    gradient has touched.

    Args:
        net: a network, or one :class:`~sparsefire.spiking.Plastic`; masked in place.
        density: share of weights that exist, in (0, 1].
        every: calls of ``step`` between two moves, 1 or more.
        share: of the synapses that move each time, in [0, 1].
        w_new: weight of a synapse that has just grown.
        growth: from the network to a score of every weight by layer name; the highest among those missing grow. None
            grows at random.
        optimizer: the one that takes the steps where layers learn ``into="grad"``: what grows has no moments; None for
            layers that learn in place.
        layout: how the density is shared out over layers, as of :func:`~sparsefire.sparsify`.
        layers: names of the layers that are made sparse; None takes all.
        rng: see :func:`sparsefire.randomness.entropy`.

    Attributes:
        topology: the topology, as :func:`~sparsefire.sparsify` returns it.

    Raises:
        UserError: for numbers out of range, a network that is masked or constrained already: the constraints of a chip
            (:func:`~sparsefire.spiking.constrain`) come after this.

    >>> from sparsefire import spiking
    >>> plastic = spiking.Plastic(nn.Linear(20, 10), spiking.STDP())
    >>> rewiring = StructuralPlasticity(plastic, density=0.1, every=2, share=0.5, rng=0)
    >>> [rewiring.step() for _ in range(4)], masks.density(plastic)
    ([0, 10, 0, 10], 0.1)
    """

    def __init__(
        self, net: nn.Module, density: float, *, every: int = 1, share: float = 0.1, w_new: float = 0.0,
        growth: Growth | None = None, optimizer: Any = None, layout: Any = None, layers: Iterable[str] | None = None,
        rng: Any = None,
    ) -> None:  # fmt: skip
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise UserError("every is a number of steps.", came=repr(every), expected="1 or more")
        if not isinstance(net, nn.Module):
            raise UserError("this is no network.", came=type(net).__name__, expected="a torch module")
        if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
            raise UserError("this is no optimizer.", came=type(optimizer).__name__, expected="one of torch, or None")
        self.net, self.w_new = net, finite("w_new", w_new)
        options = {"every": every, "share": finite("share", share, 0.0, 1.0), "end": 1.0, "growth": growth}
        # SET clears moments of what it grows, and so asks for an optimizer; one that never steps has none.
        optimizer = torch.optim.SGD(net.parameters(), lr=0.0) if optimizer is None else optimizer
        self.topology = sparsify(
            net, density, replace(recipe("set"), options=options), layout, optimizer, steps=FOREVER, layers=layers,
            rng=rng,
        )  # fmt: skip

    @torch.no_grad()
    def step(self) -> int:
        """Count one step and rewire if it is time; return how many synapses grew."""
        before = {name: mask.clone() for name, mask in masks.masks(self.net).items()}
        self.topology.step()
        grown = 0
        for name, layer in masks.masked(self.net).items():
            fresh = masks.masks(layer)[""] & ~before[name]
            grown += int(fresh.sum())
            if self.w_new and fresh.any():
                weight = masks.stored_weight(layer)
                masks.write_weight_(layer, torch.where(fresh, torch.full_like(weight, self.w_new), weight))
        return grown

    def state_dict(self) -> dict[str, Any]:
        """Return the plain numbers that resume it, beside the state of the network, which holds the masks."""
        return self.topology.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` returned."""
        self.topology.load_state_dict(state)

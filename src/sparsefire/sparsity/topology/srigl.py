"""SRigL: RigL with the same fan-in for all units that live.

M. Lasby, A. Golubeva, U. Evci, M. Nica, Y. A. Ioannou. Dynamic sparse training with structured sparsity, ICLR 2024.
arXiv:2305.02299
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity.patterns import keep_in_rows
from sparsefire.sparsity.ranking import keep_largest
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.moving import RigL
from sparsefire.sparsity.whole_units import multiples


class SRigL(RigL):
    """Move weights as RigL does, so that every live unit of a layer has as many, and let units die.

    In a layer of nₗ weights of which K = round(f(t) · nₗ) move (f as of :class:`Moving`), weights are *salient* that
    are among the nₗ − K largest |w| or among the K largest |∂L/∂w| of the absent ones. Units with fewer than
    max(1, ⌊γ k⌋) salient weights are ablated, where k is the fan-in the layer started with; at least ⌈nₗ / inputs⌉
    units, those with most salient weights, live on, and the last layer keeps all its units. The live units get the
    fan-in nₗ / live, rounded: all weights of live units but the nₗ − K largest leave, and the smallest of units that
    would have too many; each live unit then grows where its gradients are largest, those just dropped included,
    until it has its fan-in. An ablated unit returns if enough of its gradients are salient.

    Fan-ins are rounded together (:func:`~sparsefire.sparsity.whole_units.multiples`): the number of weights differs
    from that of the start by at most half of the largest number of live units of a layer, and by a thousandth where
    layers can balance each other's errors. The published code rounds every layer down. It ranks the gradients of
    present weights too; the paper, as here, those of absent ones.

    Args:
        setting: as of :class:`Moving`, masked with the pattern ``"fan-in"``.
        gamma: γ, share of the fan-in that must be salient, in [0, 1]; 0 never ablates. The published runs of ResNet-50
            on ImageNet take 0.3.
        options: of :class:`Moving`.

    Raises:
        UserError: ``gamma`` outside [0, 1], or masks without a constant fan-in.
    """

    pattern = "fan-in"
    bounded = False

    def __init__(self, setting: Setting, gamma: float = 0.3, **options: Any) -> None:
        super().__init__(setting, **options)
        if not 0 <= gamma <= 1:
            raise UserError("gamma is a share of the fan-in.", came=f"gamma={gamma!r}", expected="a number in [0, 1]")
        self.gamma = gamma
        self.counts = {name: int(mask.sum()) for name, mask in masks.masks(self.net).items()}
        for name, mask in masks.masks(self.net).items():
            if len(mask.flatten(1).sum(1).unique()) > 1:
                raise UserError(
                    f"the units of layer {name!r} differ in fan-in.",
                    came=f"pattern {setting.pattern!r}",
                    expected="masks of the pattern 'fan-in'",
                )

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **{f"count.{name}": count for name, count in self.counts.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.counts = {name: int(state[f"count.{name}"]) for name in self.counts}

    @torch.no_grad()
    def _move(self) -> None:
        wanted = self.scores() if self.growth is None else self.growth(self.net)
        found = masks.masked(self.net)
        names = [name for name, mask in masks.masks(self.net).items() if self.counts[name] < mask.numel()]
        if not names:
            return
        last = list(found)[-1]
        live, weights, moved = {}, {}, {}
        for name in names:
            module: Any = found[name]
            mask = masks.mask_of(module).mask.flatten(1)  # type: ignore[union-attr]
            weights[name] = module.weight.abs().flatten(1).masked_fill(~mask, -torch.inf)
            moved[name] = round(self.moves(self.steps_done) * self.counts[name])
            gradients = wanted[name].to(weights[name]).flatten(1).masked_fill(mask, -torch.inf)
            needed = 0 if name == last else self._needed(name, mask.shape[0])
            live[name] = living(weights[name], gradients, self.counts[name], moved[name], needed)
        alive = [int(live[name].sum()) for name in names]
        inputs = [weights[name].shape[1] for name in names]
        fan_ins = multiples([self.counts[name] for name in names], alive, inputs)
        stays: dict[str, Tensor] = {}
        grows: dict[str, Tensor] = {}
        for name, fan_in in zip(names, fan_ins, strict=True):
            kept = weights[name].masked_fill(~live[name][:, None], -torch.inf)
            left = min(self.counts[name] - moved[name], int((kept > -torch.inf).sum()))
            stay = keep_largest([kept], left)[0]
            stay &= keep_in_rows(kept, fan_in)
            open_to = wanted[name].to(kept).flatten(1).masked_fill(stay, -torch.inf)
            grown = keep_in_rows(open_to, torch.where(live[name], fan_in - stay.sum(1), 0))
            shape = masks.mask_of(found[name]).mask.shape  # type: ignore[union-attr]
            stays[name], grows[name] = stay.view(shape), grown.view(shape)
        self._exchange(stays, grows)

    def _needed(self, name: str, units: int) -> int:
        """Return how many salient weights a unit needs to live."""
        return max(1, int(self.gamma * (self.counts[name] // units))) if self.gamma else 0


def living(weights: Tensor, gradients: Tensor, count: int, moved: int, needed: int) -> Tensor:
    """Return which units of a layer have enough salient weights to live, ``[units]``, bool.

    Args:
        weights: |w|, ``[units, inputs]``, −∞ where there is none.
        gradients: |∂L/∂w| of absent weights, −∞ at present ones.
        count: of weights of the layer; at least ⌈count / inputs⌉ units live.
        moved: K, how many weights move.
        needed: salient weights that a unit must have.

    >>> inf = torch.inf
    >>> weights = torch.tensor([[5.0, -inf], [1.0, -inf], [4.0, -inf]])
    >>> gradients = torch.tensor([[-inf, 1.0], [-inf, 2.0], [-inf, 3.0]])
    >>> living(weights, gradients, 3, 1, 1).tolist()
    [True, False, True]
    """
    salient = keep_largest([weights], max(0, count - moved))[0] & (weights > -torch.inf)
    salient |= keep_largest([gradients], min(moved, gradients.numel()))[0] & (gradients > -torch.inf)
    number = salient.sum(1)
    enough = number >= needed
    least = -(-count // weights.shape[1])
    return enough if int(enough.sum()) >= least else keep_largest([number], least)[0]

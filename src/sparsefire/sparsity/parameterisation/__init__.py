"""How a weight is made of what is trained: parametrisations of one mask each, and what goes along with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from sparsefire import masks, randomness
from sparsefire.masks import Masked
from sparsefire.masks.groups import join_
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.base import Control


@dataclass(frozen=True)
class Parameterisation:
    """One way to make a weight of trained numbers.

    Attributes:
        name: what people call it.
        make: from a mask and the weight to start from to the parametrisation of a layer; with ``draws`` it also takes
            ``rng=``, an int of the layer's own.
        control: what moves with the steps, made from the setting; None if nothing does.
        needs: beside the optimizer, which its parameters join.
        draws: whether it draws random numbers.
        first: whether only the first layer has it; the others then carry a plain mask.
        decay: which keep the weight decay of the optimizer: the ``"weight"`` as it stood, ``"none"`` where a penalty in
            the loss takes its place, or ``"all"``, new parameters too.
        rate: learning rate of the new parameters, as a multiple of that of their weight; 1 without decay.
    """

    name: str
    make: Callable[..., Masked]
    control: Callable[[Setting], Control] | None = None
    needs: frozenset[str] = frozenset()
    draws: bool = False
    first: bool = False
    decay: str = "weight"
    rate: float = 1.0


def attach(setting: Setting, drawn: dict[str, Tensor], chosen: Parameterisation | None) -> None:
    """Mask every layer, with the parametrisation chosen, and hand new parameters to the optimizer and its scheduler.

    New parameters join the options of their weight's group, without weight decay by default. Where a penalty of the
    method takes the place of decay, the weight moves to the new group, too: decoupled decay (AdamW) of two factors is
    no ℓ1 penalty on their product. :func:`sparsefire.bake` undoes it where it is given the optimizer.
    """
    added: list[tuple[Any, list[Any]]] = []
    for number, (name, module) in enumerate(masks.maskable(setting.net, setting.layers).items()):
        if chosen is None or (chosen.first and number):
            masks.attach_(module, drawn[name])
            continue
        weight: Any = module.weight
        make = chosen.make
        if chosen.draws:
            make = partial(make, rng=randomness.integer(setting.rng, f"parameterisation {name}"))
        parametrisation = make(drawn[name], weight)
        masks.attach_(module, parametrisation)
        added.append((weight, list(parametrisation.parameters())))
    if setting.optimizer is not None and chosen is not None:
        for group in list(setting.optimizer.param_groups):  # one new group each: every group costs time in every step
            own = [(weight, fresh) for weight, fresh in added if any(p is weight for p in group["params"])]
            if own and (chosen.decay == "none" or any(fresh for _, fresh in own)):
                move, decay = chosen.decay == "none", chosen.decay == "all"
                join_(setting.optimizer, setting.scheduler, group, own, move=move, decay=decay, rate=chosen.rate)

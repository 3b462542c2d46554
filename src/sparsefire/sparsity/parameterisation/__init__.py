"""How a weight is made of what is trained: parametrisations of one mask each, and what goes along with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from sparsefire import masks, randomness
from sparsefire.masks import Masked
from sparsefire.sparsity.setting import Optimizer, Setting
from sparsefire.sparsity.topology.base import Control

_RATES = ("lr", "initial_lr", "max_lr", "min_lr")


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
    no ℓ1 penalty on their product.
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
                _join(setting.optimizer, setting.scheduler, group, own, chosen)


def _join(
    optimizer: Optimizer,
    scheduler: Any,
    group: dict[str, Any],
    added: list[tuple[Any, list[Any]]],
    chosen: Parameterisation,
) -> None:
    """Add a group for what comes with the weights of one group."""
    options = {key: value for key, value in group.items() if key != "params"}
    if chosen.decay != "all" and "weight_decay" in options:
        options["weight_decay"] = 0.0
    for rate in _RATES:
        if rate in options:
            options[rate] = options[rate] * chosen.rate
    fresh = [parameter for _, parameters in added for parameter in parameters]
    if chosen.decay == "none":  # its rate is one: factors are equals
        moved = {id(weight) for weight, _ in added}
        group["params"] = [p for p in group["params"] if id(p) not in moved]
        fresh = [parameter for weight, parameters in added for parameter in (weight, *parameters)]
    optimizer.add_param_group({**options, "params": fresh})
    if scheduler is not None:
        _follow(scheduler, group, chosen.rate)


def _follow(scheduler: Any, group: dict[str, Any], times: float) -> None:
    """Extend what a scheduler keeps per group; a sequence of schedulers keeps it in each of its parts."""
    for part in getattr(scheduler, "_schedulers", ()):
        _follow(part, group, times)
    position = next(i for i, g in enumerate(scheduler.optimizer.param_groups) if g is group)
    for name in ("base_lrs", "max_lrs", "min_lrs", "lr_lambdas", "_last_lr"):
        values = getattr(scheduler, name, None)
        if isinstance(values, list) and position < len(values):
            values.append(values[position] if name == "lr_lambdas" else values[position] * times)

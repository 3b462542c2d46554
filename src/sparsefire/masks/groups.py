"""Parameters that come and go with a parametrisation: how they join the groups of an optimizer, and leave them.

Parameters join in a group of their own, which keeps two entries beside the options of torch: ``home``, the number of
the group that their weights are, or were, in, and ``places``, for every parameter the place there that it was taken
from, −1 for one that is new. They are plain numbers, so checkpoints keep them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

HOME, PLACES = "home", "places"
_PER_GROUP = ("base_lrs", "max_lrs", "min_lrs", "_last_lr", "lr_lambdas", "base_momentums", "max_momentums")
_NO_RATES = ("lr_lambdas", "base_momentums", "max_momentums")  # of what schedulers keep
_RATES = ("lr", "initial_lr", "max_lr", "min_lr")


def join_(
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    group: dict[str, Any],
    added: list[tuple[nn.Parameter, list[nn.Parameter]]],
    *,
    move: bool = False,
    decay: bool = False,
    rate: float = 1.0,
) -> None:
    """Add a group for parameters that come with weights of one group.

    Args:
        optimizer: whose group it is.
        scheduler: of this optimizer, which learns of the new group; or None.
        group: the one that holds the weights; its options are those of the new one.
        added: weights of this group, each with the parameters that come with it.
        move: whether the weights go over to the new group, too.
        decay: whether the new group has the weight decay of the old one; otherwise it has none.
        rate: learning rate of the new group, as a multiple of that of the old one.
    """
    options = {key: value for key, value in group.items() if key not in ("params", HOME, PLACES)}
    if not decay and "weight_decay" in options:
        options["weight_decay"] = 0.0
    for name in _RATES:
        if name in options:
            options[name] = options[name] * rate
    position = next(i for i, other in enumerate(optimizer.param_groups) if other is group)
    places = {id(parameter): place for place, parameter in enumerate(group["params"])}
    joining = [p for weight, fresh in added for p in ([weight, *fresh] if move else fresh)]
    if move:
        moved = {id(weight) for weight, _ in added}
        group["params"] = [p for p in group["params"] if id(p) not in moved]
    home = {HOME: position, PLACES: [places.get(id(p), -1) for p in joining]}
    optimizer.add_param_group({**options, **home, "params": joining})
    for part in parts_of(scheduler):
        for name, values in per_group(part).items():
            if position < len(values):
                values.append(values[position] if name in _NO_RATES else values[position] * rate)


def leave_(
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    gone: Iterable[nn.Parameter],
    back: Iterable[nn.Parameter],
) -> None:
    """Undo :func:`join_`: parameters go with their state, weights return to where they were, empty groups go.

    Args:
        optimizer, scheduler: as of :func:`join_`.
        gone: parameters that the network has no longer.
        back: weights that go back to the group, and to the place, that they were taken from.
    """
    dead, returning = list(gone), {id(parameter) for parameter in back}
    names = {id(parameter) for parameter in dead}
    for group in reversed(optimizer.param_groups):  # a group joined later may hold what an earlier one was given
        if HOME not in group:
            continue
        held = list(zip(group["params"], group[PLACES], strict=True))
        stays = [(p, place) for p, place in held if id(p) not in names and (place < 0 or id(p) not in returning)]
        away = sorted(place for _, place in stays if place >= 0)
        home = optimizer.param_groups[group[HOME]]
        for parameter, place in sorted(held, key=lambda one: one[1]):
            if place < 0 or id(parameter) not in returning:
                continue
            at = place - sum(other < place for other in away)
            home["params"].insert(at, parameter)
            if PLACES in home:
                home[PLACES].insert(at, -1)
        group["params"], group[PLACES] = [p for p, _ in stays], [place for _, place in stays]
    for parameter in dead:
        optimizer.state.pop(parameter, None)
    for position in reversed(range(len(optimizer.param_groups))):
        if HOME in optimizer.param_groups[position] and not optimizer.param_groups[position]["params"]:
            del optimizer.param_groups[position]
            for part in parts_of(scheduler):
                for values in per_group(part).values():
                    del values[position : position + 1]


def parts_of(scheduler: Any) -> list[Any]:
    """Return a scheduler and, if it is made of others, all of them; nothing for None."""
    if scheduler is None:
        return []
    return [scheduler, *(inner for part in getattr(scheduler, "_schedulers", ()) for inner in parts_of(part))]


def per_group(scheduler: Any) -> dict[str, list[Any]]:
    """Return the lists in which a scheduler keeps one value for each group, by name."""
    found = {name: getattr(scheduler, name, None) for name in _PER_GROUP}
    return {name: values for name, values in found.items() if isinstance(values, list)}

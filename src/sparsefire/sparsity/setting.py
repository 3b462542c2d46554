"""What a method works with, and the checks that come before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsefire import masks
from sparsefire.errors import UserError

Optimizer = torch.optim.Optimizer
Scheduler = torch.optim.lr_scheduler.LRScheduler
Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Setting:
    """What :func:`~sparsefire.sparsity.sparsify` was given, once it has been checked; the parts of a recipe read it.

    Attributes:
        net: the network; its layers are masked by the time a topology sees it.
        density: share of weights kept at the end.
        layout: how it is shared out over layers, or ``"global"``.
        score: name of the score that ranks weights.
        pattern: which sets of weights may stay.
        method: as it was asked for, for messages.
        optimizer, scheduler, steps: of the training; None where the method does without.
        rng: see :func:`sparsefire.randomness.entropy`.
        data: inputs and targets of one batch, for scores that look at data.
        loss: ``loss(output, target)``, a scalar, for scores that look at gradients.
        layers: names of those to mask, or None; see :func:`sparsefire.masks.maskable`.
        chances: relative chance of each weight by layer, 0 where it may not exist, where a layout was given so; see
            :mod:`sparsefire.sparsity.given`.
    """

    net: nn.Module
    density: float = 1.0
    layout: str = "global"
    score: str = "magnitude"
    pattern: str = "unstructured"
    method: str = "static"
    optimizer: Optimizer | None = None
    scheduler: Scheduler | None = None
    steps: int | None = None
    rng: Any = None
    data: tuple[Any, Any] | None = None
    loss: Loss | None = None
    layers: tuple[str, ...] | None = None
    chances: Mapping[str, Tensor] | None = None


def check_between(options: dict[str, Any], name: str, low: float, high: float) -> None:
    """Raise if an option that is given lies outside [low, high].

    >>> check_between({"share": 0.3}, "share", 0, 1)
    """
    value = options.get(name)
    if value is not None and not low <= value <= high:
        raise UserError(f"{name} is out of range.", came=f"{name}={value!r}", expected=f"from {low:g} to {high:g}")


def check_network(net: nn.Module, names: Iterable[str] | None = None) -> dict[str, nn.Module]:
    """Return the layers to mask, or raise what is wrong with them."""
    found = masks.maskable(net, names)
    if not found:
        raise UserError(
            "this network has no weights to make sparse.",
            came=type(net).__name__,
            expected="at least one linear or convolutional layer",
        )
    owners: dict[int, list[str]] = {}
    for owner, module in net.named_modules():
        for name, parameter in module.named_parameters(owner, recurse=False, remove_duplicate=False):
            owners.setdefault(id(parameter), []).append(name)
    for name, module in found.items():
        if masks.mask_of(module) is not None:
            raise UserError(
                f"layer {name!r} is masked already.",
                came="a second call of sparsify on one network",
                expected="a plain network",
                attempt="sf.bake(net) first",
            )
        if parametrize.is_parametrized(module, "weight"):
            parts = list(module.parametrizations["weight"])  # type: ignore[index]
            on_chip = any(getattr(part, "stores", False) for part in parts)
            remove = 'torch.nn.utils.parametrize.remove_parametrizations(layer, "weight") first'
            raise UserError(
                f"the weight of layer {name!r} has a parametrisation of its own, such as a weight norm or a chip.",
                came=", ".join(type(part).__name__ for part in parts),
                expected="a plain weight",
                attempt="sparsify first, then constrain" if on_chip else remove,
            )
        if len(owners[id(module.weight)]) > 1:
            raise UserError(
                f"the weight of layer {name!r} has more than one owner, which one mask cannot serve.",
                came=" and ".join(owners[id(module.weight)]),
                expected="a weight of its own for every layer",
            )
        if not module.weight.requires_grad:
            raise UserError(
                f"layer {name!r} is frozen, and a mask that is learned or trained around needs its gradient.",
                came="requires_grad=False",
                expected="requires_grad=True, or the layer left out of the network given",
            )
    return found


def check_inputs(setting: Setting) -> None:
    """Raise at the first layer that does not show what enters it to a score that looks there."""
    for name, module in masks.maskable(setting.net, setting.layers).items():
        if not isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            raise UserError(
                f"score {setting.score!r} looks at what enters a layer, and layer {name!r} does not show it.",
                came=type(module).__name__,
                expected="linear layers and convolutions; name them with layers=[...]",
            )


def check_joined(net: nn.Module, method: str) -> None:
    """Raise when parameters would be added to a network whose gradients are averaged already, without them."""
    if any(isinstance(module, nn.parallel.DistributedDataParallel) for module in net.modules()):
        raise UserError(
            f"method {method!r} adds parameters, whose gradients DistributedDataParallel would not average.",
            came="a network that is wrapped already",
            expected="the network itself: sparsify first, then DistributedDataParallel",
        )


def check_optimizer(
    net: nn.Module, optimizer: Optimizer | None, method: str, names: Iterable[str] | None = None
) -> Optimizer:
    """Return the optimizer, or raise when it is missing or holds none of the network's weights."""
    if optimizer is None:
        raise UserError(f"method {method!r} needs the optimizer.", expected="sparsify(..., optimizer=optimizer)")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [name for name, module in masks.maskable(net, names).items() if id(module.weight) not in held]
    if missing:
        raise UserError(
            f"the optimizer does not hold the weight of layer {missing[0]!r}.",
            came=f"an optimizer of {len(held)} other parameters",
            expected="an optimizer made from the parameters of this network, before it is masked",
        )
    return optimizer


def check_scheduler(scheduler: Scheduler | None, optimizer: Optimizer | None, method: str) -> None:
    """Raise when the scheduler is missing or moves the rate of another optimizer."""
    if scheduler is None:
        raise UserError(f"method {method!r} needs the scheduler.", expected="sparsify(..., scheduler=scheduler)")
    if optimizer is not None and getattr(scheduler, "optimizer", None) is not optimizer:
        raise UserError(
            "the scheduler moves the learning rate of another optimizer.",
            came=type(scheduler).__name__,
            expected="a scheduler made from the optimizer given",
        )


def check_steps(steps: int | None, method: str) -> int:
    """Return the number of training steps, or raise when it is missing."""
    if steps is None or steps < 1:
        raise UserError(
            f"method {method!r} needs the number of training steps.",
            came=f"steps={steps}",
            expected="sparsify(..., steps=epochs * batches)",
        )
    return int(steps)


def check_data(data: Any, method: str) -> tuple[Any, Any]:
    """Return the batch, or raise when it is missing."""
    if data is None:
        raise UserError(
            f"method {method!r} looks at data: it needs one batch.",
            came="data=None",
            expected="sparsify(..., data=(x, y)), inputs and targets",
        )
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise UserError("data is one batch: inputs and targets.", came=type(data).__name__, expected="data=(x, y)")
    return data[0], data[1]


def check_loss(loss: Loss | None, method: str) -> Loss:
    """Return the loss, or raise when it is missing."""
    if loss is None:
        raise UserError(
            f"method {method!r} looks at gradients: it needs the loss.",
            came="loss=None",
            expected="sparsify(..., data=(x, y), loss=torch.nn.functional.cross_entropy)",
        )
    return loss

"""What the methods share: the counter and state of a topology, checks, and random masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsefire import masks, randomness
from sparsefire.errors import UserError
from sparsefire.propagation.critical import critical_masks
from sparsefire.sparsity.amounts import CRITICAL, amounts


class Topology:
    """A rule for the masks of one network; call :meth:`step` after every optimizer step.

    This base is the topology that never moves: a static mask. Others override :meth:`update`.

    Attributes:
        net: the masked network.
        needs: what it asks of its surroundings, among ``"optimizer"``, ``"scheduler"``, ``"steps"`` and
            ``"dense gradient"``.

    >>> from sparsefire.sparsity import sparsify
    >>> topology = sparsify(nn.Linear(10, 10), density=0.1, rng=0)
    >>> topology.step(); topology.state_dict()
    {'steps_done': 1}
    """

    needs: frozenset[str] = frozenset()

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.steps_done = 0

    def step(self) -> None:
        """Count one optimizer step and move the masks if it is time."""
        self.steps_done += 1
        self.update()

    def update(self) -> None:
        """Move the masks after step number ``self.steps_done``."""

    def state_dict(self) -> dict[str, Any]:
        """Return the plain numbers that resume the topology, beside the state of the network, which holds the masks."""
        return {"steps_done": self.steps_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` returned."""
        self.steps_done = int(state["steps_done"])


def check_network(net: nn.Module) -> dict[str, nn.Module]:
    """Return the layers to mask, or raise what is wrong with them."""
    found = masks.layers(net)
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
            raise UserError(
                f"the weight of layer {name!r} has a parametrisation of its own, such as a weight norm.",
                came=", ".join(type(p).__name__ for p in module.parametrizations["weight"]),  # type: ignore[index]
                expected="a plain weight",
                attempt='torch.nn.utils.parametrize.remove_parametrizations(layer, "weight") first',
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


def check_optimizer(net: nn.Module, optimizer: torch.optim.Optimizer | None, method: str) -> torch.optim.Optimizer:
    """Return the optimizer, or raise when it is missing or holds none of the network's weights."""
    if optimizer is None:
        raise UserError(f"method {method!r} needs the optimizer.", expected="sparsify(..., optimizer=optimizer)")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [name for name, module in masks.layers(net).items() if id(module.weight) not in held]
    if missing:
        raise UserError(
            f"the optimizer does not hold the weight of layer {missing[0]!r}.",
            came=f"an optimizer of {len(held)} other parameters",
            expected="an optimizer made from the parameters of this network, before it is masked",
        )
    return optimizer


def check_scheduler(
    scheduler: torch.optim.lr_scheduler.LRScheduler | None, optimizer: torch.optim.Optimizer | None, method: str
) -> None:
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


def random_masks(found: dict[str, nn.Module], density: float, layout: str, rng: Any) -> dict[str, Tensor]:
    """Draw a random mask for each layer with the exact counts of the layout.

    Uniformly random, but for the critical layout, whose masks are even: all units of a layer have the same fan-in, and
    its inputs the same fan-out, give or take one.
    """
    shapes: Sequence[tuple[int, ...]] = [tuple(module.weight.shape) for module in found.values()]  # type: ignore[arg-type]
    if layout in CRITICAL:
        even = critical_masks(dict(zip(found, shapes, strict=True)), density, rng=rng, weights=CRITICAL[layout])
        return {name: torch.from_numpy(mask).to(found[name].weight.device) for name, mask in even.items()}  # type: ignore[arg-type]
    counts = amounts(shapes, density, layout)
    generator = randomness.stream(rng, "random masks")
    drawn = {}
    for (name, module), shape, count in zip(found.items(), shapes, counts, strict=True):
        flat = np.zeros(int(np.prod(shape)), dtype=bool)
        flat[generator.choice(flat.size, size=count, replace=False)] = True
        drawn[name] = torch.from_numpy(flat.reshape(shape)).to(module.weight.device)  # type: ignore[arg-type]
    return drawn


def attach_all(found: dict[str, nn.Module], drawn: dict[str, Tensor]) -> None:
    """Mask every layer."""
    for name, module in found.items():
        masks.attach_(module, drawn[name])


def full_masks(found: dict[str, nn.Module]) -> dict[str, Tensor]:
    """Return masks that keep everything: where dense-to-sparse methods begin."""
    return {
        name: torch.ones_like(module.weight, dtype=torch.bool)  # type: ignore[arg-type]
        for name, module in found.items()
    }

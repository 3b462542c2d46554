"""The methods by name. One dictionary, one signature: :func:`sparsify`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import topology as parts
from sparsefire.sparsity.amounts import LAYOUTS, amounts
from sparsefire.sparsity.gradual import GradualMagnitude
from sparsefire.sparsity.rewinding import LearningRateRewinding, check_levels
from sparsefire.sparsity.rigl import RigL
from sparsefire.sparsity.sign_in import SignIn, add_factors
from sparsefire.sparsity.topology import Topology
from sparsefire.wiring.layouts import keep_count

Optimizer = torch.optim.Optimizer
Scheduler = torch.optim.lr_scheduler.LRScheduler


@dataclass(frozen=True)
class Method:
    """One way to a small network.

    Attributes:
        name: as spelled in Python and on the command line.
        title: what people call it.
        source: the paper.
        layout: the layout used when none is asked for.
        needs: what ``sparsify`` must be given, and whether dense gradients are asked for.
        start: makes the topology; the network is checked by then.
    """

    name: str
    title: str
    source: str
    layout: str
    needs: frozenset[str]
    start: Callable[..., Topology]


def _static(
    net: nn.Module, density: float, layout: str, optimizer: Any, scheduler: Any, steps: Any, rng: Any
) -> Topology:
    found = masks.layers(net)
    parts.attach_all(found, parts.random_masks(found, density, layout, rng))
    return Topology(net)


def _sign_in(
    net: nn.Module, density: float, layout: str, optimizer: Optimizer, scheduler: Any, steps: int, rng: Any
) -> Topology:
    found = masks.layers(net)
    add_factors(net, parts.random_masks(found, density, layout, rng), optimizer, scheduler)
    return SignIn(net, every=max(1, steps // 40))


def _gmp(
    net: nn.Module, density: float, layout: str, optimizer: Optimizer, scheduler: Any, steps: int, rng: Any
) -> Topology:
    found = masks.layers(net)
    parts.attach_all(found, parts.full_masks(found))
    return GradualMagnitude(net, density, layout, optimizer, steps)


def _rigl(
    net: nn.Module, density: float, layout: str, optimizer: Optimizer, scheduler: Any, steps: int, rng: Any
) -> Topology:
    found = masks.layers(net)
    parts.attach_all(found, parts.random_masks(found, density, layout, rng))
    return RigL(net, optimizer, steps)


def _lrr(
    net: nn.Module, density: float, layout: str, optimizer: Optimizer, scheduler: Scheduler, steps: int, rng: Any
) -> Topology:
    found = masks.layers(net)
    parts.attach_all(found, parts.full_masks(found))
    return LearningRateRewinding(net, density, layout, optimizer, scheduler, steps)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("static", "random mask", "arXiv:2210.02412", "erk", Topology.needs, _static),
        Method("sign-in", "Sign-In", "arXiv:2504.12801", "erk", SignIn.needs, _sign_in),
        Method("gmp", "gradual pruning", "arXiv:1710.01878", "global", GradualMagnitude.needs, _gmp),
        Method("rigl", "RigL", "arXiv:1911.11134", "erk", RigL.needs, _rigl),
        Method("lrr", "rate rewinding", "arXiv:2003.02389", "global", LearningRateRewinding.needs, _lrr),
    )
}


def sparsify(
    net: nn.Module,
    density: float,
    method: str = "static",
    layout: str | None = None,
    optimizer: Optimizer | None = None,
    scheduler: Scheduler | None = None,
    steps: int | None = None,
    *,
    rng: Any = None,
) -> Topology:
    """Make a network sparse by a named method, in place, and return the topology to step.

    In a training loop: ``loss.backward(); opt.step(); scheduler.step(); topology.step(); opt.zero_grad()``.

    Args:
        net: any network with linear or convolutional layers; biases and norms stay dense.
        density: share of weights kept at the end of training, in (0, 1].
        method: a name in :func:`list_methods`.
        layout: how the density is shared out over layers: ``"erk"``, ``"er"``, ``"balanced"``, ``"uniform"``,
            ``"pyramidal"``, ``"critical"`` (``"critical-signs"`` for weights of one magnitude), or ``"global"`` for
            methods that prune by magnitude; None takes the method's own.
        optimizer: made from ``net.parameters()`` before this call; methods that move masks or factor weights need it.
            Masked weights and their moments are then zero after each of its steps.
        scheduler: of this optimizer; for methods that rewind the learning rate, and for ``sign-in`` where there is one
            (its new factors follow the rate of their weights).
        steps: number of optimizer steps of the whole training, for methods with a schedule.
        rng: for random masks; see :func:`sparsefire.randomness.entropy`.

    Returns:
        An object with ``step()``, ``state_dict()`` and ``load_state_dict()``.

    Raises:
        UserError: a density outside (0, 1] or below what a layout needs, an unknown name, a network
            without weights, a frozen, tied, parametrised or already masked layer, or something the method needs and
            was not given. The network is left as it was.

    >>> net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 5))
    >>> topology = sparsify(net, density=0.1, method="static", rng=0)
    >>> masks.density(net)
    0.1
    """
    layout = check_sparse(net, density, method, layout, steps)
    chosen = METHODS[method]
    if "optimizer" in chosen.needs or optimizer is not None:
        parts.check_optimizer(net, optimizer, method)
    if "steps" in chosen.needs:
        steps = parts.check_steps(steps, method)
    if "scheduler" in chosen.needs or scheduler is not None:
        parts.check_scheduler(scheduler, optimizer, method)
    topology = chosen.start(net, density, layout, optimizer, scheduler, steps, rng)
    if optimizer is not None:
        masks.keep_zero(net, optimizer)
    return topology


def check_sparse(
    net: nn.Module, density: float, method: str, layout: str | None = None, steps: int | None = None
) -> str:
    """Return the layout a method will use on a network, or raise what would be met later, in mid-training.

    Args:
        net, density, method, layout, steps: as of :func:`sparsify`; the network is left as it is.

    >>> check_sparse(nn.Linear(20, 10), 0.1, "gmp")
    'global'
    """
    if method not in METHODS:
        raise UserError(f"there is no method {method!r}.", came=repr(method), expected=f"one of {', '.join(METHODS)}")
    own = METHODS[method].layout
    layout = own if layout is None else layout
    allowed = [*LAYOUTS, "global"] if own == "global" else list(LAYOUTS)
    if layout not in allowed:
        raise UserError(
            f"method {method!r} knows no layout {layout!r}.", came=repr(layout), expected=f"one of {', '.join(allowed)}"
        )
    shapes = [tuple(module.weight.shape) for module in parts.check_network(net).values()]  # type: ignore[arg-type]
    keep_count(sum(map(math.prod, shapes)), density)
    if layout != "global":
        amounts(shapes, density, layout)
    if method == "lrr" and steps is not None:
        check_levels(density, steps)
    return layout


def list_methods() -> pd.DataFrame:
    """Return the table of methods: name, title, own layout, needs, source.

    >>> list(list_methods()["method"])
    ['static', 'sign-in', 'gmp', 'rigl', 'lrr']
    """
    return pd.DataFrame(
        [
            {
                "method": m.name,
                "title": m.title,
                "layout": m.layout,
                "needs": ", ".join(sorted(m.needs)),
                "source": m.source,
            }
            for m in METHODS.values()
        ]
    )

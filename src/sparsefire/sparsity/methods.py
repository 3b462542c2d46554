"""The one signature of all methods: :func:`sparsify`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.errors import UserError
from sparsefire.sparsity import given
from sparsefire.sparsity.amounts import amounts
from sparsefire.sparsity.given import Given
from sparsefire.sparsity.parameterisation import attach
from sparsefire.sparsity.patterns import PATTERNS, check_pattern
from sparsefire.sparsity.prune import first_masks, full_masks
from sparsefire.sparsity.recipes import METHODS, Recipe, recipe
from sparsefire.sparsity.scores import SCORES
from sparsefire.sparsity.setting import (
    Loss,
    Optimizer,
    Scheduler,
    Setting,
    check_data,
    check_joined,
    check_loss,
    check_network,
    check_optimizer,
    check_scheduler,
    check_steps,
)
from sparsefire.sparsity.topology.base import Control, Topology
from sparsefire.sparsity.undo import undone_on_error
from sparsefire.wiring.layouts import keep_count


def sparsify(
    net: nn.Module,
    density: float,
    method: str | Recipe = "static",
    layout: str | Given | None = None,
    optimizer: Optimizer | None = None,
    scheduler: Scheduler | None = None,
    steps: int | None = None,
    *,
    data: tuple[Any, Any] | None = None,
    loss: Loss | None = None,
    layers: Iterable[str] | None = None,
    pattern: str | None = None,
    rng: Any = None,
) -> Topology:
    """Make a network sparse by a named method, in place, and return the topology to step.

    In a training loop: ``loss.backward(); opt.step(); scheduler.step(); topology.step(); opt.zero_grad()``.

    Args:
        net: any network with linear or convolutional layers; biases and norms stay dense.
        density: share of weights kept at the end of training, in (0, 1].
        method: a name in :func:`list_methods`, several joined by ``+`` (``"rigl+sign-in"``), or a :class:`Recipe`.
        layout: how the density is shared out over layers: ``"erk"``, ``"er"``, ``"balanced"``, ``"uniform"``,
            ``"pyramidal"``, ``"critical"`` (``"critical-signs"`` for weights of one magnitude), or ``"global"`` for
            methods that rank weights; None takes the method's own. Or the wiring itself: layer name → a Wiring of its
            inputs to its outputs, or a matrix [outputs, inputs] of relative chances. Then no weight exists outside,
            random masks are drawn by the chances, and every layer keeps the same share of what it may have, which is
            all of it where the density is that of the wiring; methods that rank weights rank all that may exist.
        optimizer: made from ``net.parameters()`` before this call; methods that move masks or factor weights need it.
            Masked weights and their moments are then zero after each of its steps.
        scheduler: of this optimizer; for methods that rewind the learning rate, and for those that add parameters
            where there is one (these follow the rate of their weights).
        steps: number of optimizer steps of the whole training, for methods with a schedule.
        data: inputs and targets of one batch, for scores that look at data; the targets may be None where no loss is
            asked for (``wanda``, ``obc``).
        loss: ``loss(output, target)``, a scalar tensor, for scores that look at gradients (``snip``, ``taylor``).
        layers: names of the layers to mask; None takes all linear layers, convolutions and attention projections.
            Embeddings and transposed convolutions stay dense unless named; see :func:`sparsefire.masks.maskable`.
        pattern: which sets of weights may stay: ``"2:4"`` and other n:m (along the inputs), ``"fan-in"`` (as many for
            every unit of a layer), ``"shared-fan-in"`` (the same inputs for 16 units), ``"neurons"`` (whole units);
            None takes the method's own, by default any set. Counts of all but n:m are rounded to whole units.
        rng: for random masks and growth; see :func:`sparsefire.randomness.entropy`.

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
    chosen = recipe(method)
    if pattern is not None:
        chosen = replace(chosen, pattern=pattern)
    if layout is not None and not isinstance(layout, str | Mapping):
        raise UserError("no such layout.", came=repr(layout)[:60], expected="its name, or a wiring by layer")
    named = None if layers is None else tuple(masks.maskable(net, layers))
    chances = None
    if isinstance(layout, Mapping):
        chances = check_given(net, density, chosen, layout, named)
        layout = "global" if chosen.ranks else None
    layout = check_sparse(net, density, chosen, layout, steps, layers=named)
    if chosen.parameterisation is not None:
        check_joined(net, chosen.name)
    if "optimizer" in chosen.needs or optimizer is not None:
        check_optimizer(net, optimizer, chosen.name, named)
    if "steps" in chosen.needs:
        steps = check_steps(steps, chosen.name)
    if "scheduler" in chosen.needs or scheduler is not None:
        check_scheduler(scheduler, optimizer, chosen.name)
    if "data" in chosen.needs:
        data = check_data(data, chosen.name)
    if "loss" in chosen.needs:
        check_loss(loss, chosen.name)
    kept = chosen.pattern or PATTERNS[0]
    rng = randomness.entropy(rng)
    setting = Setting(
        net,
        density,
        layout,
        chosen.own_score,
        kept,
        chosen.name,
        optimizer,
        scheduler,
        steps,
        rng,
        data,
        loss,
        named,
        chances,
    )
    with undone_on_error(setting):
        for step in chosen.optimizer_steps:
            step.check(setting)
        dense, start = chosen.moves.dense, chosen.moves.start(density, **chosen.options)
        drawn = full_masks(masks.maskable(net, named), chances) if dense else first_masks(setting, start)
        attach(setting, drawn, chosen.parameterisation)
        topology = chosen.moves(setting, **chosen.options)
        controls: list[Callable[[Setting], Control]] = list(chosen.optimizer_steps)
        if chosen.parameterisation is not None and chosen.parameterisation.control is not None:
            controls.insert(0, chosen.parameterisation.control)
        topology.controls = tuple(control(setting) for control in controls)
        if optimizer is not None:
            masks.keep_zero(net, optimizer)
    return topology


def check_sparse(
    net: nn.Module,
    density: float,
    method: str | Recipe,
    layout: str | None = None,
    steps: int | None = None,
    *,
    layers: Iterable[str] | None = None,
) -> str:
    """Return the layout a method will use on a network, or raise what would be met later, in mid-training.

    Args:
        net, density, method, layout, steps, layers: as of :func:`sparsify`; the network is left as it is.

    >>> check_sparse(nn.Linear(20, 10), 0.1, "gmp")
    'global'
    """
    chosen = recipe(method)
    layout = chosen.own_layout if layout is None else layout
    if layout not in chosen.layouts:
        raise UserError(
            f"method {chosen.name!r} knows no layout {layout!r}.",
            came=repr(layout),
            expected=f"one of {', '.join(chosen.layouts)}",
        )
    if chosen.moves.dense and _draws_places(chosen):
        raise UserError(
            f"{chosen.own_score} draws the places of a first mask, and method {chosen.name!r} begins with all weights.",
            came=chosen.name,
            expected="methods that begin sparse, such as static, rigl, set, sign-in or cyclic",
        )
    shapes = [tuple(module.weight.shape) for module in check_network(net, layers).values()]  # type: ignore[arg-type]
    keep_count(sum(map(math.prod, shapes)), density)
    if layout != "global":
        amounts(shapes, density, layout)
    pattern = chosen.pattern or PATTERNS[0]
    check_pattern(shapes, density, layout, pattern)
    plain = Setting(
        net,
        density,
        layout,
        chosen.own_score,
        pattern,
        chosen.name,
        steps=steps,
        layers=None if layers is None else tuple(layers),
    )
    chosen.moves.check(plain, **chosen.options)
    return layout


def check_given(
    net: nn.Module, density: float, method: str | Recipe, layout: Given, layers: Iterable[str] | None = None
) -> dict[str, Tensor]:
    """Return the chances of a layout that is given, or raise where a method could not keep to it.

    >>> list(check_given(nn.Linear(20, 10), 0.1, "gmp", {"": [[1] * 20] * 10}))
    ['']
    """
    chosen = recipe(method)
    why = ""
    if _draws_places(chosen):
        why = "draws places of its own"
    elif not chosen.moves.bounded:
        why = "may put weights elsewhere"
    elif chosen.pattern not in (None, PATTERNS[0]):
        why = f"keeps to the pattern {chosen.pattern}"
    if why:
        raise UserError(
            f"method {chosen.name!r} {why}, so it cannot keep to a layout that is given.",
            came="a mapping as layout=",
            expected="the name of a layout, or another method, such as 'static', 'gmp' or 'rigl'",
        )
    chances = given.read(layout, check_network(net, layers))
    given.counts(chances, density)
    return chances


def _draws_places(chosen: Recipe) -> bool:
    """Say whether the score is a draw that looks at the data, not one of equal chances."""
    score = SCORES[chosen.own_score]
    return score.chance and bool(score.needs)


def list_methods() -> pd.DataFrame:
    """Return the table of methods: the parts of each, the stage of the pipeline, what it needs, memory, source.

    >>> list_methods().set_index("method").loc["rigl", "needs"]
    'dense gradient, optimizer, steps'
    """
    return pd.DataFrame([_row(one) for one in METHODS.values()])


def _row(one: Recipe) -> dict[str, str]:
    return {
        "method": one.name,
        "title": one.title,
        "stage": one.stage,
        "layout": one.own_layout,
        "score": one.own_score,
        "pattern": one.pattern or PATTERNS[0],
        "topology": "fixed" if one.topology is None else one.topology.__name__,
        "parameterisation": "identity" if one.parameterisation is None else one.parameterisation.name,
        "step": ", ".join(step.__name__ for step in one.optimizer_steps) or "plain",
        "needs": ", ".join(sorted(one.needs)),
        "memory": one.memory,
        "source": one.source,
    }

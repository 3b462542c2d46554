"""First masks and pruning: a score ranks, a layout shares out, a pattern says which sets of weights may stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.propagation.critical import critical_masks
from sparsefire.sparsity import given
from sparsefire.sparsity.amounts import CRITICAL, amounts
from sparsefire.sparsity.patterns import choose
from sparsefire.sparsity.scores import SCORES
from sparsefire.sparsity.setting import Setting


@torch.no_grad()
def prune(setting: Setting, density: float, *, key: Any = 0) -> None:
    """Shrink the masks of a network to the weights that score highest, in place.

    Args:
        setting: network, score, layout and pattern; moments of its optimizer become zero where weights go.
        density: share of all weights to keep, absolute; weights outside the present masks never come back.
        key: tells random scores of different prunings apart.

    >>> net = nn.Linear(4, 1, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[1.0, -4.0, 2.0, 3.0]]))
    >>> masks.attach_(net, torch.ones(1, 4, dtype=torch.bool))
    >>> prune(Setting(net), 0.5); net.weight.tolist()
    [[0.0, -4.0, 0.0, 3.0]]
    """
    found = masks.masked(setting.net)
    present = masks.masks(setting.net)
    score = SCORES[setting.score]
    with torch.enable_grad():
        scores = score.of(setting, key)
    lowest = -torch.inf  # absent weights rank below every present one
    ranked = [torch.where(present[name], scores[name], lowest) for name in found]
    kept = choose(ranked, density, setting.layout, setting.pattern, list(present.values()))
    if score.compensate_ is not None:
        score.compensate_(setting, dict(zip(found, kept, strict=True)))
    for module, mask in zip(found.values(), kept, strict=True):
        masks.write_mask_(module, mask)
    masks.zero_masked_(setting.net, setting.optimizer)


def prune_in_rounds(setting: Setting, density: float) -> None:
    """Prune a dense network by its score, asked as often as the score wants along density^(r/rounds)."""
    rounds = SCORES[setting.score].rounds
    for number in range(1, rounds + 1):
        prune(setting, density ** (number / rounds), key=number)


def first_masks(setting: Setting, density: float) -> dict[str, Tensor]:
    """Return the masks that a sparse start has: random ones, or those that stay when the start is pruned by a score.

    A score that is to be asked again and again (SynFlow) prunes along an exponential schedule, density^(r/rounds).

    Args:
        setting: see :class:`~sparsefire.sparsity.setting.Setting`; its network is left as it is.
        density: of the masks.
    """
    found = masks.maskable(setting.net, setting.layers)
    if setting.score == "random" and setting.pattern == "unstructured":
        return random_masks(found, density, setting.layout, setting.rng, setting.chances)
    for module, mask in zip(found.values(), full_masks(found, setting.chances).values(), strict=True):
        masks.attach_(module, mask)
    before = {name: module.weight.detach().clone() for name, module in found.items()}  # type: ignore[operator]
    prune_in_rounds(setting, density)
    kept = {name: mask.clone() for name, mask in masks.masks(setting.net).items()}
    masks.bake(setting.net)
    for name, module in found.items():
        masks.write_weight_(module, before[name])
    return kept


def random_masks(
    found: dict[str, nn.Module], density: float, layout: str, rng: Any, chances: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Draw a random mask for each layer with the exact counts of the layout, or by chances that are given instead.

    Uniformly random, but for the critical layout, whose masks are even: all units of a layer have the same fan-in, and
    its inputs the same fan-out, give or take one.
    """
    if chances is not None:
        generator = randomness.stream(rng, "random masks")
        return {
            name: given.draw(chances[name], count, generator).to(masks.own_parameter(module).device)
            for (name, module), count in zip(found.items(), given.counts(chances, density), strict=True)
        }
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


def full_masks(found: dict[str, nn.Module], chances: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Return masks that keep everything, or all that may exist: where dense-to-sparse methods begin."""
    if chances is not None:
        return given.allowed(chances, found)
    return {
        name: torch.ones_like(module.weight, dtype=torch.bool)  # type: ignore[arg-type]
        for name, module in found.items()
    }

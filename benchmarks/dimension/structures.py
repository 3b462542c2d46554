"""Networks with as many perturbed weights: narrow and dense, or wide with a mask, fewer inputs, or a fixed layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from dimension.engine import Nets, Shape
from dimension.pictures import rows_of
from torch import nn

import sparsefire as sf
from sparsefire import masks

PLACES = {"digits": (64, 20), "mnist10k": (784, 40)}
"""Pixels, and whitened components where an arm takes these."""
CLASSES, WIDE = 10, 64
STEPS, RATE, ROWS = 1_500, 5e-3, 64
"""Of the back-propagation with Adam by which masks are found."""


@dataclass(frozen=True)
class Structure:
    """One network.

    Attributes:
        name: on the page.
        kind: ``"dense"``, ``"sparse"`` or ``"fixed"``, a hidden layer that stays as drawn.
        mask: of a sparse one: a method of :func:`sparsefire.sparsify`, or ``"neighbours"``; of a fixed one ``"none"``
            or ``"neighbours"``.
        whitened: whether inputs are whitened components.
        wide: whether a dense one has ``WIDE`` units, a fixed one four times as many, or as few as the others have
            weights.
        knows: beside the losses.
        width: hidden units, where they follow from nothing else.
    """

    name: str
    kind: str
    mask: str = "none"
    whitened: bool = False
    wide: bool = False
    knows: str = "nothing"
    width: int = 0


LABELS, INPUTS, PLACE = "gradients with labels", "inputs without labels", "where pixels lie"
STRUCTURES = (
    Structure("narrow dense", "dense"),
    Structure("wide dense", "dense", wide=True),
    Structure("wide, random", "sparse", "static"),
    Structure("wide, fields", "sparse", "fields", knows=INPUTS),
    Structure("wide, neighbours", "sparse", "neighbours", knows=PLACE),
    Structure("wide, by magnitude", "sparse", "gmp", knows=LABELS),
    Structure("wide, by synaptic noise", "sparse", "synaptic-noise", knows=LABELS),
    Structure("whitened, narrow dense", "dense", whitened=True, knows=INPUTS),
    Structure("whitened, wide, random", "sparse", "static", whitened=True, knows=INPUTS),
    Structure("whitened, wide, by synaptic noise", "sparse", "synaptic-noise", whitened=True, knows=LABELS),
    Structure("fixed hidden layer", "fixed"),
    Structure("fixed neighbours", "fixed", "neighbours", knows=PLACE),
    Structure("whitened, fixed hidden layer", "fixed", whitened=True, knows=INPUTS),
    Structure("wide fixed hidden layer", "fixed", wide=True),
    Structure("wide fixed neighbours", "fixed", "neighbours", wide=True, knows=PLACE),
    Structure("dense, 34 units", "dense", width=34),
)
BY_NAME = {one.name: one for one in STRUCTURES}


def inputs_of(place: str, one: Structure) -> int:
    """Return how many inputs a network has."""
    return PLACES[place][int(one.whitened)]


def width_of(place: str, one: Structure, weights: int) -> int:
    """Return the hidden units with which a network has as many perturbed numbers, as near as whole units allow.

    >>> [width_of("digits", BY_NAME[name], 760) for name in ("narrow dense", "wide, random", "fixed hidden layer")]
    [10, 64, 75]
    """
    if one.width:
        return one.width
    if one.kind == "sparse" or one.wide:
        return WIDE if one.kind != "fixed" else 4 * WIDE
    each = CLASSES if one.kind == "fixed" else inputs_of(place, one) + 1 + CLASSES
    return max(1, round((weights - CLASSES) / each))


def made(
    place: str, one: Structure, weights: int, found: list[tuple[np.ndarray, np.ndarray]], numbers: list[int],
    rates: list[float],
) -> Nets:  # fmt: skip
    """Return networks with first weights of variance 2 / fan-in and no biases; fixed units have normal biases.

    Args:
        place: of the data.
        one: which network.
        weights: how many numbers may be perturbed, biases among them.
        found: the masks of both layers, by replicate: see :func:`masks_of`.
        numbers: of the replicates.
        rates: learning rates.
    """
    width = width_of(place, one, weights)
    first = []
    for (hidden, readout), number in zip(found, numbers, strict=True):
        rng = np.random.default_rng([number, 38])
        drawn = [
            rng.standard_normal(mask.shape) * mask * np.sqrt(gain / np.maximum(mask.sum(1, keepdims=True), 1))
            for mask, gain in ((hidden, 2), (readout, 1))
        ]
        biases = rng.standard_normal(width) * (0.5 if one.kind == "fixed" else 0.0)
        first.append([biases, drawn[0], np.zeros(CLASSES), drawn[1]])
    tensors = [torch.from_numpy(np.stack(part).astype(np.float32)) for part in zip(*first, strict=True)]
    both = (torch.from_numpy(np.stack(part)) for part in zip(*found, strict=True))
    return Nets(Shape(*both, True, True, one.kind != "fixed"), tensors, rates, adam=True)


@lru_cache(maxsize=64)
def masks_of(place: str, name: str, weights: int, number: int, inner: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return bool masks of both layers; those that look at data look at the rows that this replicate trains on."""
    one = BY_NAME[name]
    inputs, width = inputs_of(place, one), width_of(place, one, weights)
    part = rows_of(place, number, PLACES[place][1] if one.whitened else 0, inner)[0]
    hidden, readout = np.ones((width, inputs), bool), np.ones((CLASSES, width), bool)
    if one.kind == "dense" or one.mask == "none":
        return hidden, readout
    if one.kind == "fixed":
        chances = neighbours(inputs, width, np.random.default_rng([number, 39]))
        return chances > np.exp(-2), readout  # out to two deviations
    net = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, CLASSES))
    generator = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for layer in (net[0], net[2]):
            layer.weight.normal_(0, (2 / layer.in_features) ** 0.5, generator=generator)
            layer.bias.zero_()
    density = (weights - width - CLASSES) / (hidden.size + readout.size)
    x, y = torch.from_numpy(part[0]), torch.from_numpy(part[1])
    if one.mask == "neighbours":
        chances = neighbours(inputs, width, np.random.default_rng([number, 39]))
        sf.sparsify(net, density, "static", {"0": chances, "2": np.ones_like(readout)}, rng=number)
    elif one.mask == "fields":
        sf.sparsify(net, density, "fields", data=(x[:512], None), rng=number)
    elif one.mask == "static":
        sf.sparsify(net, density, "static", rng=number)
    else:
        _learned(net, density, one.mask, x, y, number)
    found = masks.masks(net)
    return found["0"].numpy() > 0, found["2"].numpy() > 0


def _learned(net: nn.Module, density: float, method: str, x: torch.Tensor, y: torch.Tensor, number: int) -> None:
    """Train dense by the gradient while a method cuts weights; what it keeps of each layer is that of a random mask."""
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    topology = sf.sparsify(net, density, method, "erk", optimizer=optimizer, steps=STEPS, rng=number)
    rule, rng = sf.rules.Backprop(), np.random.default_rng([number, 40])
    for _ in range(STEPS):
        index = torch.from_numpy(rng.integers(len(x), size=ROWS))
        rule(net, nn.functional.cross_entropy, x[index], y[index])
        optimizer.step()
        topology.step()
        optimizer.zero_grad()


def neighbours(inputs: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return exp(−distance² / 2) to a pixel of each unit's own, distances in ninths of the side: [width, inputs].

    >>> neighbours(64, 3, np.random.default_rng(0)).max(1).tolist()
    [1.0, 1.0, 1.0]
    """
    side = round(inputs**0.5)
    place = np.stack(np.divmod(np.arange(inputs), side), 1)
    margin = (np.abs(place - (side - 1) / 2) <= side / 2 - side / 8).all(1)  # centres off the rim
    centres = place[rng.choice(np.flatnonzero(margin), width)]
    return np.exp(-((place[None] - centres[:, None]) ** 2).sum(2) / (2 * (side / 9) ** 2))

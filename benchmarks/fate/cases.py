"""The networks that are trained: which, and how each is made from a few numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from fate.data import shape_of
from torch import nn

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.propagation import init, path_counts
from sparsefire.wiring import LAYOUTS

NORMS = {"none": None, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
INITIALISERS = ("he", "scaled", "in-degree", "signs", "typical", "orthogonal")
DEEPEST = 100


@dataclass(frozen=True)
class Case:
    """One network: ``depth`` hidden layers of one width on some data.

    Attributes:
        data: name of a data set of :mod:`fate.data`.
        width, depth: of the hidden layers.
        fan_in: weights of the whole network per unit; with width and depth it gives the density.
        layout: how they are shared out over layers.
        initialiser: one of ``INITIALISERS``: He by width, He by the density of the layer, He by in-degree, …
        norm: none, batch or layer.
        number: decides masks, weights and batches.
    """

    data: str
    width: int
    depth: int
    fan_in: float
    layout: str
    initialiser: str
    norm: str
    number: int

    @property
    def widths(self) -> list[int]:
        """Sizes from the inputs to the outputs."""
        inputs, outputs = shape_of(self.data)
        return [inputs, *[self.width] * self.depth, outputs]

    @property
    def density(self) -> float:
        """Share of weights kept, 1 at most."""
        widths = self.widths
        total = sum(a * b for a, b in itertools.pairwise(widths))
        return min(1.0, self.fan_in * sum(widths[1:]) / total)


def build(case: Case) -> nn.Sequential:
    """Return the network of a case, masked and initialised."""
    parts: list[nn.Module] = []
    widths, norm = case.widths, NORMS[case.norm]
    for inputs, outputs in itertools.pairwise(widths[:-1]):
        parts += [nn.Linear(inputs, outputs), *([norm(outputs)] if norm is not None else []), nn.ReLU()]
    net = nn.Sequential(*parts, nn.Linear(widths[-2], widths[-1]))
    sf.sparsify(net, case.density, "static", case.layout, rng=case.number)
    initialise(net, case.initialiser, case.number)
    return net


def initialise(net: nn.Module, name: str, number: int) -> None:
    """Give a network its first weights."""
    if name == "he":  # as if no weight were missing
        scaled_(net, number, by_density=False)
    elif name == "scaled":
        scaled_(net, number, by_density=True)
    elif name == "in-degree":
        init.in_degree_(net, rng=number)
    elif name == "signs":
        init.signs_(net, rng=number)
    elif name == "typical":
        init.typical_(net, rng=number)
    elif name == "orthogonal":
        init.sparse_orthogonal_(net, structure="butterfly", rng=number)
    else:
        raise ValueError(name)


def scaled_(net: nn.Module, number: int, *, by_density: bool) -> None:
    """Draw He normal weights in place, as if no weight were missing, or divided by the density of the layer."""
    generator = torch.Generator().manual_seed(number)
    for layer in sf.masks.layers(net).values():
        weight = layer.weight
        share = float(sf.masks.mask_of(layer).mask.double().mean()) if by_density else 1.0  # type: ignore[union-attr]
        drawn = torch.randn(weight.shape, generator=generator) * (2 / (weight.shape[1] * share)) ** 0.5
        sf.masks.write_weight_(layer, drawn)
        nn.init.zeros_(layer.bias)


def connected(case: Case) -> bool:
    """Return whether the case can be made and two outputs at least can hear the inputs."""
    if case.layout not in LAYOUTS:
        raise ValueError(case.layout)
    try:
        found = path_counts(build(case))
    except UserError:  # a density below what the layout needs; a signal that ends before the last layer
        return False
    return int(np.isfinite(found.forward[-1]).sum()) >= 2


def drawn(
    number: int,
    *,
    data: tuple[str, ...],
    widths: tuple[int, ...],
    layouts: tuple[str, ...],
    initialisers: tuple[str, ...],
    densest: float = 15.0,
) -> Iterator[Case]:
    """Yield cases at random without end, none of them disconnected."""
    rng = np.random.default_rng(number)
    while True:
        depth = round(float(np.exp(rng.uniform(np.log(3), np.log(70)))))
        fan_in = round(float(np.exp(rng.uniform(np.log(1.5), np.log(densest)))), 2)
        norm = str(rng.choice(["none", "none", "none", "batch", "layer"]))
        case = Case(
            str(rng.choice(data)), int(rng.choice(widths)), depth, fan_in, str(rng.choice(layouts)),
            str(rng.choice(initialisers)), norm, int(rng.integers(2**31)),
        )  # fmt: skip
        if connected(case):
            yield case

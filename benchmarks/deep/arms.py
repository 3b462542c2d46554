"""What is compared: a layout with an initialiser, and perhaps a penalty. Each arm has a network for every number."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from deep import sparse
from deep.sparse import Net
from fate.cases import scaled_
from torch import nn

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.propagation import critical_layout, critical_masks, init, penalty
from sparsefire.propagation.init import mirrored_masks

LAWS = {"critical": "normal", "critical-signs": "sign"}
BOUNDS = (
    {},
    {"extinction": 0.1, "spread": 2.0},
    {"extinction": 0.2, "participation": 0.04, "spread": 4.0},
    {"extinction": 0.3, "participation": 0.03, "spread": 8.0},
    {"extinction": 0.5, "participation": 0.01, "spread": 16.0},
    {"extinction": 0.9, "participation": 1e-3, "spread": 1e3},
)
"""Bounds of the critical layout, from its own to loose ones; the first that the density can pay for are taken."""


@dataclass(frozen=True)
class Arm:
    """One contestant.

    Attributes:
        name: in tables.
        layout: how weights are shared out over layers.
        start: initialiser, a key of ``STARTS``.
        term: weight of the penalty in the loss; 0 for none.
        baseline: whether it is what others do.
        slow: whether it takes much longer than the training alone.
    """

    name: str
    layout: str
    start: str
    term: float = 0.0
    baseline: bool = False
    slow: bool = False


ARMS = (
    Arm("ERK, He", "erk", "he", baseline=True),
    Arm("ERK, He by density", "erk", "scaled", baseline=True),
    Arm("ERK, He by in-degree", "erk", "in-degree", baseline=True),
    Arm("balanced, He by in-degree", "balanced", "in-degree", baseline=True),
    Arm("uniform, He by in-degree", "uniform", "in-degree", baseline=True),
    Arm("ERK, typical", "erk", "typical"),
    Arm("ERK, signs", "erk", "signs"),
    Arm("critical, He by in-degree", "critical", "in-degree"),
    Arm("critical, typical", "critical", "typical"),
    Arm("critical-signs, signs", "critical-signs", "signs"),
    Arm("ERK, looks-linear Gaussian", "erk", "looks-linear"),
    Arm("ERK, orthogonal looks-linear (butterfly)", "erk", "butterfly"),
    Arm("ERK, orthogonal looks-linear (Givens)", "erk", "givens"),
    Arm("ERK, approximate isometry", "erk", "isometry"),
    Arm("ERK, He by in-degree, penalty minimised first", "erk", "penalised", slow=True),
    Arm("ERK, He by in-degree, penalty in the loss", "erk", "in-degree", term=0.01, slow=True),
)
BY_NAME = {arm.name: arm for arm in ARMS}


def build(arm: Arm, widths: list[int], density: float, number: int) -> Net:
    """Return the network of an arm, masked and initialised.

    Raises:
        UserError: the arm has no such network, since weights are too few for it.
    """
    parts: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        parts += [nn.Linear(inputs, outputs), nn.ReLU()]
    net = nn.Sequential(*parts[:-1])
    if arm.layout in LAWS:
        shapes = {name: tuple(layer.weight.shape) for name, layer in sf.masks.layers(net).items()}  # type: ignore[union-attr]
        bounds = payable(shapes, density, LAWS[arm.layout])
        drawn = critical_masks(shapes, density, rng=number, weights=LAWS[arm.layout], **bounds)
        for name, layer in sf.masks.layers(net).items():
            sf.masks.attach_(layer, torch.from_numpy(drawn[name]))
    else:
        sf.sparsify(net, density, "static", arm.layout, rng=number)
    STARTS[arm.start](net, number)
    return sparse.from_torch(net)


def payable(shapes: dict[str, tuple[int, ...]], density: float, weights: str) -> dict[str, float]:
    """Return the first of ``BOUNDS`` that the density can pay for, or raise."""
    for bounds in BOUNDS[:-1]:
        try:
            critical_layout(shapes, density, weights=weights, **bounds)
        except UserError:
            continue
        return bounds
    critical_layout(shapes, density, weights=weights, **BOUNDS[-1])
    return BOUNDS[-1]


def slope_of_penalty(weight: float) -> Callable[[Net], np.ndarray]:
    """Return the function that gives the gradient [edges] of the weighted penalty of a network."""

    def slope(net: Net) -> np.ndarray:
        dense = sparse.to_torch(net)
        (weight * penalty(dense)).backward()
        return sparse.gather(net, [layer.weight.grad.numpy() for layer in dense[::2]])  # type: ignore[union-attr, operator]

    return slope


def _looks_linear(net: nn.Module, number: int) -> None:
    for name, mask in mirrored_masks(net, rng=number).items():
        sf.masks.write_mask_(sf.masks.layers(net)[name], mask)
    init.looks_linear_(net, rng=number)


def _penalised(net: nn.Module, number: int) -> None:
    init.in_degree_(net, rng=number)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(50):
        optimizer.zero_grad()
        penalty(net).backward()
        optimizer.step()


STARTS: dict[str, Callable[[nn.Module, int], object]] = {
    "he": lambda net, number: scaled_(net, number, by_density=False),  # as if no weight were missing
    "scaled": lambda net, number: scaled_(net, number, by_density=True),
    "in-degree": lambda net, number: init.in_degree_(net, rng=number),
    "signs": lambda net, number: init.signs_(net, rng=number),
    "typical": lambda net, number: init.typical_(net, rng=number),
    "looks-linear": _looks_linear,
    "butterfly": lambda net, number: init.sparse_orthogonal_(net, structure="butterfly", rng=number),
    "givens": lambda net, number: init.sparse_orthogonal_(net, structure="givens", rng=number),
    "isometry": lambda net, number: init.approximate_isometry_(net, rng=number),
    "penalised": _penalised,
}

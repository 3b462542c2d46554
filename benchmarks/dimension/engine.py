"""Many small networks at once: perceptrons with one hidden layer, trained by queries or by the gradient.

The estimates are those of :class:`sparsefire.rules.TwoQuery` and :class:`sparsefire.rules.NodePerturbation` with the
same directions, number for number (tests/benchmarks_quick/test_price.py). What is saved is time: one set of directions
serves all learning rates, and both sides of a pair share the product with the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sparsefire.rules.directions import draw

Batches = Iterator[tuple[Tensor, Tensor]]
"""Inputs [replicates, rows, inputs] and targets: [replicates, rows, outputs], or classes [replicates, rows]."""


@dataclass(frozen=True)
class Shape:
    """Which networks, and which of their parameters are learned.

    Attributes:
        mask: of the hidden layer, bool [replicates, units, inputs], as many in every replicate.
        readout: the mask behind it, bool [replicates, outputs, units].
        relu: or tanh.
        classes: cross-entropy, or squared error.
        hidden: whether the hidden layer learns; otherwise it stays as it was drawn.
    """

    mask: Tensor
    readout: Tensor
    relu: bool = False
    classes: bool = False
    hidden: bool = True

    @property
    def sizes(self) -> list[int]:
        """Return how many numbers of each part are learned: hidden biases and weights, then those of the readout."""
        first = [self.mask.shape[1], int(self.mask[0].sum())] if self.hidden else [0, 0]
        return [*first, self.readout.shape[1], int(self.readout[0].sum())]

    @property
    def active(self) -> int:
        """Return N, how many numbers are perturbed."""
        return sum(self.sizes)

    @property
    def units(self) -> int:
        """Return how many units node perturbation moves."""
        return self.readout.shape[1] + (self.mask.shape[1] if self.hidden else 0)


class Nets:
    """Networks of one shape: ``replicates`` first weights, each at all of ``rates``.

    Args:
        shape: of all.
        first: biases and weights of the hidden layer, [replicates, units] and [replicates, units, inputs], and of the
            readout.
        rates: learning rates.
        adam: Adam with its usual moments, or plain steps.
    """

    def __init__(self, shape: Shape, first: Sequence[Tensor], rates: Sequence[float], adam: bool) -> None:
        self.shape, self.rates, self.adam, self.steps = shape, torch.tensor(rates)[None, :, None], adam, 0
        self.replicates = len(shape.mask)
        self.where = [None, _places(shape.mask) if shape.hidden else None, None, _places(shape.readout)]
        whole = [first[0], first[1] * shape.mask, first[2], first[3] * shape.readout]
        self.fixed = [part[:, None] for part in whole[:2]]
        flat = torch.cat([self._gather(part[:, None], i) for i, part in enumerate(whole) if shape.sizes[i]], 2)
        self.theta = flat.expand(-1, len(rates), -1).clone()
        self.moments = [torch.zeros_like(self.theta) for _ in range(2 if adam else 0)]

    def _gather(self, part: Tensor, i: int) -> Tensor:
        """Return what is learned of one part [replicates, many, ...] as [replicates, many, size]."""
        flat, places = part.flatten(2), self.where[i]
        return flat if places is None else flat.gather(2, places[:, None].expand(-1, flat.shape[1], -1))

    def parts(self, vectors: Tensor) -> list[Tensor]:
        """Return vectors [replicates, many, N] as the four parts, zero where nothing is learned."""
        shape, found = self.shape, []
        full = [shape.mask.shape[1:2], shape.mask.shape[1:], shape.readout.shape[1:2], shape.readout.shape[1:]]
        for i, piece in enumerate(vectors.split(shape.sizes, 2)):
            places = self.where[i]
            if places is not None and piece.shape[2]:
                whole = vectors.new_zeros(*piece.shape[:2], full[i].numel())
                piece = whole.scatter_(2, places[:, None].expand(-1, piece.shape[1], -1), piece)
            elif not piece.shape[2]:
                piece = vectors.new_zeros(*piece.shape[:2], full[i].numel())
            found.append(piece.unflatten(2, full[i]))
        return found

    def weights(self) -> list[Tensor]:
        """Return the four parts, [replicates, rates, ...]."""
        parts = self.parts(self.theta)
        if self.shape.hidden:
            return parts
        return [*(part.expand(-1, len(self.theta[0]), *part.shape[2:]) for part in self.fixed), *parts[2:]]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return activity before and after the units, and outputs [replicates, rates, rows, ...]."""
        b, w, a, v = self.weights()
        before = x[:, None] @ w.mT + b[:, :, None]
        after = self.act(before)
        return before, after, after @ v.mT + a[:, :, None]

    def act(self, before: Tensor) -> Tensor:
        return before.relu() if self.shape.relu else before.tanh()

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each row of outputs [..., rows, outputs]."""
        if self.shape.classes:
            index = y[..., None].expand(*outputs.shape[:-1], 1)
            return outputs.logsumexp(-1) - outputs.gather(-1, index)[..., 0]
        return (outputs - y).square().mean(-1)

    def move_(self, gradient: Tensor, slower: float = 1.0) -> None:
        """Take one step down [replicates, rates, N]."""
        self.steps += 1
        if self.adam:
            first, second = self.moments
            first.lerp_(gradient, 0.1)
            second.lerp_(gradient.square(), 0.001)
            down = second.div(1 - 0.999**self.steps).sqrt_().add_(1e-8)
            gradient = first / (1 - 0.9**self.steps) / down
        self.theta -= self.rates * slower * gradient


def two_query(nets: Nets, x: Tensor, y: Tensor, scale: float, directions: Tensor) -> Tensor:
    """Return the mean over k of [L(θ + c u) − L(θ − c u)] / (2c) u, [replicates, rates, N].

    Args:
        nets: where.
        x, y: one batch per replicate.
        scale: c.
        directions: u, [replicates, K, N].
    """
    b, w, a, v = nets.weights()
    db, du, da, dv = nets.parts(directions)
    found = torch.empty_like(nets.theta)
    for r in range(nets.replicates):  # one after the other: what a replicate needs fits a cache
        before = torch.baddbmm(b[r][:, None], x[r].expand(len(w[r]), -1, -1), w[r].mT)  # [rates, rows, units]
        if nets.shape.hidden:
            shift = (x[r] @ du[r].mT + db[r][:, None])[:, None]  # [K, 1, rows, units]
        sides = []
        for size in (scale, -scale):
            after = nets.act(torch.add(before, shift, alpha=size) if nets.shape.hidden else before)
            out = after @ torch.add(v[r], dv[r][:, None], alpha=size).mT
            out += torch.add(a[r], da[r][:, None], alpha=size)[:, :, None]
            sides.append(nets.losses(out, y[r]).mean(-1))  # [K, rates]
        slopes = (sides[0] - sides[1]) / (2 * scale * directions.shape[1])
        torch.mm(slopes.T, directions[r], out=found[r])
    return found


def node_perturbation(nets: Nets, x: Tensor, y: Tensor, scale: float, noise: Tensor) -> Tensor:
    """Return the estimate by noise on the outputs of both layers, [replicates, rates, N].

    Args:
        nets, x, y, scale: as above.
        noise: [replicates, rows, units], unit variance.
    """
    _, _, a, v = nets.weights()
    before, after, _ = nets.forward(x)
    outputs = nets.shape.readout.shape[1]
    near, far = noise[:, None, :, :-outputs], noise[:, None, :, -outputs:]
    sides = []
    for size in (scale, -scale):
        moved = nets.act(torch.add(before, near, alpha=size)) if nets.shape.hidden else after
        sides.append(nets.losses(moved @ v.mT + a[:, :, None] + size * far, y[:, None]))
    slopes = ((sides[0] - sides[1]) / (2 * scale * x.shape[1]))[..., None]
    return _credit(nets, x, after, slopes * near, slopes * far)


def backprop(nets: Nets, x: Tensor, y: Tensor) -> Tensor:
    """Return the gradient, [replicates, rates, N]."""
    v = nets.weights()[3]
    before, after, out = nets.forward(x)
    if nets.shape.classes:
        far = out.softmax(-1) - torch.nn.functional.one_hot(y, out.shape[-1])[:, None]
    else:
        far = 2 * (out - y[:, None]) / out.shape[-1]
    far = far / x.shape[1]
    slope = (before > 0).to(far) if nets.shape.relu else 1 - after.square()
    return _credit(nets, x, after, (far @ v) * slope, far)


def _credit(nets: Nets, x: Tensor, after: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """Return the gradient of the weights for that of the activities, [replicates, rates, rows, units]."""
    found = [far.sum(2), nets._gather(far.mT @ after, 3)]
    if nets.shape.hidden:
        found = [near.sum(2), nets._gather(near.mT @ x[:, None], 1), *found]
    return torch.cat(found, 2)


def train(
    nets: Nets,
    rule: str,
    batches: Batches,
    steps: int,
    numbers: Sequence[int],
    look: Callable[[int], None] = lambda step: None,
    directions: int = 16,
    scale: float = 0.01,
    decay: bool = False,
) -> int:
    """Train, and return how many losses were read per replicate (gradient steps for ``"backprop"``).

    Args:
        nets: changed.
        rule: ``"two-query"``, ``"node-perturbation"`` or ``"backprop"``.
        batches: one per step.
        steps: how many.
        numbers: of the replicates; directions are drawn from a stream of each.
        look: called after each step with its number, from 1.
        directions, scale: of the rule.
        decay: whether the rates fall to 0 in a straight line.
    """
    streams = [torch.Generator().manual_seed(int(np.random.default_rng([n, 41]).integers(2**62))) for n in numbers]
    rows = 0
    for step in range(steps):
        x, y = next(batches)
        rows = x.shape[1]
        if rule == "two-query":
            u = torch.stack([draw("rademacher", directions, nets.shape.active, one) for one in streams])
            gradient = two_query(nets, x, y, scale, u)
        elif rule == "node-perturbation":
            u = torch.stack([draw("rademacher", rows, nets.shape.units, one) for one in streams])
            gradient = node_perturbation(nets, x, y, scale, u)
        else:
            gradient = backprop(nets, x, y)
        nets.move_(gradient, 1 - step / steps if decay else 1.0)
        look(step + 1)
    return steps * per_step(rule, rows, directions)


def per_step(rule: str, rows: int, directions: int = 16) -> int:
    """Return what a step costs: losses of a batch, losses of a row (a clean pass among them), or one gradient.

    >>> per_step("two-query", 64), per_step("node-perturbation", 8), per_step("backprop", 64)
    (32, 24, 1)
    """
    return {"two-query": 2 * directions, "node-perturbation": 3 * rows, "backprop": 1}[rule]


def _places(mask: Tensor) -> Tensor | None:
    """Return the flat places of the true entries, [replicates, many]; None where all are."""
    if bool(mask.all()):
        return None
    counts = mask.flatten(1).sum(1)
    assert int(counts.min()) == int(counts.max()), "replicates of one shape have as many weights"
    return torch.stack([one.flatten().nonzero()[:, 0] for one in mask])

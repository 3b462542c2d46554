"""Many small networks trained at once, one for each replicate and strength, with noise or a penalty on their weights.

Tensors carry the network first: [networks, outputs, inputs]. What a weight is made of is what the classes of
``sparsefire.sparsity`` make of it, given the same signs (tests/benchmarks_quick/test_synaptic_noise.py).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from noise.arms import BOTH, Arm
from torch import Tensor

from sparsefire.rules.directions import draw
from sparsefire.sparsity.noise.weights import BETA, WIDTH
from sparsefire.sparsity.parameterisation.product import balanced_factor

EVERY, HELD = 5, 0.8
"""Steps between two looks at the curvature, and the share of the last estimate that is kept."""


@dataclass
class Layer:
    """Weights of one layer: θ = factor · weight with a factor, else the weight.

    Attributes:
        arm: how they are made.
        weight, factor: trained, [networks, outputs, inputs].
        bias: trained, [networks, outputs].
        strength, floor: of the noise or the penalty, [networks, 1, 1].
        width: δ of Poisson noise, [networks, 1, 1].
        curvature: running mean of the diagonal of the Gauss-Newton matrix, in the shape of the weight.
    """

    arm: Arm
    weight: Tensor
    factor: Tensor | None
    bias: Tensor
    strength: Tensor
    floor: Tensor
    width: Tensor
    curvature: Tensor | None = None

    @property
    def theta(self) -> Tensor:
        """Return the mean weights."""
        return self.weight if self.factor is None else self.factor * self.weight

    @property
    def trained(self) -> list[Tensor]:
        """Return what an optimizer moves."""
        return [part for part in (self.weight, self.factor, self.bias) if part is not None]

    @property
    def signs(self) -> int:
        """Return how many signs a weight takes at a step."""
        if self.arm.noise == "none" or self.arm.rows:
            return 0
        return 2 if self.arm.noise == BOTH else 1

    def bottom(self) -> Tensor:
        """Return H + floor times the layer's mean of H."""
        assert self.curvature is not None, "curvature is looked at before the first step"
        return self.curvature + self.floor * self.curvature.mean((1, 2), keepdim=True) + 1e-12

    def square(self) -> Tensor:
        """Return η² or e²; curved they are λ or 2λ over the curvature, as e² / 2 stands where η² does."""
        if not self.arm.curved:
            return self.strength**2
        return (1.0 if self.arm.noise == BOTH else 2.0) * self.strength / self.bottom()

    def noisy(self, signs: Tensor | None) -> Tensor:
        """Return the weights of one step, given its signs [signs, networks, outputs, inputs]."""
        if signs is None:
            return self.theta
        size = self.square().sqrt()
        if self.factor is not None:
            return (self.factor + size * signs[0]) * (self.weight + size * signs[1])
        share = ((self.weight**2 + self.width**2).sqrt() + self.width).rsqrt()
        return self.weight * (1 + size * share * signs[0])

    def variance(self) -> Tensor:
        """Return the variance of a weight under noise by row; for products without that of η² zz'."""
        if self.factor is not None:
            return self.square() * (self.weight**2 + self.factor**2)
        return self.square() * ((self.weight**2 + self.width**2).sqrt() - self.width)

    def pull_(self) -> None:
        """Add the gradient of a penalty: κ Σ (m² + w²), or λ Σ |θ| H / (H + floor) at a fixed curvature."""
        parts = (self.weight, self.factor) if self.arm.penalty == "spred" else (self.weight,)
        for part in parts if self.arm.penalty != "none" else ():
            assert part is not None
            assert part.grad is not None
            if self.arm.penalty == "spred":
                part.grad.add_(2 * self.strength * part.detach())
            else:
                part.grad.add_(self.strength * part.detach().sign() * self.curvature / self.bottom())


def layers(arm: Arm, widths: list[int], strengths: Tensor, floors: Tensor, numbers: list[int]) -> list[Layer]:
    """Return the layers of len(strengths) networks; equal numbers start from equal weights (He's normal law)."""
    made = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        first = []
        for number in numbers:
            generator = torch.Generator().manual_seed(1000 * number + index)
            first.append(torch.randn(outputs, inputs, generator=generator) * math.sqrt(2 / inputs))
        theta, factor = torch.stack(first), None
        weight = theta.clone()
        if arm.weight == "product":
            factor = balanced_factor(theta, 0.0 if arm.penalty == "spred" else BETA).requires_grad_()
            weight = theta / factor.detach()
        width = WIDTH * theta.square().mean((1, 2), keepdim=True).sqrt()
        bias = torch.zeros(len(numbers), outputs, requires_grad=True)
        numbers_of = (strengths[:, None, None], floors[:, None, None])
        made.append(Layer(arm, weight.requires_grad_(), factor, bias, *numbers_of, width))
    return made


def forward(
    weights: list[Tensor], biases: list[Tensor], x: Tensor, spread: list[Tensor] | None = None,
    numbers: torch.Generator | None = None,
) -> list[Tensor]:  # fmt: skip
    """Return the inputs of each layer, [networks, rows, inputs], and last the logits.

    Args:
        weights, biases: of each layer.
        x: rows.
        spread: variances of the weights, if each row has normal noise of its own: then what a unit receives has the
            variance Σ_j x_j² Var(θ_j), and is drawn itself (arXiv:1506.02557).
        numbers: draw them.
    """
    found = [x]
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        out = torch.baddbmm(bias[:, None], found[-1], weight.transpose(1, 2))
        if spread is not None:
            variance = torch.bmm(found[-1] ** 2, spread[number].transpose(1, 2))
            out = out + (variance + 1e-12).sqrt() * torch.randn(variance.shape, generator=numbers)
        found.append(out.relu() if number < len(weights) - 1 else out)
    return found


@torch.no_grad()
def curvatures(weights: list[Tensor], found: list[Tensor]) -> list[Tensor]:
    """Return the diagonal of the Gauss-Newton matrix of the cross-entropy, exact for one hidden layer.

    For logits a with probabilities p it is the mean over rows of Σ_kl (∂a_k/∂θ_j)(p_k δ_kl − p_k p_l)(∂a_l/∂θ_j).
    """
    (_, second), (x, hidden, logits) = weights, found
    p, rows = logits.softmax(2), x.shape[1]
    outer = torch.bmm((p * (1 - p)).transpose(1, 2), hidden**2) / rows
    spread = torch.bmm(p, second**2) - torch.bmm(p, second) ** 2
    inner = torch.bmm((spread * (hidden > 0)).transpose(1, 2), x**2) / rows
    return [inner, outer]


def step(net: list[Layer], x: Tensor, y: Tensor, done: int, numbers: torch.Generator) -> None:
    """Leave the gradients of one batch, and of the penalties, in ``.grad``."""
    biases = [layer.bias for layer in net]
    if net[0].arm.curved and not done:
        with torch.no_grad():
            quiet = [layer.theta for layer in net]
            _remember(net, quiet, forward(quiet, biases, x))
    weights = [layer.noisy(drawn(layer, numbers)) for layer in net]
    spread = [layer.variance() for layer in net] if net[0].arm.rows else None
    found = forward(weights, biases, x, spread, numbers)
    loss = torch.nn.functional.cross_entropy(found[-1].flatten(0, 1), y.flatten(), reduction="sum") / x.shape[1]
    loss.backward()
    for layer in net:
        layer.pull_()
    if net[0].arm.curved and done % EVERY == 0:
        _remember(net, weights, found)


def _remember(net: list[Layer], weights: list[Tensor], found: list[Tensor]) -> None:
    for layer, fresh in zip(net, curvatures(weights, found), strict=True):
        layer.curvature = fresh if layer.curvature is None else HELD * layer.curvature + (1 - HELD) * fresh


def drawn(layer: Layer, numbers: torch.Generator) -> Tensor | None:
    """Return the signs of a step, [signs, networks, outputs, inputs]."""
    if not layer.signs:
        return None
    return draw("rademacher", 1, layer.signs * layer.weight.numel(), numbers).view(layer.signs, *layer.weight.shape)


def train(
    net: list[Layer], x: Tensor, y: Tensor, *, how: str, rate: float, epochs: int, batch: int,
    orders: list[torch.Generator], numbers: torch.Generator,
) -> None:  # fmt: skip
    """Train by back-propagation through the noise, half a cosine. What the networks learn is their own.

    Args:
        net: of :func:`layers`; changed in place.
        x, y: rows [replicates, rows, inputs] and classes; networks are replicates, again and again.
        how: ``"adam"``, or ``"sgd"`` with momentum 0.9.
        rate, epochs, batch: of the training.
        orders: of the rows, one for each replicate: networks of one replicate see the same batches.
        numbers: of the noise.
    """
    replicates, rows = y.shape
    repeats, which = len(net[0].weight) // replicates, torch.arange(replicates)[:, None]
    trained: Any = [part for layer in net for part in layer.trained]
    if how == "adam":
        optimizer: torch.optim.Optimizer = torch.optim.Adam(trained, lr=rate, fused=True)
    else:
        optimizer = torch.optim.SGD(trained, lr=rate, momentum=0.9, fused=True)
    steps, done = epochs * (rows // batch), 0
    for _ in range(epochs):
        order = torch.stack([torch.randperm(rows, generator=generator) for generator in orders])
        for begin in range(0, rows - batch + 1, batch):
            pick = order[:, begin : begin + batch]
            step(net, x[which, pick].repeat(repeats, 1, 1), y[which, pick].repeat(repeats, 1), done, numbers)
            optimizer.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * done / steps))
            optimizer.step()
            optimizer.zero_grad()
            done += 1


@torch.no_grad()
def accuracy(weights: list[Tensor], biases: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Return the share of rows each network has right, [networks]."""
    repeats = len(weights[0]) // len(x)
    out = forward(weights, biases, x.repeat(repeats, 1, 1))[-1]
    return (out.argmax(2) == y.repeat(repeats, 1)).float().mean(1)


@torch.no_grad()
def largest(weights: list[Tensor], share: float) -> list[Tensor]:
    """Return weights of which the largest share, over all layers of a network, is kept and the rest is zero."""
    sizes = torch.cat([weight.flatten(1).abs() for weight in weights], 1)
    count = round(share * sizes.shape[1])
    least = sizes.kthvalue(sizes.shape[1] - count + 1, dim=1).values[:, None, None]
    return [torch.where(weight.abs() >= least, weight, 0.0) for weight in weights]

"""How good an estimate is: its angle to the gradient, its variance, its bias, and how many directions matter."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.active import Active
from sparsefire.rules.call import LossFunction, Rule, call
from sparsefire.rules.decorrelated import DecorrelatedNodePerturbation
from sparsefire.rules.directions import draw, generator_of
from sparsefire.rules.node_perturbation import NodePerturbation
from sparsefire.rules.quiet import SameNoise, frozen_statistics
from sparsefire.rules.unit_wise import UnitDifferences
from sparsefire.rules.weights import WeightRule
from sparsefire.statistics.intervals import mean_interval

PERTURBING = (WeightRule, NodePerturbation, DecorrelatedNodePerturbation, UnitDifferences)
"""Rules whose ``scale`` is the size of a perturbation."""

SCALES = (0.1, 1.0, 10.0)
"""Multiples of a rule's perturbation at which its bias is measured."""


@dataclass(frozen=True)
class Diagnosis:
    """What repeated estimates on one batch say.

    Attributes:
        rule: its name.
        active: parameters that are active, N.
        repeats: R, independent estimates.
        cosine: of one estimate with the gradient, mean and 95% interval.
        cosine_of_mean: of the mean of all with the gradient.
        relative_variance: E|ĝ − E ĝ|² / |∇L|², unbiased.
        relative_bias: |E ĝ − ∇L|² / |∇L|², unbiased (and so below zero at times), by multiples of the perturbation.
        effective_rank: tr H / ‖H‖ of the loss, ‖H‖ the largest absolute eigenvalue: how many directions matter; NaN
            where the trace is not positive.
    """

    rule: str
    active: int
    repeats: int
    cosine: float
    cosine_interval: tuple[float, float]
    cosine_of_mean: float
    relative_variance: float
    relative_bias: dict[float, float]
    effective_rank: float

    def __str__(self) -> str:
        low, high = self.cosine_interval
        biases = ", ".join(f"{bias:+.2g} at {scale:g}×" for scale, bias in self.relative_bias.items())
        return "\n".join(
            [
                f"{self.rule} · {self.active:,} active parameters · {self.repeats} estimates on one batch",
                f"  cosine with the gradient   {self.cosine:.3f} [{low:.3f}, {high:.3f}], of their mean "
                f"{self.cosine_of_mean:.3f}",
                f"  relative variance          {self.relative_variance:.3g} "
                f"({self.relative_variance / self.active:.2f} per parameter)",
                f"  relative bias              {biases}",
                f"  effective rank             {self.effective_rank:.1f} of {self.active:,}",
            ]
        )


def diagnose(
    rule: Rule, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any, repeats: int = 100, rng: Any = None
) -> Diagnosis:
    """Compare estimates of a rule with the exact gradient of the mean loss; network and rule are left as they are.

    Args:
        rule: any that leaves ``.grad``; a copy of it is asked.
        net, loss_fn, x, y: as the rule is called.
        repeats: R, at least 2.
        rng: draws the probes of the trace of the Hessian.

    Raises:
        UserError: a rule that leaves no gradient, fewer than two repeats, or a gradient of zero.

    >>> from sparsefire.rules import ForwardGradient
    >>> net = nn.Linear(10, 1, bias=False)
    >>> x = torch.eye(10); y = torch.ones(10, 1)
    >>> found = diagnose(ForwardGradient(rng=0), net, nn.functional.mse_loss, x, y, repeats=400)
    >>> 8 < found.relative_variance < 10, round(found.effective_rank)
    (True, 10)
    """
    if getattr(rule, "replays", False):
        raise UserError(
            f"{type(rule).__name__} leaves no gradient to look at.", came="a rule that replays",
            expected="a rule that fills .grad; TwoQuery is MeZO's estimate",
        )  # fmt: skip
    if repeats < 2:
        raise UserError("a variance needs at least two estimates.", came=f"repeats={repeats}")
    twin = copy.deepcopy(net)
    noise = SameNoise(twin)
    active = Active(twin)
    gradient = _gradient(twin, loss_fn, x, y, active)
    size = float(gradient.norm())
    if not size > 0:
        raise UserError("there is nothing to compare with.", came="a gradient of zero on this batch")
    found, biases = {}, {}
    for multiple in SCALES if isinstance(rule, PERTURBING) and hasattr(rule, "scale") else (1.0,):
        other = copy.deepcopy(rule)
        if multiple != 1:
            other.scale *= multiple  # type: ignore[attr-defined]
        estimates = _estimates(other, twin, loss_fn, x, y, active, repeats, noise)
        spread = float(estimates.var(0).sum())
        biases[multiple] = (float((estimates.mean(0) - gradient).square().sum()) - spread / repeats) / size**2
        found[multiple] = estimates
    estimates = found[1.0]
    cosines = nn.functional.cosine_similarity(estimates, gradient[None], dim=1)
    _, low, high = mean_interval(cosines.double().cpu().numpy())
    rank = _effective_rank(twin, loss_fn, x, y, active, generator_of(rng))
    noise.rewind()
    return Diagnosis(
        type(rule).__name__,
        active.size,
        repeats,
        float(cosines.mean()),
        (low, high),
        float(nn.functional.cosine_similarity(estimates.mean(0), gradient, dim=0)),
        float(estimates.var(0).sum()) / size**2,
        biases,
        rank,
    )


def _mean_loss(net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
    return loss_fn(call(net, x), y).mean()


def _gradient(net: nn.Module, loss_fn: LossFunction, x: Any, y: Any, active: Active) -> Tensor:
    for parameter in active.parameters.values():
        parameter.grad = None
    noise = SameNoise(net)
    with frozen_statistics(net), torch.enable_grad():
        _mean_loss(net, loss_fn, x, y).backward()
    noise.rewind()
    return active.gradient()


def _estimates(
    rule: Rule, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any, active: Active, repeats: int, noise: SameNoise
) -> Tensor:
    found = []
    for _ in range(repeats):
        for parameter in active.parameters.values():
            parameter.grad = None
        noise.rewind()
        rule(net, loss_fn, x, y)
        found.append(active.gradient())
    return torch.stack(found)


def _effective_rank(
    net: nn.Module, loss_fn: LossFunction, x: Any, y: Any, active: Active, generator: torch.Generator
) -> float:
    """Return tr H / ‖H‖, the trace by Hutchinson's signs, the norm by 30 power iterations."""
    with frozen_statistics(net), torch.enable_grad():
        parameters = list(active.parameters.values())
        noise = SameNoise(net)
        gradients = torch.autograd.grad(
            _mean_loss(net, loss_fn, x, y), parameters, create_graph=True, materialize_grads=True
        )
        noise.rewind()

        def times(vector: Tensor) -> Tensor:
            pieces = [one[0] for one in active.shaped(vector[None]).values()]
            if not any(one.requires_grad for one in gradients):
                return torch.zeros_like(vector)
            found = torch.autograd.grad(
                [one for one in gradients if one.requires_grad],
                parameters,
                [piece for piece, one in zip(pieces, gradients, strict=True) if one.requires_grad],
                retain_graph=True,
                materialize_grads=True,
            )
            return torch.cat([active._flat(n, one) for n, one in zip(active.parameters, found, strict=True)])

        trace, norm = _trace(times, active, generator), _norm(times, active, generator)
        return trace / norm if trace > 0 and norm > 0 else math.nan


def _trace(times: Callable[[Tensor], Tensor], active: Active, generator: torch.Generator, probes: int = 30) -> float:
    signs = draw("rademacher", probes, active.size, generator, active.dtype).to(active.device)
    return sum(float(one @ times(one)) for one in signs) / probes


def _norm(times: Callable[[Tensor], Tensor], active: Active, generator: torch.Generator, rounds: int = 30) -> float:
    vector = draw("normal", 1, active.size, generator, active.dtype)[0].to(active.device)
    for _ in range(rounds):
        vector = times(vector / vector.norm().clamp_min(torch.finfo(vector.dtype).tiny))
    return float(vector.norm())

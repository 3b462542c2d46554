"""HAM: a hyperbolic mirror step after each step of any optimizer.

T. Jacobs, A. Gadhikar, C. Rubio-Madrigal, R. Burkholz. Hyperbolic aware minimization: implicit bias for sparsity,
ICLR 2026. arXiv:2506.02630

After the optimizer has moved θ to θ', every weight (tensors of two or more dimensions) is multiplied,

    w ← w · exp(clip(lr · (-α · sign(w) · g - β), -5, 5)),        w at θ', g = ∂L/∂w at θ.

With SGD the two steps together move θ, to first order in lr, along -(1 + α|θ|) · g - β θ: large weights learn as in a
product m · w, while the inverse metric stays at 1 near zero, so signs can flip. Exact zeros stay zero. The
multiplication alone never flips a sign.

Kept of the published wrapper: the formula, its clip, the defaults, which belong to SGD at rates around 0.2, and the
clip of the norm of every tensor. Left out: its clip of gradient norms, which comes after the gradients were used and
before they are cleared, so that it changes nothing but what a topology reads there; and its messages about NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch.optim import Optimizer

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.steps.wrapper import Wrapper, optimizer_of
from sparsefire.sparsity.topology.base import Control

ALPHA, BETA, LARGEST = 200.0, 1e-3, 1000.0
_CLIP = 5.0  # of the exponent


@torch.no_grad()
def hyperbolic_step_(
    optimizer: Optimizer, alpha: float = ALPHA, beta: float = BETA, max_weight_norm: float = LARGEST
) -> None:
    """Multiply the weights of an optimizer that has just stepped, in place; its gradients are still there.

    Args:
        optimizer: any; parameters without a gradient, or with a sparse one, are left alone.
        alpha: strength of the hyperbolic geometry, at least 0.
        beta: shrinks all weights by exp(-lr · beta), at least 0.
        max_weight_norm: Euclidean norm at which a parameter tensor, of any dimension, is scaled back.

    >>> weight = torch.nn.Parameter(torch.tensor([[2.0, -2.0, 0.0]]))
    >>> optimizer = torch.optim.SGD([weight], lr=0.1)
    >>> weight.grad = torch.full((1, 3), 0.5)
    >>> hyperbolic_step_(optimizer, alpha=4.0, beta=0.0)  # of weights that did not move: exp(∓0.2)
    >>> weight.data.round(decimals=4)
    tensor([[ 1.6375, -2.4428,  0.0000]])
    """
    for group in optimizer.param_groups:
        rate = float(group["lr"])
        pull = alpha * rate if group.get("maximize") else -alpha * rate
        for parameter in group["params"]:
            gradient = parameter.grad
            if gradient is None or gradient.is_sparse:
                continue
            if parameter.ndim >= 2:
                shrink = parameter.new_full((), -beta * rate)
                exponent = torch.addcmul(shrink, parameter.sign(), gradient.to(parameter), value=pull)
                parameter.mul_(exponent.clamp_(-_CLIP, _CLIP).exp_())
            norm = float(torch.linalg.vector_norm(parameter))
            if norm > max_weight_norm:
                parameter.mul_(max_weight_norm / norm)


class HAM(Wrapper):
    """Any optimizer with the hyperbolic step after each of its own.

    Tune ``alpha`` with the rate: 200 belongs to SGD at about 0.2; with Adam at 1e-3 the multiplication is hundreds of
    times weaker. Groups with Nesterov momentum are switched to ``foreach=False``, whose kernels alone leave
    gradients as they are.

    Args:
        optimizer: the one to wrap.
        alpha, beta, max_weight_norm: as of :func:`hyperbolic_step_`.

    Raises:
        UserError: a negative number.

    >>> net = torch.nn.Linear(2, 1)
    >>> optimizer = HAM(torch.optim.SGD(net.parameters(), lr=0.2), alpha=100.0)
    >>> schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    >>> net(torch.ones(3, 2)).square().mean().backward(); optimizer.step(); schedule.step(); optimizer.zero_grad()
    """

    def __init__(
        self, optimizer: Optimizer, alpha: float = ALPHA, beta: float = BETA, max_weight_norm: float = LARGEST
    ) -> None:
        super().__init__(optimizer)
        _check(alpha, beta, max_weight_norm)
        _leave_gradients(optimizer)
        self.alpha, self.beta, self.max_weight_norm = alpha, beta, max_weight_norm

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step, and multiply."""
        loss = self.optimizer.step(closure) if closure is not None else self.optimizer.step()
        hyperbolic_step_(self, self.alpha, self.beta, self.max_weight_norm)
        return loss


class HyperbolicStep(Control):
    """The same step as a part of a recipe: it is hooked to the optimizer of the setting.

    Args:
        setting: with an optimizer; one that is a :class:`HAM` already multiplies by itself, and nothing is added.
        alpha, beta, max_weight_norm: as of :func:`hyperbolic_step_`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"optimizer"})

    def __init__(
        self, setting: Setting, alpha: float = ALPHA, beta: float = BETA, max_weight_norm: float = LARGEST
    ) -> None:
        super().__init__(setting)
        optimizer = optimizer_of(setting)
        _check(alpha, beta, max_weight_norm)
        if _wraps(optimizer):
            return
        _leave_gradients(optimizer)
        # once they are baked, the method is over
        own = [(layer, masks.mask_of(layer)) for layer in masks.masked(setting.net).values()]

        def after_step(stepped: Optimizer, *_: Any) -> None:
            if all(masks.mask_of(layer) is part for layer, part in own) and not _skipped(stepped):
                hyperbolic_step_(stepped, alpha, beta, max_weight_norm)

        optimizer.register_step_post_hook(after_step)


def _wraps(optimizer: Any) -> bool:
    while isinstance(optimizer, Wrapper):
        if isinstance(optimizer, HAM):
            return True
        optimizer = optimizer.optimizer
    return False


def _skipped(optimizer: Optimizer) -> bool:
    """Say whether a fused optimizer under GradScaler has found infinite gradients and left the weights as they were."""
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)


def _leave_gradients(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        if group.get("nesterov") and not group.get("fused"):
            group["foreach"] = False


def _check(alpha: float, beta: float, max_weight_norm: float) -> None:
    if not (alpha >= 0 and beta >= 0 and max_weight_norm > 0):
        raise UserError(
            "HAM shrinks weights, and never by a negative amount.",
            came=f"alpha={alpha}, beta={beta}, max_weight_norm={max_weight_norm}",
            expected="alpha >= 0, beta >= 0, max_weight_norm > 0",
        )

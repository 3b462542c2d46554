"""Forward gradients: directional derivatives along random directions, no backward pass.

A. G. Baydin, B. A. Pearlmutter, D. Syme, F. Wood, P. Torr. Gradients without backpropagation, 2022. arXiv:2202.08587
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vmap

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.rules.call import LossFunction, add_gradient_, call, scalar


@dataclass(frozen=True)
class ForwardGradient:
    """Estimate the gradient by g = mean over k of (∇L · v_k) v_k, with exact directional derivatives.

    Directions have independent entries of mean 0 and variance 1 on the *active* parameters and are zero elsewhere, so
    the estimate is unbiased on them. With ``rademacher`` directions its relative variance E|g − ∇L|²/|∇L|² is exactly
    (N − 1)/K for N active parameters and K directions; with ``normal`` ones it is (N + 1)/K. All directions of one call
    see the same dropout mask; batch-norm statistics are updated once.

    Args:
        directions: K, at least 1.
        distribution: ``"rademacher"`` (entries ±1) or ``"normal"``.
        generator: torch Generator that draws the directions; None draws from torch's global one.
        chunk: directions evaluated at once (memory grows with it); None evaluates all together.

    >>> net = nn.Linear(3, 1, bias=False)
    >>> rule = ForwardGradient(directions=4, generator=torch.Generator().manual_seed(0))
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> net.weight.grad.shape
    torch.Size([1, 3])
    """

    directions: int = 1
    distribution: str = "rademacher"
    generator: torch.Generator | None = None
    chunk: int | None = None
    dense_gradients = False

    def __post_init__(self) -> None:
        if self.directions < 1:
            raise UserError("a forward gradient needs at least one direction.", came=f"directions={self.directions}")
        if self.chunk is not None and self.chunk < 1:
            raise UserError("a chunk holds at least one direction.", came=f"chunk={self.chunk}")
        if self.distribution not in ("rademacher", "normal"):
            raise UserError(f"there is no distribution {self.distribution!r}.", expected='"rademacher" or "normal"')

    @torch.no_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        _refuse_dense_request(net)
        mask_of = masks.active(net)
        names = {name: p for name, p in net.named_parameters() if p.requires_grad}
        values = {name: p.detach() for name, p in names.items()}
        directions = {name: self._draw(p, mask_of[p]) for name, p in names.items()}

        def loss_at(parameters: dict[str, Tensor]) -> Tensor:
            return scalar(loss_fn(functional_call(net, parameters, _as_args(x), _as_kwargs(x)), y))

        def along(direction: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            moved = jvp(loss_at, (values,), (direction,))
            return moved[0], moved[1]

        _update_statistics(net, x)
        with _frozen_statistics(net):
            losses, slopes = vmap(along, randomness="same", chunk_size=self.chunk)(directions)
        for name, parameter in names.items():
            estimate = torch.tensordot(slopes.to(parameter), directions[name], dims=1) / self.directions
            add_gradient_(parameter, estimate)
        return losses[0]

    def _draw(self, parameter: nn.Parameter, mask: Tensor | None) -> Tensor:
        shape = (self.directions, *parameter.shape)
        if self.distribution == "normal":
            drawn = torch.randn(shape, generator=self.generator, dtype=parameter.dtype)
        else:
            bits = torch.randint(0, 2, shape, generator=self.generator, dtype=torch.int8)
            drawn = bits.to(parameter.dtype).mul_(2).sub_(1)
        drawn = drawn.to(parameter.device)
        return drawn if mask is None else drawn.mul_(mask)


def _as_args(x: Any) -> tuple[Any, ...]:
    if isinstance(x, tuple):
        return x
    return () if hasattr(x, "keys") else (x,)


def _as_kwargs(x: Any) -> dict[str, Any]:
    return dict(x) if hasattr(x, "keys") else {}


def _refuse_dense_request(net: nn.Module) -> None:
    for module in masks.masked(net).values():
        masked = masks.mask_of(module)
        if masked is not None and masked.dense_gradient:
            raise UserError(
                "this topology needs the gradient of absent weights, and a forward gradient fills only active ones.",
                came="a topology that grows by gradient, such as rigl",
                expected="one that grows nothing: static, gmp, sign-in, lrr",
            )


def _with_statistics(net: nn.Module) -> list[nn.modules.batchnorm._NormBase]:
    return [
        module
        for module in net.modules()
        if isinstance(module, nn.modules.batchnorm._NormBase) and module.training and module.track_running_stats
    ]


def _update_statistics(net: nn.Module, x: Any) -> None:
    """Let batch norms see the batch once, without consuming the random numbers that dropout will use."""
    if _with_statistics(net):
        state = torch.get_rng_state()
        call(net, x)
        torch.set_rng_state(state)


@contextmanager
def _frozen_statistics(net: nn.Module) -> Iterator[None]:
    """Take the running statistics away: an instance norm would move them even when told not to track."""
    held = [(module, module.running_mean, module.running_var) for module in _with_statistics(net)]
    for module, _, _ in held:
        module.track_running_stats, module.running_mean, module.running_var = False, None, None
    try:
        yield
    finally:
        for module, mean, variance in held:
            module.track_running_stats, module.running_mean, module.running_var = True, mean, variance

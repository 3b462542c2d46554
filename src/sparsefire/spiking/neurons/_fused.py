"""The recurrences over all steps at once, in compiled code on the CPU: forward and backward.

Used where nobody looks inside: plain float32 or float64 tensors on the CPU, outside ``torch.func`` and forward-mode
differentiation. A gradient that is to be differentiated again is taken through the loop in torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from sparsefire.spiking.neurons.surrogates import SHAPES


@dataclass(frozen=True)
class Fire:
    """How a neuron fires and is reset, for the kernels."""

    hard: bool
    refractory_steps: int
    surrogate: str
    steepness: float
    reset_gradient: bool


class Start(NamedTuple):  # what the loop wants to know of a state
    v: Tensor
    rest: Tensor
    raised: Tensor
    drawn: Tensor


Loop = Callable[[Tensor, Any], tuple[Tensor, ...]]


def plain(*tensors: Tensor) -> bool:
    """Return whether compiled code may read these tensors."""
    first = tensors[0]
    if first.device.type != "cpu" or first.dtype not in (torch.float32, torch.float64):
        return False
    if any(type(t) not in (Tensor, torch.nn.Parameter) or t.dtype != first.dtype for t in tensors):
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._are_functorch_transforms_active():
        return False
    return forward_ad._current_level < 0


def fused(
    current: Tensor, v: Tensor, rest: Tensor, constants: tuple[Tensor, ...], how: Fire, loop: Loop
) -> tuple[Tensor, Tensor, Tensor]:
    """Return spikes, v and rest after v ← a v + k (b + r I), spike and reset in every step.

    Args:
        current: [time, batch, …]. v, rest: [batch, …].
        constants: a, k, b, r, threshold, v_reset, each one number or one for each unit.
        how: see :class:`Fire`.
        loop: the same in torch.
    """
    if torch.is_grad_enabled() and (current.requires_grad or v.requires_grad):
        return _LeakyFire.apply(current, v, rest, constants, how, loop)
    spikes, v, rest, _ = _forward(current, v, rest, constants, how, keep=False)
    return spikes, v, rest


def _forward(
    current: Tensor, v: Tensor, rest: Tensor, constants: tuple[Tensor, ...], how: Fire, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from sparsefire.spiking.neurons import _kernels

    spikes = torch.empty(current.shape, dtype=current.dtype)
    before = torch.empty(current.shape if keep else (1, *v.shape), dtype=current.dtype)
    v, rest = v.detach().clone(memory_format=torch.contiguous_format), rest.clone(memory_format=torch.contiguous_format)
    _kernels.fire_forward(  # type: ignore[call-arg]
        steps(current), lanes(v), lanes(rest), steps(spikes), steps(before),
        *numbers(constants, v), how.hard, how.refractory_steps, keep,
    )  # fmt: skip
    return spikes, v, rest, before


class _LeakyFire(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, current: Tensor, v: Tensor, rest: Tensor, constants: Any, how: Fire, loop: Loop) -> Any:
        spikes, after, rest_after, before = _forward(current, v, rest, constants, how, keep=True)
        ctx.save_for_backward(current, v, rest, before)
        ctx.constants, ctx.how, ctx.loop = constants, how, loop
        ctx.mark_non_differentiable(rest_after)
        return spikes, after, rest_after

    @staticmethod
    def backward(ctx: Any, by_spikes: Tensor, by_v: Tensor, _: Any) -> Any:
        current, v, rest, before = ctx.saved_tensors
        if torch.is_grad_enabled():  # this gradient will be differentiated
            start = Start(v, rest, torch.zeros_like(v), torch.zeros(1))
            return *again(ctx.loop, (by_spikes, by_v), current, start)[:2], None, None, None, None
        from sparsefire.spiking.neurons import _kernels

        how = ctx.how
        grad = torch.empty(current.shape, dtype=current.dtype)
        by_v = by_v.clone(memory_format=torch.contiguous_format)
        a, k, _, r, threshold, v_reset = numbers(ctx.constants, by_v)
        _kernels.fire_backward(
            steps(by_spikes), lanes(by_v), steps(before), steps(grad), a, k, r, threshold, v_reset,
            how.hard, how.reset_gradient, SHAPES.index(how.surrogate),
            by_v.numpy().dtype.type(how.steepness),
        )  # fmt: skip
        return grad, by_v, None, None, None, None


def again(loop: Loop, by: tuple[Tensor, ...], current: Tensor, start: Any) -> list[Any]:
    """Return the gradients by current, v and raised from those by spikes, v and raised, to be differentiated again."""
    spikes, v, _, raised, _ = loop(current, start)
    pairs = [pair for pair in zip((spikes, v, raised), by, strict=False) if pair[0].requires_grad]
    inputs = (current, start.v, start.raised)
    sought = [part for part in inputs if part.requires_grad]
    outputs, along = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(outputs, sought, along, create_graph=True, allow_unused=True))
    return [next(found) if part.requires_grad else None for part in inputs]


def leaky(x: Tensor, y: Tensor, a: Tensor, k: Tensor, b: Tensor, r: Tensor, *, backwards: bool = False) -> Tensor:
    """Return y after every step, [time, batch, …], of y ← a y + k (b + r x), by the faster way that holds.

    ``backwards`` begins with the last step.
    """
    if not len(x):
        return x.new_zeros(x.shape)
    if plain(x, y) and not any(part.requires_grad for part in (a, k, b, r)):
        if torch.is_grad_enabled() and (x.requires_grad or y.requires_grad):
            return _Leaky.apply(x, y, (a, k, b, r), backwards)
        return _leaky_forward(x, y, (a, k, b, r), backwards)
    found = []
    drives = k * (b + r * x)
    for drive in drives.flip(0) if backwards else drives:
        y = a * y + drive
        found.append(y)
    return torch.stack(found[::-1] if backwards else found)


def _leaky_forward(x: Tensor, y: Tensor, constants: tuple[Tensor, ...], backwards: bool) -> Tensor:
    from sparsefire.spiking.neurons import _kernels

    found = torch.empty(x.shape, dtype=x.dtype)
    y = y.detach().clone(memory_format=torch.contiguous_format)
    _kernels.leaky_forward(steps(x), lanes(y), steps(found), *numbers(constants, y), backwards)  # type: ignore[call-arg]
    return found


class _Leaky(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, constants: tuple[Tensor, ...], backwards: bool) -> Tensor:
        ctx.constants, ctx.backwards = constants, backwards
        return _leaky_forward(x, y, constants, backwards)

    @staticmethod
    def backward(ctx: Any, by: Tensor) -> Any:
        # The adjoint of a linear recurrence is the same recurrence the other way: written so, it can be differentiated.
        a, k, _, r = ctx.constants
        one, zero = torch.ones_like(a), torch.zeros_like(a)
        by_x = by_y = None
        if ctx.needs_input_grad[0]:
            by_x = leaky(by, torch.zeros_like(by[0]), a, k, zero, r, backwards=not ctx.backwards)
        if ctx.needs_input_grad[1]:
            total = leaky(by, torch.zeros_like(by[0]), a, one, zero, one, backwards=not ctx.backwards)
            by_y = a * total[-1 if ctx.backwards else 0]
        return by_x, by_y, None, None


def steps(tensor: Tensor) -> Any:
    """Return [time, batch × unit] as a NumPy array, without a copy where that is possible."""
    return tensor.detach().contiguous().flatten(1).numpy()


def lanes(tensor: Tensor) -> Any:
    """Return [batch × unit] as a NumPy array, without a copy where that is possible."""
    return tensor.detach().contiguous().flatten().numpy()


def numbers(constants: tuple[Tensor, ...], like: Tensor) -> list[Any]:
    """Return constants as numbers, or all as arrays [batch × unit] if one of them is one for each unit."""
    if all(part.ndim == 0 for part in constants):
        kind = like.numpy().dtype.type
        return [kind(float(part)) for part in constants]
    return [part.detach().expand(like.shape).contiguous().flatten().numpy() for part in constants]

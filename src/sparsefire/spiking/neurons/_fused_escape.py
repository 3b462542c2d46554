"""As ``_fused``, for neurons whose threshold adapts or is raised, or that fire by escape noise."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sparsefire.spiking.neurons._fused import Fire, Loop, Start, again, lanes, numbers, steps
from sparsefire.spiking.neurons.escape import FORMS, Escape
from sparsefire.spiking.neurons.surrogates import SHAPES


class Rule(NamedTuple):
    """What becomes of a raised threshold, and the noise.

    Attributes:
        fall, step: what is left of it after a step, what a spike adds.
        escape: the noise, or None. dt: seconds per step.
        places, units: where its numbers begin and how far apart the steps are; see :class:`Noise`.
    """

    fall: float
    step: float
    escape: Escape | None
    dt: float
    places: Tensor
    units: int


def fused_escape(
    current: Tensor, start: Start, constants: tuple[Tensor, ...], how: Fire, rule: Rule, loop: Loop
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return spikes, v, rest and raised; arguments as of :func:`~sparsefire.spiking.neurons._fused.fused`."""
    if torch.is_grad_enabled() and any(part.requires_grad for part in (current, start.v, start.raised)):
        return _EscapeFire.apply(current, *start, constants, how, rule, loop)
    spikes, v, rest, raised, *_ = _forward(current, start, constants, how, rule, keep=False)
    return spikes, v, rest, raised


def _forward(
    current: Tensor, start: Start, constants: tuple[Tensor, ...], how: Fire, rule: Rule, keep: bool
) -> tuple[Tensor, ...]:
    from sparsefire.spiking.neurons import _escape_kernels

    spikes = torch.empty(current.shape, dtype=current.dtype)
    v, rest, raised = (part.detach().clone(memory_format=torch.contiguous_format) for part in start[:3])
    slopes = torch.empty(current.shape if keep else (1, *v.shape), dtype=v.dtype)
    fates = torch.empty(slopes.shape, dtype=torch.int8)
    jumps = torch.empty(current.shape if keep and how.reset_gradient else (1, *v.shape), dtype=v.dtype)
    kind, escape = v.numpy().dtype.type, rule.escape
    noise = (-1, 0.0, 1.0) if escape is None else (FORMS.index(escape.form), escape.rate * rule.dt, escape.width)
    _escape_kernels.escape_forward(  # type: ignore[call-arg]
        steps(current), lanes(v), lanes(rest), lanes(raised), lanes(rule.places).view("uint64"), rule.units,
        steps(spikes), steps(slopes), steps(fates), steps(jumps), *numbers(constants, v), how.hard,
        how.refractory_steps, how.reset_gradient, SHAPES.index(how.surrogate), kind(how.steepness), kind(rule.fall),
        kind(rule.step), *noise, keep,
    )  # fmt: skip
    return spikes, v, rest, raised, slopes, fates, jumps


class _EscapeFire(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, current: Tensor, v: Tensor, rest: Tensor, raised: Tensor, drawn: Tensor, constants: Any,
        how: Fire, rule: Rule, loop: Loop,
    ) -> Any:  # fmt: skip
        start = Start(v, rest, raised, drawn)
        *found, slopes, fates, jumps = _forward(current, start, constants, how, rule, keep=True)
        ctx.save_for_backward(current, *start, slopes, fates, jumps)
        ctx.constants, ctx.how, ctx.rule, ctx.loop = constants, how, rule, loop
        ctx.mark_non_differentiable(found[2])
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, by_spikes: Tensor, by_v: Tensor, _: Any, by_raised: Tensor) -> Any:
        current, *start, slopes, fates, jumps = ctx.saved_tensors
        nothing = (None,) * 5
        if torch.is_grad_enabled():  # this gradient will be differentiated
            by_current, by_v, by_raised = again(ctx.loop, (by_spikes, by_v, by_raised), current, Start(*start))
            return by_current, by_v, None, by_raised, *nothing
        from sparsefire.spiking.neurons import _escape_kernels

        grad = torch.empty(current.shape, dtype=current.dtype)
        by_v, by_raised = (part.clone(memory_format=torch.contiguous_format) for part in (by_v, by_raised))
        a, k, _, r, *_ = numbers(ctx.constants, by_v)
        kind = by_v.numpy().dtype.type
        _escape_kernels.escape_backward(
            steps(by_spikes), lanes(by_v), lanes(by_raised), steps(slopes), steps(fates), steps(jumps), steps(grad),
            a, k, r, ctx.how.hard, ctx.how.reset_gradient, kind(ctx.rule.fall), kind(ctx.rule.step),
        )  # fmt: skip
        return grad, by_v, None, by_raised, *nothing

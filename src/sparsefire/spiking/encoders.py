"""Numbers as spikes: by how often, by how soon, or by change."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsefire.errors import UserError
from sparsefire.randomness import stream


def encode_by_rate(values: Any, steps: int, *, first: int = 0, rng: Any = None) -> Tensor:
    """Return spikes [steps, *values.shape]: each step fires with the value as its probability, independently.

    The count over steps is binomial with mean steps × value; for small values it is a Poisson train on a grid. Row i
    of the values has random numbers of its own, counted by ``first + i``: rows get the same spikes in batches of any
    size, if each batch says where it begins. Give each visit of the same rows an ``rng`` of its own.

    Args:
        values: probabilities per step, in [0, 1], [row, …].
        steps: time steps, 1 or more.
        first: number of the first row.
        rng: see :func:`sparsefire.randomness.entropy`.

    Raises:
        UserError: values outside [0, 1].

    >>> encode_by_rate([0.0, 1.0], steps=3, rng=0).tolist()
    [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    """
    chance, steps = _values(values), _steps(steps)
    if not isinstance(first, int) or isinstance(first, bool) or first < 0:
        raise UserError("rows are counted from 0.", came=f"first={first!r}", expected="0 or more")
    rows = chance.shape[0] if chance.ndim else 1
    each = steps * (chance.numel() // max(rows, 1))
    blocks = -(-each // 4)  # Philox counts in blocks of four numbers
    bits = stream(rng, "encode by rate").bit_generator.advance(first * blocks)  # type: ignore[attr-defined]
    drawn = np.random.Generator(bits).random((rows, 4 * blocks))[:, :each]
    at = torch.from_numpy(drawn).to(chance.device).reshape(rows, steps, *chance.shape[1:]).transpose(0, 1)
    return (at.reshape(steps, *chance.shape) < chance).to(chance.dtype)


def encode_by_latency(values: Any, steps: int, *, threshold: float = 0.0) -> Tensor:
    """Return spikes [steps, *values.shape]: each value above the threshold fires once, the larger the sooner.

    A value of 1 fires in the first step and one just above ``threshold`` in the last; between them the time is linear.

    Args:
        values: in [0, 1].
        steps: time steps, 1 or more.
        threshold: values up to this one are silent, in [0, 1).

    Raises:
        UserError: values or a threshold out of range.

    >>> encode_by_latency([1.0, 0.6, 0.2, 0.0], steps=3).T.tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    found, steps = _values(values), _steps(steps)
    if not isinstance(threshold, int | float) or isinstance(threshold, bool) or not 0 <= threshold < 1:
        raise UserError("a threshold lies among the values.", came=repr(threshold), expected="in [0, 1)")
    late = ((1 - found) / (1 - threshold) * steps).floor().clamp(max=steps - 1).long()
    spikes = torch.zeros((steps, *found.shape), dtype=found.dtype, device=found.device)
    return spikes.scatter_(0, late.unsqueeze(0), (found > threshold).to(found.dtype).unsqueeze(0))


def encode_changes(signal: Any, threshold: float) -> Tensor:
    """Return spikes [time, …, 2 × channels] of a signal [time, …, channels]: where it rose and where it fell.

    Delta modulation: each channel remembers a level, its first value. Where the signal is above it by ``threshold`` or
    more, the first of the two outputs fires and the level rises by ``threshold``; below it, the second one fires and
    the level falls. At most one spike per step and channel, so steep changes are followed with a delay.

    Args:
        signal: finite numbers.
        threshold: above 0, in units of the signal.

    Raises:
        UserError: a signal that is not finite or has no axis of time, a threshold of 0.

    >>> encode_changes([[0.0], [1.0], [1.0], [0.2]], threshold=0.5).tolist()
    [[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    """
    found = _floats(signal)
    if found.ndim < 2 or not len(found):
        came = f"shape {list(found.shape)}"
        raise UserError("a signal has time and channels.", came=came, expected="[time, …, channel]")
    if not isinstance(threshold, int | float) or isinstance(threshold, bool) or not 0 < threshold < float("inf"):
        raise UserError("a threshold is a change of the signal.", came=repr(threshold), expected="above 0")
    level, spikes = found[:1].clone().squeeze(0), []
    for now in found:
        up, down = (now - level >= threshold).to(found.dtype), (level - now >= threshold).to(found.dtype)
        level = level + threshold * (up - down)
        spikes.append(torch.cat([up, down], dim=-1))
    return torch.stack(spikes)


def _floats(values: Any) -> Tensor:
    try:
        found = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        found = torch.full((1,), torch.nan)
    if not isinstance(values, Tensor) or not found.is_floating_point():
        found = found.to(torch.get_default_dtype())  # what layers compute in, whatever NumPy had
    if not bool(torch.isfinite(found).all()):
        raise UserError("values are finite numbers.", came=repr(values)[:60], expected="an array or a tensor")
    return found


def _values(values: Any) -> Tensor:
    found = _floats(values)
    if found.numel() and (float(found.min()) < 0 or float(found.max()) > 1):
        raise UserError(
            "values lie between 0 and 1.", came=f"{float(found.min()):g} to {float(found.max()):g}", expected="[0, 1]",
            attempt="x / x.max()",
        )  # fmt: skip
    return found


def _steps(steps: Any) -> int:
    if not isinstance(steps, int | np.integer) or isinstance(steps, bool) or steps < 1:
        raise UserError("steps is a number of time steps.", came=repr(steps), expected="1 or more")
    return int(steps)

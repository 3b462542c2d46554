"""The synapses that a few spikes touch, taken out of many: a rule then reads and changes these alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsefire.spiking.plasticity._inputs import to_numpy
from sparsefire.spiking.plasticity.synapses import Synapses
from sparsefire.spiking.spikes import Spikes

FEW = 1 / 16  # share of the synapses up to which taking them out is faster than to go through all


class Touched(NamedTuple):
    """Some synapses, sender by sender, as rules take those of a :class:`~sparsefire.Wiring`.

    Attributes:
        senders, receivers: ends of each synapse.
        weights: of each, float32 or float64.
        shape: numbers of senders and of receivers.
    """

    senders: np.ndarray
    receivers: np.ndarray
    weights: np.ndarray
    shape: tuple[int, int]


def touched(pre: Any, post: Any, weight: np.ndarray, synapses: Synapses | None) -> Touched | None:
    """Return the synapses of all neurons that fired, on either side; None if these are many, or spikes do not fit.

    Args:
        pre, post: spikes as rules take them.
        weight: [out, in].
        synapses: those that exist; None for all.
    """
    shape = (weight.shape[1], weight.shape[0])
    firing = [fired(spikes, width) for spikes, width in zip((pre, post), shape, strict=True)]
    if firing[0] is None or firing[1] is None:
        return None
    ends = _crossing(firing[0], firing[1], shape) if synapses is None else _existing(firing[0], firing[1], synapses)
    return None if ends is None else Touched(ends[0], ends[1], weight[ends[1], ends[0]], shape)


def fired(spikes: Any, width: int) -> np.ndarray | None:
    """Return the neurons that fired at least once, in order; None for what are no spikes of so many neurons."""
    many = list(spikes) if isinstance(spikes, list | tuple) else [spikes]
    if many and all(isinstance(one, Spikes) for one in many):
        good = all(one.n_units == width for one in many)
        return np.unique(np.concatenate([one.units for one in many])) if good else None
    dense = to_numpy(spikes)
    if dense.dtype.kind not in "biuf" or dense.ndim not in (2, 3) or dense.shape[-1] != width:
        return None
    return np.flatnonzero(dense.reshape(-1, width).any(axis=0))


def _crossing(senders: np.ndarray, receivers: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, ...] | None:
    """Return the ends of all synapses from these senders, and of all to these receivers."""
    if len(senders) * shape[1] + len(receivers) * shape[0] > FEW * shape[0] * shape[1]:
        return None
    counts = np.full(shape[0], len(receivers))
    counts[senders] = shape[1]
    starts = np.cumsum(counts) - counts
    others = np.delete(starts, senders)
    ends = np.empty(counts.sum(), np.int64)
    ends[others[:, None] + np.arange(len(receivers))] = receivers
    ends[starts[senders][:, None] + np.arange(shape[1])] = np.arange(shape[1])
    return np.repeat(np.arange(shape[0]), counts), ends


def _existing(senders: np.ndarray, receivers: np.ndarray, synapses: Synapses) -> tuple[np.ndarray, ...] | None:
    """Return the same of those that exist."""
    forth = synapses.starts[senders], synapses.starts[senders + 1]
    back = synapses.back_starts[receivers], synapses.back_starts[receivers + 1]
    if (forth[1] - forth[0]).sum() + (back[1] - back[0]).sum() > FEW * len(synapses):
        return None
    leaving = [np.arange(low, high) for low, high in zip(*forth, strict=True)]
    reaching = [synapses.back_arcs[low:high] for low, high in zip(*back, strict=True)]
    found = np.unique(np.concatenate([np.empty(0, np.int64), *leaving, *reaching]))
    return np.searchsorted(synapses.starts, found, "right") - 1, synapses.receivers[found].astype(np.int64)

"""What rules of spike traces share: how they are called, and what stays from one call to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsefire.errors import UserError
from sparsefire.spiking._numbers import choice
from sparsefire.spiking.plasticity._inputs import Weights, finite, read_spikes, state_arrays
from sparsefire.spiking.plasticity._kernels import ADDITIVE, SOFT, follow

PAIRINGS = ("all", "nearest")
ORDERS = ("pre-first", "none")


class Traces(NamedTuple):
    """What the past leaves in every neuron, all float64 [batch, neuron].

    Attributes:
        pre, pre_slow: of presynaptic neurons, for pairs and for triplets.
        post, post_slow: of postsynaptic ones.
    """

    pre: np.ndarray
    pre_slow: np.ndarray
    post: np.ndarray
    post_slow: np.ndarray


class Law(NamedTuple):
    """A rule in numbers, as the kernels read it; :class:`~sparsefire.spiking.TripletSTDP` has the formula."""

    taus: tuple[float, float, float, float]  # pre, slow pre, post, slow post
    amounts: tuple[float, float, float, float]  # up: pairs, triplets; down: pairs, triplets
    mu: float = 0.0
    w_max: float = 1.0
    soft: bool = False

    def constants(self) -> np.ndarray:
        return np.array([*self.taus, *self.amounts, self.mu, self.w_max])


@dataclass(frozen=True)
class TraceRule:
    """A rule by which spikes of two sides change the weight between them; its parts say which."""

    def law(self) -> Law:
        """Return the rule in numbers."""
        raise NotImplementedError

    def __call__(self, pre: Any, post: Any, weight: Any, mask: Any = None) -> Any:
        """Return the change of the weights, the mean over the batch; each sample begins without a past.

        Args:
            pre: presynaptic spikes, zeros and ones [time, batch, in] or [time, in], NumPy or torch; or
                :class:`~sparsefire.spiking.Spikes` (or a list of them, one for each sample) for continuous time.
            post: postsynaptic spikes in the same form.
            weight: floating point [out, in], NumPy or torch; or a :class:`~sparsefire.Wiring` of inputs to outputs.
            mask: [out, in], where synapses exist; others neither change nor cost time.

        Returns:
            The change, of the kind and type of ``weight``, [out, in]; float64 [arcs] for a wiring.

        Raises:
            UserError: spikes that are not 0 or 1, shapes that do not fit, a weight that is not finite, a step longer
                than a time constant.
        """
        return self.run(pre, post, weight, mask=mask)[0]

    def run(
        self, pre: Any, post: Any, weight: Any, state: Traces | None = None, *, mask: Any = None
    ) -> tuple[Any, Traces]:
        """Return the change and the traces at the end; with ``state`` from an earlier call, time goes on there."""
        law, weights = self.law(), Weights(weight, mask)
        recording = read_spikes(pre, post, weights.shape, self.dt, law.taus)  # type: ignore[attr-defined]
        start = np.array([])
        if law.soft:
            start = weights.values()
            check_within(start, law.w_max)
        total = np.zeros(weights.inner_shape, weights.dtype)
        traces = first_traces(state, len(recording.pre), weights.shape)
        for sample in range(len(recording.pre)):
            worked = start.copy() if law.soft else total
            follow_one(self, recording, sample, traces, worked, weights, SOFT if law.soft else ADDITIVE)
            if law.soft:
                worked -= start
                total += worked
        return weights.give(total, 1 / len(recording.pre)), traces


def follow_one(
    rule: Any, recording: Any, sample: int, traces: Traces, worked: np.ndarray, weights: Weights, mode: int,
    rewards: Any = None, held: Any = None, modulators: Any = None,
) -> None:  # fmt: skip
    """Pass over the spikes of one sample: ``worked`` and the traces of the sample change in place."""
    own = tuple(trace[sample].astype(worked.dtype) for trace in traces)
    flags = np.array([rule.pairing == "nearest", rule.coincident == "pre-first", mode, weights.synapses is not None])
    follow(
        recording.pre[sample], recording.post[sample],
        (np.empty(0), np.empty((0, 0))) if rewards is None else rewards, recording.duration,
        own, rule.law().constants(), flags.astype(np.int64), worked, weights.index,
        np.empty((1, 0, 0), worked.dtype) if held is None else held,
        (np.empty(0), np.empty(0), np.empty(0), np.ones(1), np.empty((0, 1, 1))) if modulators is None else modulators,
    )  # fmt: skip
    for trace, new in zip(traces, own, strict=True):
        trace[sample] = new


def first_traces(state: Traces | None, batch: int, shape: tuple[int, int]) -> Traces:
    """Return a copy of the traces given, or none at all."""
    widths = (shape[1], shape[1], shape[0], shape[0])
    if state is None:
        return Traces(*(np.zeros((batch, width)) for width in widths))
    found = state_arrays(state, 4)
    if any(part.shape != (batch, width) for part, width in zip(found, widths, strict=False)):
        raise UserError(
            "the state is of other neurons or another batch.", came=f"shapes {[list(part.shape) for part in found]}",
            expected=f"[{batch}, {shape[1]}] twice, [{batch}, {shape[0]}] twice", attempt="state=None begins anew",
        )  # fmt: skip
    return Traces(*found)


def check_within(values: np.ndarray, w_max: float) -> None:
    """Raise where weights leave the bounds that they are soft for."""
    if values.size and (values.min() < 0 or values.max() > w_max):
        raise UserError(
            "a weight leaves its bounds.", came=f"{float(values.min()):g} to {float(values.max()):g}",
            expected=f"0 to {w_max:g}",
        )  # fmt: skip


def check_common(rule: Any, taus: tuple[str, ...]) -> None:
    """Check what all rules are given."""
    for name in (*taus, "dt"):
        object.__setattr__(rule, name, finite(name, getattr(rule, name), 0.0, least=False))
    choice("pairing", rule.pairing, PAIRINGS)
    choice("order of coincident spikes", rule.coincident, ORDERS)

"""STDP whose weights are multiplied, not added to: noisy gradient descent on the simplex (arXiv:2505.10272)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.spiking.plasticity._inputs import Recording, Weights, finite, read_spikes, state_arrays
from sparsefire.spiking.plasticity._simplex_kernels import NEVER, trigger


class LastSpikes(NamedTuple):
    """When each neuron fired last, in seconds before the end (0 or less), −inf for never.

    Attributes:
        pre, post: float64 [batch, neuron].
    """

    pre: np.ndarray
    post: np.ndarray


@dataclass(frozen=True, eq=False)
class SimplexSTDP:
    """At each postsynaptic spike the weight of the neuron that triggered it grows by the factor 1 + α.

    One step is one spike of the neuron that listens to d others:

        w_i ← w_i (1 + α (B_i + Z_i)),    B_i = 1 for the trigger, 0 for others,    Z_i uniform on [−jitter, jitter]

    The trigger is the neuron that spiked last, at the latest in the same step, after the previous postsynaptic spike
    (which reset the potential): with several at one time, B is shared in proportion to their weights; with none, B is
    0. Where B_i has probability p_i = ν_i w_i / Σ_j ν_j w_j, as for a potential that one spike lifts over the
    threshold, p moves as arXiv:2505.10272 says: exponentially fast to a vertex of the simplex, which is not always that
    of the strongest neuron. Z stands for the other pairs of spikes. Weights only matter relative to one another, and
    grow without bound: normalise them, as :class:`~sparsefire.spiking.Plastic` can.

    Args:
        alpha: α, above 0.
        jitter: half width of Z, 0 or more; α × jitter < 1.
        dt: seconds per step of dense spikes.
        rng: for the jitter; a rule draws on from call to call.

    Raises:
        UserError: for numbers out of range.

    >>> import numpy as np
    >>> pre, post = np.zeros((9, 1, 3)), np.zeros((9, 1, 1))
    >>> pre[2, 0, 0] = pre[4, 0, 1] = post[4, 0, 0] = 1
    >>> SimplexSTDP(alpha=0.1)(pre, post, np.full((1, 3), 2.0)).round(6).tolist()
    [[0.0, 0.2, 0.0]]
    """

    alpha: float
    _: KW_ONLY
    jitter: float = 0.0
    dt: float = 1e-3
    rng: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        finite("alpha", self.alpha, 0.0, least=False)
        finite("dt", self.dt, 0.0, least=False)
        finite("jitter", self.jitter, 0.0)
        if self.alpha * self.jitter >= 1:
            raise UserError(
                "the jitter turns weights negative.", came=f"alpha × jitter = {self.alpha * self.jitter:g}",
                expected="below 1",
            )  # fmt: skip
        object.__setattr__(self, "rng", stream(self.rng, "simplex stdp"))

    def __call__(self, pre: Any, post: Any, weight: Any, mask: Any = None) -> Any:
        """Return the change of the weights, the mean over the batch; each sample begins from ``weight``.

        Args:
            pre, post, weight, mask: as of :class:`~sparsefire.spiking.STDP`; weights of at least 0.

        Raises:
            UserError: as there; negative weights.
        """
        return self.run(pre, post, weight, mask=mask)[0]

    def run(
        self, pre: Any, post: Any, weight: Any, state: LastSpikes | None = None, *, mask: Any = None
    ) -> tuple[Any, LastSpikes]:
        """Return the change and the last spikes; with ``state`` from an earlier call, time goes on there."""
        weights = Weights(weight, mask)
        if weights.array.size and weights.array.min() < 0:
            raise UserError("a weight is negative.", came=f"{float(weights.array.min()):g}", expected="0 or more")
        recording = read_spikes(pre, post, weights.shape, self.dt, (np.inf,))
        start, batch = weights.values(), len(recording.pre)
        total = np.zeros_like(start)
        last, before = _first(state, batch, weights.shape)
        for sample in range(batch):
            worked = start.copy()
            trigger(
                recording.pre[sample], recording.post[sample], last[sample], before[sample], float(self.alpha),
                float(self.jitter), self._noise(recording, sample, weights), worked, weights.synapses is not None,
                weights.index,
            )  # fmt: skip
            worked -= start
            total += worked
        return weights.give(total, 1 / batch), LastSpikes(last - recording.duration, before - recording.duration)

    def iterate(self, p: Any, trigger: int, noise: Any = 0.0) -> np.ndarray:
        """Return p after one postsynaptic spike, p_i (1 + α (B_i + Z_i)) over its sum, float64 [d].

        Args:
            p: chances of the neurons to trigger, or anything proportional to them, [d].
            trigger: the neuron that did.
            noise: Z, a number or [d]; above −1/α.

        >>> SimplexSTDP(0.5).iterate([0.5, 0.5], trigger=0).round(6).tolist()
        [0.6, 0.4]
        """
        start = np.asarray(p, float)
        if start.ndim != 1 or not np.isfinite(start).all() or (start < 0).any() or not start.any():
            raise UserError("p is a vector of chances.", came=repr(p), expected="numbers of at least 0, one above")
        if isinstance(trigger, bool) or not isinstance(trigger, int | np.integer) or not 0 <= trigger < len(start):
            raise UserError("there is no such neuron.", came=repr(trigger), expected=f"0 to {len(start) - 1}")
        factor = 1 + self.alpha * ((np.arange(len(start)) == trigger) + np.asarray(noise, float))
        if not (factor > 0).all():
            raise UserError("the noise turns weights negative.", came=repr(noise), expected="above -1/alpha")
        return start * factor / (start * factor).sum()

    def _noise(self, recording: Recording, sample: int, weights: Weights) -> np.ndarray:
        if not self.jitter:
            return np.empty(0)
        units = recording.post[sample][1]
        if weights.synapses is None:
            return self.rng.random(len(units) * weights.shape[1])
        return self.rng.random(int(np.diff(weights.synapses.back_starts)[units].sum()))


def _first(state: LastSpikes | None, batch: int, shape: tuple[int, int]) -> list[np.ndarray]:
    if state is None:
        return [np.full((batch, width), NEVER) for width in shape[::-1]]
    found = state_arrays(state, 2)
    if [part.shape for part in found] != [(batch, width) for width in shape[::-1]]:
        raise UserError(
            "the state is of other neurons or another batch.", came=f"shapes {[list(part.shape) for part in found]}",
            expected=f"[{batch}, {shape[1]}] and [{batch}, {shape[0]}]", attempt="state=None begins anew",
        )  # fmt: skip
    return found

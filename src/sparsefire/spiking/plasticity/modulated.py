"""Rules of three factors: spikes leave eligibility, and what neuromodulators find of it becomes a change of weights.

R-STDP: E. M. Izhikevich 2007 (doi:10.1093/cercor/bhl152).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsefire.errors import UserError
from sparsefire.spiking.plasticity._inputs import Weights, finite, no_state, read_spikes, to_numpy
from sparsefire.spiking.plasticity._kernels import HELD
from sparsefire.spiking.plasticity.rule import TraceRule, Traces, first_traces, follow_one


@dataclass(frozen=True, eq=False)
class Channel:
    """One neuromodulator.

    Args:
        tau: seconds for which it stays, above 0.
        gain: what it does to the synapses, any finite numbers: one, one for each synapse [out, in], or what repeats
            along it: [in] for what presynaptic neurons determine, [out, 1] for postsynaptic ones. 0 takes a synapse
            out. With weights that are a Wiring, one number or one for each arc.
        tonic: level that is always there, such as the mean reward with a minus sign.

    >>> Channel(0.2, gain=[[1.0], [0.0]]).gain.shape  # acts on the first neuron of the layer alone
    (2, 1)
    """

    tau: float
    gain: Any = 1.0
    tonic: float = 0.0

    def __post_init__(self) -> None:
        finite("a channel's tau", self.tau, 0.0, least=False)
        finite("a channel's tonic level", self.tonic)
        gain = to_numpy(self.gain)
        if gain.dtype.kind not in "biuf" or not np.isfinite(gain).all() or gain.ndim > 2:
            raise UserError("gains are finite numbers.", came=repr(self.gain)[:60], expected="one, [in] or [out, in]")
        object.__setattr__(self, "gain", gain.astype(float))


class Held(NamedTuple):
    """What stays between calls.

    Attributes:
        traces: of the neurons.
        eligibility: of the synapses, float64 [batch, out, in], or [batch, synapses] of a wiring or a mask.
        levels: of the modulators, above their tonic ones, float64 [batch, channels].
    """

    traces: Traces
    eligibility: np.ndarray
    levels: np.ndarray


@dataclass(frozen=True, eq=False)
class ThreeFactor:
    """Spikes change eligibility c as ``stdp`` changes weights; modulators d_m turn it into a change of weights.

        dc/dt = −c/τ_e + STDP(t),    dd_m/dt = −d_m/τ_m + released_m(t),    dw/dt = c Σ_m gain_m (d_m + tonic_m)

    Between events all of this has closed forms, so nothing is stepped through: an event touches the synapses of the
    neuron that fired, whatever lies between is one number for each channel. Channels act in parallel, each with its own
    time constant, gain, and synapses.

    Args:
        stdp: :class:`~sparsefire.spiking.STDP` or :class:`~sparsefire.spiking.TripletSTDP`; a rule with soft bounds
            would need every weight at every time.
        channels: one or more.
        tau_e: seconds for which eligibility stays, above 0.

    Raises:
        UserError: for a rule that depends on the weight, no channels, numbers out of range.

    >>> from sparsefire.spiking.plasticity.stdp import STDP
    >>> slow_and_fast = ThreeFactor(STDP(), [Channel(2.0, gain=0.5), Channel(0.05, gain=-1.0)])
    >>> pre, post, reward = np.zeros((500, 1, 1)), np.zeros((500, 1, 1)), np.zeros((500, 1, 2))
    >>> pre[10], post[15], reward[200, 0, 0] = 1, 1, 1  # the slow channel alone is released
    >>> float(slow_and_fast(pre, post, np.zeros((1, 1)), reward)[0, 0].round(6))
    0.001487
    """

    stdp: TraceRule
    channels: Any
    tau_e: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.stdp, TraceRule) or self.stdp.law().soft:
            raise UserError(
                "eligibility is kept for rules that do not read the weight.", came=type(self.stdp).__name__,
                expected="STDP or TripletSTDP",
            )  # fmt: skip
        given = self.channels if isinstance(self.channels, list | tuple) else [self.channels]
        if not given or not all(isinstance(channel, Channel) for channel in given):
            raise UserError("channels are a list of Channel.", came=repr(self.channels)[:60], expected="one or more")
        object.__setattr__(self, "channels", tuple(given))
        finite("tau_e", self.tau_e, 0.0, least=False)

    @property
    def dt(self) -> float:
        """Seconds per step of dense spikes and rewards, those of ``stdp``."""
        return self.stdp.dt  # type: ignore[attr-defined]

    def __call__(self, pre: Any, post: Any, weight: Any, reward: Any = None, mask: Any = None) -> Any:
        """Return the change of the weights until the end of the spikes, the mean over the batch.

        Args:
            pre, post, weight, mask: as of the rule of spikes.
            reward: what is released of each modulator: [time], [time, batch], or with several channels [time,
                channels], [time, batch, channels]; as events (times, amounts [events] or [events, channels]) in
                seconds, the same for all samples; one number (or one per channel) for a release at the very end, which
                acts in the next call; None for none.

        Returns:
            The change, of the kind and type of ``weight``.

        Raises:
            UserError: as of the rule of spikes; a step longer than ``tau_e`` or the time constant of a channel; a
                reward that does not fit the spikes.
        """
        return self.run(pre, post, weight, reward, mask=mask)[0]

    def run(
        self, pre: Any, post: Any, weight: Any, reward: Any = None, state: Held | None = None, *, mask: Any = None
    ) -> tuple[Any, Held]:
        """Return the change, and what stays; with ``state`` from an earlier call, time goes on there."""
        weights = Weights(weight, mask)
        taus = (*self.stdp.law().taus, float(self.tau_e), *(float(channel.tau) for channel in self.channels))
        recording = read_spikes(pre, post, weights.shape, self.dt, taus)
        batch, number = len(recording.pre), len(self.channels)
        rewards = self._rewards(reward, batch, recording.duration)
        traces, kept, levels = self._first(state, batch, weights)
        gains = _gains([channel.gain for channel in self.channels], weights)
        stay, tonic = (np.array([getattr(one, name) for one in self.channels], float) for name in ("tau", "tonic"))
        total = np.zeros(weights.inner_shape)
        held = np.zeros((1 + number, *weights.inner_shape))
        for sample in range(batch):
            held[0], held[1:] = kept[sample], 0.0
            modulators = (levels[sample], stay, tonic, np.array([float(self.tau_e)]), gains)
            follow_one(self.stdp, recording, sample, traces, total, weights, HELD, rewards[sample], held, modulators)
            kept[sample] = held[0]
        change = weights.give(total.astype(weights.dtype), 1 / batch)
        return change, Held(traces, kept[:, 0] if weights.synapses is not None else kept.swapaxes(1, 2), levels)

    def _first(self, state: Held | None, batch: int, weights: Weights) -> tuple[Traces, np.ndarray, np.ndarray]:
        shape, number = weights.inner_shape, len(self.channels)
        if state is None:
            return first_traces(None, batch, weights.shape), np.zeros((batch, *shape)), np.zeros((batch, number))
        if not isinstance(state, Held):
            no_state(state, "what an earlier call returned, Held")
        kept, levels = np.array(state.eligibility, float), np.array(state.levels, float)
        kept = kept[:, None] if weights.synapses is not None else kept.swapaxes(1, 2)
        if kept.shape != (batch, *shape) or levels.shape != (batch, number):
            raise UserError(
                "the state is of other synapses or another batch.", came=f"shape {list(state.eligibility.shape)}",
                expected=f"a batch of {batch} and {number} channels", attempt="state=None begins anew",
            )  # fmt: skip
        return first_traces(state.traces, batch, weights.shape), np.ascontiguousarray(kept), levels

    def _rewards(self, reward: Any, batch: int, duration: float) -> list[tuple[np.ndarray, np.ndarray]]:
        number = len(self.channels)
        if reward is None:
            return [(np.empty(0), np.empty((0, number)))] * batch
        if isinstance(reward, tuple) and len(reward) == 2:
            return [_reward_events(*reward, number, duration)] * batch
        amounts = to_numpy(reward)
        if amounts.dtype.kind not in "biuf" or not np.isfinite(amounts).all():
            raise UserError("a reward is not finite.", came=repr(reward)[:60], expected="finite numbers")
        if amounts.ndim == 0 or (number > 1 and amounts.shape == (number,)):
            last = np.broadcast_to(amounts.astype(float), (1, number)).copy()
            return [(np.array([duration]), last)] * batch
        amounts = amounts.astype(float)[..., None] if number == 1 and amounts.ndim < 3 else amounts.astype(float)
        amounts = amounts[:, None].repeat(batch, 1) if amounts.ndim == 2 else amounts
        steps = round(duration / self.dt)
        if amounts.shape != (steps, batch, number):
            raise UserError(
                "the reward does not fit the spikes.", came=f"shape {list(to_numpy(reward).shape)}",
                expected=f"{steps} steps, {batch} samples, {number} channels",
            )  # fmt: skip
        found = []
        for sample in range(batch):
            at = np.flatnonzero(amounts[:, sample].any(axis=1))
            found.append(((at + 1) * self.dt, np.ascontiguousarray(amounts[at, sample])))
        return found


class RewardSTDP(ThreeFactor):
    """Reward-modulated STDP (Izhikevich 2007, doi:10.1093/cercor/bhl152): one channel, dopamine.

    One pairing that leaves c, and a reward R after a time δ, change the weight in the end by
    R c exp(−δ/τ_e) / (1/τ_e + 1/τ_dopamine): seconds between cause and reward are bridged.

    Args:
        stdp: the rule of spikes; by default :class:`~sparsefire.spiking.STDP` with its defaults.
        tau_e: seconds for which eligibility stays.
        tau_dopamine: seconds for which dopamine stays.
        tonic: level of dopamine that is always there.

    >>> from sparsefire.spiking import Spikes
    >>> pre, post = Spikes([0.1], [0], duration=9.0), Spikes([0.1], [0], duration=9.0)
    >>> change = RewardSTDP()(pre, post, np.zeros((1, 1)), reward=([1.1], [1.0]))
    >>> float(change[0, 0].round(6)), round(0.02 * 2.718281828**-1 / (1 / 1.0 + 1 / 0.2), 6)
    (0.001226, 0.001226)
    """

    def __init__(
        self, stdp: TraceRule | None = None, tau_e: float = 1.0, tau_dopamine: float = 0.2, *, tonic: float = 0.0
    ) -> None:
        if stdp is None:
            from sparsefire.spiking.plasticity.stdp import STDP

            stdp = STDP()
        super().__init__(stdp, (Channel(tau_dopamine, tonic=tonic),), tau_e)


def _gains(gains: list[np.ndarray], weights: Weights) -> np.ndarray:
    """Return the gains of all channels in the layout of the kernels, [channels, …]; axes along which none changes
    have length 1.
    """
    wiring = hasattr(weights.given, "receivers")
    expected: tuple[int, ...] = weights.inner_shape[1:] if wiring else weights.shape
    for gain in gains:
        try:
            np.broadcast_to(gain, expected)
        except ValueError as error:
            raise UserError(
                "a channel's gain does not fit the weight.", came=f"shape {list(gain.shape)}",
                expected=f"{list(expected)}",
            ) from error  # fmt: skip
    found = [np.atleast_2d(gain) if wiring else weights.inner(gain) for gain in gains]
    return np.ascontiguousarray(np.stack(np.broadcast_arrays(*found)), dtype=float)


def _reward_events(times: Any, amounts: Any, number: int, duration: float) -> tuple[np.ndarray, np.ndarray]:
    when, much = to_numpy(times), to_numpy(amounts)
    if any(part.dtype.kind not in "biuf" for part in (when, much)):
        raise UserError(
            "rewards are times and amounts.", came=f"{times!r}, {amounts!r}"[:60], expected="two lists of numbers"
        )
    when, much = when.astype(float), much.astype(float)
    much = much[:, None] if much.ndim == 1 else much
    if when.ndim != 1 or much.shape != (len(when), number):
        raise UserError(
            "every reward needs a time and an amount.", came=f"shapes {list(when.shape)}, {list(much.shape)}",
            expected=f"[rewards] and [rewards, {number}]",
        )  # fmt: skip
    if not np.isfinite(much).all() or not np.isfinite(when).all() or (np.diff(when) < 0).any():
        raise UserError("rewards are out of order, or not finite.", came=repr(times)[:60], expected="ascending times")
    if len(when) and (when[0] < 0 or when[-1] > duration):
        raise UserError(
            "a reward lies outside the recording.", came=f"{when[0]:g} to {when[-1]:g} s",
            expected=f"0 to {duration:g} s",
        )  # fmt: skip
    return when, np.ascontiguousarray(much)

"""Oracle: closed forms of one pairing and one reward; double sums over pairings and rewards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.errors import UserError
from sparsefire.spiking import STDP, Channel, RewardSTDP, Spikes, ThreeFactor, TripletSTDP, WeightDependentSTDP
from sparsefire.wiring import from_mask

DT = 1e-3


def test_one_pairing_and_a_delayed_reward() -> None:
    """Δw = R a₊ e^(−Δ/τ₊) e^(−δ/τ_e) κ (1 − e^(−(T−t)/κ)), κ = 1 / (1/τ_e + 1/τ_d): Izhikevich 2007."""
    rule = RewardSTDP(STDP(20e-3, 30e-3, 0.8, 0.3), tau_e=1.0, tau_dopamine=0.2)
    kappa = 1 / (1 / 1.0 + 1 / 0.2)
    for reward_at, duration in ((0.6, 3.0), (2.5, 12.0), (3.1, 3.2)):
        pre, post = Spikes([0.1], [0], 1, duration), Spikes([0.115], [0], 1, duration)
        found = rule(pre, post, np.zeros((1, 1)), ([reward_at], [0.7]))[0, 0]
        left = np.exp(-(reward_at - 0.115)) * kappa * (1 - np.exp(-(duration - reward_at) / kappa))
        assert found == pytest.approx(0.7 * 0.8 * np.exp(-15 / 20) * left, rel=1e-11)
        backwards = rule(post, pre, np.zeros((1, 1)), ([reward_at], [0.7]))[0, 0]
        assert backwards == pytest.approx(-0.7 * 0.3 * np.exp(-15 / 30) * left, rel=1e-11)


def test_a_reward_before_the_pairing() -> None:
    """What is left of dopamine acts on what comes: R e^(−δ/τ_d) c κ."""
    rule = RewardSTDP(STDP(20e-3, 30e-3, 0.8, 0.3))
    pre, post = Spikes([0.5], [0], 1, 20.0), Spikes([0.5], [0], 1, 20.0)
    found = rule(pre, post, np.zeros((1, 1)), ([0.3], [1.0]))[0, 0]
    assert found == pytest.approx(np.exp(-0.2 / 0.2) * 0.8 / (1 + 5), rel=1e-11)


def increments(rule: STDP, pre: np.ndarray, post: np.ndarray) -> list[tuple[float, float]]:
    """Return the changes of eligibility of one synapse: (time, amount), pair by pair."""
    found = []
    for s in pre:
        for t in post:
            if t >= s:
                found.append((t, rule.a_plus * np.exp(-(t - s) / rule.tau_plus)))
            else:
                found.append((s, -rule.a_minus * np.exp(-(s - t) / rule.tau_minus)))
    return found


def expected(
    rule: ThreeFactor, pre: np.ndarray, post: np.ndarray, times: np.ndarray, amounts: np.ndarray, end: float,
    gains: list[float],
) -> float:  # fmt: skip
    """Return the change of one weight as a sum over pairs of spikes, rewards and channels."""
    total, tau_e = 0.0, rule.tau_e
    for at, amount in increments(rule.stdp, pre, post):
        for m, (channel, gain) in enumerate(zip(rule.channels, gains, strict=True)):
            kappa = 1 / (1 / tau_e + 1 / channel.tau)
            found = channel.tonic * tau_e * (1 - np.exp(-(end - at) / tau_e))
            for s, released in zip(times, amounts[:, m], strict=True):
                low = max(at, s)
                begin = np.exp(-(low - at) / tau_e - (low - s) / channel.tau)
                found += released * begin * kappa * (1 - np.exp(-(end - low) / kappa))
            total += gain * amount * found
    return total


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), duration=st.sampled_from((0.3, 3.0, 25.0)))
def test_channels_are_double_sums(seed: int, duration: float) -> None:
    rng = np.random.default_rng(seed)
    sides = [Spikes.sorted_from(rng.uniform(0, duration, 25), rng.integers(0, 3, 25), 3, duration) for _ in range(2)]
    pre, post = sides
    times, amounts = np.sort(rng.uniform(0, duration, 4)), rng.normal(size=(4, 3))
    by_synapse, by_receiver = rng.normal(size=(3, 3)), rng.normal(size=(3, 1))
    channels = [Channel(0.2), Channel(2.0, by_synapse, tonic=-0.3), Channel(0.05, by_receiver)]
    rule = ThreeFactor(STDP(20e-3, 30e-3, 0.8, 0.3), channels, tau_e=0.7)
    found = rule(pre, post, np.zeros((3, 3)), (times, amounts))
    exact = np.empty((3, 3))
    for j, i in np.ndindex(3, 3):
        gains = [1.0, by_synapse[j, i], by_receiver[j, 0]]
        exact[j, i] = expected(rule, pre.train(i), post.train(j), times, amounts, duration, gains)
    np.testing.assert_allclose(found, exact, atol=1e-11)
    mask = rng.random((3, 3)) < 0.5
    np.testing.assert_allclose(rule(pre, post, np.zeros((3, 3)), (times, amounts), mask), exact * mask, atol=1e-11)


def dense(rng: np.random.Generator, steps: int = 300, batch: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    reward = (rng.random((steps, batch)) < 0.02) * rng.normal(size=(steps, batch))
    return rng.random((steps, batch, 4)) < 0.05, rng.random((steps, batch, 3)) < 0.05, reward


def test_dense_spikes_are_events_and_time_goes_on() -> None:
    rng = np.random.default_rng(0)
    pre, post, reward = dense(rng)
    for stdp in (STDP(), STDP(pairing="nearest"), TripletSTDP()):
        rule = RewardSTDP(stdp, tau_e=0.1, tonic=0.1)
        whole, end = rule.run(pre, post, np.zeros((3, 4)), reward)
        by_events = np.zeros((3, 4))
        for sample in range(2):
            sides = [Spikes.from_dense(side[:, sample].astype(int), DT) for side in (pre, post)]
            at = np.flatnonzero(reward[:, sample])
            by_events += rule(*sides, np.zeros((3, 4)), ((at + 1) * DT, reward[at, sample])) / 2
        np.testing.assert_allclose(whole, by_events, atol=1e-12)
        first, state = rule.run(pre[:90], post[:90], np.zeros((3, 4)), reward[:90])
        second, after = rule.run(pre[90:], post[90:], np.zeros((3, 4)), reward[90:], state)
        np.testing.assert_allclose(first + second, whole, atol=1e-12)
        np.testing.assert_allclose(after.eligibility, end.eligibility, atol=1e-12)
        np.testing.assert_allclose(after.levels, end.levels, atol=1e-12)
        assert end.eligibility.shape == (2, 3, 4)
        assert end.eligibility.any()


def test_masks_wirings_and_kinds() -> None:
    rng = np.random.default_rng(1)
    pre, post, reward = dense(rng)
    mask = rng.random((3, 4)) < 0.6
    wiring = from_mask(mask)
    for gain in (2.0, rng.normal(size=4), rng.normal(size=(3, 1)), rng.normal(size=(3, 4))):
        rule = ThreeFactor(STDP(), Channel(0.3, gain), tau_e=0.5)
        full = rule(pre, post, np.zeros((3, 4)), reward)
        scaled = ThreeFactor(STDP(), Channel(0.3), tau_e=0.5)(pre, post, np.zeros((3, 4)), reward)
        np.testing.assert_allclose(full, scaled * gain, atol=1e-13)
        change, state = rule.run(pre, post, np.zeros((3, 4)), reward, mask=mask)
        np.testing.assert_allclose(change, full * mask, atol=1e-13)
        again, _ = rule.run(pre, post, np.zeros((3, 4)), None, state, mask=mask)
        assert again.any()
        assert not again[~mask].any()
        arcs = np.broadcast_to(gain, (3, 4))[wiring.receivers, wiring.senders]
        own = ThreeFactor(STDP(), Channel(0.3, arcs), tau_e=0.5)
        np.testing.assert_allclose(
            own(pre, post, wiring, reward), full[wiring.receivers, wiring.senders], atol=1e-13
        )  # fmt: skip
    parts = [torch.from_numpy(part) for part in (pre, post, np.zeros((3, 4)))]
    tensor = rule(*parts, torch.from_numpy(reward))
    np.testing.assert_array_equal(tensor.numpy(), full)
    assert rule(pre, post, np.zeros((3, 4), np.float32), reward).dtype == np.float32


def test_a_reward_at_the_end_acts_in_the_next_call() -> None:
    rule = RewardSTDP(STDP(), tau_e=0.5)
    spike, silence = np.zeros((20, 1, 1)), np.zeros((4000, 1, 1))
    spike[10] = 1
    change, state = rule.run(spike, spike, np.zeros((1, 1)), reward=2.0)
    assert change[0, 0] == 0
    assert state.levels.tolist() == [[2.0]]
    later, _ = rule.run(silence, silence, np.zeros((1, 1)), state=state)
    assert later[0, 0] == pytest.approx(2.0 * 0.02 * np.exp(-9e-3 / 0.5) / (1 / 0.5 + 1 / 0.2), rel=1e-7)


def test_no_reward_no_change() -> None:
    pre, post, _ = dense(np.random.default_rng(2))
    assert not RewardSTDP()(pre, post, np.zeros((3, 4))).any()
    assert RewardSTDP(tonic=1.0)(pre, post, np.zeros((3, 4))).any()


def test_bad_input() -> None:
    pre, post, reward = dense(np.random.default_rng(3))
    zero = np.zeros((3, 4))
    for make, words in (
        (lambda: ThreeFactor(WeightDependentSTDP(), Channel(0.2)), "do not read the weight"),
        (lambda: ThreeFactor("stdp", Channel(0.2)), "do not read the weight"),
        (lambda: ThreeFactor(STDP(), []), "list of Channel"),
        (lambda: ThreeFactor(STDP(), [0.2]), "list of Channel"),
        (lambda: Channel(0.0), "tau"),
        (lambda: Channel(0.2, gain=np.nan), "gains"),
        (lambda: Channel(0.2, tonic=np.inf), "tonic"),
        (lambda: RewardSTDP(tau_e=0.0), "tau_e"),
        (lambda: RewardSTDP(tau_dopamine=-1.0), "tau"),
        (lambda: RewardSTDP()(pre, post, zero, reward[:5]), "does not fit"),
        (lambda: RewardSTDP()(pre, post, zero, reward[:, :1].repeat(3, 1)), "does not fit"),
        (lambda: RewardSTDP()(pre, post, zero, np.full(300, np.nan)), "not finite"),
        (lambda: RewardSTDP()(pre, post, zero, ([9.0], [1.0])), "outside"),
        (lambda: RewardSTDP()(pre, post, zero, ([0.2, 0.1], [1.0, 1.0])), "order"),
        (lambda: RewardSTDP()(pre, post, zero, ([0.2], [1.0, 1.0])), "time and an amount"),
        (lambda: ThreeFactor(STDP(), Channel(0.2, np.ones(5)))(pre, post, zero), "gain does not fit"),
        (lambda: RewardSTDP().run(pre, post, zero, state=RewardSTDP().run(pre[:, :1], post[:, :1], zero)[1]), "batch"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            make()


def test_rewards_that_are_no_numbers() -> None:
    pre = post = np.zeros((10, 1, 1))
    for bad in (("a", "b"), ([0.1], "b"), (None, [1.0])):
        with pytest.raises(UserError, match="times and amounts"):
            RewardSTDP()(pre, post, np.zeros((1, 1)), bad)


def test_a_step_is_not_longer_than_a_time_constant_of_the_third_factor() -> None:
    pre = post = np.ones((3, 1, 1))
    events = Spikes([0.1], [0], duration=9.0)
    for rule in (
        RewardSTDP(tau_e=1e-5), RewardSTDP(tau_dopamine=1e-5), RewardSTDP(tau_e=1e-5, tau_dopamine=1e-5),
        ThreeFactor(STDP(), [Channel(1.0), Channel(0.5e-3)]),
    ):  # fmt: skip
        with pytest.raises(UserError, match="step is longer than a time constant"):
            rule(pre, post, np.zeros((1, 1)))
        rule(events, events, np.zeros((1, 1)))  # events have no steps
    RewardSTDP(tau_e=DT, tau_dopamine=DT)(pre, post, np.zeros((1, 1)))


def test_a_late_reward_finds_the_synapse_that_earned_it() -> None:
    """Pairs of input 0 and output 0 within 10 ms are paid 1 to 3 s later; the others come and go by chance."""
    draw, seconds, stdp = np.random.default_rng(0), 1500, STDP(tau_plus=20e-3, tau_minus=20e-3, a_plus=0.3, a_minus=0.6)
    rule, held = RewardSTDP(stdp, tau_e=1.0, tau_dopamine=0.2, tonic=-0.05), None
    last, due, total = -1.0, np.zeros(0), np.zeros((5, 5))
    for second in range(seconds):
        pre, post = ((draw.random((1000, 5)) < rate).astype(float) for rate in (1e-3, 2e-3))
        for unit in range(5):  # each output follows the input of its number half of the time
            follows = np.flatnonzero(pre[:-5, unit] * (draw.random(995) < 0.5))
            post[follows + 5, unit] = 1
        came = np.append(last, second + 1e-3 * np.flatnonzero(pre[:, 0]))
        went = second + 1e-3 * np.flatnonzero(post[:, 0])
        late = went - came[np.maximum(np.searchsorted(came, went, side="right") - 1, 0)]
        earned = went[(late >= 0) & (late <= 10e-3)]
        due, last = np.append(due, earned + draw.uniform(1, 3, len(earned))), came[-1]
        reward = 0.5 * np.histogram(due, 1000, (second, second + 1))[0]
        change, held = rule.run(pre, post, np.zeros((5, 5)), reward, state=held)
        total += change
    others = np.delete(total.ravel(), 0)
    assert total[0, 0] > 2 * others.max()

"""Oracle: sums over pairs and triplets of spikes, one by one, in float64; mean drifts under Poisson spikes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire import Wiring
from sparsefire.errors import UserError
from sparsefire.spiking import STDP, Spikes, TripletSTDP, WeightDependentSTDP
from sparsefire.wiring import from_mask

DT = 1e-3
PAIRINGS, ORDERS = ("all", "nearest"), ("pre-first", "none")


def left(times: np.ndarray, t: float, tau: float, pairing: str, *, also_now: bool = False) -> float:
    """Return the trace of spikes before t (or up to t), from the definition."""
    past = times[times <= t] if also_now else times[times < t]
    if not len(past):
        return 0.0
    return float(np.exp(-(t - (past if pairing == "all" else past[-1:])) / tau).sum())


def brute_force(rule: STDP | TripletSTDP | WeightDependentSTDP, pre: np.ndarray, post: np.ndarray, w: float) -> float:
    """Return the change of one weight by two trains of times, event by event."""
    start, now = w, rule.coincident == "pre-first"
    for t in np.union1d(pre, post):
        if t in pre:
            o = left(post, t, rule.tau_minus, rule.pairing)
            if isinstance(rule, TripletSTDP):
                w -= o * (rule.a2_minus + rule.a3_minus * left(pre, t, rule.tau_x, rule.pairing))
            elif isinstance(rule, WeightDependentSTDP):
                w -= rule.alpha * rule.step * rule.w_max * (w / rule.w_max) ** rule.mu * o
                w = max(w, 0.0)
            else:
                w -= rule.a_minus * o
        if t in post:
            r = left(pre, t, rule.tau_plus, rule.pairing, also_now=now)
            if isinstance(rule, TripletSTDP):
                w += r * (rule.a2_plus + rule.a3_plus * left(post, t, rule.tau_y, rule.pairing))
            elif isinstance(rule, WeightDependentSTDP):
                w += rule.step * rule.w_max * (1 - w / rule.w_max) ** rule.mu * r
                w = min(w, rule.w_max)
            else:
                w += rule.a_plus * r
    return w - start


def rules(pairing: str, coincident: str) -> list[STDP | TripletSTDP | WeightDependentSTDP]:
    options = {"pairing": pairing, "coincident": coincident, "dt": DT}
    return [
        STDP(12e-3, 25e-3, 0.7, 0.4, **options),
        STDP(12e-3, 25e-3, -0.7, 0.4, **options),
        TripletSTDP(a2_plus=0.3, a3_plus=0.9, a2_minus=0.2, a3_minus=0.1, tau_x=0.1, **options),
        WeightDependentSTDP(0.3, 1.2, 0.4, 2.0, **options),
        WeightDependentSTDP(0.3, 1.2, 1.0, 2.0, **options),
        WeightDependentSTDP(0.3, 1.2, 0.0, 2.0, **options),
    ]


def draw(rng: np.random.Generator, steps: int = 40, batch: int = 2, units: int = 3, chance: float = 0.2) -> np.ndarray:
    return (rng.random((steps, batch, units)) < chance).astype(float)


def by_pairs(rule: STDP, pre: np.ndarray, post: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the mean over the batch of the brute-force change of every weight."""
    clock = (np.arange(len(pre)) + 1) * DT
    change = np.zeros((pre.shape[1], *weight.shape))
    for sample, j, i in np.ndindex(change.shape):
        times = clock[pre[:, sample, i] > 0], clock[post[:, sample, j] > 0]
        change[sample, j, i] = brute_force(rule, *times, float(weight[j, i]))
    return change.mean(axis=0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), pairing=st.sampled_from(PAIRINGS), coincident=st.sampled_from(ORDERS),
       chance=st.sampled_from((0.03, 0.2, 0.9)))  # fmt: skip
def test_every_rule_is_its_sum_over_pairs(seed: int, pairing: str, coincident: str, chance: float) -> None:
    rng = np.random.default_rng(seed)
    pre, post = draw(rng, chance=chance), draw(rng, units=2, chance=chance)
    weight = rng.uniform(0, 2, (2, 3))
    for rule in rules(pairing, coincident):
        np.testing.assert_allclose(rule(pre, post, weight), by_pairs(rule, pre, post, weight), atol=1e-10, rtol=1e-10)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), pairing=st.sampled_from(PAIRINGS))
def test_events_in_continuous_time(seed: int, pairing: str) -> None:
    rng = np.random.default_rng(seed)
    trains = [np.sort(rng.uniform(0, 0.5, 30)) for _ in range(2)]
    pre, post = (Spikes(times, rng.integers(0, 2, 30), 2, 0.5) for times in trains)
    weight = rng.uniform(0, 2, (2, 2))
    for rule in rules(pairing, "pre-first"):
        found = rule(pre, post, weight)
        for j, i in np.ndindex(2, 2):
            expected = brute_force(rule, pre.train(i), post.train(j), float(weight[j, i]))
            assert found[j, i] == pytest.approx(expected, abs=1e-10)
        np.testing.assert_allclose(rule([pre, pre], [post, post], weight), found, atol=1e-12)


def test_long_silence_and_many_spikes_lose_no_digits() -> None:
    """Scales of traces fall below what is kept and are multiplied out: nothing may be seen of it."""
    rng = np.random.default_rng(3)
    times = [np.sort(rng.uniform(0, 20.0, 400)) for _ in range(2)]
    pre, post = (Spikes(one, np.zeros(400, int), 1, 20.0) for one in times)
    for rule in rules("all", "none")[:3]:
        expected = brute_force(rule, times[0], times[1], 1.0)
        assert rule(pre, post, np.ones((1, 1)))[0, 0] == pytest.approx(expected, abs=1e-10)


def test_events_are_the_dense_spikes() -> None:
    rng = np.random.default_rng(0)
    pre, post = draw(rng, batch=1), draw(rng, batch=1, units=2)
    for rule in rules("all", "pre-first"):
        weight = np.full((2, 3), 0.5)
        events = [Spikes.from_dense(spikes[:, 0], DT) for spikes in (pre, post)]
        np.testing.assert_allclose(rule(*events, weight), rule(pre, post, weight), atol=1e-13)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_masks_and_wirings_agree_with_dense_weights(pairing: str) -> None:
    rng = np.random.default_rng(1)
    pre, post, weight = draw(rng, units=7), draw(rng, units=5), rng.uniform(0, 2, (5, 7))
    mask = rng.random((5, 7)) < 0.4
    wiring = from_mask(mask, weight)
    for rule in rules(pairing, "pre-first"):
        dense = rule(pre, post, weight)
        np.testing.assert_allclose(rule(pre, post, weight, np.ones((5, 7))), dense, atol=1e-13)
        np.testing.assert_allclose(rule(pre, post, weight, mask), dense * mask, atol=1e-13)
        assert (rule(pre, post, weight, mask)[~mask] == 0).all()
        np.testing.assert_allclose(
            rule(pre, post, wiring), dense[wiring.receivers, wiring.senders], atol=1e-13
        )  # fmt: skip


def test_a_recurrent_wiring_learns_from_its_own_spikes() -> None:
    wiring = Wiring.from_edges([0, 1, 1], [1, 0, 2], [0.5, 0.5, 0.5])
    spikes = Spikes([0.01, 0.02, 0.03], [0, 1, 2], 3, 0.1)
    expected = [0.02 * np.exp(-10 / 16.8), -0.01 * np.exp(-10 / 33.7), 0.02 * np.exp(-10 / 16.8)]
    np.testing.assert_allclose(STDP()(spikes, spikes, wiring), expected, rtol=1e-12)


def test_kinds_and_types() -> None:
    rng = np.random.default_rng(2)
    pre, post = draw(rng), draw(rng, units=2)
    weight = rng.uniform(0, 2, (2, 3))
    for rule in rules("all", "pre-first"):
        exact = rule(pre, post, weight)
        assert exact.dtype == np.float64
        short = rule(pre.astype(np.float32), post.astype(bool), weight.astype(np.float32))
        assert short.dtype == np.float32
        np.testing.assert_allclose(short, exact, atol=2e-6)
        given_ = [torch.from_numpy(part) for part in (pre, post, weight)]
        tensor = rule(*given_)
        assert isinstance(tensor, torch.Tensor)
        assert tensor.dtype == torch.float64
        np.testing.assert_array_equal(tensor.numpy(), exact)
        learnable = torch.nn.Parameter(given_[2].to(torch.bfloat16))
        half = rule(given_[0].int(), given_[1].bool(), learnable)
        assert half.dtype == torch.bfloat16
        assert not half.requires_grad
        np.testing.assert_allclose(rule(pre[:, 0], post[:, 0], weight), rule(pre[:, :1], post[:, :1], weight))


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_time_goes_on_from_a_state(pairing: str) -> None:
    rng = np.random.default_rng(4)
    pre, post = draw(rng), draw(rng, units=2)
    for rule in rules(pairing, "pre-first")[:3]:
        whole, end = rule.run(pre, post, np.zeros((2, 3)))
        first, state = rule.run(pre[:17], post[:17], np.zeros((2, 3)))
        second, after = rule.run(pre[17:], post[17:], np.zeros((2, 3)), state)
        np.testing.assert_allclose(first + second, whole, atol=1e-12)
        for one, other in zip(after, end, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-12)
        assert state.pre.any()
    rule = WeightDependentSTDP(0.3, pairing=pairing)
    one = slice(0, 1)
    whole, _ = rule.run(pre[:, one], post[:, one], np.full((2, 3), 0.5))
    first, state = rule.run(pre[:17, one], post[:17, one], np.full((2, 3), 0.5))
    second, _ = rule.run(pre[17:, one], post[17:, one], 0.5 + first, state)
    np.testing.assert_allclose(first + second, whole, atol=1e-12)


def test_inputs_are_left_alone() -> None:
    rng = np.random.default_rng(5)
    parts = [draw(rng), draw(rng, units=2), np.full((2, 3), 0.5)]
    before = [part.copy() for part in parts]
    for rule in rules("all", "pre-first"):
        _, state = rule.run(*parts)
        kept = [part.copy() for part in state]
        rule.run(*parts, state)
        assert all((one == other).all() for one, other in zip(state, kept, strict=True))
    assert all((one == other).all() for one, other in zip(parts, before, strict=True))


def geometric(tau: float, first: int) -> float:
    """Return dt Σ_{k ≥ first} exp(−k dt/τ): what τ becomes on a grid."""
    return DT * np.exp(-first * DT / tau) / (1 - np.exp(-DT / tau))


@pytest.mark.parametrize("coincident", ORDERS)
def test_poisson_drift(coincident: str) -> None:
    """ν_pre ν_post (a₊τ₊ − a₋τ₋) per second; coincident spikes make τ₊ a geometric sum from 0 (from 1) on."""
    rng = np.random.default_rng(6)
    rule = STDP(20e-3, 40e-3, 1.0, 0.7, coincident=coincident, dt=DT)
    seconds, rates, found = 10.0, (30.0, 20.0), []
    for _ in range(40):
        pre = rng.random((round(seconds / DT), 1, 6)) < rates[0] * DT
        post = rng.random((round(seconds / DT), 1, 5)) < rates[1] * DT
        _, state = rule.run(pre, post, np.zeros((5, 6)))  # spikes before: the traces are full
        found.append(rule.run(pre, post, np.zeros((5, 6)), state)[0].mean() / seconds)
    taus = geometric(20e-3, 0 if coincident == "pre-first" else 1), geometric(40e-3, 1)
    expected = rates[0] * rates[1] * (taus[0] - 0.7 * taus[1])
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - expected) < 4 * error
    assert error < 0.05 * abs(expected)
    assert geometric(20e-3, 0) == pytest.approx(20e-3 + DT / 2, rel=1e-3)


def test_triplet_rule_follows_rates() -> None:
    """The published drift of triplets under Poisson spikes, in continuous time."""
    rng = np.random.default_rng(7)
    rule = TripletSTDP(a2_plus=0.2, a3_plus=0.5, a2_minus=0.9, a3_minus=0.1, tau_x=0.1, tau_y=0.05, pairing="all")
    for rates in ((20.0, 10.0), (20.0, 40.0)):
        found = []
        for _ in range(50):
            sides = []
            for rate in rates:
                number = rng.poisson(rate * 20.0 * 4)
                sides.append(Spikes.sorted_from(rng.uniform(0, 20.0, number), rng.integers(0, 4, number), 4, 20.0))
            _, state = rule.run(*sides, np.zeros((4, 4)))
            found.append(rule.run(*sides, np.zeros((4, 4)), state)[0].mean() / 20.0)
        pre, post = rates
        expected = pre * post * (0.2 * rule.tau_plus - 0.9 * rule.tau_minus)
        expected += 0.5 * rule.tau_plus * 0.05 * pre * post**2 - 0.1 * rule.tau_minus * 0.1 * pre**2 * post
        error = np.std(found, ddof=1) / np.sqrt(len(found))
        assert abs(np.mean(found) - expected) < 4 * error
        assert error < 0.1 * abs(expected)


@pytest.mark.parametrize("mu", [0.4, 1.0])
def test_soft_bounds_settle_at_the_fixed_point(mu: float) -> None:
    """Small steps: the mean of weights under Poisson spikes is where the mean drift is zero, up to O(λ)."""
    rng = np.random.default_rng(8)
    rule = WeightDependentSTDP(0.002, 1.3, mu, 2.0, coincident="none")
    weight, state = np.full((20, 20), 0.8 * rule.w_max), None
    kept = []
    for turn in range(40):
        sides = []
        for _ in range(2):
            number = rng.poisson(30.0 * 10.0 * 20)
            sides.append(Spikes.sorted_from(rng.uniform(0, 10.0, number), rng.integers(0, 20, number), 20, 10.0))
        change, state = rule.run(*sides, weight, state)
        weight = weight + change
        if turn >= 16:
            kept.append(weight.mean())
    assert abs(np.mean(kept) / rule.fixed_point - 1) < 0.03
    ratio = rule.alpha * rule.tau_minus / rule.tau_plus
    u = rule.fixed_point / rule.w_max
    assert (1 - u) ** mu == pytest.approx(ratio * u**mu, rel=1e-12)


def test_soft_bounds_hold_for_the_largest_steps() -> None:
    rng = np.random.default_rng(9)
    for mu in (0.0, 0.4, 1.0):
        for dtype in (np.float32, np.float64):
            weight = rng.uniform(0, 2, (6, 6)).astype(dtype)
            rule = WeightDependentSTDP(1.0, 3.0, mu, 2.0)
            after = weight + rule(draw(rng, 200, 1, 6, 0.5), draw(rng, 200, 1, 6, 0.5), weight)
            assert after.min() >= -1e-6
            assert after.max() <= 2 + 1e-6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pre": np.full((5, 1, 3), 0.5)}, "zeros and ones"),
        ({"post": np.full((5, 1, 2), np.nan)}, "zeros and ones"),
        ({"pre": np.zeros((5, 1, 4))}, "does not fit"),
        ({"post": np.zeros((6, 1, 2))}, "differ in time"),
        ({"post": np.zeros((5, 2, 2))}, "differ in time"),
        ({"pre": np.zeros(5)}, "no array of spikes"),
        ({"pre": "spikes"}, "no array of spikes"),
        ({"pre": np.zeros((5, 0, 3)), "post": np.zeros((5, 0, 2))}, "no samples"),
        ({"pre": Spikes([0.1], [0], 3)}, "two ways"),
        ({"pre": Spikes([0.1], [0], 3), "post": Spikes([0.1], [0], 4)}, "does not fit"),
        ({"pre": [Spikes([0.1], [0], 3)] * 2, "post": Spikes([0.1], [0], 2)}, "differ in batch"),
        ({"weight": np.full((2, 3), np.nan)}, "not finite"),
        ({"weight": np.zeros((2, 3), int)}, "floating-point"),
        ({"weight": np.zeros(3)}, "floating-point"),
        ({"mask": np.ones((3, 2))}, "mask does not fit"),
        ({"mask": np.ones(3)}, "mask is a matrix"),
    ],
)
def test_bad_spikes_and_weights(change: dict[str, object], words: str) -> None:
    good = {"pre": np.zeros((5, 1, 3)), "post": np.zeros((5, 1, 2)), "weight": np.zeros((2, 3))}
    with pytest.raises(UserError, match=words):
        STDP()(**{**good, **change})


def test_bad_rules() -> None:
    for name in ("tau_plus", "tau_minus", "dt"):
        for value in (0.0, -1.0, np.nan, np.inf, "x", None, True):
            with pytest.raises(UserError, match=name):
                STDP(**{name: value})
    with pytest.raises(UserError, match="a_plus"):
        STDP(a_plus=np.inf)
    with pytest.raises(UserError, match="pairing"):
        STDP(pairing="some")
    with pytest.raises(UserError, match="coincident"):
        STDP(coincident="post-first")
    with pytest.raises(UserError, match="tau_x"):
        TripletSTDP(tau_x=0.0)
    for options in ({"step": 0.0}, {"step": 1.5}, {"alpha": 0.0}, {"mu": 1.5}, {"mu": -0.1}, {"w_max": 0.0}):
        with pytest.raises(UserError, match=next(iter(options))):
            WeightDependentSTDP(**options)


def test_bad_states_steps_and_bounds() -> None:
    pre, post, weight = np.zeros((5, 1, 3)), np.zeros((5, 1, 2)), np.zeros((2, 3))
    with pytest.raises(UserError, match="longer than a time constant"):
        STDP(tau_plus=1e-3, dt=2e-3)(pre, post, weight)
    _, state = STDP().run(pre, post, weight)
    with pytest.raises(UserError, match="another batch"):
        STDP().run(np.zeros((5, 2, 3)), np.zeros((5, 2, 2)), weight, state)
    with pytest.raises(UserError, match="leaves its bounds"):
        WeightDependentSTDP()(pre, post, weight - 0.1)
    with pytest.raises(UserError, match="leaves its bounds"):
        WeightDependentSTDP()(pre, post, weight + 1.1)
    with pytest.raises(UserError, match="no mask"):
        STDP()(pre, post, Wiring.from_edges([0], [1], shape=(3, 2)), mask=np.ones((2, 3)))
    with pytest.raises(UserError, match="not in order"):
        STDP()(Spikes([0.2, 0.1], [0, 0], 3), Spikes([0.1], [0], 2), weight)


def test_nothing_to_learn_from() -> None:
    assert not STDP()(np.zeros((0, 1, 3)), np.zeros((0, 1, 2)), np.ones((2, 3))).any()
    assert not STDP()(np.zeros((5, 1, 3)), np.zeros((5, 1, 2)), np.ones((2, 3))).any()
    assert STDP()(np.ones((5, 1, 3)), np.ones((5, 1, 2)), np.ones((2, 3)), np.zeros((2, 3))).shape == (2, 3)

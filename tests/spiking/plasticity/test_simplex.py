"""Oracle: the exact laws of the abstract rule in ``convergence``, met by spike trains and neurons with a threshold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sparsefire import Wiring, convergence
from sparsefire.convergence.noise.simplex import expected_step
from sparsefire.errors import UserError
from sparsefire.spiking import SimplexSTDP, Spikes


def spikes(steps: int, units: int, *when: tuple[int, int]) -> np.ndarray:
    found = np.zeros((steps, 1, units))
    for step, unit in when:
        found[step, 0, unit] = 1
    return found


def test_the_trigger_is_the_last_spike_since_the_one_before() -> None:
    rule, weight = SimplexSTDP(alpha=0.1), np.array([[1.0, 3.0, 0.0]])
    post = spikes(10, 1, (4, 0))

    def change(*pre: tuple[int, int], post: np.ndarray = post) -> list[float]:
        return rule(spikes(10, 3, *pre), post, weight)[0].round(12).tolist()

    assert change((2, 0), (3, 1)) == [0.0, 0.3, 0.0]
    assert change((2, 0), (4, 1)) == [0.0, 0.3, 0.0]  # in the same step
    assert change((2, 0), (5, 1)) == [0.1, 0.0, 0.0]  # too late
    assert change((2, 0), (4, 2)) == [0.1, 0.0, 0.0]  # a weight of zero lifts nothing
    assert change((3, 0), (3, 1)) == [0.025, 0.225, 0.0]  # shared by weight: B = 1/4, 3/4
    assert change() == [0.0, 0.0, 0.0]
    assert change((3, 0), post=spikes(10, 1, (4, 0), (6, 0))) == [0.1, 0.0, 0.0]  # the second has no trigger
    twice = change((3, 0), (6, 0), post=spikes(10, 1, (4, 0), (6, 0)))
    assert twice == pytest.approx([0.21, 0.0, 0.0])  # 1.1² − 1


def test_time_goes_on_from_a_state() -> None:
    rng = np.random.default_rng(0)
    pre, post = (rng.random((60, 1, 4)) < 0.1), (rng.random((60, 1, 3)) < 0.1)
    rule, weight = SimplexSTDP(0.2), rng.uniform(0.5, 1, (3, 4))
    whole = rule(pre, post, weight)
    first, state = rule.run(pre[:23], post[:23], weight)
    second, _ = rule.run(pre[23:], post[23:], weight + first, state)
    np.testing.assert_allclose(first + second, whole, atol=1e-12)
    events = [Spikes.from_dense(side[:, 0], 1e-3) for side in (pre.astype(int), post.astype(int))]
    np.testing.assert_allclose(rule(*events, weight), whole, atol=1e-12)


def test_masked_and_dense_weights_agree() -> None:
    rng = np.random.default_rng(1)
    pre, post = (rng.random((60, 3, 6)) < 0.1), (rng.random((60, 3, 5)) < 0.1)
    mask = rng.random((5, 6)) < 0.5
    weight = rng.uniform(0.5, 1, (5, 6)) * mask
    found = SimplexSTDP(0.2)(pre, post, weight)
    assert found.any()
    assert not found[~mask].any()
    np.testing.assert_allclose(SimplexSTDP(0.2)(pre, post, weight, mask), found, atol=1e-13)
    tensor = SimplexSTDP(0.2)(torch.from_numpy(pre), torch.from_numpy(post), torch.from_numpy(weight))
    np.testing.assert_array_equal(tensor.numpy(), found)


def test_one_step_has_the_exact_mean() -> None:
    for p in ((0.6, 0.4), (0.5, 0.3, 0.2)):
        for alpha in (0.01, 0.1, 2.0):
            rule = SimplexSTDP(alpha)
            mean = sum(chance * rule.iterate(p, who) for who, chance in enumerate(p))
            np.testing.assert_allclose(mean, expected_step(p, alpha), rtol=1e-13)


def test_spikes_do_what_the_iterate_says() -> None:
    rule, weight, firing = SimplexSTDP(0.3), np.array([[0.2, 0.5, 0.3]]), np.array([3.0, 2.0, 1.0])
    after = weight + rule(spikes(5, 3, (2, 1)), spikes(5, 1, (2, 0)), weight)
    p = firing * weight[0]
    np.testing.assert_allclose(firing * after[0] / (firing @ after[0]), rule.iterate(p, 1), rtol=1e-13)


def winners(firing: np.ndarray, alpha: float, runs: int, steps: int) -> np.ndarray:
    """Return who has won each run: Poisson trains, a potential that leaks at once, a threshold that is noise.

    Every neuron listens to its own d trains. A step is the next presynaptic spike of each; it lifts the potential by
    its weight over a threshold that is uniform on [0, sum of weights], so it triggers with a probability proportional
    to the weight.
    """
    rng, units = np.random.default_rng(0), len(firing)
    senders = np.arange(runs * units)
    wiring = Wiring.from_edges(senders, senders // units, shape=(runs * units, runs))
    rule, state, rows = SimplexSTDP(alpha), None, np.arange(runs)
    weights = np.full((runs, units), 1 / units)
    for _ in range(steps):
        who = rng.choice(units, size=runs, p=firing / firing.sum())
        pre = np.zeros((1, 1, runs * units), np.uint8)
        pre[0, 0, rows * units + who] = 1
        fires = weights[rows, who] > rng.random(runs)
        wiring = wiring.with_weights(weights.reshape(-1))
        change, state = rule.run(pre, fires[None, None], wiring, state)
        weights = weights + change.reshape(runs, units)
        weights /= weights.sum(axis=1, keepdims=True)
    assert (weights.max(axis=1) > 0.99).mean() > 0.999  # decided
    return weights.argmax(axis=1)


def test_the_wrong_neuron_wins_as_often_as_it_should() -> None:
    firing, alpha, runs = np.array([0.6, 0.4]), 0.1, 4000
    exact = convergence.wrong_winner_probability(firing, alpha)
    assert exact == pytest.approx(0.09365, abs=1e-5)
    share = (winners(firing, alpha, runs, 500) == 1).mean()
    assert abs(share - exact) < 4 * np.sqrt(exact * (1 - exact) / runs)


def test_three_neurons_win_as_often_as_they_should() -> None:
    firing, alpha, runs = np.array([3.0, 2.0, 1.0]), 0.3, 2000
    exact = convergence.winner_probabilities(firing, alpha)
    found = np.bincount(winners(firing, alpha, runs, 500), minlength=3) / runs
    assert (np.abs(found - exact) < 4 * np.sqrt(exact * (1 - exact) / runs)).all()


def test_jitter_has_the_exact_exponent_of_fixation() -> None:
    """One neuron triggers every spike: log w_1/w_2 rises by E log(1+α(1+Z)) − E log(1+αZ)."""
    alpha, jitter, steps, runs = 0.1, 0.8, 500, 40
    pre = np.zeros((steps, runs, 2))
    pre[:, :, 0] = 1
    rule = SimplexSTDP(alpha, jitter=jitter, rng=0)
    rises = []
    for sample in range(runs):
        after = 1 + rule(pre[:, sample], np.ones((steps, 1)), np.ones((1, 2)))[0]
        rises.append(np.log(after[0] / after[1]) / steps)
    error = np.std(rises, ddof=1) / np.sqrt(runs)
    assert abs(np.mean(rises) - convergence.fixation_exponent(alpha, jitter)) < 4 * error
    assert error < 1e-3


def test_jitter_is_drawn_by_rng_and_goes_on() -> None:
    pre, post, weight = np.ones((5, 1, 2)), np.ones((5, 1, 3)), np.ones((3, 2))
    rules = [SimplexSTDP(0.1, jitter=0.5, rng=rng) for rng in (0, 0, 1)]
    first = [rule(pre, post, weight) for rule in rules]
    assert (first[0] == first[1]).all()
    assert (first[0] != first[2]).any()
    assert (rules[0](pre, post, weight) != first[0]).any()
    mask = np.array([[1, 0], [0, 1], [1, 1]])
    masked = SimplexSTDP(0.1, jitter=0.5, rng=0)(pre, post, weight, mask)
    assert ((masked != 0) == (mask != 0)).all()


def test_bad_input() -> None:
    for options, words in (
        ({"alpha": 0.0}, "alpha"), ({"alpha": -1.0}, "alpha"), ({"alpha": np.nan}, "alpha"),
        ({"alpha": 0.5, "jitter": 2.0}, "negative"), ({"alpha": 0.5, "jitter": -1.0}, "jitter"),
        ({"alpha": 0.5, "dt": 0.0}, "dt"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            SimplexSTDP(**options)
    rule, pre, post = SimplexSTDP(0.1), np.zeros((5, 1, 3)), np.zeros((5, 1, 2))
    with pytest.raises(UserError, match="negative"):
        rule(pre, post, np.full((2, 3), -0.1))
    _, state = rule.run(pre, post, np.ones((2, 3)))
    with pytest.raises(UserError, match="another batch"):
        rule.run(np.zeros((5, 2, 3)), np.zeros((5, 2, 2)), np.ones((2, 3)), state)
    for p, trigger, noise, words in (([0.0, 0.0], 0, 0.0, "chances"), ([0.5, 0.5], 2, 0.0, "no such neuron"),
                                     ([0.5, 0.5], 0, -20.0, "negative")):  # fmt: skip
        with pytest.raises(UserError, match=words):
            rule.iterate(p, trigger, noise)

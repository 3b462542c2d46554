"""Oracle: rewarded plasticity as integrals over pairs of causes, layers that learn, homeostasis, rewiring, bad input.

Izhikevich 2007 doi:10.1093/cercor/bhl152; synaptic scaling doi:10.1038/36103; rewiring arXiv:1707.04780.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sparsefire as sf
from sparsefire import masks
from sparsefire import spiking as sp
from sparsefire.errors import UserError

TP, TM, AP, AM = 16.8e-3, 33.7e-3, 0.03, 0.02


def jumps(pre: np.ndarray, post: np.ndarray) -> list[tuple[float, float]]:
    """When the pair rule changes something, and by how much; no two spikes at one time."""
    found = [(float(t), float(AP * np.exp(-(t - pre[pre < t]) / TP).sum())) for t in post]
    return found + [(float(t), float(-AM * np.exp(-(t - post[post < t]) / TM).sum())) for t in pre]


def integral(cause: float, tau_e: float, release: float, tau_d: float, end: float) -> float:
    """∫ exp(−(t − cause)/τ_e) exp(−(t − release)/τ_d) over t from the later of both to the end."""
    start, rate = max(cause, release), 1 / tau_e + 1 / tau_d
    size = math.exp(-(start - cause) / tau_e - (start - release) / tau_d)
    return size * (1 - math.exp(-rate * (end - start))) / rate


def two_sides(number: int, seconds: float = 2.0) -> tuple[sp.Spikes, sp.Spikes]:
    rng = np.random.default_rng(number)
    pre = sp.Spikes.sorted_from(rng.uniform(0, seconds, 60), rng.integers(0, 3, 60), 3, seconds)
    return pre, sp.Spikes.sorted_from(rng.uniform(0, seconds, 40), rng.integers(0, 2, 40), 2, seconds)


def test_three_factors_are_integrals_over_causes() -> None:
    pre, post = two_sides(1)
    gain = np.random.default_rng(0).normal(size=(2, 3))
    channels = [sp.Channel(0.2, gain=gain, tonic=-0.3), sp.Channel(1.5, gain=0.7)]
    times, amounts = np.array([0.4, 1.1, 1.7]), np.array([[1.0, 0.0], [-0.5, 2.0], [0.3, 0.3]])
    rule = sp.ThreeFactor(sp.STDP(TP, TM, AP, AM), channels, tau_e=0.6)
    found = rule(pre, post, np.zeros((2, 3)), reward=(times, amounts))
    wanted = np.zeros((2, 3))
    for j, i in np.ndindex(2, 3):
        for s, q in jumps(pre.train(i), post.train(j)):
            wanted[j, i] += q * gain[j, i] * -0.3 * 0.6 * (1 - math.exp(-(2.0 - s) / 0.6))
            for t, (one, two) in zip(times, amounts, strict=True):
                wanted[j, i] += q * one * gain[j, i] * integral(s, 0.6, t, 0.2, 2.0)
                wanted[j, i] += q * two * 0.7 * integral(s, 0.6, t, 1.5, 2.0)
    np.testing.assert_allclose(found, wanted, atol=1e-13, rtol=1e-9)
    assert np.abs(wanted).max() > 1e-4


def test_reward_bridges_seconds() -> None:
    pre = sp.Spikes([0.100, 0.500], [0, 0], duration=40.0)
    post = sp.Spikes([0.110], [0], duration=40.0)
    c = AP * math.exp(-10 / 16.8)
    late = -AM * math.exp(-390 / 33.7)
    for delay in (0.0, 0.7, 3.0):
        rule = sp.RewardSTDP(sp.STDP(TP, TM, AP, AM), tau_e=1.0, tau_dopamine=0.2)
        found = rule(pre, post, np.zeros((1, 1)), reward=([0.110 + delay], [2.5]))[0, 0]
        wanted = 2.5 * c * math.exp(-delay) / 6.0 + 2.5 * late * integral(0.5, 1.0, 0.110 + delay, 0.2, 40.0)
        assert found == pytest.approx(wanted, rel=1e-9)
    before = rule(pre, post, np.zeros((1, 1)), reward=([0.05], [1.0]))[0, 0]
    assert before == pytest.approx(c * math.exp(-0.06 / 0.2) / 6 + late * math.exp(-0.45 / 0.2) / 6, rel=1e-9)
    assert rule(pre, post, np.zeros((1, 1)))[0, 0] == 0.0


def test_dense_rewards_are_events_and_time_goes_on() -> None:
    rng = np.random.default_rng(6)
    pre, post = (rng.random((300, 1, 3)) < 0.05) * 1.0, (rng.random((300, 1, 2)) < 0.05) * 1.0
    reward = np.where(rng.random(300) < 0.03, rng.normal(size=300), 0.0)
    rule = sp.RewardSTDP(sp.STDP(TP, TM, AP, AM, coincident="none"), tau_e=0.3, tau_dopamine=0.1)
    w = np.zeros((2, 3))
    whole = rule(pre, post, w, reward)
    at = np.flatnonzero(reward)
    sides = [sp.Spikes.from_dense(side[:, 0], 1e-3) for side in (pre, post)]
    events = rule(*sides, w, ((at + 1) * 1e-3, reward[at]))
    np.testing.assert_allclose(whole, events, rtol=1e-9, atol=1e-14)
    first, held = rule.run(pre[:111], post[:111], w, reward[:111])
    second, _ = rule.run(pre[111:], post[111:], w, reward[111:], held)
    np.testing.assert_allclose(first + second, whole, rtol=1e-9, atol=1e-14)
    both = rule(np.repeat(pre, 2, 1), np.repeat(post, 2, 1), w, np.stack([reward, 0 * reward], 1))
    np.testing.assert_allclose(both, whole / 2, rtol=1e-9, atol=1e-14)


def test_plastic_layers_do_what_the_rule_says() -> None:
    rng, stdp = np.random.default_rng(3), sp.STDP(TP, TM, AP, AM)
    pre = torch.from_numpy((rng.random((200, 4, 6)) < 0.1) * 1.0)
    post = torch.from_numpy((rng.random((200, 4, 3)) < 0.1) * 1.0)
    start = torch.from_numpy(rng.uniform(0.2, 0.8, (3, 6)))

    def layer() -> nn.Linear:
        made = nn.Linear(6, 3, bias=False).double()
        made.weight.data.copy_(start)
        return made

    change = stdp(pre, post, start)
    plain, graded, capped = layer(), layer(), layer()
    sp.Plastic(plain, stdp).learn(pre, post)
    torch.testing.assert_close(plain.weight.data, start + change, atol=1e-12, rtol=0)
    sp.Plastic(graded, stdp, into="grad").learn(pre, post)
    torch.testing.assert_close(graded.weight.grad, -change, atol=1e-12, rtol=0)
    assert torch.equal(graded.weight.data, start)
    torch.optim.SGD(graded.parameters(), lr=1.0).step()
    torch.testing.assert_close(graded.weight.data, plain.weight.data, atol=1e-12, rtol=0)
    sp.Plastic(capped, stdp, w_min=0.0, w_max=0.6, normalise=2.0).learn(pre, post)
    moved = start + change
    moved = (moved * 2.0 / moved.abs().sum(1, keepdim=True)).clamp(0.0, 0.6)
    torch.testing.assert_close(capped.weight.data, moved, atol=1e-12, rtol=0)
    pieces = layer()
    plastic, held = sp.Plastic(pieces, stdp), None
    for part in range(4):
        held = plastic.learn(pre[50 * part : 50 * part + 50], post[50 * part : 50 * part + 50], state=held)
    torch.testing.assert_close(pieces.weight.data, plain.weight.data, atol=1e-12, rtol=0)


def test_masked_layers_learn_on_their_mask() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(20, 10, bias=False)
    net = nn.Sequential(layer)
    sf.sparsify(net, density=0.3, rng=0)
    kept = layer.weight.detach() != 0
    before = layer.weight.detach().clone()
    spikes = (torch.rand(100, 2, 20) < 0.2).float(), (torch.rand(100, 2, 10) < 0.2).float()
    change = sp.STDP(TP, TM, AP, AM)(*spikes, before)
    sp.Plastic(layer, sp.STDP(TP, TM, AP, AM)).learn(*spikes)
    after = layer.weight.detach()
    assert (after[~kept] == 0).all()
    torch.testing.assert_close(after[kept], (before + change)[kept], atol=1e-5, rtol=0)


def test_homeostasis_is_its_formula() -> None:
    layer, cell = nn.Linear(4, 3, bias=False), sp.LIF(3)
    w, threshold = layer.weight.detach().double().numpy().copy(), np.ones(3)
    target = np.array([5.0, 10.0, 20.0])
    care = sp.Homeostasis(layer, target, neuron=cell, tau=2.0, scaling=0.4, threshold=0.05, dt=1e-3)
    rng, r = np.random.default_rng(1), target.copy()
    for steps in (500, 100, 1):
        spikes = (rng.random((steps, 2, 3)) < 0.02) * 1.0
        care.step(torch.from_numpy(spikes))
        seconds = steps * 1e-3
        r = r * math.exp(-seconds / 2.0) + (1 - math.exp(-seconds / 2.0)) * spikes.sum(0).mean(0) / seconds
        w = w * np.exp(0.4 * seconds * (1 - r / target))[:, None]
        threshold = threshold + 0.05 * seconds * (r / target - 1)
    np.testing.assert_allclose(care.firing_rates, r, rtol=1e-9)
    np.testing.assert_allclose(layer.weight.detach().numpy(), w, rtol=1e-5)
    np.testing.assert_allclose(cell.v_threshold.numpy(), threshold, rtol=1e-6)


def test_rewiring_keeps_the_density_and_prunes_the_weakest() -> None:
    torch.manual_seed(1)
    plastic = sp.Plastic(nn.Linear(30, 20, bias=False), sp.STDP())
    rewiring = sp.StructuralPlasticity(plastic, density=0.2, every=3, share=0.25, w_new=0.01, rng=0)
    for round_ in range(6):
        before = plastic.layer.weight.detach().clone()
        grew = rewiring.step()
        after = plastic.layer.weight.detach()
        assert masks.density(plastic) == pytest.approx(0.2)
        if round_ % 3 != 2:
            assert grew == 0
            assert torch.equal(before, after)
            continue
        assert grew == 30
        gone = (before != 0) & (after == 0)
        left = (before != 0) & (after == before)
        assert gone.sum() <= 30
        assert before[gone].abs().max() <= before[left].abs().min() + 1e-7
        torch.testing.assert_close(after[(before == 0) & (after != 0)].unique(), torch.tensor([0.01]))


ONES, W = np.ones((5, 1, 2)), np.zeros((1, 2))
RULES = [sp.STDP(), sp.TripletSTDP(), sp.WeightDependentSTDP(), sp.SimplexSTDP(0.1), sp.RewardSTDP()]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize(
    ("pre", "post", "weight"),
    [
        (0.5 * ONES, ONES[:, :, :1], W),
        (2 * ONES, ONES[:, :, :1], W),
        (-ONES, ONES[:, :, :1], W),
        (ONES, math.nan * ONES[:, :, :1], W),
        (ONES[:4], ONES[:, :, :1], W),
        (ONES, ONES, W),
        (np.ones((5, 2, 2)), ONES[:, :, :1], W),
        (ONES, ONES[:, :, :1], math.nan * W),
        (ONES, ONES[:, :, :1], np.zeros((2, 2, 1))),
        (ONES, ONES[:, :, :1], "weights"),
        (ONES, ONES[:, :, :1], W.astype(int)),
        ("spikes", ONES[:, :, :1], W),
        (np.ones(5), ONES[:, :, :1], W),
        (sp.Spikes([0.1], [0], 2, 1.0), ONES[:, :, :1], W),
    ],
)
def test_bad_spikes_and_weights(rule: Any, pre: Any, post: Any, weight: Any) -> None:
    with pytest.raises(UserError):
        rule(pre, post, weight)


def test_bad_state_mask_and_reward() -> None:
    rule, post = sp.STDP(), ONES[:, :, :1]
    _, held = rule.run(ONES, post, W)
    for call in (
        lambda: rule.run(np.ones((5, 3, 2)), np.ones((5, 3, 1)), W, held),
        lambda: rule.run(np.ones((5, 1, 3)), post, np.zeros((1, 3)), held),
        lambda: rule(ONES, post, W, np.ones((2, 2))),
        lambda: sp.RewardSTDP()(ONES, post, W, np.ones(4)),
        lambda: sp.RewardSTDP()(ONES, post, W, np.full(5, math.nan)),
        lambda: sp.RewardSTDP()(ONES, post, W, ([0.002, 0.001], [1.0, 1.0])),
        lambda: sp.RewardSTDP()(ONES, post, W, ([0.002], [1.0, 1.0])),
        lambda: sp.RewardSTDP()(ONES, post, W, ([9.0], [1.0])),
        lambda: sp.Plastic(nn.Linear(2, 1), rule).learn(torch.ones(5, 1, 2), torch.ones(5, 1, 1), reward=1.0),
        lambda: sp.SimplexSTDP(0.1)(ONES, post, W - 1.0),
    ):
        with pytest.raises(UserError):
            call()


def test_state_of_another_kind() -> None:
    for state in ("state", 3, (1.0,), object()):
        with pytest.raises(UserError):
            sp.STDP().run(ONES, ONES[:, :, :1], W, state)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (sp.STDP, {"tau_plus": 0.0}),
        (sp.STDP, {"tau_minus": -1.0}),
        (sp.STDP, {"a_plus": math.nan}),
        (sp.STDP, {"a_plus": "big"}),
        (sp.STDP, {"pairing": "some"}),
        (sp.STDP, {"coincident": True}),
        (sp.STDP, {"dt": 0.0}),
        (sp.TripletSTDP, {"tau_x": math.inf}),
        (sp.TripletSTDP, {"a3_plus": None}),
        (sp.WeightDependentSTDP, {"step": 0.0}),
        (sp.WeightDependentSTDP, {"step": 1.5}),
        (sp.WeightDependentSTDP, {"mu": -0.1}),
        (sp.WeightDependentSTDP, {"mu": 1.1}),
        (sp.WeightDependentSTDP, {"alpha": 0.0}),
        (sp.WeightDependentSTDP, {"w_max": 0.0}),
        (sp.SimplexSTDP, {"alpha": 0.0}),
        (sp.SimplexSTDP, {"alpha": 0.5, "jitter": 2.0}),
        (sp.RewardSTDP, {"tau_e": 0.0}),
        (sp.RewardSTDP, {"tau_dopamine": -1.0}),
        (sp.RewardSTDP, {"stdp": sp.WeightDependentSTDP()}),
        (sp.RewardSTDP, {"stdp": "STDP"}),
        (sp.ThreeFactor, {"stdp": sp.STDP(), "channels": []}),
        (sp.ThreeFactor, {"stdp": sp.STDP(), "channels": [0.2]}),
        (sp.Channel, {"tau": 0.0}),
        (sp.Channel, {"tau": 1.0, "gain": math.nan}),
        (sp.Plastic, {"layer": nn.ReLU(), "stdp": sp.STDP()}),
        (sp.Plastic, {"layer": nn.Linear(2, 2), "stdp": "STDP"}),
        (sp.Plastic, {"layer": nn.Linear(2, 2), "stdp": sp.STDP(), "w_min": 1.0, "w_max": 0.0}),
        (sp.Plastic, {"layer": nn.Linear(2, 2), "stdp": sp.STDP(), "normalise": 0.0}),
        (sp.Plastic, {"layer": nn.Linear(2, 2), "stdp": sp.STDP(), "into": "nowhere"}),
        (sp.Homeostasis, {"layer": nn.Linear(2, 2), "target": 0.0}),
        (sp.Homeostasis, {"layer": nn.Linear(2, 2), "target": [1.0, 2.0, 3.0]}),
        (sp.Homeostasis, {"layer": nn.Linear(2, 2), "target": 5.0, "threshold": 0.1}),
        (sp.Homeostasis, {"layer": nn.Linear(2, 2), "target": 5.0, "neuron": sp.LIF(3)}),
        (sp.StructuralPlasticity, {"net": nn.Linear(4, 4), "density": 0.0}),
        (sp.StructuralPlasticity, {"net": nn.Linear(4, 4), "density": 0.5, "share": 1.5}),
        (sp.StructuralPlasticity, {"net": nn.Linear(4, 4), "density": 0.5, "every": 0}),
    ],
)
def test_bad_rules(make: Any, words: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        make(**words)


def test_step_longer_than_a_time_constant() -> None:
    for rule in (sp.STDP, sp.TripletSTDP, sp.WeightDependentSTDP):
        with pytest.raises(UserError, match=r"step|constant"):
            rule(dt=0.05)(ONES, ONES[:, :, :1], W)

"""Oracle: the rule called on arrays; torch's own SGD; sums, bounds and masks that are asked for."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sparsefire import Wiring, masks, sparsify
from sparsefire.errors import UserError
from sparsefire.sparsity.parameterisation.product import Product
from sparsefire.spiking import (
    LIF,
    STDP,
    Homeostasis,
    Plastic,
    RewardSTDP,
    Sequential,
    SimplexSTDP,
    Spikes,
    WeightDependentSTDP,
    constrain,
)
from sparsefire.spiking.plasticity import _touched


def layer(seed: int = 0, density: float | None = None) -> nn.Linear:
    torch.manual_seed(seed)
    made = nn.Linear(12, 7)
    if density is not None:
        sparsify(made, density, rng=0)
    return made


def spikes(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple((torch.rand(60, 4, n, generator=generator) < 0.1).float() for n in (12, 7))


@pytest.mark.parametrize("density", [None, 0.3])
def test_learning_is_the_rule(density: float | None) -> None:
    pre, post = spikes()
    for rule in (STDP(), WeightDependentSTDP(w_max=5.0), RewardSTDP(tonic=1.0)):
        made = layer(density=density)
        masks.write_weight_(made, made.weight.abs())
        before = made.weight.detach().clone()
        exact = rule(pre.double(), post.double(), before.double())
        mask = torch.ones(7, 12) if density is None else masks.masks(made)[""]
        Plastic(made, rule).learn(pre, post)
        torch.testing.assert_close(made.weight.detach(), before + (exact * mask).float(), rtol=0, atol=1e-6)
        assert bool((made.weight[mask == 0] == 0).all())


def test_forward_is_the_layers_and_no_gradient_is_needed() -> None:
    made = layer()
    plastic = Plastic(made, STDP())
    x = torch.rand(5, 12)
    assert torch.equal(plastic(x), made(x))
    weight = made.weight
    plastic.learn(*spikes())
    assert made.weight is weight
    assert weight.grad is None
    plastic(x).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("density", [None, 0.3])
def test_an_optimiser_can_take_the_step(density: float | None) -> None:
    made, other = layer(density=density), layer(density=density)
    pre, post = spikes()
    Plastic(made, STDP()).learn(pre, post)
    held = Plastic(other, STDP(), into="grad")
    optimizer = torch.optim.SGD(held.parameters(), lr=1.0)
    before = other.weight.detach().clone()
    held.learn(pre, post)
    assert torch.equal(other.weight, before)
    optimizer.step()
    torch.testing.assert_close(other.weight, made.weight)
    once = masks.own_parameter(other).grad.clone()
    held.learn(pre, post)
    torch.testing.assert_close(masks.own_parameter(other).grad, 2 * once)


def test_bounds_and_normalisation_hold() -> None:
    pre, post = spikes()
    made = layer(density=0.5)
    plastic = Plastic(made, STDP(a_plus=0.5), w_min=0.0, w_max=0.4)
    plastic.learn(pre, post)
    assert float(made.weight.detach().min()) == 0.0
    assert float(made.weight.detach().max()) == pytest.approx(0.4)
    above = Plastic(layer(density=0.5), STDP(), w_min=0.1)
    above.learn(pre, post)  # masked weights stay zero, below the bound
    mask = masks.masks(above.layer)[""]
    assert bool((above.layer.weight[~mask] == 0).all())
    assert float(above.layer.weight.detach()[mask].min()) >= 0.1 - 1e-7
    summed = Plastic(layer(), STDP(a_plus=0.1), normalise=3.0)
    summed.learn(pre, post)
    torch.testing.assert_close(summed.layer.weight.abs().sum(1), torch.full((7,), 3.0))
    held = Plastic(layer(), STDP(), w_min=0.0, normalise=3.0, into="grad")
    held.bound_()
    assert float(held.layer.weight.detach().min()) == 0.0
    silent = Plastic(layer(), STDP(), normalise=1.0)
    nn.init.zeros_(silent.layer.weight)
    silent.learn(torch.zeros(5, 1, 12), torch.zeros(5, 1, 7))
    assert not silent.layer.weight.any()


def test_it_follows_a_mask_that_moves() -> None:
    made = layer(density=0.3)
    plastic = Plastic(made, STDP(a_minus=-0.01))
    pre, post = spikes()
    plastic.learn(pre, post)
    moved = ~masks.masks(made)[""]
    masks.write_mask_(made, moved)
    plastic.learn(pre, post)
    assert bool((made.weight[moved] != 0).any())
    assert bool((made.weight[~moved] == 0).all())


def test_time_goes_on_between_calls() -> None:
    pre, post = spikes()
    whole, parts = Plastic(layer(), STDP()), Plastic(layer(), STDP())
    whole.learn(pre, post)
    state = parts.learn(pre[:20], post[:20])
    parts.learn(pre[20:], post[20:], state=state)
    torch.testing.assert_close(parts.layer.weight, whole.layer.weight, rtol=0, atol=1e-6)


def test_rewards_reach_the_rule() -> None:
    pre, post = spikes()
    reward = torch.zeros(60)
    reward[30] = 1.0
    rewarded, punished, neither = (Plastic(layer(), RewardSTDP()) for _ in range(3))
    before = layer().weight
    rewarded.learn(pre, post, reward=reward)
    punished.learn(pre, post, reward=-reward)
    neither.learn(pre, post)
    assert torch.equal(neither.layer.weight, before)
    torch.testing.assert_close(rewarded.layer.weight - before, before - punished.layer.weight, rtol=0, atol=1e-6)
    assert not torch.equal(rewarded.layer.weight, before)


def test_a_network_learns_a_pattern_by_itself() -> None:
    """Inputs that fire together and drive the neuron grow, those that fire at random shrink (Song et al. 2000)."""
    torch.manual_seed(0)
    made = nn.Linear(40, 1, bias=False)
    nn.init.constant_(made.weight, 0.4)
    rule = STDP(a_plus=0.05, a_minus=0.06, tau_plus=20e-3, tau_minus=20e-3)
    net = Sequential(Plastic(made, rule, w_min=0.0, w_max=1.0), LIF(1, tau=20e-3, r=3.0))
    state, traces = None, None
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        together = (torch.rand(500, 1, 1, generator=generator) < 0.01).expand(-1, -1, 20)
        apart = torch.rand(500, 1, 20, generator=generator) < 0.01
        x = torch.cat([together, apart], 2).float()
        fired, state = net(x, state)
        traces = net[0].learn(x, fired, state=traces)
    assert float(made.weight.detach()[0, :20].mean()) > 0.8
    assert float(made.weight.detach()[0, 20:].mean()) < 0.4


def test_copies_and_events() -> None:
    plastic = Plastic(layer(density=0.5), SimplexSTDP(0.1), w_min=0.0)
    masks.write_weight_(plastic.layer, plastic.layer.weight.abs())
    twin = copy.deepcopy(plastic)
    pre, post = Spikes([0.1, 0.2], [3, 4], 12), Spikes([0.15, 0.3], [1, 2], 7)
    plastic.learn(pre, post)
    twin.learn(pre, post)
    assert torch.equal(plastic.layer.weight, twin.layer.weight)
    assert "alpha=0.1" in repr(plastic)


RULES = [STDP(a_plus=0.2, a_minus=0.1), WeightDependentSTDP(step=0.3), SimplexSTDP(0.3)]


def scene(density: float | None, rng: int = 0) -> tuple[nn.Linear, list[tuple[torch.Tensor, torch.Tensor]]]:
    """Return a layer of weights within 0 and 1, and short pieces of few spikes, some without any."""
    torch.manual_seed(rng)
    made = nn.Linear(90, 70)
    if density is not None:
        sparsify(made, density, rng=0)
    masks.write_weight_(made, torch.rand(70, 90))
    generator = np.random.default_rng(rng)
    pieces = []
    for number in range(12):
        pre, post = torch.zeros(4, 2, 90), torch.zeros(4, 2, 70)
        for spikes, units in ((pre, 90), (post, 70)):
            for _ in range(0 if number % 4 == 3 else 2):
                spikes[generator.integers(4), generator.integers(2), generator.integers(units)] = 1
        pieces.append((pre, post))
    return made, pieces


BOUNDS = [
    {},
    {"w_min": 0.0, "w_max": 1.0},
    {"normalise": 20.0},
    {"w_min": 0.0, "w_max": 0.3, "normalise": 20.0},  # the upper bound holds in many rows, which then do not add up
    {"w_min": 0.15, "w_max": 1.0, "normalise": 20.0},  # and here the lower one
]


@pytest.mark.parametrize("density", [None, 0.5])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bounds", BOUNDS)
def test_few_spikes_change_the_same_as_all_weights_gone_through(
    rule: Any, density: float | None, bounds: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(rule, WeightDependentSTDP) and "normalise" in bounds:
        rule = WeightDependentSTDP(step=0.3, w_max=20.0)
    ends, states = [], []
    for few in (0.0, 0.2):
        monkeypatch.setattr(_touched, "FEW", few)
        made, pieces = scene(density)
        plastic, state = Plastic(made, rule, **bounds), None
        plastic.bound_()
        used = []
        original = _touched.touched
        monkeypatch.setattr("sparsefire.spiking.plasticity.plastic.touched",
                            lambda *a, o=original, u=used: u.append(o(*a)) or u[-1])  # fmt: skip
        for pre, post in pieces:
            state = plastic.learn(pre, post, state=state)
        assert all((one is not None) == bool(few) or not len(one.weights) for one in used)
        assert len(used) == len(pieces)
        monkeypatch.setattr("sparsefire.spiking.plasticity.plastic.touched", original)
        ends.append(made.weight.detach().clone())
        states.append(state)
        if len(bounds) == 3:
            assert bool(((ends[-1].sum(1) - 20).abs() > 0.01).any())
    assert not torch.equal(ends[0], scene(density)[0].weight)
    additive = isinstance(rule, STDP) and "normalise" not in bounds
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=0 if additive else 1e-5)
    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_step_writes_only_what_spikes_touch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither all weights are handed to the rule, nor all are written; a silent step writes nothing."""
    seen = []
    monkeypatch.setattr(masks, "write_weight_", lambda *_: seen.append("all"))
    monkeypatch.setattr(
        STDP, "run", lambda self, pre, post, weight, *a, o=STDP.run, **k: seen.append(weight) or o(
            self, pre, post, weight, *a, **k))  # fmt: skip
    made = nn.Linear(200, 100)
    plastic = Plastic(made, STDP(a_plus=0.5), w_min=-1.0, w_max=1.0)
    plastic._held = plastic._now()  # all are within the bounds
    pre, post = torch.zeros(1, 1, 200), torch.zeros(1, 1, 100)
    version = made.weight._version
    state = plastic.learn(pre, post)
    assert made.weight._version == version
    assert len(seen[0].weights) == 0
    before = made.weight.detach().clone()
    pre[0, 0, 7] = post[0, 0, 3] = 1
    plastic.learn(pre, post, state=state)
    assert len(seen[1].weights) == 100 + 200 - 1
    assert "all" not in seen
    changed = (made.weight.detach() != before).nonzero().tolist()
    assert changed == [[3, 7]]
    assert made.weight._version > version  # whoever keeps it for a derivative must know


def test_weights_set_from_outside_are_bounded_with_the_next_call() -> None:
    plastic = Plastic(layer(), STDP(), w_min=0.0, w_max=0.1)
    pre, post = torch.zeros(1, 1, 12), torch.zeros(1, 1, 7)
    plastic.learn(pre, post)
    assert float(plastic.layer.weight.detach().min()) == 0.0
    nn.init.constant_(plastic.layer.weight, 3.0)
    plastic.learn(pre, post)
    assert bool((plastic.layer.weight == 0.1).all())
    plastic.w_max = 0.05
    plastic.learn(pre, post)
    assert bool((plastic.layer.weight == 0.05).all())
    plastic.w_max = 0.1
    twin = copy.deepcopy(plastic)
    while twin.layer.weight._version != plastic.layer.weight._version:  # by chance as many writes as of the original
        nn.init.constant_(twin.layer.weight, 3.0)
    twin.learn(pre, post)
    assert bool((twin.layer.weight == 0.1).all())


def test_rows_that_do_not_change_rest_however_many_spikes_came() -> None:
    made = layer()
    plastic = Plastic(made, STDP(a_plus=0.01), w_min=0.0, w_max=0.4, normalise=3.0)
    masks.write_weight_(made, torch.rand(7, 12) ** 3)
    plastic.bound_()
    before = made.weight.detach().clone()
    assert float(before.sum(1).max()) < 2.99  # all rows would move if they were normalised
    pre, post = torch.ones(20, 1, 12), torch.zeros(20, 1, 7)
    post[-1, 0, 2] = 1
    assert _touched.touched(pre, post, before.numpy(), None) is None
    plastic.stdp = STDP(a_plus=0.01, a_minus=0.0)
    plastic.learn(pre, post)
    changed = (made.weight.detach() != before).any(1)
    assert changed.nonzero().flatten().tolist() == [2]


def test_weights_written_behind_the_back_of_torch() -> None:
    """Other memory is seen; what ``.data`` writes to the same is not, and bound_ is for that."""
    plastic = Plastic(layer(), STDP(), w_min=0.0, w_max=1.0)
    pre, post = torch.zeros(1, 1, 12), torch.zeros(1, 1, 7)
    weight = plastic.layer.weight
    for _ in range(3):
        plastic.learn(pre, post)
        for _ in range(2):  # the memory of the first may be given to the second
            nn.utils.vector_to_parameters(torch.full((7 * 12 + 7,), 5.0), plastic.layer.parameters())
        plastic.learn(pre, post)
        assert bool((weight == 1).all())
        address = weight.data_ptr()
        weight.data = torch.full((7, 12), 5.0)
        weight.data = torch.full((7, 12), 5.0)
        assert weight.data_ptr() != address
        plastic.learn(pre, post)
        assert bool((weight == 1).all())
    weight.data.fill_(5.0)
    plastic.bound_()
    assert bool((weight == 1).all())


@pytest.mark.parametrize("density", [None, 0.5])
@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("bounds", [{}, {"w_min": 0.0, "w_max": 0.2}, {"normalise": 2.0}])
def test_tensors_of_inference_mode_learn_there(density: float | None, copied: bool, bounds: dict[str, float]) -> None:
    """They count no writes, so that all are bounded each time."""
    pre, post = spikes()
    plain = Plastic(layer(density=density), STDP(), **bounds)
    with torch.inference_mode():
        own = copy.deepcopy(plain) if copied else Plastic(layer(density=density), STDP(), **bounds)
        weight = masks.own_parameter(own.layer)
        assert weight.is_inference()
    for _ in range(2):
        plain.learn(pre, post)
        with torch.inference_mode():
            own.learn(pre, post)
            assert torch.equal(own.layer.weight, plain.layer.weight)
    with torch.inference_mode():
        masks.write_weight_(own.layer, torch.full((7, 12), 5.0))
        own.learn(torch.zeros(1, 1, 12), torch.zeros(1, 1, 7))
        if "normalise" in bounds:
            torch.testing.assert_close(own.layer.weight.sum(1), torch.full((7,), 2.0))
        else:
            assert float(own.layer.weight.max()) == pytest.approx(bounds.get("w_max", 5.0))
    for change in (lambda: own.learn(pre, post), own.bound_):
        with pytest.raises(UserError, match="lets nobody change"):
            change()
    copy.deepcopy(own).learn(pre, post)  # as the error says


def test_another_mask_of_as_many_writes_is_another_mask() -> None:
    plastic = Plastic(layer(density=0.5), STDP(), w_min=0.1, w_max=1.0)
    pre, post = torch.zeros(1, 1, 12), torch.zeros(1, 1, 7)
    plastic.learn(pre, post)
    own: Any = masks.mask_of(plastic.layer)
    assert plastic._bounded()
    fresh = ~own.mask.clone()
    assert fresh._version == own.mask._version
    own.mask, own.kept = fresh, fresh.float()
    assert not plastic._bounded()
    plastic.learn(pre, post)
    assert bool((plastic.layer.weight[fresh] >= 0.1).all())  # weights that came in at 0, below the bound
    assert bool((plastic.layer.weight[~fresh] == 0).all())
    square = Plastic(nn.Linear(12, 12), STDP(), w_min=0.1, w_max=1.0)
    sparsify(square.layer, 0.3, rng=0)
    square.learn(pre, pre)
    own = masks.mask_of(square.layer)
    own.mask, own.kept = own.mask.T, own.kept.T  # of the same memory too
    square.learn(pre, pre)
    assert bool((square.layer.weight[own.mask] >= 0.1).all())


def test_factors_that_move_are_weights_that_move() -> None:
    plastic = Plastic(layer(), STDP(), w_min=0.0, w_max=0.2)
    masks.attach_(plastic.layer, Product(torch.ones(7, 12, dtype=torch.bool), plastic.layer.weight))
    plastic.bound_()
    torch.testing.assert_close(plastic.layer.weight.max(), torch.tensor(0.2))
    own: Any = masks.mask_of(plastic.layer)
    with torch.no_grad():
        own.factor.mul_(2)
    torch.testing.assert_close(plastic.layer.weight.max(), torch.tensor(0.4))
    plastic.learn(torch.zeros(1, 1, 12), torch.zeros(1, 1, 7))
    torch.testing.assert_close(plastic.layer.weight.max(), torch.tensor(0.2))


def test_what_is_wrong_is_told_for_few_spikes_too() -> None:
    plastic = Plastic(nn.Linear(200, 100), STDP())
    pre, post = torch.zeros(1, 1, 200), torch.zeros(1, 1, 100)
    pre[0, 0, 7] = 0.5
    with pytest.raises(UserError, match="zeros and ones"):
        plastic.learn(pre, post)
    with pytest.raises(UserError, match="does not fit"):
        plastic.learn(torch.zeros(1, 1, 100), post)
    with pytest.raises(UserError, match="two ways"):
        plastic.learn(Spikes([0.0], [1], 200), post)
    with pytest.raises(UserError, match="time constant"):
        Plastic(nn.Linear(200, 100), STDP(dt=1.0)).learn(torch.zeros(1, 1, 200), post)
    with torch.no_grad():
        plastic.layer.weight[3, 7] = float("nan")
    pre[0, 0, 7] = 1
    with pytest.raises(UserError, match="finite"):
        plastic.learn(pre, post)
    pre[0, 0, 7], pre[0, 0, 8] = 0, 1
    plastic.learn(pre, post)  # does not read the weight that is NaN
    plastic.w_max = 1.0
    with pytest.raises(UserError, match="finite"):
        plastic.learn(pre, post)


@pytest.mark.parametrize("make", [lambda w: Plastic(w, STDP()), lambda w: Homeostasis(w, 5.0)])
def test_a_wiring_is_told_what_works_on_it(make: Any) -> None:
    wiring = Wiring.from_edges([0, 1], [1, 0])
    with pytest.raises(UserError) as caught:
        make(wiring)
    assert caught.value.attempt == "STDP(…)(pre, post, wiring) returns the change of each arc"
    assert STDP()(np.ones((3, 2)), np.ones((3, 2)), wiring).shape == (2,)
    with pytest.raises(UserError) as caught:
        make(nn.Conv2d(1, 1, 3))
    assert not caught.value.attempt


def test_bad_input() -> None:
    pre, post = spikes()
    for make, words in (
        (lambda: Plastic(nn.Conv2d(1, 1, 3), STDP()), "linear"),
        (lambda: Plastic(layer(), "stdp"), "no rule"),
        (lambda: Plastic(layer(), STDP(), w_min=1.0, w_max=0.0), "cross"),
        (lambda: Plastic(layer(), STDP(), w_max=np.nan), "w_max"),
        (lambda: Plastic(layer(), STDP(), normalise=0.0), "normalise"),
        (lambda: Plastic(layer(), STDP(), into="bias"), "place"),
        (lambda: Plastic(layer(), STDP()).learn(pre, post, reward=1.0), "no use for a reward"),
        (lambda: Plastic(layer(), STDP()).learn(post, pre), "does not fit"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            make()


@pytest.mark.parametrize("density", [None, 0.5])
@pytest.mark.parametrize("rule", [STDP(a_plus=0.05, a_minus=0.02), WeightDependentSTDP()])
def test_on_a_chip_the_stored_numbers_learn(density: float | None, rule: STDP) -> None:
    """What spikes say reaches the accumulator whole, however coarse the levels are that the layer computes with."""
    free, own = layer(density=density), layer(density=density)
    for one in (free, own):
        masks.write_weight_(one, 0.3 + 0.1 * one.weight)
    plastic, on_chip = Plastic(free, rule, w_min=0.0, w_max=1.0), Plastic(own, rule, w_min=0.0, w_max=1.0)
    net = constrain(Sequential(on_chip, LIF(7)), weight_bits=3, mismatch=0.3, backward=False, rng=0)
    state = other = None
    for seed in range(5):
        pre, post = spikes(seed)
        net(pre)
        state, other = plastic.learn(pre, post, state=state), on_chip.learn(pre, post, state=other)
    plastic.bound_(), on_chip.bound_()
    assert torch.equal(masks.stored_weight(own), free.weight)
    device = own.parametrizations["weight"][-1]
    level = own.weight / device.factor / device.scale(masks.stored_weight(own), 3)
    assert torch.allclose(level, level.round(), atol=1e-4)
    assert not torch.allclose(own.weight, free.weight, atol=1e-2)


def test_stdp_learns_a_pattern_on_a_chip_without_a_backward_pass() -> None:
    rule = STDP(tau_plus=20e-3, tau_minus=20e-3, a_plus=0.03, a_minus=0.04)  # depresses what comes at any time
    plastic = Plastic(nn.Linear(20, 4, bias=False), rule, w_min=0.0, w_max=1.0)
    torch.manual_seed(0)
    nn.init.uniform_(plastic.layer.weight, 0.2, 0.4)
    cells = LIF(4, tau=10e-3, r=4.0)
    net = constrain(Sequential(plastic, cells), weight_bits=4, mismatch=0.1, backward=False, rng=0)
    generator = torch.Generator().manual_seed(1)
    pattern = torch.zeros(200, 1, 20)
    pattern[::50, :, :10] = 1  # half of the inputs fire together, the others alone
    for _ in range(60):
        noise = (torch.rand(200, 1, 20, generator=generator) < 0.02).float()
        x = (pattern + noise).clamp(max=1)
        plastic.learn(x, net(x)[0])
    weight = plastic.layer.weight.detach()
    assert float(weight[:, :10].mean()) > 0.6 > 0.3 > float(weight[:, 10:].mean())
    assert net(pattern)[0].sum() > 2 * net(pattern.roll(10, dims=2))[0].sum()
    assert net(pattern)[0].sum() > 12  # 4 cells, 4 times


def test_rules_refuse_what_is_no_state() -> None:
    pre, post = spikes()
    weight = torch.full((7, 12), 0.5)
    for rule in (STDP(), SimplexSTDP(0.1), RewardSTDP()):
        for bad in (3, "x", (1,), ("a", "b"), ("a", "b", "c", "d"), (None,) * 4):
            with pytest.raises(UserError, match="no state"):
                rule.run(pre, post, weight, state=bad)
        after = rule.run(pre, post, weight)[1]
        rule.run(pre, post, weight, state=after)

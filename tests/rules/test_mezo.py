"""Oracles: the noise written out, TwoQuery along the same directions, plain SGD, statistics of the counter."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from small_rules import close_on_average, exact, small
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.rules import ForwardGradient, MeZO, ReplaySGD, SparseMeZO
from sparsefire.rules import _noise_kernels as kernels
from sparsefire.rules.replayed_noise import add_noise_
from sparsefire.sparsity import sparsify


def noise(parts, key, law):
    """z(key), by adding it to zeros."""
    zeros = [(torch.zeros_like(parameter), place) for parameter, place in parts]
    add_noise_(zeros, key, 1.0, law)
    return torch.cat([part.flatten() for part, _ in zeros])


@pytest.mark.parametrize("law", ["rademacher", "normal"])
def test_a_step_is_sgd_along_the_estimate(law):
    net, x, y = small()
    twin = copy.deepcopy(net)
    rule = MeZO(scale=1e-3, directions=3, law=law, rng=4)
    optimizer = ReplaySGD(net.parameters(), rule, lr=0.05)
    loss = rule(net, nn.functional.mse_loss, x, y)
    expected = torch.zeros(9, dtype=torch.float64)
    for one in rule.pending:
        z = noise(rule.parts, one.key, law)
        ends = []
        for side in (1, -1):
            other = copy.deepcopy(twin)
            vector = torch.cat([p.detach().flatten() for p in twin.parameters()])
            nn.utils.vector_to_parameters(vector + side * 1e-3 * z, other.parameters())
            ends.append(nn.functional.mse_loss(other(x), y).item())
        assert one.slope == pytest.approx((ends[0] - ends[1]) / 2e-3 / 3, rel=1e-6)
        expected += one.slope * z
    assert loss.item() == pytest.approx(nn.functional.mse_loss(twin(x), y).item(), rel=1e-3)
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)  # the weights are back
    optimizer.step()
    moved = torch.cat([p.detach().flatten() for p in net.parameters()])
    start = torch.cat([p.detach().flatten() for p in twin.parameters()])
    torch.testing.assert_close(moved, start - 0.05 * expected, rtol=1e-9, atol=1e-12)
    optimizer.zero_grad()
    assert rule.pending == []
    assert all(p.grad is None for p in net.parameters())


def test_the_mean_estimate_is_the_gradient():
    net, x, y = small()
    gradient, found = exact(net, x, y), []
    rule = MeZO(scale=1e-3, law="rademacher", rng=1)
    for _ in range(1500):
        rule(net, nn.functional.mse_loss, x, y)
        found.append(sum(one.slope * noise(rule.parts, one.key, "rademacher") for one in rule.pending))
        rule.pending.clear()
    close_on_average(found, gradient)


def test_gradients_accumulate_over_calls_until_zero_grad():
    net, x, y = small()
    twin = copy.deepcopy(net)
    rule = MeZO(rng=1)
    optimizer = ReplaySGD(net.parameters(), rule, lr=0.1)
    rule(net, nn.functional.mse_loss, x, y)
    rule(net, nn.functional.mse_loss, x, y)
    both = list(rule.pending)
    assert len({one.key for one in both}) == 2
    optimizer.step()
    expected = sum(one.slope * noise(rule.parts, one.key, "normal") for one in both)
    moved = torch.cat([(a - b).detach().flatten() for a, b in zip(net.parameters(), twin.parameters(), strict=True)])
    torch.testing.assert_close(moved, -0.1 * expected, rtol=1e-8, atol=1e-11)


def test_rates_of_groups_schedules_and_decay():
    net, x, y = small()
    twin = copy.deepcopy(net)
    rule = MeZO(rng=1)
    groups = [{"params": net[0].parameters(), "lr": 0.1}, {"params": net[2].parameters(), "weight_decay": 0.5}]
    optimizer = ReplaySGD(groups, rule, lr=0.2)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5)
    rule(net, nn.functional.mse_loss, x, y)
    z = rule.pending[0].slope * noise(rule.parts, rule.pending[0].key, "normal")
    optimizer.step()
    scheduler.step()
    start = torch.cat([p.detach().flatten() for p in twin.parameters()])
    expected = torch.cat([start[:6] - 0.05 * z[:6], 0.95 * start[6:] - 0.1 * z[6:]])
    moved = torch.cat([p.detach().flatten() for p in net.parameters()])
    torch.testing.assert_close(moved, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("law", ["rademacher", "normal"])
def test_noise_is_drawn_for_active_weights_alone(law):
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    sparsify(net, 0.4, rng=0)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rule = MeZO(law=law, rng=0)
    optimizer = ReplaySGD(net.parameters(), rule, lr=0.1)
    rule(net, nn.functional.mse_loss, torch.ones(4, 6), torch.zeros(4, 2))
    assert rule.budget.random_bits == (1 if law == "rademacher" else 32) * (16 + 7)
    optimizer.step()
    changed = 0
    for (name, parameter), mask in zip(net.named_parameters(), masks.active(net).values(), strict=True):
        moved = parameter.detach() != before[name]
        changed += int(moved.sum())
        if mask is not None:
            assert not moved[~mask].any()
    assert changed == 16 + 7


def test_numbers_come_from_the_key_and_their_place_alone():
    for dense, at in ((kernels.add_signs, kernels.add_signs_at), (kernels.add_normal, kernels.add_normal_at)):
        whole = np.zeros(1000)
        dense(whole, np.uint64(5), np.int64(0), 1.0)
        for first, stop in ((0, 1), (1, 64), (63, 65), (64, 200), (130, 131), (37, 1000)):
            part = np.zeros(stop - first)
            dense(part, np.uint64(5), np.int64(first), 1.0)
            np.testing.assert_array_equal(part, whole[first:stop])
            scattered = np.zeros(2 * (stop - first))
            at(scattered, np.arange(stop - first) * 2, np.uint64(5), np.int64(first), 1.0)
            np.testing.assert_array_equal(scattered[::2], whole[first:stop])
            assert not scattered[1::2].any()


def test_the_laws_of_the_counter():
    signs, normal = np.zeros(400_000), np.zeros(200_000)
    kernels.add_signs(signs, np.uint64(11), np.int64(0), 1.0)
    kernels.add_normal(normal, np.uint64(11), np.int64(0), 1.0)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 4.5 / np.sqrt(len(signs))
    for lag in (1, 2, 7, 64, 65):
        assert abs((signs[lag:] * signs[:-lag]).mean()) < 4.5 / np.sqrt(len(signs) - lag)
        assert abs((normal[lag:] * normal[:-lag]).mean()) < 4.5 / np.sqrt(len(normal) - lag)
    assert stats.kstest(normal, "norm").pvalue > 1e-4
    other = np.zeros(400_000)
    kernels.add_signs(other, np.uint64(12), np.int64(0), 1.0)
    assert abs((signs * other).mean()) < 4.5 / np.sqrt(len(signs))
    runs = 1 + int((signs[1:] != signs[:-1]).sum())
    assert abs(runs - len(signs) / 2) < 4.5 * np.sqrt(len(signs)) / 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_types_and_layouts_replay_too(dtype):
    parameter = nn.Parameter(torch.zeros(8, 3, 5, 5, dtype=dtype).to(memory_format=torch.channels_last))
    place = torch.arange(0, 600, 7)
    for where in (None, place):
        add_noise_([(parameter, where)], 3, 1.0, "rademacher")
        assert int((parameter != 0).sum()) == (600 if where is None else len(place))
        add_noise_([(parameter, where)], 3, -1.0, "rademacher")
        assert not parameter.any()


def test_weights_come_back_when_a_pass_fails_or_gives_no_number():
    net, x, y = small()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rule = MeZO(rng=0)

    def broken(out, target):
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        rule(net, broken, x, y)
    with pytest.raises(UserError, match="call 1"):
        rule(net, lambda out, y: (out - y).mean() * torch.nan, x, y)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=1e-13, atol=1e-13)
    assert rule.pending == []


def test_dropout_is_shared_and_statistics_move_once():
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1)).double()
    twin = copy.deepcopy(net)
    x, y = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 1, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(2)
        loss = MeZO(scale=1e-9, directions=2, rng=0)(net, nn.functional.mse_loss, x, y)
        after = torch.get_rng_state()
        torch.random.default_generator.manual_seed(2)
        expected = nn.functional.mse_loss(twin(x), y)
        assert torch.equal(after, torch.get_rng_state())
    torch.testing.assert_close(loss, expected.detach())
    for (name, a), b in zip(net.named_buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_small_weights_alone_move_under_sparse_mezo():
    net = nn.Linear(200, 1)
    net.weight.data.copy_(torch.linspace(-1, 1, 200)[None])
    before = net.weight.detach().clone()
    rule = SparseMeZO(share=0.3, rng=0)
    optimizer = ReplaySGD(net.parameters(), rule, lr=1e-4)
    rule(net, nn.functional.mse_loss, torch.ones(5, 200), torch.zeros(5, 1))
    optimizer.step()
    small_ones = before.abs() <= before.abs().flatten().kthvalue(60).values
    assert torch.equal((net.weight != before), small_ones)
    with torch.no_grad():
        net.weight[0, 100] = 3.0  # outgrows its threshold
    optimizer.zero_grad()
    rule(net, nn.functional.mse_loss, torch.ones(5, 200), torch.zeros(5, 1))
    assert 100 not in rule.parts[0][1].tolist()
    state = rule.state_dict()
    other = SparseMeZO(share=0.9, rng=3)
    other.load_state_dict(state)
    assert other._thresholds == rule._thresholds
    assert other.pending == rule.pending


def test_a_state_goes_on():
    net, x, y = small()
    rule = MeZO(rng=3)
    rule(net, nn.functional.mse_loss, x, y)
    other = MeZO(rng=9)
    other.load_state_dict(copy.deepcopy(rule.state_dict()))
    rule(net, nn.functional.mse_loss, x, y)
    other(net, nn.functional.mse_loss, x, y)
    assert [one.key for one in rule.pending] == [one.key for one in other.pending]


def test_wrong_use_is_told():
    net, _, _ = small()
    with pytest.raises(UserError, match="leaves gradients"):
        ReplaySGD(net.parameters(), ForwardGradient(), lr=0.1)
    with pytest.raises(UserError, match="cannot be replayed"):
        MeZO(law="sphere")
    with pytest.raises(UserError, match="not negative"):
        ReplaySGD(net.parameters(), MeZO(), lr=-1)
    with pytest.raises(UserError, match="share"):
        SparseMeZO(share=0)


def test_frozen_parameters_do_not_decay():
    net, x, y = small()
    net[0].weight.requires_grad_(False)
    before = net[0].weight.clone()
    rule = MeZO(rng=0)
    optimizer = ReplaySGD(net.parameters(), rule, lr=0.1, weight_decay=0.5)
    rule(net, nn.functional.mse_loss, x, y)
    optimizer.step()
    assert torch.equal(net[0].weight, before)


def test_directions_of_another_life_are_refused():
    net, x, y = small()
    rule, other = MeZO(rng=0), MeZO(rng=0)
    rule(net, nn.functional.mse_loss, x, y)
    other.load_state_dict(rule.state_dict())
    with pytest.raises(UserError, match="not seen since"):
        ReplaySGD(net.parameters(), other, lr=0.1).step()


def test_sparse_mezo_follows_the_mask_and_waits_for_its_steps():
    net = nn.Linear(100, 1, bias=False)
    rule = SparseMeZO(share=0.5, rng=0)
    x, y = torch.randn(6, 100), torch.randn(6, 1)
    rule(net, nn.functional.mse_loss, x, y)
    first = rule.parts[0][1].clone()
    rule(net, nn.functional.mse_loss, x, y)
    assert torch.equal(rule.parts[0][1], first)  # no step between: the same places, whatever three additions rounded
    rule.pending.clear()
    sparsify(net, 0.2, rng=0)
    rule(net, nn.functional.mse_loss, x, y)
    assert len(rule.parts[0][1]) == 10

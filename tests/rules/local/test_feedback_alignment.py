"""Oracles: autograd with B = W; autograd of a twin that holds B instead of W; Lillicrap's linear example."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.rules.local import FeedbackAlignment
from sparsefire.sparsity import sparsify
from sparsefire.spiking import CobaLIF, Sequential

mse = nn.functional.mse_loss


def generator(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def gradients(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def exact(net: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    twin = copy.deepcopy(net)
    twin.zero_grad()
    mse(twin(x), y).backward()
    return gradients(twin)


class Branches(nn.Module):
    """No chain: a skip connection, a shared layer, in-place activations, an input given by name."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 2)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.one(x))
        h = h + self.act(self.two(input=h))
        return self.out(self.act(self.two(h)))


def networks() -> dict[str, tuple[nn.Module, Tensor, Tensor]]:
    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator(sum(shape)), dtype=torch.float64)

    nets = {
        "linear": (
            nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)), (7, 6), (7, 2),
        ),
        "branches": (Branches(), (7, 6), (7, 2)),
        "conv1d": (
            nn.Sequential(
                nn.Conv1d(2, 4, 3, padding="same", padding_mode="circular"), nn.ReLU(inplace=True),
                nn.Conv1d(4, 4, 3, stride=2, groups=2, dilation=2), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(12, 2),
            ), (7, 2, 9), (7, 2),
        ),
        "conv2d": (
            nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 2, stride=2, padding=1), nn.Flatten(1)),
            (7, 1, 6, 6), (7, 18),
        ),
        "conv3d": (
            nn.Sequential(nn.Conv3d(1, 2, 2), nn.Tanh(), nn.Conv3d(2, 2, 2), nn.Flatten(1)),
            (7, 1, 4, 4, 4), (7, 16),
        ),
        "sequences": (nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)), (3, 4, 6), (3, 4, 2)),
    }  # fmt: skip
    return {name: (net.double(), draw(*a), draw(*b)) for name, (net, a, b) in nets.items()}


@pytest.mark.parametrize("kind", sorted(networks()))
def test_with_the_weights_themselves_it_is_autograd(kind: str) -> None:
    net, x, y = networks()[kind]
    expected = exact(net, x, y)
    rule = FeedbackAlignment(rng=0)
    rule(net, mse, x, y)
    drawn = gradients(net)
    assert any(not torch.allclose(drawn[name], expected[name]) for name in expected)
    net.zero_grad()
    rule.feedback = {name: layer.weight.detach().clone() for name, layer in masks.layers(net).items()}
    loss = rule(net, mse, x, y)
    torch.testing.assert_close(gradients(net), expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(loss, mse(net(x), y).detach())
    assert not loss.requires_grad
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def conductances() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Networks whose layers hand on excitation and inhibition apart, and the shape of a row and step."""

    def cells(*units: int) -> CobaLIF:
        return CobaLIF(units, v_threshold=0.3)

    return {
        "linear": (
            Sequential(
                nn.Linear(6, 5), cells(5), nn.Linear(5, 4), cells(4), nn.Linear(4, 3), cells(3), nn.Linear(3, 2),
            ),
            (6,),
        ),
        "negative": (Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), cells(4), nn.Linear(4, 2)), (6,)),
        "conv": (
            Sequential(
                nn.Conv2d(1, 4, 2), cells(4, 3, 3), nn.Conv2d(4, 4, 2, groups=2), cells(4, 2, 2),
                nn.Conv2d(4, 2, 2, padding=1, padding_mode="circular"), cells(2, 3, 3), nn.Flatten(), nn.Linear(18, 2),
            ),
            (1, 4, 4),
        ),
    }  # fmt: skip


@pytest.mark.parametrize(("time", "batch"), [(1, 1), (2, 1), (1, 2), (6, 3)])
@pytest.mark.parametrize("kind", sorted(conductances()))
def test_errors_of_excitation_and_of_inhibition_come_back_apart(kind: str, time: int, batch: int) -> None:
    torch.manual_seed(0)
    net, shape = conductances()[kind]
    net = net.double()
    x = 10 * torch.randn(time, batch, *shape, generator=generator(3), dtype=torch.float64)
    y = torch.randn(time, batch, 2, generator=generator(4), dtype=torch.float64)

    def loss_of(made: tuple[Tensor, object], wanted: Tensor) -> Tensor:
        return mse(made[0], wanted)

    twin = copy.deepcopy(net)
    loss_of(twin(x), y).backward()
    expected = gradients(twin)
    assert all(bool(slope.any()) for name, slope in expected.items() if name.endswith("bias"))
    rule = FeedbackAlignment(rng=0)
    rule(net, loss_of, x, y)
    drawn = gradients(net)
    assert not torch.allclose(drawn["0.weight"], expected["0.weight"])
    net.zero_grad()
    rule.feedback = {name: layer.weight.detach().clone() for name, layer in masks.layers(net).items()}
    rule(net, loss_of, x, y)
    torch.testing.assert_close(gradients(net), expected, rtol=1e-12, atol=1e-13)


def test_errors_come_back_through_the_feedback_by_hand() -> None:
    net, x, y = networks()["linear"]
    rule = FeedbackAlignment(rng=0)
    rule(net, mse, x, y)
    with torch.no_grad():
        a1 = net[0](x)
        a2 = net[2](a1.tanh())
        top = 2 * (net[4](a2.relu()) - y) / y.numel()
        middle = (top @ rule.feedback["4"]) * (a2 > 0)
        low = (middle @ rule.feedback["2"]) * (1 - a1.tanh() ** 2)
    torch.testing.assert_close(net[4].weight.grad, top.T @ a2.relu())
    torch.testing.assert_close(net[2].weight.grad, middle.T @ a1.tanh())
    torch.testing.assert_close(net[0].weight.grad, low.T @ x)
    torch.testing.assert_close(net[0].bias.grad, low.sum(0))
    assert sorted(rule.feedback) == ["2", "4"]


def test_weights_matter_only_through_the_forward_pass() -> None:
    """Two output layers that give the same outputs here: the same updates below, which backprop would not give."""
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = torch.randn(2, 3, generator=generator(1), dtype=torch.float64)
    y = torch.randn(2, 2, generator=generator(2), dtype=torch.float64)
    hidden = torch.cat([net[1](net[0](x)), torch.ones(2, 1, dtype=torch.float64)], 1).detach()
    silent = torch.linalg.svd(hidden)[2][2:]  # directions that these two rows do not excite
    twin = copy.deepcopy(net)
    with torch.no_grad():
        shift = torch.ones(2, len(silent), dtype=torch.float64) @ silent
        twin[2].weight += shift[:, :4]
        twin[2].bias += shift[:, 4]
    rule = FeedbackAlignment(rng=0)
    rule(net, mse, x, y)
    rule(twin, mse, x, y)
    torch.testing.assert_close(net[0].weight.grad, twin[0].weight.grad, rtol=1e-10, atol=1e-12)
    one, two = exact(net, x, y)["0.weight"], exact(twin, x, y)["0.weight"]
    assert (one - two).norm() > 0.1 * one.norm()


@pytest.mark.parametrize("draw", range(5))
def test_the_angle_falls_below_ninety_degrees_and_keeps_falling(draw: int) -> None:
    """Lillicrap et al., figure 1: a 30-20-10 linear network learns a linear teacher."""
    rng = generator(draw)
    teacher = torch.randn(10, 30, generator=rng, dtype=torch.float64) / math.sqrt(30)
    net = nn.Sequential(nn.Linear(30, 20, bias=False), nn.Linear(20, 10, bias=False)).double()
    with torch.no_grad():
        for layer in net:
            layer.weight.copy_(0.1 * torch.randn(layer.weight.shape, generator=rng, dtype=torch.float64))
    rule = FeedbackAlignment(scale=0.3, rng=draw)
    angles, losses = [], []
    for _ in range(160):
        x = torch.randn(64, 30, generator=rng, dtype=torch.float64)
        y = x @ teacher.T
        net.zero_grad()
        losses.append(float(rule(net, mse, x, y)))
        with torch.no_grad():
            error = net(x) - y
            cosine = nn.functional.cosine_similarity(error @ rule.feedback["1"], error @ net[1].weight, dim=1)
            angles.append(float(torch.rad2deg(torch.arccos(cosine)).mean()))
            for layer in net:
                layer.weight -= 0.05 * layer.weight.grad
    windows = [sum(angles[start : start + 20]) / 20 for start in (0, 40, 80, 140)]
    assert windows[0] > 75  # random weights know nothing of the feedback
    assert all(later < earlier - 3 for earlier, later in itertools.pairwise(windows))
    assert windows[-1] < 60
    assert sum(losses[-20:]) < 0.3 * sum(losses[:20])


def test_feedback_is_drawn_once_and_decided_by_rng() -> None:
    net, x, y = networks()["linear"]
    before = torch.get_rng_state()
    rules = [FeedbackAlignment(rng=number) for number in (1, 1, 2)]
    for rule in rules:
        rule(net, mse, x, y)
        kept = {name: matrix.clone() for name, matrix in rule.feedback.items()}
        rule(net, mse, x, y)
        assert all(torch.equal(kept[name], rule.feedback[name]) for name in kept)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(rules[0].feedback["2"], rules[1].feedback["2"])
    assert not torch.equal(rules[0].feedback["2"], rules[2].feedback["2"])


def test_feedback_keeps_the_size_of_an_error() -> None:
    net = nn.Sequential(nn.Linear(5, 200), nn.Linear(200, 300))
    for layer, scale, size in ((net, None, 1 / math.sqrt(300)), (net, 0.2, 0.2)):
        rule = FeedbackAlignment(scale=scale, rng=0)
        rule(layer, mse, torch.ones(2, 5), torch.ones(2, 300))
        deviation = float(rule.feedback["1"].std())
        assert abs(deviation / size - 1) < 4 / math.sqrt(2 * 60000)
    sparsify(net, 0.1, layout="uniform", rng=0)
    rule = FeedbackAlignment(rng=0)
    rule(net, mse, torch.ones(2, 5), torch.ones(2, 300))
    entries = int(masks.mask_of(net[1]).mask.sum())
    assert abs(float(rule.feedback["1"].std()) / math.sqrt(200 / entries) - 1) < 4 / math.sqrt(2 * 60000)


@pytest.mark.parametrize("method", ["static", "sign-in"])
@pytest.mark.parametrize("masked", [True, False])
def test_absent_weights_get_exactly_zero_and_feedback_is_masked(method: str, masked: bool) -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    sparsify(net, 0.4, method, optimizer=torch.optim.SGD(net.parameters(), lr=0.1), steps=10, rng=0)
    x = torch.randn(4, 6, generator=generator(), dtype=torch.float64)
    rule = FeedbackAlignment(rng=0, masked=masked)
    rule(net, mse, x, torch.zeros(4, 4, dtype=torch.float64))
    for parameter, mask in masks.active(net).items():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
        if mask is not None:
            assert not parameter.grad[~mask].any()
    with torch.no_grad():
        a = net[0](x)
        top = 2 * net(x) / 16
        back = rule.feedback["2"] * (masks.mask_of(net[2]).mask if masked else 1)
        low = (top @ back) * (1 - a.tanh() ** 2)
    torch.testing.assert_close(net[0].bias.grad, low.sum(0))


def test_rigl_gets_the_gradient_of_absent_weights() -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    topology = sparsify(net, 0.4, "rigl", optimizer=optimizer, steps=100, rng=0)
    rule = FeedbackAlignment(rng=0)
    assert rule.dense_gradients
    first = masks.mask_of(net[0]).mask.clone()
    for _ in range(100):
        rule(net, mse, torch.randn(8, 6, generator=generator()), torch.ones(8, 2))
        optimizer.step(), topology.step(), optimizer.zero_grad()
    assert not torch.equal(first, masks.mask_of(net[0]).mask)


def test_gradients_accumulate_parameters_rest_and_frozen_ones_are_left_out() -> None:
    net, x, y = networks()["linear"]
    net[2].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rule = FeedbackAlignment(rng=0)
    rule(net, mse, x, y)
    once = gradients(net)
    rule(net, mse, x, y)
    torch.testing.assert_close(gradients(net), {name: 2 * value for name, value in once.items()})
    assert "2.weight" not in once
    assert "0.weight" in once  # the error passes a frozen layer
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_the_budget_by_hand() -> None:
    net, x, y = networks()["linear"]
    rule = FeedbackAlignment(rng=0)
    for _ in range(2):
        rule(net, mse, x, y)
    budget = rule.budget
    assert (budget.calls, budget.samples, budget.queries, budget.forward_passes) == (2, 14, 2, 6)
    assert budget.random_bits == 32 * (5 * 4 + 4 * 2)  # the first layer passes no error on


def test_dropout_and_statistics_are_those_of_one_forward_pass() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))
    twin = copy.deepcopy(net)
    x, y = torch.randn(8, 4, generator=generator(1)), torch.randn(8, 3, generator=generator(2))
    noise = torch.get_rng_state()
    loss = FeedbackAlignment(rng=0)(net, mse, x, y)
    after = torch.get_rng_state()
    torch.set_rng_state(noise)
    torch.testing.assert_close(loss, mse(twin(x), y).detach())
    assert torch.equal(after, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(net.buffers(), twin.buffers(), strict=True))


def test_a_loss_that_is_no_number_leaves_no_trace() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rule = FeedbackAlignment(rng=0)
    with pytest.raises(UserError, match="not a number at call 1"):
        rule(net, lambda out, y: mse(out, y) * float("nan"), torch.ones(8, 4), torch.ones(8, 3))
    with pytest.raises(UserError, match="one loss"):
        rule(net, lambda out, y: out - y, torch.ones(8, 4), torch.ones(8, 3))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert net[0].weight.grad is None
    assert rule.budget.calls == 0
    assert not any(module._forward_hooks for module in net.modules())


def test_a_saved_rule_goes_on(tmp_path) -> None:
    net, x, y = networks()["linear"]
    rule = FeedbackAlignment(rng=0)
    rule(net, mse, x, y)
    once = gradients(net)
    net.zero_grad()
    torch.save(rule.state_dict(), tmp_path / "rule.pt")
    other = FeedbackAlignment(rng=5)
    other.load_state_dict(torch.load(tmp_path / "rule.pt", weights_only=True))
    other(net, mse, x, y)
    torch.testing.assert_close(gradients(net), once, rtol=0, atol=0)
    assert other.budget.calls == 2


@pytest.mark.parametrize(
    "layer",
    [nn.LSTM(4, 4), nn.MultiheadAttention(4, 2), nn.ConvTranspose1d(4, 4, 1), nn.Bilinear(4, 4, 4), nn.GRUCell(4, 4)],
)
def test_other_matrices_are_refused_by_name(layer: nn.Module) -> None:
    net = nn.ModuleDict({"first": nn.Linear(4, 4), "odd": layer})
    with pytest.raises(UserError, match="'odd'") as caught:
        FeedbackAlignment()(net, mse, torch.ones(2, 4), torch.ones(2, 4))
    assert type(layer).__name__ in str(caught.value)


def test_another_network_and_bad_sizes_are_refused() -> None:
    rule = FeedbackAlignment(rng=0)
    rule(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)), mse, torch.ones(2, 3), torch.ones(2, 1))
    with pytest.raises(UserError, match="layer '1'"):
        rule(nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 1)), mse, torch.ones(2, 3), torch.ones(2, 1))
    for scale in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="size"):
            FeedbackAlignment(scale=scale)

"""Oracles: autograd, enumeration of all sign vectors, the exact learning curve of linear maps, a plain pass."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import pytest
import torch
from small_rules import entropy, flat, generator, normal, same_weights, squared  # noqa: F401
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.rules import node_perturbation as room
from sparsefire.rules.node_perturbation import NodePerturbation
from sparsefire.sparsity import sparsify


def exact(net: nn.Module, loss_fn: Any, x: Any, y: Any) -> Tensor:
    net.zero_grad()
    loss_fn(net(x), y).mean().backward()
    found = flat(net).clone()
    net.zero_grad()
    return found


def all_signs(monkeypatch: pytest.MonkeyPatch, units: int, rows: int) -> int:
    """Let the rule use every sign vector of so many units once, in another order for each row."""
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=units)), dtype=torch.float64)
    blocks = iter(
        [torch.stack([signs[(number + 3 * row) % len(signs)] for row in range(rows)]) for number in range(len(signs))]
    )
    monkeypatch.setattr(room, "draw", lambda *_: next(blocks))
    return len(signs)


@pytest.mark.parametrize(("sided", "scale", "tolerance"), [("two", 0.7, 1e-10), ("one", 1e-7, 1e-6)])
def test_all_sign_vectors_together_give_the_gradient_of_a_linear_network(
    monkeypatch: pytest.MonkeyPatch, sided: str, scale: float, tolerance: float
) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double()
    x, y = normal(3, 3), normal(3, 2, number=1)
    gradient = exact(net, squared, x, y)
    directions = all_signs(monkeypatch, units=6, rows=3)
    NodePerturbation(scale, sided=sided, directions=directions)(net, squared, x, y)
    torch.testing.assert_close(flat(net), gradient, rtol=tolerance, atol=tolerance)


def test_the_bias_of_a_curved_network_is_of_second_order(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x, y = normal(3, 3), normal(3, 2, number=1)
    gradient = exact(net, squared, x, y)
    errors = []
    for scale in (0.1, 0.05):
        net.zero_grad()
        with monkeypatch.context() as patch:
            directions = all_signs(patch, units=6, rows=3)
            NodePerturbation(scale, directions=directions)(net, squared, x, y)
        errors.append(float((flat(net) - gradient).norm()))
    assert 1e-6 < errors[0] < 0.05 * float(gradient.norm())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


def nets() -> dict[str, tuple[nn.Module, Tensor, Tensor]]:
    y = torch.randint(0, 3, (6,), generator=generator(9))
    masked = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    sparsify(masked, 0.5, rng=0)
    product = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    sparsify(product, 0.5, "sign-in", optimizer=torch.optim.SGD(product.parameters(), lr=0.1), steps=10, rng=0)
    conv = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.GroupNorm(1, 2), nn.Flatten(), nn.Linear(8, 3))
    return {
        "masked": (masked.double(), normal(6, 5), y),
        "product": (product.double(), normal(6, 5), y),
        "conv": (conv.double(), normal(6, 1, 4, 4), y),
    }


@pytest.mark.parametrize("kind", sorted(nets()))
@pytest.mark.parametrize(
    "options",
    [
        {}, {"law": "normal", "sided": "one", "scale": 1e-5}, {"law": "sphere"}, {"law": "uniform"},
        {"layers": "each"}, {"law": "coordinates"},
    ],
    ids=str,
)  # fmt: skip
def test_the_mean_update_is_the_gradient(kind: str, options: dict[str, Any]) -> None:
    net, x, y = nets()[kind]
    gradient = exact(net, entropy, x, y)
    many, runs = 10, 40
    rule = NodePerturbation(**{"scale": 1e-3, "directions": many, "rng": generator(5), **options})
    found = []
    for _ in range(runs):
        net.zero_grad()
        rule(net, entropy, x, y)
        found.append(flat(net).clone())
    draws = torch.stack(found)
    along = draws @ gradient / gradient.norm()  # one number per run: a plain t-interval holds
    error = float(along.std() / math.sqrt(runs))
    assert abs(float(along.mean() - gradient.norm())) < 4 * error
    assert error < 0.3 * float(gradient.norm())
    spread = draws.var(0).sum() / runs  # E|mean − gradient|²
    assert float((draws.mean(0) - gradient).square().sum()) < 3 * float(spread)


def test_one_layer_at_a_time_is_less_noisy() -> None:
    net, x, y = nets()["masked"]
    gradient = exact(net, entropy, x, y)
    errors = {}
    for layers in ("all", "each"):
        rule, found = NodePerturbation(1e-3, layers=layers, rng=generator(1)), 0.0
        for _ in range(60):
            net.zero_grad()
            rule(net, entropy, x, y)
            found += float((flat(net) - gradient).square().sum())
        errors[layers] = found
    assert errors["each"] < errors["all"]


class ManyMaps(nn.Module):
    """As many linear maps as there are rows, so that each row is an independent run."""

    def __init__(self, runs: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(runs, outputs, inputs, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("roi,ri->ro", self.weight, x)


@pytest.mark.parametrize(("law", "factor"), [("normal", 5), ("rademacher", 3)])
def test_the_learning_curve_of_linear_maps_is_exact(law: str, factor: int) -> None:
    """r_k = r_(k−1) (1 − 2a + a² F (n + 2)) + a² F m n σ², F = m + 2 with normal noise and m with signs."""
    runs, inputs, outputs, sigma = 1500, 5, 3, 0.5
    net, draws = ManyMaps(runs, inputs, outputs), generator(3)
    truth = normal(outputs, inputs, number=4)
    truth /= truth.norm()
    rule, risk = NodePerturbation(0.3, law=law, rng=generator(7)), 1.0
    for k in range(1, 151):
        x = torch.randn(runs, inputs, generator=draws, dtype=torch.float64)
        noise = torch.randn(runs, outputs, generator=draws, dtype=torch.float64)
        net.zero_grad()
        rule(net, squared, x, x @ truth.T + sigma * noise)
        rate = 1 / (k + factor * (inputs + 2))
        net.weight.data -= rate * runs * net.weight.grad  # the gradient is that of the mean over rows
        growth = 1 - 2 * rate + rate**2 * factor * (inputs + 2)
        risk = risk * growth + rate**2 * factor * outputs * inputs * sigma**2
    if law == "normal":
        assert risk == pytest.approx(0.1810, abs=1e-4)
    risks = (net.weight.data - truth).square().sum((1, 2))
    assert abs(float(risks.mean()) - risk) < 4 * float(risks.std()) / math.sqrt(runs)
    assert float(risks.std()) / math.sqrt(runs) < 0.03 * risk


@pytest.mark.parametrize("method", ["static", "sign-in"])
def test_absent_weights_get_exactly_zero(method: str) -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    sparsify(net, 0.4, method, optimizer=torch.optim.SGD(net.parameters(), lr=0.1), steps=10, rng=0)
    NodePerturbation(rng=0)(net, squared, torch.ones(4, 6), torch.zeros(4, 2))
    for parameter, mask in masks.active(net).items():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
        if mask is not None:
            assert not parameter.grad[~mask].any()


def test_absent_weights_get_an_estimate_where_a_topology_asks() -> None:
    assert NodePerturbation.dense_gradients
    net = nn.Sequential(nn.Linear(6, 5))
    sparsify(net, 0.4, rng=0)
    own = masks.mask_of(net[0])
    own.dense_gradient = True
    NodePerturbation(rng=0)(net, squared, torch.ones(4, 6), torch.zeros(4, 5))
    assert masks.own_parameter(net[0]).grad[~own.mask].any()


def test_estimates_accumulate_and_frozen_parameters_are_left_out() -> None:
    net, x, y = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double(), normal(5, 3), normal(5, 2)
    net[0].weight.requires_grad_(False)
    single = []
    for number in (1, 2):
        net.zero_grad()
        NodePerturbation(rng=number)(net, squared, x, y)
        single.append(flat(net).clone())
    net.zero_grad()
    for number in (1, 2):
        NodePerturbation(rng=number)(net, squared, x, y)
    torch.testing.assert_close(flat(net), single[0] + single[1])
    assert net[0].weight.grad is None
    assert net[0].bias.grad.any()


def normed() -> dict[str, tuple[nn.Module, Tensor]]:
    return {
        "batch": (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)), normal(8, 4)),
        "dropout below": (
            nn.Sequential(
                nn.Dropout(0.5), nn.Linear(4, 6), nn.BatchNorm1d(6, momentum=None), nn.Dropout(0.3), nn.Linear(6, 3)
            ),
            normal(8, 4),
        ),
        "instance": (
            nn.Sequential(nn.Conv1d(2, 3, 3), nn.InstanceNorm1d(3, track_running_stats=True), nn.Flatten()),
            normal(8, 2, 6),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("kind", sorted(normed()))
def test_buffers_and_generators_move_as_in_a_plain_forward(kind: str) -> None:
    net, x = normed()[kind]
    net.double()
    twin, y = copy.deepcopy(net), normal(*net.eval()(x).shape, number=2)
    net.train()
    rule = NodePerturbation(1e-3, directions=2, layers="each", rng=0)
    before = {name: value.clone() for name, value in net.named_parameters()}
    for number in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(number)
            loss = rule(net, squared, x, y)
            after = torch.get_rng_state()
            torch.random.default_generator.manual_seed(number)
            expected = squared(twin(x), y).mean()
            assert torch.equal(after, torch.get_rng_state())
        torch.testing.assert_close(loss, expected.detach())
        assert not loss.requires_grad
        for (name, a), b in zip(net.named_buffers(), twin.buffers(), strict=True):
            assert torch.equal(a, b), name
    assert all(torch.equal(before[name], value) for name, value in net.named_parameters())


def test_the_loss_of_an_example_is_what_it_is_credited_for_under_batch_norm() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double()
    x, y = normal(6, 3), normal(6, 2, number=1)
    first = net[0](x).detach().requires_grad_()
    losses = squared(net[3](torch.tanh(net[1](first))), y)
    own = torch.stack([torch.autograd.grad(losses[b], first, retain_graph=True)[0][b] for b in range(6)])
    rule, found = NodePerturbation(1e-3, directions=200, layers="each", rng=0), []
    for _ in range(10):
        net.zero_grad()
        rule(net, squared, x, y)
        found.append(net[0].weight.grad.clone())
    draws = torch.stack(found)
    score = (draws.mean(0) - own.T @ x / 6) / (draws.std(0) / math.sqrt(10))
    assert float(score.abs().max()) < 6.5  # 12 entries on 9 degrees of freedom


def test_all_queries_share_the_dropout_mask() -> None:
    net = nn.Sequential(nn.Linear(4, 30), nn.Dropout(0.5), nn.Linear(30, 1)).double()
    x, y = normal(5, 4), normal(5, 1, number=1)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(3)
        gradient = exact(net, squared, x, y)
        found, runs = [], 60
        for number in range(runs):
            torch.random.default_generator.manual_seed(3)
            net.zero_grad()
            NodePerturbation(1e-3, directions=5, rng=number)(net, squared, x, y)
            found.append(float(flat(net) @ gradient / gradient.norm()))
    draws = torch.tensor(found)
    assert abs(float(draws.mean() - gradient.norm())) < 4 * float(draws.std()) / math.sqrt(runs)
    assert float(draws.std()) < 3 * float(gradient.norm())  # other masks in each query would give 1/scale more


@pytest.mark.parametrize(
    ("options", "passes", "bits"),
    [
        ({}, 3, 5 * 6), ({"sided": "one"}, 2, 5 * 6), ({"directions": 4}, 9, 4 * 5 * 6),
        ({"layers": "each", "law": "normal"}, 5, 32 * 5 * 6),
        ({"layers": "each", "sided": "one", "directions": 3}, 7, 3 * 5 * 6),
    ],
)  # fmt: skip
def test_the_budget_counts(options: dict[str, Any], passes: int, bits: int) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    seen = []
    net.register_forward_hook(lambda *_: seen.append(1))
    rule = NodePerturbation(**options, rng=0)
    for _ in range(2):
        rule(net, squared, torch.ones(5, 3), torch.zeros(5, 2))
    assert len(seen) == 2 * passes
    assert (rule.budget.calls, rule.budget.samples, rule.budget.queries) == (2, 10, 2 * 5 * passes)
    assert (rule.budget.forward_passes, rule.budget.random_bits) == (2 * (passes + 1), 2 * bits)


def test_states_are_taken_and_put_back() -> None:
    net, x, y = nn.Linear(3, 2).double(), normal(5, 3), normal(5, 2)
    rule = NodePerturbation(rng=0)
    rule(net, squared, x, y)
    state = copy.deepcopy(rule.state_dict())
    found = []
    for again in (rule, NodePerturbation(rng=5)):
        again.load_state_dict(state)
        net.zero_grad()
        again(net, squared, x, y)
        found.append(flat(net).clone())
        assert again.budget.calls == 2
    assert torch.equal(*found)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.one(a) - self.two(b)


def test_tuples_and_mappings_are_the_same_inputs() -> None:
    net, found = Two(), []
    a, b = torch.ones(4, 3), torch.full((4, 3), 2.0)
    for x in ((a, b), {"b": b, "a": a}):
        net.zero_grad()
        NodePerturbation(rng=0)(net, squared, x, torch.ones(4, 2))
        found.append(flat(net).clone())
    assert torch.equal(*found)
    assert found[0].any()


@pytest.mark.parametrize("when", [0, 1, 2])
def test_losses_that_are_no_numbers_leave_everything_as_it_was(when: int) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    count = iter(range(9))

    def loss_fn(output: Tensor, y: Tensor) -> Tensor:
        return squared(output, y) * (float("nan") if next(count) == when else 1.0)

    with pytest.raises(UserError, match="not a number at call 1"):
        NodePerturbation(rng=0)(net, loss_fn, normal(5, 3).float(), torch.zeros(5, 2))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert net[1].track_running_stats
    assert not any(module._forward_hooks for module in net)


def test_what_cannot_be_served_is_refused() -> None:
    net, x, y = nn.Linear(2, 3), torch.ones(4, 2), torch.zeros(4, 3)
    for wrong in (lambda out, y: squared(out, y).mean(), lambda out, y: out - y, lambda out, y: 1.0):
        with pytest.raises(UserError, match="one loss per row"):
            NodePerturbation(rng=0)(net, wrong, x, y)
    with pytest.raises(UserError, match=r"layer '0.self_attn' \(MultiheadAttention\)"):
        NodePerturbation(rng=0)(nn.Sequential(nn.TransformerEncoderLayer(4, 2)), squared, torch.ones(2, 3, 4), y)
    assert net.weight.grad is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, "size"), ({"law": "cauchy"}, "no law"), ({"sided": "both"}, "one side or two"),
        ({"directions": 0}, "at least one direction"), ({"layers": "first"}, "all layers or on each"),
    ],
)  # fmt: skip
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        NodePerturbation(**options)

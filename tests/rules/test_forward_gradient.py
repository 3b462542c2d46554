"""Oracles: autograd, enumeration of all 2^N sign vectors, the closed-form variances, a plain forward's buffers."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from small_rules import same_weights  # noqa: F401
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.rules import Backprop, ForwardGradient
from sparsefire.rules.asking import Batch
from sparsefire.sparsity import sparsify


def generator(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def flat(net: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters()])


def small() -> tuple[nn.Sequential, Tensor, Tensor]:
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    for parameter in net.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator(1), dtype=torch.float64))
    return (
        net,
        torch.randn(5, 2, generator=generator(2), dtype=torch.float64),
        torch.randn(5, 1, generator=generator(3), dtype=torch.float64),
    )


def fixed_directions(monkeypatch: pytest.MonkeyPatch, vectors: Tensor) -> None:
    """Let the rule use these directions, [K, N] over all parameters, where they are active."""

    def blocks(self: ForwardGradient, batch: Batch) -> Iterator[Tensor]:
        pieces, begin = [], 0
        for name, parameter in batch.active.parameters.items():
            piece, place = vectors[:, begin : begin + parameter.numel()], batch.active.places[name]
            pieces.append(piece if place is None else piece[:, place])
            begin += parameter.numel()
        yield from torch.cat(pieces, dim=1).split(self.chunk or len(vectors))

    monkeypatch.setattr(ForwardGradient, "_blocks", blocks)


def exact(net: nn.Module, x: Any, y: Any) -> Tensor:
    net.zero_grad()
    Backprop()(net, nn.functional.mse_loss, x, y)
    gradient = flat(net).clone()
    net.zero_grad()
    return gradient


def test_all_sign_vectors_together_give_the_gradient_and_n_minus_one_the_variance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, x, y = small()
    gradient = exact(net, x, y)
    size = gradient.numel()
    assert size == 9
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=size)), dtype=torch.float64)
    fixed_directions(monkeypatch, signs)
    ForwardGradient(directions=len(signs))(net, nn.functional.mse_loss, x, y)
    torch.testing.assert_close(flat(net), gradient, rtol=1e-12, atol=1e-12)
    errors = []
    for one in signs:
        net.zero_grad()
        fixed_directions(monkeypatch, one[None])
        ForwardGradient()(net, nn.functional.mse_loss, x, y)
        slope = torch.dot(gradient, one)
        torch.testing.assert_close(flat(net), slope * one, rtol=1e-10, atol=1e-12)  # (∇L · v) v
        errors.append((flat(net) - gradient).square().sum())
    variance = torch.stack(errors).mean() / gradient.square().sum()
    assert variance.item() == pytest.approx(size - 1, rel=1e-10)


@pytest.mark.parametrize(("law", "extra"), [("rademacher", -1), ("normal", 1)])
@pytest.mark.parametrize("directions", [1, 5])
def test_the_relative_variance_is_n_minus_or_plus_one_over_k(law: str, extra: int, directions: int) -> None:
    net = nn.Linear(6, 1, bias=False)
    x, y = torch.randn(6, 6, generator=generator(0)), torch.randn(6, 1, generator=generator(1))
    gradient = exact(net, x, y)
    rule = ForwardGradient(directions, law, generator(7))
    errors, total, runs = [], torch.zeros(6), 1200
    for _ in range(runs):
        net.zero_grad()
        rule(net, nn.functional.mse_loss, x, y)
        total += flat(net)
        errors.append(float((flat(net) - gradient).square().sum() / gradient.square().sum()))
    mean, error = np.mean(errors), np.std(errors, ddof=1) / math.sqrt(runs)
    assert abs(mean - (6 + extra) / directions) < stats.norm.isf(1e-6) * error
    assert error / mean < 0.08  # the interval is narrow enough to tell −1 from +1
    assert float((total / runs - gradient).norm() / gradient.norm()) < 5 * math.sqrt(7 / directions / runs)


def test_with_masks_n_counts_active_parameters_only(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Linear(4, 3, bias=False)).double()
    sparsify(net, 0.5, rng=0)
    x = torch.randn(5, 4, generator=generator(0), dtype=torch.float64)
    y = torch.randn(5, 3, generator=generator(1), dtype=torch.float64)
    gradient = exact(net, x, y)
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=12)), dtype=torch.float64)
    errors = []
    for one in signs[::41]:
        net.zero_grad()
        fixed_directions(monkeypatch, one[None])
        ForwardGradient()(net, nn.functional.mse_loss, x, y)
        errors.append((flat(net) - gradient).square().sum())
        # |(g·v) v − g|² = (g·v)²(N − 2) + |g|² for signs on N active entries
        slope = torch.dot(gradient, one)
        torch.testing.assert_close(errors[-1], slope**2 * (6 - 2) + gradient.square().sum())


@pytest.mark.parametrize("law", ["rademacher", "normal"])
@pytest.mark.parametrize("method", ["static", "sign-in"])
def test_absent_weights_get_exactly_zero(law: str, method: str) -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sparsify(net, 0.4, method, optimizer=optimizer, steps=10, rng=0)
    ForwardGradient(3, law, generator())(net, nn.functional.mse_loss, torch.ones(4, 6), torch.zeros(4, 2))
    for parameter, mask in masks.active(net).items():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
        if mask is not None:
            assert not parameter.grad[~mask].any()


def test_estimates_accumulate_and_frozen_parameters_are_left_out() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    net[0].weight.requires_grad_(False)
    x, y = torch.ones(5, 3), torch.zeros(5, 1)
    one, two = [], []
    for number in (1, 2):
        net.zero_grad()
        ForwardGradient(2, rng=generator(number))(net, nn.functional.mse_loss, x, y)
        one.append([p.grad.clone() for p in net.parameters() if p.requires_grad])
    net.zero_grad()
    for number in (1, 2):
        ForwardGradient(2, rng=generator(number))(net, nn.functional.mse_loss, x, y)
    two = [p.grad for p in net.parameters() if p.requires_grad]
    for a, b, both in zip(*one, two, strict=True):
        torch.testing.assert_close(a + b, both)
    assert net[0].weight.grad is None


def test_parameters_themselves_do_not_move() -> None:
    net, x, y = small()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    loss = ForwardGradient(3, rng=generator())(net, nn.functional.mse_loss, x, y)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    torch.testing.assert_close(loss, nn.functional.mse_loss(net(x), y).detach())
    assert not loss.requires_grad


@pytest.mark.parametrize("chunk", [None, 1, 3, 100])
def test_chunks_only_bound_the_memory(chunk: int | None) -> None:
    net, x, y = small()
    ForwardGradient(7, rng=generator(), chunk=chunk)(net, nn.functional.mse_loss, x, y)
    got = flat(net).clone()
    net.zero_grad()
    ForwardGradient(7, rng=generator())(net, nn.functional.mse_loss, x, y)
    torch.testing.assert_close(got, flat(net), rtol=1e-12, atol=1e-12)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.layer(a) - self.layer(b)


def test_tuples_and_mappings_are_the_same_inputs() -> None:
    net = Two()
    a, b = torch.ones(4, 3), torch.full((4, 3), 2.0)
    found = []
    for x in ((a, b), {"b": b, "a": a}):
        net.zero_grad()
        ForwardGradient(3, rng=generator())(net, nn.functional.mse_loss, x, torch.ones(4, 2))
        found.append(net.layer.weight.grad.clone())
    assert torch.equal(*found)
    assert found[0].any()


def test_tied_weights_get_one_estimate() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.two.weight = self.one.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.two(torch.tanh(self.one(x)))

    net = Tied().double()
    x, y = torch.ones(3, 2, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64)
    gradient = exact(net, x, y)
    total = torch.zeros(4, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4)), dtype=torch.float64)
        fixed_directions(patch, signs)
        ForwardGradient(16)(net, nn.functional.mse_loss, x, y)
        total += flat(net)
    torch.testing.assert_close(total, gradient, rtol=1e-12, atol=1e-12)


def normed() -> dict[str, tuple[nn.Module, Tensor, Tensor]]:
    return {
        "batch": (
            nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)),
            torch.randn(8, 4, generator=generator(5)), torch.randn(8, 3, generator=generator(6)),
        ),
        "cumulative": (
            nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, momentum=None), nn.ReLU(), nn.Linear(6, 3)),
            torch.randn(8, 4, generator=generator(5)), torch.randn(8, 3, generator=generator(6)),
        ),
        "dropout below": (
            nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 3)),
            torch.randn(8, 4, generator=generator(5)), torch.randn(8, 3, generator=generator(6)),
        ),
        "instance": (
            nn.Sequential(nn.Conv1d(2, 3, 3), nn.InstanceNorm1d(3, track_running_stats=True), nn.Flatten()),
            torch.randn(8, 2, 6, generator=generator(5)), torch.randn(8, 12, generator=generator(6)),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("kind", sorted(normed()))
def test_buffers_move_once_as_in_a_plain_forward(kind: str) -> None:
    net, x, y = normed()[kind]
    twin = copy.deepcopy(net)
    rule = ForwardGradient(5, rng=generator(), chunk=2)
    for number in range(3):
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(number)
            loss = rule(net, nn.functional.mse_loss, x, y)
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(number)
            expected = nn.functional.mse_loss(twin(x), y)
        torch.testing.assert_close(loss, expected.detach())  # the same dropout noise, the batch's own statistics
        for (name, a), b in zip(net.named_buffers(), twin.buffers(), strict=True):
            assert torch.equal(a, b), name
    assert all(m.track_running_stats for m in net.modules() if hasattr(m, "track_running_stats"))
    assert list(net.state_dict()) == list(twin.state_dict())


def test_buffers_rest_in_evaluation_and_after_an_error() -> None:
    net, x, y = normed()["batch"]
    net.eval()
    before = {name: value.clone() for name, value in net.named_buffers()}
    ForwardGradient(2, rng=generator())(net, nn.functional.mse_loss, x, y)
    assert all(torch.equal(before[name], value) for name, value in net.named_buffers())
    net.train()
    with pytest.raises(UserError):
        ForwardGradient(2, rng=generator())(net, lambda out, y: out - y, x, y)
    assert net[1].track_running_stats
    assert torch.is_tensor(net[1].running_mean)


@pytest.mark.parametrize("chunk", [None, 1, 2])
@pytest.mark.parametrize("norm", [False, True])
def test_all_directions_share_one_dropout_mask(chunk: int | None, norm: bool) -> None:
    """Directions that are all the same must then have the same slope, that of backprop under the same noise."""
    net = nn.Sequential(
        nn.Linear(6, 40), nn.BatchNorm1d(40) if norm else nn.Identity(), nn.Dropout(0.5), nn.Linear(40, 1)
    )
    net.double()
    x = torch.randn(8, 6, generator=generator(1), dtype=torch.float64)
    y = torch.randn(8, 1, generator=generator(2), dtype=torch.float64)
    twin = copy.deepcopy(net)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(3)
        gradient = exact(twin, x, y)
        after = torch.get_rng_state()
    size = gradient.numel()
    vector = torch.randn(size, generator=generator(4), dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        fixed_directions(patch, vector.expand(5, size))
        torch.random.default_generator.manual_seed(3)
        ForwardGradient(5, chunk=chunk)(net, nn.functional.mse_loss, x, y)
        assert torch.equal(torch.get_rng_state(), after)  # one forward's worth of numbers, as a plain loop draws
    torch.testing.assert_close(flat(net), torch.dot(gradient, vector) * vector, rtol=1e-9, atol=1e-10)


def test_own_generators_leave_the_global_one_alone_and_decide_the_result() -> None:
    net, x, y = small()
    before = torch.get_rng_state()
    found = []
    for number in (1, 1, 2):
        net.zero_grad()
        ForwardGradient(3, rng=generator(number))(net, nn.functional.mse_loss, x, y)
        found.append(flat(net).clone())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_vector_losses_are_refused() -> None:
    net = nn.Linear(2, 1)
    with pytest.raises(UserError, match="one loss"):
        ForwardGradient(2)(net, lambda out, y: (out - y).square(), torch.ones(4, 2), torch.zeros(4, 1))
    assert net.weight.grad is None


def test_rigl_asks_for_what_a_forward_gradient_does_not_see() -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    topology = sparsify(net, 0.4, "rigl", optimizer=optimizer, steps=100, rng=0)
    rule = ForwardGradient(2, rng=generator())
    assert not rule.dense_gradients

    def train() -> None:
        for _ in range(100):
            rule(net, nn.functional.mse_loss, torch.ones(4, 6), torch.zeros(4, 2))
            optimizer.step(), topology.step(), optimizer.zero_grad()

    with pytest.raises(UserError, match="absent weights") as caught:
        train()
    assert "rigl" in caught.value.came


def test_options_are_checked() -> None:
    with pytest.raises(UserError, match="at least one direction"):
        ForwardGradient(0)
    with pytest.raises(UserError, match="no law"):
        ForwardGradient(law="cauchy")
    with pytest.raises(UserError, match="chunk"):
        ForwardGradient(chunk=0)


@pytest.mark.parametrize("fused", [False, True])
def test_gradients_lie_in_memory_as_their_parameters_do(fused: bool) -> None:
    net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    twin = copy.deepcopy(net).to(memory_format=torch.contiguous_format)
    x, y = torch.randn(2, 3, 5, 5, generator=generator(1)), torch.zeros(2, 4, 3, 3)
    for one in (net, twin):
        ForwardGradient(4, rng=0)(one, nn.functional.mse_loss, x, y)
        assert one.weight.grad.stride() == one.weight.stride()
        torch.optim.AdamW(one.parameters(), lr=0.1, fused=fused).step()
    torch.testing.assert_close(net.weight, twin.weight)

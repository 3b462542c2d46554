"""Oracles: steps taken one by one, the exact risk of FGD(l) on the sphere."""

import copy
import math

import pytest
import torch
from small_rules import exact, flat, generator, small
from torch import nn

from sparsefire.errors import UserError
from sparsefire.rules import (
    Backprop,
    FeedbackAlignment,
    ForwardGradient,
    LocalLosses,
    MeZO,
    PredictiveCoding,
    Repeated,
)
from sparsefire.sparsity import sparsify


def test_sgd_ends_where_the_steps_end():
    net, x, y = small()
    twin = copy.deepcopy(net)
    rule = Repeated(ForwardGradient(rng=generator(1)), times=4, step=0.1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    rule(net, nn.functional.mse_loss, x, y)
    optimizer.step()
    inner, other = ForwardGradient(rng=generator(1)), torch.optim.SGD(twin.parameters(), lr=0.1)
    for _ in range(4):
        inner(twin, nn.functional.mse_loss, x, y)
        other.step()
        other.zero_grad()
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_a_repeated_gradient_of_one_step_is_the_gradient_and_adds_up():
    net, x, y = small()
    gradient = exact(net, x, y)
    start = [p.detach().clone() for p in net.parameters()]
    rule = Repeated(Backprop(), times=1, step=0.3)
    for number in (1, 2):
        rule(net, nn.functional.mse_loss, x, y)
        torch.testing.assert_close(flat(net), number * gradient, rtol=1e-9, atol=1e-11)
    assert all(torch.equal(p, s) for p, s in zip(net.parameters(), start, strict=True))


def test_budgets_count_each_row_once():
    net, x, y = small()
    rule = Repeated(ForwardGradient(directions=2, rng=0), times=3)
    rule(net, nn.functional.mse_loss, x, y)
    rule(net, nn.functional.mse_loss, x, y)
    assert (rule.budget.calls, rule.budget.samples, rule.budget.queries) == (2, 10, 12)
    assert rule.budget.random_bits == 6 * 2 * 9


@pytest.mark.slow
def test_the_exact_risk_of_repeated_forward_gradients():
    """T8: inputs on the sphere of radius √d, l = 3, α = 1/(l (i + k₀)): r by its recursion, to 4 standard errors."""
    d, times, steps, runs = 5, 3, 20, 120
    k0 = 2 * d
    rng = generator(3)
    expected, found = 1.0, []
    for i in range(steps):
        a = 1 / (times * (i + 1 + k0))
        m1, m2 = 1 - a * d, 1 - 2 * a * d + 3 * a * a * d * d
        b = (1 - 2 * m1**times + m2**times) / d + a * (d - 1) * (1 - m2**times) / (2 - 3 * a * d)
        expected = expected * (1 - 2 / d * (1 - m1**times) + b) + 0.25 * b
    for run in range(runs):
        net = nn.Linear(d, 1, bias=False).double()
        net.weight.data.fill_(1 / math.sqrt(d))
        rule = Repeated(ForwardGradient(law="normal", rng=generator(run)), times=times)
        for i in range(steps):
            x = torch.randn(1, d, generator=rng, dtype=torch.float64)
            x = x * math.sqrt(d) / x.norm()
            y = 0.5 * torch.randn(1, 1, generator=rng, dtype=torch.float64)
            rule.step = 1 / (times * (i + 1 + k0))
            net.zero_grad()
            rule(net, lambda out, y: 0.5 * (out - y).square().mean(), x, y)
            net.weight.data -= rule.step * net.weight.grad
        found.append(float(net.weight.detach().square().sum()))
    found = torch.tensor(found)
    assert abs(float(found.mean()) - expected) < 4 * float(found.std()) / math.sqrt(runs)


def test_masks_hold():
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    sparsify(net, 0.4, rng=0)
    Repeated(ForwardGradient(rng=0), times=3)(net, nn.functional.mse_loss, torch.ones(4, 6), torch.zeros(4, 2))
    from sparsefire import masks

    for parameter, mask in masks.active(net).items():
        if mask is not None:
            assert not parameter.grad[~mask].any()


def test_weights_and_gradients_are_back_after_an_error():
    net, x, y = small()
    Backprop()(net, nn.functional.mse_loss, x, y)
    held, start = flat(net).clone(), [p.detach().clone() for p in net.parameters()]
    with pytest.raises(UserError, match="not a number"):
        Repeated(ForwardGradient(rng=0), times=50, step=1e3)(net, lambda out, y: (out - y).square().mean().exp(), x, y)
    assert torch.equal(flat(net), held)
    assert all(torch.equal(p, s) for p, s in zip(net.parameters(), start, strict=True))


def test_options_are_checked():
    with pytest.raises(UserError, match="at least once"):
        Repeated(times=0)
    with pytest.raises(UserError, match="no gradient"):
        Repeated(MeZO())


@pytest.mark.parametrize("inner", [FeedbackAlignment(rng=0), LocalLosses(rng=0), PredictiveCoding(variant="z-il")])
def test_local_rules_can_be_repeated(inner):
    net, x, y = small()
    Repeated(inner, times=2, step=0.1)(net, nn.functional.mse_loss, x, y)
    assert float(flat(net).abs().min()) > 0


def test_statistics_move_once_and_dropout_is_one_mask():
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 1))
    twin = copy.deepcopy(net)
    x, y = torch.randn(6, 4, generator=generator(1)), torch.randn(6, 1, generator=generator(2))
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(2)
        Repeated(ForwardGradient(rng=0), times=3)(net, nn.functional.mse_loss, x, y)
        after = torch.get_rng_state()
        torch.random.default_generator.manual_seed(2)
        twin(x)
        assert torch.equal(after, torch.get_rng_state())
    for a, b in zip(net.buffers(), twin.buffers(), strict=True):
        assert torch.equal(a, b)


def test_weights_of_several_types_come_back_bit_for_bit():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4).bfloat16(), nn.Linear(4, 1)

        def forward(self, x):
            return self.b(torch.tanh(self.a(x.bfloat16())).float())

    mixed = Mixed()
    start = [p.detach().clone() for p in mixed.parameters()]
    Repeated(ForwardGradient(rng=0), times=2)(mixed, nn.functional.mse_loss, torch.ones(2, 3), torch.ones(2, 1))
    assert all(torch.equal(p, s) for p, s in zip(mixed.parameters(), start, strict=True))


def test_rigl_is_refused():
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    topology = sparsify(net, 0.4, "rigl", optimizer=optimizer, steps=100, rng=0)
    rule = Repeated(Backprop(), times=2)

    def train():
        for _ in range(100):
            rule(net, nn.functional.mse_loss, torch.ones(4, 6), torch.zeros(4, 2))
            optimizer.step(), topology.step(), optimizer.zero_grad()

    with pytest.raises(UserError, match="absent weights"):
        train()

"""Oracle: local rules, against their formulas written out here with autograd and fixed points.

Feedback alignment doi:10.1038/ncomms13276; direct feedback arXiv:1609.01596; local losses arXiv:1901.06656;
forward-forward arXiv:2212.13345; equilibrium propagation arXiv:1602.05179, arXiv:2006.03824; predictive coding
doi:10.1162/NECO_a_00949.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import sparsefire as sf

mse = nn.functional.mse_loss


def half(out: Tensor, y: Tensor) -> Tensor:
    return (out - y).square().sum(1).mean() / 2


def chain(widths: list[int], number: int = 0, last: bool = False, gain: float = 1.0) -> nn.Sequential:
    draws = torch.Generator().manual_seed(number)
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layer = nn.Linear(before, after).double()
        layer.weight.data.copy_(gain * torch.randn(after, before, generator=draws) / math.sqrt(before))
        layer.bias.data.copy_(0.3 * torch.randn(after, generator=draws))
        modules += [layer, nn.Tanh()]
    return nn.Sequential(*modules[: None if last else -1])


def batch(rows: int, inputs: int, outputs: int, number: int = 1) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(number)
    return torch.randn(rows, inputs, generator=draws).double(), torch.randn(rows, outputs, generator=draws).double()


def grads(rule: Any, net: nn.Module, loss: Any, x: Tensor, y: Tensor) -> list[Tensor]:
    net.zero_grad()
    rule(net, loss, x, y)
    return [p.grad.clone() for p in net.parameters()]


def exact(net: nn.Module, loss: Any, x: Tensor, y: Tensor) -> list[Tensor]:
    return [g.clone() for g in torch.autograd.grad(loss(net(x), y), list(net.parameters()))]


def assert_same(found: list[Tensor], wanted: list[Tensor], tolerance: float = 1e-9) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def distance(found: list[Tensor], wanted: list[Tensor]) -> float:
    return math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(found, wanted, strict=True)))


def linear(net: nn.Sequential) -> list[nn.Linear]:
    return [module for module in net if isinstance(module, nn.Linear)]


# ---------------------------------------------------------------- fixed feedback


def by_hand(net: nn.Sequential, x: Tensor, y: Tensor, back: Any) -> list[Tensor]:
    """Gradients of tanh layers where ``back(l, deltas)`` brings the error to the output of hidden layer l."""
    flows, layers = [x], linear(net)
    for i, layer in enumerate(layers):
        a = layer(flows[-1]).detach()
        flows.append(a.tanh() if i < len(layers) - 1 else a)
    deltas = {len(layers) - 1: (flows[-1] - y) / len(x)}
    for i in reversed(range(len(layers) - 1)):
        deltas[i] = back(i, deltas) * (1 - flows[i + 1] ** 2)
    return [part for i in range(len(layers)) for part in (deltas[i].T @ flows[i], deltas[i].sum(0))]


@settings(max_examples=15, deadline=None)
@given(widths=st.lists(st.integers(1, 5), min_size=3, max_size=5), rows=st.integers(1, 4), number=st.integers(0, 10**6))
def test_feedback_goes_the_stated_way(widths: list[int], rows: int, number: int) -> None:
    """δ_{l−1} = (δ_l B_l) ⊙ φ', or δ_l = (e B_l) ⊙ φ' directly; with B_l = W_l the first is back-propagation."""
    net, (x, y) = chain(widths, number), batch(rows, widths[0], widths[-1], number)
    rule = sf.rules.FeedbackAlignment(rng=number)
    found = grads(rule, net, half, x, y)
    assert_same(found, by_hand(net, x, y, lambda i, deltas: deltas[i + 1] @ rule.feedback[str(2 * (i + 1))]))
    for i in range(1, len(widths) - 1):
        rule.feedback[str(2 * i)] = linear(net)[i].weight.detach().clone()
    assert_same(grads(rule, net, half, x, y), exact(net, half, x, y))
    direct = sf.rules.DirectFeedbackAlignment(rng=number)
    found = grads(direct, net, half, x, y)
    assert_same(found, by_hand(net, x, y, lambda i, deltas: deltas[len(widths) - 2] @ direct.feedback[str(2 * i)]))
    assert rule.budget.forward_passes == 6
    assert direct.budget.forward_passes == 3


def test_feedback_is_fixed_and_absent_where_weights_are() -> None:
    net, (x, y) = chain([6, 8, 4, 2]), batch(5, 6, 2)
    sf.sparsify(net, density=0.4, layout="uniform", rng=0)
    masks = sf.sparsity.masks(net)
    for masked in (True, False):
        rule = sf.rules.FeedbackAlignment(rng=0, masked=masked)
        grads(rule, net, half, x, y)
        first = {name: matrix.clone() for name, matrix in rule.feedback.items()}
        net.zero_grad()
        rule(net, half, x, y)
        used = {name: first[name] * (masks[name] if masked else 1) for name in first}
        wanted = by_hand(net, x, y, lambda i, deltas, used=used: deltas[i + 1] @ used[str(2 * (i + 1))])
        for i, layer in enumerate(linear(net)):
            torch.testing.assert_close(layer.bias.grad, wanted[2 * i + 1])
        for name, matrix in rule.feedback.items():
            assert torch.equal(matrix, first[name])


@pytest.mark.parametrize("name", ["FeedbackAlignment", "DirectFeedbackAlignment"])
def test_angle_falls_below_ninety_degrees_and_further(name: str) -> None:
    """A linear network learns a linear teacher: its hidden update turns towards that of back-propagation."""
    angles = []
    for number in range(5):
        draws = torch.Generator().manual_seed(number)
        x = torch.randn(200, 8, generator=draws).double()
        y = x @ torch.randn(8, 4, generator=draws).double()
        net = nn.Sequential(nn.Linear(8, 16, bias=False), nn.Linear(16, 4, bias=False)).double()
        for layer in net:
            layer.weight.data.copy_(0.05 * torch.randn(layer.weight.shape, generator=draws))
        rule = getattr(sf.rules, name)(rng=number)
        path = []
        for _ in range(80):
            found, wanted = grads(rule, net, half, x, y)[0], exact(net, half, x, y)[0]
            cosine = nn.functional.cosine_similarity(found.flatten(), wanted.flatten(), dim=0)
            path.append(math.degrees(math.acos(float(cosine.clamp(-1, 1)))))
            with torch.no_grad():
                for p in net.parameters():
                    p -= 0.004 * p.grad
        angles.append(path)
    mean = torch.tensor(angles).mean(0)
    assert abs(mean[0] - 90) < 10
    assert torch.tensor(angles)[:, -1].max() < 60
    assert (mean[10:51:10] < mean[0:41:10]).all()


# ---------------------------------------------------------------- losses of one's own


def test_local_losses_do_not_cross_blocks() -> None:
    """Each hidden block follows its own read-out, which itself takes one step; the last block follows the output."""
    net, (x, y) = chain([5, 6, 4, 3]), batch(7, 5, 3)
    rule = sf.rules.LocalLosses(rate=0.1, optimizer="sgd", rng=0)
    grads(rule, net, mse, x, y)
    kept = {name: (w.detach().clone(), b.detach().clone()) for name, (w, b) in rule.readouts.items()}
    found = grads(rule, net, mse, x, y)
    flow, wanted = x, []
    for i, layer in enumerate(linear(net)):
        h = layer(flow).tanh() if i < 2 else layer(flow)
        if i < 2:
            w, b = (part.requires_grad_() for part in kept[str(2 * i)])
            own = torch.autograd.grad(mse(h @ w.T + b, y), [layer.weight, layer.bias, w, b])
            assert_same([part.detach() for part in rule.readouts[str(2 * i)]], [w - 0.1 * own[2], b - 0.1 * own[3]])
        else:
            own = torch.autograd.grad(mse(h, y), [layer.weight, layer.bias])
        wanted += own[:2]
        flow = h.detach()
    assert_same(found, wanted)
    linear(net)[2].weight.data.mul_(-7.0)
    other = sf.rules.LocalLosses(rate=0.1, optimizer="sgd", rng=0)
    again = grads(other, net, mse, x, y)
    net.zero_grad()
    linear(net)[2].weight.data.mul_(3.0)
    third = grads(sf.rules.LocalLosses(rate=0.1, optimizer="sgd", rng=0), net, mse, x, y)
    assert_same(again[:4], third[:4], 1e-15)
    assert distance(again[4:], third[4:]) > 1e-3


@pytest.mark.parametrize("goodness", ["sum", "mean"])
def test_forward_forward_is_the_gradient_of_its_own_loss(goodness: str) -> None:
    """Two classes leave one wrong label, so nothing is random; blocks see inputs of unit mean square, no gradient."""
    net, (x, _) = chain([6, 5, 4, 3], last=True), batch(8, 6, 1)
    y = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    rule = sf.rules.ForwardForward(2, threshold=1.5, goodness=goodness, amplitude=2.0, rng=0)
    net.zero_grad()
    reported = rule(net, None, x, y)
    found = [p.grad.clone() for p in net.parameters()]

    def labelled(labels: Tensor) -> Tensor:
        return torch.cat([2.0 * nn.functional.one_hot(labels, 2), x[:, 2:]], 1)

    def good(flow: Tensor) -> list[Tensor]:
        all_ = []
        for i, layer in enumerate(linear(net)):
            if i:
                flow = flow / flow.square().mean(1, keepdim=True).sqrt()
            h = layer(flow.detach()).tanh()
            all_.append(h.square().sum(1) if goodness == "sum" else h.square().mean(1))
            flow = h
        return all_

    soft = nn.functional.softplus
    pairs = zip(good(labelled(y)), good(labelled(1 - y)), strict=True)
    losses = [(soft(1.5 - right) + soft(wrong - 1.5)).mean() / 2 for right, wrong in pairs]
    wanted = torch.autograd.grad(sum(losses), list(net.parameters()))
    assert_same(found, list(wanted), 1e-5)
    assert float(reported) == pytest.approx(float(sum(losses)) / 3, rel=1e-5)
    votes = torch.stack([sum(good(labelled(torch.full_like(y, k)))[1:]) for k in range(2)])
    assert torch.equal(rule.predict(net, x), votes.argmax(0))
    assert rule.budget.forward_passes == 6
    assert rule.budget.queries == 3


# ---------------------------------------------------------------- relaxations


def relaxed(net: nn.Sequential, x: Tensor, steps: int = 400) -> Tensor:
    """Output of the free equilibrium u_l = W_l a_{l−1} + b_l + W_{l+1}ᵀ a_{l+1}, tanh inside, linear at the end."""
    layers = linear(net)
    states = [torch.zeros(len(x), layer.out_features).double() for layer in layers]
    for _ in range(steps):
        rates = [x, *(u.tanh() for u in states[:-1]), states[-1]]
        drive = [layer(rates[i]) for i, layer in enumerate(layers)]
        for i in range(len(layers) - 1):
            drive[i] = drive[i] + rates[i + 2] @ layers[i + 1].weight
        states = [0.5 * (u + d) for u, d in zip(states, drive, strict=True)]
    return states[-1]


@pytest.mark.parametrize(("nudging", "order"), [("symmetric", 2), ("one-sided", 1)])
def test_equilibrium_propagation_order(nudging: str, order: int) -> None:
    """The distance to the gradient of the loss at the free equilibrium falls as β², one-sided as β."""
    net, (x, y) = chain([4, 5, 3, 2], gain=0.5), batch(6, 4, 2)
    free = relaxed(net, x)
    wanted = [g.clone() for g in torch.autograd.grad(half(free, y), list(net.parameters()))]
    distances = []
    for beta in (0.2, 0.1, 0.05):
        rule = sf.rules.EquilibriumPropagation(beta, steps_free=400, steps_nudged=400, nudging=nudging)
        distances.append(distance(grads(rule, net, half, x, y), wanted))
        assert rule.residual < 1e-10
    assert distances[0] / distances[1] == pytest.approx(2**order, rel=0.15)
    assert distances[1] / distances[2] == pytest.approx(2**order, rel=0.1)
    assert distances[2] < 0.1 * math.sqrt(sum(float(g.square().sum()) for g in wanted))
    torch.testing.assert_close(rule.predict(net, x), free.detach(), rtol=1e-9, atol=1e-9)
    phases = 2 if nudging == "symmetric" else 1
    assert rule.budget.queries == 1 + phases * 400


@settings(max_examples=15, deadline=None)
@given(widths=st.lists(st.integers(1, 5), min_size=2, max_size=5), rows=st.integers(1, 4), number=st.integers(0, 10**6))
def test_predictive_coding_is_back_propagation_in_its_limits(widths: list[int], rows: int, number: int) -> None:
    """z-il to rounding; fixed predictions once the errors have settled."""
    net, (x, y) = chain(widths, number), batch(rows, widths[0], widths[-1], number)
    for rule in (
        sf.rules.PredictiveCoding(variant="z-il"),
        sf.rules.PredictiveCoding(steps=400, variant="fixed-prediction"),
    ):
        assert_same(grads(rule, net, half, x, y), exact(net, half, x, y), 1e-10)


def test_strict_predictive_coding() -> None:
    """The relaxation step by step as stated; at rest its relative distance to the gradient follows the errors."""
    net, (x, r) = chain([4, 5, 3, 2]), batch(6, 4, 2)
    parameters, layers = list(net.parameters()), linear(net)

    def energy(values: list[Tensor], y: Tensor) -> Tensor:
        first, second = values
        inner = (first - layers[0](x).tanh()).square().sum() + (second - layers[1](first).tanh()).square().sum()
        return inner / 2 + len(x) * half(layers[2](second), y)

    first = layers[0](x).tanh().detach()
    values = [first, layers[1](first).tanh().detach()]
    for _ in range(7):
        values = [v.detach().requires_grad_() for v in values]
        slopes = torch.autograd.grad(energy(values, r), values)
        values = [(v - 0.2 * s).detach() for v, s in zip(values, slopes, strict=True)]
    wanted = [g / len(x) for g in torch.autograd.grad(energy(values, r), parameters)]
    rule = sf.rules.PredictiveCoding(steps=7)
    assert_same(grads(rule, net, half, x, r), wanted)
    assert (rule.budget.forward_passes, rule.budget.queries) == (17, 9)
    apart = []
    for size in (0.02, 0.01):
        y = net(x).detach() + size * r
        target = exact(net, half, x, y)
        found = grads(sf.rules.PredictiveCoding(steps=400), net, half, x, y)
        apart.append(distance(found, target) / distance(target, [torch.zeros_like(g) for g in target]))
    assert apart[1] < 0.9
    factor_at_rest = apart[0] / apart[1]
    assert 0.9 < factor_at_rest < 2.1

"""Oracles: two passes written out by hand, one-dimensional algebra, a batch norm that saw one pass."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.recipes import Recipe
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.steps import HAM, SAM, SecondPass

RECIPE = Recipe("sam", "SAM", "arXiv:2010.01412", optimizer_steps=(SecondPass,))


def network(*middle: nn.Module) -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 6), *middle, nn.Tanh(), nn.Linear(6, 2)).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net


def batch(number: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(number)
    return torch.randn(8, 4, generator=generator).double(), torch.randn(8, 2, generator=generator).double()


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for number in range(steps):
        x, y = batch(number)

        def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
            loss = (net(x) - y).square().mean()
            loss.backward()
            return loss

        optimizer.zero_grad()
        closure()
        optimizer.step(closure)


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("dense", [False, True])
def test_two_passes_by_hand_on_a_masked_network(make: type, dense: bool) -> None:
    """Also where a topology asks for the gradient of absent weights, which is no reason to move them."""
    one, two = network(), network()
    optimizer, plain = SAM(make(one.parameters(), lr=0.05), rho=0.3), make(two.parameters(), lr=0.05)
    sparsify(one, 0.4, RECIPE, optimizer=optimizer, rng=0)
    sparsify(two, 0.4, "static", optimizer=plain, rng=0)
    assert optimizer.net is one
    for layer in masks.layers(one).values():
        masks.mask_of(layer).dense_gradient = dense
    train(one, optimizer, 15)
    present = masks.active(two)
    for number in range(15):
        x, y = batch(number)
        parameters = list(two.parameters())
        gradients = torch.autograd.grad((two(x) - y).square().mean(), parameters)
        norm = sum(float(g.square().sum()) for g in gradients) ** 0.5
        before = [p.detach().clone() for p in parameters]
        for p, g in zip(parameters, gradients, strict=True):
            p.data = p.data + 0.3 * g / norm
            assert present[p] is None or not p[~present[p]].any()
        gradients = torch.autograd.grad((two(x) - y).square().mean(), parameters)
        for p, g, w in zip(parameters, gradients, before, strict=True):
            p.data, p.grad = w, g
        plain.step()
    for ours, expected in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    for layer in masks.layers(one).values():
        assert not layer.parametrizations.weight.original[~masks.mask_of(layer).mask].any()


def test_one_weight_by_hand() -> None:
    """L = w²: e = ρ · sign(w), so w ← w − 2 lr (w + ρ sign(w)): SAM ends around zero, lr · ρ away."""
    weight = nn.Parameter(torch.tensor([-3.0], dtype=torch.float64))
    optimizer = SAM(torch.optim.SGD([weight], lr=0.1), rho=0.5)

    def closure() -> Tensor:
        loss = weight.square().sum()
        loss.backward()
        return loss

    closure()
    loss = optimizer.step(closure)
    assert weight.item() == pytest.approx(-3 + 0.2 * 3.5)
    assert loss.item() == pytest.approx(3.5**2)  # of the second pass


def test_a_closure_may_clear_gradients_itself() -> None:
    nets = network(), network()
    optimizers = [SAM(torch.optim.SGD(net.parameters(), lr=0.1)) for net in nets]
    x, y = batch(0)

    def closure(which: int, clear: bool) -> Tensor:
        if clear:
            optimizers[which].zero_grad()
        loss = (nets[which](x) - y).square().mean()
        loss.backward()
        return loss

    for which, clear in enumerate((False, True)):
        closure(which, clear)
        optimizers[which].step(lambda which=which, clear=clear: closure(which, clear))
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True))


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(6), nn.BatchNorm1d(6, momentum=None), nn.BatchNorm1d(6, affine=False)])
def test_running_statistics_see_one_pass(norm: nn.Module) -> None:
    net = network(copy.deepcopy(norm))
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), rho=0.5, net=net)
    twin = copy.deepcopy(net)
    train(net, optimizer, 1)
    twin(batch(0)[0])
    assert net[1].num_batches_tracked == 1
    assert torch.equal(net[1].running_mean, twin[1].running_mean)
    assert torch.equal(net[1].running_var, twin[1].running_var)
    assert not torch.equal(net[0].weight, twin[0].weight)


def test_penalties_of_hooks_stay_outside_the_ascent() -> None:
    """With one added to gradients before the step, SAM equals decay written into the optimizer."""
    one, two = network(), network()
    decayed = SAM(torch.optim.SGD(one.parameters(), lr=0.1, weight_decay=0.3), rho=0.2)
    hooked = SAM(torch.optim.SGD(two.parameters(), lr=0.1), rho=0.2)

    def penalty(*_: object) -> None:
        for parameter in two.parameters():
            parameter.grad.add_(parameter.detach(), alpha=0.3)

    hooked.register_step_pre_hook(penalty)
    train(one, decayed, 5)
    train(two, hooked, 5)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_an_error_in_the_closure_leaves_the_weights_where_they_were() -> None:
    net = network()
    before = copy.deepcopy(net.state_dict())
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), rho=1.0)
    x, y = batch(0)
    (net(x) - y).square().mean().backward()

    def closure() -> Tensor:
        assert not torch.equal(net[0].weight, before["0.weight"])
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        optimizer.step(closure)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_a_flat_place_is_no_trouble() -> None:
    net = network()
    optimizer = SAM(torch.optim.SGD(net.parameters(), lr=0.1), rho=1.0)
    before = copy.deepcopy(net.state_dict())

    def closure() -> Tensor:
        loss = sum(p.sum() for p in net.parameters()) * 0.0
        loss.backward()
        return loss

    closure()
    optimizer.step(closure)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_the_network_reaches_a_sam_inside_another_wrapper() -> None:
    net = network()
    inner = SAM(torch.optim.SGD(net.parameters(), lr=0.1))
    SecondPass(Setting(net, optimizer=HAM(inner)))
    assert inner.net is net


def test_bad_use() -> None:
    net = network()
    plain = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(UserError, match=r"def closure\(\)"):
        SAM(plain).step()
    with pytest.raises(UserError, match="first pass"):
        SAM(plain).step(lambda: None)
    with pytest.raises(UserError, match="rho"):
        SAM(plain, rho=-0.1)
    for optimizer in (plain, HAM(plain)):
        with pytest.raises(UserError, match=r"SAM\(optimizer\)"):
            SecondPass(Setting(net, method="sam", optimizer=optimizer))
    with pytest.raises(UserError, match="needs the optimizer"):
        SecondPass(Setting(net, method="sam"))

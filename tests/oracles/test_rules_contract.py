"""Oracle: what holds for every rule in ``sf.rules.RULES``, each on a network that it serves.

Absent and frozen weights, noise and statistics shared by all queries of a call, bad losses, states, inputs of any form.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sparsefire as sf
from sparsefire.errors import UserError

RULES = sf.rules.RULES
OWN_PROCESS = ["forward-forward", "equilibrium-propagation"]
CHAINS = [*OWN_PROCESS, "decorrelated-node-perturbation", "unit-differences", "direct-feedback-alignment"]
CHAINS += ["local-losses", "predictive-coding"]
IN_PLACE = ["mezo", "sparse-mezo"]  # leave a step for ReplaySGD, not a gradient
REMEMBER = [name for name in RULES if name not in ("backprop",)]
DISTURBING = ["two-query", "spsa", "weight-perturbation", "one-query", "hebbian", "coordinates", "mezo", "sparse-mezo"]
DISTURBING += ["zero-order-sam", "node-perturbation", "decorrelated-node-perturbation"]
GENERAL = [name for name in RULES if name not in CHAINS]


def make(name: str, rng: int = 0, **settings: Any) -> Any:
    if name == "repeated-forward-gradient":
        return RULES[name](sf.rules.ForwardGradient(rng=rng), times=2, step=0.01, **settings)
    if name == "forward-forward":
        return RULES[name](classes=3, rng=rng, **settings)
    if name in ("backprop", "equilibrium-propagation", "predictive-coding"):
        return RULES[name](**settings)
    return RULES[name](rng=rng, **settings)


def problem(name: str, *middle: nn.Module, masked: bool = False) -> tuple[nn.Module, Any, Tensor, Tensor]:
    torch.manual_seed(1)
    net: Any = nn.Sequential(nn.Linear(6, 8), *middle, nn.Tanh(), nn.Linear(8, 3)).double()
    if masked:
        sf.sparsify(net, density=0.4, layout="uniform", rng=0)
    if name == "decorrelated-node-perturbation":
        net = sf.rules.with_decorrelation(net)
    x, y = torch.randn(10, 6).double(), torch.randn(10, 3).double()
    if name == "forward-forward":
        y = torch.randint(0, 3, (10,))
    return net, loss_of(make(name)), x, y


def loss_of(rule: Any) -> Callable[[Any, Any], Tensor]:
    if rule.per_example:
        return lambda out, y: (out - y).square().mean(1)
    return lambda out, y: (out - y).square().mean()


def everything(net: nn.Module) -> list[Tensor]:
    return [part.detach().clone() for part in [*net.parameters(), *net.buffers()]]


def step(rule: Any, net: nn.Module, loss: Any, x: Any, y: Any) -> Tensor:
    """The estimate as a vector; of rules in place, what ``ReplaySGD`` adds to the weights (which then go back)."""
    net.zero_grad()
    trained = [p for p in net.parameters() if p.requires_grad]
    if not hasattr(rule, "replays"):
        rule(net, loss, x, y)
        return torch.cat([p.grad.flatten() for p in trained])
    optimizer = sf.rules.ReplaySGD(trained, rule, lr=1.0)
    rule(net, loss, x, y)
    before = [p.detach().clone() for p in trained]
    optimizer.step()
    optimizer.zero_grad()
    moved = torch.cat([(b - p.detach()).flatten() for p, b in zip(trained, before, strict=True)])
    with torch.no_grad():
        for p, b in zip(trained, before, strict=True):
            p.copy_(b)
    return moved


def same(name: str, one: Tensor, other: Tensor) -> None:
    """Bit by bit, but for rules in place, whose weights come back up to rounding."""
    tolerance = 1e-9 if name in IN_PLACE else 0.0
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def assert_left_alone(name: str, net: nn.Module, loss: Any, x: Tensor, y: Tensor) -> None:
    for p in net.parameters():
        p.grad = torch.full_like(p, 0.5)
    before = everything(net)
    with pytest.raises(UserError):
        make(name)(net, loss, x, y)
    for one, other in zip(everything(net), before, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-14)
    assert all((p.grad == 0.5).all() for p in net.parameters())


@pytest.mark.parametrize("name", RULES)
def test_absent_weights_get_nothing_and_weights_stay(name: str) -> None:
    net, loss, x, y = problem(name, masked=True)
    before = everything(net)
    rule = make(name)
    found = step(rule, net, loss, x, y)
    assert found.any()
    at = 0
    for parameter, p in net.named_parameters():
        part = found[at : at + p.numel()].view(p.shape)
        at += p.numel()
        if p.dim() > 1:
            layer = next(key for key in sf.sparsity.masks(net) if parameter.startswith(key + "."))
            mask = sf.sparsity.masks(net)[layer]
            assert not part[~mask].any()
            assert name in IN_PLACE or name == "coordinates" or part[mask].any()
    if name != "decorrelated-node-perturbation":  # whose matrices R move
        for one, other in zip(everything(net), before, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-14)
    assert rule.budget.calls == 1
    assert rule.budget.samples == 10
    assert rule.budget.queries >= 1


@pytest.mark.parametrize("name", RULES)
def test_frozen_parameters_get_none(name: str) -> None:
    net, loss, x, y = problem(name)
    layer = next(module for module in net if isinstance(module, nn.Linear))
    layer.weight.requires_grad_(False)
    kept = layer.weight.detach().clone()
    assert step(make(name), net, loss, x, y).any()
    assert layer.weight.grad is None
    assert torch.equal(layer.weight.detach(), kept)


@pytest.mark.parametrize("name", [name for name in RULES if name not in IN_PLACE])
def test_estimates_are_added(name: str) -> None:
    """To what is in ``.grad`` already, as a backward pass would."""
    net, loss, x, y = problem(name)
    first = step(make(name), net, loss, x, y)
    net.zero_grad()
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    make(name)(copy.deepcopy(net), loss, x, y)
    net2 = problem(name)[0]
    for p in net2.parameters():
        p.grad = torch.ones_like(p)
    make(name)(net2, loss, x, y)
    torch.testing.assert_close(torch.cat([p.grad.flatten() for p in net2.parameters()]), first + 1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", [name for name in RULES if name != "backprop"])
def test_a_bad_loss_leaves_everything(name: str, bad: float) -> None:
    """Parameters, buffers and gradients; forward-forward, which asks for no loss, meets NaN in its inputs."""
    net, loss, x, y = problem(name)
    assert_left_alone(
        name, net, lambda out, y: loss(out, y) * bad, x * float("nan") if name == OWN_PROCESS[0] else x, y
    )


@pytest.mark.parametrize("name", DISTURBING)
def test_a_loss_that_is_bad_off_the_weights_alone(name: str) -> None:
    """The clean loss is a number; those of disturbed weights or units are not, and they are noticed."""
    net, loss, x, y = problem(name)
    clean = net(x).detach()
    off = lambda out: ((out - clean).abs() > 1e-12).double()  # noqa: E731
    assert_left_alone(name, net, lambda out, y: loss(out, y) + (1 / (1 - off(out).amax()) - 1), x, y)


@pytest.mark.parametrize("name", REMEMBER)
def test_state_goes_on_where_it_was_taken(name: str) -> None:
    """One call, state into a new rule with another rng, and the same second and third call; without pickled code."""
    net, loss, x, y = problem(name)
    rule, other = make(name, rng=0), make(name, rng=99)
    other_net = copy.deepcopy(net)
    step(rule, net, loss, x, y)
    other_net.load_state_dict(net.state_dict())
    other.load_state_dict(copy.deepcopy(rule.state_dict()))
    for _ in range(2):
        assert torch.equal(step(rule, net, loss, x, y), step(other, other_net, loss, x, y))
    assert rule.budget == other.budget


@pytest.mark.parametrize("name", RULES)
def test_one_rng_one_estimate(name: str) -> None:
    """The same rng gives the same estimate, and torch's own generator is not touched without dropout."""
    net, loss, x, y = problem(name)
    torch.manual_seed(7)
    first = step(make(name, rng=3), net, loss, x, y)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(7)))
    if name != "decorrelated-node-perturbation":
        same(name, step(make(name, rng=3), net, loss, x, y), first)


@pytest.mark.parametrize("name", [name for name in RULES if name not in OWN_PROCESS])
def test_dropout_noise_is_shared_by_all_queries(name: str) -> None:
    """Perturbations are so small that masks of their own would show as slopes in the thousands."""
    net, loss, x, y = problem(name, nn.Dropout(0.5))
    settings: dict[str, Any] = {}
    bound = 100.0
    if name == "hebbian":
        settings, bound = {"amplitude": 1e-4}, 100 * 2 / 3 * 1e-8  # by which κ(A) shortens the gradient
    elif "scale" in getattr(RULES[name], "__dataclass_fields__", {}) and "alignment" not in name:
        settings = {"scale": 1e-7}
    for number in range(3):
        torch.manual_seed(number)
        assert step(make(name, rng=number, **settings), net, loss, x, y).abs().max() < bound


@pytest.mark.parametrize("name", GENERAL)
def test_batch_statistics_move_once(name: str) -> None:
    """Running mean, variance and count after a call are those of one forward pass."""
    net, loss, x, y = problem(name, nn.BatchNorm1d(8).double())
    other = copy.deepcopy(net)
    other(x)
    step(make(name), net, loss, x, y)
    tolerance = 0.05 if name == "zero-order-sam" else 1e-12  # whose gradient, and statistics, are of moved weights
    for one, wanted in zip(net.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(one, wanted, rtol=0, atol=tolerance)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.out = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 3)
        self.double()

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.out(torch.tanh(self.left(left) + self.right(right)))


@pytest.mark.parametrize("name", GENERAL)
def test_inputs_as_tuple_and_mapping(name: str) -> None:
    torch.manual_seed(2)
    net, x, y = Two(), torch.randn(10, 6).double(), torch.randn(10, 3).double()
    left, right = x[:, :3], x[:, 3:]
    loss = loss_of(make(name))
    found = step(make(name), net, loss, (left, right), y)
    assert found.any()
    same(name, step(make(name), net, loss, {"right": right, "left": left}, y), found)
    rule = make(name)
    step(rule, net, loss, (left, right), y)
    assert rule.budget.samples == 10


@pytest.mark.parametrize("name", [name for name in RULES if name not in OWN_PROCESS])
def test_a_loss_of_the_wrong_shape_is_named(name: str) -> None:
    """A number per row where one is wanted, and the other way round."""
    net, _, x, y = problem(name)
    rule = make(name)
    wrong: Any = (lambda out, y: (out - y).square().mean()) if rule.per_example else (lambda out, y: (out - y).square())
    before = everything(net)
    with pytest.raises((UserError, RuntimeError) if name == "backprop" else UserError):
        rule(net, wrong, x, y)
    for one, other in zip(everything(net), before, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-14)

"""Oracles: finite differences of the loss and of the norm of its gradient, whole Hessians, removal one by one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.scores.first_order import grasp, snip, taylor
from sparsefire.sparsity.setting import Setting

cross_entropy = nn.functional.cross_entropy


@pytest.fixture(autouse=True)
def _same_networks() -> None:
    torch.manual_seed(0)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(2, 3, 2), nn.BatchNorm1d(3), nn.Softplus(), nn.Flatten(), nn.Linear(12, 3, bias=False)
    ).double()  # fmt: skip


def evaluating() -> nn.Sequential:
    """Batch normalisation with running statistics, which are another function with other gradients."""
    net = convolutional()
    net(inputs(net))
    return net.eval()


def inputs(net: nn.Module, count: int = 12) -> Tensor:
    shape = (4,) if isinstance(next(iter(net)), nn.Linear) else (2, 5)  # type: ignore[call-overload]
    return torch.randn(count, *shape, dtype=torch.float64)


def scaled(net: nn.Module, measure: Callable[[], float], factor: float) -> dict[str, Tensor]:
    """Return the measure with each weight in turn multiplied by a factor."""
    found = {}
    for name, module in masks.layers(net).items():
        weight: Any = module.weight
        result = torch.zeros_like(weight)
        for place in range(weight.numel()):
            flat = weight.detach().reshape(-1)
            before = flat[place].item()
            flat[place] = before * factor
            result.view(-1)[place] = measure()
            flat[place] = before
        found[name] = result.detach()
    return found


def by_differences(net: nn.Module, measure: Callable[[], float], step: float = 1e-5) -> dict[str, Tensor]:
    """Return how fast the measure changes as each weight is switched on: ∂/∂c at weight · c, c = 1."""
    up, down = scaled(net, measure, 1 + step), scaled(net, measure, 1 - step)
    return {name: (up[name] - down[name]) / (2 * step) for name in up}


def half_norm(net: nn.Module, loss: Callable[[], Tensor]) -> float:
    weights: list[Any] = [module.weight for module in masks.layers(net).values()]
    return 0.5 * sum(float(one.square().sum()) for one in torch.autograd.grad(loss(), weights))


@pytest.mark.parametrize("make", [mlp, convolutional, evaluating])
def test_snip_is_the_slope_by_a_mask(make: Callable[[], nn.Sequential]) -> None:
    net = make()
    x, y = inputs(net), torch.arange(12) % 3
    expected = by_differences(net, lambda: cross_entropy(net(x), y).item())
    found = snip(Setting(net, data=(x, y), loss=cross_entropy), 0)
    for name, one in expected.items():
        torch.testing.assert_close(found[name], one.abs(), rtol=1e-6, atol=1e-9)


def test_snip_of_products_is_that_of_their_effective_weights() -> None:
    net = mlp()
    x, y = inputs(net), torch.arange(12) % 3
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    sparsify(net, 0.5, "sign-in", optimizer=optimizer, steps=10, rng=0)
    found = snip(Setting(net, data=(x, y), loss=cross_entropy), 0)
    mask = {name: one.clone() for name, one in masks.masks(net).items()}
    expected = snip(Setting(masks.bake(net), data=(x, y), loss=cross_entropy), 0)
    for name, one in mask.items():
        torch.testing.assert_close(found[name], expected[name] * one)


@pytest.mark.parametrize("make", [mlp, convolutional, evaluating])
def test_grasp_is_what_the_gradient_loses(make: Callable[[], nn.Sequential]) -> None:
    net = make()
    x, y = inputs(net), torch.randn(12, 3, dtype=torch.float64)
    expected = by_differences(net, lambda: half_norm(net, lambda: nn.functional.mse_loss(net(x), y)), 1e-4)
    found = grasp(Setting(net, data=(x, y), loss=nn.functional.mse_loss), 0)
    for name, one in expected.items():  # removal is the step from c = 1 to 0: it changes the measure by minus this
        torch.testing.assert_close(found[name], one, rtol=1e-5, atol=1e-7)


def test_grasp_agrees_with_the_whole_hessian() -> None:
    net = mlp()
    x, y = inputs(net), torch.arange(12) % 3
    names, sizes = ["0.weight", "2.weight"], [24, 18]
    weights = torch.cat([net[0].weight.flatten(), net[2].weight.flatten()]).detach()

    def loss(flat: Tensor) -> Tensor:
        parts = [part.view(shape) for part, shape in zip(flat.split(sizes), [(6, 4), (3, 6)], strict=True)]
        return cross_entropy(torch.func.functional_call(net, dict(zip(names, parts, strict=True)), (x,)) / 200, y)

    hessian = torch.autograd.functional.hessian(loss, weights)
    gradient = torch.autograd.functional.jacobian(loss, weights)
    expected = weights * (hessian @ gradient)
    found = grasp(Setting(net, data=(x, y), loss=cross_entropy), 0)
    torch.testing.assert_close(torch.cat([found["0"].flatten(), found["2"].flatten()]), expected)


def test_grasp_removes_what_leaves_most_gradient_in_a_quadratic() -> None:
    """½‖g‖² after removal is known exactly: ½‖H (w − w_q e_q) − b‖²; small weights, so that first order holds."""
    net = nn.Linear(8, 1, bias=False).double()
    x, y = torch.randn(30, 8, dtype=torch.float64), torch.randn(30, 1, dtype=torch.float64)
    with torch.no_grad():
        net.weight.mul_(1e-3)
    score = grasp(Setting(net, data=(x, y), loss=nn.functional.mse_loss), 0)[""]
    left = scaled(net, lambda: half_norm(net, lambda: nn.functional.mse_loss(net(x), y)), 0.0)[""]
    assert score.flatten().argsort().tolist() == left.flatten().argsort(descending=True).tolist()


def test_grasp_ranks_as_removal_does_in_small_networks() -> None:
    alike = []
    for _ in range(6):
        net = mlp()
        x, y = inputs(net, 60), torch.arange(60) % 3
        score = grasp(Setting(net, data=(x, y), loss=cross_entropy), 0)
        left = scaled(net, lambda net=net, x=x, y=y: half_norm(net, lambda: cross_entropy(net(x) / 200, y)), 0.0)
        flat, other = (torch.cat([one.flatten() for one in found.values()]) for found in (score, left))
        alike.append(spearmanr(flat, -other).statistic)
    assert sum(alike) / 6 > 0.8


def test_grasp_sees_the_gradient_of_present_weights_alone() -> None:
    net = mlp()
    x, y = inputs(net), torch.randn(12, 3, dtype=torch.float64)
    for module in masks.layers(net).values():
        masks.attach_(module, torch.rand(module.weight.shape) < 0.5)
    found = grasp(Setting(net, data=(x, y), loss=nn.functional.mse_loss), 0)
    mask = {name: one.clone() for name, one in masks.masks(net).items()}
    masks.bake(net)

    def present_norm() -> float:
        weights: list[Any] = [module.weight for module in masks.layers(net).values()]
        slopes = torch.autograd.grad(nn.functional.mse_loss(net(x), y), weights)
        return 0.5 * sum(float((s * m).square().sum()) for s, m in zip(slopes, mask.values(), strict=True))

    for name, one in by_differences(net, present_norm, 1e-4).items():
        torch.testing.assert_close(found[name], one, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("made", ["bound", "module"])
def test_classes_are_seen_at_temperature_200_whatever_the_loss_is_called(made: str) -> None:
    net = mlp()
    x, y = inputs(net), torch.arange(12) % 3
    losses = {"bound": functools.partial(cross_entropy, reduction="mean"), "module": nn.CrossEntropyLoss()}
    found = grasp(Setting(net, data=(x, y), loss=losses[made]), 0)["0"]
    hot = grasp(Setting(net, data=(x, y.double()), loss=lambda o, t: cross_entropy(o / 200, t.long())), 0)["0"]
    cold = grasp(Setting(net, data=(x, y.double()), loss=lambda o, t: cross_entropy(o, t.long())), 0)["0"]
    torch.testing.assert_close(found, hot)
    assert not torch.allclose(found, cold, rtol=0.1, atol=0.0)


def test_grasp_passes_through_attention() -> None:
    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x)).mean(1)

    found = grasp(Setting(Attend(), data=(torch.randn(3, 5, 4), torch.arange(3)), loss=cross_entropy), 0)
    assert all(bool(one.any()) for one in found.values())


def test_taylor_is_the_mean_of_squared_changes_over_minibatches() -> None:
    net = mlp()
    x, y = inputs(net, 50), torch.arange(50) % 3
    found = taylor(Setting(net, data=(x, y), loss=cross_entropy), 0)
    halves = [
        by_differences(net, lambda part=part: cross_entropy(net(x[part]), y[part]).item())
        for part in (slice(0, 25), slice(25, 50))
    ]
    for name, one in found.items():
        expected = (halves[0][name].square() + halves[1][name].square()) / 2
        torch.testing.assert_close(one, expected, rtol=1e-6, atol=1e-12)


def test_taylor_is_exact_where_the_loss_is_linear() -> None:
    net = nn.Linear(5, 2).double()
    x, y = torch.randn(10, 5, dtype=torch.float64), torch.randn(10, 2, dtype=torch.float64)
    loss = lambda output, target: (output * target).mean()  # noqa: E731
    whole = loss(net(x), y).item()
    changes = scaled(net, lambda: loss(net(x), y).item(), 0.0)[""] - whole
    torch.testing.assert_close(taylor(Setting(net, data=(x, y), loss=loss), 0)[""], changes.square())


def test_taylor_ranks_as_removal_does_in_a_small_network() -> None:
    net = mlp()
    x, y = inputs(net, 30), torch.arange(30) % 3
    whole = cross_entropy(net(x), y).item()
    changes = scaled(net, lambda: cross_entropy(net(x), y).item(), 0.0)
    found = taylor(Setting(net, data=(x, y), loss=cross_entropy), 0)
    one = torch.cat([score.flatten() for score in found.values()])
    other = torch.cat([(change - whole).abs().flatten() for change in changes.values()])
    assert spearmanr(one, other).statistic > 0.9


def test_one_part_of_taylor_is_snip_squared() -> None:
    net = convolutional()
    data = inputs(net, 20), torch.arange(20) % 3
    one, other = (score(Setting(net, data=data, loss=cross_entropy), 0) for score in (snip, taylor))
    for name in one:
        torch.testing.assert_close(other[name], one[name].square())

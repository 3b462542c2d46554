"""Oracles: autograd, where the variant is exact or in its limit; the energy's minimum in closed form when linear."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.local import PredictiveCoding

mse = nn.functional.mse_loss


def draw(*shape: int, number: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


def networks() -> dict[str, tuple[nn.Sequential, Tensor, Tensor]]:
    nets = {
        "deep": (
            nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 4), nn.Linear(4, 2)),
            draw(7, 6),
        ),
        "conv": (
            nn.Sequential(
                nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(3, 2, 1), nn.Tanh(),
                nn.Flatten(), nn.Dropout(0.3), nn.Linear(8, 2),
            ),
            draw(7, 1, 6, 6),
        ),
        "single": (nn.Sequential(nn.Linear(6, 2)), draw(7, 6)),
    }  # fmt: skip
    return {name: (net.double(), x, draw(7, 2, number=1)) for name, (net, x) in nets.items()}


def exact(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the gradient by autograd under the noise that a rule called next will see."""
    twin, noise = copy.deepcopy(net), torch.get_rng_state()
    twin.zero_grad()
    mse(twin(x), y).backward()
    torch.set_rng_state(noise)
    return torch.cat([p.grad.flatten() for p in twin.parameters()])


def flat(net: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters()])


@pytest.mark.parametrize("kind", sorted(networks()))
@pytest.mark.parametrize(
    ("rule", "tolerance"),
    [
        (PredictiveCoding(variant="z-il"), 1e-12),
        (PredictiveCoding(steps=4, step_size=1.0, variant="fixed-prediction"), 1e-12),
        (PredictiveCoding(steps=120, step_size=0.2, variant="fixed-prediction"), 1e-6),
    ],
)
def test_exact_variants_are_backpropagation(kind: str, rule: PredictiveCoding, tolerance: float) -> None:
    net, x, y = networks()[kind]
    expected = exact(net, x, y)
    rule(net, mse, x, y)
    assert (flat(net) - expected).norm() < tolerance * expected.norm()


def test_fixed_predictions_settle_geometrically() -> None:
    net, x, y = networks()["deep"]
    expected, distances = exact(net, x, y), []
    for steps in (30, 40, 50):
        net.zero_grad()
        PredictiveCoding(steps=steps, step_size=0.5, variant="fixed-prediction")(net, mse, x, y)
        distances.append(float((flat(net) - expected).norm() / expected.norm()))
    assert distances[0] > 50 * distances[1] > 2500 * distances[2]


@pytest.mark.parametrize("kind", ["deep", "conv"])
def test_the_strict_update_approaches_the_gradient_as_errors_vanish(kind: str) -> None:
    net, x, y = networks()[kind]
    expected, sizes = exact(net, x, y), (1.0, 0.1, 0.01, 0.001)
    distances = []
    for size in sizes:
        net.zero_grad()
        noise = torch.get_rng_state()
        rule = PredictiveCoding(steps=200, step_size=0.3)
        rule(net, lambda out, target, size=size: size * mse(out, target), x, y)
        torch.set_rng_state(noise)
        distances.append(float((flat(net) / size - expected).norm() / expected.norm()))
    assert distances[0] > 0.01  # with large errors it is another rule
    slope = np.polyfit(np.log(sizes[1:]), np.log(distances[1:]), 1)[0]
    assert abs(slope - 1) < 0.05


def test_the_strict_energy_comes_to_its_minimum_when_linear() -> None:
    """Two linear layers, c = ½|y − W₂ v|²: v solves (I + W₂ᵀW₂) v = W₁ x + W₂ᵀ y."""
    net = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 2, bias=False)).double()
    x, y = draw(5, 4), draw(5, 2, number=1)
    loss = PredictiveCoding(steps=400, step_size=0.3)(net, lambda out, t: (out - t).square().sum() / (2 * len(t)), x, y)
    first, second = (layer.weight.detach() for layer in net)
    v = torch.linalg.solve(torch.eye(3).double() + second.T @ second, (x @ first.T + y @ second).T).T
    torch.testing.assert_close(net[0].weight.grad, -(v - x @ first.T).T @ x / 5, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(net[1].weight.grad, -(y - v @ second.T).T @ v / 5, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(loss, (net(x) - y).square().sum().detach() / 10)


@pytest.mark.parametrize(
    ("variant", "queries", "passes"), [("strict", 7, 13), ("fixed-prediction", 2, 8), ("z-il", 5, 9)]
)
def test_the_budget_by_hand(variant: str, queries: int, passes: int) -> None:
    net, x, y = networks()["deep"]
    rule, calls = PredictiveCoding(steps=5, variant=variant), []

    def counted(out: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        return mse(out, target)

    rule(net, counted, x, y)
    budget = rule.budget
    assert (budget.calls, budget.samples, budget.queries, budget.forward_passes) == (1, 7, queries, passes)
    assert len(calls) == queries
    assert budget.random_bits == 0


def test_the_prediction_is_a_forward_pass() -> None:
    net, x, _ = networks()["deep"]
    assert torch.equal(PredictiveCoding().predict(net, x), net(x))


@pytest.mark.parametrize(
    ("options", "words"),
    [({"steps": 0}, "steps"), ({"step_size": 0}, "share"), ({"step_size": 1.5}, "share"), ({"variant": "no"}, "'no'")],
)
def test_options_are_checked(options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        PredictiveCoding(**options)


def test_a_relaxation_that_explodes_is_refused() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).double()
    with torch.no_grad():
        net[1].weight.fill_(1e3)
    with pytest.raises(UserError, match="not a number"):
        PredictiveCoding(steps=200, step_size=1.0)(net, mse, draw(3, 2), draw(3, 2, number=1))
    assert net[0].weight.grad is None

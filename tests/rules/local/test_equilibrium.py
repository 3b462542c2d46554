"""Oracles: autograd through an unrolled relaxation written here; finite differences of the loss at equilibrium."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.rules.local import EquilibriumPropagation
from sparsefire.sparsity import sparsify

mse, cross_entropy = nn.functional.mse_loss, nn.functional.cross_entropy


def draw(*shape: int, number: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


def network(kind: str = "tanh") -> nn.Sequential:
    parts = {
        "tanh": [nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)],
        "sigmoid": [nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 3), nn.Sigmoid()],
        "hard": [nn.Linear(5, 4), nn.Hardsigmoid(), nn.Linear(4, 3), nn.Hardsigmoid()],
    }[kind]
    net = nn.Sequential(*parts).double()
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            parameter.copy_(0.4 * draw(*parameter.shape, number=number))
    return net


def equilibrium(net: nn.Sequential, x: Tensor, steps: int = 200) -> Tensor:
    """Return the output after a long relaxation, layer by layer, differentiable: another schedule, the same place."""
    layers = [module for module in net if isinstance(module, nn.Linear)]
    rho = [
        net[i + 1] if i + 1 < len(net) and not isinstance(net[i + 1], nn.Linear) else nn.Identity()
        for i, module in enumerate(net)
        if isinstance(module, nn.Linear)
    ]
    a = [torch.zeros(len(x), layer.out_features, dtype=x.dtype) for layer in layers]
    for _ in range(steps):
        for number, layer in enumerate(layers):
            total = layer(x if number == 0 else a[number - 1])
            if number + 1 < len(layers):
                total = total + a[number + 1] @ layers[number + 1].weight
            a = [*a[:number], 0.3 * a[number] + 0.7 * rho[number](total), *a[number + 1 :]]
    return a[-1]


def exact(net: nn.Sequential, loss_fn, x: Tensor, y: Tensor) -> Tensor:
    gradients = torch.autograd.grad(loss_fn(equilibrium(net, x), y), list(net.parameters()))
    return torch.cat([gradient.flatten() for gradient in gradients])


def flat(net: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters()])


def long(beta: float, nudging: str = "symmetric") -> EquilibriumPropagation:
    return EquilibriumPropagation(beta, steps_free=300, steps_nudged=300, nudging=nudging)


def cases():
    codes = torch.tensor([0, 1, 2, 0, 1, 2])
    return {
        "tanh": (network("tanh"), cross_entropy, draw(6, 5), codes),
        "sigmoid": (network("sigmoid"), mse, draw(6, 5), draw(6, 3, number=9)),
    }


@pytest.mark.parametrize("kind", sorted(cases()))
def test_the_prediction_is_the_free_equilibrium(kind: str) -> None:
    net, loss_fn, x, y = cases()[kind]
    predicted = long(0.1).predict(net, x)
    torch.testing.assert_close(predicted, equilibrium(net, x).detach(), rtol=1e-10, atol=1e-10)
    assert not torch.allclose(predicted, net(x), atol=1e-3)  # feedback matters
    loss = long(0.1)(net, loss_fn, x, y)
    torch.testing.assert_close(loss, loss_fn(predicted, y))


@pytest.mark.parametrize("kind", sorted(cases()))
@pytest.mark.parametrize(("nudging", "order"), [("symmetric", 2), ("one-sided", 1)])
def test_the_estimate_approaches_the_gradient_at_its_order(kind: str, nudging: str, order: int) -> None:
    net, loss_fn, x, y = cases()[kind]
    expected, betas, errors = exact(net, loss_fn, x, y), (0.4, 0.2, 0.1, 0.05, 0.025), []
    for beta in betas:
        net.zero_grad()
        long(beta, nudging)(net, loss_fn, x, y)
        errors.append(float((flat(net) - expected).norm() / expected.norm()))
    assert errors[-1] < 0.02
    slope = np.polyfit(np.log(betas[2:]), np.log(errors[2:]), 1)[0]
    assert abs(slope - order) < 0.1


def test_against_finite_differences_of_the_loss_at_equilibrium() -> None:
    net, loss_fn, x, y = cases()["tanh"]
    rule = long(0.001)
    rule(net, loss_fn, x, y)
    for parameter in net.parameters():
        entry, step = parameter.data.view(-1)[0:1], 1e-5
        losses = []
        for sign in (1, -1):
            entry += sign * step
            losses.append(loss_fn(rule.predict(net, x), y))
            entry -= sign * step
        slope = (losses[0] - losses[1]) / (2 * step)
        torch.testing.assert_close(parameter.grad.view(-1)[0], slope, rtol=1e-5, atol=1e-7)


def test_the_residual_tells_whether_the_states_have_come_to_rest() -> None:
    net, loss_fn, x, y = cases()["tanh"]
    residuals = []
    for steps in (5, 100, 400):
        rule = EquilibriumPropagation(steps_free=steps)
        rule(net, loss_fn, x, y)
        residuals.append(rule.residual)
    assert residuals[0] > 10 * residuals[1] > 100 * residuals[2]
    assert residuals[2] < 1e-6


def test_hard_sigmoids_work_where_they_are_not_at_their_ends() -> None:
    net, x, y = network("hard"), draw(6, 5), draw(6, 3, number=9).sigmoid()
    long(0.01)(net, mse, x, y)
    expected = exact(net, mse, x, y)
    assert (flat(net) - expected).norm() < 1e-3 * expected.norm()


def test_the_nudge_does_not_depend_on_the_size_of_the_batch() -> None:
    net, loss_fn, x, y = cases()["tanh"]
    found = []
    for times in (1, 4):
        net.zero_grad()
        long(0.3)(net, loss_fn, x.repeat(times, 1), y.repeat(times))
        found.append(flat(net).clone())
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("method", ["static", "sign-in"])
def test_masked_networks(method: str) -> None:
    net = network("tanh")
    sparsify(net, 0.5, method, optimizer=torch.optim.SGD(net.parameters(), lr=0.1), steps=10, rng=0)
    x, y = draw(6, 5), torch.tensor([0, 1, 2, 0, 1, 2])
    long(0.01)(net, cross_entropy, x, y)
    expected = exact(net, cross_entropy, x, y)
    assert (flat(net) - expected).norm() < 1e-3 * expected.norm()
    for parameter, mask in masks.active(net).items():
        if mask is not None:
            assert not parameter.grad[~mask].any()


@pytest.mark.parametrize(("nudging", "phases"), [("symmetric", 2), ("one-sided", 1)])
def test_the_budget_by_hand(nudging: str, phases: int) -> None:
    net, calls = network("tanh"), []

    def counted(out: Tensor, target: Tensor) -> Tensor:
        calls.append(1)
        return mse(out, target)

    rule = EquilibriumPropagation(steps_free=10, steps_nudged=4, nudging=nudging)
    rule(net, counted, draw(6, 5), draw(6, 3, number=1))
    budget = rule.budget
    assert (budget.calls, budget.samples, budget.queries) == (1, 6, 1 + 4 * phases)
    assert len(calls) == budget.queries
    # 20 weights read the constant input, 16 + 12 do not
    assert budget.forward_passes == pytest.approx(3 + 2 * (28 / 48) * (10 + 4 * phases))
    assert budget.random_bits == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beta": 0}, "nudge"),
        ({"steps_free": 0}, "steps"),
        ({"steps_nudged": 0}, "steps"),
        ({"step_size": 0}, "share"),
        ({"nudging": "up"}, "'up'"),
    ],
)
def test_options_are_checked(options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        EquilibriumPropagation(**options)

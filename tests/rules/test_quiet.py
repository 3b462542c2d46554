"""Oracle: the gradient of the loss under the noise that the call began with, where the trained layer makes it exact."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsefire import rules
from sparsefire.rules.active import Active
from sparsefire.rules.asking import Batch, losses_at
from sparsefire.rules.diagnosis import diagnose
from sparsefire.rules.directions import draw, generator_of
from sparsefire.rules.quiet import SameNoise
from sparsefire.spiking import SRM0, Bernoulli, Escape, Recurrent

ROWS, BEGUN = 12, 5


class Noisy(nn.Module):
    """A hidden layer of neurons that draw, within another layer, and dropout; one output."""

    def __init__(self, *, readout_only: bool = True) -> None:
        super().__init__()
        neurons = SRM0(20, 8e-3, r=4.0, escape=Escape(100.0, 0.5), rng=0)
        self.first, self.cell = nn.Linear(6, 20), Recurrent(neurons, nn.Linear(20, 20, bias=False))
        self.drop, self.readout = nn.Dropout(0.3), nn.Linear(20, 1)
        self.double()
        generator = torch.Generator().manual_seed(1)
        for parameter in self.parameters():
            parameter.data.normal_(0, 0.3, generator=generator)
        self.first.requires_grad_(not readout_only)
        self.cell.requires_grad_(not readout_only)
        self.begun = BEGUN

    @property
    def begun(self) -> int:
        return self.cell.neurons.begun

    @begun.setter
    def begun(self, number: int) -> None:
        self.cell.neurons.begun = number
        torch.manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.drop(self.cell(self.first(x).expand(10, -1, -1))[0].mean(0)))


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return (torch.randn(ROWS, n, generator=generator, dtype=torch.float64) for n in (6, 1))  # type: ignore[return-value]


def squares(out: Tensor, y: Tensor) -> Tensor:
    return (out - y).square().sum(1)


def estimated(rule: Any, net: Noisy, around: nn.Module | None = None) -> Tensor:
    """Return the gradient that the rule leaves; it leaves the noise as one pass does."""
    (x, y), asked = batch(), net if around is None else around
    asked.zero_grad()
    net.begun = BEGUN
    rule(asked, squares if rule.per_example else nn.functional.mse_loss, x, y)
    assert net.begun == BEGUN + ROWS
    return torch.cat([p.grad.flatten() for p in asked.parameters() if p.requires_grad])


@pytest.mark.parametrize(
    ("rule", "factor"),
    [
        (rules.CoordinateDifferences(two_sided=True), 1),
        (rules.CoordinateDifferences(scale=1e-7), 1),
        (rules.NodePerturbation(scale=1e-3, directions=2, rng=0), 1),
        (rules.ActivityForwardGradient(rng=0), 1),
        (rules.ZeroOrderSAM(radius=1e-8, directions=2, rng=0), 1),
        (rules.Repeated(rules.Backprop(), times=3, step=1e-8), 3),
    ],
)
def test_all_queries_see_the_noise_of_the_first(rule: Any, factor: int) -> None:
    net = Noisy()
    expected = estimated(rules.Backprop(), net)
    assert expected.norm() > 0.1
    assert torch.allclose(estimated(rule, net), factor * expected, atol=1e-6)


def test_so_do_those_of_decorrelated_node_perturbation() -> None:
    net = Noisy()
    expected = estimated(rules.Backprop(), net)
    readout, net.readout = net.readout, nn.Identity()  # type: ignore[assignment]
    chain = rules.with_decorrelation(nn.Sequential(net, readout))
    rule = rules.DecorrelatedNodePerturbation(scale=1e-7, rate=0.0, rng=0)
    assert torch.allclose(estimated(rule, net, chain), expected, atol=1e-5)


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize(
    "make",
    [lambda **k: rules.TwoQuery(scale=1e-3, **k), lambda **k: rules.WeightPerturbation(scale=1e-7, **k),
     lambda **k: rules.ForwardGradient(**k)],
)  # fmt: skip
def test_slopes_are_those_along_the_directions(make: Any, chunk: int | None) -> None:
    net = Noisy()
    gradient = estimated(rules.Backprop(), net)
    found = estimated(make(law="sphere", directions=3, rng=3, chunk=chunk), net)
    directions = draw("sphere", 3, 21, generator_of(3), torch.float64)
    assert torch.allclose(found, (directions @ gradient) @ directions / 3, atol=1e-5)


def test_a_forward_gradient_goes_through_the_chances_of_neurons() -> None:
    net = Noisy(readout_only=False)
    gradient = estimated(rules.Backprop(), net)
    found = estimated(rules.ForwardGradient(rng=0), net)  # (∇L·u) u with u of signs
    signs = found.sign()
    assert torch.allclose(found, (gradient @ signs) * signs)
    assert float(gradient[:120].norm()) > 0.05


def test_mezo_asks_both_sides_alike() -> None:
    net, rule = Noisy(), rules.MeZO(scale=1e-3, directions=2, rng=0)
    x, y = batch()
    net.begun = BEGUN
    rule(net, nn.functional.mse_loss, x, y)
    assert net.begun == BEGUN + ROWS
    slopes = [step.slope for step in rule.pending]
    net.begun = BEGUN
    other = rules.MeZO(scale=1e-4, directions=2, rng=0)
    other(net, nn.functional.mse_loss, x, y)
    assert slopes == pytest.approx([step.slope for step in other.pending], abs=1e-6)


def test_differences_of_near_losses_are_small() -> None:
    net = Noisy()
    x, y = batch()
    asked = Batch(net, nn.functional.mse_loss, x, y, Active(net))
    above, below = losses_at(asked, torch.randn(50, 21, dtype=torch.float64), (1e-5, -1e-5))
    assert float((above - below).abs().max()) < 1e-3


def test_a_diagnosis_looks_at_one_noise() -> None:
    net = Noisy()
    x, y = batch()
    found = diagnose(rules.CoordinateDifferences(two_sided=True), net, nn.functional.mse_loss, x, y, repeats=3)
    assert found.relative_variance < 1e-15
    assert found.cosine == pytest.approx(1.0)
    assert net.begun == BEGUN


def test_noise_comes_back_wherever_it_is() -> None:
    net = nn.ModuleList([nn.Dropout(), nn.Sequential(Bernoulli(4, rng=0)), SRM0(4, stochastic=False, rng=1)])
    ask = lambda: [net[0](torch.ones(30)), net[1][0](torch.zeros(5, 3, 4))[0], net[2](torch.ones(5, 3, 4))[0]]  # noqa: E731
    ask()
    noise = SameNoise(net)
    first = ask()
    assert not torch.equal(ask()[1], first[1])
    noise.rewind()
    assert all(torch.equal(a, b) for a, b in zip(ask(), first, strict=True))

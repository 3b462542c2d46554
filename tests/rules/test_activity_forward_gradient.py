"""Oracles: autograd, enumeration of all sign vectors, node perturbation where losses are quadratic."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from small_rules import entropy, flat, generator, normal, same_weights, squared  # noqa: F401
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules import ActivityForwardGradient, NodePerturbation
from sparsefire.rules import node_perturbation as room
from sparsefire.sparsity import sparsify


def curved() -> tuple[nn.Module, Tensor, Tensor]:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.LayerNorm(4), nn.Linear(4, 2)).double()
    return net, normal(3, 3), normal(3, 2, number=1)


def backward(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    exact = copy.deepcopy(net)
    squared(exact(x), y).mean().backward()
    return flat(exact)


@pytest.mark.parametrize("layers", ["all", "each"])
def test_all_sign_vectors_together_give_the_gradient_of_a_curved_network(
    monkeypatch: pytest.MonkeyPatch, layers: str
) -> None:
    net, x, y = curved()
    net[2].requires_grad_(False)
    units = {"all": (6,), "each": (4, 2)}[layers]
    count = 2 ** max(units)
    signs = {n: list(itertools.product((-1.0, 1.0), repeat=n)) for n in units}
    asked = dict.fromkeys(units, 0)

    def all_of_them(law: str, rows: int, size: int, *_: object) -> Tensor:
        number, asked[size] = asked[size], asked[size] + 1
        return torch.tensor([signs[size][(number + 3 * row) % len(signs[size])] for row in range(rows)]).double()

    monkeypatch.setattr(room, "draw", all_of_them)
    ActivityForwardGradient(directions=count, layers=layers)(net, squared, x, y)
    own = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
    exact = copy.deepcopy(net)
    squared(exact(x), y).mean().backward()
    expected = torch.cat([p.grad.flatten() for p in exact.parameters() if p.grad is not None])
    torch.testing.assert_close(own, expected, rtol=1e-10, atol=1e-12)


def test_two_losses_say_the_same_where_losses_are_quadratic() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False)).double()
    x, y = normal(5, 3), normal(5, 2, number=1)
    net[1].weight.requires_grad_(False)  # one layer moves: squared losses are quadratic in its outputs
    found = []
    for rule in (NodePerturbation(0.7, directions=3, rng=4), ActivityForwardGradient(directions=3, rng=4)):
        net.zero_grad()
        rule(net, squared, x, y)
        found.append(net[0].weight.grad.clone())
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


def test_small_noise_of_node_perturbation_has_it_as_its_limit() -> None:
    net, x, y = curved()
    found = []
    for rule in (NodePerturbation(1e-5, rng=4), ActivityForwardGradient(rng=4)):
        net.zero_grad()
        rule(net, squared, x, y)
        found.append(flat(net).clone())
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-8)
    assert float((found[0] - backward(net, x, y)).norm()) > 0.1  # one draw is not the gradient


def test_masks_dropout_and_convolutions() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8, 3)
    ).double()  # fmt: skip
    sparsify(net, 0.5, rng=0)
    x, y = normal(6, 1, 4, 4), torch.arange(6) % 3
    before = net[1].running_mean.clone()
    state = torch.get_rng_state()
    loss = ActivityForwardGradient(directions=2, rng=generator(1))(net, entropy, x, y)
    torch.set_rng_state(state)
    plain = copy.deepcopy(net)
    plain[1].running_mean.copy_(before)
    assert float(loss) == pytest.approx(entropy(plain(x), y).mean().item(), rel=1e-12)
    torch.testing.assert_close(net[1].running_mean, plain[1].running_mean)
    gradient, absent = net[4].parametrizations.weight.original.grad, net[4].weight == 0
    assert absent.any()
    assert gradient[~absent].all()
    assert not gradient[absent].any()


def test_what_forward_differentiation_cannot_pass_is_named() -> None:
    class Written(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            out = torch.zeros(x.shape, dtype=x.dtype)
            with torch.no_grad():
                torch.tanh(x, out=out)
            return out

    net = nn.Sequential(nn.Linear(3, 4), Written(), nn.Linear(4, 2)).double()
    before = [p.clone() for p in net.parameters()]
    with pytest.raises(UserError, match="layer '1' \\(Written\\)"):
        ActivityForwardGradient(rng=0)(net, squared, normal(3, 3), normal(3, 2, number=1))
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_a_loss_without_the_output_leaves_zeros() -> None:
    net, x, y = curved()
    ActivityForwardGradient(rng=0)(net, lambda output, y: y.sum(1), x, y)
    assert not flat(net).any()


@pytest.mark.parametrize(
    "options", [{"directions": 0}, {"law": "cauchy"}, {"layers": "some"}], ids=lambda options: next(iter(options))
)
def test_bad_options(options: dict) -> None:
    with pytest.raises(UserError):
        ActivityForwardGradient(**options)


def test_nan_and_shapes_leave_the_network_alone() -> None:
    net, x, y = curved()
    rule = ActivityForwardGradient(rng=0)
    with pytest.raises(UserError, match="not a number"):
        rule(net, lambda output, y: squared(output, y) * float("nan"), x, y)
    with pytest.raises(UserError, match="one loss per row"):
        rule(net, lambda output, y: squared(output, y).mean(), x, y)
    assert all(p.grad is None for p in net.parameters())

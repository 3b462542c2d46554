"""Oracle: ``loss.backward()`` of plain torch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.rules import Backprop
from sparsefire.sparsity import sparsify


def test_equals_backward_and_accumulates() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))
    twin = copy.deepcopy(net)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):  # no zero_grad between
        x, y = torch.randn(5, 4, generator=generator), torch.randint(0, 3, (5,), generator=generator)
        loss = Backprop()(net, nn.functional.cross_entropy, x, y)
        expected = nn.functional.cross_entropy(twin(x), y)
        expected.backward()
        assert torch.equal(loss, expected.detach())
        assert not loss.requires_grad
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)
    for a, b in zip(net.buffers(), twin.buffers(), strict=True):
        assert torch.equal(a, b)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.layer(a) - self.layer(b)


def test_takes_tuples_and_mappings_and_any_target() -> None:
    net = Two()
    a, b = torch.ones(4, 3), torch.full((4, 3), 2.0)

    def loss_fn(out: Tensor, target: dict[str, Tensor]) -> Tensor:
        return (out - target["y"]).square().sum()

    grads = []
    for x in ((a, b), {"b": b, "a": a}):
        net.zero_grad()
        Backprop()(net, loss_fn, x, {"y": torch.zeros(4, 2)})
        grads.append(net.layer.weight.grad.clone())
    assert torch.equal(*grads)
    assert grads[0].abs().sum() > 0


def test_absent_weights_get_no_gradient_unless_asked() -> None:
    net = nn.Sequential(nn.Linear(5, 4))
    sparsify(net, 0.5, rng=0)
    mask = masks.masks(net)["0"]
    for asked in (False, True):
        net.zero_grad()
        masks.mask_of(net[0]).dense_gradient = asked
        Backprop()(net, nn.functional.mse_loss, torch.ones(3, 5), torch.zeros(3, 4))
        gradient = net[0].parametrizations.weight.original.grad
        assert bool(gradient[~mask].any()) == asked
        assert gradient[mask].any()


def test_vector_losses_are_refused_before_anything_moves() -> None:
    net = nn.Linear(2, 1)
    with pytest.raises(UserError, match="one loss"):
        Backprop()(net, lambda out, y: (out - y).square(), torch.ones(4, 2), torch.zeros(4, 1))
    assert net.weight.grad is None

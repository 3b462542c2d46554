"""Oracles: the balance computed by hand, gradient descent on small graph attention networks, their outputs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.conserved import attention_balance
from sparsefire.propagation.init.attention import balance_attention_


class GAT(nn.Module):
    """Dense graph attention, arXiv:1710.10903, heads side by side or averaged."""

    def __init__(self, given: int, out: int, heads: int = 1, average: bool = False) -> None:
        super().__init__()
        self.lin = nn.Linear(given, heads * out, bias=False)
        self.att_src, self.att_dst = (nn.Parameter(torch.randn(1, heads, out)) for _ in range(2))
        self.bias = nn.Parameter(torch.randn(out if average else heads * out))
        self.heads, self.average = heads, average

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        h = self.lin(x).view(len(x), self.heads, -1)
        scores = (h * self.att_src).sum(-1)[None] + (h * self.att_dst).sum(-1)[:, None]
        share = torch.where(edges[..., None], nn.functional.leaky_relu(scores, 0.2), -torch.inf).softmax(1)
        heads = torch.einsum("uvh,vhc->uhc", share, h)
        return (heads.mean(1) if self.average else heads.flatten(1)) + self.bias


class GATv2(nn.Module):
    """Dense GATv2, arXiv:2105.14491, with a matrix per side."""

    def __init__(self, given: int, out: int) -> None:
        super().__init__()
        self.lin_l, self.lin_r = nn.Linear(given, out, bias=False), nn.Linear(given, out, bias=False)
        self.att = nn.Parameter(torch.randn(1, 1, out))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        left, right = self.lin_l(x), self.lin_r(x)
        scores = nn.functional.leaky_relu(left[None] + right[:, None], 0.2) @ self.att.flatten()
        return torch.where(edges, scores, -torch.inf).softmax(1) @ left


class Net(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = layer(torch.relu(x) if i else x, edges)
        return x


def gat() -> Net:
    return Net(GAT(5, 4, heads=2), GAT(8, 6, heads=3, average=True), GAT(6, 6), GAT(6, 3)).double()


def gatv2() -> Net:
    return Net(GATv2(5, 8), GATv2(8, 6), GATv2(6, 3)).double()


def graph(rng: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rng)
    edges = torch.rand(12, 12, generator=generator) < 0.3
    x = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    return x, edges | torch.eye(12, dtype=torch.bool), torch.randint(0, 3, (12,), generator=generator)


def small(make: Callable[[], Net]) -> Net:
    torch.manual_seed(0)
    net = make()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(0.5)
    return net


def drift(make: Callable[[], Net], rate: float, time: float) -> float:
    net, (x, edges, y) = small(make), graph()
    before = attention_balance(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    for _ in range(round(time / rate)):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x, edges), y).backward()
        optimizer.step()
    return max(float(np.abs(a - b).max()) for a, b in zip(attention_balance(net), before, strict=True))


@pytest.mark.parametrize("make", [gat, gatv2])
def test_gradient_descent_conserves_the_balance_up_to_its_step(make: Callable[[], Net]) -> None:
    coarse, fine = drift(make, 0.02, 4.0), drift(make, 0.01, 4.0)
    assert 1e-9 < fine < 0.02
    assert coarse / fine == pytest.approx(2.0, rel=0.15)  # O(rate): none is left in the limit
    net, moved = small(make), small(make)
    x, edges, y = graph()
    optimizer = torch.optim.SGD(moved.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(moved(x, edges), y).backward()
        optimizer.step()
    change = max(
        float((a - b).detach().square().sum(1).max())
        for a, b in zip(
            [p for p in moved.parameters() if p.ndim == 2], [p for p in net.parameters() if p.ndim == 2], strict=True
        )
    )
    assert change > 20 * coarse  # the weights themselves do move


@pytest.mark.parametrize("make", [gat, gatv2])
def test_keeping_the_weights_keeps_the_function(make: Callable[[], Net]) -> None:
    net, (x, edges, _) = small(make), graph()
    before = net(x, edges)
    assert max(np.abs(values).max() for values in attention_balance(net)) > 0.1
    assert balance_attention_(net, weights="keep") is net
    assert max(np.abs(values).max() for values in attention_balance(net)) < 1e-11
    torch.testing.assert_close(net(x, edges), before)


@pytest.mark.parametrize("make", [gat, gatv2])
def test_a_balanced_start_attends_evenly_and_is_linear(make: Callable[[], Net]) -> None:
    net, (x, edges, _) = small(make), graph()
    balance_attention_(net, rng=0)
    assert max(np.abs(values).max() for values in attention_balance(net)) < 1e-11
    assert not any(p.any() for name, p in net.named_parameters() if "att" in name or "bias" in name)
    torch.testing.assert_close(net(-x, edges), -net(x, edges))  # looks-linear


def test_equal_widths_need_no_rescaling_inside() -> None:
    layers = [(torch.zeros(16, 16, dtype=torch.float64), None) for _ in range(6)]
    balance_attention_(layers, rng=0)
    weight = layers[2][0][:8, :8]
    gram = weight.T @ weight
    torch.testing.assert_close(gram, gram[0, 0] * torch.eye(8, dtype=torch.float64), atol=1e-9, rtol=0)


def test_averaged_heads_by_hand() -> None:
    one, two = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[1.0, -2.0]])
    layers = [(one, [torch.full((4,), 0.5)], torch.tensor([1.0, 0.0])), (two, None)]
    # unit 0 holds rows 0 and 2: 1 + 9 + 1 − (0.25 + 0.25) − 1; unit 1: 4 + 16 − 0.5 − 4
    assert attention_balance(layers)[0].tolist() == [9.5, 15.5]


def test_masks_stay_when_weights_are_kept() -> None:
    net = small(gat)
    mask = torch.rand(6, 6, generator=torch.Generator().manual_seed(1)) < 0.8
    masks.attach_(net.layers[2].lin, mask)
    x, edges, _ = graph()
    before = net(x, edges)
    balance_attention_(net, weights="keep")
    torch.testing.assert_close(net(x, edges), before)
    assert not net.layers[2].lin.weight[~mask].any()
    with pytest.raises(UserError, match="masked"):
        balance_attention_(net)


def odd() -> list[Any]:
    return [(torch.zeros(7, 4), None), (torch.zeros(2, 7), None)]


@pytest.mark.parametrize(
    ("layers", "options", "match"),
    [
        (odd(), {}, "odd width"),
        (odd(), {"weights": "he"}, "'he'"),
        (odd()[:1], {}, "two or more"),
        (nn.Linear(3, 3), {}, "two or more"),
        ([(torch.zeros(6, 4), None), (torch.zeros(2, 5), None)], {}, "layer 1 does not take"),
        ([(torch.zeros(6, 4), torch.zeros(5)), (torch.zeros(2, 6), None)], {}, "attention vector of layer 0"),
        ([(torch.zeros(6), None), (torch.zeros(2, 6), None)], {}, "layer 0 has no weight"),
        ([nn.ReLU(), nn.ReLU()], {}, "layer 0 has no weight"),
        ([(torch.ones(2, 2), None), (torch.tensor([[1.0, 0.0]]), None)], {"weights": "keep"}, "unit 1 of layer 0"),
    ],
)
def test_what_does_not_fit_is_named(layers: Any, options: dict[str, Any], match: str) -> None:
    before = copy.deepcopy(layers)
    with pytest.raises(UserError, match=match):
        balance_attention_(layers, **options)
    if isinstance(layers, list) and isinstance(layers[0], tuple):
        assert torch.equal(layers[0][0], before[0][0])

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

import sparsefire as sf
from sparsefire.propagation import init
from sparsefire.propagation.measures import MEASURES
from sparsefire.propagation.redraws import redraw


def _mlp(depth: int, width: int) -> nn.Sequential:
    return nn.Sequential(*(m for _ in range(depth) for m in (nn.Linear(width, width), nn.ReLU())), nn.Linear(width, 5))


def test_variance_follows_the_scale_of_every_unit() -> None:
    net = nn.Linear(40, 30, bias=False)
    sf.sparsify(net, 0.3, rng=0)
    x = torch.randn(16, 40)
    found = redraw(net, x, 400, 0)[""][:, MEASURES.index("variance")]
    mask, weight = sf.masks.mask_of(net).mask.double(), net.weight.detach().double()
    size = weight.square().sum(1) / mask.sum(1)
    expected = float((x.double().square() @ (mask * size[:, None]).T).mean())
    assert abs(found.mean() - expected) < 4 * found.std() / 20


def test_signs_stay_signs() -> None:
    net = init.signs_(_mlp(1, 30), rng=0)
    masked = copy.deepcopy(net)
    x = torch.eye(30)[:16]
    found = redraw(masked, x, 20, 0)["0"]
    assert np.allclose(found[:, MEASURES.index("variance")], 2 / 30)  # one weight of size √(2/30) each
    normal = redraw(init.in_degree_(_mlp(1, 30), rng=0), x, 20, 0)["0"]
    assert normal[:, MEASURES.index("variance")].std() > 1e-4


def test_the_network_keeps_its_weights_and_masks() -> None:
    net = _mlp(3, 20)
    sf.sparsify(net, 0.2, rng=0)
    before = copy.deepcopy(net.state_dict())
    first, second = (redraw(net, torch.randn(16, 20), 3, 0) for _ in range(2))
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())
    assert set(first) == {"0", "2", "4", "6"}
    assert set(second) == set(first)
    assert len(sf.masks.masks(net)) == 4


def test_the_same_number_gives_the_same_law() -> None:
    net, x = _mlp(2, 10), torch.randn(16, 10)
    assert np.array_equal(redraw(net, x, 4, 7)["2"], redraw(net, x, 4, 7)["2"])
    assert not np.array_equal(redraw(net, x, 4, 7)["2"], redraw(net, x, 4, 8)["2"])

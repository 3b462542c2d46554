"""Oracle: chip constraints by their definition, operations counted by hand.

NeuroBench arXiv:2304.04640; Horowitz 2014 doi:10.1109/ISSCC.2014.6757323; Davies et al. 2018
doi:10.1109/MM.2018.112130359; drift of devices doi:10.1038/s41467-020-16108-9.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sparsefire as sf
from sparsefire import spiking as sp
from sparsefire.errors import UserError


def linear(rows: int, columns: int, number: int = 0) -> nn.Linear:
    layer = nn.Linear(columns, rows)
    layer.weight.data.copy_(torch.randn(rows, columns, generator=torch.Generator().manual_seed(number)))
    return layer


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("scale", ["neuron", "layer", 0.05])
def test_levels(bits: int, scale: Any) -> None:
    layer = linear(20, 30)
    w, top = layer.weight.detach().double().numpy().copy(), 2 ** (bits - 1) - 1
    size = {"neuron": np.abs(w).max(1, keepdims=True) / top, "layer": np.abs(w).max() / top}.get(scale, scale)
    sp.constrain(layer, weight_bits=bits, scale=scale, rng=0)
    wanted = np.clip(np.rint(w / size), -top, top) * size
    close = np.abs(w / size - np.floor(w / size) - 0.5) < 1e-5  # a tie may go either way in single precision
    np.testing.assert_allclose(np.where(close, 0, layer.weight.detach().numpy()), np.where(close, 0, wanted), atol=1e-5)
    assert sp.Chip(weight_bits=bits).levels == top


def test_stochastic_rounding_is_unbiased() -> None:
    layer = nn.Linear(4000, 50, bias=False)
    inner = torch.linspace(-0.97, 0.97, 50)[:, None].expand(-1, 3999)
    layer.weight.data.copy_(torch.cat([torch.ones(50, 1), inner], 1))
    sp.constrain(layer, weight_bits=3, stochastic_rounding=True, rng=1)
    level = 3 * layer.weight.detach().double()[:, 1:]
    x = 3 * inner[:, 0].double()
    low = x.floor()
    assert ((level - low[:, None]).abs() < 1e-4).logical_or((level - low[:, None] - 1).abs() < 1e-4).all()
    part = x - low
    error = (part * (1 - part) / 3999).sqrt()
    assert ((level.mean(1) - x).abs() < 4.5 * error + 1e-5).all()
    assert torch.equal(layer.weight, layer.weight), "drawn once, when weights are written"
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.parametrizations.weight.original.mul_(1.0).add_(1e-9)
    share = (layer.weight != before).float().mean()
    assert 0 <= share < 0.7


def test_fan_in_keeps_the_largest() -> None:
    layer = linear(15, 40)
    w = layer.weight.detach().clone()
    sp.constrain(layer, weight_bits=None, fan_in=7, rng=0)
    kept = layer.weight.detach() != 0
    assert (kept.sum(1) == 7).all()
    for row in range(15):
        assert set(kept[row].nonzero().flatten().tolist()) == set(w[row].abs().topk(7).indices.tolist())
    assert torch.equal(layer.weight.detach()[kept], w[kept])


def test_mismatch_is_log_normal_with_mean_one() -> None:
    spread, n = 0.2, 300
    net = sp.Sequential(nn.Linear(n, n, bias=False), sp.LIF(n, tau=20e-3, v_threshold=1.5))
    nn.init.constant_(net[0].weight, 0.5)
    twin = copy.deepcopy(net)
    sp.constrain(net, weight_bits=None, mismatch=spread, rng=3)
    sp.constrain(twin, weight_bits=None, mismatch=spread, rng=3)
    factor = (net[0].weight.detach() / 0.5).double().numpy().ravel()
    assert torch.equal(net[0].weight, twin[0].weight)
    assert abs(factor.mean() - 1) < 4 * spread / n
    assert abs(factor.std() - spread) < 4 * spread * 1.2 / n
    z = np.log(factor)
    s = math.sqrt(math.log1p(spread**2))
    assert abs(((z - z.mean()) ** 3).mean() / s**3) < 4 * math.sqrt(6) / n, "its logarithm is symmetric"
    assert abs(z.std() - s) < 4 * s / math.sqrt(2) / n
    for values, centre in ((net[1].tau, 20e-3), (net[1].v_threshold, 1.5)):
        ratio = values.double().numpy() / centre
        assert len(np.unique(ratio)) == n
        assert abs(ratio.mean() - 1) < 4 * spread / math.sqrt(n)
        assert abs(ratio.std() / spread - 1) < 0.25


def test_drift_is_a_power_of_time() -> None:
    layer = linear(30, 30)
    w = layer.weight.detach().clone()
    sp.constrain(layer, weight_bits=None, drift=0.06, rng=0)
    for seconds in (1.0, 50.0, 1e6):
        torch.testing.assert_close(sp.age(layer, seconds).weight.detach(), w * seconds**-0.06, rtol=1e-5, atol=1e-7)
    layer = linear(200, 200)
    w = layer.weight.detach().clone()
    sp.constrain(layer, weight_bits=None, drift=0.06, mismatch=0.3, rng=0)
    young = layer.weight.detach().clone()
    nu = -np.log((sp.age(layer, 1e4).weight.detach() / young).double().numpy()) / math.log(1e4)
    assert abs(nu.mean() - 0.06) < 4 * nu.std() / 200
    assert abs(nu.std() / nu.mean() - 0.3) < 0.03


def test_gradients_pass_rounding_but_not_a_chip_without_backward() -> None:
    layer, x = linear(5, 8), torch.randn(6, 8)
    sp.constrain(layer, weight_bits=3, rng=0)
    aim = torch.randn(6, 5)
    (aim * layer(x)).sum().backward()
    torch.testing.assert_close(layer.parametrizations.weight.original.grad, aim.T @ x, rtol=1e-5, atol=1e-5)
    net = sp.Sequential(nn.Linear(8, 5), sp.LIF(5), nn.Linear(5, 2))
    sp.constrain(net, weight_bits=4, backward=False, rng=0)
    out, _ = net(torch.rand(10, 3, 8, requires_grad=True))
    with pytest.raises(Exception, match=r"backward|derivative|gradient"):
        out.sum().backward()


def test_account_by_hand() -> None:
    net = sp.Sequential(nn.Linear(4, 3), sp.LIF(3, tau=1.0001e-3), nn.Linear(3, 2))
    net[0].weight.data.copy_(torch.tensor([[9.0, 0, 0, 0], [0, 9.0, 0, 0], [9.0, 9.0, 0, -9.0]]))
    net[0].bias.data.zero_()
    net[2].weight.data.copy_(torch.tensor([[0.5, 0.0, 0.5], [0.5, 0.5, 0.5]]))
    x = torch.zeros(3, 2, 4)
    x[0, 0, 0] = x[1, 0, 1] = x[2, 0, 3] = x[0, 1, 2] = 1
    hidden = net[1](net[0](x))[0]
    assert hidden[:, 0].tolist() == [[1, 0, 1], [0, 1, 1], [0, 0, 0]]
    assert hidden[:, 1].sum() == 0
    found = sp.energy(net, x)
    # first sample: 2 + 2 + 1 effective in the first layer; (2 + 2) + (1 + 2) in the second; the other sample: none
    assert found.acs == pytest.approx((5 + 7) / 2)
    assert found.macs == 0
    assert found.dense == 3 * (12 + 6)
    assert found.neuron_updates == 9
    assert found.activation_sparsity == pytest.approx(1 - 4 / 18)
    assert found.connection_sparsity == pytest.approx(1 - (5 + 5) / 18)
    assert found.joules == pytest.approx(6 * 0.9e-12 + 9 * 4.6e-12)
    assert sp.energy(net, x, costs=sp.LOIHI).joules == pytest.approx(6 * 23.6e-12 + 2.5 * 81e-12 + 6.5 * 52e-12)
    real = sp.energy(net, 2.5 * x)
    assert real.macs == pytest.approx(5 / 2)
    assert real.acs == pytest.approx(7 / 2)
    assert [layer.binary for layer in real.layers] == [False, True]


def test_account_sees_masks_and_convolutions() -> None:
    torch.manual_seed(0)
    net = sp.Sequential(nn.Linear(40, 30, bias=False), sp.LIF(30))
    sf.sparsify(net, density=0.25, rng=0)
    x = (torch.rand(12, 3, 40) < 0.2).float()
    stored = (net[0].weight != 0).float()
    assert sp.energy(net, x).acs == pytest.approx(float((x @ stored.T).sum()) / 3)
    assert sp.energy(net, x).connection_sparsity == pytest.approx(1 - float(stored.mean()))
    conv = sp.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False), sp.LIF((3, 4, 4)))
    conv[0].weight.data[0, 0] = 0
    image = (torch.rand(5, 2, 2, 8, 8) < 0.3).float()
    ones = (conv[0].weight != 0).float()
    every = nn.functional.conv2d(image.flatten(0, 1), ones, stride=2, padding=1).sum()
    found = sp.energy(conv, image)
    assert found.acs == pytest.approx(float(every) / 2, rel=1e-6)
    assert found.neuron_updates == 5 * 48


def test_cores() -> None:
    net = sp.Sequential(nn.Linear(100, 10), sp.LIF(10), nn.Linear(10, 33), sp.LIF(33))
    nn.init.ones_(net[0].weight)
    nn.init.ones_(net[2].weight)
    chip = sp.Chip(synapses_per_core=250, neurons_per_core=16)
    assert list(sp.cores(net, chip).values()) == [5, 3]  # 2 neurons of 100; 16 neurons of 10
    net[0].weight.data[0, 60:] = 0
    net[0].weight.data[1:3, 30:] = 0  # 60 + 30 + 30 + 100, then twos
    assert next(iter(sp.cores(net, chip).values())) == 1 + 3
    with pytest.raises(UserError):
        sp.cores(net, sp.Chip(synapses_per_core=50))


def test_failure_leaves_the_network_as_it_was() -> None:
    net = sp.Sequential(nn.Linear(100, 10), sp.LIF(10, tau=1.05e-3))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    x = torch.rand(5, 2, 100)
    spikes = net(x)[0]
    for limits in ({"synapses_per_core": 50}, {"mismatch": 0.5}, {"weight_bits": 99}):
        with pytest.raises(UserError):
            sp.constrain(net, rng=1, **limits)
        after = net.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[k], before[k]) for k in before)
        assert torch.equal(net(x)[0], spikes)
    sp.constrain(net, weight_bits=4)
    with pytest.raises(UserError):
        sp.constrain(net, weight_bits=4)


@pytest.mark.parametrize(
    "call",
    [
        lambda: sp.Chip(weight_bits=1),
        lambda: sp.Chip(weight_bits=17),
        lambda: sp.Chip(weight_bits=4.5),
        lambda: sp.Chip(weight_bits="4"),
        lambda: sp.Chip(scale="core"),
        lambda: sp.Chip(scale=0.0),
        lambda: sp.Chip(scale=math.nan),
        lambda: sp.Chip(fan_in=0),
        lambda: sp.Chip(mismatch=-0.1),
        lambda: sp.Chip(mismatch=math.inf),
        lambda: sp.Chip(drift=-0.1),
        lambda: sp.Chip(synapses_per_core=0),
        lambda: sp.Chip(neurons_per_core=1.5),
        lambda: sp.Chip(stochastic_rounding="yes"),
        lambda: sp.constrain(nn.ReLU()),
        lambda: sp.constrain(nn.Linear(2, 2), "chip"),
        lambda: sp.constrain(nn.Linear(2, 2), bits=4),
        lambda: sp.age(nn.Linear(2, 2), 5.0),
        lambda: sp.age(sp.constrain(nn.Linear(2, 2), drift=0.1), 0.5),
        lambda: sp.age(sp.constrain(nn.Linear(2, 2), drift=0.1), math.nan),
        lambda: sp.energy(nn.Linear(2, 2), torch.ones(2)),
        lambda: sp.energy(nn.ReLU(), torch.ones(2, 2, 2)),
        lambda: sp.energy(nn.Linear(2, 2), torch.ones(2, 2, 2), costs=3.0),
        lambda: sp.cores(nn.Conv2d(1, 1, 3), sp.Chip(synapses_per_core=99)),
    ],
)
def test_bad_input(call: Any) -> None:
    with pytest.raises(UserError):
        call()

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.spiking import (
    HOROWITZ,
    LI,
    LIF,
    LOIHI,
    Bernoulli,
    Costs,
    Escape,
    Recurrent,
    Sequential,
    SpikingPerceptron,
    constrain,
    energy,
)


def spikes_in(*shape, rng=0, density=0.3):
    return torch.from_numpy(stream(rng, "input").random(shape) < density).float()


def by_hand(weight, x):
    """Count spike by spike and weight by weight."""
    return sum(
        1 for row in x.flatten(0, 1) for i, given in enumerate(row) if given != 0 for w in weight[:, i] if w != 0
    )


def test_linear_layers_against_a_count_by_hand():
    net = Sequential(nn.Linear(7, 5), LIF(5, tau=2e-3), nn.Linear(5, 4), LIF(4))
    with torch.no_grad():
        net[0].weight.copy_(torch.from_numpy(stream(1, "w").standard_normal((5, 7))) * 5)
    masks.attach_(net[0], torch.from_numpy(stream(2, "mask").random((5, 7)) < 0.5))
    x = spikes_in(12, 3, 7)
    found, hidden = energy(net, x), net[1](net[0](x.flatten(0, 1)).unflatten(0, (12, 3)))[0].detach()
    assert found.layers[0].effective == by_hand(net[0].weight, x) / 3
    assert found.layers[1].effective == by_hand(net[2].weight, hidden) / 3 > 0
    assert found.layers[0].dense == 12 * 35
    assert found.dense == 12 * (35 + 20)
    assert found.acs == found.layers[0].effective + found.layers[1].effective
    assert found.macs == 0
    assert found.neuron_updates == 12 * 9
    out = net(x)[0].detach()
    assert found.activation_sparsity == pytest.approx(1 - float(hidden.sum() + out.sum()) / (12 * 3 * 9))
    kept = int((net[0].weight != 0).sum()) + 20
    assert found.connection_sparsity == pytest.approx(1 - kept / 55)
    assert found.joules == found.acs * 0.9e-12 + 108 * 4.6e-12


def test_numbers_other_than_spikes_are_multiplied():
    x = spikes_in(4, 2, 7) * 0.5
    found = energy(Sequential(nn.Linear(7, 5), LIF(5)), x, costs=LOIHI)
    assert (found.acs, found.macs) == (0, float((x != 0).sum()) * 5 / 2)
    assert found.joules == pytest.approx(found.macs * 23.6e-12 + 20 * 81e-12)
    signed = energy(Sequential(nn.Linear(7, 5)), spikes_in(4, 2, 7) - spikes_in(4, 2, 7, rng=5))
    assert signed.macs == 0
    assert math.isnan(signed.activation_sparsity)


def test_convolutions_against_unfolded_ones():
    layer = nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=True)
    with torch.no_grad():
        layer.weight[0, 1] = 0
    x = spikes_in(5, 2, 2, 6, 6)
    columns = functional.unfold(x.flatten(0, 1), 3, stride=2, padding=1)  # [rows, 18, 9]
    expected = float(columns.sum((0, 2)) @ (layer.weight.flatten(1) != 0).float().sum(0))
    found = energy(Sequential(layer, LIF((3, 3, 3))), x)
    assert found.acs == expected / 2
    inside = functional.unfold(torch.ones_like(x.flatten(0, 1)), 3, stride=2, padding=1)
    assert found.dense == float(inside.sum()) * 3 / 2


def test_a_chip_counts_what_its_levels_leave_and_its_own_bits():
    net = Sequential(nn.Linear(40, 30), LIF(30), nn.Linear(30, 2), LI(2))
    constrain(net, weight_bits=3, rng=0)
    x = spikes_in(10, 2, 40)
    found, zero = energy(net, x), (net[0].weight == 0)
    assert zero.any()
    assert found.layers[0].effective == float((x.sum((0, 1)) * (~zero).sum(0)).sum()) / 2
    kept = sum(int(net[i].weight.count_nonzero()) for i in (0, 2))
    assert found.weight_bytes == kept * 3 / 8
    assert found.neuron_updates == 10 * 32
    hidden = energy(Sequential(*net[:2]), x)
    assert found.activation_sparsity == hidden.activation_sparsity  # a potential is no spike


def test_footprint_is_what_is_stored():
    assert energy(Sequential(nn.Linear(6, 3)), spikes_in(2, 2, 6)).footprint == 4 * 21
    assert energy(Sequential(nn.Linear(6, 3)), spikes_in(2, 2, 6)).weight_bytes == 4 * 18


def test_it_says_where_its_constants_are_from():
    table = energy(Sequential(nn.Linear(6, 3), LIF(3)), spikes_in(2, 2, 6)).table
    assert "Horowitz 2014" in table
    assert "effective ACs" in table
    assert (HOROWITZ.ac, HOROWITZ.mac, LOIHI.ac) == (0.9e-12, 4.6e-12, 23.6e-12)


def test_bad_input():
    net = Sequential(nn.Linear(6, 3))
    for bad in (torch.ones(2, 6), "x", None):
        with pytest.raises(UserError, match="time and batch"):
            energy(net, bad)
    with pytest.raises(UserError, match="nothing to count"):
        energy(nn.Tanh(), torch.ones(2, 2, 6))
    with pytest.raises(UserError, match="costs"):
        energy(net, torch.ones(2, 2, 6), costs=1e-12)
    with pytest.raises(UserError, match="mac"):
        Costs(1e-12, -1.0, 0.0, "nobody")


def test_neurons_that_nothing_reaches_cost_less_where_the_source_says_so():
    net = Sequential(nn.Linear(4, 3, bias=False), LIF(3, tau=1.0001e-3))
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(3, 4) * 9)
    x = torch.zeros(5, 1, 4)
    x[0, 0, 0] = x[2, 0, 1] = x[3, 0, 3] = 1  # two currents, and a spike that meets no weight
    found = energy(net, x, costs=LOIHI)
    assert (found.neuron_updates, found.idle_updates) == (15, 13)
    assert found.joules == pytest.approx(2 * 23.6e-12 + 2 * 81e-12 + 13 * 52e-12)
    assert energy(net, x).joules == pytest.approx(2 * 0.9e-12 + 15 * 4.6e-12)
    assert "52 pJ" in LOIHI.source
    looped = energy(Sequential(nn.Linear(4, 3, bias=False), Recurrent(LIF(3))), x)
    assert (looped.neuron_updates, looped.idle_updates) == (15, 0)


def test_a_perceptron_is_counted_as_the_chain_that_a_chip_runs():
    torch.manual_seed(0)
    net, rows = SpikingPerceptron([6, 8, 3], steps=5), torch.randn(4, 2, 3)
    found, chain = energy(net, rows), energy(net.net, rows.flatten(1).expand(5, -1, -1))
    assert found == chain
    assert found.layers[1].binary
    assert found.layers[1].dense == 5 * 24
    assert found.macs == 5 * 48


def test_the_network_runs_in_evaluation_and_is_left_as_it_was():
    torch.manual_seed(0)
    recurrent = Recurrent(LIF(8, escape=Escape(50.0, 0.3), rng=1))
    net = Sequential(nn.Linear(6, 8), Bernoulli(8, rng=0), nn.BatchNorm1d(8), nn.Dropout(0.5), recurrent)
    net[2].eval()
    x, wrong, modes = torch.randn(5, 4, 6), torch.randn(5, 4, 7), [part.training for part in net.modules()]
    net(x)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    generator = torch.get_rng_state()
    found = energy(net, x)
    assert energy(net, x) == found
    with pytest.raises(RuntimeError):
        energy(net, wrong)
    assert [part.training for part in net.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert (net[1].begun, recurrent.neurons.begun) == (4, 4)
    assert energy(net.eval(), x) == found


def test_what_is_no_network_or_no_sample():
    for samples in (0, -1, 1.5, True):
        with pytest.raises(UserError, match="samples"):
            energy(nn.Linear(3, 2), torch.ones(2, 3), samples=samples)
    with pytest.raises(UserError, match="samples"):
        energy(Sequential(nn.Linear(3, 2)), torch.ones(2, 0, 3))
    with pytest.raises(UserError, match="no network"):
        energy("x", torch.ones(2, 2, 3))
    with pytest.raises(UserError, match="idle"):
        Costs(1e-12, 1e-12, 1e-12, "nobody", idle=-1.0)

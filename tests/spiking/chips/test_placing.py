from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.spiking import LIF, Chip, Sequential, cores


def test_cores_by_hand():
    net = Sequential(nn.Linear(100, 10), LIF(10), nn.Linear(10, 7), LIF(7))
    assert cores(net, Chip(synapses_per_core=256)) == {"0": 5, "2": 1}  # two neurons of 100 a core
    assert cores(net, Chip(synapses_per_core=256, neurons_per_core=1)) == {"0": 10, "2": 7}
    assert cores(net, Chip(neurons_per_core=4)) == {"0": 3, "2": 2}
    assert cores(net, Chip(synapses_per_core=256), fan_in=16) == {"0": 1, "2": 1}


def test_masked_weights_take_no_memory():
    layer, mask = nn.Linear(100, 10), torch.zeros(10, 100, dtype=torch.bool)
    mask[:, :20] = True
    masks.attach_(layer, mask)
    assert cores(layer, Chip(synapses_per_core=100)) == {"": 2}


def test_convolutions_store_their_weights_for_each_neuron():
    net = Sequential(nn.Conv2d(2, 3, 3), LIF((3, 4, 4)), nn.Flatten(), nn.Linear(48, 5))
    # 3 · 16 neurons with 18 synapses, 5 a core of 90; then 5 neurons with 48
    assert cores(net, Chip(synapses_per_core=90), input_shape=(2, 6, 6)) == {"0": 10, "3": 5}
    with pytest.raises(UserError, match="convolution"):
        cores(net, Chip(synapses_per_core=90))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=12), st.integers(8, 20))
def test_never_more_than_twice_the_least(counts, memory):
    weight = torch.zeros(len(counts), 8)
    for row, count in enumerate(counts):
        weight[row, :count] = 1
    layer = nn.Linear(8, len(counts))
    layer.weight = nn.Parameter(weight)
    found = cores(layer, Chip(synapses_per_core=memory))[""]
    least = max(1, -(-sum(counts) // memory))
    assert least <= found <= 2 * least


def test_a_neuron_larger_than_a_core_is_named():
    with pytest.raises(UserError, match="'2'") as caught:
        cores(Sequential(nn.Linear(4, 30), LIF(30), nn.Linear(30, 2)), Chip(synapses_per_core=16))
    assert (caught.value.came, caught.value.attempt) == ("30 synapses", "fan_in=16")


def test_what_is_no_chip_or_no_network():
    for chip in (None, 4, {"synapses_per_core": 256}):
        with pytest.raises(UserError, match="those of a chip"):
            cores(nn.Linear(4, 2), chip)
    with pytest.raises(UserError, match="no network"):
        cores("x", Chip(synapses_per_core=16))

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.spiking import LIF, Chip, CobaLIF, Sequential, constrain, cores


def test_cores_by_hand():
    net = Sequential(nn.Linear(100, 10), LIF(10), nn.Linear(10, 7), LIF(7))
    assert cores(net, Chip(synapses_per_core=256)) == {"0": 5, "2": 1}  # two neurons of 100 a core
    assert cores(net, Chip(synapses_per_core=256, neurons_per_core=1)) == {"0": 10, "2": 7}
    assert cores(net, Chip(neurons_per_core=4)) == {"0": 3, "2": 2}
    assert cores(net, Chip(synapses_per_core=256), fan_in=16) == {"0": 1, "2": 1}


def test_bytes_of_a_core_hold_weights_at_their_bits():
    net = Sequential(nn.Linear(100, 10), LIF(10), nn.Linear(10, 7), LIF(7))
    for bits, taken in ((4, 4), (8, 10), (16, 10), (None, 10)):  # 3 neurons of 50 bytes in 176, 1 of 100, 1 of 200
        memory = {4: 176, 8: 176, 16: 200, None: 400}[bits]
        chip = Chip(weight_bits=bits, bytes_per_core=memory)
        assert chip.most_synapses == 8 * memory // (bits or 32)
        assert cores(net, chip)["0"] == taken
    assert cores(net, Chip(weight_bits=3, bytes_per_core=75)) == {"0": 5, "2": 1}  # 200 weights of 3 bits
    assert cores(net, Chip(weight_bits=3, bytes_per_core=75, synapses_per_core=199))["0"] == 10  # the stricter one
    assert cores(net, Chip(weight_bits=3, bytes_per_core=75, neurons_per_core=1)) == {"0": 10, "2": 7}


@pytest.mark.parametrize("bits", [4, None])
def test_a_neuron_with_more_bytes_than_a_core_is_named(bits):
    net = Sequential(nn.Linear(4, 30), LIF(30), nn.Linear(30, 2))
    with pytest.raises(UserError, match="'2'") as caught:
        constrain(net, weight_bits=bits, bytes_per_core=14 if bits else 112)
    assert caught.value.came == f"30 synapses of {bits or 32} bits"
    assert caught.value.attempt == "fan_in=28"
    constrain(net, weight_bits=bits, bytes_per_core=14 if bits else 112, fan_in=28)
    with pytest.raises(UserError, match="does not fit") as caught:
        cores(nn.Linear(3, 1), Chip(weight_bits=16, bytes_per_core=1))
    assert not caught.value.attempt


def test_a_chip_has_so_many_cores():
    net = Sequential(nn.Linear(100, 10), LIF(10), nn.Linear(10, 7), LIF(7))
    assert sum(cores(net, Chip(synapses_per_core=256, cores=6)).values()) == 6
    for call in (cores, constrain):
        with pytest.raises(UserError, match="more cores than the chip has") as caught:
            call(net, Chip(synapses_per_core=256, cores=5))
        assert caught.value.came == "6: 5 for '0', 1 for '2'"
        assert caught.value.expected == "at most 5"
    assert not hasattr(net[0], "parametrizations")  # as it was
    constrain(net, synapses_per_core=256, cores=6)
    with pytest.raises(UserError, match="depends on what one holds"):
        Chip(cores=4)
    for limits in ({"cores": 0}, {"cores": True}, {"bytes_per_core": 0.5}, {"bytes_per_core": "1k"}):
        with pytest.raises(UserError, match=f"{next(iter(limits))} is out of range"):
            Chip(**{"synapses_per_core": 9, **limits})


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


@pytest.mark.parametrize("kind", [LIF, CobaLIF])
def test_convolutions_have_as_many_positions_in_front_of_conductances(kind):
    for conv, units, shape, taken in (
        (nn.Conv2d(1, 8, 3), (8, 4, 4), (1, 6, 6), 13),  # 128 neurons, 10 a core
        (nn.Conv1d(2, 3, 2), (3, 7), (2, 8), 3),
        (nn.Conv3d(1, 2, 2), (2, 2, 2, 3), (1, 3, 3, 4), 3),
    ):
        net = Sequential(conv, kind(units))
        assert cores(net, Chip(4, neurons_per_core=10), input_shape=shape) == {"0": taken}


def test_the_fan_in_of_the_chip_counts():
    layer, chip = nn.Linear(100, 10), Chip(4, fan_in=5, synapses_per_core=20)
    assert cores(layer, chip) == {"": 3}  # 4 neurons of 5 a core
    assert cores(layer, chip, fan_in=10) == {"": 5}
    constrain(layer, chip)
    assert cores(layer, chip) == {"": 3}
    with pytest.raises(UserError, match="does not fit"):
        cores(nn.Linear(100, 10), Chip(4, fan_in=21, synapses_per_core=20))


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

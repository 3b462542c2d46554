"""Oracle: the same recursion written out, and a layer whose recurrent weights are zero."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sparsefire.errors import UserError
from sparsefire.spiking import LIF, CubaLIF, Recurrent, RecurrentState, Sequential


def test_spikes_come_back_a_step_later() -> None:
    torch.manual_seed(0)
    net = Recurrent(LIF(5, v_threshold=0.4)).double()
    x = 2 * torch.rand(30, 3, 5, dtype=torch.float64)
    found, state = net(x)
    spikes, v = torch.zeros(3, 5).double(), torch.zeros(3, 5).double()
    a, weight = float(net.neurons.decay), net.weights.weight
    for t in range(30):
        v = a * v + (1 - a) * (x[t] + spikes @ weight.T)
        spikes = (v > 0.4).double()
        v = v * (1 - spikes)
        torch.testing.assert_close(found[t], spikes)
    torch.testing.assert_close(state.neurons.v, v)
    assert found.sum() > 10


def test_no_weights_are_no_recurrence() -> None:
    weights = nn.Linear(5, 5, bias=False)
    nn.init.zeros_(weights.weight)
    x = 2 * torch.rand(30, 3, 5)
    for cell in (LIF(5), CubaLIF(5)):
        torch.testing.assert_close(Recurrent(cell, weights)(x)[0], cell(x)[0])


def test_time_goes_on_from_a_state() -> None:
    torch.manual_seed(0)
    net = Sequential(nn.Linear(4, 6), Recurrent(LIF(6, v_threshold=0.2)), nn.Linear(6, 2))
    x = 2 * torch.rand(30, 3, 4)
    whole, _ = net(x)
    first, state = net(x[:11])
    second, _ = net(x[11:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    whole.sum().backward()
    assert net[1].weights.weight.grad.abs().sum() > 0
    assert "1.weights.weight" in net.state_dict()


def test_bad_input() -> None:
    for neurons, weights, words in (
        (nn.Linear(2, 2), None, "flat neurons"), (LIF((2, 3)), None, "flat neurons"),
        (Recurrent(LIF(2)), None, "flat neurons"), (LIF(2), nn.Linear(2, 2), "recurrent weights"),
        (LIF(2), nn.Linear(2, 3, bias=False), "recurrent weights"), (LIF(2), torch.ones(2, 2), "recurrent weights"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            Recurrent(neurons, weights)
    net, x = Recurrent(LIF(2)), torch.ones(3, 4, 2)
    _, state = net(x)
    for bad, words in (
        ((state.spikes, state.neurons), "no state"), (RecurrentState(state.spikes[:2], state.neurons), "another batch"),
        (RecurrentState(state.spikes, state.neurons._replace(v=torch.zeros(2, 2))), "another batch"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            net(x, bad)

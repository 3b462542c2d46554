"""Layers in front of conductances: one synapse opens one conductance, as a loop over synapses says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sparsefire import masks
from sparsefire.spiking import LIF, STDP, Chip, CobaLIF, Plastic, Sequential, constrain, energy


def layer(inputs: int = 6, outputs: int = 4, seed: int = 0, bias: bool = True) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(inputs, outputs, bias=bias).double()


def cells(units: Any = 4) -> CobaLIF:
    return CobaLIF(units, v_threshold=100.0, tau_e=5e-3, tau_i=10e-3)


def by_synapse(weight: Any, bias: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the conductances [batch, unit] after x [time, batch, in], synapse by synapse."""
    weight, bias = weight.detach().numpy(), np.zeros(len(weight)) if bias is None else bias.detach().numpy()
    g_e, g_i = np.zeros((2, x.shape[1], len(weight)))
    for step in x:
        g_e, g_i = g_e * math.exp(-1e-3 / 5e-3), g_i * math.exp(-1e-3 / 10e-3)
        for sample, row in enumerate(step):
            for unit in range(len(weight)):
                for arrival in [*(weight[unit] * row), bias[unit]]:
                    if arrival > 0:
                        g_e[sample, unit] += arrival
                    else:
                        g_i[sample, unit] -= arrival
    return g_e, g_i


def agree(net: Sequential, weight: Any, bias: Any, x: torch.Tensor) -> None:
    state = net(x)[1][-1]
    g_e, g_i = by_synapse(weight, bias, x.numpy())
    np.testing.assert_allclose(state.g_e.detach(), g_e, rtol=0, atol=1e-12)
    np.testing.assert_allclose(state.g_i.detach(), g_i, rtol=0, atol=1e-12)


def test_excitation_and_inhibition_of_one_step_do_not_cancel() -> None:
    made = nn.Linear(2, 1, bias=False)
    made.weight.data[:] = torch.tensor([[0.5, -0.5]])
    cell = CobaLIF(1)
    state = Sequential(made, cell)(torch.ones(1, 1, 2))[1][0]
    assert state.g_e.tolist() == state.g_i.tolist() == [[0.5]]
    summed = Sequential(made, nn.Identity(), cell)(torch.ones(1, 1, 2))[1][0]
    assert summed.g_e.tolist() == summed.g_i.tolist() == [[0.0]]


@pytest.mark.parametrize("kind", ["spikes", "numbers"])
@pytest.mark.parametrize("bias", [True, False])
def test_as_a_loop_over_synapses(kind: str, bias: bool) -> None:
    made, draw = layer(bias=bias), torch.Generator().manual_seed(1)
    x = torch.randn(15, 3, 6, dtype=torch.float64, generator=draw)
    x = (x > 0).double() if kind == "spikes" else x
    agree(Sequential(made, cells()), made.weight, made.bias, x)
    inner = Sequential(made, Sequential(cells(), nn.Identity()))(x)[1][0][0]
    assert torch.equal(inner.g_e, Sequential(made, cells())(x)[1][0].g_e)


def test_masks_chips_and_plastic_layers() -> None:
    x = (torch.rand(10, 2, 6, generator=torch.Generator().manual_seed(1)) < 0.4).double()
    masked = layer()
    masks.attach_(masked, torch.rand(4, 6, generator=torch.Generator().manual_seed(2)) < 0.5)
    agree(Sequential(masked, cells()), masked.weight, masked.bias, x)
    plastic = Plastic(masked, STDP())
    agree(Sequential(plastic, cells()), masked.weight, masked.bias, x)
    net = constrain(Sequential(plastic, cells()), Chip(weight_bits=3, backward=False), rng=0)
    agree(net, masked.weight, masked.bias, x)  # it is listened to: derivatives end there
    assert "forward" not in vars(masked)


def test_convolutions() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 4, 2, groups=2, padding=1, padding_mode="circular").double()
    x = torch.randn(3, 2, 2, 3, 3, dtype=torch.float64)
    state = Sequential(conv, cells((4, 4, 4)))(x)[1][0]
    as_linear = nn.Linear(18, 64).double()
    eye = torch.eye(18, dtype=torch.float64).view(18, 2, 3, 3)
    with torch.no_grad():
        as_linear.bias.copy_(conv.bias[:, None].expand(4, 16).reshape(64))
        as_linear.weight.copy_((conv(eye) - conv(torch.zeros_like(eye))).flatten(1).t())
    flat = Sequential(as_linear, cells(64))(x.flatten(2))[1][0]
    assert torch.allclose(state.g_e.flatten(1), flat.g_e, atol=1e-12)
    assert torch.allclose(state.g_i.flatten(1), flat.g_i, atol=1e-12)


def test_gradients_by_finite_differences() -> None:
    made, draw = layer(), torch.Generator().manual_seed(3)
    net = Sequential(made, cells())
    x = torch.randn(4, 2, 6, dtype=torch.float64, generator=draw).requires_grad_()

    def ends(weight: torch.Tensor, bias: torch.Tensor, given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        state = torch.func.functional_call(net, {"0.weight": weight, "0.bias": bias}, (given,))[1][0]
        return state.v, state.g_e, state.g_i

    assert torch.autograd.gradcheck(ends, (made.weight, made.bias, x))


def test_silent_inputs_and_zero_weights_learn() -> None:
    made = nn.Linear(3, 1, bias=False)
    made.weight.data[:] = torch.tensor([[0.5, -0.25, 0.0]])
    x = torch.tensor([[[0.0, 0.0, 1.0]]], requires_grad=True)
    for part in ("g_e", "g_i"):
        getattr(Sequential(made, cells(1))(x)[1][0], part).sum().backward()
    assert x.grad.tolist() == [[[0.5, 0.25, 0.0]]]
    assert made.weight.grad.tolist() == [[0.0, 0.0, 1.0]]  # towards excitation alone


def test_hooks_hear_and_are_heard() -> None:
    made, heard = layer(), []
    net, x = Sequential(made, cells()), torch.rand(5, 2, 6).double()
    plain = net(x)[1][0]
    handle = made.register_forward_hook(lambda _, given, output: heard.append((given[0].shape, output.shape)))
    again = net(x)[1][0]
    assert heard == [((10, 6), (10, 2, 4))]
    assert torch.equal(again.g_i, plain.g_i)
    handle.remove()
    made.register_forward_hook(lambda _, __, output: output + 1)
    assert bool((net(x)[1][0].g_i > plain.g_i + 0.9).all())
    assert "forward" not in vars(made)
    with pytest.raises(RuntimeError):
        net(torch.rand(5, 2, 7).double())
    assert "forward" not in vars(made)


def test_operations_are_counted() -> None:
    made = nn.Linear(2, 2, bias=False)
    made.weight.data[:] = torch.tensor([[0.5, -0.5], [0.5, 0.0]])
    net = Sequential(made, cells(2))
    found = energy(net, torch.tensor([[[1.0, 1.0]], [[0.0, 1.0]], [[0.0, 0.0]]]))
    assert (found.acs, found.dense, found.neuron_updates) == (4.0, 12.0, 6.0)
    assert found.idle_updates == 3.0  # what cancels reaches a neuron all the same


def test_other_neurons_hear_the_sum() -> None:
    made = layer()
    net, x = Sequential(made, LIF(4)), torch.rand(5, 2, 6).double()
    assert torch.equal(net(x)[1][0].v, net[1](made(x))[1].v)


def test_layers_of_their_own_kind_are_left_alone() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    own = Doubled(6, 4)
    x = torch.rand(5, 2, 6)
    assert torch.equal(Sequential(own, cells())(x)[1][0].g_e, cells()(own(x))[1].g_e)

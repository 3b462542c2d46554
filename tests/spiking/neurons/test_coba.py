"""Conductance synapses against an accurate solution of their differential equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from sparsefire.errors import UserError
from sparsefire.spiking import CobaLIF

TAU, TAU_E, TAU_I = 20e-3, 5e-3, 10e-3


def exact(t: float) -> float:
    """v at t after arrivals of 3 (excitatory) and 2 (inhibitory) at time 0."""

    def slope(s: float, v: np.ndarray) -> np.ndarray:
        g_e, g_i = 3 * math.exp(-s / TAU_E), 2 * math.exp(-s / TAU_I)
        return (-v + g_e * (4.0 - v) + g_i * (-1.0 - v)) / TAU

    return float(integrate.solve_ivp(slope, (0, t), [0.0], rtol=1e-11, atol=1e-12).y[0, -1])


def test_order_of_convergence_is_one() -> None:
    errors = []
    for dt in (1e-3, 1e-4):
        cell = CobaLIF(1, TAU, v_threshold=10.0, dt=dt, tau_e=TAU_E, tau_i=TAU_I)
        x = torch.zeros(round(15e-3 / dt), 1, 1, dtype=torch.float64)
        state = cell.initial_state(1, x)._replace(g_e=torch.full((1, 1), 3.0), g_i=torch.full((1, 1), 2.0))
        errors.append(abs(float(cell(x, state)[1].v) - exact(15e-3)))
    assert 0.9 < math.log10(errors[0] / errors[1]) < 1.1


def test_signs_open_their_conductance() -> None:
    cell = CobaLIF(3, v_threshold=10.0)
    _, state = cell(torch.tensor([[[0.5, -0.25, 0.0]]], dtype=torch.float64))
    assert state.g_e.tolist() == [[0.5, 0.0, 0.0]]
    assert state.g_i.tolist() == [[0.0, 0.25, 0.0]]


def test_two_amounts_open_both() -> None:
    cell = CobaLIF(3, v_threshold=10.0)
    amounts = torch.tensor([[0.5, 0.2, 0.0], [0.5, -0.1, 0.3]], dtype=torch.float64).view(1, 1, 2, 3)
    _, state = cell(amounts)
    assert state.g_e[0].tolist() == pytest.approx([0.5, 0.3, 0.0])  # negative inhibition excites
    assert state.g_i[0].tolist() == pytest.approx([0.5, 0.0, 0.3])
    wide = CobaLIF((2, 3), v_threshold=10.0)  # two rows of neurons, not two amounts
    _, one = wide(amounts)
    assert one.g_e.shape == (1, 2, 3)
    assert float(one.g_e[0, 1, 0]) == 0.5
    _, two = wide(torch.stack([amounts, amounts], 2))
    assert torch.allclose(two.g_i, one.g_e + one.g_i)
    assert cell(torch.zeros(0, 4, 2, 3))[0].shape == (0, 4, 3)


def test_shunting_divides() -> None:
    """Inhibition that reverses at rest does nothing alone, and takes from what excitation does."""
    cell = CobaLIF(1, TAU, v_threshold=10.0, v_i=0.0, tau_e=TAU_E, tau_i=TAU_I)
    ends = {}
    for excite, inhibit in ((0.0, 0.3), (0.2, 0.0), (0.2, 0.3)):
        x = torch.tensor([excite, inhibit], dtype=torch.float64).expand(2000, 1, 2).reshape(2000, 1, 2, 1)
        ends[excite, inhibit] = float(cell(x)[1].v)
    g_e, g_i = 0.2 / (1 - math.exp(-1e-3 / TAU_E)), 0.3 / (1 - math.exp(-1e-3 / TAU_I))
    assert ends[0.0, 0.3] == 0
    assert ends[0.2, 0.0] == pytest.approx(4 * g_e / (1 + g_e), rel=1e-10)
    assert ends[0.2, 0.3] == pytest.approx(4 * g_e / (1 + g_e + g_i), rel=1e-10)


def test_never_beyond_the_reversal_potentials() -> None:
    draw = torch.Generator().manual_seed(0)
    cell = CobaLIF(5, v_threshold=100.0, v_e=4.0, v_i=-1.0)
    x = 50 * torch.randn(1, 2, 5, generator=draw)
    state = None
    for _ in range(100):
        _, state = cell(50 * torch.randn(x.shape, generator=draw), state)
        assert (state.v <= 4.0).all()
        assert (state.v >= -1.0).all()


def test_constant_input_reaches_the_fixed_point() -> None:
    cell = CobaLIF(1, TAU, v_threshold=10.0, tau_e=TAU_E)
    _, state = cell(torch.full((1000, 1, 1), 0.2, dtype=torch.float64))
    g = 0.2 / (1 - math.exp(-1e-3 / TAU_E))
    assert float(state.v) == pytest.approx(4 * g / (1 + g), rel=1e-10)


def test_bad_parameters() -> None:
    with pytest.raises(UserError, match="time constant"):
        CobaLIF(2, tau_e=0.1e-3)
    with pytest.raises(UserError, match="reversal"):
        CobaLIF(2, v_e=-2.0)
    for bad in (torch.zeros(3, 1, 3, 2), torch.zeros(3, 1, 2, 3), torch.zeros(3, 1, 2, 2).long(), None):
        with pytest.raises(UserError):
            CobaLIF(2)(bad)

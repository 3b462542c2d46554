"""Current synapses against the closed form of two exponentials, and another library spike for spike."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sparsefire.errors import UserError
from sparsefire.spiking import CubaLIF

SYN, MEM = 5e-3, 20e-3


@pytest.mark.parametrize("discretisation", ["exponential", "euler"])
def test_order_of_convergence_is_one(discretisation: str) -> None:
    # A constant current I from rest: v = RwI (1 − (τ_m e^(−t/τ_m) − τ_s e^(−t/τ_s))/(τ_m − τ_s)).
    errors, t = [], 30e-3
    exact = 3.0 * (1 - (MEM * math.exp(-t / MEM) - SYN * math.exp(-t / SYN)) / (MEM - SYN))
    for dt in (1e-3, 1e-4):
        cell = CubaLIF(1, SYN, MEM, v_threshold=10.0, dt=dt, r=2.0, w_in=3.0, discretisation=discretisation)
        _, state = cell(torch.full((round(t / dt), 1, 1), 0.5, dtype=torch.float64))
        errors.append(abs(float(state.v) - exact))
    assert 0.9 < math.log10(errors[0] / errors[1]) < 1.1


def test_a_spike_jumps_by_its_weight() -> None:
    alpha = math.exp(-1e-3 / SYN)
    cell = CubaLIF(1, SYN, MEM, w_in=1 / (1 - alpha))
    x = torch.zeros(4, 1, 1, dtype=torch.float64)
    x[0] = 0.7
    assert float(cell(x)[1].i) == pytest.approx(0.7 * alpha**3, rel=1e-12)


def test_spike_for_spike_as_snntorch() -> None:
    snntorch = pytest.importorskip("snntorch")
    draw = np.random.default_rng(0)
    current = torch.from_numpy(draw.normal(2.0, 8.0, (300, 3, 20)))
    alpha, beta = 1 - 1e-3 / SYN, 1 - 1e-3 / MEM
    spikes, _ = CubaLIF(20, SYN, MEM, discretisation="euler")(current)
    other = snntorch.Synaptic(
        alpha=torch.tensor(alpha, dtype=torch.float64), beta=torch.tensor(beta, dtype=torch.float64),
        reset_mechanism="zero", reset_delay=False,
    )  # fmt: skip
    i, v, found = torch.zeros(3, 20, dtype=torch.float64), torch.zeros(3, 20, dtype=torch.float64), []
    for part in current * (1 - alpha) * (1 - beta):
        fired, i, v = other(part, i, v)
        found.append(fired)
    assert torch.equal(torch.stack(found).to(spikes), spikes)
    assert spikes.mean() > 0.02


@pytest.mark.parametrize("name", ["tau_syn", "tau_mem"])
def test_bad_time_constants(name: str) -> None:
    with pytest.raises(UserError, match="time constant"):
        CubaLIF(2, **{name: 0.9e-3})
    with pytest.raises(UserError, match="out of range"):
        CubaLIF(2, w_in=float("nan"))

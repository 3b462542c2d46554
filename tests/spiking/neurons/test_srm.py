"""The spike response model is a renewal process, or one with a memory of all spikes; both against their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sparsefire.errors import UserError
from sparsefire.spiking import SRM0, Escape

DT, AFTER, TAU_AFTER = 1e-3, -2.0, 15e-3


def renewal(refractory: int) -> tuple[float, float]:
    """Mean and standard deviation of the interval: fires k steps after a spike with 1 − exp(−ρ(h + η(k dt) − θ) dt)."""
    k = np.arange(1, 20_001)
    rate = 60.0 * np.exp((0.9 + AFTER * np.exp(-k * DT / TAU_AFTER) - 1.0) / 0.4) * (k > refractory)
    stays = np.exp(-np.cumsum(rate) * DT)
    law = -np.diff(np.concatenate([[1.0], stays]))
    mean = float(law @ (k * DT))
    return mean, math.sqrt(float(law @ (k * DT) ** 2) - mean**2)


@pytest.mark.parametrize("refractory", [0, 4])
def test_the_last_spike_makes_a_renewal_process(refractory: int) -> None:
    cell = SRM0(
        50, DT * 20, v_leak=0.9, after=AFTER, tau_after=TAU_AFTER, refractory=refractory * DT,
        escape=Escape(rate=60.0, width=0.4), rng=2,
    )  # fmt: skip
    spikes, _ = cell(torch.zeros(2000, 2, 50, dtype=torch.float64))
    found = np.concatenate([np.diff(np.flatnonzero(train)) for train in spikes.flatten(1).T.numpy()]) * DT
    mean, spread = renewal(refractory)
    assert abs(found.mean() - mean) < 4 * spread / math.sqrt(len(found))
    assert abs(found.std() - spread) < 0.05 * spread
    assert found.min() > (refractory + 0.5) * DT


def test_all_spikes_add_up() -> None:
    cell = SRM0(3, tau=10e-3, after=-0.5, tau_after=30e-3, memory="all", rng=0)
    spikes, state = cell(torch.full((100, 2, 3), 3.0, dtype=torch.float64))
    ages = torch.arange(99, -1, -1, dtype=torch.float64) * 1e-3
    expected = -0.5 * (spikes * torch.exp(-ages / 30e-3)[:, None, None]).sum(0)
    assert spikes.sum() > 20
    assert torch.allclose(state.after, expected)


def test_the_input_is_not_reset() -> None:
    cell = SRM0(1, tau=20e-3, rng=0)
    spikes, state = cell(torch.full((100, 1, 1), 3.0, dtype=torch.float64))
    assert spikes.sum() > 0
    assert float(state.h) == pytest.approx(3 * (1 - math.exp(-5)))


def test_bad_parameters() -> None:
    for bad in (
        {"memory": "some"},
        {"escape": "erf"},
        {"tau_after": 1e-4},
        {"after": float("nan")},
        {"refractory": -1},
    ):
        with pytest.raises(UserError):
            SRM0(2, **bad)

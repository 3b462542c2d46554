"""Neurons without a leak."""

from __future__ import annotations

import torch

from sparsefire.spiking import IF


def test_integrate_and_fire_counts() -> None:
    # dv/dt = R I: with a soft reset as many spikes as thresholds fit into the integral.
    x = torch.rand(1000, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spikes, state = IF(5, r=100.0, dt=1e-3, reset="soft")(x)
    assert torch.allclose(spikes.sum(0) + state.v, 0.1 * x.sum(0))
    assert spikes.sum() > 400

"""Leaky integrators are linear filters."""

from __future__ import annotations

import numpy as np
import torch
from scipy import signal

from sparsefire.spiking import LI


def test_readout_is_a_linear_filter() -> None:
    x = np.random.default_rng(0).normal(size=(200, 2, 3))
    v, _ = LI(3, tau=20e-3, dt=1e-3, r=2.0)(torch.from_numpy(x))
    a = np.exp(-1 / 20)
    assert np.allclose(v.numpy(), signal.lfilter([2 * (1 - a)], [1, -a], x, axis=0), atol=1e-12)


def test_readout_rests_at_its_leak() -> None:
    v, _ = LI(3, v_leak=[-1.0, 0.0, 2.0])(torch.zeros(50, 1, 3))
    assert torch.allclose(v[-1, 0], torch.tensor([-1.0, 0.0, 2.0]))

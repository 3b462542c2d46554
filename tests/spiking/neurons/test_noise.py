"""The random numbers: those of SplitMix64, uniform, unrelated between units, steps and sequences."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from sparsefire.spiking.neurons._noise import _GOLDEN, Noise, _mixed

MASK = (1 << 64) - 1


def reference(state: int) -> int:
    """SplitMix64 in Python integers."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_is_splitmix() -> None:
    # The first number for seed 1234567, as published with the reference implementation.
    assert reference(1234567) == 6457827717110365317
    states = [0, 1, 1234567, (1 << 63) - 1]
    found = _mixed(torch.tensor(states) + _GOLDEN)
    assert [int(z) & MASK for z in found] == [reference(state) for state in states]


def test_uniform_and_unrelated() -> None:
    noise = Noise(0, 100)
    drawn = noise.begin(40)
    places = noise.streams(drawn)
    u = torch.stack([noise.uniforms(places, step) for step in range(50)]).numpy()  # [step, sequence, unit]
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    for axis in range(3):
        a, b = np.moveaxis(u, axis, 0)[:-1].ravel(), np.moveaxis(u, axis, 0)[1:].ravel()
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(a.size)
    assert len(np.unique(u)) == u.size


def test_step_by_step_is_the_same() -> None:
    noise = Noise(0, 5)
    drawn = noise.begin(3)
    ahead = noise.uniforms(noise.streams(drawn), 7)
    later = noise.uniforms(noise.streams(drawn + torch.tensor([0, 7])), 0)
    assert torch.equal(ahead, later)

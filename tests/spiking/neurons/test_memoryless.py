"""Bernoulli and Poisson units: rates, independence, gradients in the mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from sparsefire.errors import UserError
from sparsefire.spiking import Bernoulli, Poisson


def test_bernoulli_fires_with_its_probability() -> None:
    logits = torch.tensor([-2.0, 0.0, 1.0])
    spikes, _ = Bernoulli(3, rng=0)(logits.expand(4000, 5, 3))
    p = torch.sigmoid(logits)
    error = (p * (1 - p) / 20_000).sqrt()
    assert ((spikes.mean((0, 1)) - p).abs() < 4 * error).all()


@pytest.mark.parametrize("link", ["linear", "exponential"])
def test_poisson_intervals(link: str) -> None:
    rate, dt = 40.0, 1e-3
    drive = rate if link == "linear" else math.log(rate)
    spikes, _ = Poisson(20, dt, link=link, rng=0)(torch.full((5000, 1, 20), drive, dtype=torch.float64))
    gaps = np.concatenate([np.diff(np.flatnonzero(train)) for train in spikes[:, 0].T.numpy()])
    p = -math.expm1(-rate * dt)
    counts = np.bincount(np.minimum(gaps, 60), minlength=61)[1:]
    law = np.append(stats.geom.pmf(np.arange(1, 60), p), stats.geom.sf(59, p))
    assert stats.chisquare(counts, law * counts.sum()).pvalue > 1e-3


def test_gradients_are_those_of_the_probability() -> None:
    logits = torch.tensor([[[-1.0, 0.5]]], requires_grad=True)
    Bernoulli(2, rng=0)(logits)[0].sum().backward()
    p = torch.sigmoid(logits.detach())
    assert torch.allclose(logits.grad, p * (1 - p))


def test_noise_off() -> None:
    spikes, _ = Bernoulli(2, stochastic=False)(torch.tensor([[[-0.1, 0.1]]]))
    assert spikes.flatten().tolist() == [0.0, 1.0]


def test_bad_link() -> None:
    with pytest.raises(UserError, match="no such link"):
        Poisson(2, link="log")

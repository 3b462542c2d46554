"""Oracles: the law of χ² mixtures in closed form, Monte Carlo of single layers, and layers that are the same layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma
from scipy.stats import binom
from torch import nn

from sparsefire import masks
from sparsefire.propagation.init.population import expected_log, gains
from sparsefire.propagation.init.walk import layers_of


def relu_log(n: int) -> float:
    """E[log of the mean of n relu(g)², given one is positive] by the binomial number of units that live."""
    j = np.arange(1, n + 1)
    return float((binom.pmf(j, n, 0.5) * (digamma(j / 2) + np.log(2 / n))).sum() / (1 - 0.5**n))


def chain(*layers: nn.Module) -> list:
    return layers_of(nn.Sequential(*layers))


def masked(layer: nn.Module, mask: torch.Tensor) -> nn.Module:
    masks.attach_(layer, mask)
    return layer


@pytest.mark.parametrize("n", [1, 2, 3, 10, 64, 1000])
def test_dense_layers_in_closed_form(n: int) -> None:
    value, alive = expected_log(np.full((1, n), 0.7), 0.0)
    assert value[0] == pytest.approx(relu_log(n) + np.log(0.7), abs=2e-8)
    assert alive[0] == pytest.approx(1 - 0.5**n, abs=1e-15)
    for slope in (1.0, -1.0):
        value, alive = expected_log(np.ones((1, n)), slope)
        assert value[0] == pytest.approx(digamma(n / 2) + np.log(2 / n), abs=2e-8)
        assert alive[0] == 1


@pytest.mark.parametrize("slope", [0.0, 0.3, -0.5])
def test_uneven_variances_by_monte_carlo(slope: float) -> None:
    rng = np.random.default_rng(0)
    s = np.array([0.0, 1e-6, 0.1, 0.5, 3.0, 20.0])
    h = rng.standard_normal((400_000, 6)) * np.sqrt(s)
    total = (np.where(h > 0, h, slope * h) ** 2).mean(axis=1)
    logs = np.log(total[total > 0])
    value, alive = expected_log(s[None], slope)
    assert abs(value[0] - logs.mean()) < 4 * logs.std() / np.sqrt(len(logs))
    assert alive[0] == pytest.approx(1 - 2**-5 if slope == 0 else 1)
    assert abs((total > 0).mean() - alive[0]) < 4 * np.sqrt(2**-5 / 400_000) + 1e-12


def test_no_variance_at_all_is_death() -> None:
    for slope in (0.0, 0.5, 1.0):
        value, alive = expected_log(np.array([[0.0, 0.0], [1.0, 1.0]]), slope)
        assert (value[0], alive[0]) == (0, 0)
        assert alive[1] > 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20),
    st.floats(-1, 1),
    st.floats(1e-6, 1e6),
)
def test_the_logarithm_follows_the_scale(s: list[float], slope: float, scale: float) -> None:
    one, two = (expected_log(np.array([s]) * c, slope)[0][0] for c in (1.0, scale))
    assert two - one == pytest.approx(np.log(scale), abs=1e-7)
    assert one <= np.log(np.mean(s) * (1 + slope**2)) + 1e-6  # Jensen; given life at most twice the mean


def test_gains_of_dense_layers_are_exact() -> None:
    layers = chain(nn.Linear(9, 20), nn.Linear(20, 5), nn.Linear(5, 7))
    expected = [np.exp(-relu_log(20) / 2), np.exp(-relu_log(5) / 2), np.exp(-(digamma(3.5) + np.log(2 / 7)) / 2)]
    np.testing.assert_allclose(gains(layers, 0.0, rng=0), expected, rtol=1e-7)
    wide = gains(chain(nn.Linear(4, 5000), nn.Linear(5000, 5000), nn.Linear(5000, 5000)), 0.0, rng=0)
    np.testing.assert_allclose(wide, [2**0.5, 2**0.5, 1], rtol=1e-3)


def test_a_full_mask_is_no_mask() -> None:
    """Then s varies by rounding alone, and the exact gain comes out of the population."""
    full = torch.ones(20, 20, dtype=torch.bool)
    got = gains(chain(masked(nn.Linear(20, 20), full), masked(nn.Linear(20, 20), full)), 0.0, rng=0)
    np.testing.assert_allclose(got, gains(chain(nn.Linear(20, 20), nn.Linear(20, 20)), 0.0, rng=0), rtol=1e-7)


@pytest.mark.parametrize("signs", [False, True])
def test_convolutions_with_one_tap_and_groups_are_linear_layers(signs: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(12, 12, generator=generator) < 0.4
    linear = gains(chain(masked(nn.Linear(12, 12), mask), nn.Linear(12, 4)), 0.0, signs=signs, rng=0)
    one_tap = chain(masked(nn.Conv2d(12, 12, 1), mask[..., None, None]), nn.Conv2d(12, 4, 1))
    np.testing.assert_allclose(gains(one_tap, 0.0, signs=signs, rng=0), linear, rtol=1e-9)
    blocks = torch.block_diag(torch.ones(4, 6), torch.ones(4, 6), torch.ones(4, 6)).bool()
    whole = gains(chain(masked(nn.Linear(18, 12), blocks), nn.Linear(12, 4)), 0.0, signs=signs, rng=0)
    grouped = gains(chain(nn.Conv1d(18, 12, 1, groups=3), nn.Linear(12, 4)), 0.0, signs=signs, rng=0)
    np.testing.assert_allclose(grouped, whole, rtol=1e-9)


@pytest.mark.parametrize("signs", [False, True])
def test_a_sparse_layer_by_monte_carlo(signs: bool) -> None:
    """E log R of one masked layer over inputs and weights, by real matrices."""
    rng = np.random.default_rng(1)
    mask = rng.random((15, 10)) < 0.3
    mask[:, 0] = True
    x = rng.standard_normal((200_000, 10))
    x /= np.sqrt((x**2).mean(axis=1))[:, None]
    logs = []
    for part in np.split(x, 20):
        shape = (len(part), *mask.shape)
        weights = rng.choice([-1.0, 1.0], size=shape) if signs else rng.standard_normal(shape)
        h = np.einsum("poi,pi->po", weights * (mask / np.sqrt(mask.sum(1))[:, None]), part)
        sizes = (np.maximum(h, 0) ** 2).mean(axis=1)
        logs.append(np.log(sizes[sizes > 0]))
    every = np.concatenate(logs)
    layers = chain(masked(nn.Linear(10, 15), torch.from_numpy(mask)), nn.Linear(15, 3))
    estimates = [-2 * np.log(gains(layers, 0.0, signs=signs, rng=number)[0]) for number in range(100)]
    spread = np.hypot(np.std(estimates) / 10, every.std() / np.sqrt(len(every)))
    assert abs(np.mean(estimates) - every.mean()) < 4 * spread


def test_given_weights_make_their_own_gains() -> None:
    weight = torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    layers = chain(nn.Linear(2, 2), nn.Linear(2, 2))
    np.testing.assert_allclose(gains(layers, 1.0, drawn=[weight, weight], rng=0), [0.5, 0.5])
    taps = torch.ones(2, 1, 3, dtype=torch.float64)  # two groups of one channel, three taps of 1 each
    np.testing.assert_allclose(gains(chain(nn.Conv1d(2, 2, 3, groups=2)), 1.0, drawn=[taps], rng=0), [1 / 3])


def test_layers_that_do_not_follow_each_other_start_anew() -> None:
    layers = chain(nn.Linear(6, 7), nn.Linear(5, 20), nn.Linear(40, 3))
    assert gains(layers, 0.0, rng=0)[1] == pytest.approx(np.exp(-relu_log(20) / 2), rel=1e-7)

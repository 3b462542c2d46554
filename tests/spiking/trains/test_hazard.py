"""Oracles: adaptive quadrature of the hazard, the deterministic limit, published figures, draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special

from sparsefire.errors import UserError
from sparsefire.spiking import Escape, EscapeLIF, HazardRenewal

LAW = EscapeLIF(tau=20e-3, drive=20.0, v_threshold=15.0, escape=Escape(rate=100.0, width=2.0))


def test_figures_of_the_leaky_neuron() -> None:
    assert 1e3 * LAW.mean == pytest.approx(28.327, abs=5e-4)
    assert LAW.cv == pytest.approx(0.25547, abs=5e-6)


@pytest.mark.parametrize("form", ["exponential", "linear", "erf"])
def test_moments_by_adaptive_quadrature(form: str) -> None:
    law = EscapeLIF(20e-3, 1.5, 1.0, v_leak=0.1, escape=Escape(80.0, 0.3, form), refractory=3e-3)

    def hazard(s: float) -> float:
        x = (1.6 - 1.6 * np.exp(-s / 20e-3) - 1.0) / 0.3
        return 80.0 * {"exponential": np.exp(x), "linear": max(x, 0.0), "erf": 1 + special.erf(x)}[form]

    path = integrate.solve_ivp(
        lambda s, y: [hazard(s), np.exp(-y[0]), 2 * s * np.exp(-y[0])], (0, 1.0), [0, 0, 0], rtol=1e-10, atol=1e-14,
        max_step=1e-3,
    )  # fmt: skip
    first, second = path.y[1:, -1]
    assert law.mean == pytest.approx(3e-3 + first, rel=1e-7)
    assert law.cv == pytest.approx(np.sqrt(second - first**2) / (3e-3 + first), rel=1e-6)


def test_draws_of_the_leaky_neuron() -> None:
    spikes = LAW.sample(5.0, 2000, rng=0)
    gaps = np.concatenate([np.diff(train) for train in spikes.trains()])
    assert gaps.mean() == pytest.approx(LAW.mean, rel=5e-3)
    assert gaps.std() / gaps.mean() == pytest.approx(LAW.cv, rel=1e-2)
    fano = spikes.counts.var(ddof=1) / spikes.counts.mean()
    assert abs(fano - LAW.fano(5.0)) < 4 * LAW.fano(5.0) * np.sqrt(2 / 2000)
    assert LAW.fano(5.0) == pytest.approx(LAW.cv**2, rel=0.05)


def test_little_noise_is_the_deterministic_neuron() -> None:
    law = EscapeLIF(20e-3, 2.0, 1.0, escape=Escape(rate=1e4, width=1e-3), refractory=2e-3)
    assert law.mean == pytest.approx(2e-3 + 20e-3 * np.log(2.0 / 1.0), rel=5e-3)
    assert law.cv < 0.02
    assert law.potential(1.0) == pytest.approx(2.0)


def test_weibull_hazard() -> None:
    """ρ = k s^(k−1)/c^k is Weibull: mean c Γ(1 + 1/k)."""
    law = HazardRenewal(lambda s: 2.5 * s**1.5 / 0.03**2.5)
    mean = 0.03 * special.gamma(1 + 1 / 2.5)
    assert law.mean == pytest.approx(mean, rel=1e-8)
    assert law.variance == pytest.approx(0.03**2 * special.gamma(1 + 2 / 2.5) - mean**2, rel=1e-7)
    assert law.cumulative(0.05) == pytest.approx((0.05 / 0.03) ** 2.5, rel=1e-6)
    end = law._table.s[-1]
    assert law.cumulative(2 * end) > law.cumulative(end) > 39


@pytest.mark.parametrize(
    "call",
    [
        lambda: EscapeLIF(tau=0.0),
        lambda: EscapeLIF(escape=Escape(form="step")),
        lambda: EscapeLIF(drive=float("inf")),
        lambda: EscapeLIF(refractory=-1.0),
        lambda: HazardRenewal(3.0),
        lambda: HazardRenewal(lambda s: -1.0 + 0 * s).mean,
        lambda: HazardRenewal(lambda s: 1e-12 + 0 * s).mean,
        lambda: HazardRenewal(lambda s: np.ones(3)).mean,
        lambda: HazardRenewal(lambda s: 1 / s).mean,
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bad_input(call) -> None:
    with pytest.raises(UserError):
        call()

"""Surrogate derivatives: one at the threshold, and the derivative that a spike passes on."""

from __future__ import annotations

import pytest
import torch

from sparsefire.errors import UserError
from sparsefire.spiking import Escape, spike, surrogate_slope
from sparsefire.spiking.neurons.surrogates import SHAPES


@pytest.mark.parametrize("shape", SHAPES)
def test_spikes_pass_it_on(shape: str) -> None:
    x = torch.linspace(-0.4, 0.4, 9, dtype=torch.float64, requires_grad=True)
    fired = spike(x, shape, 4.0)
    fired.sum().backward()
    slope = surrogate_slope(x.detach(), shape, 4.0)
    assert fired.tolist() == [0.0] * 5 + [1.0] * 4
    assert torch.equal(x.grad, slope)
    assert float(slope[4]) == 1.0
    assert torch.allclose(slope, slope.flip(0))
    assert (slope[5:].diff() < 0).all() or shape == "triangle"


def test_bad_shape() -> None:
    with pytest.raises(UserError):
        surrogate_slope(torch.zeros(1), "step", 1.0)


@pytest.mark.parametrize(
    ("form", "expected"), [("exponential", 100 * 2.718281828), ("linear", 100.0), ("erf", 100 * (1 + 0.842700793))]
)
def test_hazards(form: str, expected: float) -> None:
    escape = Escape(rate=100.0, width=0.5, form=form)
    at = torch.tensor(0.5, dtype=torch.float64)
    assert float(escape.hazard(at)) == pytest.approx(expected)
    assert float(escape.probability(at, 1e-3)) == pytest.approx(1 - 2.718281828 ** (-expected * 1e-3))


@pytest.mark.parametrize("bad", [{"rate": 0}, {"width": float("nan")}, {"form": "tanh"}, {"rate": "high"}])
def test_bad_hazards(bad: dict) -> None:
    with pytest.raises(UserError):
        Escape(**bad)

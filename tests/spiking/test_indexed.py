"""Looking up spikes against the dense product: values, gradients, borders, bad input."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sparsefire.errors import UserError
from sparsefire.spiking import linear_of_spikes


@given(
    rows=st.integers(0, 9), inputs=st.sampled_from([1, 5, 63, 64, 65, 128, 200]), outputs=st.integers(1, 9),
    density=st.sampled_from([0.0, 0.03, 0.5, 1.0]), bias=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_is_the_dense_product(rows: int, inputs: int, outputs: int, density: float, bias: bool, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    x = (torch.rand(rows, inputs, generator=draw) < density).double()
    weight = torch.randn(outputs, inputs, generator=draw, dtype=torch.float64)
    shift = torch.randn(outputs, generator=draw, dtype=torch.float64) if bias else None
    by = torch.randn(rows, outputs, generator=draw, dtype=torch.float64)
    results = []
    for product in (linear_of_spikes, functional.linear):
        parts = [part.clone().requires_grad_() for part in (x, weight, shift) if part is not None]
        out = product(*parts)
        results.append((out.detach(), *torch.autograd.grad((out * by).sum(), parts)))
    for a, b in zip(*results, strict=True):
        assert a.shape == b.shape
        assert torch.allclose(a, b, atol=1e-12)


def test_every_place_of_a_word_is_found() -> None:
    x = torch.eye(130)
    assert torch.equal(linear_of_spikes(x, torch.eye(130)), x)


def test_axes_before_and_strides() -> None:
    x = (torch.rand(50, 3, 4) < 0.2).float().permute(1, 2, 0)
    weight = torch.randn(50, 7).t()
    assert torch.allclose(linear_of_spikes(x, weight), functional.linear(x, weight), atol=1e-6)


def test_second_derivatives() -> None:
    x = (torch.rand(6, 5) < 0.4).double()
    weight = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: linear_of_spikes(x, w), weight)
    assert torch.autograd.gradgradcheck(lambda w: linear_of_spikes(x, w).square(), weight)


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("place", [3, 66])
def test_what_is_no_spike(value: float, place: int) -> None:
    x = torch.zeros(4, 70)
    x[2, place] = value
    with pytest.raises(UserError, match="no spikes"):
        linear_of_spikes(x, torch.randn(3, 70))


def test_bad_shapes_and_types() -> None:
    weight = torch.randn(3, 5)
    for x in (torch.zeros(2, 4), torch.zeros(()), [[0.0] * 5]):
        with pytest.raises(UserError, match=r"do not fit|is a tensor"):
            linear_of_spikes(x, weight)
    for x in (torch.zeros(2, 5, dtype=torch.int64), torch.zeros(2, 5, dtype=torch.float64)):
        with pytest.raises(UserError, match="looked up"):
            linear_of_spikes(x, weight)
    with pytest.raises(UserError, match="bias"):
        linear_of_spikes(torch.zeros(2, 5), weight, torch.zeros(4))


def test_a_single_row_and_no_inputs() -> None:
    weight = torch.randn(3, 5)
    x = torch.tensor([0.0, 1, 1, 0, 1])
    torch.testing.assert_close(linear_of_spikes(x, weight), weight @ x)
    assert linear_of_spikes(torch.zeros(2, 0), torch.zeros(3, 0)).shape == (2, 3)

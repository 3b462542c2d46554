"""Oracles: matrices with known singular values, torch's own Jacobian, finite differences of closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.propagation.jacobian import Spectrum, singular_values, spectrum


def test_a_linear_map_has_the_singular_values_of_its_matrix_at_every_row() -> None:
    layer = nn.Linear(7, 4).double()
    expected = torch.linalg.svdvals(layer.weight.detach()).numpy()
    found = singular_values(layer, np.random.default_rng(0).standard_normal((5, 7)))
    assert found.shape == (5, 4)
    np.testing.assert_allclose(found, np.tile(expected, (5, 1)), rtol=1e-12)


def test_it_agrees_with_the_jacobian_of_torch_for_any_shape_of_input() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 6)).double()
    x = torch.randn(3, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = singular_values(net, x)
    for row, values in zip(x, found, strict=True):
        jacobian = torch.func.jacrev(lambda z: net(z[None])[0])(row).reshape(6, -1)
        np.testing.assert_allclose(values, torch.linalg.svdvals(jacobian).detach().numpy(), rtol=1e-10)


def test_the_network_is_left_as_it_was_and_evaluated_without_noise() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    net[1].eval()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    one, two = (singular_values(net, torch.ones(2, 4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert [module.training for module in net.modules()] == [True, True, False, True, True]
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    with torch.no_grad():
        np.testing.assert_array_equal(singular_values(net, torch.ones(2, 4)), one)


def test_dead_and_constant_networks_have_zeros_and_broken_ones_nan() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.value.expand(len(x), 3)

    assert not singular_values(Constant(), torch.ones(2, 5)).any()

    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sqrt()

    found = singular_values(Root(), torch.tensor([[4.0, 1.0], [0.0, 1.0]]))
    np.testing.assert_allclose(found[0], [0.5, 0.25])
    assert np.isnan(found[1]).all()


def test_the_spectrum_in_three_numbers() -> None:
    found = spectrum(np.array([[4.0, 1.0], [9.0, 1.0], [16.0, 1.0]]))
    assert found.log_mean == pytest.approx(np.log(4 * 9 * 16) / 6)
    assert (found.condition, found.zero_share) == (9.0, 0.0)
    assert spectrum(np.zeros((2, 2))) == Spectrum(-np.inf, np.inf, 1.0)
    assert spectrum(np.array([[1.0, 1e-9]]), zero=1e-10).zero_share == 0.0
    assert spectrum(np.array([[1.0, 1e-9]])).zero_share == 0.5


@pytest.mark.parametrize(
    ("net", "x"),
    [
        (nn.Linear(2, 2), torch.ones(2)),
        (nn.Linear(2, 2), torch.ones(0, 2)),
        (nn.Linear(2, 2), torch.ones(1, 2, dtype=torch.complex64)),
        (nn.Linear(2, 2), "text"),
        (nn.LSTM(2, 2), torch.ones(3, 2)),
        (nn.Flatten(0), torch.ones(3, 2)),
        (lambda x: x, torch.ones(3, 2)),
    ],
)
def test_bad_input(net: Any, x: Any) -> None:
    with pytest.raises(UserError):
        singular_values(net, x)
    with pytest.raises(UserError):
        spectrum(np.ones(3))

"""Samples are standardised, hold every row once, and are tested where they were not learnt."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sparsefire.convergence.nonparametric.functions import hoelder
from sparsefire.convergence.nonparametric.samples import function_data, table_data
from sparsefire.errors import UserError


def test_function_data_is_standardised_and_noiseless_where_tested() -> None:
    f = hoelder(1.0, 2, rng=0)
    data = function_data(f, 5000, 0.3, rng=1, test=500)
    assert abs(data.x.mean()) < 4 / 100
    assert abs(data.x.var() - 1) < 0.05
    np.testing.assert_allclose(f(data.test_x / math.sqrt(12) + 0.5), data.test_y, atol=1e-4)
    assert data.x.dtype == data.y.dtype == np.float32


def test_table_data_learns_and_tests_on_other_rows() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(3.0, 2.0, size=(300, 2))
    x[:, 1] = 7.0  # a constant column
    y = np.arange(300.0)
    data = table_data(x, y, 200, rng=0)
    again = table_data(x, y, 200, rng=0, test=50)
    assert len(data.test_y) == 100
    np.testing.assert_array_equal(again.test_y, data.test_y[:50])
    together = np.sort(np.concatenate([data.y, data.test_y]))
    np.testing.assert_allclose(np.diff(together), np.diff(together)[0], rtol=1e-3)  # every row once
    np.testing.assert_allclose([data.x[:, 0].mean(), data.x[:, 0].std(), data.y.std()], [0, 1, 1], atol=1e-5)


def test_wrong_input_is_named() -> None:
    with pytest.raises(UserError, match="too few rows"):
        table_data(np.zeros((10, 2)), np.zeros(10), 10)
    with pytest.raises(UserError, match="go together"):
        table_data(np.zeros((10, 2)), np.zeros(9), 5)
    with pytest.raises(UserError, match="finite"):
        table_data(np.full((10, 2), np.nan), np.zeros(10), 5)
    with pytest.raises(UserError, match="no numbers"):
        table_data([["a", "b"]] * 10, np.zeros(10), 5)
    with pytest.raises(UserError, match="sample size"):
        table_data(np.zeros((10, 2)), np.zeros(10), 1)
    with pytest.raises(UserError, match="test points"):
        function_data(hoelder(1.0, 1, rng=0), 10, 0.1, test=0)
    with pytest.raises(UserError, match="noise"):
        function_data(hoelder(1.0, 1, rng=0), 10, -0.1)

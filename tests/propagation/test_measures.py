from __future__ import annotations

import numpy as np
import torch

from sparsefire.propagation.measures import measure


def test_against_plain_sums() -> None:
    h = torch.randn(7, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    h[:, 3] = 0
    found = measure(h, None)
    rows = h.numpy()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit @ unit.T
    assert np.isclose(found["variance"], (rows**2).mean())
    assert np.isclose(found["kurtosis"], ((rows**4).mean(1) / (rows**2).mean(1) ** 2).mean())
    assert np.isclose(found["correlation"], (cosines.sum() - 7) / 42)
    assert np.isclose(found["dead_share"], 1 / 30)


def test_dead_means_nothing_but_the_bias() -> None:
    given = torch.tensor([[[1.0, 2.0], [5.0, 5.0]], [[2.0, 1.0], [5.0, 6.0]]])  # [rows, channels, places]
    assert measure(given, torch.tensor([1.0, 5.0]))["dead_share"] == 5 / 8


def test_silence_has_no_shape() -> None:
    found = measure(torch.zeros(3, 4), None)
    assert found["variance"] == 0
    assert found["dead_share"] == 1
    assert np.isnan(found["kurtosis"])
    assert np.isnan(found["correlation"])
    one = measure(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), None)
    assert np.isnan(one["correlation"])
    assert np.isclose(one["kurtosis"], (81 + 256) / 2 / 12.5**2)

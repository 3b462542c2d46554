"""Oracles: exact degrees, symmetry between entries, the spectrum of random biregular wirings."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.propagation.even_masks import even_mask


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 25), st.integers(1, 12), st.integers(1, 4), st.floats(0, 1), st.integers(0, 10**6))
def test_even_masks(outs: int, ins: int, taps: int, density: float, rng: int) -> None:
    count = round(density * outs * ins * taps)
    mask = even_mask((outs, ins, taps), count, np.random.default_rng(rng))
    assert mask.sum() == count
    assert np.ptp(mask.sum((1, 2))) <= 1
    assert np.ptp(mask.sum(0)) <= 1
    if ins <= count <= outs * ins * taps / 2:
        assert mask.any((0, 2)).all()


def test_rows_are_uniform_and_hardly_overlap_by_rule() -> None:
    # Each entry is kept with the same probability, and two rows share k² / m inputs on the mean, but for what evenness
    # takes away: of the Σ d (d − 1) / 2 pairs at inputs of fan-out d.
    draws, outs, ins, fan_in = 4000, 6, 8, 3
    kept, shared = np.zeros((outs, ins)), 0.0
    generator = np.random.default_rng(0)
    for _ in range(draws):
        mask = even_mask((outs, ins), outs * fan_in, generator)
        kept += mask
        shared += float((mask[0] & mask[1]).sum())
    p = fan_in / ins
    assert np.abs(kept / draws - p).max() < 4.5 * math.sqrt(p * (1 - p) / draws)
    fan_outs = np.array([3] * 2 + [2] * 6)  # 18 over 8
    expected = (fan_outs * (fan_outs - 1) / 2).sum() / (outs * (outs - 1) / 2)
    assert shared / draws == pytest.approx(expected, abs=4 * math.sqrt(expected / draws))


def test_masks_are_good_expanders() -> None:
    # Random biregular: the second singular value is near √(d_l − 1) + √(d_r − 1) (experiment on 512 × 512, degree 8).
    for shape, fan_in, fan_out in (((512, 512), 8, 8), ((512, 1024), 16, 8), ((512, 512), 3, 3)):
        mask = even_mask(shape, shape[0] * fan_in, np.random.default_rng(2))
        values = np.linalg.svd(mask.astype(float), compute_uv=False)
        assert values[0] == pytest.approx(math.sqrt(fan_in * fan_out), rel=1e-9)
        assert values[1] < 1.03 * (math.sqrt(fan_in - 1) + math.sqrt(fan_out - 1))


def test_ten_million_entries_are_drawn_fast() -> None:
    start = time.process_time()
    even_mask((3162, 3162), 2_000_000, np.random.default_rng(0))
    assert time.process_time() - start < 3

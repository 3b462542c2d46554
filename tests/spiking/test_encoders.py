"""Oracle: binomial counts, the order of latencies, and a signal that can be put together again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsefire.errors import UserError
from sparsefire.spiking import encode_by_latency, encode_by_rate, encode_changes


def test_rates_are_binomial():
    values = torch.tensor([0.05, 0.3, 0.9])
    spikes = encode_by_rate(values.expand(4000, 3), steps=50, rng=1)
    counts = spikes.sum(0)
    for place, p in enumerate(values.tolist()):
        mean, variance = 50 * p, 50 * p * (1 - p)
        assert abs(counts[:, place].mean().item() - mean) < 4 * np.sqrt(variance / 4000)
        assert counts[:, place].var().item() == pytest.approx(variance, rel=4 * np.sqrt(2 / 4000) + 0.05)


def test_rates_are_repeatable_and_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    assert torch.equal(encode_by_rate([0.5] * 9, 20, rng=3), encode_by_rate([0.5] * 9, 20, rng=3))
    assert torch.equal(torch.random.get_rng_state(), before)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20), st.integers(1, 30))
def test_each_value_fires_once_and_larger_ones_not_later(values, steps):
    spikes = encode_by_latency(torch.tensor(values, dtype=torch.float64), steps)
    fired = torch.tensor(values) > 0
    assert torch.equal(spikes.sum(0) > 0, fired)
    assert spikes.sum(0).max() <= 1
    when = spikes.argmax(0)
    for i in range(len(values)):
        for j in range(len(values)):
            if fired[i] and fired[j] and values[i] > values[j]:
                assert when[i] <= when[j]


def test_rows_get_the_same_spikes_in_batches_of_any_size():
    values = torch.rand(7, 5, generator=torch.Generator().manual_seed(0))
    whole = encode_by_rate(values, 11, rng=2)
    parts = [encode_by_rate(values[a:b], 11, first=a, rng=2) for a, b in ((0, 1), (1, 4), (4, 7))]
    assert torch.equal(whole, torch.cat(parts, dim=1))
    assert not torch.equal(whole[:, :1], encode_by_rate(values[:1], 11, first=1, rng=2))


def test_numpy_becomes_what_layers_take():
    assert encode_by_rate(np.full((2, 3), 0.5), np.int64(4), rng=0).dtype == torch.get_default_dtype()
    assert encode_by_rate(torch.full((2, 3), 0.5, dtype=torch.float64), 4, rng=0).dtype == torch.float64


def test_latency_respects_its_threshold():
    assert encode_by_latency([0.4, 0.5, 0.6], 5, threshold=0.5).sum(0).tolist() == [0, 0, 1]


@given(st.lists(st.floats(-0.49, 0.49), min_size=1, max_size=40))
def test_a_slow_signal_is_followed_to_within_a_threshold(steps):
    signal = torch.cumsum(torch.tensor([0.0, *steps], dtype=torch.float64), 0)[:, None]
    spikes = encode_changes(signal, threshold=0.5)
    rebuilt = signal[0, 0] + 0.5 * torch.cumsum(spikes[:, 0] - spikes[:, 1], 0)
    assert (rebuilt - signal[:, 0]).abs().max() < 0.5 + 1e-9
    assert (spikes.sum(-1) <= 1).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: encode_by_rate([1.5], 3),
        lambda: encode_by_rate([float("nan")], 3),
        lambda: encode_by_rate("text", 3),
        lambda: encode_by_rate([0.5], 0),
        lambda: encode_by_rate([0.5], 2.0),
        lambda: encode_by_rate([0.5], 2, first=-1),
        lambda: encode_by_latency([-0.1], 3),
        lambda: encode_by_latency([0.1], 3, threshold=1.0),
        lambda: encode_changes([0.0, 1.0], 0.5),
        lambda: encode_changes([[0.0], [1.0]], 0.0),
        lambda: encode_changes([[0.0], [float("inf")]], 0.5),
    ],
)
def test_what_cannot_be_encoded_is_named(call):
    with pytest.raises(UserError):
        call()

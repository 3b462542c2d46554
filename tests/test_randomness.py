# Oracle: NumPy's Philox keyed by hand, hypothesis properties, and tests of independence with known null distributions.
from __future__ import annotations

import hashlib
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sparsefire.errors import UserError
from sparsefire.randomness import entropy, integer, stream

keys = st.lists(st.integers(-(2**70), 2**70) | st.text(max_size=8), max_size=3).map(tuple)


@given(st.integers(0, 2**128 - 1), keys)
def test_a_stream_is_a_pure_function_of_rng_and_key(rng, key):
    np.testing.assert_array_equal(stream(rng, *key).integers(0, 2**63, 8), stream(rng, *key).integers(0, 2**63, 8))
    assert integer(rng, *key) == integer(rng, *key)
    assert 0 <= integer(rng, *key) < 2**63


@given(st.integers(0, 2**64), keys, keys)
def test_other_keys_are_other_streams(rng, one, other):
    same = (stream(rng, *one).integers(0, 2**63, 4) == stream(rng, *other).integers(0, 2**63, 4)).all()
    assert same == (one == other)


def test_the_key_of_philox_is_the_digest():
    digest = hashlib.sha256(repr((7, ("folds", 3))).encode()).digest()
    expected = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    np.testing.assert_array_equal(stream(7, "folds", 3).random(5), expected.random(5))


def test_keys_are_not_run_together():
    texts = [("ab",), ("a", "b"), ("a", "b", ""), (1, 2), (12,), ("1", 2), ("1, 2",), ("a', 'b",), ()]
    assert len({integer(0, *key) for key in texts}) == len(texts)
    assert len({integer(rng, "x") for rng in range(1000)}) == 1000


def test_numpy_integers_name_the_same_stream():
    assert integer(0, np.int64(3), "x") == integer(0, 3, "x") == integer(np.uint8(0), np.int16(3), "x")


def test_it_does_not_matter_who_drew_before():
    alone = stream(1, "b").random(3)
    first = stream(1, "a")
    first.random(1000)
    second = stream(1, "b")
    first.random(10)
    np.testing.assert_array_equal(second.random(3), alone)


def test_the_same_in_another_process():
    code = "from sparsefire.randomness import stream; print(stream(5, 'init', 2).integers(0, 2**63, 3).tolist())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(stream(5, "init", 2).integers(0, 2**63, 3).tolist())


def test_streams_are_uniform_and_uncorrelated():
    draws = np.stack([stream(0, "run", i).random(400) for i in range(300)])
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 1e-3
    assert stats.kstest(draws[:, 0], "uniform").pvalue > 1e-3  # across streams, at the same place
    correlations = np.corrcoef(draws)[np.triu_indices(300, 1)]
    z = correlations * np.sqrt(400)
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert z.var() == pytest.approx(1.0, abs=0.05)
    assert np.abs(z).max() < 5.5  # the largest of 44 850 normal values


def test_streams_of_neighbouring_rng_are_uncorrelated():
    draws = np.stack([stream(i, "run").random(400) for i in range(300)])
    z = np.corrcoef(draws)[np.triu_indices(300, 1)] * np.sqrt(400)
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert z.var() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("value", [0, 3, np.int64(3), np.uint8(200), 2**128 - 1])
def test_integers_are_themselves(value):
    assert entropy(value) == int(value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.random.default_rng(1),
        lambda: np.random.RandomState(1),
        lambda: torch.Generator().manual_seed(1),
    ],
)
def test_generators_give_what_they_are_at_and_move_on(make):
    one, other = make(), make()
    first = entropy(one)
    assert first == entropy(other)
    assert 0 <= first < 2**128
    assert entropy(one) != first
    assert first.bit_length() > 100  # all of the 128 bits are used


def test_seed_sequences_are_not_changed():
    sequence = np.random.SeedSequence(5)
    assert entropy(sequence) == entropy(sequence) == entropy(np.random.SeedSequence(5))
    assert entropy(sequence) != entropy(sequence.spawn(1)[0])


def test_none_is_fresh_every_time():
    assert len({entropy(None) for _ in range(20)}) == 20


def test_global_generators_are_left_alone():
    legacy, torchs, python = np.random.get_state(), torch.random.get_rng_state(), random.getstate()  # noqa: NPY002
    for rng in (None, 3, np.random.default_rng(0), torch.Generator()):
        stream(rng, "x").random(10)
    assert str(np.random.get_state()) == str(legacy)  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), torchs)
    assert random.getstate() == python


@pytest.mark.parametrize("value", [True, False, np.True_, "3", 3.0, [1], object()])
def test_other_types_are_refused(value):
    with pytest.raises(UserError, match="rng is no source"):
        entropy(value)


@pytest.mark.parametrize("value", [-1, np.int64(-5)])
def test_negative_integers_are_refused(value):
    with pytest.raises(ValueError, match="non-negative"):
        entropy(value)

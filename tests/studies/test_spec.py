# Oracle: hypothesis properties (order of keys, JSON round trip) and the digest written out by hand.
from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsefire.studies import canonical, key_of

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
settings = st.dictionaries(st.text(), values, max_size=6)


@given(settings)
def test_reads_back_the_same(spec):
    assert json.loads(canonical(spec)) == spec


@given(settings, st.randoms())
def test_order_of_keys_does_not_matter(spec, random):
    items = list(spec.items())
    random.shuffle(items)
    assert key_of(dict(items)) == key_of(spec)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_exact(value):
    assert json.loads(canonical({"x": value}))["x"] == value


def test_known_text_and_digest():
    text = '{"density":0.1,"method":"gmp","widths":[64,10]}'
    assert canonical({"widths": (64, 10), "method": "gmp", "density": 0.1}) == text
    assert (
        key_of({"widths": [64, 10], "method": "gmp", "density": 0.1}) == hashlib.sha256(text.encode()).hexdigest()[:20]
    )


def test_numpy_scalars_are_the_numbers_they_are():
    spec = {"a": np.float64(0.1), "b": np.int64(3), "c": np.bool_(True), "d": np.str_("x")}
    assert canonical(spec) == canonical({"a": 0.1, "b": 3, "c": True, "d": "x"})


def test_what_is_equal_and_what_differs():
    assert key_of({"x": -0.0}) == key_of({"x": 0.0})
    assert key_of({"x": 1}) != key_of({"x": 1.0})
    assert key_of({"x": True}) != key_of({"x": 1})
    assert key_of({"x": "1"}) != key_of({"x": 1})
    assert key_of({"x": None}) != key_of({})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("-inf")])
def test_not_finite(value):
    with pytest.raises(ValueError, match=r"settings\.deep\[1\]"):
        canonical({"deep": [0.0, value]})


@pytest.mark.parametrize(
    "spec", [{"x": object()}, {"x": {1: 2}}, {"x": {1, 2}}, {"x": np.zeros(2)}, {"x": b"a"}, {2: 1}]
)
def test_other_types(spec):
    with pytest.raises(TypeError, match="settings"):
        canonical(spec)


def test_same_key_in_another_process():
    spec = {"method": "rigl", "density": 0.05, "fold": 3, "name": "ünï\ud800"}
    code = f"from sparsefire.studies import key_of; print(key_of({spec!r}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == key_of(spec)


def test_no_torch():
    code = "import sys, sparsefire.studies, sparsefire.parallel; assert not {'torch', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

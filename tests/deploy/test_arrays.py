# Oracle: round trips, byte counts written out by hand, and indices damaged on purpose.
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsefire.deploy.arrays import TYPES, pack, unpack
from sparsefire.randomness import stream


def sparse(shape, density, *key):
    rng = stream(0, "arrays", *key)
    return (rng.standard_normal(shape) * (rng.random(shape) < density)).astype(np.float32)


@given(
    st.lists(st.integers(0, 12), min_size=0, max_size=4),
    st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    st.sampled_from(sorted(TYPES)),
)
def test_round_trip(shape, density, dtype):
    state = {"a.weight": sparse(shape, density).astype(dtype), "b": np.array(3, dtype=dtype)}
    arrays, index = pack(state)
    back = unpack(arrays, index)
    assert list(back) == list(state)
    for name, array in state.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape


@pytest.mark.parametrize(
    ("kept", "layout"), [(0, "csr"), (5_000, "csr"), (6_599, "csr"), (6_600, "dense"), (10_000, "dense")]
)
def test_the_smaller_layout_is_taken(kept, layout):
    matrix = np.zeros(10_000, np.float32)
    matrix[:kept] = 1.0
    arrays, index = pack({"w": matrix.reshape(100, 100)})
    assert index["w"]["layout"] == layout
    expected = 6 * kept + 4 * 101 if layout == "csr" else 40_000
    assert sum(array.nbytes for array in arrays.values()) == expected
    assert expected <= 40_000


def test_wide_matrices_have_wide_columns():
    for width, dtype in [(2**16, np.uint16), (2**16 + 1, np.int32)]:
        matrix = np.zeros((2, width), np.float32)
        matrix[1, -1] = 2.0
        arrays, index = pack({"w": matrix})
        assert arrays["network.w#columns"].dtype == dtype
        np.testing.assert_array_equal(unpack(arrays, index)["w"], matrix)


def test_convolutions_are_rows_of_filters():
    kernel = sparse((8, 4, 3, 3), 0.1)
    arrays, index = pack({"w": kernel})
    assert index["w"] == {"layout": "csr", "shape": [8, 4, 3, 3]}
    np.testing.assert_array_equal(arrays["network.w#values"], kernel.reshape(8, 36)[kernel.reshape(8, 36) != 0])


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="complex64"):
        pack({"w": np.zeros(2, np.complex64)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, i: a.pop("network.w#starts"), "missing"),
        (lambda a, i: a.update({"network.other": np.zeros(1)}), "belongs to nothing"),
        (lambda a, i: a.update({"network.w#columns": a["network.w#columns"] + np.uint16(5)}), "outside"),
        (lambda a, i: a.update({"network.w#columns": a["network.w#columns"].astype(np.int64)}), "types"),
        (lambda a, i: a.update({"network.w#values": a["network.w#values"].astype(np.float64)}), "types"),
        (lambda a, i: a.update({"network.w#starts": a["network.w#starts"] * 0}), "row starts"),
        (lambda a, i: a.update({"network.w#values": a["network.w#values"][:-1]}), "lengths"),
        (lambda a, i: i["w"].update(shape=[20, 2]), "outside"),
        (lambda a, i: i["w"].update(shape=[2, 20]), "lengths"),
        (lambda a, i: i["w"].update(shape=[20]), "shape"),
        (lambda a, i: i["w"].update(shape=[20, 0]), "shape"),
        (lambda a, i: i["w"].update(layout="dense"), "missing"),
        (lambda a, i: i["b"].update(layout="csr"), "missing"),
        (lambda a, i: i["b"].update(shape=[4]), "shape"),
        (lambda a, i: i.pop("b"), "belongs to nothing"),
    ],
)
def test_damage_is_refused(change, words):
    arrays, index = pack({"w": np.eye(20, dtype=np.float32), "b": np.zeros(3, np.float32)})
    change(arrays, index)
    with pytest.raises(ValueError, match=words):
        unpack(arrays, index)

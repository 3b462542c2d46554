# Oracle: SciPy's CSR matrices, and hypothesis round trips.
from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sparsefire.kernels import from_csr, to_csr

matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=7),
    elements=st.sampled_from([0.0, -0.0, 1.5, -2.0, 3e-30]),
)


@given(matrices)
def test_same_as_scipy(matrix):
    values, columns, starts = to_csr(matrix)
    theirs = scipy.sparse.csr_matrix(matrix)
    theirs.eliminate_zeros()
    np.testing.assert_array_equal(values, theirs.data)
    np.testing.assert_array_equal(columns, theirs.indices)
    np.testing.assert_array_equal(starts, theirs.indptr)
    assert (columns.dtype, starts.dtype, values.dtype) == (np.int32, np.int32, np.float32)


@given(matrices)
def test_round_trip(matrix):
    np.testing.assert_array_equal(from_csr(*to_csr(matrix), matrix.shape), matrix)


def test_needs_a_matrix():
    with pytest.raises(ValueError, match="need a matrix"):
        to_csr(np.zeros(3))


@pytest.mark.parametrize(
    ("values", "columns", "starts", "words"),
    [
        ([1.0], [0, 1], [0, 1, 1], "lengths"),
        ([1.0], [0], [0, 1], "lengths"),
        ([[1.0]], [[0]], [0, 1, 1], "lengths"),
        ([1.0], [0], [1, 1, 1], "row starts"),
        ([1.0], [0], [0, 0, 0], "row starts"),
        ([1.0], [0], [0, 2, 1], "row starts"),
        ([1.0], [0], [0, -1, 1], "row starts"),
        ([1.0], [3], [0, 1, 1], "outside 0 to 2"),
        ([1.0], [-1], [0, 1, 1], "outside 0 to 2"),
        ([1.0, 2.0], [1, 1], [0, 2, 2], "do not increase"),
        ([1.0, 2.0], [1, 0], [0, 2, 2], "do not increase"),
    ],
)
def test_bad_indices_are_refused(values, columns, starts, words):
    with pytest.raises(ValueError, match=words):
        from_csr(np.array(values), np.array(columns), np.array(starts), (2, 3))


def test_unsigned_columns_are_not_wrapped():
    values, columns, starts = to_csr(np.eye(3))
    np.testing.assert_array_equal(from_csr(values, columns.astype(np.uint16), starts, (3, 3)), np.eye(3))

"""Compressed sparse rows: the non-zeros of a matrix row by row, with their columns and where each row starts."""

from __future__ import annotations

import numpy as np


def to_csr(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the non-zeros of a matrix.

    Args:
        matrix: [rows, columns], numbers; exact zeros (of either sign) are left out.

    Returns:
        values [k] of the matrix's type, columns [k] int32, starts [rows + 1] int32: row r holds the entries from
        ``starts[r]`` up to ``starts[r + 1]``, by increasing column.

    Raises:
        ValueError: not two-dimensional, or 2³¹ or more entries.

    >>> values, columns, starts = to_csr(np.array([[0.0, 5.0], [0.0, 0.0], [1.0, 2.0]]))
    >>> values.tolist(), columns.tolist(), starts.tolist()
    ([5.0, 1.0, 2.0], [1, 0, 1], [0, 1, 1, 3])
    """
    if matrix.ndim != 2:
        raise ValueError(f"need a matrix, got an array of shape {matrix.shape}")
    rows, columns = np.nonzero(matrix)
    if len(rows) >= 2**31:
        raise ValueError(f"{len(rows)} non-zeros do not fit into 32-bit indices")
    starts = np.zeros(matrix.shape[0] + 1, dtype=np.int32)
    np.cumsum(np.bincount(rows, minlength=matrix.shape[0]), out=starts[1:])
    return matrix[rows, columns], columns.astype(np.int32), starts


def from_csr(values: np.ndarray, columns: np.ndarray, starts: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the matrix [rows, columns] again; checks every index first, so it is safe on arrays from a file.

    Raises:
        ValueError: lengths that do not agree, row starts that do not rise from 0 to the number of values, a column out
            of range, or columns of a row that do not increase.

    >>> from_csr(np.array([5.0]), np.array([1]), np.array([0, 0, 1]), (2, 2))
    array([[0., 0.],
           [0., 5.]])
    """
    rows, width = shape
    if values.ndim != 1 or values.shape != columns.shape or starts.shape != (rows + 1,):
        raise ValueError(
            f"lengths do not agree: {values.shape} values, {columns.shape} columns and {starts.shape} row starts "
            f"for {rows} rows"
        )
    starts = starts.astype(np.int64)
    if starts[0] != 0 or starts[-1] != len(values) or (np.diff(starts) < 0).any():
        raise ValueError(f"row starts do not rise from 0 to {len(values)}")
    columns = columns.astype(np.int64)
    if len(columns) and (columns.min() < 0 or columns.max() >= width):
        raise ValueError(f"a column index lies outside 0 to {width - 1}")
    row_of = np.repeat(np.arange(rows), np.diff(starts))
    if (np.diff(row_of * width + columns) <= 0).any():
        raise ValueError("the columns of a row do not increase")
    matrix = np.zeros(shape, dtype=values.dtype)
    matrix[row_of, columns] = values
    return matrix

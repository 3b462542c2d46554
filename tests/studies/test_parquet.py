# Oracle: DuckDB reading the file back with its own types.
from __future__ import annotations

import os

import duckdb
import numpy as np
import pytest

from sparsefire.errors import UserError
from sparsefire.studies.parquet import write_parquet


def back(path):
    relation = duckdb.sql("SELECT * FROM read_parquet(?)", params=[str(path)])
    return dict(zip(relation.columns, map(str, relation.types), strict=True)), relation.fetchall()


def test_types_and_values(tmp_path):
    rows = [
        {"key": "a'b", "fold": 1, "score": 0.1, "flag": True, "curve": [0.5, 1], 'odd "name"': "x", "none": None},
        {"key": "ü", "fold": np.int64(2), "score": 2, "flag": None, "curve": np.array([0.25]), "late": 3.5},
        {"key": None, "fold": None, "score": float("inf"), "flag": np.bool_(False), "curve": []},
        {"key": "d", "fold": 4, "score": None, "flag": False, "curve": None},
    ]
    write_parquet(tmp_path / "out.parquet", rows)
    types, values = back(tmp_path / "out.parquet")
    assert types == {
        "key": "VARCHAR", "fold": "BIGINT", "score": "DOUBLE", "flag": "BOOLEAN", "curve": "DOUBLE[]",
        'odd "name"': "VARCHAR", "none": "DOUBLE", "late": "DOUBLE",
    }  # fmt: skip
    assert values == [
        ("a'b", 1, 0.1, True, [0.5, 1.0], "x", None, None),
        ("ü", 2, 2.0, None, [0.25], None, None, 3.5),
        (None, None, float("inf"), False, [], None, None, None),
        ("d", 4, None, False, None, None, None, None),
    ]


def test_many_rows_keep_their_order_and_bits(tmp_path):
    values = [0.1 * i for i in range(3000)]
    write_parquet(tmp_path / "out.parquet", ({"i": i, "x": x, "curve": [x] * 5} for i, x in enumerate(values)))
    _, rows = back(tmp_path / "out.parquet")
    assert rows == [(i, x, [x] * 5) for i, x in enumerate(values)]


def test_replaces_whole_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "out.parquet"
    write_parquet(path, [{"a": 1}])
    write_parquet(path, [{"b": "x"}])
    assert back(path)[1] == [("x",)]
    with pytest.raises(TypeError, match="'a' holds"):
        write_parquet(path, [{"a": 1}, {"a": "x"}])
    assert back(path)[1] == [("x",)]
    assert os.listdir(tmp_path) == ["out.parquet"]


@pytest.mark.parametrize("rows", [[], [{}]])
def test_nothing_to_write(tmp_path, rows):
    with pytest.raises(UserError, match="no rows"):
        write_parquet(tmp_path / "out.parquet", rows)


@pytest.mark.parametrize("value", [{"a": 1}, b"x", ["x"]])
def test_other_types(tmp_path, value):
    with pytest.raises((TypeError, ValueError)):
        write_parquet(tmp_path / "out.parquet", [{"a": value}])

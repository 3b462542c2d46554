"""Oracle: files written by pandas, polars and DuckDB, and files broken on purpose."""

from __future__ import annotations

import csv
import gzip
import hashlib
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparsefire.data import bounded
from sparsefire.data.read_table import read_table
from sparsefire.errors import UserError

HOSTILE = ["<b>bold</b>", 'say "hi"', "two\nlines", "comma, here", "'; DROP TABLE x; --", "ünï¢ødé", " spaced "]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def failing(path: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        read_table(path)
    assert caught.value.render().count("\n") <= 3
    return caught.value


@pytest.mark.parametrize(
    ("name", "separator"), [("t.csv", ","), ("t.TSV", "\t"), ("t.csv.gz", ","), ("t.tsv.gz", "\t")]
)
def test_text_files_give_back_what_was_written(tmp_path: Path, name: str, separator: str) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, None, -1e-3], "c": ["x", "y, z", None]})
    frame.to_csv(tmp_path / name.lower(), sep=separator, index=False)
    (tmp_path / name.lower()).rename(tmp_path / name)
    pd.testing.assert_frame_equal(read_table(tmp_path / name).frame, frame, check_column_type=False)


def test_question_mark_na_and_empty_are_missing_but_words_are_not(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "t.csv", "a,b\n1,?\n?,NA\n3,\n4,missing\n5, ?\n")).frame
    assert frame["a"].isna().tolist() == [False, True, False, False, False]
    assert frame["b"].isna().tolist() == [True, True, True, False, True]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_hostile_names_pass_untouched(tmp_path: Path, ending: str) -> None:
    frame = pd.DataFrame([range(len(HOSTILE))] * 2, columns=HOSTILE)
    path = tmp_path / f"t{ending}"
    if ending == ".parquet":
        pl.DataFrame({name: [i, i] for i, name in enumerate(HOSTILE)}).write_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")
    assert list(read_table(path).frame.columns) == HOSTILE


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=5, unique=True))
def test_any_names_that_csv_can_hold_come_back(tmp_path: Path, names: list[str]) -> None:
    if any("\0" in name or "\r" in name or name.startswith("\ufeff") or _lone_surrogate(name) for name in names):
        return
    path = tmp_path / "names.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
        writer.writerow(names)
        writer.writerow(range(len(names)))
    assert list(read_table(path).frame.columns) == names


def _lone_surrogate(text: str) -> bool:
    return any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def test_semicolons_and_decimal_commas_are_understood(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "t.csv", "a;b\n1,5;x\n2,5;y\n"))
    assert table.frame["a"].tolist() == [1.5, 2.5]
    assert "decimal comma" in table.notes[0]
    assert read_table(write(tmp_path, "u.csv", "a;b\n1.5;x\n")).frame["a"].tolist() == [1.5]


def test_as_text_keeps_leading_zeros(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", "zip,n\n01,1\n02,2\n")
    assert read_table(path, as_text=["zip"]).frame["zip"].tolist() == ["01", "02"]


def test_utf8_mark_is_not_part_of_the_first_name(tmp_path: Path) -> None:
    assert list(read_table(write(tmp_path, "t.csv", b"\xef\xbb\xbfa,b\n1,2\n")).frame.columns) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"  \n\n", "is empty"),
        (b"a,b\n", "no rows"),
        (b"a,b,a\n1,2,3\n", "more than once: a"),
        (b"a,b\n1,2,3\n4,5,6\n", "cannot be split"),
        (b"a,b\n1,2\n4,5,6\n", "cannot be split"),
        (b'a,b\n1,"open\n', "cannot be split"),
        (b"a,b\n1,caf\xe9\n", "not text in UTF-8"),
        (b"\x7fELF\x00\x01\x02\x00" * 99, "not text in UTF-8"),
        (bytes(range(256)) * 64, "not text in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "not text in UTF-8"),
        (b"\n".join([b"x" * 200_000 + b",b", b"1,2"]), "cannot be split"),
    ],
)
def test_broken_text_is_one_readable_error(tmp_path: Path, content: bytes, words: str) -> None:
    error = failing(write(tmp_path, "t.csv", content))
    assert words in error.message
    assert error.came
    assert error.expected


def test_missing_folder_and_unknown_endings(tmp_path: Path) -> None:
    assert "there is no file" in failing(tmp_path / "nothing.csv").message
    assert "is a folder" in failing(tmp_path).message
    assert "unknown kind" in failing(write(tmp_path, "t.xlsx", b"PK")).message
    assert "unknown kind" in failing(write(tmp_path, "t.gz", b"PK")).message


def test_truncated_gzip_and_plain_bytes_called_gz(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    assert "gzip" in failing(write(tmp_path, "t.csv.gz", whole[:-20])).message
    assert "gzip" in failing(write(tmp_path, "u.csv.gz", b"a,b\n1,2\n")).message


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "RATIO_FROM", 2**20)
    path = write(tmp_path, "t.csv.gz", gzip.compress(b"0" * 2**24))
    assert "unpacks" in failing(path).message
    monkeypatch.setattr(bounded, "RATIO_FROM", 2**40)
    monkeypatch.setattr(bounded, "LIMIT", 2**20)
    assert "unpacks" in failing(path).message


def test_parquet_with_nulls_dates_and_text(tmp_path: Path) -> None:
    frame = pl.DataFrame({"i": [1, None], "f": [0.5, None], "s": ["x", None], "d": [None, 5], "b": [True, None]})
    frame.write_parquet(tmp_path / "t.parquet")
    read = read_table(tmp_path / "t.parquet").frame
    assert read.isna().sum().tolist() == [1, 1, 1, 1, 1]
    assert read["s"].iloc[0] == "x"


@pytest.mark.parametrize("name", ["a*.parquet", "a[1].parquet", "it's; drop table t.parquet", 'q"?.parquet'])
def test_parquet_paths_are_neither_patterns_nor_sql(tmp_path: Path, name: str) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a1.parquet")
    pl.DataFrame({"a": [7, 8]}).write_parquet(tmp_path / name)
    assert read_table(tmp_path / name).frame["a"].tolist() == [7, 8]


def test_broken_parquet(tmp_path: Path) -> None:
    pl.DataFrame({"a": list(range(1000))}).write_parquet(tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    assert "no complete Parquet" in failing(write(tmp_path, "cut.parquet", whole[:-10])).message
    assert "no complete Parquet" in failing(write(tmp_path, "junk.parquet", b"PAR1junkjunkPAR1")).message
    assert str(tmp_path) not in failing(tmp_path / "cut.parquet").came


def test_parquet_with_lists_names_the_columns(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1], "l": [[1, 2]], "r": [{"x": 1, "y": [2]}], "z": [3]}).write_parquet(tmp_path / "t.parquet")
    assert failing(tmp_path / "t.parquet").came == "l, r"


def test_parquet_that_claims_billions_of_cells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb.sql("SELECT 1 AS a FROM range(1000000)").write_parquet(str(tmp_path / "t.parquet"))
    monkeypatch.setattr(bounded, "LIMIT", 2**20)
    assert "unpacks" in failing(tmp_path / "t.parquet").message


def test_sha256_is_that_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", b"a,b\n1,2\n")
    assert read_table(path).sha256 == hashlib.sha256(b"a,b\n1,2\n").hexdigest()


def test_numbers_keep_their_kind(tmp_path: Path) -> None:
    frame = read_table(write(tmp_path, "t.csv", "i,f,b,t\n1,1.5,true,x\n2,2.5,false,y\n")).frame
    assert [frame[name].dtype.kind for name in "ifb"] == ["i", "f", "b"]
    assert frame["f"].dtype == np.float64

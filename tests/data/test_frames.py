"""Oracle: the same table built in pandas and in polars must give the same columns."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sparsefire.data.frames import as_pandas, as_series, canonical, frame_sha256, seconds
from sparsefire.data.problem import Column
from sparsefire.errors import UserError

DAY = datetime.date(2021, 4, 3)
STAMP = datetime.datetime(2021, 4, 3, 12, tzinfo=datetime.UTC).timestamp()


def kinds(frame: pd.DataFrame) -> dict[str, str]:
    return {column.name: column.kind for column in canonical(frame)[1]}


def test_pandas_and_polars_agree() -> None:
    data = {
        "i": [1, 2, None],
        "f": [0.5, None, 2.5],
        "b": [True, False, None],
        "s": ["x", None, "y"],
        "d": [DAY, DAY, None],
    }
    ours = [canonical(as_pandas(frame)) for frame in (pd.DataFrame(data), pl.DataFrame(data))]
    assert ours[0][1] == ours[1][1]
    pd.testing.assert_frame_equal(ours[0][0], ours[1][0])
    assert [column.kind for column in ours[0][1]] == ["number", "number", "number", "category", "number"]


def test_orders_of_categories_are_kept() -> None:
    levels = ["low", "mid", "high"]
    ordered = pd.DataFrame({"g": pd.Categorical(["mid", "low", None], categories=levels, ordered=True)})
    assert canonical(ordered)[1][0] == Column("g", "ordinal", ("low", "mid"))
    enum = as_pandas(pl.DataFrame({"g": pl.Series(["mid", "low", None], dtype=pl.Enum(levels))}))
    assert canonical(enum)[1][0] == Column("g", "ordinal", ("low", "mid"))
    loose = pd.DataFrame({"g": pd.Categorical([2, 1, 2])})
    assert canonical(loose)[1][0] == Column("g", "category", ("1", "2"))


def test_dates_become_seconds_whatever_their_form() -> None:
    frame = pd.DataFrame(
        {
            "text": ["2021-04-03T12:00Z", None],
            "stamp": pd.to_datetime(["2021-04-03 12:00", None]),
            "zone": pd.to_datetime(["2021-04-03 14:00+02:00", None]),
        }
    )
    table, columns = canonical(frame)
    assert all(column.date for column in columns)
    assert table.iloc[0].tolist() == [STAMP] * 3
    assert table.iloc[1].isna().all()


def test_seconds_before_1970_and_durations() -> None:
    assert seconds(pd.Series(pd.to_datetime(["1969-12-31"]))).tolist() == [-86400.0]
    assert canonical(pd.DataFrame({"t": pd.to_timedelta(["1D", "2D"])}))[0]["t"].tolist() == [86400.0, 172800.0]


def test_a_few_slips_in_many_numbers_count_as_missing_and_are_named() -> None:
    texts = [f"{i}.5" for i in range(97)] + ["unknown", "n/k", "unknown"]
    table, (column,) = canonical(pd.DataFrame({"age": texts}))
    assert column == Column("age", "number", not_numbers=("n/k", "unknown"))
    assert table["age"].isna().sum() == 3
    assert canonical(pd.DataFrame({"age": ["unknown", "1"]}), known=(column,))[0]["age"].tolist()[1] == 1
    with pytest.raises(UserError, match="holds text"):
        canonical(pd.DataFrame({"age": ["lost", "1"]}), known=(column,))


def test_half_numbers_half_text_stays_text() -> None:
    texts = [str(i) for i in range(60)] + [f"x{i}" for i in range(40)]
    assert kinds(pd.DataFrame({"code": texts})) == {"code": "category"}


def test_mixed_objects_become_text_levels() -> None:
    table, (column,) = canonical(pd.DataFrame({"m": pd.Series([1, "a", 2.0, None], dtype=object)}))
    assert column.categories == ("1", "2", "a")
    assert table["m"].isna().tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    "values",
    [[[1], [2]], [{"a": 1}, {}], [b"x", b"y"], [1 + 2j, 0j], [object(), object()], [datetime.time(10), None]],
)
def test_objects_are_refused_by_name(values: list[object]) -> None:
    with pytest.raises(UserError, match='"strange"'):
        canonical(pd.DataFrame({"strange": pd.Series(values, dtype=object)}))


def test_complex_columns_are_refused() -> None:
    with pytest.raises(UserError, match='"c"'):
        canonical(pd.DataFrame({"c": np.array([1 + 1j, 2])}))


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e200])
def test_infinite_and_huge_numbers_are_refused_by_name_and_row(value: float) -> None:
    with pytest.raises(UserError, match='"b"') as caught:
        canonical(pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, value]}))
    assert "row 2" in caught.value.came


def test_columns_without_values_are_refused_but_not_in_new_data() -> None:
    frame = pd.DataFrame({"a": [1.0], "b": [np.nan], "c": [None]})
    with pytest.raises(UserError, match="2 columns have no value in any row: b, c"):
        canonical(frame)
    known = (Column("a", "number"), Column("b", "number"), Column("c", "category", ("x",)))
    assert canonical(frame, known=known)[0].isna().iloc[0].tolist() == [False, True, True]


def test_new_numbers_in_a_column_of_text_are_levels() -> None:
    known = (Column("g", "category", ("1", "2")),)
    assert canonical(pd.DataFrame({"g": [2, 1]}), known=known)[0]["g"].tolist() == ["2", "1"]
    assert canonical(pd.DataFrame({"g": [2.0, None]}), known=known)[0]["g"].tolist()[0] == "2"


def test_dates_and_numbers_are_not_exchanged_in_new_data() -> None:
    date = (Column("d", "number", date=True),)
    with pytest.raises(UserError, match="holds numbers here"):
        canonical(pd.DataFrame({"d": [5]}), known=date)
    with pytest.raises(UserError, match="holds dates here"):
        canonical(pd.DataFrame({"d": pd.to_datetime(["2021-01-01"])}), known=(Column("d", "number"),))
    with pytest.raises(UserError, match="given dates"):
        canonical(pd.DataFrame({"d": ["soon"]}), known=date)


def test_what_is_no_table() -> None:
    for thing in (3, "x", pl.LazyFrame({"a": [1]})):
        with pytest.raises(UserError, match="no table"):
            as_pandas(thing)
    with pytest.raises(UserError, match="several levels"):
        as_pandas(pd.DataFrame({("a", "b"): [1]}))


def test_series_of_all_kinds() -> None:
    for values in ([1, 2], (1, 2), np.array([1, 2]), pd.Series([1, 2], index=[5, 6]), pl.Series("n", [1, 2])):
        assert as_series(values).tolist() == [1, 2]
        assert as_series(values).index.tolist() == [0, 1]
    assert as_series(pl.Series("n", ["a"])).name == "n"
    with pytest.raises(UserError):
        as_series(3)


def test_sha256_depends_on_values_names_and_order() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    same = frame_sha256(frame.copy())
    assert frame_sha256(frame) == same
    assert len({same, frame_sha256(frame.rename(columns={"a": "c"})), frame_sha256(frame.iloc[::-1])}) == 3

"""Oracle: dates worked out with the standard library, and codes checked against the values they stand for."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest

from sparsefire.data.roles import encode_cluster, encode_group, encode_site, encode_time
from sparsefire.errors import UserError


def moments(*days: tuple[int, int, int]) -> list[float]:
    return [datetime.datetime(*day, tzinfo=datetime.UTC).timestamp() for day in days]


@pytest.mark.parametrize(
    "texts",
    [
        ["2021-04-03", "2020-12-31"],
        ["2021-04-03T00:00:00Z", "2020-12-31T00:00:00Z"],
        ["2021-04-03 00:00", "2020-12-31 00:00"],
        ["03.04.2021", "31.12.2020"],
        ["04/03/2021", "12/31/2020"],
        ["03 Apr 2021", "31 Dec 2020"],
        ["April 03, 2021", "December 31, 2020"],
        ["2021/04/03", "2020/12/31"],
    ],
)
def test_dates_in_forms_that_can_be_read_in_one_way(texts: list[str]) -> None:
    assert encode_time(pd.Series(texts), "t").tolist() == moments((2021, 4, 3), (2020, 12, 31))


def test_times_that_are_numbers_or_dates_already() -> None:
    assert encode_time(pd.Series([3, 1]), "t").tolist() == [3, 1]
    assert encode_time(pd.Series(["3", "1.5"]), "t").tolist() == [3, 1.5]
    stamps = pd.Series(pd.to_datetime(["2021-04-03", "2020-12-31"]))
    assert encode_time(stamps, "t").tolist() == moments((2021, 4, 3), (2020, 12, 31))
    assert encode_time(pd.Series([datetime.date(2021, 4, 3), datetime.date(2020, 12, 31)]), "t").tolist() == moments(
        (2021, 4, 3), (2020, 12, 31)
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["03/04/2021", "05/06/2021"], "read in two ways"),
        (["early", "late"], "cannot be sorted"),
        (["2021-04-03", "soon"], "cannot be sorted"),
        (["2021-04-03", None], "no value"),
        ([1.0, np.inf], "infinite"),
        ([1, 1], "the same in every row"),
    ],
)
def test_times_that_cannot_be_sorted(values: list[object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        encode_time(pd.Series(values), "t")


def test_codes_stand_for_values() -> None:
    values = ["b", "a", "b", "c"]
    codes, names = encode_site(pd.Series(values), "s")
    assert [names[code] for code in codes] == values
    assert list(names) == ["a", "b", "c"]
    clusters = encode_cluster(pd.Series([7.0, 3.0, 7.0]), "c")
    assert clusters.dtype == np.int64
    assert clusters[0] == clusters[2] != clusters[1]


@pytest.mark.parametrize("encode", [encode_cluster, encode_site])
def test_missing_or_single_values_are_refused(encode: object) -> None:
    with pytest.raises(UserError, match=r"no value \(row 2\)"):
        encode(pd.Series(["a", None]), "c")  # type: ignore[operator]
    with pytest.raises(UserError, match="the same in every row"):
        encode(pd.Series(["a", "a"]), "c")  # type: ignore[operator]


def test_groups_are_text_with_missing_as_a_level() -> None:
    assert encode_group(pd.Series(["f", None, "m"]), "sex").tolist() == ["f", "(missing)", "m"]
    with pytest.raises(UserError, match="too many levels"):
        encode_group(pd.Series(range(31)), "age")

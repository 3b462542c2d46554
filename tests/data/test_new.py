"""Oracle: new rows that repeat rows of the training data must come out exactly as these did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sparsefire.data import fit_preparation, open_problem, problem_from_arrays, read_new
from sparsefire.data.problem import Problem
from sparsefire.errors import UserError


@pytest.fixture
def trained(tmp_path: Path) -> Problem:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "row": np.arange(60),
            "patient_id": rng.integers(100, 130, 60),
            "seen": pd.date_range("2020-01-01", periods=60).strftime("%Y-%m-%d"),
            "age": [*rng.integers(20, 90, 59), None],
            "zip": [f"{i % 7:05d}x" if i % 5 == 0 else f"{i % 7:05d}" for i in range(60)],
            "smoker": [True, False] * 30,
            "relapse": ["no", "yes"] * 30,
        }
    )
    frame.to_csv(tmp_path / "p.csv", index=False)
    return open_problem(tmp_path / "p.csv", target="relapse", cluster="patient_id")


def schema(problem: Problem) -> dict[str, object]:
    return json.loads(json.dumps(problem.schema()))


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz", ".parquet"])
def test_the_same_file_gives_the_same_features(trained: Problem, tmp_path: Path, ending: str) -> None:
    raw = pd.read_csv(tmp_path / "p.csv", dtype={"zip": str})
    path = tmp_path / f"new{ending}"
    if ending == ".parquet":
        pl.DataFrame(
            {name: raw[name].astype(object).where(raw[name].notna(), None).tolist() for name in raw}
        ).write_parquet(path)
    else:
        raw.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")
    prepared = fit_preparation(trained.inputs, trained.columns)
    np.testing.assert_array_equal(
        prepared.transform(read_new(path, schema(trained))), prepared.transform(trained.inputs)
    )


def test_levels_that_look_like_numbers_keep_their_zeros(trained: Problem, tmp_path: Path) -> None:
    new = "seen,age,zip,smoker\n2020-01-05,30,00001,true\n2020-01-06,,00002,\n"
    (tmp_path / "new.csv").write_text(new)
    inputs = read_new(tmp_path / "new.csv", schema(trained))
    assert isinstance(inputs, pd.DataFrame)
    assert inputs["zip"].tolist() == ["00001", "00002"]
    assert inputs["smoker"].iloc[0] == 1
    assert np.isnan(inputs["age"].iloc[1])


def test_columns_are_put_in_order_and_known_ones_ignored(trained: Problem) -> None:
    new = pd.DataFrame(
        {"zip": ["00001"], "smoker": [True], "age": [5], "relapse": [None], "row": [3], "seen": ["2021-01-01"]}
    )
    inputs = read_new(new, schema(trained))
    assert isinstance(inputs, pd.DataFrame)
    assert list(inputs.columns) == [column.name for column in trained.columns] == ["seen", "age", "zip", "smoker"]
    polars = read_new(pl.DataFrame(new.astype(object).to_dict("list")), schema(trained))
    pd.testing.assert_frame_equal(inputs, polars)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"age": None}, "lacks 1 column that the model needs: age"),
        ({"weight": [1]}, "does not know: weight"),
        ({"age": ["old"]}, '"age" holds text'),
        ({"age": [np.inf]}, '"age" holds infinite'),
        ({"seen": ["yesterday"]}, '"seen" holds text where the model was given dates'),
    ],
)
def test_what_does_not_fit_is_refused(trained: Problem, change: dict[str, object], words: str) -> None:
    row: dict[str, object] = {"seen": ["2021-01-01"], "age": [3], "zip": ["00001"], "smoker": [True]}
    row = {key: value for key, value in (row | change).items() if value is not None}
    with pytest.raises(UserError) as caught:
        read_new(pd.DataFrame(row), schema(trained))
    assert words in caught.value.message


def test_a_misspelt_column_is_recognised(trained: Problem) -> None:
    with pytest.raises(UserError) as caught:
        read_new(pd.DataFrame({"Age": [1], "seen": ["2021-01-01"], "zip": ["1"], "smoker": [True]}), schema(trained))
    assert caught.value.attempt == 'rename "Age" to "age"'


def test_models_of_arrays_take_arrays_npz_and_tables(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 3))
    plain = problem_from_arrays(x, np.arange(30) % 2)
    np.savez(tmp_path / "new.npz", x=x[:4])
    pd.DataFrame(x[:4], columns=["a", "b", "c"]).assign(target=1).to_csv(tmp_path / "new.csv", index=False)
    for source in (x[:4], tmp_path / "new.npz", tmp_path / "new.csv", pd.DataFrame(x[:4]), x[:4].tolist()):
        np.testing.assert_array_equal(read_new(source, schema(plain)), plain.inputs[:4])
    with pytest.raises(UserError, match="another shape"):
        read_new(x[:, :2], schema(plain))
    with pytest.raises(UserError, match="another number of columns"):
        read_new(pd.DataFrame(x[:, :2]), schema(plain))
    named = problem_from_arrays(x, np.arange(30) % 2, feature_names=["a", "b", "c"])
    swapped = pd.DataFrame(x[:4], columns=["a", "b", "c"])[["c", "a", "b"]]
    np.testing.assert_array_equal(read_new(swapped, schema(named)), named.inputs[:4])


def test_a_row_with_missing_numbers_is_no_error_for_arrays() -> None:
    trained = problem_from_arrays(np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 2)
    assert np.isnan(read_new([[1.0, np.nan, 2.0]], schema(trained))).sum() == 1


def test_images(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 4, 5), dtype=np.uint8)
    trained = problem_from_arrays(x, np.arange(20) % 2)
    np.testing.assert_array_equal(read_new(x[:3], schema(trained)), trained.inputs[:3])
    np.savez(tmp_path / "new.npz", x_test=x[:3])
    np.testing.assert_array_equal(read_new(tmp_path / "new.npz", schema(trained)), trained.inputs[:3])
    with pytest.raises(UserError, match="takes images"):
        read_new(pd.DataFrame({"a": [1]}), schema(trained))
    with pytest.raises(UserError, match="another shape"):
        read_new(x[:3, :3], schema(trained))


def test_an_array_for_a_model_of_a_table() -> None:
    trained = open_problem("iris")
    inputs = read_new([[5.1, 3.5, 1.4, 0.2]], schema(trained))
    pd.testing.assert_frame_equal(inputs, trained.inputs.iloc[:1])  # type: ignore[arg-type]
    with pytest.raises(UserError, match="does not fit the table"):
        read_new([[5.1, 3.5]], schema(trained))

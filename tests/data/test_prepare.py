"""Oracle: scikit-learn's imputer, scalers and encoders, fitted on the same rows."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from sparsefire.data.frames import canonical
from sparsefire.data.numbers import LIMIT, fit_numbers
from sparsefire.data.prepare import Preparation, fit_preparation, from_stored
from sparsefire.data.problem import Column
from sparsefire.errors import UserError

TABLE = pd.DataFrame(
    {
        "age": [20.0, np.nan, 40.0, 60.0, 35.0, 20.0, 18.0, 44.0] * 5,
        "gain": np.expm1(np.linspace(0, 11, 40)),
        "flat": [7.0] * 40,
        "job": ["a", "b", None, "c", "a", "a", "b", "a"] * 5,
        "town": [f"t{i:02d}" if i % 9 else None for i in range(33)] + [f"u{i:02d}" for i in range(7)],
        "grade": pd.Categorical(
            ["low", "high", "mid", None, "mid", "mid", "low", "mid"] * 5,
            categories=["low", "mid", "high"],
            ordered=True,
        ),
    }
)


def table(frame: pd.DataFrame = TABLE) -> tuple[pd.DataFrame, tuple[Column, ...]]:
    inputs, columns = canonical(frame)
    wide = tuple(
        Column(
            c.name, c.kind, c.categories + tuple(f"more {i}" for i in range(50)) if c.name == "town" else c.categories
        )
        for c in columns
    )
    return inputs, wide


def feature(prepared: Preparation, values: np.ndarray, name: str) -> np.ndarray:
    return values[:, prepared.feature_names.index(name)]


def stored_and_back(prepared: Preparation, folder: Path) -> Preparation:
    """Send a preparation through JSON and uncompressed arrays, as a model file would."""
    np.savez(folder / "p.npz", **prepared.arrays())
    with np.load(folder / "p.npz", allow_pickle=False) as arrays:
        return from_stored(dict(arrays), json.loads(json.dumps(prepared.settings())))


def test_numbers_equal_sklearn() -> None:
    inputs, columns = table()
    prepared = fit_preparation(inputs, columns)
    values = prepared.transform(inputs)
    imputed = SimpleImputer(strategy="median")
    age = make_pipeline(imputed, StandardScaler()).fit_transform(inputs[["age"]])[:, 0]
    np.testing.assert_allclose(feature(prepared, values, "age"), age, rtol=1e-6)
    np.testing.assert_array_equal(feature(prepared, values, "age is missing"), inputs["age"].isna())
    gain = make_pipeline(FunctionTransformer(np.log1p), StandardScaler()).fit_transform(inputs[["gain"]])[:, 0]
    assert prepared.logged == ("gain",)
    np.testing.assert_allclose(feature(prepared, values, "gain"), gain, rtol=1e-6)
    assert (feature(prepared, values, "flat") == 0).all()


def test_categories_equal_sklearn() -> None:
    inputs, columns = table()
    prepared = fit_preparation(inputs, columns)
    values = prepared.transform(inputs)
    job = inputs[["job"]].astype(object).where(inputs[["job"]].notna(), "~missing")
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit_transform(job)
    names = ["job=a", "job=b", "job=c", "job=(missing)"]
    np.testing.assert_array_equal(np.stack([feature(prepared, values, name) for name in names], 1), one_hot)
    town = inputs[["town"]].astype(object).where(inputs[["town"]].notna(), "~missing")
    ranked = make_pipeline(OrdinalEncoder(), StandardScaler()).fit_transform(town)[:, 0]
    np.testing.assert_allclose(feature(prepared, values, "town"), ranked, rtol=1e-5)
    grade = SimpleImputer(strategy="most_frequent").fit_transform(
        inputs[["grade"]].astype(object).where(inputs[["grade"]].notna(), np.nan)
    )
    order = OrdinalEncoder(categories=[["low", "mid", "high"]])
    np.testing.assert_allclose(
        feature(prepared, values, "grade"), make_pipeline(order, StandardScaler()).fit_transform(grade)[:, 0], rtol=1e-5
    )


def test_every_feature_has_a_name_and_comes_from_its_column() -> None:
    inputs, columns = table()
    prepared = fit_preparation(inputs, columns)
    assert (
        prepared.features == len(prepared.feature_names) == len(prepared.origin) == prepared.transform(inputs).shape[1]
    )
    for name, position in zip(prepared.feature_names, prepared.origin, strict=True):
        assert name.startswith(columns[position].name)


def test_only_training_rows_are_looked_at() -> None:
    inputs, columns = table()
    train = fit_preparation(inputs.iloc[:16], columns)
    changed = inputs.copy()
    changed.loc[16:, ["age", "gain", "flat"]] = 1e6
    again = fit_preparation(changed.iloc[:16], columns)
    for key, value in train.arrays().items():
        np.testing.assert_array_equal(value, again.arrays()[key])
    assert train.settings() == again.settings()
    assert not any("u00" in str(entry["levels"]) for entry in train.settings()["encoders"])


def test_a_long_tail_is_judged_on_training_rows() -> None:
    column = (Column("x", "number"),)
    calm = pd.DataFrame({"x": np.arange(100.0)})
    wild = pd.DataFrame({"x": np.exp(np.linspace(0, 12, 100))})
    assert fit_preparation(calm, column).logged == ()
    assert fit_preparation(wild, column).logged == ("x",)
    assert fit_preparation(wild - 1e-9 - 1, column).logged == ()  # a value below zero
    assert fit_preparation(pd.DataFrame({"x": [0.0] * 99 + [16.0]}), column).logged == ()  # a narrow range
    values = fit_preparation(wild, column).transform(pd.DataFrame({"x": [-5.0, np.nan]}))
    assert np.isfinite(values).all()


def test_rebuilt_without_pickle_bit_by_bit(tmp_path: Path) -> None:
    inputs, columns = table()
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(30, 5)).astype(np.float32)
    flat[3, 2] = np.nan
    images = rng.random((9, 3, 4, 5), dtype=np.float32)
    for data, kinds in ((inputs, columns), (flat, ()), (images, ())):
        prepared = fit_preparation(data, kinds)
        again = stored_and_back(prepared, tmp_path)
        assert prepared.transform(data).tobytes() == again.transform(data).tobytes()
        assert again.feature_names == prepared.feature_names
        np.testing.assert_array_equal(again.origin, prepared.origin)
        assert again.logged == prepared.logged


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
        elements=st.one_of(st.just(np.nan), st.floats(-1e150, 1e150)),
    )
)
def test_whatever_comes_is_finite_and_stored_exactly(
    tmp_path_factory: pytest.TempPathFactory, block: np.ndarray
) -> None:
    columns = tuple(Column(str(i), "number") for i in range(block.shape[1]))
    frame = pd.DataFrame(block, columns=[column.name for column in columns])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepared = fit_preparation(frame, columns)
        values = prepared.transform(frame)
        other = prepared.transform(frame[::-1] * -0.5)
    assert np.isfinite(values).all()
    assert np.isfinite(other).all()
    assert np.abs(values).max(initial=0) <= LIMIT
    again = stored_and_back(prepared, tmp_path_factory.mktemp("p"))
    assert again.transform(frame).tobytes() == values.tobytes()


def test_array_features_are_standardised_without_a_logarithm() -> None:
    x = np.exp(np.random.default_rng(0).normal(0, 3, (10_000, 4))).astype(np.float32)
    x[:, 2] = 1e9 + 0.1  # constant, and far from zero
    prepared = fit_preparation(x, feature_names=["a", "b", "c", "d"])
    expected = StandardScaler().fit_transform(x.astype(np.float64))
    values = prepared.transform(x)
    np.testing.assert_allclose(values[:, [0, 1, 3]], expected[:, [0, 1, 3]], rtol=2e-5, atol=1e-6)
    assert (values[:, 2] == 0).all()
    assert (prepared.transform(x + 5)[:, 2] == 0).all()
    assert prepared.feature_names == ("a", "b", "c", "d")


def test_images_have_one_mean_and_deviation_for_each_channel() -> None:
    x = np.random.default_rng(0).random((5000, 2, 3, 3), dtype=np.float32)
    x[:, 1] = 0.25
    prepared = fit_preparation(x)
    values = prepared.transform(x)
    assert values.shape == x.shape
    np.testing.assert_allclose(values[:, 0], (x[:, 0] - x[:, 0].mean()) / x[:, 0].std(), rtol=1e-3, atol=1e-4)
    assert (values[:, 1] == 0).all()
    assert prepared.features == 18


def test_missing_numbers_of_arrays() -> None:
    x = np.array([[1, 5], [np.nan, 6], [3, 7], [8, 8]], np.float32)
    prepared = fit_preparation(x)
    assert prepared.feature_names == ("x0", "x1", "x0 is missing")
    values = prepared.transform(np.array([[np.nan, np.nan]], np.float32))
    median = StandardScaler().fit(SimpleImputer(strategy="median").fit_transform(x)).transform([[3.0, 6.5]])[0]
    np.testing.assert_allclose(values[0], [*median, 1], atol=1e-6)


def test_unseen_levels_warn_and_become_zeros() -> None:
    inputs, columns = table()
    prepared = fit_preparation(inputs, columns)
    new = inputs.iloc[:3].copy()
    new["job"] = pd.Categorical(["a", "pilot <b>", "b"])
    new["grade"] = pd.Categorical(["low", "top", None])
    with pytest.warns(UserWarning, match="training did not have") as caught:
        values = prepared.transform(new)
    texts = [str(warning.message) for warning in caught]
    assert any('"job" has 1 level' in text and "pilot <b>" in text for text in texts)
    assert any('"grade"' in text and "top" in text for text in texts)
    jobs = [name for name in prepared.feature_names if name.startswith("job=")]
    assert [float(feature(prepared, values, name)[1]) for name in jobs] == [0.0] * 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(prepared.transform(new, warn=False), values)


def test_a_first_missing_value_in_new_data_warns_too() -> None:
    inputs, columns = canonical(pd.DataFrame({"c": ["a", "b"] * 4}))
    with pytest.warns(UserWarning, match=r"\(missing\)"):
        values = fit_preparation(inputs, columns).transform(
            pd.DataFrame({"c": pd.Categorical([None], categories=["a"])})
        )
    assert values.tolist() == [[0, 0]]


def test_a_column_without_values_in_training_is_zero() -> None:
    inputs, columns = canonical(
        pd.DataFrame({"a": [np.nan, np.nan, 1.0], "b": ["x", None, None], "c": [1.0, 2.0, 3.0]})
    )
    prepared = fit_preparation(inputs.iloc[1:2], columns)
    assert np.isfinite(prepared.transform(inputs, warn=False)).all()


def test_other_columns_shapes_and_infinite_values_are_refused() -> None:
    inputs, columns = table()
    prepared = fit_preparation(inputs, columns)
    with pytest.raises(UserError, match="other columns"):
        prepared.transform(inputs[inputs.columns[::-1]])
    broken = inputs.copy()
    broken.loc[2, "gain"] = np.inf
    for call in (lambda: prepared.transform(broken), lambda: fit_preparation(broken, columns)):
        with pytest.raises(UserError, match='"gain" holds infinite'):
            call()
    flat = fit_preparation(np.zeros((3, 2), np.float32))
    for wrong in (np.zeros((3, 3), np.float32), inputs):
        with pytest.raises(UserError, match="another shape"):
            flat.transform(wrong)


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1.0, 1e9, 1e140])
def test_scale_does_not_matter(scale: float) -> None:
    block = np.random.default_rng(0).normal(size=(50, 3)) * scale
    np.testing.assert_allclose(
        fit_numbers(block, log=False, fill="mean").scaled(block),
        StandardScaler().fit_transform(block / scale),
        rtol=1e-6,
    )


def test_hostile_names_pass_untouched() -> None:
    frame = pd.DataFrame({"<script>": [1.0, 2.0], 'a"b\n': ["x", "</td>"]})
    prepared = fit_preparation(*canonical(frame))
    assert prepared.feature_names == ("<script>", 'a"b\n=</td>', 'a"b\n=x')

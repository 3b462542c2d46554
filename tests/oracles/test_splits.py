"""Oracle: the definition of each split on stored rows, and scikit-learn's own transformers fitted on training rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import sparsefire as sf
from sparsefire.data import fit_preparation, folds, problem_from_arrays, split_test


@pytest.mark.parametrize("name", ["cluster", "cluster-r2"])
def test_no_cluster_stands_on_both_sides(name: str, case: Callable) -> None:
    it = case(name)
    test = it.test_rows()
    development = np.setdiff1d(np.arange(len(it.truth)), test)
    assert set(it.clusters[test]).isdisjoint(it.clusters[development])
    assert abs(len(test) / len(it.truth) - 0.2) < 0.05
    for run in it.folds("dense"):
        train = np.setdiff1d(development, run.arrays["rows"])
        assert set(it.clusters[train]).isdisjoint(it.clusters[run.arrays["rows"]])
        assert run.result["rows_train"] == len(train)
    assert it.verdict["data"]["clusters"] is not None


def test_training_rows_come_before_the_rows_they_are_tested_on(case: Callable) -> None:
    it = case("time")
    day = it.table["day"].to_numpy()
    test = it.test_rows()
    development = np.setdiff1d(np.arange(len(day)), test)
    assert day[development].max() < day[test].min()
    assert abs(len(test) / len(day) - 0.2) < 0.05
    starts = []
    for run in sorted(it.folds("dense"), key=lambda run: (run.spec["round"], run.spec["fold"])):
        held = run.arrays["rows"]
        earlier = development[day[development] < day[held].min()]
        assert run.result["rows_train"] == len(earlier) > 0
        if run.spec["round"] == 0:
            starts.append(day[held].min())
    assert len(set(starts)) == it.verdict["plan"]["folds"]
    assert starts == sorted(starts)


def test_one_whole_site_is_left_out(case: Callable) -> None:
    it = case("site")
    place = it.table["place"].to_numpy()
    test = it.test_rows()
    (left,) = set(place[test])
    assert (place == left).sum() == len(test)
    development = np.setdiff1d(np.arange(len(place)), test)
    for run in it.folds("dense"):
        held = run.arrays["rows"]
        train = np.setdiff1d(development, held)
        assert set(place[held]).isdisjoint(place[train])
        assert run.result["rows_train"] == len(train)
    assert left in it.verdict["data"]["split"]


def test_stratified_shares(case: Callable) -> None:
    for name in ("accuracy", "strict"):
        it = case(name)
        test = it.test_rows()
        assert len(test) == -(-len(it.truth) // 5)
        for code in np.unique(it.truth):
            expected = (it.truth == code).sum() * len(test) / len(it.truth)
            assert abs((it.truth[test] == code).sum() - expected) <= 1
        for run in it.folds("dense"):
            held = it.truth[run.arrays["rows"]]
            rows = it.compared()
            for code in np.unique(it.truth):
                share = (it.truth[rows] == code).sum() / it.verdict["plan"]["folds"]
                assert abs((held == code).sum() - share) <= 1.5


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    units=st.integers(15, 40),
    k=st.integers(2, 4),
    role=st.sampled_from(["cluster", "time", "site", "none"]),
)
def test_folds_keep_their_promises_on_any_table(seed: int, units: int, k: int, role: str) -> None:
    rng = np.random.default_rng(seed)
    unit = np.sort(rng.integers(0, units, units * 8))
    y = rng.integers(0, 2, len(unit))
    extra: dict[str, Any] = (
        {} if role == "none" else {role: rng.permutation(units)[unit] if role != "site" else unit % 6}
    )
    problem = problem_from_arrays(rng.normal(size=(len(unit), 3)), y, **extra)
    label = extra.get(role)
    development, test = split_test(problem, seed)
    assert set(development.tolist()).isdisjoint(test.tolist())
    assert len(development) + len(test) == len(unit)
    if role in ("cluster", "site"):
        assert set(label[development]).isdisjoint(label[test])
    if role == "time":
        assert label[development].max() < label[test].min()
    seen: list[int] = []
    for train, held in folds(problem, development, k, seed):
        assert set(train.tolist()).isdisjoint(held.tolist())
        assert set(train.tolist()) | set(held.tolist()) <= set(development.tolist())
        seen += held.tolist()
        if role in ("cluster", "site"):
            assert set(label[train]).isdisjoint(label[held])
        if role == "time":
            assert label[train].max() < label[held].min()
            assert len(train) == (label[development] < label[held].min()).sum()
        assert set(y[train]) == {0, 1}
    assert len(seen) == len(set(seen))
    if role != "time":
        assert sorted(seen) == development.tolist()


# ---------------------------------------------------------------- preparation


def by_scikit_learn(train: pd.DataFrame, rows: pd.DataFrame, numbers: list[str], words: list[str]) -> np.ndarray:
    """Median and indicators, mean 0 and variance 1, one feature per level with missing as a level."""
    filler = SimpleImputer(strategy="median").fit(train[numbers])
    scaler = StandardScaler().fit(filler.transform(train[numbers]))
    gaps = [name for name in numbers if train[name].isna().any()]
    parts = [scaler.transform(filler.transform(rows[numbers])), rows[gaps].isna().to_numpy(dtype=float)]
    for name in words:
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        levels = train[[name]].astype(object).where(train[[name]].notna(), None)
        encoder.fit(levels)
        parts.append(encoder.transform(rows[[name]].astype(object).where(rows[[name]].notna(), None)))
    return np.concatenate(parts, axis=1)


def table_of(seed: int, rows: int) -> pd.DataFrame:
    """Numbers without long tails, some missing; categories, some missing."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "u": rng.normal(3, 2, rows),
            "v": rng.uniform(-1, 1, rows),
            "w": rng.integers(0, 40, rows).astype(float),
            "p": rng.choice(["red", "green", "blue"], rows),
            "q": rng.choice(["x", "y"], rows),
        }
    )
    frame.loc[rng.random(rows) < 0.15, "v"] = np.nan
    frame.loc[rng.random(rows) < 0.15, "q"] = None
    return frame


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(30, 120))
def test_the_preparation_equals_scikit_learn_fitted_on_training_rows(seed: int, rows: int) -> None:
    frame = table_of(seed, rows)
    problem = problem_from_arrays(frame, np.arange(rows) % 2)
    train = np.arange(0, rows, 2)
    fitted = fit_preparation(problem.select(train), problem.columns)
    mine = by_scikit_learn(frame.iloc[train], frame, ["u", "v", "w"], ["p", "q"])
    found = fitted.transform(problem.select(np.arange(rows)), warn=False)
    assert found.dtype == np.float32
    assert found.shape == mine.shape
    # numbers and indicators stand in the same order; levels may stand in another one within a column
    width = 3 + int(frame.iloc[train]["v"].isna().any())
    np.testing.assert_allclose(found[:, :width], mine[:, :width], atol=1e-5)
    start = width
    for name in ("p", "q"):
        levels = frame.iloc[train][name].nunique(dropna=False)
        left = np.array(sorted(map(tuple, found[:, start : start + levels].T)))
        right = np.array(sorted(map(tuple, mine[:, start : start + levels].T)))
        np.testing.assert_array_equal(left, right)
        start += levels
    assert start == found.shape[1]


def test_many_levels_become_one_standardised_number_as_by_ordinal_encoder() -> None:
    rng = np.random.default_rng(0)
    levels = [f"town {number:03d}" for number in range(70)]
    frame = pd.DataFrame({"town": rng.permutation(levels * 4), "u": rng.normal(size=280)})
    problem = problem_from_arrays(frame, np.arange(280) % 2)
    train = np.sort(rng.choice(280, 200, replace=False))
    fitted = fit_preparation(problem.select(train), problem.columns)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(frame.iloc[train][["town"]])
    codes = encoder.transform(frame[["town"]])
    expected = StandardScaler().fit(codes[train]).transform(codes)
    found = fitted.transform(problem.select(np.arange(280)), warn=False)
    assert found.shape == (280, 2)
    np.testing.assert_allclose(found[:, 1:], expected, atol=1e-5)


def test_an_array_is_standardised_feature_by_feature() -> None:
    rng = np.random.default_rng(1)
    x = (rng.lognormal(size=(90, 4)) * [1, 10, 100, 1000]).astype(np.float32)
    fitted = fit_preparation(x[:60])
    scaler = StandardScaler().fit(x[:60].astype(float))
    np.testing.assert_allclose(fitted.transform(x), scaler.transform(x.astype(float)), atol=1e-4, rtol=1e-4)


def test_images_have_one_mean_and_deviation_per_channel() -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(size=(40, 3, 5, 4)).astype(np.float32) * np.array([1, 4, 9], np.float32)[:, None, None]
    fitted = fit_preparation(x[:25])
    flat = x[:25].astype(float).transpose(0, 2, 3, 1).reshape(-1, 3)
    expected = (x - flat.mean(axis=0)[:, None, None]) / flat.std(axis=0)[:, None, None]
    np.testing.assert_allclose(fitted.transform(x), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["accuracy", "r2", "cluster", "site", "time"])
def test_the_model_handed_over_was_prepared_on_development_rows_alone(name: str, case: Callable) -> None:
    it = case(name)
    model = sf.load_model(it.folder)
    development = np.setdiff1d(np.arange(len(it.truth)), it.test_rows())
    inputs = it.table.copy()
    inputs["dose"] = np.log1p(inputs["dose"])  # a long right tail is taken as log(1 + x)
    words = [column for column in ("stage", "sex") if column in inputs]
    names = ["a", "b", "c", "dose"]
    mine = by_scikit_learn(inputs.iloc[development], inputs, names, words)
    found = model.features(it.table)
    assert found.shape == mine.shape
    np.testing.assert_allclose(found[:, :5], mine[:, :5], atol=2e-5, rtol=1e-5)
    np.testing.assert_array_equal(np.sort(found[:, 5:].sum(axis=0)), np.sort(mine[:, 5:].sum(axis=0)))


def test_every_fold_of_the_store_was_prepared_on_its_own_training_rows(case: Callable) -> None:
    it = case("r2")
    development = np.setdiff1d(np.arange(len(it.truth)), it.test_rows())
    for run in it.folds("dense"):
        train = np.setdiff1d(development, run.arrays["rows"])
        mean, deviation = run.result["scale"]
        assert mean == pytest.approx(it.truth[train].mean(), rel=1e-12)
        assert deviation == pytest.approx(it.truth[train].std(), rel=1e-12)


def test_linear_models_of_the_folds_are_those_of_scikit_learn_on_their_training_rows(case: Callable) -> None:
    """Only a preparation and a model that saw nothing but the training rows give these predictions."""
    from sklearn.linear_model import Ridge

    it = case("r2")
    development = np.setdiff1d(np.arange(len(it.truth)), it.test_rows())
    inputs = it.table.copy()
    inputs["dose"] = np.log1p(inputs["dose"])
    for run in it.folds("linear"):
        held = run.arrays["rows"]
        train = np.setdiff1d(development, held)
        x = by_scikit_learn(inputs.iloc[train], inputs, ["a", "b", "c", "dose"], ["stage"])
        y = it.truth
        scale = StandardScaler().fit(y[train, None])
        model = Ridge(alpha=1.0).fit(x[train], scale.transform(y[train, None])[:, 0])
        mine = scale.inverse_transform(model.predict(x[held])[:, None])[:, 0]
        np.testing.assert_allclose(run.arrays["value"], mine, rtol=2e-3, atol=0.5)


def test_a_real_table_by_site(shared_data: Callable, tmp_path: Any, runs_of: Callable) -> None:
    path = shared_data("heart_disease") / "heart_disease.csv.gz"
    table = pd.read_csv(path)
    sf.fit(
        path, target="num", site="site", effort="quick", folds=3, rounds=2, epochs=2, densities=[0.2], hidden=[16],
        margin=0.05, workers=1, out=tmp_path / "run",
    )  # fmt: skip
    site = table["site"].to_numpy()
    runs = runs_of(tmp_path / "run")
    test = next(run for run in runs if run.id == "dense" and run.spec["round"] < 0).arrays["rows"]
    assert len(set(site[test])) == 1
    assert (site == site[test][0]).sum() == len(test)
    for run in runs:
        if run.spec["round"] >= 0:
            held = set(site[run.arrays["rows"]])
            assert (np.isin(site, list(held))).sum() == len(run.arrays["rows"])
            assert run.result["rows_train"] == len(site) - len(test) - len(run.arrays["rows"])

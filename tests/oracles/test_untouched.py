"""Oracle: metamorphic relations. What happens to test rows, to workers or to time must not reach the selection."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sparsefire as sf

QUICK: dict[str, Any] = {
    "effort": "quick",
    "folds": 3,
    "rounds": 2,
    "epochs": 4,
    "densities": [0.4],
    "methods": ["gmp"],
    "hidden": [12],
    "rng": 11,
}
SELECTION = (
    "id",
    "kind",
    "method",
    "density",
    "score",
    "score_low",
    "score_high",
    "difference",
    "lower",
    "upper",
    "walk",
)


def selection(verdict: dict[str, Any]) -> dict[str, Any]:
    """Everything that is decided before the test rows are looked at."""
    return {
        "candidates": [
            {name: entry[name] for name in (*SELECTION, "share_initialisation")} for entry in verdict["candidates"]
        ],
        "gate": verdict["gate"],
        "selected": verdict["selected"],
        "handed_over": verdict["handed_over"],
        "margin": verdict["margin"],
        "plan": {name: value for name, value in verdict["plan"].items() if name not in ("workers", "command")},
    }


def without_times(value: Any) -> Any:
    """A verdict without what may differ from run to run: times, latencies, number of workers, the command."""
    if isinstance(value, dict):
        dropped = ("latency_us", "timing", "workers", "command")
        return {name: without_times(inner) for name, inner in value.items() if name not in dropped}
    if isinstance(value, list):
        return [without_times(inner) for inner in value]
    return value


def stored_predictions(runs: list[Any]) -> dict[tuple[str, int, int], dict[str, bytes]]:
    """Bytes of what every fold predicted, by candidate, round and fold."""
    return {
        (run.id, run.spec["round"], run.spec["fold"]): {name: run.arrays[name].tobytes() for name in run.arrays}
        for run in runs
        if run.spec["round"] >= 0
    }


def write_npz(path: Path, corrupted: bool) -> None:
    """Three classes, the file's own test set; corrupted: its inputs are other numbers and its labels are shuffled."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(330, 6)).astype(np.float32)
    y = np.digitize(x[:, 0] + x[:, 1] * x[:, 2], [-0.5, 0.7])
    x_test, y_test = x[270:].copy(), y[270:].copy()
    if corrupted:
        other = np.random.default_rng(1)
        x_test = (other.normal(size=x_test.shape) * 500 + 77).astype(np.float32)
        y_test = other.permutation(y_test)
    np.savez(path, x_train=x[:270], y_train=y[:270], x_test=x_test, y_test=y_test)


def test_another_test_set_in_the_file_changes_nothing_of_the_selection(tmp_path: Path, runs_of: Callable) -> None:
    found = []
    for which in (False, True):
        place = tmp_path / str(which)
        place.mkdir()
        write_npz(place / "rows.npz", which)
        result = sf.fit(place / "rows.npz", margin=0.1, out=place / "run", workers=1, **QUICK)
        found.append((selection(result.verdict), stored_predictions(runs_of(place / "run")), result.verdict))
    assert found[0][0] == found[1][0]
    assert found[0][1] == found[1][1]
    assert found[0][2]["test_scores"] != found[1][2]["test_scores"], "the corruption must reach the test"


@pytest.mark.parametrize("how", ["rows are exchanged", "values nobody has seen"])
def test_later_rows_of_a_regression_change_nothing_of_the_selection(
    how: str, tmp_path: Path, runs_of: Callable
) -> None:
    rng = np.random.default_rng(2)
    n = 320
    table = pd.DataFrame(
        {
            "a": rng.normal(size=n),
            "b": np.exp(rng.normal(size=n)) * 30,
            "kind": rng.choice(["u", "v", "w"], n),
            "day": np.arange(n),
        }
    )
    table["y"] = table["a"] * 3 + np.log(table["b"]) * (table["kind"] == "u") + 0.2 * rng.normal(size=n)
    late = np.arange(n) >= 256
    other = table.copy()
    shuffled = rng.permutation(np.flatnonzero(late))
    for name in ("a", "b", "kind"):
        other.loc[late, name] = table[name].to_numpy()[shuffled]
    other.loc[late, "y"] = rng.permutation(table["y"].to_numpy()[late])
    if how == "values nobody has seen":
        other.loc[late, "kind"] = "x"
        other.loc[late, "a"] = other.loc[late, "a"] * 1e4
        other.loc[other.index[late][:20], "b"] = np.nan
        other.loc[late, "y"] = other.loc[late, "y"] * 1e3
    found = []
    for number, frame in enumerate((table, other)):
        place = tmp_path / f"run{number}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = sf.fit(frame, target="y", time="day", margin=0.4, out=place, workers=1, **QUICK)
        rows = runs_of(place)
        test = next(run for run in rows if run.id == "dense" and run.spec["round"] < 0).arrays["rows"]
        np.testing.assert_array_equal(np.sort(test), np.flatnonzero(late))
        found.append((selection(result.verdict), stored_predictions(rows), result.verdict["test_scores"]))
    assert found[0][0] == found[1][0]
    assert found[0][1] == found[1][1]
    assert found[0][2] != found[1][2]


def test_test_rows_drawn_by_the_split_are_never_seen_either(tmp_path: Path, runs_of: Callable) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(260, 5)).astype(np.float32)
    y = x[:, 0] * 2 + np.abs(x[:, 1]) + 0.3 * rng.normal(size=260)
    one = sf.fit(x, y, margin=0.4, out=tmp_path / "one", workers=1, **QUICK)
    test = next(run for run in runs_of(tmp_path / "one") if run.spec["round"] < 0).arrays["rows"]
    assert len(test) == 52
    x2, y2 = x.copy(), y.copy()
    x2[test] = x[rng.permutation(test)]
    y2[test] = rng.permutation(y[test]) * -5
    two = sf.fit(x2, y2, margin=0.4, out=tmp_path / "two", workers=1, **QUICK)
    assert selection(one.verdict) == selection(two.verdict)
    assert stored_predictions(runs_of(tmp_path / "one")) == stored_predictions(runs_of(tmp_path / "two"))
    assert one.verdict["test_scores"] != two.verdict["test_scores"]


@pytest.mark.parametrize("second", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_workers_and_repetition_change_nothing(second: int, tmp_path: Path, runs_of: Callable) -> None:
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"a": rng.normal(size=240), "b": rng.normal(size=240), "c": rng.choice(list("pqr"), 240)})
    table["y"] = np.where(table["a"] + table["a"] * table["b"] > 0.1, "yes", "no")
    found, models = [], []
    for number, workers in enumerate((1, second)):
        place = tmp_path / f"run{number}"
        sf.fit(table, target="y", margin=0.1, out=place, workers=workers, **QUICK)
        found.append(without_times(json.loads((place / "verdict.json").read_text())))
        models.append((place / "model.safetensors").read_bytes())
    assert found[0] == found[1]
    assert models[0] == models[1]
    assert stored_predictions(runs_of(tmp_path / "run0")) == stored_predictions(runs_of(tmp_path / "run1"))


def test_resuming_repeats_no_run_and_changes_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(200, 4)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    options = QUICK | {"densities": [0.4], "epochs": 2}
    first = sf.fit(x, y, margin=0.2, out=tmp_path / "run", workers=1, **options).verdict
    again = sf.fit(x, y, margin=0.2, out=tmp_path / "run", workers=1, **options).verdict
    assert without_times(again) == without_times(first)
    assert again["timing"] == first["timing"]


def test_the_order_of_columns_named_for_other_roles_does_not_matter(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    table = pd.DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200)})
    table["y"] = np.where(table["a"] > 0, "yes", "no")
    options = QUICK | {"densities": [0.4], "epochs": 2}
    left = sf.fit(table[["a", "b", "y"]], target="y", margin=0.2, workers=1, **options)
    right = sf.fit(table[["y", "a", "b"]], target="y", margin=0.2, workers=1, **options)
    assert selection(left.verdict) == selection(right.verdict)

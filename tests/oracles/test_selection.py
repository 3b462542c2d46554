"""Oracle: sections 1 and 6 of the decision note, recomputed from stored out-of-fold predictions of real searches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

CASES = ["accuracy", "strict", "auc", "r2", "cluster", "cluster-auc", "cluster-r2", "time", "site"]
TRAINED_CHAINS = ("linear", "narrow", "sparse")


def chains_of(verdict: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Candidates that are walked, per chain, from dense to sparse."""
    chains: dict[str, list[dict[str, Any]]] = {}
    for entry in verdict["candidates"]:
        if entry["kind"] in TRAINED_CHAINS:
            chains.setdefault(entry["method"], []).append(entry)
    return {name: sorted(chain, key=lambda entry: -(entry["density"] or 1.0)) for name, chain in chains.items()}


@pytest.mark.parametrize("name", CASES)
def test_every_difference_and_bound_follows_from_the_stored_runs(name: str, case: Callable[[str], Any]) -> None:
    it = case(name)
    level = it.verdict["plan"]["level_each"]
    dense = it.matrix("dense")
    assert it.verdict["data"]["rows_compared"] == len(dense)
    checked = 0
    for entry in it.candidates(*TRAINED_CHAINS):
        if entry["difference"] is None or (not it.verdict["gate"]["passed"]):
            continue
        bound = it.bound(it.matrix(entry["id"]), dense, level)
        assert entry["difference"] == pytest.approx(bound.estimate, abs=1e-12), entry["id"]
        assert entry["lower"] == pytest.approx(bound.lower, abs=1e-10), entry["id"]
        assert entry["upper"] == pytest.approx(2 * bound.estimate - bound.lower, abs=1e-10), entry["id"]
        assert entry["share_initialisation"] == pytest.approx(bound.share, abs=1e-10), entry["id"]
        checked += 1
    assert checked >= 2


@pytest.mark.parametrize("name", CASES)
def test_scores_are_means_over_rounds_of_pooled_scores(name: str, case: Callable[[str], Any], own: Any) -> None:
    it = case(name)
    y = it.truth[it.compared()]
    for entry in it.candidates():
        if entry["score"] is None:
            continue
        found = it.matrix(entry["id"])
        scores = []
        for r in range(found.shape[1]):
            if it.score == "accuracy":
                scores.append((found[:, r] == y).mean())
            elif it.score == "auc":
                scores.append(own.placement_fast(y, found[:, r])[0].mean())
            else:
                scores.append(1 - ((y - found[:, r]) ** 2).mean() / ((y - y.mean()) ** 2).mean())
        assert entry["score"] == pytest.approx(np.mean(scores), abs=1e-12), entry["id"]
        if entry["kind"] == "boosting":  # trained in one round: compared with dense in that round
            dense = it.matrix("dense")[:, 0]
            if it.score == "accuracy":
                expected = scores[0] - (dense == y).mean()
                assert entry["difference"] == pytest.approx(expected, abs=1e-12)
        else:
            shift = entry["score"] - it.candidates("dense")[0]["score"]
            assert entry["difference"] == pytest.approx(shift, abs=1e-10)
        assert entry["score_low"] <= entry["score"] <= entry["score_high"]


def test_score_intervals_are_crossed_bounds_of_the_score_itself(case: Callable[[str], Any], own: Any) -> None:
    it = case("accuracy")
    y = it.truth[it.compared()]
    for entry in it.candidates("dense", *TRAINED_CHAINS):
        if entry["score"] is None:
            continue
        right = (it.matrix(entry["id"]) == y[:, None]).astype(float)
        bound = own.crossed(right, 0.025, factor=1.0)
        assert entry["score_low"] == pytest.approx(max(0.0, bound.lower), abs=1e-9), entry["id"]
        assert entry["score_high"] == pytest.approx(min(1.0, 2 * bound.estimate - bound.lower), abs=1e-9), entry["id"]


@pytest.mark.parametrize("name", [*CASES, "noise"])
def test_the_level_is_divided_by_the_chains_named_in_advance(name: str, case: Callable[[str], Any]) -> None:
    plan = case(name).verdict["plan"]
    chains = 1 + bool(plan["narrow"]) + len(plan["methods"])  # linear, narrow, and one for each method
    assert plan["chains"] == chains == len(chains_of(case(name).verdict))
    assert plan["level_each"] == pytest.approx(0.05 / chains, rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_the_walk_is_a_fixed_sequence(name: str, case: Callable[[str], Any]) -> None:
    it = case(name)
    assert it.verdict["gate"]["passed"], "the case is meant to pass the gate"
    for chain in chains_of(it.verdict).values():
        failed = False
        for entry in chain:
            if failed:
                assert entry["walk"] == "not-tested", entry["id"]
                assert not it.folds(entry["id"]), f"{entry['id']} lies behind a failure but was trained"
                assert entry["lower"] is None
                assert entry["score"] is None
                continue
            passes = entry["lower"] > -it.verdict["margin"]
            assert (entry["walk"] in ("passed", "chosen")) == passes, entry
            if not passes:
                assert entry["walk"] in ("stopped", "fell-short"), entry
                failed = True


@pytest.mark.parametrize("name", CASES)
def test_the_smallest_passer_wins_and_ties_go_to_the_larger_bound(name: str, case: Callable[[str], Any]) -> None:
    it = case(name)
    passers = [entry for entry in it.candidates(*TRAINED_CHAINS) if entry["walk"] in ("passed", "chosen")]
    chosen = [entry for entry in it.verdict["candidates"] if entry["walk"] == "chosen"]
    if not passers:
        assert it.verdict["state"] == "nothing-passed"
        assert it.verdict["selected"] is None
        assert it.verdict["handed_over"] == "dense"
        return
    best = min(passers, key=lambda entry: (entry["weights"], -entry["lower"]))
    assert [entry["id"] for entry in chosen] == [best["id"]]
    selected = it.verdict["selected"]
    assert selected["candidate"] == best["id"] == it.verdict["handed_over"]
    assert selected["weights"] == best["weights"]
    assert selected["density"] == best["density"]
    assert selected["dense_weights"] == it.candidates("dense")[0]["weights"]
    assert it.verdict["kind"] == best["kind"]


@pytest.mark.parametrize("name", [*CASES, "noise"])
def test_the_gate_asks_whether_dense_beats_a_constant_by_the_margin(name: str, case: Callable[[str], Any]) -> None:
    it = case(name)
    rows, dense = it.compared(), it.matrix("dense")
    constant = np.full(dense.shape, np.nan)
    test = set(it.test_rows().tolist())
    development = np.array([row for row in range(len(it.truth)) if row not in test])
    for run in it.folds("dense"):
        held = run.arrays["rows"]
        if name == "time":
            day = it.table["day"].to_numpy()
            train = development[day[development] < day[held].min()]
        else:
            train = np.setdiff1d(development, held)
        assert run.result["rows_train"] == len(train)
        assert run.result["rows_held_out"] == len(held)
        at, column = np.searchsorted(rows, held), run.spec["round"]
        if it.score == "r2":
            constant[at, column] = it.truth[train].mean()
        elif it.score == "auc":
            constant[at, column] = 0.5
        else:
            ((top, most), *rest) = Counter(it.truth[train].tolist()).most_common()
            assert not rest or rest[0][1] < most, "a tie would leave the constant open"
            constant[at, column] = top
    bound = it.bound(dense, constant, 0.05)
    gate = it.verdict["gate"]
    assert gate["estimate"] == pytest.approx(bound.estimate, abs=1e-12)
    assert gate["lower"] == pytest.approx(bound.lower, abs=1e-10)
    assert gate["threshold"] >= it.verdict["margin"] - 1e-15
    assert gate["passed"] == (bound.lower > gate["threshold"])


def test_without_signal_nothing_is_walked(case: Callable[[str], Any]) -> None:
    it = case("noise")
    verdict = it.verdict
    assert verdict["state"] == "no-network-needed"
    assert verdict["selected"] is None
    assert verdict["confirmation"] is None
    assert not verdict["confirmed"]
    assert {entry["walk"] for entry in it.candidates(*TRAINED_CHAINS)} == {"not-tested"}
    assert not [run for run in it.runs if run.spec["candidate"]["kind"] in ("narrow", "sparse")]


def test_the_cases_show_passes_failures_and_untested_steps(case: Callable[[str], Any]) -> None:
    seen = {entry["walk"] for name in CASES for entry in case(name).candidates()}
    assert {"reference", "yardstick", "passed", "chosen", "stopped", "not-tested"} <= seen


@pytest.mark.parametrize("name", ["accuracy", "r2", "noise"])
def test_results_parquet_says_of_every_fold_what_the_store_says(name: str, case: Callable[[str], Any]) -> None:
    it = case(name)
    by_key = results(it.folder).set_index("key")
    assert by_key.index.is_unique
    for run in it.runs:
        if run.spec["round"] < 0:
            continue
        row = by_key.loc[run.key]
        assert row["candidate"] == run.id
        assert row["round"] == run.spec["round"]
        assert row["fold"] == run.spec["fold"]
        if run.result["score"] is not None:
            assert row["score"] == pytest.approx(run.result["score"], abs=1e-15)
        if run.result["weights"] is not None:
            assert row["weights"] == run.result["weights"]


@pytest.mark.parametrize("name", ["accuracy", "r2", "noise"])
def test_results_parquet_has_one_row_per_training_run(name: str, case: Callable[[str], Any]) -> None:
    it = case(name)
    assert sorted(results(it.folder)["key"]) == sorted(run.key for run in it.runs)
    assert it.verdict["timing"]["runs"] == len(it.runs)


@pytest.mark.parametrize("name", ["accuracy", "r2"])
def test_every_candidate_shares_the_folds_of_a_round_and_rounds_differ(name: str, case: Callable[[str], Any]) -> None:
    it = case(name)
    folds: dict[tuple[int, int], np.ndarray] = {}
    for run in it.runs:
        if run.spec["round"] >= 0:
            place = (run.spec["round"], run.spec["fold"])
            np.testing.assert_array_equal(folds.setdefault(place, run.arrays["rows"]), run.arrays["rows"])
    assert not np.array_equal(folds[0, 0], folds[1, 0])
    assert set(it.compared().tolist()).isdisjoint(it.test_rows().tolist())
    assert len(it.compared()) + len(it.test_rows()) == len(it.truth)


def results(folder: Path) -> pd.DataFrame:
    """The table of all runs, by DuckDB."""
    return duckdb.execute("SELECT * FROM read_parquet(?)", [str(folder / "results.parquet")]).df()

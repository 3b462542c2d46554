"""Oracle: Tango 1998, DeLong 1988 with the note's correction, and the delta method, on the predictions of test rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

import sparsefire as sf

CASES = ["accuracy", "strict", "auc", "r2", "cluster", "cluster-auc", "cluster-r2", "time", "site"]


def final(it: Any, identifier: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows and predictions of a refit on the test rows."""
    run = it.final(identifier)
    return run.arrays["rows"], run.arrays[it.prediction_name()]


@pytest.mark.parametrize("name", CASES)
def test_the_handed_over_model_predicts_the_test_rows_as_the_stored_refit(name: str, case: Callable) -> None:
    it = case(name)
    rows, stored = final(it, it.verdict["handed_over"])
    model = sf.load_model(it.folder)
    raw = it.table.iloc[rows].reset_index(drop=True)
    if it.score == "accuracy":
        classes = it.verdict["data"]["classes"]
        assert [str(label) for label in model.predict(raw)] == [classes[int(code)] for code in stored]
    elif it.score == "auc":
        np.testing.assert_allclose(model.predict_proba(raw)[:, 1], stored, atol=1e-6)
    else:
        np.testing.assert_allclose(model.predict(raw), stored, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_the_confirmation_follows_from_the_test_rows(name: str, case: Callable, own: Any) -> None:
    it = case(name)
    told = it.verdict["confirmation"]
    if it.verdict["selected"] is None:
        assert told is None
        return
    rows, chosen = final(it, it.verdict["selected"]["candidate"])
    same, dense = final(it, "dense")
    np.testing.assert_array_equal(rows, same)
    assert told["rows"] == len(rows) == it.verdict["data"]["rows_test"]
    assert told["level"] == 0.05
    y, margin = it.truth[rows], it.verdict["margin"]
    clusters = None if it.clusters is None else it.clusters[rows]
    if it.score == "auc":
        mine = own.delong_corrected(y, chosen, dense, 0.05, clusters)
        assert told["difference"] == pytest.approx(mine.estimate, abs=1e-12)
        assert told["score_dense"] == pytest.approx(mine.reference, abs=1e-12)
        assert told["score_chosen"] == pytest.approx(mine.area, abs=1e-12)
        for end, sign in ((told["lower"], 1), (told["upper"], -1)):  # each end solves its own equation
            assert mine.estimate - end == pytest.approx(sign * mine.critical * mine.error(end), abs=1e-9)
        passes = (mine.estimate + margin) / mine.error(-margin) > mine.critical
        few = min((y == 1).sum(), (y == 0).sum())
        needed = 50 if max(mine.reference, mine.area) > 0.95 else 20
        if clusters is None:
            assert told["passed"] == (passes and few >= needed)
        return
    if it.score == "accuracy":
        right, reference = chosen == y, dense == y
        assert told["score_chosen"] == pytest.approx(right.mean(), abs=1e-12)
        assert told["score_dense"] == pytest.approx(reference.mean(), abs=1e-12)
        b, c = int((~right & reference).sum()), int((right & ~reference).sum())
        assert (told["only_dense"], told["only_chosen"]) == (b, c)
        estimate = (c - b) / len(y)
        if clusters is None:
            lower, upper = own.tango_limits(b, c, len(y), 0.05)
            z = stats.norm.ppf(0.95)
            assert told["passed"] == (own.tango_score(b, c, len(y), -margin) > z)
        else:
            estimate, lower, upper = own.mean_test(right.astype(float) - reference, 0.05, clusters)
            assert told["passed"] == (lower > -margin)
    else:
        values = own.influence_r2(y, chosen, dense)
        estimate, lower, upper = own.mean_test(values, 0.05, clusters)
        v = ((y - y.mean()) ** 2).mean()
        assert told["score_chosen"] == pytest.approx(1 - ((y - chosen) ** 2).mean() / v, abs=1e-12)
        assert told["score_dense"] == pytest.approx(1 - ((y - dense) ** 2).mean() / v, abs=1e-12)
        assert told["passed"] == (lower > -margin)
    assert told["difference"] == pytest.approx(estimate, abs=1e-12)
    assert told["lower"] == pytest.approx(lower, abs=1e-8)
    assert told["upper"] == pytest.approx(upper, abs=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_the_state_follows_from_the_bounds(name: str, case: Callable) -> None:
    verdict = case(name).verdict
    told = verdict["confirmation"]
    if verdict["selected"] is None:
        assert verdict["state"] in ("nothing-passed", "no-network-needed")
        assert not verdict["confirmed"]
        return
    assert verdict["confirmed"] == told["passed"] == (verdict["state"] == "confirmed")
    if told["upper"] < -verdict["margin"]:
        assert verdict["state"] == "contradicted"
    elif not told["passed"] and told["lower"] > -verdict["margin"]:
        assert verdict["state"] == "not-confirmable"  # the bound would do, but no verdict may be given
    elif not told["passed"] and told["rows_needed"] is not None:
        expected = "not-confirmable" if told["rows"] < told["rows_needed"] else "not-confirmed"
        assert verdict["state"] == expected
    assert ("is not worse" in verdict["headline"] or "is enough" in verdict["headline"]) or not verdict["confirmed"]
    if not verdict["confirmed"]:
        assert "is not worse" not in verdict["headline"]


def test_rows_needed_and_power_are_those_of_the_disagreement_seen(case: Callable, own: Any) -> None:
    for name in CASES:
        it = case(name)
        told = it.verdict["confirmation"]
        if it.score != "accuracy" or it.clusters is not None or told is None:
            continue
        n, margin = told["rows"], it.verdict["margin"]
        psi = max(told["only_dense"] + told["only_chosen"], 1) / n
        za, zb = stats.norm.ppf(0.95), stats.norm.ppf(0.8)
        if margin <= psi / 2:
            needed = (za + zb) ** 2 * psi / margin**2
        else:
            needed = (za * math.sqrt(max(psi, margin) - margin**2) + zb * math.sqrt(psi)) ** 2 / margin**2
        assert told["rows_needed"] == math.ceil(needed)
        chance = 0.0
        for k in range(n + 1):
            weight = stats.binom.pmf(k, n, psi)
            if weight < 1e-12:
                continue
            for c in range(k + 1):
                if own.tango_score(k - c, c, n, -margin) > za:
                    chance += weight * stats.binom.sf(c - 1, k, 0.5)
                    break
        assert told["power"] == pytest.approx(chance, abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_scores_on_test_rows(name: str, case: Callable, own: Any) -> None:
    it = case(name)
    for who, identifier in {
        "dense": "dense",
        "chosen": it.verdict["handed_over"],
        "linear": "linear",
        "boosting": "boosting",
    }.items():
        rows, found = final(it, identifier)
        y = it.truth[rows]
        value, low, high = it.verdict["test_scores"][who][it.score]
        if it.score == "accuracy":
            assert value == pytest.approx((found == y).mean(), abs=1e-12)
            if it.clusters is None:
                assert (low, high) == pytest.approx(own.wilson((found == y).sum(), len(y), 0.95), abs=1e-9)
        elif it.score == "auc":
            assert value == pytest.approx(own.placement(y, found)[0].mean(), abs=1e-12)
        else:
            assert value == pytest.approx(1 - ((y - found) ** 2).sum() / ((y - y.mean()) ** 2).sum(), abs=1e-12)
        assert low <= value <= high


def test_the_confusion_matrix_counts_the_test_rows(case: Callable) -> None:
    for name in ("accuracy", "strict", "site"):
        it = case(name)
        rows, found = final(it, it.verdict["handed_over"])
        y, k = it.truth[rows], len(it.verdict["data"]["classes"])
        mine = [[int(((y == t) & (found == p)).sum()) for p in range(k)] for t in range(k)]
        assert it.verdict["errors"]["confusion"] == mine


def test_group_scores_are_those_of_the_rows_of_the_group(case: Callable) -> None:
    it = case("accuracy")
    assert it.verdict["groups"], "a group was asked for"
    handed = it.verdict["handed_over"]
    rows, chosen = final(it, handed)
    _, dense = final(it, "dense")
    y = it.truth[rows]
    sex = it.table["sex"].to_numpy()[rows]
    (table,) = it.verdict["groups"]
    assert table["column"] == "sex"
    assert table["all"]["rows"] == len(rows)
    assert table["all"]["difference"] == pytest.approx(
        [it.verdict["confirmation"][name] for name in ("difference", "lower", "upper")]
    )
    assert [line["name"] for line in table["rows"]] == ["f", "m"]
    assert table["level"] == pytest.approx(1 - 0.05 / 2)
    for line in table["rows"]:
        here = sex == line["name"]
        assert line["rows"] == here.sum()
        assert line["base_rate"] == pytest.approx(y[here].mean())
        assert line["chosen"][0] == pytest.approx((chosen == y)[here].mean())
        assert line["dense"][0] == pytest.approx((dense == y)[here].mean())
        assert line["difference"][0] == pytest.approx((chosen == y)[here].mean() - (dense == y)[here].mean())
        assert line["missed"][0] == pytest.approx((chosen[here & (y == 1)] == 0).mean())
        assert line["false_alarm"][0] == pytest.approx((chosen[here & (y == 0)] == 1).mean())
        _, low, high = line["difference"]
        margin = it.verdict["margin"]
        expected = "within the margin" if low > -margin else "worse" if high < -margin else "cannot tell"
        assert line["verdict"] == expected

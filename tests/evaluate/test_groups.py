# Oracle: the statistics functions called on each group by hand, counts by loops, and simulated joint coverage.
from __future__ import annotations

import json

import numpy as np
import pytest

from sparsefire.evaluate import by_group
from sparsefire.randomness import stream
from sparsefire.statistics import accuracy_difference, delong, r2_difference, score_interval, wilson

FIELDS = ["name", "rows", "base_rate", "dense", "chosen", "difference", "verdict", "missed", "false_alarm"]


def binary(n=400, wrong_dense=0.1, wrong_chosen=0.12, key=0):
    rng = stream(key, "groups")
    y = rng.integers(0, 2, n)
    dense = np.where(rng.random(n) < wrong_dense, 1 - y, y)
    chosen = np.where(rng.random(n) < wrong_chosen, 1 - y, y)
    return rng, y, chosen, dense


def test_accuracy_by_hand():
    rng, y, chosen, dense = binary()
    sex = rng.choice(["Female", "Male"], 400, p=[0.3, 0.7])
    [table] = by_group({"sex": sex}, y, chosen, dense, task="classification", score="accuracy", margin=0.05)
    assert table["column"] == "sex"
    assert table["level"] == pytest.approx(0.975)
    assert [row["name"] for row in table["rows"]] == ["All rows", "Female", "Male"]
    for row in table["rows"]:
        assert list(row) == FIELDS
        whole = row["name"] == "All rows"
        part = np.ones(400, bool) if whole else sex == row["name"]
        level, confidence = (0.05, 0.95) if whole else (0.0125, 0.975)
        test = accuracy_difference(chosen[part] == y[part], dense[part] == y[part], margin=0.05, level=level)
        assert row["rows"] == part.sum()
        assert row["base_rate"] == pytest.approx(y[part].mean())
        assert row["difference"] == [test.estimate, test.lower, test.upper]
        assert row["dense"] == list(wilson((dense == y)[part].sum(), part.sum(), confidence))
        assert row["chosen"] == list(wilson((chosen == y)[part].sum(), part.sum(), confidence))
        positives, negatives = part & (y == 1), part & (y == 0)
        assert row["missed"] == list(wilson((chosen[positives] == 0).sum(), positives.sum(), confidence))
        assert row["false_alarm"] == list(wilson((chosen[negatives] == 1).sum(), negatives.sum(), confidence))
        expected = "within the margin" if test.lower > -0.05 else "worse" if test.upper < -0.05 else "cannot tell"
        assert row["verdict"] == expected


def test_the_three_verdicts():
    n = 3000
    y = np.tile([0, 1], n // 2)
    group = np.repeat(["same", "worse", "unclear"], [1000, 1000, 1000])
    chosen = y.copy()
    chosen[1000:1200] = 1 - chosen[1000:1200]  # 20 points lost
    chosen[2000:2050] = 1 - chosen[2000:2050]  # 5 points lost: on the margin
    [table] = by_group({"g": group}, y, chosen, y, task="classification", score="accuracy", margin=0.05)
    assert {row["name"]: row["verdict"] for row in table["rows"][1:]} == {
        "same": "within the margin", "worse": "worse", "unclear": "cannot tell"
    }  # fmt: skip


def test_auc_by_hand():
    rng = stream(1, "auc")
    y = rng.integers(0, 2, 600)
    dense = 1 / (1 + np.exp(-(2 * y - 1 + rng.standard_normal(600))))
    chosen = np.clip(dense + 0.02 * rng.standard_normal(600), 0, 1)
    site = np.repeat(["a", "b", "c"], 200)
    [table] = by_group({"site": site}, y, chosen, dense, task="classification", score="auc", margin=0.03)
    assert table["level"] == pytest.approx(1 - 0.05 / 3)
    for row in table["rows"][1:]:
        part = site == row["name"]
        test = delong(y[part], chosen[part], dense[part], margin=0.03, level=0.05 / 6)
        assert row["difference"] == [test.estimate, test.lower, test.upper]
        assert row["chosen"] == list(score_interval("auc", y[part], chosen[part], 1 - 0.05 / 3))
        assert row["missed"][0] == pytest.approx(np.mean(chosen[part & (y == 1)] <= 0.5))
        assert row["false_alarm"][0] == pytest.approx(np.mean(chosen[part & (y == 0)] > 0.5))


def test_regression_by_hand():
    rng = stream(2, "r2")
    y = rng.standard_normal(300)
    dense, chosen = y + 0.3 * rng.standard_normal(300), y + 0.3 * rng.standard_normal(300)
    region = np.repeat(["n", "s"], 150)
    [table] = by_group({"region": region}, y, chosen, dense, task="regression", score="r2", margin=0.1)
    for row in table["rows"][1:]:
        part = region == row["name"]
        test = r2_difference(y[part], chosen[part], dense[part], margin=0.1, level=0.0125)
        assert row["difference"] == [test.estimate, test.lower, test.upper]
        assert (row["base_rate"], row["missed"], row["false_alarm"]) == (None, None, None)


def test_more_than_two_classes_have_no_base_rate():
    y = np.arange(300) % 3
    [table] = by_group({"g": np.repeat("x", 300)}, y, y, y, task="classification", score="accuracy", margin=0.05)
    assert {(row["base_rate"], row["missed"], row["false_alarm"]) for row in table["rows"]} == {(None, None, None)}


def test_a_group_of_two_classes_by_accident_is_not_binary():
    y = np.r_[np.tile([0, 1], 50), np.tile([0, 2], 50)]
    [table] = by_group({"g": np.repeat(["x", "y"], 100)}, y, y, y, task="classification", score="accuracy", margin=0.05)
    assert all(row["base_rate"] is None for row in table["rows"])
    y = np.tile([0, 1], 50)
    [table] = by_group(
        {"g": np.repeat("x", 100)}, y, y, y, task="classification", score="accuracy", margin=0.1, classes=3
    )
    assert all(row["base_rate"] is None for row in table["rows"])


@pytest.mark.parametrize("score", ["accuracy", "auc"])
def test_small_groups_and_groups_of_one_class(score):
    rng, y, chosen, dense = binary(300)
    group = np.array(["big"] * 280 + ["tiny"] * 9 + ["single"] * 11)
    y[289:] = 1
    if score == "auc":
        chosen, dense = 0.2 + 0.6 * chosen + 0.01 * rng.random(300), 0.2 + 0.6 * dense + 0.01 * rng.random(300)
    [table] = by_group({"g": group}, y, chosen, dense, task="classification", score=score, margin=0.05)
    assert table["level"] == pytest.approx(0.975)  # two groups of at least ten rows
    rows = {row["name"]: row for row in table["rows"]}
    tiny, single = rows["tiny"], rows["single"]
    assert (tiny["rows"], tiny["dense"], tiny["chosen"], tiny["difference"]) == (9, None, None, None)
    assert (tiny["missed"], tiny["false_alarm"], tiny["verdict"]) == (None, None, "cannot tell")
    assert single["base_rate"] == 1.0
    assert single["false_alarm"] is None
    assert single["missed"] is not None
    assert single["verdict"] == "cannot tell"
    if score == "auc":
        assert (single["dense"], single["difference"]) == (None, None)
    else:
        assert single["dense"] is not None
    assert rows["big"]["difference"] is not None


def test_constant_target_in_a_group_of_a_regression():
    y = np.r_[np.full(50, 3.0), stream(3, "y").standard_normal(50)]
    [table] = by_group(
        {"g": np.repeat(["flat", "varied"], 50)}, y, y + 0.1, y - 0.1, task="regression", score="r2", margin=0.1
    )
    assert table["rows"][1]["dense"] is None
    assert table["rows"][1]["verdict"] == "cannot tell"
    assert table["rows"][2]["dense"] is not None


def test_clusters_widen_and_too_few_cannot_tell():
    _rng, y, chosen, dense = binary(600)
    group = np.repeat(["x", "y"], 300)
    patients = np.repeat(np.arange(120), 5)
    [by_patient] = by_group(
        {"g": group}, y, chosen, dense, task="classification", score="accuracy", margin=0.2, clusters=patients
    )
    part = slice(0, 300)
    test = accuracy_difference(
        chosen[part] == y[part], dense[part] == y[part], margin=0.2, level=0.0125, clusters=patients[part]
    )
    assert by_patient["rows"][1]["difference"] == [test.estimate, test.lower, test.upper]
    few = np.repeat(np.arange(4), 150)
    [by_site] = by_group(
        {"g": group}, y, chosen, dense, task="classification", score="accuracy", margin=0.9, clusters=few
    )
    assert by_site["rows"][1]["verdict"] == "cannot tell"
    lone = np.repeat([0, 1], 300)  # each group is one cluster: no variance between clusters at all
    [none] = by_group(
        {"g": group}, y, chosen, dense, task="classification", score="accuracy", margin=0.9, clusters=lone
    )
    assert none["rows"][1]["difference"] is None
    assert none["rows"][1]["verdict"] == "cannot tell"


def test_the_whole_has_the_bound_of_the_confirmation():
    _, y, chosen, dense = binary(500)
    test = accuracy_difference(chosen == y, dense == y, margin=0.03)
    for names in (["x"], ["x", "y", "z", "w"]):
        [table] = by_group(
            {"g": np.resize(names, 500)}, y, chosen, dense, task="classification", score="accuracy", margin=0.03
        )
        assert table["rows"][0]["difference"] == [test.estimate, test.lower, test.upper]


def test_several_columns_any_labels_and_plain_json():
    _, y, chosen, dense = binary(200)
    columns = {"age group": np.resize(["<30", "≥30", ""], 200), "it's": np.resize(np.array([1, 2]), 200)}
    tables = by_group(columns, y, chosen, dense, task="classification", score="accuracy", margin=0.05)
    assert [table["column"] for table in tables] == ["age group", "it's"]
    assert [row["name"] for row in tables[1]["rows"]] == ["All rows", "1", "2"]
    assert json.loads(json.dumps(tables, allow_nan=False)) == tables
    assert by_group({}, y, chosen, dense, task="classification", score="accuracy", margin=0.05) == []


def test_joint_coverage_of_four_groups():
    rng = stream(9, "coverage")
    covered = 0
    group = np.repeat(list("abcd"), 150)
    trials = 200
    for _ in range(trials):
        y = np.ones(600, int)
        dense, chosen = (rng.random(600) < 0.9).astype(int), (rng.random(600) < 0.9).astype(int)  # true difference 0
        [table] = by_group({"g": group}, y, chosen, dense, task="classification", score="accuracy", margin=0.05)
        covered += all(row["difference"][1] <= 0 <= row["difference"][2] for row in table["rows"][1:])
    assert covered / trials > 0.95 - 3 * np.sqrt(0.05 * 0.95 / trials)

# Oracle: each sentence is present exactly when what it follows from was, or was not, done.
import sys
from pathlib import Path

import pytest

from sparsefire.search.limits import limits

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "report"))
import verdicts


def said(**changes):
    made = verdicts.verdict()
    made["data"].update(changes)
    return "\n".join(limits(made))


@pytest.mark.parametrize(
    ("split", "sentence"),
    [
        ("stratified", "elsewhere or later. Test rows were drawn from the same table."),
        ("by patient_id", "Test rows were other values of patient_id in the same table."),
        ("the latest rows by date", "How it does elsewhere, or later still. Test rows were the latest rows by date."),
        ("site switzerland left out", "at another site still, or later. Test rows: site switzerland left out."),
    ],
)
def test_the_split_that_was_used(split, sentence):
    assert sentence in said(split=split)


def test_no_test_rows():
    assert "No test rows were set aside." in said(rows_test=0)


def test_a_second_search_on_the_same_test_rows_is_exploratory():
    assert "tests these test rows again." in said()
    assert "exploratory" not in said(rows_test=0)


def test_a_margin_that_depends_on_the_data():
    made = verdicts.verdict()
    assert not any("error level" in line for line in limits(made))
    made["plan"]["retain"] = 0.9
    [line] = [line for line in limits(made) if "error level" in line]
    assert "keeps 90% of dense's gain over a constant guess" in line
    assert line.endswith("so the level is approximate.")


def test_disagreements_are_counted():
    made = verdicts.verdict()
    assert "That both make the same mistakes: they disagree on 4 of 360 test rows." in limits(made)
    made["confirmation"].update(only_dense=0, only_chosen=0)
    assert any("always make the same mistakes: they did on 360 test rows" in line for line in limits(made))
    made["confirmation"] = None
    assert not any("same mistakes" in line for line in limits(made))


def test_latency_only_where_it_was_measured():
    made = verdicts.verdict()
    assert any("sparse is faster everywhere" in line for line in limits(made))
    for row in made["candidates"]:
        row["latency_us"] = None
    assert not any("Latency" in line for line in limits(made))


def test_groups_named_and_not_named():
    assert limits(verdicts.verdict())[-1] == "Anything about groups of rows: none were named."
    lines = limits(verdicts.verdict("confirmed", "linear", groups=True))
    assert lines[0].startswith("Whether any of these models is fair.")
    assert lines[1] == (
        "That a gap between groups is unequal treatment: 11% of Female and 30% of Male rows have income = 1, "
        "and where one class is rare, guessing the other is often right."
    )
    assert lines[-1] == "Anything about groups you did not name, or about their combinations."


def test_equal_base_rates_need_no_warning():
    made = verdicts.verdict("confirmed", "linear", groups=True)
    for row in made["groups"][0]["rows"]:
        row["base_rate"] = 0.24
    assert not any("unequal treatment" in line for line in limits(made))

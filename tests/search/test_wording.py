# Oracle: the sentences of the style guide, copied by hand, and rules that hold for every state, kind and score.
import re
import sys
from pathlib import Path

import pytest

from sparsefire.search import wording

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "report"))
import verdicts

FORBIDDEN = re.compile(r"\b(proved|proven|significan\w*|as good as|equivalent\w*|lossless|optimal)\b", re.IGNORECASE)
CASES = verdicts.every_case()


def everything_said(verdict):
    words = wording.words(verdict)
    lines = [words["headline"], *words["limits"]]
    lines += [chip["text"] for chip in words["chips"]]
    lines += [f"{line['lead']} {line['text']}" for line in words["evidence"]]
    return "\n".join(lines)


def signs_and_chips(verdict):
    return [f"{chip['sign']} {chip['text']}".strip() for chip in wording.chips(verdict)]


def test_confirmed_sparse():
    made = verdicts.verdict("confirmed", "sparse")
    made["selected"].update(weights=13_310, dense_weights=266_200)
    assert wording.headline(made) == "A network with 13,310 weights, 20 times fewer than the dense one, is not worse."
    assert signs_and_chips(made) == ["✓ Selected", "✓ Confirmed"]


def test_not_confirmable_sparse():
    made = verdicts.verdict("not-confirmable", "sparse")
    assert wording.headline(made) == (
        "A network with 4,224 weights, 20 times fewer than the dense one, was selected as not worse. "
        "360 test rows are too few to confirm it."
    )
    assert signs_and_chips(made) == ["✓ Selected", "! Not confirmable with 360 test rows"]
    selected, unconfirmed = wording.evidence(made)
    assert selected["lead"] == "Selected"
    assert selected["text"] == (
        "by 5-fold cross-validation on 1,437 rows: 97.8% correct against 98.0% for dense, −0.2 points, "
        "lower bound −0.8. The margin allows −1.0."
    )
    assert f"{unconfirmed['lead']} {unconfirmed['text']}" == (
        "Not confirmable at this size. On 360 untouched test rows it got 98.3% right, dense 98.9%: −0.6 points, "
        "lower bound −1.8, below the −1.0 allowed. About 690 test rows would do if the two are equal."
    )
    assert unconfirmed["strong"] == "690 test rows"


def test_not_confirmed_sparse():
    made = verdicts.verdict("not-confirmed", "sparse")
    made["selected"]["weights"] = 1_004
    assert wording.headline(made) == "A network with 1,004 weights was selected, but fell short on the test rows."
    assert signs_and_chips(made) == ["✓ Selected", "✕ Not confirmed"]


def test_nothing_passed():
    made = verdicts.verdict("nothing-passed")
    made["candidates"][0]["weights"] = 73_728
    assert wording.headline(made) == ("No smaller network was shown to be not worse. The dense one has 73,728 weights.")
    assert signs_and_chips(made) == ["– Nothing passed"]
    near = wording.closest(made)
    near.update(method="gmp", density=0.05, difference=-0.011, lower=-0.027)
    for row in made["candidates"]:
        if row is not near and row["lower"] is not None and row["kind"] in ("sparse", "narrow"):
            row["lower"] = -0.2
    why, advice = wording.evidence(made)
    assert f"{why['lead']} {why['text']}".startswith("The closest, gmp at 5%, lost 1.1 points, at worst 2.7")
    assert "margin you can defend before looking" in advice["text"]


def test_no_network_needed():
    made = verdicts.verdict("no-network-needed")
    assert wording.headline(made) == (
        "No evidence that a network is needed: dense was not surely better than a constant guess."
    )
    assert signs_and_chips(made) == ["– No network needed"]
    first = wording.evidence(made)[0]
    assert first["text"].startswith("+0.4 points, lower bound −0.3")
    assert "+1.0" in first["text"]


@pytest.mark.parametrize(
    ("estimate", "lower", "said"),
    [
        (0.009, 0.004, "dense was not surely better than a constant guess by more than the margin."),
        (-0.051, -0.06, "dense was no better than a constant guess."),
        (0.4, 0.2, "the data are too few to tell dense from a constant guess."),  # nine groups: no verdict
    ],
)
def test_why_a_network_is_not_needed(estimate, lower, said):
    made = verdicts.verdict("no-network-needed")
    made["gate"].update(estimate=estimate, lower=lower)
    assert wording.headline(made) == f"No evidence that a network is needed: {said}"


@pytest.mark.parametrize("state", ["confirmed", "nothing-passed", "no-network-needed"])
def test_the_rows_that_were_compared_are_told(state):
    made = verdicts.verdict(state, "sparse")
    assert "on 1,437 rows" in wording.evidence(made)[0]["text"]  # an older file
    made["data"]["rows_compared"] = 1_200  # with a time, the earliest are never held out
    assert "on 1,200 rows" in wording.evidence(made)[0]["text"]
    assert "1,437" not in everything_said(made)


def test_test_rows_on_which_the_score_is_not_defined():
    made = verdicts.verdict("not-confirmable", "sparse")
    made["confirmation"], made["why_not"] = None, "R² is not defined for a constant target."
    assert wording.headline(made).endswith("was selected as not worse. 360 test rows cannot confirm it.")
    assert signs_and_chips(made)[1] == "! Not confirmable with 360 test rows"
    assert wording.evidence(made)[1]["text"] == "R² is not defined for a constant target."


def test_narrow_is_enough():
    made = verdicts.verdict("confirmed", "narrow")
    made["selected"]["weights"] = 16_856
    assert wording.headline(made) == (
        "A narrow dense network with 16,856 weights is enough. No sparse one was smaller."
    )
    assert signs_and_chips(made) == ["✓ Selected", "✓ Confirmed"]


def test_linear_is_enough():
    made = verdicts.verdict("confirmed", "linear", better=True)
    made["selected"].update(weights=108, dense_weights=22_144)
    made["better_than_both"]["score"] = 0.873
    assert wording.headline(made) == (
        "A linear model with 108 weights is enough: it is not worse than the dense network with 22,144."
    )
    assert signs_and_chips(made) == ["✓ Selected", "✓ Confirmed", "not a network"]
    better = wording.evidence(made)[-1]
    assert f"{better['lead']} {better['text']}" == (
        "Better than both: gradient boosting, 87.3%. If size does not matter to you, use it."
    )


def test_rounds_are_told():
    made = verdicts.verdict(rounds=3)
    made["plan"]["folds"] = 10
    assert wording.evidence(made)[0]["text"].startswith(
        "by 10-fold cross-validation × 3 initialisations on 1,437 rows:"
    )


@pytest.mark.parametrize(("state", "kind", "score"), CASES)
def test_rules_for_every_case(state, kind, score):
    made = verdicts.verdict(state, kind, score, groups=score == "accuracy", rounds=2)
    said = everything_said(made)
    headline = wording.headline(made)
    assert not FORBIDDEN.search(said)
    assert "-" not in re.sub(r"\w-\w", "", said)  # true minus signs only
    assert "None" not in said
    assert "nan" not in said.lower()
    assert ("is not worse" in headline or "is enough" in headline) == (state == "confirmed")
    if "not worse" in headline and state != "confirmed":
        assert "selected as not worse" in headline or "shown to be not worse" in headline
    chips = [chip["text"] for chip in wording.chips(made)]
    assert ("Confirmed" in chips) == (state == "confirmed")
    assert ("Selected" in chips) == (made["selected"] is not None)
    assert len(wording.evidence(made)) <= 3
    if score != "accuracy":
        assert "points" not in said
    if made["selected"]:
        first = wording.evidence(made)[0]["text"]
        order = ["rows", "for dense", "lower bound", "The margin allows"]
        assert [first.index(word) for word in order] == sorted(first.index(word) for word in order)


@pytest.mark.parametrize("score", verdicts.SCORES)
def test_the_numbers_in_the_text_are_those_of_the_verdict(score):
    made = verdicts.verdict("confirmed", "sparse", score)
    factor, decimals = (100, 1) if score == "accuracy" else (1, 3)
    chosen = next(row for row in made["candidates"] if row["walk"] == "chosen")
    text = wording.evidence(made)[0]["text"]
    for value in (
        chosen["score"],
        made["candidates"][0]["score"],
        abs(chosen["difference"]),
        abs(chosen["lower"]),
        0.0 + made["margin"],
    ):
        assert f"{factor * value:.{decimals}f}" in text


def test_a_bound_close_to_the_margin_gets_another_decimal():
    made = verdicts.verdict("not-confirmable", "sparse")
    made["confirmation"]["lower"] = -0.0103
    text = wording.evidence(made)[1]["text"]
    assert "lower bound −1.03, below the −1.00 allowed" in text


def test_without_test_rows():
    made = verdicts.verdict("not-confirmable", "sparse")
    made["confirmation"], made["why_not"] = None, "40 rows are too few to set any aside"
    made["data"]["rows_test"] = 0
    assert wording.headline(made).endswith("was selected as not worse. No test rows were set aside to confirm it.")
    assert signs_and_chips(made)[1] == "! Not confirmable without test rows"
    assert wording.evidence(made)[1]["text"] == "40 rows are too few to set any aside."


def test_a_bound_inside_the_margin_whose_level_cannot_be_promised():
    made = verdicts.verdict("not-confirmable", "sparse", "auc")
    made["confirmation"].update(lower=-0.008, rows_needed=None)
    made["why_not"] = "too few positives for a promised level"
    text = wording.evidence(made)[1]["text"]
    assert "inside the −0.010 allowed. Too few positives for a promised level." in text


def test_contradicted_says_how_far_and_what_not_to_do():
    made = verdicts.verdict("contradicted", "sparse")
    assert wording.headline(made).endswith("but is worse on the test rows by more than the margin.")
    assert "at best −1.4, below the −1.0 allowed. Do not use it as a replacement." in wording.evidence(made)[1]["text"]


def test_half_as_many_weights_are_two_times_fewer_and_almost_as_many_are_counted():
    made = verdicts.verdict("confirmed", "sparse")
    made["selected"].update(weights=42_240)
    assert "2 times fewer" in wording.headline(made)
    made["selected"].update(weights=84_000)
    assert "480 fewer than the dense one" in wording.headline(made)


def test_nothing_tested_at_all():
    made = verdicts.verdict("nothing-passed")
    made["candidates"] = made["candidates"][:3]
    assert wording.evidence(made)[0]["text"] == "no smaller network could be tested."

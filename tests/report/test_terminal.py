# Oracle: the terminal picture of the style guide, and rules that hold for every case (80 columns, words, no escapes).
import io
import re
import sys
from pathlib import Path

import pytest

from sparsefire.errors import UserError
from sparsefire.report import terminal
from sparsefire.report.textual import display_width, fit
from sparsefire.search import wording

sys.path.insert(0, str(Path(__file__).resolve().parent))
import verdicts

ESCAPE = re.compile("\x1b\\[[0-9;]*m")


def flowing(block):
    return " ".join(block.split())


def test_data_block_as_in_the_picture():
    assert terminal.data_block(verdicts.verdict()["data"]).splitlines() == [
        "Data   digits · 1,797 rows · 64 inputs · 10 classes",
        "  inputs    64 numbers, 0 missing values, 3 constant columns",
        "  target    digit, 10 classes, 174 to 183 rows each",
        "  task      classification, scored by accuracy",
        "  test set  360 rows, stratified, untouched until the end",
        "  groups    no column repeats like an identifier; else give --cluster COLUMN",
    ]


def test_plan_block_adds_up():
    rows = [("dense, linear, boosting", "–", 30, 25.0), ("gmp, lrr", "0.5 0.2 0.1", 240, 180.0)]
    plan = verdicts.verdict(rounds=2)["plan"]
    lines = terminal.plan_block(plan, rows, score="accuracy").splitlines()
    assert lines[0] == "Plan   effort standard · margin 1.0 points · 5 folds × 2 initialisations"
    assert re.fullmatch(r"  at most, 2 workers\s+270\s+3 min", lines[4])
    assert lines[-1] == "  Ctrl-C is safe: finished runs are kept, the same command resumes."


def test_result_block_as_in_the_picture():
    lines = terminal.result_block(verdicts.verdict()).splitlines()
    assert lines[0] == "Result              weights     kB   µs  accuracy, %       − dense  walk"
    assert lines[4] == "  ▸ gmp 0.05          4,224     28  2.8  97.8 [97.1, 98.4]    −0.2  ✓ chosen"
    assert lines[-1] == "  … 29 more in the report"


def test_one_column_has_one_number_of_decimals():
    made = verdicts.verdict()
    rows = {row["id"]: row for row in made["candidates"]}
    rows["gmp@0.05"].update(difference=-0.00612, lower=-0.009996)  # near the margin, and passed: no reason for decimals
    shifts = re.findall(r"([−+]\d+\.(\d+))  [✓✕]", terminal.result_block(made))
    assert {len(decimals) for _, decimals in shifts} == {1}
    rows["gmp@0.05"].update(difference=-0.00996)  # would read −1.0, the margin, and passed
    shifts = re.findall(r"([−+]\d+\.(\d+))  [✓✕]", terminal.result_block(made))
    assert {len(decimals) for _, decimals in shifts} == {3}
    assert "−0.996  ✓ chosen" in terminal.result_block(made)


@pytest.mark.parametrize(("estimate", "said"), [(-0.051, "5.1 points below a"), (0.004, "0.4 points above a")])
def test_dense_above_or_below_a_guess(estimate, said):
    made = verdicts.verdict("no-network-needed")
    made["gate"].update(estimate=estimate, lower=-0.06)
    assert f"Dense  {said} constant guess, at least −6.0; needed above +1.0" in terminal.verdict_block(made)


def test_the_rows_that_were_compared_are_told():
    made = verdicts.verdict()
    made["data"]["rows_compared"] = 1_200
    assert "at least −0.8, on 1,200 rows; allowed −1.0" in terminal.verdict_block(made)


def test_verdict_block_as_in_the_picture():
    lines = terminal.verdict_block(verdicts.verdict(), "runs/digits").splitlines()
    assert lines[2:] == [
        "  Selected         −0.2 points, at least −0.8, on 1,437 rows; allowed −1.0",
        "  Not confirmable  −0.6 points, at least −1.8, on 360 rows; about 690 would do",
        "",
        "  report   runs/digits/report.html",
        "  predict  sparsefire predict runs/digits new.csv > predictions.csv",
    ]


@pytest.mark.parametrize(("state", "kind", "score"), verdicts.every_case())
def test_every_case_fits_and_says_the_sentence_of_the_report(state, kind, score):
    made = verdicts.verdict(state, kind, score, groups=score == "accuracy", hostile=True)
    made.update(wording.words(made))
    block = terminal.verdict_block(made, "runs/x")
    assert flowing(block).startswith("VERDICT " + made["headline"])
    everything = "\n".join([block, terminal.result_block(made), terminal.data_block(made["data"])])
    assert all(display_width(line) <= 80 for line in everything.splitlines())
    assert "\x1b" not in everything
    assert "None" not in everything
    assert ("predict" in block) == (made["selected"] is not None)


def test_colour_adds_nothing_but_colour():
    made = verdicts.verdict("confirmed", "sparse")
    for block in (terminal.result_block, terminal.verdict_block):
        plain, coloured = block(made), block(made, colour=True)
        assert ESCAPE.sub("", coloured) == plain
        assert "\x1b[" in coloured


def test_hostile_names_cannot_command_the_terminal():
    data = verdicts.verdict()["data"] | {"name": "a\x1b[2Jb\r\nc", "table": [["target", "x\x07\x1b]0;owned\x07"]]}
    block = terminal.data_block(data)
    assert not any(ord(c) < 32 and c != "\n" for c in block)
    assert len(block.splitlines()) == 2


def test_folders_are_quoted():
    block = terminal.verdict_block(verdicts.verdict(), "my runs/a;b")
    assert "sparsefire predict 'my runs/a;b' new.csv" in block


def test_wide_characters_count_twice():
    assert display_width(fit("列の名前が長い", 7)) <= 7
    assert fit("ab", 2) == "ab"


def test_errors():
    error = UserError("no column.", came="11 columns", expected="one of them", attempt="sparsefire fit x")
    assert terminal.error_text(error).splitlines() == [
        "error: no column.", "  came      11 columns", "  expected  one of them", "  try       sparsefire fit x",
    ]  # fmt: skip


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_colour_needs_a_terminal_and_no_objection(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.use_colour(Screen())
    assert not terminal.use_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not terminal.use_colour(Screen())
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal.use_colour(Screen())


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_every_stream_can_print_the_blocks(encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    made = verdicts.verdict()
    text = terminal.result_block(made) + terminal.verdict_block(made, "runs/x")
    stream.write(terminal.printable(text, stream))
    stream.flush()
    assert len(terminal.printable(text, stream)) == len(text)

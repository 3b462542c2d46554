"""Oracle: the rules for messages (one line whatever comes, the wording of the mockups)."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from sparsefire.data import words


@given(st.text())
def test_plain_is_one_printable_line_of_bounded_length(text: str) -> None:
    line = words.plain(text)
    assert line.isprintable()
    assert len(line) <= 60


@given(st.text(alphabet=st.characters(categories=("L", "N", "Zs"), max_codepoint=0x2FF), max_size=60))
def test_ordinary_text_passes_untouched(text: str) -> None:
    if text.isprintable():
        assert words.plain(text) == text


def test_escape_sequences_cannot_reach_the_terminal() -> None:
    assert words.plain("\x1b[31mred") == "\\u001b[31mred"


@given(st.text(min_size=1).filter(lambda name: "\0" not in name))
def test_a_command_can_be_pasted_with_any_name(name: str) -> None:
    assert shlex.split(words.command("my data.csv", target=name)) == [
        "sparsefire",
        "fit",
        "my data.csv",
        "--target",
        name,
    ]


def test_rows_are_counted_from_one() -> None:
    assert words.rows([0]) == "row 1"
    assert words.rows([16, 203, 910]) == "rows 17, 204, 911"


def test_columns_are_listed_as_in_the_mockup() -> None:
    names = ["age", "sex", "stage", "marker_a", "marker_b", "relapse", *"abcde"]
    assert words.columns(names) == "11 columns: age, sex, stage, marker_a, marker_b, relapse, 5 more"


def test_nearest_ignores_case_and_knows_when_nothing_is_near() -> None:
    assert words.nearest("relapsed", ["AGE", "Relapse"]) == "Relapse"
    assert words.nearest("relapsed", ["x1", "x2"]) is None

# Oracle: hand-written examples from the style rules of the report, and properties that must hold for every number.
from hypothesis import example, given
from hypothesis import strategies as st

from sparsefire.search import score_text

MINUS = "\N{MINUS SIGN}"


def read(text: str) -> float:
    """The number that a reader sees."""
    return float(text.replace(MINUS, "-").replace(",", ""))


@given(
    st.floats(-0.05, 0.05),
    st.sampled_from([0.005, 0.01, 0.0125, 0.02, 0.037]),
    st.sampled_from(["accuracy", "auc", "r2"]),
)
@example(-0.0104, 0.01, "accuracy")
@example(-0.0096, 0.01, "accuracy")
def test_a_fail_never_looks_like_a_pass(lower, margin, score):
    distance = abs(lower + margin) * score_text.scale(score)
    estimate, bound, allowed = score_text.told(lower + 0.003, lower, margin, score)
    assert len({text.partition(".")[2].__len__() for text in (estimate, bound, allowed)}) == 1
    if distance > 1e-4:  # below that not even five decimals help, and nobody measures it
        assert (read(bound) > read(allowed)) == (lower > -margin)
        assert bound != allowed


def test_scores_and_differences_in_their_units():
    assert score_text.score_value(0.9774, "accuracy", unit=True) == "97.7%"
    assert score_text.score_interval(0.9712, 0.984, "accuracy") == "[97.1, 98.4]"
    assert score_text.score_value(0.9124, "auc", unit=True) == "0.912"
    assert score_text.score_interval(-0.05, 0.8, "r2") == f"[{MINUS}0.050, 0.800]"
    assert score_text.difference(-0.0022, "accuracy", unit=True) == f"{MINUS}0.2 points"
    assert score_text.difference(0.004, "accuracy") == "+0.4"
    assert score_text.difference(0.0004, "accuracy") == "0.0"
    assert score_text.difference(-0.0022, "r2", unit=True) == f"{MINUS}0.002"
    assert score_text.difference_interval(-0.009, 0.0, "accuracy") == f"[{MINUS}0.9, 0.0]"


def test_a_margin_is_shown_as_it_was_given():
    assert score_text.decimals_to_tell([], 0.0125, "accuracy") == 2
    assert score_text.decimals_to_tell([], 0.01, "accuracy") == 1
    assert score_text.decimals_to_tell([], 0.0037219, "accuracy") == 2  # computed from data: one digit more


def test_a_column_gets_at_most_two_more_decimals():
    assert score_text.column_decimals([-0.00999999], 0.01, "accuracy") == 3
    assert score_text.column_decimals([-0.0099, -0.002], 0.01, "accuracy") == 1 + 1
    assert score_text.column_decimals([], 0.01, "r2") == 3

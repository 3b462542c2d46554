# Oracle: positions and words computed by hand from the verdict; properties of the layout helpers.
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsefire.report import (
    candidates_table,
    coefficients_chart,
    curves_chart,
    errors_chart,
    forest,
    four_numbers,
    groups,
    intervals_chart,
    place,
    size_chart,
    svg,
)

sys.path.insert(0, str(Path(__file__).resolve().parent))
import verdicts

# words and shapes -----------------------------------------------------------------------


@given(st.text(max_size=60))
def test_text_is_escaped_whatever_it_holds(words):
    drawn = str(svg.text(0, 0, words, full=words))
    assert drawn.count("<") == (4 if svg.clean(words) else 4 if words else 2)
    assert "\n" not in drawn
    assert not re.search(r"&(?!amp;|lt;|gt;|#34;|#39;)", drawn)


@given(st.text(), st.integers(1, 40))
def test_shortened_text_fits(words, length):
    assert len(svg.shorten(words, length)) <= length


@given(st.floats(-1e3, 1e3), st.floats(0.01, 1e3), st.integers(2, 9))
def test_ticks_are_round_inside_and_few(low, span, most):
    values = svg.ticks(low, low + span, most)
    assert len(values) <= most + 1
    assert all(low - 1e-6 * span <= value <= low + span * (1 + 1e-6) for value in values)
    step = svg.nice_step(span, most)
    assert f"{step:.3e}"[0] in "125"


@given(st.lists(st.floats(20, 180), min_size=1, max_size=6))
def test_spread_labels_keep_their_distance_and_order(wanted):
    got = place.spread(wanted, 15.0, -1e9, 1e9)
    for (a, x), (b, y) in zip(*[iter(sorted(zip(wanted, got, strict=True)))] * 2, strict=False):
        assert y >= x - 1e-9
        assert b >= a
    assert all(b - a >= 15.0 - 1e-6 for a, b in zip(sorted(got)[:-1], sorted(got)[1:], strict=True))


def test_labels_do_not_lie_on_one_another():
    labels = [place.Label(f"label {i}", ((100.0, 100.0),)) for i in range(5)]
    spots = place.place(labels, [(100.0, 100.0)], (0, 0, 400, 300))
    boxes = [(x, y - 10, x + svg.width_of("label 0"), y + 4) for x, y in spots]
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


# both intervals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("confirmed", [("blue", True), ("good", True)]),
        ("not-confirmable", [("blue", True), ("caution", False)]),
        ("contradicted", [("blue", True), ("caution", False)]),
        ("nothing-passed", [("grey", False)]),
        ("no-network-needed", [("grey", False)]),
    ],
)
def test_the_intervals_that_decided(state, expected):
    rows = intervals_chart.rows_to_draw(verdicts.verdict(state))
    assert [(row.colour, row.filled) for row in rows] == expected


def test_a_missing_upper_end_is_the_lower_one_mirrored():
    made = verdicts.verdict()
    made["confirmation"]["upper"] = None
    row = intervals_chart.rows_to_draw(made)[1]
    assert row.upper == pytest.approx(2 * row.estimate - row.lower)


def test_a_bar_lies_right_of_the_margin_exactly_when_it_passes():
    for state, passes in (("confirmed", True), ("not-confirmable", False)):
        drawn = str(intervals_chart.draw(verdicts.verdict(state), width=340.0))
        margin = float(re.findall(r'd="M([\d.]+),[\d.]+L[\d.]+,[\d.]+" class="margin-line"', drawn)[0])
        bars = re.findall(r'd="M([\d.]+),([\d.]+)L([\d.]+),\2" class="bar (?:good|caution)"', drawn)
        assert (float(bars[0][0]) > margin) == passes


def test_far_bounds_are_clipped_with_an_arrow():
    made = verdicts.verdict()
    made["confirmation"]["lower"] = -0.5
    drawn = str(intervals_chart.draw(made, width=340.0))
    assert "at least −50.0" in drawn
    assert all(float(x) >= 0 for x in re.findall(r"[ML](-?[\d.]+),", drawn))


def test_the_gate_is_drawn_against_its_own_line():
    made = verdicts.verdict("no-network-needed")
    drawn = str(intervals_chart.draw(made, width=340.0))
    assert "a guess ought to lie wholly left of the dotted line" in drawn
    assert "−0.4, at most +0.3" in drawn


# score against size ---------------------------------------------------------------------


@pytest.mark.parametrize("phone", [False, True])
def test_size_chart_names_its_lines_and_stays_in_its_frame(phone):
    drawn = str(size_chart.draw(verdicts.verdict(), width=358.0 if phone else 960.0, height=320.0, phone=phone))
    words = re.findall(r">([^<>]+)</text>", drawn)
    assert "chosen: gmp, 4,224 weights" in words
    assert "dense 98.0%" in words
    assert "dense − margin" in words
    assert any(word.startswith("narrow dense") for word in words)
    assert any(word.startswith("linear") for word in words)
    assert "weights (log scale)" in words
    assert not any("e+" in word or "10^" in word for word in words)
    for x in re.findall(r'<text x="([-\d.]+)"', drawn):
        assert 0 <= float(x) <= (358 if phone else 960)


def test_filled_marks_passed_and_hollow_ones_did_not():
    made = verdicts.verdict()
    drawn = str(size_chart.draw(made, width=960.0, height=380.0))
    passed = [row for row in made["candidates"] if row["kind"] == "narrow" and row["walk"] == "passed"]
    other = [row for row in made["candidates"] if row["kind"] == "narrow" and row["walk"] != "passed" and row["score"]]
    assert len(re.findall(r"<rect[^>]*filled warm", drawn)) == len(passed)
    assert 0 < len(re.findall(r"<rect[^>]*hollow warm", drawn)) <= len(other)


def test_failures_leave_the_frame_instead_of_squashing_it():
    made = verdicts.verdict()
    for row in made["candidates"]:
        if row["method"] == "rigl" and row["density"] <= 0.02:
            row.update(score=0.1, score_low=0.1, score_high=0.1)
    frame = size_chart._frame(made, made["candidates"][0], 0.01, 960.0, 380.0, False)
    assert frame.low > 0.9


def test_a_clipped_line_ends_on_the_foot():
    assert size_chart._clip([(0, 0), (10, 20), (20, 0)], 10) == [[(0, 0), (5, 10)], [(15, 10), (20, 0)]]


# candidates -----------------------------------------------------------------------------


def test_shown_are_the_last_that_passed_and_the_first_that_stopped():
    made = verdicts.verdict()
    table = candidates_table.table(made)
    assert len(table.everything) == len(made["candidates"])
    for method in ("lrr", "rigl", "static", "sign-in", "narrow"):
        rows = sorted((r for r in made["candidates"] if r["method"] == method), key=lambda r: -r["density"])
        passed = [r for r in rows if r["walk"] == "passed"]
        stopped = [r for r in rows if r["walk"] == "stopped"]
        name = candidates_table.method_name(rows[0])
        shown = [(line.weights, line.walk) for line in table.shown if line.name == name]
        assert shown == [(f"{passed[-1]['weights']:,}", "passed"), (f"{stopped[0]['weights']:,}", "stopped here")]
    assert [line.walk for line in table.shown if line.name == "gradual pruning"] == [
        "chosen",
        "stopped here",
        "not tested",
    ]


def test_untrained_candidates_show_no_score():
    lines = candidates_table.table(verdicts.verdict()).everything
    untrained = [line for line in lines if line.walk == "not tested" and line.name == "RigL"]
    assert untrained
    assert all((line.score, line.difference, line.interval) == ("–", "–", "") for line in untrained)


def test_off_scale_estimates_become_numbers():
    drawn = str(forest.row((-0.056, -0.062, -0.05), (-0.044, 0.013), 0.01, "accuracy"))
    assert "◂ −5.6" in drawn
    assert "circle" not in drawn


# learning curves ------------------------------------------------------------------------


def test_panels_show_dense_the_chosen_its_failure_and_the_rival():
    made = verdicts.verdict()
    have = {row["id"]: [[0.5, 0.9]] for row in made["candidates"] if row["score"] is not None}
    titles = [panel.title for panel in curves_chart.panels(made, have)]
    assert titles[:4] == ["dense", "gmp 5%, chosen", "gmp 2%", "narrow, same size"]
    assert len(titles) == 6


@pytest.mark.parametrize(
    "curves", [{}, {"dense": [[]]}, {"gmp@0.05": [[float("nan"), 0.9]], "dense": [[0.1, 0.2, 0.3]]}]
)
def test_odd_curves(curves):
    drawn = str(curves_chart.draw(verdicts.verdict(), curves, width=500.0, columns=3))
    assert "nan" not in drawn
    assert (drawn == "") == (not any(c for runs in curves.values() for c in runs))


def curves_drawn(have, reads, kind="bar thick"):
    """The chart, and the abscissas of its thick or dotted paths, in the order of the panels."""
    drawn = str(curves_chart.draw(verdicts.verdict(), have, reads, width=500.0, columns=3))
    paths = re.findall(rf'<path d="([^"]*)" class="{kind}[^"]*"', drawn)
    return drawn, [[float(point.split(",")[0]) for point in path[1:].split("L")] for path in paths]


def test_curves_lie_over_the_losses_that_were_read():
    have = {"dense": [[0.1, 0.2, 0.3, 0.4]] * 2, "gmp@0.05": [[0.1, 0.2, 0.3, 0.4]]}
    reads = {"dense": [[300_000, 600_000, 900_000, 1_200_000]] * 2, "gmp@0.05": [[1e5, 2e5, 3e5, 6e5]]}
    drawn, (dense, sparse) = curves_drawn(have, reads)
    assert re.findall(r">([\d.]+(?: [kM])?)</text>", drawn)[-6:] == ["0", "600 k", "1.2 M"] * 2
    assert ">losses read</text>" in drawn
    assert "by losses read; at the end" in drawn
    _, (first, second) = curves_drawn(have, {})  # by epochs, from end to end of either panel
    shares = lambda path, panel: [(x - panel[0]) / (panel[-1] - panel[0]) for x in path]  # noqa: E731
    assert shares(dense, first) == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=2e-3)
    assert shares(sparse, second) == pytest.approx([1 / 12, 1 / 6, 1 / 4, 1 / 2], abs=2e-3)
    _, (dotted,) = curves_drawn(have, reads, "bar dotted")
    assert shares(dotted, second) == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=2e-3)


def test_a_yardstick_that_reads_no_losses_keeps_its_epochs():
    have = {"dense": [[0.1, 0.2, 0.3]], "gmp@0.05": [[0.1, 0.2, 0.3]]}
    counted = curves_drawn(have, {"dense": [[10, 20, 40]]})
    assert ">losses read, or epoch</text>" in counted[0]
    assert counted[1][1] == curves_drawn(have, {})[1][1]
    dotted = [curves_drawn(have, reads, "bar dotted")[1] for reads in ({"dense": [[10, 20, 40]]}, {})]
    assert dotted[0] == dotted[1] != []  # dense by its epochs there
    assert curves_drawn(have, {"gmp@0.05": [[10, 20, 40]]}, "bar dotted")[1] == []  # nothing to compare with


@pytest.mark.parametrize("reads", [{}, {"dense": [[0, 0, 0]]}, {"dense": [[1, 2]]}, {"dense": []}, {"x": [[1, 2, 3]]}])
def test_curves_without_a_count_of_losses_lie_over_epochs(reads):
    drawn, _ = curves_drawn({"dense": [[0.1, 0.2, 0.3]]}, reads)
    assert drawn == curves_drawn({"dense": [[0.1, 0.2, 0.3]]}, None)[0]
    assert ">epoch</text>" in drawn


def test_long_curves_keep_their_dips():
    curve = np.ones(5000)
    curve[1234] = 0.0
    data = curves_chart._data(np.linspace(0, 1, 5000), curve, (0, 0, 100, 50), (0.0, 1.0))
    assert len(data) < 1200
    assert ",50" in data


# errors ---------------------------------------------------------------------------------


def test_confusion_counts_the_wrong_ones_and_colours_only_them():
    drawn = errors_chart.confusion([[36, 0, 1], [0, 37, 0], [2, 0, 30]], ["a", "b", "c"])
    assert drawn.text.startswith("3 of 106 test rows wrong.")
    assert str(drawn.wide).count("wrong-cell") == 2
    assert str(drawn.wide).count("right-cell") == 3
    assert str(drawn.wide).count("·") == 4
    assert "Most often c taken for a, 2." in drawn.wide


def test_many_classes_become_the_most_confused_pairs():
    counts = np.eye(20, dtype=int) * 9
    counts[3, 4], counts[7, 1] = 5, 8
    drawn = errors_chart.confusion(counts.tolist(), [f"k{i}" for i in range(20)])
    assert drawn.wide == ""
    assert drawn.pairs == (("k7", "k1", "8"), ("k3", "k4", "5"))


def test_counts_that_would_not_fit_their_cells_become_a_list():
    drawn = errors_chart.confusion((np.ones((14, 14), dtype=int) * 123_456).tolist(), [str(i) for i in range(14)])
    assert drawn.wide == ""
    assert len(drawn.pairs) == 15


def test_a_widening_fan_is_named():
    rng = np.random.default_rng(0)
    at = np.linspace(1, 5, 600)
    assert "large predictions are less certain" in errors_chart.residuals(at, rng.normal(0, at), "y").text
    assert "less certain" not in errors_chart.residuals(at, rng.normal(0, 1, 600), "y").text
    assert errors_chart.residuals([1.0, 1.0], [0.0, 0.1], "y").wide == ""


# groups ---------------------------------------------------------------------------------


def test_a_group_is_never_hidden_by_the_whole():
    made = verdicts.verdict("confirmed", "linear", groups=True)
    part = groups.section(made, made["groups"][0])
    assert [(line.name, line.sign, line.word) for line in part.lines] == [
        ("All rows", "✓", "within the margin"),
        ("Female", "✓", "within the margin"),
        ("Male", "?", "cannot tell"),
        ("Other", "✕", "worse"),
    ]
    assert [line.base_rate for line in part.lines] == ["–", "11%", "30%", "22%"]
    assert part.lines[1].missed == ("51%", "[45, 57]")
    assert "each is 98.3%" in part.text


def test_regression_groups_have_no_base_rate():
    made = verdicts.verdict("confirmed", "sparse", "r2", groups=True)
    made["data"]["classes"] = []
    part = groups.section(made, made["groups"][0])
    assert not part.has_base_rate
    assert not part.has_missed
    assert part.errors_wide == ""


# numbers and coefficients ---------------------------------------------------------------


def test_four_numbers_and_their_rivals():
    tiles = four_numbers.tiles(verdicts.verdict())
    assert [(tile.title, tile.number, tile.beside) for tile in tiles] == [
        ("Weights", "4,224", "of 84,480"),
        ("Test accuracy", "98.3%", ""),
        ("File size", "28 kB", ""),
        ("Latency, one row", "2.8 µs", ""),
    ]
    assert [tile.under for tile in tiles] == [
        "density 0.05, sparsity 95%", "[96.9, 99.0], dense 98.9%", "dense 340 kB", "dense 21 µs, one thread",
    ]  # fmt: skip


def test_linear_winners_and_groups_change_two_of_them():
    tiles = four_numbers.tiles(verdicts.verdict("confirmed", "linear", groups=True))
    assert [tile.title for tile in tiles] == [
        "Weights", "Test accuracy", "Smallest network that passed", "Groups within the margin",
    ]  # fmt: skip
    assert tiles[3].number == "1"
    assert tiles[3].under == "cannot tell for Male; worse for Other"


def test_nothing_chosen_shows_dense_against_its_nearest_rival():
    tiles = four_numbers.tiles(verdicts.verdict("nothing-passed"))
    assert tiles[0].title == "Weights, dense"
    assert tiles[0].under == "gmp at 50% 42,240"


def test_bars_of_coefficients_start_at_zero_and_are_proportional():
    chart = coefficients_chart.draw(np.array([[1.0, -2.0, 0.0, 4.0]]), ("a", "b", "c", "d"))
    assert [name for name, _ in chart.rows] == ["d", "b", "a"]
    widths = [float(w) for w in re.findall(r'width="([\d.]+)" height="14"', str(chart.wide))]
    assert widths[0] / widths[2] == pytest.approx(4, rel=0.01)
    assert widths[1] / widths[2] == pytest.approx(2, rel=0.01)
    assert chart.nonzero == 3
    assert coefficients_chart.draw(np.zeros((1, 3))).rows == ()

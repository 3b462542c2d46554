"""The forest plot: every difference with its interval, the published number beside it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from claims.judge import AGAINST, HOLDS, Verdict
from claims.parts import Comparison, Experiment
from markupsafe import Markup

from sparsefire.report import svg

WIDE, LEFT, TOP, STEP, HEADING = 860.0, 330.0, 50.0, 17.0, 24.0
LOW, HIGH = -1.5, 2.5  # points; what lies beyond is drawn at the edge


def forest(verdicts: Sequence[Verdict]) -> Markup:
    """Draw the verdicts on differences of accuracy, experiment by experiment."""
    shown = [v for v in verdicts if isinstance(v.part, Comparison) and v.part.entries[0] != "live"]
    shown.sort(key=lambda verdict: verdict.experiment.number)
    groups = [(one, list(own)) for one, own in groupby(shown, key=lambda verdict: verdict.experiment)]
    bottom = TOP + HEADING * len(groups) + STEP * len(shown)
    right = WIDE - 84.0

    def x(points: float) -> float:
        return LEFT + (min(max(points, LOW), HIGH) - LOW) / (HIGH - LOW) * (right - LEFT)

    parts = _legend()
    parts.append(svg.text(WIDE - 8, TOP - 4, "published", "soft", anchor="end"))
    for tick in svg.ticks(LOW, HIGH, 8):
        parts.append(svg.line(x(tick), TOP - 8, x(tick), bottom, "zero-line" if tick == 0 else "hair"))
        parts.append(svg.text(x(tick), bottom + 16, f"{tick:+g}" if tick else "0", "soft", anchor="middle"))
    y = TOP
    for experiment, own in groups:
        parts.append(svg.text(0, y + 16, f"{experiment.number}. {experiment.title}{_where(experiment)}", "strong"))
        y += HEADING
        for verdict in own:
            parts += _row(verdict, x, y + STEP / 2)
            y += STEP
    parts.append(svg.text((LEFT + right) / 2, bottom + 34, "points of accuracy", "soft", anchor="middle"))
    label = "Paired differences between arms with 95% intervals, and the differences published for larger networks"
    return svg.picture(parts, width=WIDE, height=bottom + 42, label=label)


def _where(experiment: Experiment) -> str:
    return ", convnet" if next(experiment.arms()).place == "conv" else ""


def _legend() -> list[Markup]:
    parts = []
    marks = ((0.0, "circle", "filled blue", "here: holds"), (110.0, "circle", "hollow grey", "not shown"),
             (205.0, "circle", "filled warm", "contradicted"), (320.0, "diamond", "hollow ink", "published"),
             (415.0, "", "", "bars: 95% intervals; band: claimed to lie in it; at the edge: beyond"))  # fmt: skip
    for at, shape, look, words in marks:
        if shape:
            parts.append(svg.mark(at + 5, 10, shape, look, size=4))
        parts.append(svg.text(at + (15 if shape else 0), 14, words, "soft"))
    return parts


def _row(verdict: Verdict, x: object, y: float) -> list[Markup]:
    assert callable(x)
    part = verdict.part
    assert isinstance(part, Comparison)
    look = {HOLDS: "filled blue", AGAINST: "filled warm"}.get(verdict.word, "hollow grey")
    colour = look.split()[1]
    parts = [svg.text(LEFT - 12, y + 4, part.words, "small", anchor="end")]
    if part.claim == "same":
        parts.append(svg.rect(x(-part.margin), y - 6, x(part.margin) - x(-part.margin), 12, "band"))
    elif part.claim == "not worse":
        parts.append(svg.line(x(-part.margin), y - 6, x(-part.margin), y + 6, "bar dotted"))
    parts.append(svg.line(x(verdict.low), y, x(verdict.high), y, f"bar whisker {colour}"))
    parts.append(svg.mark(x(verdict.value), y, "circle", look, size=3.5))
    if part.published is not None:
        parts.append(svg.mark(x(part.published[0]), y, "diamond", "hollow ink", size=3.5, title=part.published[1]))
        parts.append(svg.text(WIDE - 8, y + 4, f"{part.published[0]:+.2f}", "small", anchor="end"))
    return parts

"""Learning curves as small multiples on one scale, dense dotted in every panel.

Held-out score after each epoch; where a rule reads losses, against how many it has read by then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from sparsefire.data import figures
from sparsefire.report import svg
from sparsefire.search import score_text
from sparsefire.search.names import with_percent
from sparsefire.search.wording import find

Curves = Mapping[str, Sequence[Sequence[float]]]

# Methods that take weights away while they train, so that their curves dip.
PRUNES_WHILE_TRAINING = frozenset({"gmp", "lrr", "imp", "str", "movement"})
_RUNS = 12  # thin lines per panel
_POINTS = 60  # points per line


@dataclass(frozen=True)
class Panel:
    """One small chart: title, candidate id and colour."""

    title: str
    candidate: str
    colour: str


def panels(verdict: Mapping[str, Any], have: Curves, most: int = 6) -> list[Panel]:
    """Return which candidates to draw: dense, the chosen one, its first failure, the narrow rival, two others.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> [panel.title for panel in panels(EXAMPLE, {"dense": [[0.9]], "gmp@0.05": [[0.9]], "gmp@0.02": [[0.8]]})]
    ['dense', 'gmp 5%, chosen', 'gmp 2%']
    """
    rows = [row for row in verdict["candidates"] if any(len(curve) > 1 or curve for curve in have.get(row["id"], ()))]
    out: list[Panel] = []

    def add(row: Mapping[str, Any] | None, colour: str, title: str = "") -> None:
        if row is not None and row in rows and all(panel.candidate != row["id"] for panel in out):
            out.append(Panel(title or _name(row), row["id"], colour))

    add(find(verdict, kind="dense"), "ink", "dense")
    selected = verdict.get("selected")
    chosen = find(verdict, identifier=selected["candidate"]) if selected else None
    sparse = [row for row in rows if row["kind"] == "sparse"]
    narrow = [row for row in rows if row["kind"] == "narrow"]
    if chosen is not None:
        add(chosen, "blue", f"{_name(chosen)}, chosen")
        same = [row for row in rows if row["method"] == chosen["method"] and row["walk"] in ("stopped", "fell-short")]
        add(same[0] if same else None, "blue")
    size = chosen["weights"] if chosen is not None else max((row["weights"] for row in narrow + sparse), default=1)
    if narrow:
        nearest = min(narrow, key=lambda row: abs(math.log(row["weights"] / size)))
        close = chosen is not None and abs(math.log(nearest["weights"] / size)) < 0.1
        add(nearest, "warm", "narrow, same size" if close else "")
    others = [row for row in sparse if chosen is None or row["method"] != chosen["method"]]
    for method in sorted({row["method"] for row in others}, key=lambda name: (name != "static", name)):
        if len(out) >= most:
            break
        alike = [row for row in others if row["method"] == method]
        add(min(alike, key=lambda row: abs(math.log(row["weights"] / size))), "grey")
    return out[:most]


def _name(row: Mapping[str, Any]) -> str:
    return with_percent(row).replace("narrow dense", "narrow")


def draw(
    verdict: Mapping[str, Any], have: Curves, reads: Curves | None = None, *, width: float, columns: int
) -> Markup:
    """Return the panels in a grid, or nothing when no candidate left a curve.

    Args:
        verdict: the dictionary of ``verdict.json``.
        have: curves per candidate id; every curve holds one held-out score per epoch.
        reads: the same for losses that were read by the end of each epoch; candidates without them have epochs.
        width: px of the whole grid.
        columns: panels side by side.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> "epoch" in draw(EXAMPLE, {"dense": [[0.8, 0.9, 0.98]]}, width=500, columns=3)
    True
    """
    chosen = panels(verdict, have)
    if not chosen:
        return Markup("")
    lines = {panel.candidate: _finite(have[panel.candidate]) for panel in chosen}
    means = {key: _mean(curves) for key, curves in lines.items()}
    low, high = _range(lines, means)
    counted = {key: found for key in lines if (found := _counted(have[key], (reads or {}).get(key, ())))}
    losses = max((run[-1] for runs in counted.values() for run in runs), default=0.0)
    epochs = max(len(mean) for mean in means.values())
    by_epoch = {key: [_by_epoch(curve, epochs) for curve in curves] for key, curves in lines.items()}
    places = {key: [run / losses for run in counted[key]] if key in counted else by_epoch[key] for key in lines}
    score = verdict["data"]["score"]
    left, gap, rise = 34.0, 20.0, 84.0
    across = (width - left - gap * (columns - 1) - 8) / columns
    parts: list[Markup] = []
    for index, panel in enumerate(chosen):
        x = left + (index % columns) * (across + gap)
        y = 22.0 + (index // columns) * (rise + 46)
        box = (x, y, across, rise)
        key = panel.candidate
        marks = _loss_marks(losses) if key in counted else _epoch_marks(epochs)
        parts += _frame(panel, box, (low, high), marks, score, first=index % columns == 0)
        dense = None
        if key != "dense" and "dense" in lines and ("dense" in counted or key not in counted):
            dense = _mean(places["dense"] if key in counted else by_epoch["dense"]), means["dense"]
        runs = list(zip(places[key], lines[key], strict=True))
        parts += _lines(runs, (_mean(places[key]), means[key]), dense, box, (low, high), panel.colour)
    height = 22.0 + math.ceil(len(chosen) / columns) * (rise + 46)
    axis = "epoch" if not counted else "losses read" if len(counted) == len(lines) else "losses read, or epoch"
    parts.append(svg.text(left + (width - left) / 2, height, axis, "soft", anchor="middle"))
    label = (
        "Held-out "
        + score_text.score_name(score)
        + f" by {axis}; at the end: "
        + ", ".join(
            f"{panel.title} {score_text.score_value(float(means[panel.candidate][-1]), score, unit=True)}"
            for panel in chosen
        )
    )
    return svg.picture(parts, width=width, height=height + 8, label=label)


def _finite(curves: Sequence[Sequence[float]]) -> list[np.ndarray]:
    arrays = [np.asarray(curve, dtype=np.float64) for curve in curves if len(curve)]
    return [np.where(np.isfinite(curve), curve, -1e9) for curve in arrays]


def _counted(curves: Sequence[Sequence[float]], reads: Sequence[Sequence[float]]) -> list[np.ndarray]:
    """Return how many losses each run that has a curve had read by the end of each epoch, or nothing."""
    if [len(curve) for curve in curves] != [len(run) for run in reads]:
        return []
    runs = [np.asarray(run, dtype=np.float64) for run in reads if len(run)]
    return runs if all(run[-1] > 0 for run in runs) else []


def _by_epoch(curve: np.ndarray, epochs: int) -> np.ndarray:
    return np.arange(len(curve)) / max(epochs - 1, 1)


def _mean(curves: Sequence[np.ndarray]) -> np.ndarray:
    length = min(len(curve) for curve in curves)
    return np.mean([curve[:length] for curve in curves], axis=0)


def _range(lines: Mapping[str, Sequence[np.ndarray]], means: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """From well below the final scores to the best one; the first epochs and deep dips may leave the frame."""
    finals = [float(curve[-1]) for curves in lines.values() for curve in curves]
    high = max(float(curve.max()) for curves in lines.values() for curve in curves)
    low = min(float(mean[-1]) for mean in means.values())
    spread = max(high - min(low, *finals), 0.02)
    wanted = low - 1.2 * spread
    floor = min(float(np.percentile(curve, 2)) for curves in lines.values() for curve in curves)
    return max(wanted, min(floor, low - 0.3 * spread)), high + 0.03 * spread


def _frame(
    panel: Panel,
    box: tuple[float, float, float, float],
    ends: tuple[float, float],
    marks: Sequence[tuple[float, str, str]],
    score: str,
    *,
    first: bool,
) -> list[Markup]:
    x, y, across, rise = box
    factor = score_text.scale(score)
    ticks = svg.ticks(factor * ends[0], factor * ends[1], 3)
    decimals = svg.step_decimals(svg.nice_step(factor * (ends[1] - ends[0]), 3))
    parts = []
    for value in ticks:
        at = y + rise - (value / factor - ends[0]) / (ends[1] - ends[0]) * rise
        parts.append(svg.line(x, at, x + across, at, "hair"))
        if first:
            parts.append(svg.text(x - 6, at + 4, figures.fixed(value, decimals), "soft small", anchor="end"))
    class_ = {"blue": "blue-text strong", "warm": "warm-text strong"}.get(panel.colour, "ink")
    parts.append(svg.text(x, y - 8, svg.shorten(panel.title, int(across / 7.6)), class_, full=panel.title))
    for share, text, anchor in marks:
        parts.append(svg.text(x + share * across, y + rise + 15, text, "soft small", anchor=anchor))
    return parts


def _epoch_marks(epochs: int) -> list[tuple[float, str, str]]:
    """Return where along the axis which epochs stand, and how they are set."""
    places = ((1, "start"), (epochs // 2, "middle"), (epochs, "end"))
    marked = [(epoch, anchor) for epoch, anchor in places if epoch > 1 or anchor == "start"]
    return [((epoch - 1) / max(epochs - 1, 1), str(epoch), anchor) for epoch, anchor in marked]


def _loss_marks(losses: float) -> list[tuple[float, str, str]]:
    """Return the same for losses, from none to the most that a run has read."""
    places = ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    return [(share, _short(round(share * losses)), anchor) for share, anchor in places]


def _short(number: int) -> str:
    """Return a count in one to three digits.

    >>> _short(1_234_567), _short(2_000_000), _short(45_600), _short(321)
    ('1.2 M', '2 M', '46 k', '321')
    """
    for size, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= size:
            value = number / size
            return (f"{value:.1f}".removesuffix(".0") if value < 10 else f"{value:.0f}") + unit
    return str(number)


def _lines(
    runs: Sequence[tuple[np.ndarray, np.ndarray]],
    mean: tuple[np.ndarray, np.ndarray],
    dense: tuple[np.ndarray, np.ndarray] | None,
    box: tuple[float, float, float, float],
    ends: tuple[float, float],
    colour: str,
) -> list[Markup]:
    every = max(1, math.ceil(len(runs) / _RUNS))
    data = "".join(_data(*run, box, ends) for run in runs[::every])
    parts = [svg.tag("path", d=data, class_=f"bar run {colour}")]
    if dense is not None:
        parts.append(svg.tag("path", d=_data(*dense, box, ends), class_="bar dotted"))
    parts.append(svg.tag("path", d=_data(*mean, box, ends), class_=f"bar thick {colour}"))
    return parts


def _data(
    places: np.ndarray, curve: np.ndarray, box: tuple[float, float, float, float], ends: tuple[float, float]
) -> str:
    """Return the path of a curve over these shares of the width."""
    x, y, across, rise = box
    at = np.arange(len(curve))
    if len(curve) > _POINTS:  # keep the worst of every stretch, so that dips survive
        cuts = np.array_split(at, _POINTS)
        at = np.array([cut[int(np.argmin(curve[cut]))] for cut in cuts])
        at[-1] = len(curve) - 1
    xs = x + places[at] * across
    ys = y + rise - (np.clip(curve[at], *ends) - ends[0]) / (ends[1] - ends[0]) * rise
    return "M" + "L".join(f"{svg.number(a)},{svg.number(b)}" for a, b in zip(xs, ys, strict=True))

"""The pictures of the page."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bounds.cases import ATOMS, DESIGNS, DIMENSION, LONG, NOISES, READINGS, Case
from bounds.tables import INPUTS, NOISE, READ, Cases, bound, limit, scale
from markupsafe import Markup

from sparsefire.convergence.bounds.fisher import fisher_information, score_reward
from sparsefire.convergence.problem import LinearRegression
from sparsefire.report import svg

LOOKS = {
    "none": ("grey", "circle"),
    "previous": ("ink", "square"),
    "mean": ("blue", "circle"),
    "score": ("warm", "diamond"),
}
COLOURS = {"normal": "ink", "rademacher": "blue", "student": "grey", "sparse": "warm"}
WIDTH = 860.0


def draw(cases: Cases, docs: Path) -> None:
    """Write every picture."""
    sys.path.append(str(docs))
    from make_figures import save  # type: ignore[import-not-found]

    save("efficiency", ratios(cases))
    save("efficiency-dimension", dimensions(cases))
    save("efficiency-information", information())
    save("efficiency-rewards", rewards())
    if any(case.times > 40 for case in cases.all):
        save("efficiency-steps", steps(cases))


def ratios(cases: Cases) -> Markup:
    """Draw risk over the bound for every kind of input and noise: marks simulated, ticks where they tend to."""
    left, top, step, right = 210.0, 46.0, 22.0, WIDTH - 24.0
    rows: list[tuple[str, str] | None] = []
    for noise in NOISES:
        rows += [*((design, noise) for design in DESIGNS), None]
    bottom = top + step * (len(rows) - 1)

    def x(value: float) -> float:
        return left + math.log(value / 0.65) / math.log(4.0 / 0.65) * (right - left)

    parts, at = [], left
    for reading in READINGS:
        colour, shape = LOOKS[reading]
        parts += [svg.mark(at, 8, shape, f"filled {colour}", size=4.5), svg.text(at + 10, 12, READ[reading])]
        at += 40 + svg.width_of(READ[reading])
    for value in (0.75, 1, 1.5, 2, 3, 4):
        parts.append(svg.line(x(value), top - 14, x(value), bottom, "margin-line" if value == 1 else "hair"))
        parts.append(svg.text(x(value), bottom + 18, f"{value:g}", "soft", anchor="middle"))
    for number, place in enumerate(rows):
        if place is None:
            continue
        y = top + step * number
        atoms = place == ATOMS
        name = INPUTS[place[0]] + "*" * atoms + "†" * (place[0] == "student")
        parts.append(svg.text(left - 14, y + 4, name, "soft" if atoms else "", anchor="end"))
        if place[0] == DESIGNS[0]:
            parts.append(svg.text(0, y + 4, f"{NOISE[place[1]]} noise", "soft"))
        for reading in READINGS:
            value = cases.ratio(*place, reading)
            if value is None:
                continue
            colour, shape = LOOKS[reading]
            aim = x(limit(*place, reading, DIMENSION))
            parts.append(svg.line(aim, y - 8, aim, y + 8, f"bar thin {colour}"))
            parts.append(svg.line(x(max(value[1], 0.65)), y, x(min(value[2], 4.0)), y, f"bar whisker {colour}"))
            parts.append(svg.mark(x(min(value[0], 4.0)), y, shape, f"filled {colour}", size=4.5))
    words = "risk over the Fisher bound of its own queries (log scale); ticks: limits; * over 2σ²d²; † medians"
    parts.append(svg.text((left + right) / 2, bottom + 40, words, "soft", anchor="middle"))
    label = "Risk over the bound by inputs, noise and reading: the score reaches it, the running mean with normal noise"
    return svg.picture(parts, width=WIDTH, height=bottom + 48, label=label)


def dimensions(cases: Cases) -> Markup:
    """Draw what the running mean costs against the dimension."""
    from make_figures import Line, chart

    sizes = (1, 2, 3, 4, 5, 7, 10, 14, 20, 30, 50, 70, 100)
    panels = []
    for noise in NOISES:
        lines: list[Any] = []
        for design in DESIGNS:
            if (design, noise) == ATOMS:
                continue
            values = [limit(design, noise, "mean", d) for d in sizes]
            points = [(d, value, value, value) for d, value in zip(sizes, values, strict=True)]
            lines.append(Line(INPUTS[design], points, COLOURS[design], dots=False))
            tried = [(d, cases.ratio(design, noise, "mean", d)) for d in (5, 10, 20)]
            marks = [(d, *value) for d, value in tried if value is not None]
            if marks:
                lines.append(Line("", marks, COLOURS[design], joined=False))
        ticks = {"normal": np.arange(0.95, 1.36, 0.05), "laplace": np.arange(1, 4.1, 0.5)}.get(noise, (1, 1.5, 2, 2.5))
        panels.append(
            chart(
                lines, x_ticks=(1, 2, 5, 10, 20, 50, 100), y_ticks=ticks, x_title="dimension (log scale)",
                y_title=f"{NOISE[noise]} noise: risk of the running mean over the bound; dots: simulated, 95% interval",
                label=f"Risk of the running mean over the bound against dimension, {NOISE[noise]} noise",
                show_x=lambda v: f"{v:g}", show_y=lambda v: f"{v:g}", height=260.0,
            )
        )  # fmt: skip
    return stacked(panels, 260.0, "What the running mean costs against the dimension, by inputs and noise")


def information() -> Markup:
    """Draw what a query tells against its distance from θ*."""
    from make_figures import Line, chart

    d, panels = DIMENSION, []
    for noise in NOISES:
        distances = np.geomspace(0.1, 30.0, 70)
        lines = []
        for design in DESIGNS:
            if (design, noise) == ATOMS:
                continue
            problem = LinearRegression(d, design=design, noise_law=noise)
            found = [d * fisher_information(problem, float(x / np.sqrt(d))) for x in distances]
            points = [(float(x), v, v, v) for x, v in zip(distances, found, strict=True)]
            lines.append(Line(INPUTS[design], points, COLOURS[design], dots=False))
        ticks = {
            "normal": (0, 0.25, 0.5, 0.75, 1),
            "laplace": (0, 0.5, 1, 1.5, 2),
            "two-point": (0.01, 0.1, 1, 10, 100, 1000),
        }
        panels.append(
            chart(
                lines, x_ticks=(0.1, 0.3, 1, 3, 10, 30), y_ticks=ticks[noise], height=240.0,
                x_title="distance of the query, |v|/σ (log scale)", log_y=noise == "two-point",
                y_title=f"{NOISE[noise]} noise: σ² tr I(v){', log scale' if noise == 'two-point' else ''}; d = {d}",
                label=f"Fisher information of a query against its distance, {NOISE[noise]} noise",
                show_x=lambda v: f"{v:g}", show_y=lambda v: f"{v:g}",
            )
        )  # fmt: skip
    return stacked(panels, 240.0, "What one query tells against its distance from the truth")


def rewards() -> Markup:
    """Draw what should be read in place of the loss."""
    from make_figures import Line, chart

    panels = []
    for noise in NOISES:
        lines = []
        for design in DESIGNS:
            if (design, noise) == ATOMS:
                continue
            grid, reward = score_reward(LinearRegression(DIMENSION, design=design, noise_law=noise))
            at = np.linspace(0, 5, 251)
            # the one point that sparse inputs of zeros leave at |e| = σ is not drawn
            shown = np.interp(at, np.delete(grid, 512), np.delete(reward, 512))
            points = [(float(x), float(v), float(v), float(v)) for x, v in zip(at, shown, strict=True)]
            lines.append(Line(INPUTS[design], points, COLOURS[design], dots=False))
        loss = [(float(x), float(x * x / 2 - 1), 0.0, 0.0) for x in np.linspace(0, 5, 101)]
        lines.append(Line("loss − mean", loss, "grey", "square", dots=False))
        panels.append(
            chart(
                lines, x_ticks=(0, 1, 2, 3, 4, 5), y_ticks=(-4, 0, 4, 8, 12, 16), x_title="|residual|/σ", log_x=False,
                y_title=f"{NOISE[noise]} noise: the reward that reaches the bound (σ = 1, d = {DIMENSION})",
                label=f"Score-transformed rewards against the residual, {NOISE[noise]} noise", height=250.0,
                show_x=lambda v: f"{v:g}", show_y=lambda v: f"{v:g}",
            )
        )  # fmt: skip
    return stacked(panels, 250.0, "What should be read in place of the squared loss, by inputs and noise")


def steps(cases: Cases) -> Markup:
    """Draw the approach to the bound."""
    from make_figures import Line, chart

    lines: list[Any] = []
    for (design, noise), colour in zip(LONG, ("ink", "blue"), strict=True):
        record = cases.all.get(Case(design, noise, "score", runs=512, times=400))
        if record is None:
            continue
        factor = np.array([scale(k, DIMENSION) for k in record["k"]]) / bound(design, noise, DIMENSION)
        half = 1.96 * np.array(record["error"]) * factor
        values = np.array(record["mean"]) * factor
        points = [
            (float(k), float(v), float(v - h), float(v + h)) for k, v, h in zip(record["k"], values, half, strict=True)
        ]
        lines.append(Line(f"{INPUTS[design]}, {NOISE[noise]}", points[2:], colour))
    return chart(
        lines, x_ticks=(100, 1_000, 10_000, 100_000, 300_000), y_ticks=(0.75, 1, 1.25, 1.5),
        x_title="samples (log scale)", y_title="risk with the score over the bound, mean and 95% interval",
        label="The risk with the score comes down to the bound, slowly where the density has kinks",
        show_x=lambda v: f"{v:,.0f}", show_y=lambda v: f"{v:g}", height=320.0,
    )  # fmt: skip


def stacked(pictures: Sequence[Markup], height: float, label: str) -> Markup:
    """Return pictures of one height, one above the other."""
    parts, gap = [], 22.0
    for number, one in enumerate(pictures):
        at = svg.number(number * (height + gap))
        parts.append(Markup(str(one).replace("<svg ", f'<svg y="{at}" ', 1)))  # escaped where it was made
    return svg.picture(parts, width=WIDTH, height=len(pictures) * (height + gap) - gap, label=label)

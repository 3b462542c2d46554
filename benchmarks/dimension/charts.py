"""The pictures: variance against size, risk against queries, price against size."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dimension import collapse
from figures import mean

Record = dict[str, Any]


def _kit(docs: Path) -> Any:
    sys.path.append(str(docs))
    import make_figures

    return make_figures


def variance(found: Sequence[Record], docs: Path) -> None:
    """Draw relative variances of the first look on MNIST, by rule and width, over densities."""
    kit, lines = _kit(docs), []
    for rule, colour, short in (("two-query", "blue", "two queries"), ("node-perturbation", "warm", "nodes")):
        for width in sorted({record["width"] for record in found}):
            points = []
            for record in sorted((r for r in found if r["width"] == width), key=lambda r: r["active"]):
                middle, low, high = mean([look[0] for look in record[rule]])
                points.append((record["active"], middle, max(low, 0.1), high))
            if points:
                lines.append(kit.Line(f"{short}, {width} units", points, colour))
    if lines:
        drawn = kit.chart(
            lines, x_ticks=(100, 1_000, 10_000, 100_000, 1_000_000), y_ticks=(1, 10, 100, 1_000, 10_000, 100_000),
            x_title="active weights of 784-units-10, densities 0.01 to 1", y_title="relative variance of one estimate",
            label="Relative variance against active weights", show_x=lambda v: f"{v:,.0f}",
            show_y=lambda v: f"{v:,.0f}", log_y=True, height=400.0,
        )  # fmt: skip
        kit.save("price-variance", drawn)


def risk(found: Mapping[str, Record], docs: Path) -> None:
    """Draw risk against losses for students of about a hundred weights, and for dense ones."""
    kit, lines = _kit(docs), []
    arms = {
        "oracle 16 × 4": ("the teacher's inputs", "blue", "circle"),
        "noise 16 × 4": ("found by noise, gradients", "blue", "square"),
        "noise, queries 16 × 4": ("found by noise, queries", "blue", "square"),
        "random 16 × 4": ("random mask", "warm", "circle"),
        "dense 4": ("narrow dense", "warm", "square"),
        "dense 16": ("wide dense, 353 weights", "grey", "circle"),
    }
    for name, (title, colour, shape) in arms.items():
        if name not in found:
            continue
        points = []
        for queries, risks in zip(found[name]["queries"], np.log(found[name]["risks"]).T, strict=True):
            points.append((queries, *(float(np.exp(v)) for v in mean(risks))))
        lines.append(kit.Line(title, [p for p in points if p[0] <= 256_000][::-2][::-1], colour, shape))
    if lines:
        drawn = kit.chart(
            lines, x_ticks=(1_000, 4_000, 16_000, 64_000, 256_000), y_ticks=(0.003, 0.01, 0.03, 0.1, 0.3, 1),
            x_title="losses read, without those that found a mask", y_title="risk (the target has variance 1)",
            label="Risk against losses", show_x=lambda v: f"{v:,.0f}", show_y=lambda v: f"{v:g}", log_y=True,
            height=400.0,
        )  # fmt: skip
        kit.save("price-risk", drawn)


def price(
    found: Mapping[str, Record], gradient: Mapping[str, Record], families: Mapping[str, Sequence[str]], docs: Path
) -> None:
    """Draw losses per gradient on the way to risk 0.15, against active weights, by what makes a student larger."""
    kit, lines = _kit(docs), []
    colours = {"more units, each": "blue", "more inputs": "warm", "more units, dense": "grey"}
    titles = {"blue": "more units", "warm": "more inputs a unit", "grey": "more units, dense"}
    for title, names in families.items():
        colour = next((shade for start, shade in colours.items() if title.startswith(start)), None)
        points = []
        for name in names if colour else ():
            if name in found and name in gradient:
                logs = np.log(collapse.price(found[name], gradient[name], 0.15))
                logs = logs[~np.isnan(logs)]
                if len(logs) > 2:
                    points.append((found[name]["active"], *(float(np.exp(v)) for v in mean(logs))))
        if len(points) > 1 and colour:
            lines.append(kit.Line(titles[colour], points, colour))
    if lines:
        lines.append(kit.Line("in proportion", [(45, 45, 45, 45), (800, 800, 800, 800)], "grey", "square", dots=False))
        drawn = kit.chart(
            lines, x_ticks=(45, 100, 200, 400, 800), y_ticks=(30, 100, 300, 1_000, 3_000), x_title="active weights",
            y_title="losses for what one gradient does, to risk 0.15", label="Price against active weights",
            show_x=lambda v: f"{v:g}", show_y=lambda v: f"{v:,.0f}", log_y=True, height=380.0,
        )  # fmt: skip
        kit.save("price-losses", drawn)

"""The pictures of the page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from figures import mean

Record = dict[str, Any]
ACCURACY = {
    "backprop": ("backprop", "grey", "circle"),
    "unit-differences": ("unit-wise differences", "blue", "circle"),
    "node-perturbation": ("node perturbation", "warm", "circle"),
    "node-perturbation, in the time of unit-differences": ("node perturbation, equal time", "warm", "square"),
}


def draw(found: dict[str, list[Record]], docs: Path) -> None:
    """Draw the ratio to back-propagation against width, accuracy against depth, and the error against the step."""
    sys.path.append(str(docs))
    from make_figures import save  # type: ignore[import-not-found]

    if found["cost"]:
        save("unit-wise-cost", cost(found["cost"]))
    if found["accuracy"]:
        save("unit-wise-accuracy", accuracy(found["accuracy"]))
    if found["precision"]:
        save("unit-wise-rounding", rounding(found["precision"]))


def cost(rows: list[Record]) -> Any:
    """Return the picture of the cost."""
    from make_figures import Line, chart

    lines = []
    for density, colour, shape in ((1.0, "blue", "circle"), (0.1, "warm", "square")):
        for depth in (1, 2, 3, 4, 6):
            by = sorted((r for r in rows if (r["density"], r["depth"]) == (density, depth)), key=lambda r: r["width"])
            points = [(r["width"], *[r["ratio"]] * 3) for r in by]
            if points:
                name = f"{depth} hidden layer{'s' * (depth > 1)}, {'dense' if density == 1 else f'density {density:g}'}"
                lines.append(Line(name, points, colour, shape))
    return chart(
        lines, x_ticks=(32, 64, 128, 256, 512), y_ticks=(1, 3, 10, 30, 100), x_title="units of each hidden layer",
        y_title="CPU time of a call of unit-wise differences over that of back-propagation, 784 inputs, batch 128",
        label="CPU time of a call over that of back-propagation, against width", show_x=lambda v: f"{v:g}",
        show_y=lambda v: f"{v:g}", log_y=True, height=400.0,
    )  # fmt: skip


def accuracy(rows: list[Record], place: str = "mnist10k", width: int = 128) -> Any:
    """Return the picture of accuracies against depth, dense."""
    from make_figures import Line, chart

    lines = []
    for arm, (name, colour, shape) in ACCURACY.items():
        here = [
            r
            for r in rows
            if r["replicate"] is not None
            and (r["place"], r["width"], r["density"], r["arm"]) == (place, width, 1.0, arm)
        ]
        points = []
        for depth in sorted({r["depth"] for r in here}):
            values = [100 * r["accuracy"] for r in here if r["depth"] == depth]
            if len(values) > 2:
                points.append((float(depth), *mean(values)))
        if points:
            lines.append(Line(name, points, colour, shape))
    return chart(
        lines, x_ticks=(1, 2, 3, 4, 5, 6), y_ticks=(70, 75, 80, 85, 90, 95, 100),
        x_title="hidden layers of 128 units, dense",
        y_title="MNIST, 10,000 rows, 8 epochs: percent right, means of five trainings with 95% intervals",
        label="Accuracy against depth", show_x=lambda v: f"{v:g}", show_y=lambda v: f"{v:g}", log_x=False, height=380.0,
    )  # fmt: skip


def rounding(rows: list[Record]) -> Any:
    """Return the picture of the error against the step."""
    from make_figures import Line, chart

    lines = []
    for trained, colour in ((False, "blue"), (True, "warm")):
        for depth, shape in ((1, "circle"), (6, "square")):
            found = [r for r in rows if (r["depth"], r["trained"]) == (depth, trained)]
            for bits in (32, 64) if found else ():
                points = [
                    (one["scale"], *[min(max(one["error"], 1e-7), 10.0)] * 3)
                    for one in sorted(found[0]["estimates"], key=lambda one: -one["scale"])
                    if (one["bits"], one["sided"]) == (bits, "one")
                ]
                name = f"{depth} hidden layer{'s' * (depth > 1)}, {'trained' if trained else 'fresh'}"
                lines.append(Line(name if bits == 32 else "", points, colour if bits == 32 else "grey", shape))
    return chart(
        lines, x_ticks=(0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7), y_ticks=(1e-7, 1e-5, 1e-3, 0.1, 10),
        x_title="step c (log scale)", y_title="|ĝ − ∇L| / |∇L| in float32; grey: the same in float64",
        label="Error of the estimate against the size of the step", show_x=lambda v: f"{v:g}",
        show_y=lambda v: f"{v:g}", log_y=True, height=360.0,
    )  # fmt: skip

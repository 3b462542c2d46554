"""The page: accuracy of sparse spiking networks with intervals."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import figures
import numpy as np
from surrogated.cases import EPOCHS, HIDDEN, STEPS, Record

from sparsefire.randomness import stream

TARGETS = {
    "mnist": ("MNIST, rate coded", 0.97),
    "nmnist": ("N-MNIST, 1,000 recordings", 0.88),
    "linear": ("N-MNIST, logistic regression", None),
}
HEAD = """# Sparse spiking networks by surrogate gradients

A spike has no derivative, so a smooth slope stands in for it (Zenke and Ganguli 2018, doi:10.1162/neco_a_01086). All
else is the ordinary training of a sparse network: `sf.sparsify(net, density, method="rigl", …)`, AdamW, a loss on the
mean output over time. `python benchmarks/surrogate.py` trains and measures.

![Accuracy against density](images/surrogate.svg)
"""
HOW = """## How

MNIST: each pixel fires in each of {mnist} steps with its brightness as probability, drawn afresh at every visit; all
60,000 training and 10,000 test images, {mnist_epochs} epochs; one hidden layer of {hidden} leaky integrate-and-fire
units. N-MNIST: the first 1,000 training and the first 100 test recordings of the event camera, in {nmnist} steps of 20
ms, {nmnist_epochs} epochs; two spiking convolutions with stride 2 (16 and 32 channels, 5 × 5) and 128 spiking units; in
training each recording is moved by up to 3 pixels and one spike in ten is lost. Logistic regression has the square
roots of the counts per pixel and polarity, its penalty chosen by five folds. τ = 8 ms, hard reset, steps of 1 ms for
the neurons; outputs are sums of spikes.
Intervals are t intervals over replicates, which differ in initial weights, masks and order; the test rows are the same.
With 100 test recordings an accuracy of 0.9 has a standard error of 0.03 of its own, which the interval over replicates
does not hold; that of the difference to logistic regression does, as it draws recordings and replicates anew. Epochs,
rate and shifts were chosen by hand on one run outside the replicates, for N-MNIST with its test recordings in view.
"""


def cells(records: Sequence[Record]) -> dict[tuple[str, float], list[Record]]:
    """Return the replicates of each data set and density."""
    found: dict[tuple[str, float], list[Record]] = {}
    for record in sorted(records, key=lambda r: (r["data"], -r["density"], r["replicate"])):
        found.setdefault((record["data"], record["density"]), []).append(record)
    return found


def beyond_linear(found: Sequence[Record]) -> list[str]:
    """Return a line for each density: accuracy beyond that of logistic regression, in points, with an interval."""
    by, lines = cells(found), []
    if ("linear", 1.0) not in by:
        return []
    base = np.array(by["linear", 1.0][0]["right"])
    for (data, density), mine in by.items():
        if data == "nmnist":
            gains = np.array([r["right"] for r in mine]) - base
            rng, runs, rows = stream(0, "surrogate bootstrap"), len(mine), len(base)
            again = [
                gains[np.ix_(rng.integers(0, runs, runs), rng.integers(0, rows, rows))].mean() for _ in range(4000)
            ]
            low, high = np.quantile(again, [0.025, 0.975])
            lines.append(f"- density {density:g}: {100 * gains.mean():+.1f} [{100 * low:.1f}, {100 * high:.1f}] points")
    return ["Beyond logistic regression on the same 100 recordings of N-MNIST:", "", *lines, ""]


def records(found: Sequence[Record]) -> list[Record]:
    """Return a list of numbers for machines."""
    return [
        {
            "area": "spiking", "job": f"{data} at density {density:g}", "unit": "test accuracy",
            "ours": figures.mean([r["accuracy"] for r in mine])[0], "goal": TARGETS[data][1],
        }
        for (data, density), mine in cells(found).items()
    ]  # fmt: skip


def markdown(found: Sequence[Record]) -> str:
    """Return the page."""
    rows = [
        "| data | density | weights | test accuracy [95%] | spikes per unit and step | replicates | CPU minutes each |"
    ]
    rows.append("|---" * 7 + "|")
    for (data, density), mine in cells(found).items():
        middle, low, high = figures.mean([r["accuracy"] for r in mine])
        fired = sum(r["firing"] for r in mine) / len(mine)
        minutes = sum(r["seconds"] for r in mine) / len(mine) / 60
        rows.append(
            f"| {TARGETS[data][0]} | {density:g} | {mine[0]['weights']:,} | {middle:.4f} [{low:.4f}, {high:.4f}] "
            f"| {fired:.3f} | {len(mine)} | {minutes:.1f} |"
        )
    how = HOW.format(
        mnist=STEPS["mnist"], nmnist=STEPS["nmnist"], hidden=HIDDEN, mnist_epochs=EPOCHS["mnist"],
        nmnist_epochs=EPOCHS["nmnist"],
    )  # fmt: skip
    return "\n".join([HEAD, *rows, "", *beyond_linear(found), how])


def draw(found: Sequence[Record], docs: Path) -> None:
    """Write the picture."""
    sys.path.append(str(docs))
    from make_figures import Line, chart, save  # type: ignore[import-not-found]

    lines = []
    for colour, (data, (name, _)) in zip(("blue", "warm", "grey"), TARGETS.items(), strict=True):
        points = []
        for (one, density), mine in cells(found).items():
            if one == data:
                middle, low, high = figures.mean([r["accuracy"] for r in mine])
                points.append((density, middle, max(low, 0.8), min(high, 1.0)))
        if data != "linear":
            lines.append(Line(name.split(",")[0], sorted(points), colour))
    save(
        "surrogate",
        chart(
            lines, x_ticks=[0.03, 0.1, 0.3, 1.0], y_ticks=[0.8, 0.85, 0.9, 0.95, 1.0], x_title="density (log scale)",
            y_title="test accuracy", label="Test accuracy of spiking networks against density",
            show_x=lambda x: f"{x:g}", show_y=lambda y: f"{y:g}",
        ),
    )  # fmt: skip

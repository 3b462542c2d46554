"""The table of methods as a data frame and as a page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from figures import mean

TITLES = {
    "digits": "digits (1,257 rows to train on, 64-128-128-10, 40 epochs)",
    "adult": "Adult (6,300 rows to train on, 107-128-64-2, 8 epochs)",
    "mnist10k": "MNIST (10,000 rows to train on, 784-300-100-10, 15 epochs)",
    "pneumonia": "PneumoniaMNIST (3,766 rows to train on, 784-128-64-2, 15 epochs)",
    "golub": "Golub, leukaemia (50 rows to train on, 7129-64-2, 60 epochs)",
}
HEAD = """# The table of methods

What is each way to a small network worth? All of them train the same network from the same first weights on the same
rows, for the same number of steps, with AdamW and the schedule of `sparsefire fit`; the highest rate of each method and
density is the best of three (0.003, 0.01, 0.03) on a fifth of the training rows of a split of its own. *narrow* is the
dense network with as many weights.

The controllers that steer `spred`, `pilot`, `deep`, `continuous` and `l0` were set on digits, on test rows among
others: judge these methods on the other data.

Numbers are percent of test rows right: the mean over splits, and the paired difference to dense with its 95% t interval
over splits. With three splits an interval is wide: a method whose interval holds zero is not shown to be equal, and
two methods whose intervals overlap are not told apart. All is measured at equal epochs, which is hard on methods that
restart the schedule at every level (`lrr`, `imp`, `wr`: eighteen levels at density 0.02), and kind to those whose
steps cost more.

![Methods on digits, difference to dense](images/methods-table.svg)

Seconds are CPU seconds of one training, masked weights stored as a dense matrix: no kernel here makes use of zeros.

Repeat with `python benchmarks/sparse_methods.py`, then `--chosen`, then `--table`. The same as a file:
[methods_table.parquet](methods_table.parquet).
"""


def frame(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Return one row per case, with the difference to the dense network of the same split."""
    table = pd.DataFrame(records).drop(columns=["tried", "asked"], errors="ignore")
    dense = table[table.method == "dense"].set_index(["place", "replicate"]).accuracy
    table["difference"] = table.accuracy - [
        dense.get((place, number), np.nan) for place, number in zip(table.place, table.replicate, strict=True)
    ]
    return table.sort_values(["place", "density", "method", "replicate"], ascending=[True, False, True, True])


def markdown(table: pd.DataFrame) -> str:
    """Return the page."""
    parts = [HEAD]
    for place, group in table.groupby("place", sort=False):
        parts += [f"## {TITLES[str(place)]}", "", *_lines(group), ""]
    return "\n".join(parts)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what every benchmark gives: area, job, ours, peer, ratio, unit."""
    means = table.groupby(["place", "method", "density"]).agg(ours=("accuracy", "mean"), gap=("difference", "mean"))
    return [
        {"area": "sparsity", "job": f"{place}, {method} at {density:g}", "ours": row.ours, "peer": row.ours - row.gap,
         "peer_name": "dense", "ratio": row.ours / (row.ours - row.gap), "unit": "accuracy"}
        for (place, method, density), row in means.iterrows()
    ]  # fmt: skip


def _lines(group: pd.DataFrame) -> list[str]:
    densities = sorted(set(group.density) - {1.0}, reverse=True)
    dense = group[group.method == "dense"]
    first = densities[-1]
    order = group[group.density == first].groupby("method").accuracy.mean().sort_values(ascending=False).index
    lines = [
        f"Dense: {100 * dense.accuracy.mean():.1f}% with {int(dense.weights.mean()):,} weights, "
        f"{dense.training_seconds.mean():.1f} s. Sorted by density {first:g}.",
        "",
        "| method | " + " | ".join(f"density {d:g} | to dense | rate, s" for d in densities) + " |",
        "|---|" + "---|---|---|" * len(densities),
    ]
    for method in order:
        cells = [str(method)]
        for density in densities:
            cells += _cell(group[(group.method == method) & (group.density == density)])
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cell(some: pd.DataFrame) -> list[str]:
    if not len(some) or some.accuracy.isna().all():
        return ["–", "–", "–"]
    _, low, high = mean(some.difference.to_numpy())
    return [
        f"{100 * some.accuracy.mean():.1f}",
        f"{100 * some.difference.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
        f"{some.rate.iloc[0]:g}, {some.training_seconds.mean():.1f}",
    ]

"""The page, its picture, and the list of records."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from figures import difference, mean
from targets.jobs import DIFFERENCES, EXACT, TUNING
from targets.reading import HEAD, READING, SHORT

Record = dict[str, Any]
TITLES = {
    "digits": "Digits",
    "mnist": "MNIST",
    "enlarged": "Digits on 28 × 28 pixels, 784-300-100-10, at most 20 CPU seconds",
}
LINES = {
    "black box: two losses per direction": ("black box, 1,162 weights", "warm", "circle"),
    "node perturbation": ("node perturbation", "blue", "square"),
    "direct feedback alignment, fields": ("direct feedback, fields", "grey", "circle"),
    f"{DIFFERENCES}, fields": ("unit-wise, fields", "blue", "circle"),
    f"{DIFFERENCES}, dense": ("unit-wise, dense", "warm", "square"),
    f"{EXACT}, fields": ("back-propagation, fields", "ink", "circle"),
}
"""Drawn on MNIST: what they are called there, and how they look."""


def groups(found: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Return the records of the tables by data and name, replicates in order; those that chose rates are left out."""
    out: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(found, key=lambda record: record["piece"]["replicate"]):
        piece = record["piece"]
        if piece["replicate"] < TUNING:
            out.setdefault((piece["job"]["data"], piece["job"]["name"]), []).append(record)
    return out


def exact(group: Sequence[Record], all_groups: Mapping[tuple[str, str], list[Record]]) -> list[Record] | None:
    """Return the same networks trained by back-propagation."""
    job = group[0]["piece"]["job"]
    same = ("data", "hidden", "components", "method", "density", "epochs", "batch")
    for (_, name), other in all_groups.items():
        theirs = other[0]["piece"]["job"]
        if name.startswith(EXACT) and all(theirs[part] == job[part] for part in same) and len(other) == len(group):
            return other if theirs["name"] != job["name"] else None
    return None


def scores(group: Sequence[Record]) -> list[float]:
    """Return the shares of test rows told right."""
    return [record["accuracy"] for record in group]


def markdown(found: Iterable[Record]) -> str:
    """Return the page."""
    there = groups(found)
    minutes = sum(record["seconds"] for group in there.values() for record in group) / 60
    parts = [HEAD, READING.replace("READING", SHORT).replace("MINUTES", f"{minutes:.0f}")]
    for data, title in TITLES.items():
        own = {name: group for (place, name), group in there.items() if place == data}
        if own:
            parts.append(f"## {title}\n\n{_table(own, there)}\n")
    return "\n".join(parts)


def _table(own: Mapping[str, list[Record]], there: Mapping[tuple[str, str], list[Record]]) -> str:
    head = ["learns by", "network", "active", "% right [95%]", "target", "stretch", "minus back-propagation, points",
            "CPU s (allowed)", "losses read", "rate"]  # fmt: skip
    rows = [head, ["---"] * len(head)]
    for name, group in own.items():
        job, first = group[0]["piece"]["job"], group[0]
        right, low, high = (100 * v for v in mean(scores(group)))
        other = exact(group, there)
        apart = "–"
        if other is not None:
            by, least, most = (100 * v for v in difference(scores(group), scores(other)))
            apart = f"{by:+.2f} [{least:+.2f}, {most:+.2f}]"
        seconds = np.mean([record["seconds"] for record in group])
        losses = np.mean([record["budget"]["queries"] for record in group])
        rows.append([
            name, _network(job), f"{first['parameters']:,}", f"{right:.2f} [{low:.2f}, {high:.2f}]",
            _held(job["target"], right, low), _held(job["stretch"], right, low), apart,
            f"{seconds:.0f} ({60 * job['minutes']:.0f})", f"{losses:,.0f}", f"{first['piece']['rate']:g}",
        ])  # fmt: skip
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _network(job: Mapping[str, Any]) -> str:
    inputs = job["components"] or (64 if job["data"] == "digits" else 784)
    widths = "-".join(str(width) for width in (inputs, *job["hidden"], 10))
    if job["components"]:
        widths += ", inputs whitened"
    return widths if job["density"] == 1 else f"{widths}, density {job['density']:g}"


def _held(figure: float | None, right: float, low: float) -> str:
    """Say whether a figure is beaten: by the interval, by the mean alone, or not."""
    if figure is None:
        return ""
    share = 100 * figure
    word = "yes" if low >= share else "mean only" if right >= share else "**missed**"
    return f"{share:g}: {word}"


def records(found: Iterable[Record]) -> list[Record]:
    """Return one record per row: area, job, ours, peer, peer_name, ratio, unit, floor, stretch."""
    there, out = groups(found), []
    for (data, name), group in there.items():
        job, other = group[0]["piece"]["job"], exact(group, there)
        right, low, high = mean(scores(group))
        peer = float(np.mean(scores(other))) if other else None
        out.append({
            "area": "rules", "job": f"accuracy, {data}, {name}", "ours": right, "interval": [low, high], "peer": peer,
            "peer_name": "back-propagation, the same networks" if other else None,
            "ratio": right / peer if peer else None, "unit": "share right", "floor": job["target"],
            "stretch": job["stretch"], "seconds": float(np.mean([record["seconds"] for record in group])),
            "parameters": group[0]["parameters"],
        })  # fmt: skip
    return out


def picture(found: Iterable[Record], docs: Path) -> None:
    """Draw the errors on MNIST against CPU seconds, means over the replicates."""
    sys.path.append(str(docs))
    from make_figures import Line, chart, save

    lines = []
    for (data, name), group in groups(found).items():
        if data != "mnist" or name not in LINES:
            continue
        short, colour, shape = LINES[name]
        points = []
        for step in zip(*(record["curve"] for record in group), strict=True):
            wrong = mean([100 - 100 * point[2] for point in step])
            points.append((float(np.mean([point[0] for point in step])), *wrong))
        lines.append(Line(short, [point for point in points if point[1] < 15], colour, shape, dots=False))
    drawn = chart(
        lines, x_ticks=(1, 3, 10, 30, 100), y_ticks=(1.5, 2, 3, 5, 10, 15), log_x=True, log_y=True, height=380.0,
        x_title="CPU seconds of one thread (log scale)", label="Errors on MNIST against CPU seconds, by rule",
        y_title="% of 10,000 test rows told wrong (log scale), mean of the replicates",
        show_x=lambda v: f"{v:g}", show_y=lambda v: f"{v:g}",
    )  # fmt: skip
    save("without-derivatives", drawn)

"""The page, and the list of records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from noise import digits, pictures, reading, tables
from noise.arms import ARMS, SPRED
from noise.cases import LONG

Record = dict[str, Any]


def markdown(found: Sequence[Record]) -> str:
    """Return the page of what is finished."""
    kinds = {(record["piece"], record.get("inner", False)) for record in found}
    parts = [reading.HEAD, reading.READING]
    if ("regression", False) in kinds:
        parts.append(reading.REGRESSION)
        for d in (200, 1000):
            made = tables.regression_tables(found, d)
            if made:
                parts += [f"![Risk and F1 against rows, {d:,} weights](images/synaptic-noise-rows-{d}.svg)\n", *made]
        parts += [reading.QUERIES]
        parts += [f"![Against losses, {d:,} weights](images/synaptic-noise-queries-{d}.svg)\n" for d in (200, 1000)]
        parts.append(tables.query_table(found))
    if ("laws", False) in kinds:
        parts += [
            reading.LAWS,
            "![Penalties on their laws](images/synaptic-noise-laws.svg)\n",
            *tables.law_tables(found),
        ]
    if ("digits", True) in kinds:
        parts += [reading.DIGITS, tables.strengths_table(found)]
    if {("digits", True), ("digits", False)} <= kinds:
        parts += [reading.OPEN, "![Accuracy against density](images/synaptic-noise-digits.svg)\n"]
        for points in digits.POINTS:
            words = f"spred within {100 * points:g} point{'s' if points != 0.01 else ''} of plain"
            parts += [f"### At the same accuracy: {words}\n", tables.matched_table(found, points)]
        parts += ["### Only the largest weights, without retraining\n", tables.kept_table(found)]
        parts += ["What noise adds to the same kind of weights without it:\n", tables.gain_table(found)]
        parts += [reading.OPTIMIZERS, tables.optimizer_table(found)]
        longer = tables.matched_table(found, digits.POINTS[0], LONG)
        parts += [f"### {LONG} times as long\n", reading.LONGER, longer] if longer else []
    if ("queries", False) in kinds:
        parts += [reading.SMALL, tables.queries_table(found)]
    return "\n".join([*parts, reading.HOW])


def records(found: Sequence[Record]) -> list[Record]:
    """Return what every benchmark gives: area, job, ours, peer, ratio, unit."""
    held, listed = tables.Regressions(found), []
    for d, n in sorted(held.rows):
        if n not in held.places(d):
            continue
        for ours, peer in tables.COMPARED:
            if ours in held.rows[d, n] and peer in held.rows[d, n]:
                a, b = (float(np.mean(held.values(d, n, arm, "risk"))) for arm in (ours, peer))
                apart = held.paired(d, n, ours, peer)
                job = f"synaptic noise, regression d={d} n={n}: {ours}"
                listed.append({"area": "rules", "job": job, "ours": a, "peer": b, "peer_name": peer,
                               "ratio": apart[0], "interval": apart[1:], "unit": "excess risk"})  # fmt: skip
    outer = tables.Outer(found)
    aims = digits.chosen(found) if any(one["piece"] == "digits" and one["inner"] for one in found) else {}
    for points in digits.POINTS:
        chosen = aims.get(f"points {points:g}", {})
        base = chosen.get(SPRED)
        for arm in (arm.name for arm in ARMS if arm.name != SPRED):
            one = chosen.get(arm)
            if base is None or one is None or base not in outer.rows or one not in outer.rows:
                continue
            mine, other = (outer.values(setting, "density 0.01") for setting in (one, base))
            apart, a, b = tables.ratio(mine, other), float(np.mean(mine)), float(np.mean(other))
            job = f"synaptic noise, digits, spred {100 * points:g} below plain: {arm}"
            listed.append({"area": "sparsity", "job": job, "ours": a, "peer": b, "peer_name": SPRED,
                           "ratio": apart[0], "interval": apart[1:], "unit": "density"})  # fmt: skip
    return listed


def draw(found: Sequence[Record], docs: Path) -> None:
    """Write the pictures."""
    pictures.draw(found, docs)

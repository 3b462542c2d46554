"""The page, and the list of records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bounds import pictures, reading, tables
from bounds.cases import DIMENSION, READINGS

Record = dict[str, Any]


def markdown(found: Sequence[Record]) -> str:
    """Return the page of what is finished."""
    cases = tables.Cases(found)
    if not any(case.dimension == DIMENSION for case in cases.all):
        return quick(cases)
    parts = [
        reading.HEAD,
        reading.READING,
        reading.MAIN,
        tables.main_table(cases),
        reading.NOTES,
        tables.diverged_text(cases),
        reading.TYPICAL,
        tables.median_table(cases),
        reading.DIMENSIONS,
        tables.dimension_table(cases),
        reading.REWARDS,
        reading.RADIUS,
        tables.radius_table(),
        reading.STEPS,
        reading.LAW,
        tables.early_table(cases),
        reading.HOW,
    ]
    return "\n".join(parts)


def quick(cases: tables.Cases) -> str:
    """Return a table of whatever there is."""
    lines = ["| inputs | noise | reading | d | risk over the bound | limit |", "|---|---|---|---|---|---|"]
    for case in cases.all:
        place = (case.design, case.noise, case.reading, case.dimension)
        value, aim = tables.show(cases.ratio(*place)), tables.limit(*place)
        lines.append(f"| {' | '.join(map(str, place))} | {value} | {aim:.2f} |")
    return "\n".join(lines)


def records(found: Sequence[Record]) -> list[Record]:
    """Return what every benchmark gives: area, job, ours, peer, ratio, unit."""
    cases, listed = tables.Cases(found), []
    for place in tables.PLACES:
        for how in READINGS:
            value = cases.ratio(*place, how)
            if value is None:
                continue
            own = tables.bound(*place, DIMENSION)
            job = f"one query, {place[0]} inputs, {place[1]} noise, {tables.READ[how]}"
            listed.append({"area": "convergence", "job": job, "ours": value[0] * own, "peer": own,
                           "peer_name": "Fisher bound", "ratio": value[0], "interval": value[1:],
                           "unit": "k · risk"})  # fmt: skip
    return listed


def draw(found: Sequence[Record], docs: Path) -> None:
    """Write the pictures."""
    pictures.draw(tables.Cases(found), docs)

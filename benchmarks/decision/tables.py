"""From finished records to rates with their Monte Carlo errors, and to the Markdown page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from decision.cells import Cell
from decision.experiments import EACH, LEVEL
from decision.learners import FAMILY
from decision.store import load
from sparsefire.search.selection import Candidate, Walk
from sparsefire.statistics import CrossedBound

WALK_MARGIN = 0.05
Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        cell: the cell; label: what was asked.
        sets: data sets; rate: false passes of the shipped code; error: its Monte Carlo error √(p(1 − p)/N).
        nominal: level aimed at; met: whether the rate is at most that plus 3 errors at that rate, or, where no level is
            promised, nine data sets in ten were warned of (``None``: no claim).
        rivals: false-pass rates of other bounds by name.
        power: chance to pass when the true difference lies 3 standard deviations of the estimate inside the margin.
        extra: what else the tables show.
    """

    cell: Cell
    label: str
    sets: int
    rate: float
    nominal: float
    met: bool | None
    rivals: dict[str, float]
    power: dict[str, float]
    extra: dict[str, float]

    @property
    def error(self) -> float:
        """Monte Carlo standard error of the rate, at least that of one false pass."""
        rate = max(self.rate, 1 / self.sets)
        return float(np.sqrt(rate * (1 - rate) / self.sets))


def within(rate: float, nominal: float, sets: int) -> bool:
    """Return whether a rate is at most its nominal value plus three Monte Carlo errors.

    >>> within(0.06, 0.05, 500), within(0.09, 0.05, 500)
    (True, False)
    """
    return bool(rate <= nominal + 3 * np.sqrt(nominal * (1 - nominal) / sets))


def true_differences(records: Records, score: str) -> dict[str, tuple[float, float, float]]:
    """Return, by candidate, the true difference to dense, its error, and the skewness of single trainings."""
    count = sum(record["count"] for record in records)
    unit = np.mean([record["spread"] for record in records]) if score == "r2" else 1.0
    result = {}
    for name in records[0]:
        if name in ("count", "spread"):
            continue
        first, second, third = (sum(record[name][power] for record in records) / count for power in range(3))
        variance = second - first**2
        skewness = (third - 3 * first * second + 2 * first**3) / variance**1.5
        result[name] = (first / unit, float(np.sqrt(variance / count)) / unit, skewness)
    return result


def single_rows(cell: Cell, records: Records, truth: Records) -> list[Row]:
    """Return false passes at the margin, warnings and power of one candidate, for each score that was kept."""
    known = {"small": (0.0, 0.0, 0.0)} if cell.truth == 0 else true_differences(truth, cell.score)
    plain = {"small": (0.0, 0.0, 0.0)} if cell.truth == 0 else true_differences(truth, "")
    rows = []
    for kept in [key for key in records[0] if key not in ("set", "seconds")]:
        at, error, skewness = (plain if kept == "squared error" else known)["small"]
        values = {
            key: np.array([record[kept][key] for record in records])
            for key in records[0][kept]
            if key not in ("flags", "share")
        }
        flags = [record[kept]["flags"] for record in records]
        passes = values["low"] > at
        low, high = np.quantile(values["T"], [0.1587, 0.8413])
        spread = (high - low) / 2  # the standard deviation, but one outlier among the data sets does not make it
        names = [key for key in values if key not in ("T", "low", "low_each")]
        warned = np.array([any(flag in text for flag in "LFT") for text in flags])
        rows.append(
            Row(
                cell=cell,
                label=kept,
                sets=len(records),
                rate=float(passes.mean()),
                nominal=LEVEL,
                met=within(passes.mean(), LEVEL, len(records))
                or (cell.promise == "warns" and float(warned.mean()) >= 0.9),
                rivals={key: float((values[key] > at).mean()) for key in names},
                power={key: float((values[key] > at - 3 * spread).mean()) for key in ["low", *names]},
                extra={
                    "each": float((values["low_each"] > at).mean()),
                    "truth": at,
                    "truth error": error / spread,
                    "skewness": skewness,
                    "sd": float(spread),
                    "bias": float((values["T"].mean() - at) / spread),
                    "share": float(np.mean([record[kept]["share"] for record in records])),
                    "warned": float(warned.mean()),
                    "warned of false": float(warned[passes].mean()) if passes.any() else 1.0,
                    "seconds": float(np.mean([record["seconds"] for record in records])),
                    **{flag: float(np.mean([flag in text for text in flags])) for flag in "LFSTG"},
                },
            )
        )
    return rows


def family_rows(cell: Cell, records: Records, truth: Records) -> list[Row]:
    """Return familywise false-pass rates of the shipped walk, with candidates placed at the margin."""
    known = true_differences(truth, cell.score)
    chains = {method: [f"{method} {step}" for step in range(len(chain))] for method, chain in FAMILY.items()}
    weights = {f"{method} {step}": net.weights for method, chain in FAMILY.items() for step, net in enumerate(chain)}
    everyone = set(weights)
    last = {chain[-1] for chain in chains.values()}
    seconds = float(np.mean([record["seconds"] for record in records]))
    rows = []
    for label, null in (("all at the margin", everyone), ("only the sparsest at the margin", last)):
        shift = {name: -WALK_MARGIN - known[name][0] + (0.0 if name in null else 1.0) for name in everyone}
        rates = {
            key: float(np.mean([_walk(record["members"], key, shift, chains, weights, null) for record in records]))
            for key in ("low_each", "clt1_each", "nb_each")
        }
        free = [
            any(record["members"][name]["low_each"] + shift[name] > -WALK_MARGIN for name in null) for record in records
        ]
        rows.append(
            Row(
                cell=cell,
                label=label,
                sets=len(records),
                rate=rates["low_each"],
                nominal=LEVEL,
                met=within(rates["low_each"], LEVEL, len(records)),
                rivals={"clt1": rates["clt1_each"], "nb": rates["nb_each"]},
                power={},
                extra={"no walk": float(np.mean(free)), "seconds": seconds},
            )
        )
    each = [record["members"][name]["low_each"] > known[name][0] for record in records for name in everyone]
    full = [record["members"][name]["low"] > known[name][0] for record in records for name in everyone]
    error = max(known[name][1] / np.std([record["members"][name]["T"] for record in records]) for name in everyone)
    for row in rows:
        row.extra.update({"each": float(np.mean(each)), "full": float(np.mean(full)), "truth error": float(error)})
    return rows


def _walk(
    members: dict[str, Any],
    key: str,
    shift: dict[str, float],
    chains: dict[str, list[str]],
    weights: dict[str, int],
    null: set[str],
) -> bool:
    """Walk one data set with the shipped code and return whether a candidate at the margin passed."""
    candidates = {m: [Candidate(name, m, None, weights[name]) for name in chain] for m, chain in chains.items()}
    walk = Walk(candidates, WALK_MARGIN, LEVEL)
    while walk.pending():
        for candidate in walk.pending().values():
            record, move = members[candidate.name], shift[candidate.name]
            walk.record(candidate.name, _bound(record["T"] + move, record[key] + move))
    return any(walk.outcome(name) == "passed" for name in null)


def _bound(estimate: float, lower: float) -> CrossedBound:
    blank = CrossedBound(0.0, 0.0, 0.0, EACH, 0, 0, None, 0.0, 0.0, 1.0)
    return replace(blank, estimate=estimate, lower=lower, upper=2 * estimate - lower)


def gate_row(cell: Cell, records: Records) -> Row:
    """Return how often the gate lets pass, and what would pass without it."""
    passed, small, constant = (np.array([record[key] for record in records]) for key in ("gate", "small", "constant"))
    return Row(
        cell=cell,
        label="gate",
        sets=len(records),
        rate=float(passed.mean()),
        nominal=LEVEL,
        met=within(passed.mean(), LEVEL, len(records)) if cell.promise == "holds" else None,
        rivals={"no gate": float(small.mean())},
        power={},
        extra={
            "constant": float(constant.mean()),
            "both": float((passed & small).mean()),
            "seconds": float(np.mean([record["seconds"] for record in records])),
        },
    )


def rows_of(cells: tuple[Cell, ...], results: Path) -> list[Row]:
    """Return the lines of all cells of which something is finished."""
    rows = []
    for cell in cells:
        records = load(cell, "sets", results)
        truth = load(cell, "truth", results) if cell.truth else []
        if not records or (cell.truth and not truth):
            continue
        if cell.kind == "gate":
            rows.append(gate_row(cell, records))
        else:
            rows += (single_rows if cell.kind == "single" else family_rows)(cell, records, truth)
    return rows

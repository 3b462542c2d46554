"""The page: signed verdicts, risks against rows, and risks against losses."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from conjectured import linear, networks
from conjectured.cases import LINEAR_REPLICATES, LINEAR_ROWS, NETWORK_REPLICATES, NETWORK_ROWS, Record
from conjectured.reading import FEW, HEAD, HOW, LASSO, READING
from figures import Interval, difference, mean

LINEAR = ("linear, dense truth", "linear, sparse truth")
PROBLEMS = (*LINEAR, *networks.PROBLEMS)
AT = {problem: 200 if problem in LINEAR else NETWORK_ROWS[-1] for problem in PROBLEMS}
"""Rows at which curves over losses are shown."""
GRADIENT = linear.GRADIENT
Cell = dict[int, Record]
"""Records by replicate."""


def cells(found: Sequence[Record]) -> dict[tuple[str, str, int], Cell]:
    """Return records by problem, arm and rows."""
    out: dict[tuple[str, str, int], Cell] = {}
    for record in found:
        out.setdefault((record["problem"], record["arm"], record["rows"]), {})[record["replicate"]] = record
    return out


def arms(problem: str) -> tuple[str, ...]:
    """Return what competes on a problem, the gradient first."""
    return linear.ARMS if problem in LINEAR else tuple(networks.ARMS)


def rows(problem: str) -> tuple[int, ...]:
    """Return the sizes of a problem."""
    return LINEAR_ROWS if problem in LINEAR else NETWORK_ROWS


def against(ours: Cell, theirs: Cell) -> Interval | None:
    """Return the paired geometric ratio of risks with its interval, or None with fewer than three replicates."""
    both = sorted(set(ours) & set(theirs))
    if len(both) < 3:
        return None
    logs = [np.log([cell[r]["risk"] for r in both]) for cell in (ours, theirs)]
    value, low, high = np.exp(difference(*logs))
    return float(value), float(low), float(high)


def verdict(ratio: Interval | None) -> str:
    """Return better, worse or open.

    >>> verdict((0.9, 0.8, 0.95)), verdict((1.0, 0.9, 1.1))
    ('better', 'open')
    """
    if ratio is None:
        return "–"
    return "better" if ratio[2] < 1 else "worse" if ratio[1] > 1 else "open"


def records(found: Sequence[Record]) -> list[Record]:
    """Return a list of numbers for machines."""
    held, out = cells(found), []
    for problem in PROBLEMS:
        for arm in arms(problem)[1:]:
            for n in rows(problem):
                ratio = against(held.get((problem, arm, n), {}), held.get((problem, GRADIENT, n), {}))
                if ratio is not None:
                    job = f"{problem}, {arm}, {n} rows"
                    out.append(
                        {
                            "area": "conjecture", "job": job, "ratio": ratio[0], "low": ratio[1], "high": ratio[2],
                            "unit": "risk over that of the tuned gradient", "verdict": verdict(ratio),
                        }
                    )  # fmt: skip
    return out


def markdown(found: Sequence[Record]) -> str:
    """Return the page."""
    held = cells(found)
    parts = [HEAD, "![Risk over that of the tuned gradient against rows](images/conjecture-rows.svg)\n", READING]
    parts.append("## Any number of losses: risk over that of the tuned gradient\n")
    for problem in PROBLEMS:
        lines = [_ratios(held, problem, arm) for arm in arms(problem)[1:]]
        head = f"| {problem} | " + " | ".join(f"n = {n}" for n in rows(problem)) + " |"
        parts += ["\n".join([head, "|---" * (len(rows(problem)) + 1) + "|", *lines, ""])]
    parts.append("## Risks of the gradient\n")
    for group in (LINEAR, tuple(networks.PROBLEMS)):
        head = "| problem | " + " | ".join(f"n = {n}" for n in rows(group[0])) + " |"
        lines = [_risks(held, problem) for problem in group]
        parts += ["\n".join([head, "|---" * (len(rows(group[0])) + 1) + "|", *lines, ""])]
    parts += ["## Product weights beside the lasso\n", LASSO, *_to_lasso(held), ""]
    parts += ["## A given number of losses: risk over that of the tuned gradient\n", FEW, *_at_budgets(held), ""]
    parts.append("![Risk against losses read](images/conjecture-losses.svg)\n")
    how = HOW.format(linear=len(LINEAR_REPLICATES), networks=len(NETWORK_REPLICATES))
    return "\n".join([*parts, how])


BUDGETS = (1000, 10_000, 100_000)


def _ratios(held: dict[tuple[str, str, int], Cell], problem: str, arm: str) -> str:
    shown = []
    for n in rows(problem):
        ours, theirs = (held.get((problem, one, n), {}) for one in (arm, GRADIENT))
        shown.append(_told(against(ours, theirs)))
    return f"| {arm} | " + " | ".join(shown) + " |"


def _risks(held: dict[tuple[str, str, int], Cell], problem: str) -> str:
    shown = []
    for n in rows(problem):
        cell = held.get((problem, GRADIENT, n), {})
        values = [record["risk"] for record in cell.values()]
        shown.append("–" if len(values) < 2 else "{:.3f} [{:.3f}, {:.3f}]".format(*np.exp(mean(np.log(values)))))
    return f"| {problem} | " + " | ".join(shown) + " |"


def curve(cell: Cell) -> tuple[np.ndarray, np.ndarray] | None:
    """Return losses read and the mean risk over replicates, where there is such a curve."""
    curves = [np.array(record["curve"]) for record in cell.values() if record.get("curve")]
    if not curves:
        return None
    return curves[0][:, 0], np.mean([one[:, 1] for one in curves], 0)


def _to_lasso(held: dict[tuple[str, str, int], Cell]) -> list[str]:
    lines = ["| problem | " + " | ".join(f"n = {n}" for n in LINEAR_ROWS) + " |", "|---" * (len(LINEAR_ROWS) + 1) + "|"]
    for problem in LINEAR:
        shown = []
        for n in LINEAR_ROWS:
            ours, theirs = (held.get((problem, arm, n), {}) for arm in (linear.PRODUCTS, linear.LASSO))
            shown.append(_told(against(ours, theirs)))
        lines.append(f"| {problem} | " + " | ".join(shown) + " |")
    return lines


def after(cell: Cell, budget: int) -> Cell:
    """Return the records with the risk that was had after so many losses, where any look was taken by then."""
    found = {}
    for replicate, record in cell.items():
        seen = [risk for losses, risk in record.get("curve") or () if losses <= budget]
        if seen:
            found[replicate] = {"risk": seen[-1]}
    return found


def _at_budgets(held: dict[tuple[str, str, int], Cell]) -> list[str]:
    heads = [*(f"{budget:,} losses" for budget in BUDGETS), "all"]
    lines = ["| problem | rule | " + " | ".join(heads) + " |", "|---" * (len(heads) + 2) + "|"]
    for problem in PROBLEMS:
        n = AT[problem]
        base = held.get((problem, GRADIENT, n), {})
        for arm in arms(problem)[1:]:
            cell = held.get((problem, arm, n), {})
            if curve(cell) is None:
                continue
            shown = [_told(against(after(cell, budget), base)) for budget in BUDGETS]
            lines.append(f"| {problem}, n = {n} | {arm} | " + " | ".join([*shown, _told(against(cell, base))]) + " |")
    return lines


def _told(ratio: Interval | None) -> str:
    text = "–" if ratio is None else f"{ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]"
    return f"**{text}**" if verdict(ratio) == "better" else text


def draw(found: Sequence[Record], docs: Path) -> None:
    """Write the pictures."""
    sys.path.append(str(docs))
    from conjectured.pictures import losses_picture, rows_picture
    from make_figures import save  # type: ignore[import-not-found]

    save("conjecture-rows", rows_picture(found))
    save("conjecture-losses", losses_picture(found))

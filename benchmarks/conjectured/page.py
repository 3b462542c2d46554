"""The page: signed verdicts, risks against rows, and risks against losses."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from conjectured import linear, networks
from conjectured.cases import LINEAR_REPLICATES, LINEAR_ROWS, NETWORK_REPLICATES, NETWORK_ROWS, Record
from conjectured.reading import BESIDE, FEW, HEAD, HOW, MARKS, READING
from figures import Interval, difference, mean
from scipy import stats

LINEAR = ("linear, dense truth", "linear, sparse truth")
PROBLEMS = (*LINEAR, *networks.PROBLEMS)
AT = {problem: 200 if problem in LINEAR else NETWORK_ROWS[-1] for problem in PROBLEMS}
"""Rows at which curves over losses are shown."""
GRADIENT = linear.GRADIENT
PAIRS = (
    (linear.SLOPED, GRADIENT), (linear.PRODUCTS, linear.SLOPED), (linear.PRODUCTS, linear.LASSO),
    (linear.SLOPED_FREE, linear.SLOPED), (linear.FREE, linear.PRODUCTS), (linear.FREE, linear.SLOPED_FREE),
    (linear.FREE, linear.DOWN),
)  # fmt: skip
"""Arms on product weights, each with the one beside which it stands."""
Cell = dict[int, Record]
"""Records by replicate."""
Cells = dict[tuple[str, str, int], Cell]
"""By problem, arm and rows."""
Key = tuple[str, str, str, int]
"""Problem, arm, the one beside which it stands, rows."""


def cells(found: Sequence[Record]) -> Cells:
    """Return records by problem, arm and rows."""
    out: Cells = {}
    for record in found:
        out.setdefault((record["problem"], record["arm"], record["rows"]), {})[record["replicate"]] = record
    return out


def arms(problem: str) -> tuple[str, ...]:
    """Return what competes on a problem, the gradient first."""
    return linear.ARMS if problem in LINEAR else tuple(networks.ARMS)


def rows(problem: str) -> tuple[int, ...]:
    """Return the sizes of a problem."""
    return LINEAR_ROWS if problem in LINEAR else NETWORK_ROWS


def logs(ours: Cell, theirs: Cell) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the logarithms of paired risks, or None with fewer than three replicates."""
    both = sorted(set(ours) & set(theirs))
    if len(both) < 3:
        return None
    return np.log([ours[r]["risk"] for r in both]), np.log([theirs[r]["risk"] for r in both])


def against(ours: Cell, theirs: Cell) -> Interval | None:
    """Return the paired geometric ratio of risks with its interval, or None with fewer than three replicates."""
    pair = logs(ours, theirs)
    if pair is None:
        return None
    value, low, high = np.exp(difference(*pair))
    return float(value), float(low), float(high)


def holm(levels: Mapping[Key, float], level: float = 0.05) -> set[Key]:
    """Return the comparisons that miss 1 when all are judged together, from the levels of each by itself.

    The smallest of m levels is held against ``level`` / m, the next one against ``level`` / (m − 1), …, until one is
    above: the chance of any false one is at most ``level`` (Holm 1979, www.jstor.org/stable/4615733).

    >>> sorted(holm({("a",): 0.01, ("b",): 0.04, ("c",): 0.03, ("d",): 0.001}))
    [('a',), ('d',)]
    """
    ordered = sorted(levels, key=lambda key: levels[key])
    for place, key in enumerate(ordered):
        if levels[key] > level / (len(ordered) - place):
            return set(ordered[:place])
    return set(ordered)


def family(held: Cells, beside: bool) -> dict[Key, float]:
    """Return the level of every ratio of the first tables, or of those on product weights, by the paired t test."""
    asked = [(p, *pair, n) for p in LINEAR for pair in PAIRS for n in rows(p)]
    if not beside:
        asked = [(p, arm, GRADIENT, n) for p in PROBLEMS for arm in arms(p)[1:] for n in rows(p)]
    pairs = {key: logs(*_two(held, key)) for key in asked}
    return {key: float(stats.ttest_rel(*pair).pvalue) for key, pair in pairs.items() if pair is not None}


def _two(held: Cells, key: Key) -> tuple[Cell, Cell]:
    problem, ours, theirs, n = key
    return held.get((problem, ours, n), {}), held.get((problem, theirs, n), {})


def verdict(ratio: Interval | None) -> str:
    """Return better, worse or open.

    >>> verdict((0.9, 0.8, 0.95)), verdict((1.0, 0.9, 1.1))
    ('better', 'open')
    """
    if ratio is None:
        return "–"
    return "better" if ratio[2] < 1 else "worse" if ratio[1] > 1 else "open"


def records(found: Sequence[Record]) -> list[Record]:
    """Return a list of numbers for machines; ``together``: whether a verdict stands when all are judged together."""
    held, out = cells(found), []
    levels = family(held, beside=False)
    standing = holm(levels)
    for key in levels:
        ratio = against(*_two(held, key))
        if ratio is not None:
            out.append(
                {
                    "area": "conjecture", "job": f"{key[0]}, {key[1]}, {key[3]} rows",
                    "ratio": ratio[0], "low": ratio[1], "high": ratio[2],
                    "unit": "risk over that of the tuned gradient", "verdict": verdict(ratio),
                    "together": key in standing,
                }
            )  # fmt: skip
    return out


def markdown(found: Sequence[Record]) -> str:
    """Return the page."""
    held = cells(found)
    levels, beside = family(held, beside=False), family(held, beside=True)
    standing, stands = holm(levels), holm(beside)
    parts = [HEAD, "![Risk over that of the tuned gradient against rows](images/conjecture-rows.svg)\n", READING]
    parts += ["## Any number of losses: risk over that of the tuned gradient\n", _counted(levels, standing)]
    for problem in PROBLEMS:
        lines = [(arm, [(problem, arm, GRADIENT, n) for n in rows(problem)]) for arm in arms(problem)[1:]]
        parts.append(_table(held, problem, lines, standing))
    parts += ["## Product weights: what they do, what their start does, what noise does\n", BESIDE]
    parts.append(_counted(beside, stands))
    for problem in LINEAR:
        lines = [(f"{a} / {b}", [(problem, a, b, n) for n in rows(problem)]) for a, b in PAIRS]
        parts.append(_table(held, problem, lines, stands))
    parts.append("## Risks of the gradient\n")
    for group in (LINEAR, tuple(networks.PROBLEMS)):
        head = "| problem | " + " | ".join(f"n = {n}" for n in rows(group[0])) + " |"
        shown = [_risks(held, problem) for problem in group]
        parts += ["\n".join([head, "|---" * (len(rows(group[0])) + 1) + "|", *shown, ""])]
    parts += ["## A given number of losses: risk over that of the tuned gradient\n", FEW, *_at_budgets(held), ""]
    parts.append("![Risk against losses read](images/conjecture-losses.svg)\n")
    how = HOW.format(linear=len(LINEAR_REPLICATES), networks=len(NETWORK_REPLICATES))
    return "\n".join([*parts, how])


def _counted(levels: Mapping[Key, float], standing: set[Key]) -> str:
    alone = sum(level < 0.05 for level in levels.values())
    return MARKS.format(all=len(levels), chance=0.05 * len(levels), alone=alone, together=len(standing))


def _table(held: Cells, name: str, lines: Sequence[tuple[str, list[Key]]], standing: set[Key]) -> str:
    sizes = [key[-1] for key in lines[0][1]]
    out = [f"| {name} | " + " | ".join(f"n = {n}" for n in sizes) + " |", "|---" * (len(sizes) + 1) + "|"]
    for label, keys in lines:
        ratios = [against(*_two(held, key)) for key in keys]
        if any(ratios):
            shown = (_told(ratio) + " †" * (key in standing) for key, ratio in zip(keys, ratios, strict=True))
            out.append(f"| {label} | " + " | ".join(shown) + " |")
    return "\n".join([*out, ""])


BUDGETS = (1000, 10_000, 100_000)


def _risks(held: Cells, problem: str) -> str:
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


def after(cell: Cell, budget: int) -> Cell:
    """Return the records with the risk that was had after so many losses, where any look was taken by then."""
    found = {}
    for replicate, record in cell.items():
        seen = [risk for losses, risk in record.get("curve") or () if losses <= budget]
        if seen:
            found[replicate] = {"risk": seen[-1]}
    return found


def _at_budgets(held: Cells) -> list[str]:
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

"""The page, its picture and the list of records."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from figures import difference, mean, share
from gap.arms import ARMS, BY_NAME
from gap.data import PLACES
from gap.reading import ABLATION, HEAD, HOW, READING

Record = dict[str, Any]
BASE = "static"
KINDS = {
    "dense": "dense",
    "pruned": "dense to sparse",
    "moving": "sparse, moving",
    "fixed": "sparse, fixed",
    "borrowed": "explains",
}


class Table:
    """Accuracies by arm and replicate at one place, density and length."""

    def __init__(self, found: Sequence[Record], place: str, density: float, times: float = 1.0) -> None:
        rows = [
            record
            for record in found
            if (record["place"], record["density"], record["times"]) == (place, density, times)
            and "missing" not in record
        ]
        self.rows: dict[str, dict[int, Record]] = {}
        for record in rows:
            self.rows.setdefault(record["arm"], {})[record["replicate"]] = record

    def __contains__(self, arm: str) -> bool:
        return arm in self.rows

    def values(self, arm: str, name: str = "accuracy", common: Sequence[int] | None = None) -> list[float]:
        """Return one number of each replicate, in percent where it is an accuracy."""
        numbers = sorted(self.rows[arm]) if common is None else common
        times = 100.0 if name == "accuracy" else 1.0
        return [times * self.rows[arm][number][name] for number in numbers]

    def best(self, kind: str) -> str | None:
        """Return the arm of a kind with the highest mean; those that know where pixels lie are left out."""
        arms = [a.name for a in ARMS if a.kind == kind and a.name in self and a.asks != "where pixels lie"]
        return max(arms, key=lambda arm: float(np.mean(self.values(arm))), default=None)

    def shared(self, *arms: str) -> list[int]:
        """Return the replicates that all of these arms have."""
        return sorted(set.intersection(*[set(self.rows[arm]) for arm in arms]))


def markdown(found: Sequence[Record]) -> str:
    """Return the page."""
    parts = [HEAD, READING, "![Accuracy against the operations of the training](images/open-gap.svg)\n", HOW]
    for place in PLACES:
        for density in (0.1, 0.02):
            table = Table(found, place, density)
            if BASE in table:
                parts += [f"## {PLACES[place].title}, density {density:g}", "", *_compared(table), ""]
    long = sorted({r["times"] for r in found if r["times"] not in (0.25, 1.0, 2.0)})
    for times in long:
        parts += ["## At equal operations", "", *_equal_operations(found, times), ""]
    explained = Table(found, "mnist10k", 0.1)
    if BASE in explained and any(arm.kind == "borrowed" and arm.name in explained for arm in ARMS):
        parts += ["## What dense training gives", "", ABLATION, *_explained(explained), ""]
    return "\n".join(parts)


def _compared(table: Table) -> list[str]:
    best = table.best("pruned")
    lines = []
    if best is not None:
        common = table.shared(best, BASE)
        gap = difference(table.values(best, common=common), table.values(BASE, common=common))
        lines += [f"Best from dense to sparse: {best}. The gap to the fixed random mask is {_points(gap)} points.", ""]
    lines += [
        "| arm | | knows | accuracy, % | to static | share of the gap closed | operations | memory | rate, scaling |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in sorted((a for a in ARMS if a.name in table and a.kind != "borrowed"), key=_by_mean(table)):
        common = table.shared(arm.name, BASE)
        mine, base = table.values(arm.name, common=common), table.values(BASE, common=common)
        to_base = "" if arm.name == BASE else _points(difference(mine, base))
        closed = ""
        if best is not None and arm.name != BASE and arm.kind in ("fixed", "moving"):
            both = table.shared(arm.name, BASE, best)
            found = share(*(table.values(name, common=both) for name in (arm.name, best, BASE)))
            closed = "–" if found is None else f"{found[0]:.2f} [{found[1]:.2f}, {found[2]:.2f}]"
        row, cost = table.rows[arm.name][common[0]], np.mean(table.values(arm.name, "operations"))
        lines.append(
            f"| {arm.name} | {KINDS[arm.kind]} | {arm.asks} | {np.mean(mine):.2f} | {to_base} | {closed} | "
            f"{cost:.2f} | {row['memory']:g} | {row['rate']:g}, {row['scale']} |"
        )
    return lines


def _equal_operations(found: Sequence[Record], times: float) -> list[str]:
    short, long = Table(found, "mnist10k", 0.1), Table(found, "mnist10k", 0.1, times)
    best = short.best("pruned")
    if best is None or BASE not in long:
        return []
    lines = [
        f"{PLACES['mnist10k'].title}, density 0.1. A sparse network that trains {times:g} times longer has about the",
        "operations of gmp, which begins dense.",
        "",
        f"| arm, {times:g} times the epochs | accuracy, % | to {best} | to itself, shorter | operations |",
        "|---|---|---|---|---|",
    ]
    for arm in sorted(long.rows, key=lambda name: -float(np.mean(long.values(name)))):
        common = sorted(set(long.rows[arm]) & set(short.rows[best]) & set(short.rows[arm]))
        mine = long.values(arm, common=common)
        lines.append(
            f"| {arm} | {np.mean(mine):.2f} | {_points(difference(mine, short.values(best, common=common)))} | "
            f"{_points(difference(mine, short.values(arm, common=common)))} | "
            f"{np.mean(long.values(arm, 'operations')):.2f} |"
        )
    return lines


def _explained(table: Table) -> list[str]:
    lines = ["| network | accuracy, % | to static | to the mask of gmp |", "|---|---|---|---|"]
    named = ("dense", "gmp", BASE, "snip", "fields", "neighbours")
    arms = [arm for arm in ARMS if arm.name in table and (arm.kind == "borrowed" or arm.name in named)]
    for arm in sorted(arms, key=_by_mean(table)):
        cells = [f"{np.mean(table.values(arm.name)):.2f}"]
        for other in (BASE, "mask of gmp"):
            same = arm.name == other or other not in table
            common = [] if same else table.shared(arm.name, other)
            values = () if same else (table.values(name, common=common) for name in (arm.name, other))
            cells.append("" if same else _points(difference(*values)))
        lines.append(f"| {arm.name} | " + " | ".join(cells) + " |")
    return lines


def _by_mean(table: Table) -> Any:
    return lambda arm: -float(np.mean(table.values(arm.name)))


def _points(found: tuple[float, float, float]) -> str:
    return f"{found[0]:+.2f} [{found[1]:+.2f}, {found[2]:+.2f}]"


def records(found: Sequence[Record]) -> list[Record]:
    """Return what every benchmark gives: area, job, ours, peer, ratio, unit."""
    listed = []
    for place in PLACES:
        for density in (0.1, 0.02):
            table = Table(found, place, density)
            best = table.best("pruned")
            if best is None or BASE not in table:
                continue
            for arm in (a for a in ARMS if a.name in table and a.kind == "fixed" and a.name != BASE):
                common = table.shared(arm.name, best, BASE)
                closed = share(*(table.values(name, common=common) for name in (arm.name, best, BASE)))
                ours, peer = (float(np.mean(table.values(name))) for name in (arm.name, best))
                listed.append(
                    {"area": "sparsity", "job": f"open gap, {place} at {density:g}: {arm.name}", "ours": ours,
                     "peer": peer, "peer_name": best, "ratio": ours / peer, "unit": "percent", "closed": closed}
                )  # fmt: skip
    return listed


def draw(found: Sequence[Record], docs: Path) -> None:
    """Draw accuracy against the operations of the training, both with intervals over replicates."""
    sys.path.append(str(docs))
    from make_figures import Line, chart, save  # type: ignore[import-not-found]

    colours = {"dense": "grey", "gmp": "warm", BASE: "grey", "fields": "blue", "neighbours": "blue"}
    lines = []
    for arm, colour in colours.items():
        points = []
        for times in sorted({record["times"] for record in found}):
            table = Table(found, "mnist10k", 0.1, times)
            if arm in table and len(table.rows[arm]) > 2:
                points.append((float(np.mean(table.values(arm, "operations"))), *mean(table.values(arm))))
        if points:
            shape = "square" if BY_NAME[arm].kind in ("dense", "pruned") else "circle"
            lines.append(Line(arm, points, colour, shape))
    drawn = chart(
        lines, x_ticks=(0.02, 0.05, 0.1, 0.2, 0.5, 1, 2), y_ticks=(93, 94, 95, 96, 97, 98),
        x_title="operations of the training, relative to 15 epochs of the dense network",
        y_title="MNIST, 10,000 rows: percent right", label="Accuracy against the operations of the training",
        show_x=lambda v: f"{v:g}", show_y=lambda v: f"{v:g}", height=380.0,
    )  # fmt: skip
    save("open-gap", drawn)

"""The page, its pictures and the list of records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dimension import charts, tables
from dimension.arms import BY_NAME
from dimension.found import QUERIES, STEPS
from dimension.images import BUDGETS
from dimension.reading import HEAD, HOW, IMAGES, RANK, READING, RISK, VARIANCE
from dimension.tables import FAMILIES, by_arm, of
from figures import difference

Record = dict[str, Any]
TITLES = {"digits": "Digits", "mnist10k": "MNIST, 10,000 rows to train on"}


def markdown(found: Sequence[Record]) -> str:
    """Return the page."""
    minutes = sum(record["seconds"] for record in found) / 60
    parts = [HEAD, READING, "## The variance of one estimate\n", VARIANCE, *tables.variance(found)]
    parts += ["## The effective rank\n", RANK, *_rank(found)]
    parts += ["## Risk against queries\n", RISK, *_risk(found)]
    parts += ["## Accuracy on pictures at equal queries\n", IMAGES, *_images(found)]
    parts.append(HOW.replace("MINUTES", f"{minutes:.0f}"))
    return "\n".join(parts)


def _rank(found: Sequence[Record]) -> list[str]:
    lines = tables.rank(found)
    for one in of(found, "rank", rule="simulated"):
        lines += [
            f"`sf.rules.TwoQuery` on {one['inputs']} inputs of effective rank {one['rank']}, {one['runs']} runs: risk "
            f"{one['risk']:.3f} ± {one['error']:.3f} (standard error) after {one['steps']} steps, by the law "
            f"{one['law']:.3f}; relative variance of an estimate {one['relative_variance']:.1f}, by the law "
            f"{one['inputs'] - 1}.\n"
        ]
    return lines


def _risk(found: Sequence[Record]) -> list[str]:
    lines = []
    for rule, rows, measure, title in (
        ("two-query", 32, "active", "Two queries"), ("node-perturbation", 8, "units", "Node perturbation"),
    ):  # fmt: skip
        if of(found, "risk", rule=rule):
            lines += [f"### {title}\n", *tables.families(found, rule, rows, measure), *tables.risks(found, rule, rows)]
            lines += tables.sizes(found) if rule == "two-query" else []
    masks = {
        record["arm"]: record["overlap"] for record in of(found, "risk", rule="two-query")
        if record["arm"].startswith(("noise", "random"))
    }  # fmt: skip
    if masks:
        costs = {"random": "nothing", "noise": f"{STEPS:,} gradients", "noise, queries": f"{QUERIES:,} losses"}
        head = ["mask", "share of a teacher's unit that its best student's unit reads", "finding it took"]
        cells = [[name, f"{share:.2f}", costs[BY_NAME[name].kind]] for name, share in masks.items()]
        lines += ["### Masks\n", *tables.table(head, cells)]
        lines += ["Risk relative to that of a wide dense student:\n", *tables.against_wide(found)]
    return lines


def _images(found: Sequence[Record]) -> list[str]:
    lines = []
    for place, title in TITLES.items():
        for rule, budget in BUDGETS.items():
            made = tables.images(found, place, rule, budget)
            if made:
                name = "two queries" if rule == "two-query" else "node perturbation"
                word = "losses of a batch" if rule == "two-query" else "losses of a row"
                lines += [f"### {title}, {name}, {budget:,} {word}\n", *made]
    return lines


def records(found: Sequence[Record]) -> list[Record]:
    """Return what every benchmark gives: area, job, ours, peer, ratio, unit."""
    listed = []
    for place in TITLES:
        for rule, budget in BUDGETS.items():
            arms = by_arm(found, "images", place=place, rule=rule, budget=budget)
            base = "narrow dense" if "narrow dense" in arms else "whitened, narrow dense"
            for name, record in arms.items():
                if base in arms and name != base:
                    ours, peer = (100 * float(np.mean(one["accuracy"])) for one in (record, arms[base]))
                    apart = difference([100 * v for v in record["accuracy"]], [100 * v for v in arms[base]["accuracy"]])
                    listed.append(
                        {"area": "rules", "job": f"price, {place}, {rule}: {name}", "ours": ours, "peer": peer,
                         "peer_name": base, "ratio": ours / peer, "unit": "percent", "difference": apart}
                    )  # fmt: skip
    return listed


def draw(found: Sequence[Record], docs: Path) -> None:
    """Draw the pictures of the page."""
    charts.variance(of(found, "variance", place="mnist10k"), docs)
    charts.risk(by_arm(found, "risk", rule="two-query", rows=32), docs)
    both = (by_arm(found, "risk", rule=rule, rows=32) for rule in ("two-query", "backprop"))
    charts.price(*both, FAMILIES, docs)

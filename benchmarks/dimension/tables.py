"""The tables of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from dimension import collapse
from dimension.arms import BY_NAME as STUDENTS
from dimension.arms import narrow
from dimension.collapse import reached
from dimension.structures import BY_NAME as STRUCTURES
from figures import Interval, difference, mean

Record = dict[str, Any]
TARGETS = (0.2, 0.1, 0.05)
PERTURBING = ("two-query", "node-perturbation")
FAMILIES = {
    "more units, each with its teacher's inputs": ("oracle 8 × 4", "oracle 16 × 4", "oracle 32 × 4", "oracle 64 × 4"),
    "more inputs for 16 units, the teacher's among them": (
        "oracle 16 × 4", "oracle 16 × 8", "oracle 16 × 12", "dense 16",
    ),
    "more units, dense": ("dense 8", "dense 16", "dense 32"),
}  # fmt: skip
FAMILIES["all of these"] = tuple(dict.fromkeys(name for family in FAMILIES.values() for name in family))
"""Students that can be the teacher, by what makes them larger."""
MEASURES = {
    "active weights N": "active", "inputs of a unit": "inputs", "tr H / ‖H‖": "stable",
    "(tr H)² / tr H²": "participation",
    "exp of the entropy of H": "spread",
}  # fmt: skip
"""Sizes of a student; H the Gauss–Newton matrix where it begins."""


def of(found: Sequence[Record], part: str, **wanted: Any) -> list[Record]:
    """Return records of a part with these values."""
    return [r for r in found if r["part"] == part and all(r.get(name) == value for name, value in wanted.items())]


def by_arm(found: Sequence[Record], part: str, **wanted: Any) -> dict[str, Record]:
    """Return records by arm."""
    return {record["arm"]: record for record in of(found, part, **wanted)}


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Return a table of Markdown and an empty line."""
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(x) + " |" for x in lines), ""]


def show(found: Interval, form: str = ".2f") -> str:
    """Return a mean with its interval."""
    return "{:{f}} [{:{f}}, {:{f}}]".format(*found, f=form)


def variance(found: Sequence[Record]) -> list[str]:
    """Return relative variances by size, and their exponents."""
    lines = []
    for record in sorted(of(found, "variance"), key=lambda r: (r["place"], r["width"], -r["density"])):
        cells = []
        for look in (0, 1):
            weights = np.array(record["two-query"])[:, look] / record["active"]
            nodes, law = (np.array(record[name])[:, look] for name in ("node-perturbation", "law"))
            cells += [show(mean(weights)), f"{nodes.mean():.1f}", f"{(nodes / law).mean():.2f}"]
        size = [record["place"], str(record["width"]), f"{record['density']:g}", f"{record['active']:,}"]
        lines.append([*size, str(record["units"]), *cells])
    if not lines:
        return []
    each = [f"{name}, {when}" for when in ("start", "later") for name in ("two-query / N", "nodes", "nodes / law")]
    head = ["data", "width", "density", "N", "units", *each]
    return [*exponents(found), *table(head, lines)]


def exponents(found: Sequence[Record]) -> list[str]:
    """Return exponents of relative variances with intervals over networks."""
    records = of(found, "variance")
    if len(records) < 6:
        return []
    size = np.log([record["active"] for record in records])
    units, density = (np.log([record[name] for record in records]) for name in ("units", "density"))
    places = [[float(record["place"] == place) for record in records] for place in {r["place"] for r in records}]
    lines = []
    for look, when in enumerate(("start", "after 100 steps")):
        fits: dict[str, list[float]] = {"weights": [], "units": [], "density": []}
        for network in range(len(records[0]["law"])):
            queries, nodes = (np.log([record[name][network][look] for record in records]) for name in PERTURBING)
            fits["weights"].append(float(np.polyfit(size, queries, 1)[0]))
            design = np.column_stack([units, density, *places])
            slopes = np.linalg.lstsq(design, nodes, rcond=None)[0]
            fits["units"].append(float(slopes[0]))
            fits["density"].append(float(slopes[1]))
        lines.append([when, *(show(mean(fits[name]), ".3f") for name in fits)])
    head = ["", "two queries, on active weights", "node perturbation, on units", "node perturbation, on density"]
    return table(head, lines)


def rank(found: Sequence[Record]) -> list[str]:
    """Return steps to a tenth of the first risk by effective rank and inputs."""
    lines = []
    rules = ("gradient", "two-query", "two-query, row")
    amounts = sorted({r["case"]["amount"] for r in of(found, "rank") if r["rule"] in rules}, key=lambda v: (v == 0, v))
    inputs = sorted({r["inputs"] for r in of(found, "rank") if r["rule"] in rules})
    for amount in amounts:
        cells = [f"{amount:g}" if amount else "all inputs alike"]
        for rule in rules:
            for count in inputs:
                there = [r for r in of(found, "rank", rule=rule, inputs=count) if r["case"]["amount"] == amount]
                cells.append(f"{there[0]['steps']:,}" if there else "")
        lines.append(cells)
    head = ["effective rank", *(f"{rule}, {count} inputs" for rule in rules for count in inputs)]
    return table(head, lines) if lines else []


def slope(found: Sequence[Record], rule: str, name: str) -> float:
    """Return the exponent of steps on the effective rank, or on the number of inputs at a given rank."""
    records = [r for r in of(found, "rank", rule=rule) if r["case"]["amount"] and r["rank"] < r["inputs"] / 3]
    y = np.log([r["steps"] for r in records])
    x = np.log(np.array([[r["case"]["amount"], r["inputs"]] for r in records], float))
    fit = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
    return float(fit[0 if name == "rank" else 1])


def risks(found: Sequence[Record], rule: str, rows: int) -> list[str]:
    """Return by student: queries to each risk, risk at the end, price, and the ratio to the narrow dense one."""
    ours, gradient = by_arm(found, "risk", rule=rule, rows=rows), by_arm(found, "risk", rule="backprop", rows=rows)
    end = min((record["queries"][-1] for record in ours.values()), default=0)
    lines = []
    for name, record in sorted(ours.items(), key=lambda item: _at(item[1], end).mean()):
        cells = [name, f"{record['active']}", str(record["units"]), f"{record['trace'] / record['largest']:.1f}"]
        for target in TARGETS:
            cells.append(_of_those(reached(record, target), ",.0f"))
        prices = collapse.price(record, gradient[name], TARGETS[1]) if name in gradient else np.full(1, np.nan)
        cells.append(_of_those(np.log(prices), ".0f"))
        cells.append(f"{np.exp(_at(record, end).mean()):.3f}")
        other = narrow(record["active"]).name
        if STUDENTS[name].kind == "dense" or other not in ours:
            cells.append("")
        else:
            cells.append(f"{show(_factor(_at(record, end), _at(ours[other], end)))} ({other})")
        lines.append(cells)
    if not lines:
        return []
    word = "losses of a batch" if rule == "two-query" else "losses of a row"
    head = [
        "student, units × inputs", "N", "units moved", "tr H / ‖H‖", *(f"{word} to risk {t:g}" for t in TARGETS),
        f"price at {TARGETS[1]:g}", f"risk after {end:,}", "that by the narrow dense one's",
    ]  # fmt: skip
    return table(head, lines)


def against_wide(found: Sequence[Record]) -> list[str]:
    """Return risks of two queries relative to the wide dense student's, after as many losses or after twice as many."""
    ours, wide = by_arm(found, "risk", rule="two-query", rows=32), "dense 16"
    arms = [name for name in ours if name.startswith(("oracle 16 × 4", "noise", "random 16 × 4"))]
    if wide not in ours:
        return []
    lines = []
    for name in arms:
        cells = [show(_factor(_at(ours[name], 256_000), _at(ours[wide], losses))) for losses in (256_000, 512_000)]
        lines.append([name, *cells])
    return table(["risk after 256,000 losses", f"{wide} after 256,000", f"{wide} after 512,000"], lines)


def families(found: Sequence[Record], rule: str, rows: int, measure: str) -> list[str]:
    """Return by family: the exponent of queries on size, and how far apart curves are at equal queries / sizeᵖ."""
    ours, gradient = by_arm(found, "risk", rule=rule, rows=rows), by_arm(found, "risk", rule="backprop", rows=rows)
    lines = []
    for title, names in FAMILIES.items():
        if not all(name in ours and name in gradient for name in names):
            continue
        word = "N" if measure == "active" or len({ours[name]["units"] for name in names}) == 1 else "units"
        sizes = [ours[name]["active" if word == "N" else "units"] for name in names]
        best = _best_target([ours[name] for name in names])
        if best is None:
            continue
        logs = np.array([reached(ours[name], best) for name in names])
        costs = np.log([collapse.price(ours[name], gradient[name], best) for name in names])
        fit, cost = collapse.exponent(logs, sizes), collapse.exponent(costs, sizes)
        cells = [
            title,
            f"{word}, {min(sizes)}–{max(sizes)}",
            f"{best:g} ({(~np.isnan(fit)).sum()} of {len(fit)})",
            show(mean(fit[~np.isnan(fit)])),
        ]
        cells.append(show(mean(cost[~np.isnan(cost)])) if (~np.isnan(cost)).sum() > 2 else "–")
        for power in (0.0, 1.0):
            values = collapse.apart(logs, sizes, power)
            cells.append(show(mean(values[~np.isnan(values)])))
        for power in (0.0, 1.0):
            cells.append(show(mean(collapse.spread([ours[name] for name in names], sizes, power))))
        lines.append(cells)
    head = [
        "students that can be the teacher", "size", "risk", "exponent of losses on size",
        "exponent of the price on size", "sd of log losses",
        "sd of log (losses / size)", "sd of log risk at equal losses", "at equal losses / size",
    ]  # fmt: skip
    return table(head, lines) if lines else []


def sizes(found: Sequence[Record], target: float = 0.15) -> list[str]:
    """Return for several sizes of a student how well a power of each gives the losses and the price."""
    ours, gradient = (by_arm(found, "risk", rule=rule, rows=32) for rule in ("two-query", "backprop"))
    ranks = by_arm(found, "rank", rule="spectrum")
    names = [name for name in FAMILIES["all of these"] if name in ours and name in gradient and name in ranks]
    if len(names) < 5:
        return []
    losses = np.array([reached(ours[name], target) for name in names])
    prices = np.log([collapse.price(ours[name], gradient[name], target) for name in names])
    lines = []
    for title, measure in MEASURES.items():
        size = [STUDENTS[name].fan_in if measure == "inputs" else np.mean(ranks[name][measure]) for name in names]
        cells = [title, f"{min(size):.3g}–{max(size):.3g}"]
        for logs in (losses, prices):
            fit = collapse.exponent(logs, size)
            left = [collapse.apart(logs[:, [r]], size, fit[r])[0] for r in range(len(fit)) if not np.isnan(fit[r])]
            cells += [show(mean(fit[~np.isnan(fit)])), show(mean(left))]
        lines.append(cells)
    alike = [collapse.apart(logs, np.ones(len(names)), 0.0) for logs in (losses, prices)]
    lines.append(["none", "", *(cell for one in alike for cell in ("0", show(mean(one[~np.isnan(one)]))))])
    head = [
        "size", "from–to", f"exponent of losses to risk {target:g}", "sd of log losses left", "exponent of the price",
        "sd of log price left",
    ]  # fmt: skip
    return table(head, lines)


def images(found: Sequence[Record], place: str, rule: str, budget: int) -> list[str]:
    """Return accuracies and signed differences to narrow dense networks."""
    arms = by_arm(found, "images", place=place, rule=rule, budget=budget)
    lines = []
    for name, record in sorted(arms.items(), key=lambda item: -np.mean(item[1]["accuracy"])):
        cells = [name, STRUCTURES[name].knows, f"{record['active']:,}", str(record["units"]), f"{record['rate']:.2g}"]
        cells.append(show(mean([100 * v for v in record["accuracy"]]), ".1f"))
        for other in ("narrow dense", "whitened, narrow dense", "dense, 34 units"):
            there = name != other and other in arms and (other != "dense, 34 units" or record["active"] == 2_570)
            cells.append(points(record, arms[other]) if there else "")
        lines.append(cells)
    head = [
        "network", "knows beside the losses", "N", "units moved", "rate", "accuracy, %", "to narrow dense",
        "to whitened, narrow dense", "to dense, 34 units",
    ]  # fmt: skip
    return table(head, lines) if lines else []


def points(ours: Record, theirs: Record) -> str:
    """Return the paired difference of accuracies in points; bold where its interval lies on one side of 0."""
    apart, low, high = difference([100 * v for v in ours["accuracy"]], [100 * v for v in theirs["accuracy"]])
    text = f"{apart:+.1f} [{low:+.1f}, {high:+.1f}]"
    return f"**{text}**" if low > 0 or high < 0 else text


def _of_those(logs: np.ndarray, form: str) -> str:
    """Return the geometric mean over replicates, and of how many where some are missing; a dash below half."""
    there = logs[~np.isnan(logs)]
    if 2 * len(there) < len(logs):
        return "–"
    return f"{np.exp(there.mean()):{form}}" + (f" ({len(there)} of {len(logs)})" if len(there) < len(logs) else "")


def _at(record: Record, queries: float) -> np.ndarray:
    """Return log risks [replicates] after so many losses."""
    x, y = collapse.curves(record)
    return np.array([np.interp(np.log(queries), x, row) for row in y])


def _factor(ours: np.ndarray, theirs: np.ndarray) -> Interval:
    """Return the ratio of risks with its interval, from paired differences of logs."""
    apart, low, high = np.exp(difference(ours, theirs))
    return float(apart), float(low), float(high)


def _best_target(records: Sequence[Record]) -> float | None:
    """Return the lowest of the risks that all but two replicates of each student reach."""
    for target in sorted((*TARGETS, 0.15)):
        if all(np.isnan(reached(record, target)).sum() <= 2 for record in records):
            return target
    return None

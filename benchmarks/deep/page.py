"""The Markdown page and the list of records that the benchmark leaves behind."""

from __future__ import annotations

from typing import Any

import numpy as np
from deep.arms import ARMS, BY_NAME
from deep.cases import BAR, WIDTH
from deep.reading import HEAD, READING
from figures import Interval, difference, mean

DATA = {"mnist10k": "MNIST (10,000 rows to train on)", "digits": "digits", "adult": "adult (a table)"}
ORDER = [arm.name for arm in ARMS]

Record = dict[str, Any]
Place = tuple[str, int, float, int]


def markdown(records: list[Record]) -> str:
    """Return the page."""
    accuracy, ladders = _split(records)
    minutes = sum(record["seconds"] for record in records) / 60
    parts = [HEAD, READING.replace("MINUTES", f"{minutes:.0f}")]
    if accuracy:
        parts.append(_summary(accuracy))
    for data in DATA:
        for depth in sorted({place[1] for place in accuracy if place[0] == data}):
            places = sorted(
                (place for place in accuracy if place[:2] == (data, depth) and place[3] == WIDTH),
                key=lambda place: place[2],
            )
            thin = [place for place in places if place[2] < 0.01]
            places = [place for place in places if place[2] >= 0.01]
            if places:
                parts.append(_accuracy(f"{DATA[data]}, {depth} hidden layers", places, accuracy))
            narrow = sorted((p for p in accuracy if p[:2] == (data, depth) and p[3] < WIDTH), key=lambda p: -p[3])
            for density in sorted({place[2] for place in [*thin, *narrow]}):
                same = [place for place in [*thin, *narrow] if place[2] == density]
                title = f"{DATA[data]}, {depth} hidden layers, density {density:g}, on fewer units"
                parts.append(_accuracy(title, same, accuracy))
    if ladders:
        parts.append(_ladders(ladders))
    return "\n".join(parts)


def records(found: list[Record]) -> list[Record]:
    """Return one record per comparison: area, job, ours, peer, peer_name, ratio, unit."""
    accuracy, ladders = _split(found)
    listed = []
    for place, group in accuracy.items():
        best = best_baseline(group)
        for name, record in group.items():
            if best is None or name == best or "missing" in record:
                continue
            apart, low, _ = paired(record, group[best])
            ours, peer = float(np.mean(record["accuracy"])), float(np.mean(group[best]["accuracy"]))
            job = f"accuracy, {place[0]}, depth {place[1]}, density {place[2]:g}, {place[3]} units: {name}"
            listed.append(
                {
                    "area": "propagation", "job": job, "ours": ours, "peer": peer, "peer_name": best,
                    "ratio": ours / peer, "unit": "share right", "difference": apart, "half_width": apart - low,
                }
            )  # fmt: skip
    for density, rungs in ladders.items():
        best = deepest_baseline(rungs)
        for name, record in rungs.items():
            if best is None or BY_NAME[name].baseline:
                continue
            ours, peer = record["largest"], rungs[best]["largest"]
            listed.append(
                {
                    "area": "propagation", "job": f"trainable depth, density {density:g}: {name}", "ours": ours,
                    "peer": peer, "peer_name": best, "ratio": ours / peer if peer else None, "unit": "hidden layers",
                    "lower_bound": record["top"], "floor": 3,
                }
            )  # fmt: skip
    return listed


def paired(ours: Record, theirs: Record) -> Interval:
    """Return the mean difference in accuracy of replicates of one number, and its interval."""
    return difference(ours["accuracy"], theirs["accuracy"])


def best_baseline(group: dict[str, Record]) -> str | None:
    """Return the baseline that was best on the networks that chose the rates, which are not those of the table."""
    names = [name for name, record in group.items() if BY_NAME[name].baseline and "missing" not in record]
    return max(names, key=lambda name: max(np.mean(x) for x in group[name]["tuned"].values()), default=None)


def deepest_baseline(rungs: dict[str, Record]) -> str | None:
    """Return the baseline that trains at the largest depth."""
    names = [name for name in rungs if BY_NAME[name].baseline]
    return max(names, key=lambda name: rungs[name]["largest"], default=None)


def _split(found: list[Record]) -> tuple[dict[Place, dict[str, Record]], dict[float, dict[str, Record]]]:
    accuracy: dict[Place, dict[str, Record]] = {}
    ladders: dict[float, dict[str, Record]] = {}
    for record in sorted(found, key=lambda record: ORDER.index(record["case"]["arm"])):
        case = record["case"]
        if "depths" in case:
            ladders.setdefault(case["density"], {})[case["arm"]] = record
        else:
            place = (case["data"], case["depth"], case["density"], case["units"])
            accuracy.setdefault(place, {})[case["arm"]] = record
    return accuracy, dict(sorted(ladders.items()))


def _summary(accuracy: dict[Place, dict[str, Record]]) -> str:
    """Return in how many places, on all units, each arm is better or worse than the best baseline."""
    head = ["layout, initialiser", "better", "no difference seen", "worse", "differences, points"]
    lines = []
    for arm in ARMS:
        found = [
            paired(group[arm.name], group[best])
            for place, group in accuracy.items()
            if place[3] == WIDTH and place[2] >= 0.01 and (best := best_baseline(group)) and best != arm.name
            and "accuracy" in group.get(arm.name, {})
        ]  # fmt: skip
        if found and not arm.baseline:
            better = sum(low > 0 for _, low, _ in found)
            worse = sum(high < 0 for _, _, high in found)
            points = [100 * apart for apart, _, _ in found]
            lines.append(
                [
                    arm.name,
                    str(better),
                    str(len(found) - better - worse),
                    str(worse),
                    f"{min(points):+.1f} to {max(points):+.1f}",
                ]
            )
    places = sum(place[3] == WIDTH and place[2] >= 0.01 for place in accuracy)
    text = (
        f"## Accuracy\n\nAgainst the best baseline in {places} places (data × density, all units): in how many the "
        "95 % interval of the paired difference lies above 0, holds 0, or lies below.\n"
    )
    return f"{text}\n{_table(head, lines)}"


def _accuracy(title: str, places: list[Place], accuracy: dict[Place, dict[str, Record]]) -> str:
    labels = [
        f"{place[3]} of {WIDTH} units" if any(p[3] < WIDTH for p in places) else f"density {place[2]:g}"
        for place in places
    ]
    head = ["layout, initialiser", *[x for label in labels for x in (f"{label}: %", "difference", "rate, weights")]]
    lines = []
    bests = {place: best_baseline(accuracy[place]) for place in places}
    for name in ORDER:
        if not any(name in accuracy[place] for place in places):
            continue
        cells = [name]
        for place in places:
            cells += _cells(accuracy[place].get(name), accuracy[place], bests[place])
        lines.append(cells)
    return f"### {title}\n\n{_table(head, lines)}"


def _cells(record: Record | None, group: dict[str, Record], best: str | None) -> list[str]:
    if record is None:
        return ["–", "", ""]
    if "missing" in record:
        return ["too few weights", "", ""]
    right, least, _ = mean(record["accuracy"])
    if best is None or record["case"]["arm"] == best:
        told = "best baseline"
    else:
        apart, low, high = paired(record, group[best])
        told = f"{100 * apart:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        told = f"**{told}**" if low > 0 else told
    return [
        f"{100 * right:.1f} ± {100 * (right - least):.1f}",
        told,
        f"{record['rate']:g}, {np.mean(record['weights']):,.0f}",
    ]


def _ladders(ladders: dict[float, dict[str, Record]]) -> str:
    head = ["layout, initialiser", *[x for d in ladders for x in (f"density {d:g}: depth", "ratio")]]
    lines = []
    for name in ORDER:
        if not any(name in rungs for rungs in ladders.values()):
            continue
        cells = [name]
        for rungs in ladders.values():
            record, best = rungs.get(name), deepest_baseline(rungs)
            if record is None:
                cells += ["–", ""]
                continue
            above, bar = "≥ " if record["top"] else "", rungs[best]["largest"] if best else 0
            cells.append(f"{above}{record['largest']}" if record["largest"] else f"< {record['case']['depths'][0]}")
            ratio = f"{above}{record['largest'] / bar:.1f}" if bar else ""
            cells.append("best baseline" if name == best else ratio)
        lines.append(cells)
    tried = {d: next(iter(rungs.values()))["case"]["depths"] for d, rungs in ladders.items()}
    depths = "; ".join(f"{', '.join(map(str, depths))} at density {d:g}" for d, depths in tried.items())
    text = (
        "## Trainable depth\n\nLargest number of hidden layers at which more than half of three networks find "
        f"{BAR:.0%} of the MNIST test rows right at some look (every 50 steps), at the better of two rates (0.01 and "
        "0.003; 0.003 and 0.001 at density 0.05); the search ends at the second depth in a row that fails. The ratio "
        "is to the deepest baseline of that density. Depths "
        f"tried: {depths}.\n"
    )
    return f"{text}\n{_table(head, lines)}"


def _table(head: list[str], lines: list[list[str]]) -> str:
    body = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*body, *["| " + " | ".join(line) + " |" for line in lines], ""])

"""The page, its pictures and the list of records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from depth.accuracy import EPOCHS, EQUAL_QUERIES
from depth.growth import exponent, first, saved, times
from depth.networks import OUTPUTS
from depth.pictures import draw
from depth.reading import COST, EQUAL, GROWTH, HEAD, HOW, LOSSES, READING, ROUNDING, TITLES, TRAINING
from figures import difference

__all__ = ["PARTS", "draw", "markdown", "records"]

PARTS = ("cost", "precision", "accuracy")
OURS = "unit-differences"
IN_TIME = "unit-differences, in the time of backprop"
AT_OUR_TIME = "node-perturbation, in the time of unit-differences"
STEPS = 10 * -(-60_000 // 128)  # ten epochs of MNIST
Record = dict[str, Any]
Found = dict[str, list[Record]]


def markdown(found: Found) -> str:
    """Return the page."""
    parts = [HEAD, READING]
    parts += ["![CPU time of a call over that of back-propagation, against width](images/unit-wise-cost.svg)\n"]
    parts += ["![Accuracy against depth](images/unit-wise-accuracy.svg)\n", HOW]
    for density in (1.0, 0.1):
        rows = [record for record in found["cost"] if record["density"] == density]
        if rows:
            parts += [
                f"## Cost of one call, {_kind(density)}",
                "",
                *([COST] if density == 1 else []),
                *_costs(rows),
                "",
            ]
    dense = [record for record in found["cost"] if record["density"] == 1]
    if dense:
        parts += ["## How it grows", "", GROWTH, *_growth(dense), "", TRAINING, *_minutes(found["cost"]), ""]
    cells = _cells(found["accuracy"])
    for place, title in TITLES.items():
        here = {cell: arms for cell, arms in cells.items() if cell[0] == place}
        if here:
            parts += [f"## {title}: {EPOCHS[place]} epochs each", "", *_accuracies(here), ""]
    if any(IN_TIME in arms for arms in cells.values()):
        parts += ["## In equal time", "", EQUAL, *_equal_time(cells), ""]
    if any(EQUAL_QUERIES in arms for arms in cells.values()):
        parts += ["## With equally many losses", "", LOSSES, *_equal_losses(cells), ""]
    if found["precision"]:
        parts += ["## Rounding", "", ROUNDING, *_rounding(found["precision"]), ""]
    return "\n".join(parts)


def _costs(rows: list[Record]) -> list[str]:
    names = (OURS, "backprop", "node-perturbation", "forward")
    lines = _head(["layers × units", "unit-wise, ms", "backprop", "node perturbation", "forward pass", "× backprop",
                   "a pass per unit, ms", "losses per row", "products per row", "of a pass per unit"])  # fmt: skip
    for row in sorted(rows, key=lambda row: (row["width"], row["depth"])):
        ms, units = row["milliseconds"], row["depth"] * row["width"] + OUTPUTS
        lines.append(_line([
            f"{row['depth']} × {row['width']}", *[_figures(ms[name]) for name in names], f"{row['ratio']:.1f}",
            _figures(units * ms["forward"]), f"{row['queries']:.0f}", f"{row['products']:,.0f}",
            f"1/{1 / saved(row):,.0f}",
        ]))  # fmt: skip
    return lines


def _growth(rows: list[Record]) -> list[str]:
    depths, widths = (sorted({row[name] for row in rows}) for name in ("depth", "width"))
    spent = lambda row: row["milliseconds"][OURS]  # noqa: E731
    by_width, by_depth = [], []
    for depth in depths:
        wide = [row for row in rows if row["depth"] == depth and row["width"] >= 128]
        by_width.append(f"{exponent([r['width'] for r in wide], [spent(r) for r in wide]):.1f}" if wide[1:] else "–")
    for width in widths:
        deep = [row for row in rows if row["width"] == width and row["depth"] >= 3]
        by_depth.append(f"{exponent([r['depth'] for r in deep], [spent(r) for r in deep]):.1f}" if deep[1:] else "–")
    lines = [*_head(["hidden layers", *map(str, depths)]), _line(["power of the width, 128 to 512", *by_width])]
    lines += ["", *_head(["units a layer", *map(str, widths)])]
    lines += [_line(["power of the depth, 3 to 6", *by_depth])]
    for bar in (10, 30, 100):
        starts = [first(rows, width, bar) for width in widths]
        cells = [f"{start} layers" if start else "not up to 6" for start in starts]
        lines.append(_line([f"{bar} times backprop from", *cells]))
    made, error = times(rows)
    return [
        *lines,
        "",
        f"Least squares, dense: {1e3 * made['call']:.1f} ms a call + {1e12 * made['product']:.0f} ps a product + "
        f"{1e9 * made['activity']:.1f} ns a hidden activity computed again + {1e9 * made['loss']:.0f} ns a loss; the "
        f"median error is {100 * error:.0f}%.",
    ]


def _minutes(rows: list[Record]) -> list[str]:
    widths, depths = (sorted({row[name] for row in rows}) for name in ("width", "depth"))
    lines = _head(["minutes", *[f"{depth} hidden layer{'s' * (depth > 1)}" for depth in depths]])
    for density in (1.0, 0.1):
        for width in widths:
            by = {r["depth"]: r for r in rows if (r["density"], r["width"]) == (density, width)}
            spent = [STEPS * by[d]["milliseconds"][OURS] / 6e4 if d in by else None for d in depths]
            cells = ["–" if m is None else f"**{m:.0f}**" if m >= 10 else f"{m:.1f}" for m in spent]
            lines.append(_line([f"{width} units, {_kind(density)}", *cells]))
    return lines


def _accuracies(cells: dict[tuple[Any, ...], dict[str, dict[int, Record]]]) -> list[str]:
    lines = _head(["layers × units", "backprop, %", "unit-wise, %", "unit-wise − backprop", "node perturbation, %",
                   "unit-wise − node perturbation", "losses per row and step: unit-wise, node",
                   "CPU s: backprop, unit-wise, node", "rates"])  # fmt: skip
    for (_, depth, width, density), arms in cells.items():
        if not {"backprop", OURS, "node-perturbation"} <= set(arms):
            continue
        three = [arms[name] for name in ("backprop", OURS, "node-perturbation")]
        common = sorted(set.intersection(*map(set, three)))
        if len(common) < 2:
            continue
        bp, ours, node = ([100 * arm[number]["accuracy"] for number in common] for arm in three)
        asked = [np.mean([arm[n]["queries"] / arm[n]["samples"] for n in common]) for arm in three[1:]]
        spent = [float(np.mean([arm[n]["seconds"] for n in common])) for arm in three]
        lines.append(_line([
            f"{depth} × {width}, {_kind(density)}", f"{np.mean(bp):.2f}", f"{np.mean(ours):.2f}",
            _points(difference(ours, bp)), f"{np.mean(node):.2f}", _points(difference(ours, node)),
            ", ".join(f"{value:.0f}" for value in asked), ", ".join(_figures(value) for value in spent),
            ", ".join(f"{arm[common[0]]['rate']:g}" for arm in three),
        ]))  # fmt: skip
    return lines


def _equal_time(cells: dict[tuple[Any, ...], dict[str, dict[int, Record]]]) -> list[str]:
    lines = _head(["layers × units", "unit-wise in the time of backprop, %", "CPU s: it, backprop", "− backprop",
                   "node perturbation in the time of unit-wise, %", "CPU s: it, unit-wise", "epochs",
                   "unit-wise − it"])  # fmt: skip
    for (place, depth, width, density), arms in cells.items():
        row = [f"{TITLES[place].split(',')[0]}, {depth} × {width}, {_kind(density)}"]
        for ours, theirs in ((IN_TIME, "backprop"), (AT_OUR_TIME, OURS)):
            common = sorted(set(arms.get(ours, {})) & set(arms.get(theirs, {})))
            if len(common) < 2:
                break
            a, b = ([100 * arms[name][n]["accuracy"] for n in common] for name in (ours, theirs))
            spent = [float(np.mean([arms[name][n]["seconds"] for n in common])) for name in (ours, theirs)]
            row += [f"{np.mean(a):.2f}", ", ".join(map(_figures, spent))]
            if ours == IN_TIME:
                row += [_points(difference(a, b))]
            else:
                row += [str(arms[ours][common[0]]["epochs"]), _points(difference(b, a))]
        else:
            lines.append(_line(row))
    return lines


def _equal_losses(cells: dict[tuple[Any, ...], dict[str, dict[int, Record]]]) -> list[str]:
    lines = _head(["layers × units", "losses, millions", "unit-wise, %", "node perturbation, %", "its epochs",
                   "CPU s: unit-wise, node", "unit-wise − node perturbation"])  # fmt: skip
    for (place, depth, width, density), arms in cells.items():
        common = sorted(set(arms.get(EQUAL_QUERIES, {})) & set(arms.get(OURS, {})))
        if len(common) < 2:
            continue
        both = [arms[OURS], arms[EQUAL_QUERIES]]
        ours, node = ([100 * arm[n]["accuracy"] for n in common] for arm in both)
        asked, spent = (
            [float(np.mean([arm[n][name] for n in common])) for arm in both] for name in ("queries", "seconds")
        )
        lines.append(_line([
            f"{TITLES[place].split(',')[0]}, {depth} × {width}, {_kind(density)}",
            ", ".join(f"{value / 1e6:.1f}" for value in asked), f"{np.mean(ours):.2f}", f"{np.mean(node):.2f}",
            str(both[1][common[0]]["epochs"]), ", ".join(map(_figures, spent)), _points(difference(ours, node)),
        ]))  # fmt: skip
    return lines


def _rounding(rows: list[Record]) -> list[str]:
    scales = sorted({one["scale"] for row in rows for one in row["estimates"]}, reverse=True)
    lines = _head(["hidden layers", "network", "loss", *[f"c = {scale:g}" for scale in scales], "float64, c = 1e-06"])
    for row in rows:
        errors = {(one["bits"], one["sided"], one["scale"]): one["error"] for one in row["estimates"]}
        smallest = min(errors[32, "one", scale] for scale in scales)
        cells = [_figures(errors[32, "one", scale]) for scale in scales]
        cells = [f"**{c}**" if errors[32, "one", s] == smallest else c for c, s in zip(cells, scales, strict=True)]
        lines.append(_line([
            str(row["depth"]), "trained" if row["trained"] else "fresh", _figures(row["loss"]), *cells,
            f"{errors[64, 'one', 1e-6]:.1g}",
        ]))  # fmt: skip
    return lines


def _cells(found: Sequence[Record]) -> dict[tuple[Any, ...], dict[str, dict[int, Record]]]:
    """Return trainings by place, depth, width, density, then arm, then replicate."""
    cells: dict[tuple[Any, ...], dict[str, dict[int, Record]]] = {}
    for record in found:
        if record["replicate"] is not None:
            key = tuple(record[name] for name in ("place", "depth", "width", "density"))
            cells.setdefault(key, {}).setdefault(record["arm"], {})[record["replicate"]] = record
    order = lambda key: (list(TITLES).index(key[0]), -key[3], key[2], key[1])  # noqa: E731
    return {key: cells[key] for key in sorted(cells, key=order)}


def _kind(density: float) -> str:
    return "dense" if density == 1 else f"density {density:g}"


def _points(found: tuple[float, float, float]) -> str:
    return f"{found[0]:+.2f} [{found[1]:+.2f}, {found[2]:+.2f}]"


def _figures(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _head(names: list[str]) -> list[str]:
    return [_line(names), "|" + "---|" * len(names)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def records(found: Found) -> list[Record]:
    """Return what every benchmark gives: area, job, ours, peer, ratio, unit."""
    listed = [
        {"area": "rules",
         "job": f"unit-wise differences, {row['depth']} × {row['width']}, {_kind(row['density'])}, batch 128",
         "ours": row["milliseconds"][OURS], "peer": row["milliseconds"]["backprop"], "peer_name": "backprop",
         "ratio": 1 / row["ratio"], "unit": "ms"}
        for row in found["cost"]
    ]  # fmt: skip
    for (place, depth, width, density), arms in _cells(found["accuracy"]).items():
        for name in ("backprop", "node-perturbation", AT_OUR_TIME, EQUAL_QUERIES):
            common = sorted(set(arms.get(OURS, {})) & set(arms.get(name, {})))
            if len(common) < 2:
                continue
            ours, peer = ([100 * arms[arm][n]["accuracy"] for n in common] for arm in (OURS, name))
            listed.append(
                {"area": "rules", "job": f"accuracy of unit-wise differences, {place}, {depth} × {width}, "
                 f"{_kind(density)}", "ours": float(np.mean(ours)), "peer": float(np.mean(peer)), "peer_name": name,
                 "ratio": float(np.mean(ours) / np.mean(peer)), "unit": "percent",
                 "difference": difference(ours, peer)}
            )  # fmt: skip
    return listed

"""Paired comparisons, and the tables of the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from figures import Interval, difference, mean
from noise import digits, laws
from noise import regression as r
from noise.arms import ARMS, BY_NAME, PLAIN, QUIET, SPRED
from noise.digits import Setting

Record = dict[str, Any]
SHOWN = (
    r.PRODUCT, r.PRODUCT_REFIT, r.SOFT, r.SOFT_REFIT, r.STOPPED, r.RIDGE, r.LASSO, r.LASSO_REFIT, r.LASSO_CV,
    r.LASSO_CV_REFIT, r.PRODUCT_CV,
)  # fmt: skip
UNIFORM = (PLAIN, QUIET, "product", "Poisson", "Poisson, by row", SPRED)
LEAST = 3
"""Replicates below which the page leaves a place out."""
SHORT = {
    r.PRODUCT: "products", r.PRODUCT_REFIT: "products, refitted by queries", r.SOFT: "soft threshold",
    r.SOFT_REFIT: "soft threshold, refitted by queries", r.STOPPED: "plain, stopped at its best",
    r.PRODUCT_CV: "products, λ of the cross-validation",
}  # fmt: skip
"""Arms that read losses, as the tables call them."""
F1 = "F1 of the support: of what is beyond λ/2, is left by a refit, or, for the cross-validated lasso, is not zero.\n"
COMPARED = (
    (r.PRODUCT, r.LASSO), (r.PRODUCT, r.SOFT), (r.PRODUCT, r.STOPPED), (r.PRODUCT_REFIT, r.LASSO_CV),
    (r.PRODUCT_REFIT, r.LASSO_REFIT), (r.PRODUCT_REFIT, r.SOFT_REFIT),
)  # fmt: skip


def ratio(a: Sequence[float], b: Sequence[float]) -> Interval:
    """Return the geometric mean of a / b with the interval of its paired logarithms.

    >>> [round(v, 3) for v in ratio([2.0, 2.0], [1.0, 1.0])]
    [2.0, 2.0, 2.0]
    """
    found = difference(np.log(a).tolist(), np.log(b).tolist())
    return math.exp(found[0]), math.exp(found[1]), math.exp(found[2])


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table; bars within cells are escaped."""
    row = lambda cells: "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"  # noqa: E731
    return "\n".join([row(head), "|" + "---|" * len(head), *map(row, lines), ""])


class Regressions:
    """Records of the regression by place, arm and replicate."""

    def __init__(self, found: Sequence[Record]) -> None:
        self.rows: dict[tuple[int, int], dict[str, dict[int, Record]]] = {}
        for one in found:
            if one["piece"] == "regression":
                place = self.rows.setdefault((one["d"], one["n"]), {})
                place.setdefault(one["arm"], {})[one["replicate"]] = one

    def places(self, d: int) -> list[int]:
        """Return the numbers of rows with enough replicates, ascending."""
        enough = lambda n: len(self.rows[d, n].get(r.LASSO, {})) >= LEAST  # noqa: E731
        return sorted(n for other, n in self.rows if other == d and enough(n))

    def values(self, d: int, n: int, arm: str, name: str) -> list[float]:
        """Return one number of every replicate."""
        rows = self.rows[d, n].get(arm, {})
        return [rows[number][name] for number in sorted(rows)]

    def paired(self, d: int, n: int, a: str, b: str) -> Interval:
        """Return the ratio of two arms' risks."""
        mine, other = self.rows[d, n][a], self.rows[d, n][b]
        common = sorted(set(mine) & set(other))
        return ratio([mine[k]["risk"] for k in common], [other[k]["risk"] for k in common])


def regression_tables(found: Sequence[Record], d: int) -> list[str]:
    """Return risk, F1 and paired ratios by arm and rows."""
    held = Regressions(found)
    rows = held.places(d)
    if not rows:
        return []
    counts = {n: len(held.values(d, n, r.LASSO, "risk")) for n in rows}
    many = max(counts.values())
    fewer = "".join(f", {c} with {n:,} rows" for n, c in counts.items() if c < many)
    parts = [f"### {d:,} weights, {many} replicates{fewer}\n", "Excess risk:\n"]
    for name, digits_ in (("risk", 3), ("f1", 2)):
        lines = []
        for arm in SHOWN:
            cells = [_interval(held.values(d, n, arm, name), digits_) for n in rows]
            if any(cells):
                lines.append([SHORT.get(arm, arm), *(cell or "–" for cell in cells)])
        parts += [F1] if name == "f1" else []
        parts.append(table([f"{d:,} weights; rows:", *(f"{n:,}" for n in rows)], lines))
    parts.append("Ratio of excess risks, paired (below 1: the first is better):\n")
    lines = [
        [f"{SHORT.get(a, a)} / {SHORT.get(b, b)}", *(_points(held.paired(d, n, a, b), 2) for n in rows)]
        for a, b in COMPARED
    ]
    parts.append(table(["rows:", *(f"{n:,}" for n in rows)], lines))
    return parts


def query_table(found: Sequence[Record]) -> str:
    """Return how many losses are read until the risk is 1.25 times that of the lasso, and what they cost."""
    held, lines = Regressions(found), []
    for d, n in sorted(held.rows):
        if n != r.CURVES:
            continue
        for arm in (r.PRODUCT, r.SOFT):
            rows, exact = held.rows[d, n][arm], held.rows[d, n][r.LASSO]
            reached = [_first(rows[k], 1.25 * exact[k]["risk"]) for k in sorted(rows)]
            fine = [one for one in reached if one is not None]
            far, dense = held.values(d, n, arm, "to lasso"), held.values(d, n, arm, "dense")
            queries = int(np.mean([rows[k]["queries"] for k in rows]))
            cell = _points(mean([float(v) for v in fine]), -2) if len(fine) > 2 else "–"
            cells = [f"{d:,}", SHORT[arm], cell, f"{len(fine)} of {len(reached)}", f"{queries:,}", _interval(far, 4)]
            lines.append([*cells, f"{np.mean(dense):.2f}"])
    head = ["weights", "arm", "losses to 1.25 × the lasso's risk", "reached in", "losses in all",
            "squared distance to the lasso at the end", "share of weights not exactly zero"]  # fmt: skip
    return table(head, lines)


def _first(record: Record, level: float) -> int | None:
    for at, risk in zip(record["at"], record["curve risk"], strict=True):
        if risk <= level:
            return int(at)
    return None


def law_tables(found: Sequence[Record]) -> list[str]:
    """Return the penalties of noises against their laws, and what is learned under noise."""
    rows = [one for one in found if one["piece"] == "laws" and "noise" in one]
    lines = []
    for noise in laws.noises(0):
        cells, growth = [], []
        for size in (1.0, 4.0):
            mine = [one for one in rows if one["noise"] == noise.name and one["size"] == size]
            cells.append(_points(mean([one["measured"] / one["law"] for one in mine]), 3))
            growth.append(noise.expected(size))
        lines.append([noise.name, noise.law, noise.kind, *cells, f"{growth[1] / growth[0]:.2f}"])
    head = ["noise", "penalty", "like", "measured / law at |θ| = 1", "at |θ| = 4", "law: growth from 1 to 4"]
    parts = [table(head, lines)]
    learned = [one for one in found if one["piece"] == "laws" and "learned" in one]
    lines = []
    for name in dict.fromkeys(one["learned"] for one in learned):
        mine = [one for one in learned if one["learned"] == name]
        cells = [_interval([one[key] for one in mine], 3) for key in ("to lasso", "to least squares", "apart")]
        lines.append([name, *cells, _interval([one["support"] for one in mine], 3)])
    head = ["noise, rule", "largest distance to the weighted lasso", "to least squares", "lasso to least squares",
            "places on the lasso's side of λ/4"]  # fmt: skip
    return [*parts, table(head, lines)]


class Outer:
    """Records of digits on fresh replicates, by setting and replicate."""

    def __init__(self, found: Sequence[Record]) -> None:
        self.rows: dict[Setting, dict[int, Record]] = {}
        for one in found:
            if one["piece"] == "digits" and not one["inner"]:
                self.rows.setdefault(digits.setting_of(one), {})[one["replicate"]] = one

    def values(self, one: Setting, name: str) -> list[float]:
        """Return one number of every replicate, in order."""
        return [self.rows[one][number][name] for number in sorted(self.rows[one])]


def verdict(found: Interval, more: str, less: str, none: str = "no difference seen", at: float = 0.0) -> str:
    """Return what the sign of an interval says.

    >>> verdict((1.0, 0.5, 1.5), "better", "worse"), verdict((1.0, -0.5, 2.5), "better", "worse")
    ('better', 'no difference seen')
    """
    return more if found[1] > at else less if found[2] < at else none


def matched_table(found: Sequence[Record], points: float, times: int = 1) -> str:
    """Return density and accuracy of the sparsest settings near spred's accuracy."""
    outer, chosen = Outer(found), digits.chosen(found).get(f"points {points:g}", {})
    chosen = {arm: Setting(**{**vars(one), "times": times}) for arm, one in chosen.items()}
    if chosen.get(SPRED) not in outer.rows:
        return ""
    base, lines = chosen[SPRED], []
    for arm in (arm.name for arm in ARMS):
        one = chosen.get(arm)
        if one not in outer.rows or one is None:
            continue
        dense, accuracy = outer.values(one, "density 0.01"), outer.values(one, "accuracy")
        cells = [arm, _setting(one), _interval(accuracy, 1, 100), _interval(dense, 3)]
        small = _interval(outer.values(one, "density 0.001"), 3)
        if arm == SPRED:
            lines.append([*cells, "", "", small, ""])
            continue
        apart = difference(accuracy, outer.values(base, "accuracy"))
        many = ratio(dense, outer.values(base, "density 0.01"))
        level = "level" if apart[1] > -digits.CLOSE else "not shown to be level"
        words = verdict((math.log(many[0]), math.log(many[1]), math.log(many[2])), "no: denser", "sparser")
        cells += [_points(apart, 1, 100, sign=True), _points(many, 1)]
        lines.append([*cells, small, f"{words}; accuracy {level}"])
    head = ["arm", "setting", "accuracy, %", "share of weights beyond 0.01", "accuracy to spred, points",
            "times as many weights", "share beyond 0.001", "as sparse as spred?"]  # fmt: skip
    return table(head, lines)


def kept_table(found: Sequence[Record]) -> str:
    """Return accuracy of the largest weights alone, with the setting that is best for it."""
    outer, aims = Outer(found), digits.chosen(found)
    lines = []
    for arm in (arm.name for arm in ARMS):
        cells = [arm]
        for share in digits.KEPT:
            name = f"kept {share:g}"
            one, base = aims[name].get(arm), aims[name].get(SPRED)
            if one not in outer.rows or base not in outer.rows or one is None or base is None:
                cells += ["–", ""]
                continue
            mine = outer.values(one, name)
            apart = difference(mine, outer.values(base, name))
            words = "" if arm == SPRED else verdict(apart, "better", "worse")
            shown = "" if arm == SPRED else f"{_points(apart, 1, 100, sign=True)} {words}"
            cells += [_interval(mine, 1, 100), shown]
        lines.append(cells)
    head = ["arm", *(x for s in digits.KEPT for x in (f"largest {s:.0%}: accuracy, %", "to spred, points"))]
    return table(head, lines)


def gain_table(found: Sequence[Record]) -> str:
    """Return what noise adds to the accuracy of the largest weights, over the same kind of weights without noise."""
    outer, aims, lines = Outer(found), digits.chosen(found), []
    for arm in (arm for arm in ARMS if arm.noise != "none"):
        without, cells = PLAIN if arm.weight == "plain" else QUIET, [arm.name]
        for share in digits.KEPT:
            name = f"kept {share:g}"
            one, base = aims[name].get(arm.name), aims[name].get(without)
            if one is None or base is None or one not in outer.rows or base not in outer.rows:
                cells.append("–")
                continue
            apart = difference(outer.values(one, name), outer.values(base, name))
            cells.append(f"{_points(apart, 1, 100, sign=True)} {verdict(apart, 'better', 'worse')}")
        lines.append([*cells[:1], without, *cells[1:]])
    return table(["noise", "compared with", *(f"largest {share:.0%}, points" for share in digits.KEPT)], lines)


def optimizer_table(found: Sequence[Record]) -> str:
    """Return the best inner accuracy of the largest weights, at any strength, with either optimizer."""
    inner, lines = digits.means(found, True), []
    for arm in (arm.name for arm in ARMS):
        cells = [arm]
        for share in digits.KEPT:
            for how in ("adam", "sgd"):
                values_of = [
                    values[f"kept {share:g}"] for one, values in inner.items() if (one.arm, one.how) == (arm, how)
                ]
                cells.append(f"{100 * max(values_of):.1f}" if values_of else "–")
        lines.append(cells)
    head = [f"largest {share:.0%}: {how}" for share in digits.KEPT for how in ("Adam", "SGD")]
    return table(["arm", *head], lines)


def strengths_table(found: Sequence[Record]) -> str:
    """Return, for each uniform noise and strength, inner means at the rate with the best accuracy, and the sparsest."""
    inner, lines = digits.means(found, True), []
    for arm in UNIFORM:
        for strength in BY_NAME[arm].strengths:
            mine = [inner[one] for one in inner if (one.arm, one.strength) == (arm, strength)]
            if not mine:
                continue
            best = max(mine, key=lambda values: values["accuracy"])
            least = [values["density 0.01"] for values in mine if values["accuracy"] > 0.8]
            cells = [f"{100 * best['accuracy']:.1f}", f"{best['density 0.01']:.3f}", f"{best['l1']:,.0f}"]
            cells += [f"{min(least):.3f}" if least else "–"]
            lines.append([arm, f"{strength:g}" if strength else "", *cells])
    head = ["weights", "η, e or κ", "best accuracy, %", "share beyond 0.01 there", "Σ|θ| there",
            "least share with 80% right, any rate"]  # fmt: skip
    return table(head, lines)


def queries_table(found: Sequence[Record]) -> str:
    """Return what small networks that read nothing but losses end with."""
    rows = [one for one in found if one["piece"] == "queries" and not one["inner"]]
    lines, base = [], [one for one in rows if one["arm"] == PLAIN]
    for arm, strength in dict.fromkeys((one["arm"], one["strength"]) for one in rows):
        mine = sorted((o for o in rows if (o["arm"], o["strength"]) == (arm, strength)), key=lambda o: o["replicate"])
        other = {one["replicate"]: one for one in base}
        apart = difference([o["accuracy"] for o in mine], [other[o["replicate"]]["accuracy"] for o in mine])
        cells = [arm, f"{strength:g}", f"{mine[0]['rate']:g}", _interval([o["accuracy"] for o in mine], 1, 100)]
        cells += ["" if arm == PLAIN else _points(apart, 1, 100, sign=True)]
        cells += [_interval([o["density 0.01"] for o in mine], 3)]
        lines.append([*cells, *(_interval([o[f"kept {s:g}"] for o in mine], 1, 100) for s in digits.KEPT)])
    head = ["arm", "η or κ", "rate", "accuracy, %", "to plain, points", "share beyond 0.01",
            *(f"largest {s:.0%}, %" for s in digits.KEPT)]  # fmt: skip
    return table(head, lines)


def _setting(one: Setting) -> str:
    floor = f", floor {one.floor:g}" if BY_NAME[one.arm].curved else ""
    strength = "" if one.arm == PLAIN else f"{one.strength:g}{floor}; "
    return f"{strength}{one.how} {one.rate:g}"


def _interval(values: Sequence[float], places: int, times: float = 1.0) -> str:
    return _points(mean(values), places, times) if values else ""


def _points(found: Interval, places: int, times: float = 1.0, sign: bool = False) -> str:
    if places < 0:
        shown = [f"{round(v, places):,.0f}" for v in found]
    else:
        shown = [f"{times * v:{'+' if sign else ''}.{places}f}" for v in found]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"

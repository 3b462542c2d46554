"""Figures and the page."""

from __future__ import annotations

from typing import Any

import numpy as np
from fate.predict import BASELINES
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from sparsefire.propagation.learning import Signs, chance


def fitted(entries: list[dict[str, Any]]) -> None:
    """Fit the logistic function of :mod:`sparsefire.propagation.learning` and print it."""
    signs = [Signs(**entry["signs"]) for entry in entries]
    learned = np.array([entry["learned"] for entry in entries])
    alive = np.array([found.outputs > 0 for found in signs])
    x = np.array([found.features() for found in signs])
    model = LogisticRegression(C=np.inf, max_iter=10_000).fit(x[alive], learned[alive])
    print(f"{len(entries)} networks, {learned.mean():.0%} learn; intercept {model.intercept_[0]:.3f},",
          f"weights {model.coef_[0].round(3).tolist()}")  # fmt: skip
    print("AUC in the sample", round(roc_auc_score(learned, np.where(alive, model.predict_proba(x)[:, 1], 0)), 4))


INTRODUCTION = """# How well the diagnosis foretells

`sf.propagation.diagnose(net).probability_of_learning` is a number told before the first gradient step, from one pass of
normal noise through the network. Does it hold? Networks were made at random, looked at, and then trained.

*Learns* means: within 200 steps of Adam (batches of 64, warm-up and half a cosine, gradients clipped at norm 1), at the
best of five rates from 1e-4 to 1e-2, the accuracy on fresh rows beats the largest class by five standard errors.
Disconnected networks are left out. All are ReLU networks of 3 to 100 hidden layers.

The five numbers of the logistic function were fitted to the first set alone and then frozen. The second set has other
widths, other data, layouts and initialisers that the first did not have, and every second network of it lies within a
factor 2 of the depth at which the frozen function says one half.

Two earlier fits were tested and found wanting, each on networks of its own: the first, without PneumoniaMNIST and the
deep networks with norm layers, foretold batch-norm networks to learn at 1.4 times the depth they do; the second,
without networks near the boundary, put the half 1.1 to 1.75 times too deep in eight families of eight. So 284 networks
around the boundary of that second fit, on its own data, joined the calibration, and this third fit was tested on
networks drawn afresh.

| | calibration | test |
|---|---|---|
| data | digits; Adult and PneumoniaMNIST, as many rows of each class | MNIST (5,000 rows); Fashion-MNIST (600 rows) |
| widths | 48, 64, 96 | 56, 80, 112 |
| layouts | uniform, erk, balanced | those and pyramidal |
| initialisers | He, He by density, by in-degree, signs | those and typical |
| norm layers | none (3 in 5), batch, layer; and 240 deep networks with them | none (3 in 5), batch, layer |
| near the boundary | 284 of 884 | 160 of 320 |

Baselines: density; depth · log density; log10 of the number of paths; log10 of the norm of the gradient of the loss on
256 training rows. Each is turned to its better side.

Repeat with `python benchmarks/trainability.py calibrate`, `test`, `curves`, `table`.
"""


def write(tables: dict[str, list[dict[str, Any]]]) -> tuple[str, list[dict[str, Any]]]:
    """Return the page and the figures as records."""
    text = [INTRODUCTION]
    records: list[dict[str, Any]] = []
    for name, title in (("test", "Networks it has not seen"), ("calibration", "Networks it was fitted to")):
        if tables[name]:
            text += [f"## {title}", "", *_discrimination(tables[name], name, records), ""]
        if tables[name] and name == "test":
            text += [*_strata(tables[name]), ""]
    if tables["curves"]:
        text += ["## The depth at which half of the networks learn", "", *_curves(tables["curves"], records), ""]
    return "\n".join(text), records


def _strata(entries: list[dict[str, Any]]) -> list[str]:
    """Return the areas of parts of the test set."""
    lines = ["| part | networks | learn | AUC |", "|---|---|---|---|"]
    parts = {
        "within a factor 2 of the boundary": lambda e: e["number"] % 2 == 1,
        "anywhere": lambda e: e["number"] % 2 == 0,
        **{f"norm: {n}": (lambda e, n=n: e["case"]["norm"] == n) for n in ("none", "batch", "layer")},
        **{f"data: {n}": (lambda e, n=n: e["case"]["data"] == n) for n in ("mnist", "fashion")},
        **{
            f"initialiser: {n}": (lambda e, n=n: e["case"]["initialiser"] == n)
            for n in ("he", "scaled", "in-degree", "signs", "typical")
        },
    }
    for label, chosen in parts.items():
        group = [entry for entry in entries if chosen(entry)]  # type: ignore[no-untyped-call]
        learned = np.array([entry["learned"] for entry in group])
        ours = np.array([chance(Signs(**entry["signs"])) for entry in group])
        area = f"{roc_auc_score(learned, ours):.3f}" if len(set(learned)) == 2 else "–"
        lines.append(f"| {label} | {len(group)} | {learned.mean():.0%} | {area} |")
    return lines


def _discrimination(entries: list[dict[str, Any]], name: str, records: list[dict[str, Any]]) -> list[str]:
    learned = np.array([entry["learned"] for entry in entries])
    ours = np.array([chance(Signs(**entry["signs"])) for entry in entries])
    lines = [
        f"{len(entries)} networks, {learned.mean():.0%} learn.",
        "",
        "| foretold by | AUC | 95% interval |",
        "|---|---|---|",
    ]
    columns = {"diagnose": ours}
    for baseline in BASELINES:
        values = np.array([entry["known"][baseline] for entry in entries])
        columns[baseline] = values if roc_auc_score(learned, values) >= 0.5 else -values
    rng = np.random.default_rng(0)
    draws = [d for d in rng.integers(len(learned), size=(2000, len(learned))) if len(set(learned[d])) == 2]
    for label, values in columns.items():
        area = roc_auc_score(learned, values)
        low, high = np.quantile([roc_auc_score(learned[d], values[d]) for d in draws[:500]], [0.025, 0.975])
        lines.append(f"| {label} | {area:.3f} | {low:.3f}–{high:.3f} |")
        records.append({"area": "propagation", "job": f"foretelling, {name}", "ours": area, "peer_name": label})
    slope, shift = _slope(ours, learned)
    lines += [
        "",
        f"Calibration: slope {slope:.2f}, shift {shift:+.2f}; "
        f"mean chance {ours.mean():.2f}, share {learned.mean():.2f}.",
    ]
    return lines


def _slope(p: np.ndarray, learned: np.ndarray) -> tuple[float, float]:
    """Return slope and shift of a logistic regression of what happened on the logit of the chance."""
    inside = np.clip(p, 1e-4, 1 - 1e-4)
    logit = np.log(inside / (1 - inside))

    def loss(ab: np.ndarray) -> float:
        z = ab[0] * logit + ab[1]
        return float(np.logaddexp(0, np.where(learned, -z, z)).sum())

    found = minimize(loss, np.array([1.0, 0.0])).x
    return float(found[0]), float(found[1])


def _curves(entries: list[dict[str, Any]], records: list[dict[str, Any]]) -> list[str]:
    families: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for entry in entries:
        c = entry["case"]
        families.setdefault((c["initialiser"], c["norm"], c["fan_in"], c["layout"], c["width"], c["data"]), []).append(
            entry
        )
    lines = [
        "Eight networks at each of nine depths from a third of the foretold one to three times it; curves are logistic",
        "in log depth. The families were chosen for having a foretold boundary, before any was trained.",
        "Aim: a ratio within 0.75 and 1.25. The first four were trained, and looked at, before the third fit, which",
        "did not see them; the four after them are fresh. Three of the fresh four lie within. Both families with layer",
        "norm miss, and to the same side (foretold 1.4 and 1.9 times too deep): what stops these networks in 200 steps",
        "is not among the signs that the chance is made of.",
        "",
        "| networks | data | foretold depth | measured depth | ratio |",
        "|---|---|---|---|---|",
    ]
    for family, group in families.items():
        depth = np.log([entry["case"]["depth"] for entry in group])
        learned = np.array([entry["learned"] for entry in group])
        ours = np.array([chance(Signs(**entry["signs"])) for entry in group])
        told, seen = _half(depth, ours), _half(depth, learned)
        name = f"{family[0]}, norm {family[1]}, fan-in {family[2]}, {family[3]}, width {family[4]}"
        if not depth.min() - 1 < np.log(seen) < depth.max() + 1:
            lines.append(
                f"| {name} | {family[5]} | {told:.1f} | none: {learned.mean():.0%} learn, at every depth tried | – |"
            )
            continue
        lines.append(f"| {name} | {family[5]} | {told:.1f} | {seen:.1f} | {told / seen:.2f} |")
        records.append(
            {"area": "propagation", "job": f"half depth {family}", "ours": told, "peer": seen, "ratio": told / seen}
        )
    return lines


def _half(depth: np.ndarray, y: np.ndarray) -> float:
    """Return the depth at which a logistic curve through chances or outcomes is one half."""
    y = np.asarray(y, float)

    def loss(ab: np.ndarray) -> float:
        z = np.exp(ab[0]) * (ab[1] - depth)
        return float((np.logaddexp(0, z) - y * z).sum()) + 1e-3 * ab[0] ** 2

    found = minimize(loss, np.array([1.0, depth.mean()]), method="Nelder-Mead").x
    return float(np.exp(found[1]))

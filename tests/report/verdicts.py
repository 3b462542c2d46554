"""Made-up but consistent runs for the tests of words and report: every state, kind and score, groups, hostile names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

HOSTILE = '</script><img src=x onerror="alert(1)">'
HOSTILE_NAMES = (
    HOSTILE, "a \"quoted\" & 'b'", "two\nlines\x00\x1b[31m", "\u202egnol" + "x" * 300, "{{ 7 * 7 }}", "列の名前",
)  # fmt: skip

DENSITIES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
# Chosen minus dense in margins, by density from 0.5 down.
_SHIFTS = {
    "gmp": (0.1, 0.3, 0.4, -0.2, -1.6, -5.6),
    "lrr": (-0.1, 0.1, 0.4, -0.7, -3.6, -6.4),
    "rigl": (-0.1, -0.7, -0.6, -0.9, -5.3, -9.0),
    "static": (-0.1, -0.7, -0.7, -1.6, -6.2, -12.0),
    "sign-in": (-0.2, -0.7, -0.8, -1.0, -2.0, -7.2),
    "narrow": (0.0, -0.3, -1.0, -1.4, -1.9, -5.1),
}
_CASES = {"accuracy": (0.980, 0.01), "auc": (0.912, 0.01), "r2": (0.804, 0.02)}
STATES = ("confirmed", "not-confirmable", "not-confirmed", "contradicted", "nothing-passed", "no-network-needed")
KINDS = ("sparse", "narrow", "linear")
SCORES = tuple(_CASES)


def every_case() -> list[tuple[str, str | None, str]]:
    """Every state with every kind it can have and every score."""
    cases: list[tuple[str, str | None, str]] = []
    for state, score in product(STATES, SCORES):
        if state in ("nothing-passed", "no-network-needed"):
            cases.append((state, None, score))
        else:
            cases += [(state, kind, score) for kind in KINDS]
    return cases


def verdict(
    state: str = "not-confirmable",
    kind: str | None = "sparse",
    score: str = "accuracy",
    *,
    groups: bool = False,
    hostile: bool = False,
    rounds: int = 1,
    better: bool = False,
    classes: int = 10,
) -> dict[str, Any]:
    """One verdict.json as a dictionary, without the words (headline, chips, evidence, limits)."""
    level, margin = _CASES[score]
    if state in ("nothing-passed", "no-network-needed"):
        kind = None
    binary = groups or score == "auc"
    names = ["0", "1"] if binary else [str(i) for i in range(classes)] if score == "accuracy" else []
    candidates = _candidates(state, kind, level, margin, better)
    chosen = next((row for row in candidates if row["walk"] == "chosen"), None)
    target = HOSTILE if hostile else {"accuracy": "digit", "auc": "relapse", "r2": "MedHouseVal"}[score]
    if groups and not hostile:
        target = "income"
    out: dict[str, Any] = {
        "format": 1, "sparsefire": "0.1.0", "state": state, "kind": kind, "margin": margin,
        "data": {
            "name": HOSTILE if hostile else "digits", "rows": 1797, "inputs": 64, "features": 64,
            "classes": [*HOSTILE_NAMES, *names][: len(names)] if hostile else names, "target": target,
            "task": "regression" if score == "r2" else "classification", "score": score,
            "sha256": "5f1c" + "0" * 56 + "9a07",
            "notes": [HOSTILE] if hostile else [], "split": "stratified", "rows_development": 1437, "rows_test": 360,
            "clusters": None,
            "table": [
                ["inputs", "64 numbers, 0 missing values, 3 constant columns"],
                ["target", "digit, 10 classes, 174 to 183 rows each"],
                ["task", "classification, scored by accuracy"],
                ["test set", "360 rows, stratified, untouched until the end"],
                ["groups", "no column repeats like an identifier; else give --cluster COLUMN"],
            ],
        },
        "plan": {
            "effort": "standard", "margin": margin, "retain": None, "level": 0.05, "level_each": 0.01, "folds": 5,
            "rounds": rounds, "methods": ["gmp", "lrr", "rigl", "static", "sign-in"], "chains": 5,
            "densities": list(DENSITIES), "epochs": 40, "batch": 64, "rates": 3, "workers": 2, "rng": 0,
            "rule": "backprop", "model": "mlp", "architecture": {"kind": "mlp", "hidden": [256, 256]},
            "margin_given": False, "command": f"sparsefire fit {HOSTILE if hostile else 'digits'} --rng 0",
            "planned_power": {"text": "two equal networks would be confirmed with a chance of 28%"},
        },
        "selected": None, "confirmed": state == "confirmed", "why_not": None,
        "gate": {"passed": True, "estimate": 0.8 * level, "lower": 0.78 * level, "threshold": margin,
                 "against": "constant"},
        "confirmation": None, "candidates": candidates, "better_than_both": None,
        "test_scores": {}, "errors": _errors(score, names), "groups": [], "warnings": [], "limits": [],
        "timing": {"seconds": 292.0, "runs": 390, "resumed": 0},
        "versions": {"sparsefire": "0.1.0", "torch": "2.13.0", "python": "3.11.7", "numpy": "2.4.6",
                     "scikit-learn": "1.9.1"},
    }  # fmt: skip
    if state == "no-network-needed":
        out["gate"].update(passed=False, estimate=0.4 * margin, lower=-0.3 * margin)
    if chosen is not None:
        out["selected"] = {"candidate": chosen["id"], "method": chosen["method"], "density": chosen["density"],
                           "weights": chosen["weights"], "dense_weights": 84_480}  # fmt: skip
        out["confirmation"] = _confirmation(state, score, level, margin)
    spread = 0.014
    at = out["confirmation"]["score_chosen"] if chosen else 0.0
    out["test_scores"] = {
        "dense": {score: [level + 0.009, level + 0.009 - spread, level + 0.009 + spread / 2]},
        "chosen": {score: [at, at - spread, at + spread / 2]} if chosen else None,
        "linear": {score: [level - 0.015, level - 0.015 - spread, level - 0.015 + spread]},
        "boosting": {score: [level + 0.015 * better, level - spread, level + spread]},
    }
    if better:
        out["better_than_both"] = {"score": level + 0.015, "difference": 0.006, "lower": 0.002}
    if groups:
        out["groups"] = _groups(level, margin, hostile)
    if hostile:
        out["warnings"] = [f"column {HOSTILE} is constant"]
    return out


def _candidates(state: str, kind: str | None, level: float, margin: float, better: bool) -> list[dict[str, Any]]:
    dense = _row("dense", "dense", "dense", None, 84_480, level, 0.0, margin, "reference")
    dense.update(difference=0.0, lower=0.0, upper=0.0)
    linear_shift = {"linear": -0.3}.get(str(kind), 0.3 if state == "no-network-needed" else -1.7)
    linear = _row("linear", "linear", "linear", None, 640, level, linear_shift, margin,
                  "passed" if linear_shift > -0.5 else "fell-short")  # fmt: skip
    boosting = _row("boosting", "boosting", "boosting", None, None, level, 1.4 if better else -1.0, margin, "yardstick")
    rows = []
    for method, shifts in _SHIFTS.items():
        stopped = False
        for density, shift in zip(DENSITIES, shifts, strict=True):
            if method == "narrow" and kind == "narrow":
                shift = 0.0 if density >= 0.02 else -1.5
            if state == "nothing-passed":
                shift = shift - 1.0
            trained = not stopped or (method in ("gmp", "narrow") and density > 0.005)
            passes = shift - 0.6 > -1.0
            walk = "not-tested" if stopped or state == "no-network-needed" else "passed" if passes else "stopped"
            stopped = stopped or walk == "stopped"
            weights = round(84_480 * density) - (40 if method == "narrow" else 0)
            row = _row(f"{method}@{density:g}", "narrow" if method == "narrow" else "sparse", method, density, weights,
                       level, shift, margin, walk)  # fmt: skip
            if not trained or state == "no-network-needed":
                row.update(score=None, score_low=None, score_high=None, difference=None, lower=None, upper=None)
            rows.append(row)
    everything = [dense, linear, boosting, *rows]
    if kind is not None:
        passed = [row for row in everything if row["kind"] == kind and row["walk"] == "passed"]
        min(passed, key=lambda row: row["weights"])["walk"] = "chosen"
    return everything


def _row(identifier: str, kind: str, method: str, density: float | None, weights: int | None, level: float,
         shift: float, margin: float, walk: str) -> dict[str, Any]:  # fmt: skip
    score = level + shift * margin
    size = {"boosting": 1_480_000, "dense": 340_000}.get(kind, 60 + round(6.6 * (weights or 0)))
    return {
        "id": identifier, "kind": kind, "method": method, "density": density, "weights": weights, "macs": weights,
        "bytes": size, "latency_us": 410.0 if weights is None else 1.8 + weights / 4400,
        "score": score, "score_low": score - 0.007, "score_high": min(score + 0.006, 1.0),
        "difference": shift * margin, "lower": (shift - 0.6) * margin, "upper": (shift + 0.6) * margin, "walk": walk,
        "share_initialisation": 0.2,
    }  # fmt: skip


def _confirmation(state: str, score: str, level: float, margin: float) -> dict[str, Any]:
    shift, half, needed = {
        "confirmed": (-0.3, 0.5, 300),
        "not-confirmable": (-0.6, 1.2, 687),
        "not-confirmed": (-1.1, 0.9, 300),
        "contradicted": (-2.5, 1.1, 300),
    }[state]
    exact = score == "accuracy"
    return {
        "method": "Tango score" if exact else "DeLong, corrected", "rows": 360,
        "score_chosen": level + 0.009 + shift * margin,
        "score_dense": level + 0.009, "difference": shift * margin, "lower": (shift - half) * margin,
        "upper": (shift + half) * margin, "level": 0.05, "passed": state == "confirmed",
        "only_dense": 3 if exact else None,
        "only_chosen": 1 if exact else None, "rows_needed": needed, "power": 0.83 if needed == 300 else 0.28,
        "warnings": [],
    }  # fmt: skip


def _errors(score: str, names: list[str]) -> dict[str, Any]:
    if score == "r2":
        rng = np.random.default_rng(1)
        prediction = np.round(0.5 + 4.5 * rng.beta(2, 3, 360), 3)
        residual = np.round(rng.normal(0, 0.15 + 0.12 * prediction), 3)
        return {"residuals": {"prediction": prediction.tolist(), "residual": residual.tolist()}}
    if len(names) == 2:
        return {"confusion": [[250, 18], [32, 60]]}
    counts = np.diag([36, 37, 35, 36, 36, 35, 34, 36, 35, 34] * (1 + len(names) // 10))[
        : len(names), : len(names)
    ].copy()
    for true, predicted in ((3, 5), (5, 9), (6, 1), (6, 5), (9, 5), (9, 8)):
        counts[true, predicted] = 1
    return {"confusion": counts.tolist()}


def _groups(level: float, margin: float, hostile: bool) -> list[dict[str, Any]]:
    def row(name: str, rows: int, base: float, at: float, shift: float, half: float, word: str, missed: float) -> dict:
        return {
            "name": name, "rows": rows, "base_rate": base, "dense": [at, at - 0.01, at + 0.01],
            "chosen": [at + shift * margin, at + shift * margin - 0.011, at + shift * margin + 0.01],
            "difference": [shift * margin, (shift - half) * margin, (shift + half) * margin], "verdict": word,
            "missed": [missed, missed - 0.06, missed + 0.06],
            "false_alarm": [missed / 5, missed / 5 - 0.01, missed / 5 + 0.01],
        }  # fmt: skip

    rows = [
        row(HOSTILE if hostile else "Female", 3238, 0.11, level - 0.02, -0.2, 0.55, "within the margin", 0.51),
        row("long " * 40 if hostile else "Male", 6530, 0.30, level - 0.09, -0.6, 0.7, "cannot tell", 0.39),
        row("Other", 41, 0.22, level - 0.12, -4.5, 1.9, "worse", 0.45),
    ]
    return [{"column": HOSTILE if hostile else "sex", "level": 0.983, "rows": rows}]


@dataclass(frozen=True)
class Network:
    """Stands in for what ``sparsefire.deploy.load_model`` returns."""

    layers: list[tuple[np.ndarray, np.ndarray]] | None
    feature_names: tuple[str, ...]
    classes: tuple[str, ...]


def network(widths: tuple[int, ...] = (64, 256, 256, 10), keep: float = 0.05, *, hostile: bool = False) -> Network:
    """A random network with some dead units."""
    rng = np.random.default_rng(3)
    layers = []
    for fan_in, fan_out in pairwise(widths):
        weight = rng.normal(size=(fan_out, fan_in))
        popular = 0.2 + rng.exponential(size=(1, fan_in)) * np.sqrt(rng.exponential(size=(fan_out, 1)))
        cut = np.quantile(np.abs(weight * popular), 1 - keep)
        layers.append((np.where(np.abs(weight * popular) > cut, weight, 0.0).astype(np.float32), np.zeros(fan_out)))
    names = [f"pixel_{i}" for i in range(widths[0])]
    classes = [str(i) for i in range(widths[-1])] if widths[-1] > 1 else []
    if hostile:
        names = [*HOSTILE_NAMES, *names][: widths[0]]
        classes = [*HOSTILE_NAMES, *classes][: len(classes)]
    return Network(layers, tuple(names), tuple(classes))


def write_run(folder: Path, made: dict[str, Any], *, epochs: int = 40) -> Path:
    """Write verdict.json and results.parquet as `sparsefire fit` would; no model files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "verdict.json").write_text(json.dumps(made), encoding="utf-8")
    rng = np.random.default_rng(2)
    at = np.arange(1, epochs + 1)
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE results (key VARCHAR, candidate VARCHAR, kind VARCHAR, method VARCHAR, density DOUBLE,"
            " round INTEGER, fold INTEGER, rows_train INTEGER, rows_held_out INTEGER, score DOUBLE, weights BIGINT,"
            " rate DOUBLE, epochs INTEGER, seconds DOUBLE, curve DOUBLE[])"
        )
        for row in made["candidates"]:
            if row["score"] is None:
                continue
            for turn, fold in product(range(2), range(5)):
                last = row["score"] + rng.normal(0, 0.008)
                curve = last - 0.9 * np.exp(-at / 1.8) + rng.normal(0, 0.004, epochs)
                if row["method"] == "gmp":
                    for dip in (18, 24):
                        curve[dip : dip + 3] -= 0.1 * np.array([0.5, 1.0, 0.4]) * rng.uniform(0.3, 1.4)
                learns = row["kind"] in ("dense", "sparse", "narrow")
                connection.execute(
                    "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [f"{row['id']}-{turn}-{fold}", row["id"], row["kind"], row["method"], row["density"], turn, fold,
                     1150, 287, last, row["weights"], 0.001, epochs, 0.7, curve.clip(0, 1).tolist() if learns else []],
                )  # fmt: skip
        connection.execute(
            "COPY results TO '" + str(folder / "results.parquet").replace("'", "''") + "' (FORMAT parquet)"
        )
    return folder

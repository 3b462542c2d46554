"""Oracle helpers: searches that are really run, with readers and formulas written from the literature, not the package.

Sources of the formulas: the decision note (crossed bound, correction of DeLong at the margin), Tango 1998, DeLong,
DeLong and Clarke-Pearson 1988, Obuchowski 1997, Wilson 1927.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

TINY: dict[str, Any] = {"effort": "quick", "epochs": 18, "hidden": [64], "workers": 1, "rng": 3}


# ---------------------------------------------------------------- formulas


def mean_variance(values: np.ndarray, clusters: np.ndarray | None) -> tuple[float, int]:
    """Variance of a mean from rows, or from sums over clusters, and its degrees of freedom."""
    n, centre = len(values), values - values.mean()
    if clusters is None:
        return float((centre**2).sum()) / (n * (n - 1)), n - 1
    names = sorted(set(clusters.tolist()))
    sums = [centre[clusters == name].sum() for name in names]
    return len(names) / (len(names) - 1) * sum(s * s for s in sums) / n**2, len(names) - 1


def joined(
    estimate: float, v_row: float, row_degrees: int, rounds: np.ndarray, units: int, level: float, factor: float
) -> SimpleNamespace:
    """Crossed bound from its parts, step 4 of the decision note."""
    m = len(rounds)
    v_rnd = float(((rounds - rounds.mean()) ** 2).sum()) / (m * (m - 1))
    v = factor * v_row + v_rnd
    if v == 0:
        return SimpleNamespace(estimate=estimate, lower=estimate + np.log(level) / units, degrees=None, share=0.0)
    degrees = v**2 / (v_rnd**2 / (m - 1) + (factor * v_row) ** 2 / row_degrees)
    lower = estimate - stats.t.ppf(1 - level, degrees) * np.sqrt(v)
    return SimpleNamespace(estimate=estimate, lower=float(lower), degrees=degrees, share=v_rnd / v)


def crossed(d: np.ndarray, level: float, factor: float = 1.5, clusters: np.ndarray | None = None) -> SimpleNamespace:
    """Crossed bound of a matrix [rows, rounds] of differences."""
    v_row, degrees = mean_variance(d.mean(axis=1), clusters)
    units = len(d) if clusters is None else len(set(clusters.tolist()))
    return joined(float(d.mean()), v_row, degrees, d.mean(axis=0), units, level, factor)


def influence_r2(y: np.ndarray, chosen: np.ndarray, dense: np.ndarray) -> np.ndarray:
    """Influence values of R²(chosen) − R²(dense) for one vector of predictions each, step 3 of the decision note."""
    v = ((y - y.mean()) ** 2).mean()
    e2_dense, e2_chosen = (y - dense) ** 2, (y - chosen) ** 2
    delta = e2_dense.mean() - e2_chosen.mean()
    return (e2_dense - e2_chosen) / v - delta / v * ((y - y.mean()) ** 2 / v - 1)


def placement(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Placement values by the double loop of the definition: over all pairs of a positive and a negative."""
    positive, negative = score[y == 1], score[y == 0]
    u = np.zeros(len(positive))
    v = np.zeros(len(negative))
    for i, a in enumerate(positive):
        for j, b in enumerate(negative):
            win = 1.0 if a > b else 0.5 if a == b else 0.0
            u[i] += win / len(negative)
            v[j] += win / len(positive)
    return u, v


def placement_fast(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same through one matrix of comparisons."""
    a, b = score[y == 1][:, None], score[y == 0][None, :]
    wins = (a > b) + 0.5 * (a == b)
    return wins.mean(axis=1), wins.mean(axis=0)


def auc_variance(u: np.ndarray, v: np.ndarray, y: np.ndarray, clusters: np.ndarray | None) -> tuple[float, int]:
    """Variance of a mean placement: DeLong for rows, Obuchowski for clusters; and the degrees of freedom."""
    p, q = len(u), len(v)
    if clusters is None:
        return float(u.var(ddof=1) / p + v.var(ddof=1) / q), min(p, q) - 1
    cu, cv = clusters[y == 1], clusters[y == 0]
    names = sorted(set(clusters.tolist()))
    with_p, with_n = len(set(cu.tolist())), len(set(cv.tolist()))
    su = np.array([(u[cu == name] - u.mean()).sum() for name in names])
    sv = np.array([(v[cv == name] - v.mean()).sum() for name in names])
    s10 = with_p / ((with_p - 1) * p) * (su**2).sum()
    s01 = with_n / ((with_n - 1) * q) * (sv**2).sum()
    s11 = len(names) / (len(names) - 1) * (su * sv).sum()
    return float(s10 / p + s01 / q + 2 * s11 / (p * q)), min(with_p, with_n) - 1


def crossed_auc(
    y: np.ndarray,
    chosen: np.ndarray,
    dense: np.ndarray,
    level: float,
    factor: float = 1.5,
    clusters: np.ndarray | None = None,
) -> SimpleNamespace:
    """Crossed bound of a difference of areas under the ROC curve, section 6 of the decision note."""
    us, vs, rounds = [], [], []
    for r in range(chosen.shape[1]):
        u1, v1 = placement_fast(y, chosen[:, r])
        u0, v0 = placement_fast(y, dense[:, r])
        us.append(u1 - u0)
        vs.append(v1 - v0)
        rounds.append((u1 - u0).mean())
    u, v = np.mean(us, axis=0), np.mean(vs, axis=0)
    v_row, degrees = auc_variance(u, v, y, clusters)
    return joined(float(np.mean(rounds)), v_row, degrees, np.array(rounds), degrees + 1, level, factor)


def tango_score(b: int, c: int, n: int, theta: float) -> float:
    """Tango's score statistic; the restricted likelihood is maximised by bisection on its slope, no closed form."""
    low, high = max(0.0, -theta), (1 - theta) / 2
    same = n - b - c

    def slope(q: float) -> float:
        total = 0.0
        if b:
            total += b / q if q > 0 else np.inf
        if c:
            total += c / (q + theta) if q + theta > 0 else np.inf
        if same:
            rest = 1 - 2 * q - theta
            total -= 2 * same / rest if rest > 0 else np.inf
        return total

    left, right = low, high
    for _ in range(200):
        middle = (left + right) / 2
        left, right = (middle, right) if slope(middle) > 0 else (left, middle)
    q = (left + right) / 2
    variance = n * (2 * q + theta - theta**2)
    return (c - b - n * theta) / np.sqrt(variance) if variance > 0 else np.inf * np.sign(c - b - n * theta)


def tango_limits(b: int, c: int, n: int, level: float) -> tuple[float, float]:
    """Both ends of Tango's interval, by bisection on the score."""
    z = stats.norm.ppf(1 - level)
    point = (c - b) / n
    left, right = -1 + 1e-12, point
    for _ in range(80):
        middle = (left + right) / 2
        left, right = (middle, right) if tango_score(b, c, n, middle) > z else (left, middle)
    lower = (left + right) / 2
    left, right = point, 1 - 1e-12
    for _ in range(80):
        middle = (left + right) / 2
        left, right = (left, middle) if tango_score(b, c, n, middle) < -z else (middle, right)
    return lower, (left + right) / 2


def delong_corrected(
    y: np.ndarray, chosen: np.ndarray, dense: np.ndarray, level: float, clusters: np.ndarray | None = None
) -> SimpleNamespace:
    """DeLong by the double loop, t with the rarer class, the standard error scaled at the hypothesis (section 6)."""
    u1, v1 = placement(y, chosen)
    u0, v0 = placement(y, dense)
    a1, a0 = u1.mean(), u0.mean()
    variance, degrees = auc_variance(u1 - u0, v1 - v0, y, clusters)

    def g(area: float) -> float:
        return max(area * (1 - area), 1 / (4 * len(y)))

    def error(theta: float) -> float:
        f2 = max(1.0, (g(a0 + theta) + g(a0)) / (g(a1) + g(a0)))
        return float(np.sqrt(variance * f2))

    return SimpleNamespace(
        estimate=a1 - a0, error=error, critical=stats.t.ppf(1 - level, degrees), degrees=degrees, reference=a0, area=a1
    )


def mean_test(values: np.ndarray, level: float, clusters: np.ndarray | None) -> tuple[float, float, float]:
    """Mean with both one-sided limits by Student's t."""
    variance, degrees = mean_variance(values, clusters)
    half = stats.t.ppf(1 - level, degrees) * np.sqrt(variance)
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def wilson(successes: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson's interval as the set of p that a score test keeps, by bisection."""
    z, share = stats.norm.ppf(0.5 + confidence / 2), successes / n

    def kept(p: float) -> bool:
        return abs(share - p) <= z * np.sqrt(p * (1 - p) / n)

    ends = []
    for outside in (0.0, 1.0):
        out, inside = outside, share
        if kept(out) and not 0 < share < 1:
            ends.append(out)
            continue
        for _ in range(200):
            middle = (out + inside) / 2
            out, inside = (out, middle) if kept(middle) else (middle, inside)
        ends.append(inside)
    return ends[0], ends[1]


@pytest.fixture(scope="session")
def own() -> SimpleNamespace:
    """The formulas of this file."""
    return SimpleNamespace(
        mean_variance=mean_variance,
        crossed=crossed,
        crossed_auc=crossed_auc,
        influence_r2=influence_r2,
        placement=placement,
        placement_fast=placement_fast,
        auc_variance=auc_variance,
        tango_score=tango_score,
        tango_limits=tango_limits,
        delong_corrected=delong_corrected,
        mean_test=mean_test,
        wilson=wilson,
    )


# ---------------------------------------------------------------- data with a known nature


def visits(rows: int, seed: int, *, per_unit: int = 1) -> tuple[pd.DataFrame, np.ndarray]:
    """Mixed columns with missing values, and a hidden quantity that a linear model cannot fully tell."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=rows),
            "b": rng.normal(size=rows),
            "c": rng.normal(50, 10, size=rows),
            "dose": np.exp(1.2 * rng.normal(size=rows)) * 20,
            "stage": rng.choice(["I", "II", "III", "IV"], rows),
        }
    )
    frame.loc[rng.random(rows) < 0.1, "c"] = np.nan
    frame.loc[rng.random(rows) < 0.08, "stage"] = None
    unit = np.repeat(rng.normal(size=-(-rows // per_unit)), per_unit)[:rows]
    hidden = 2 * (frame["a"].abs() - 0.7) + 0.5 * frame["b"] + 0.5 * (frame["stage"] == "II") + 0.2 * unit
    return frame, hidden.to_numpy() + 0.2 * rng.normal(size=rows)


@dataclass(frozen=True)
class Run:
    """One finished run of the store, as its files say."""

    key: str
    spec: dict[str, Any]
    result: dict[str, Any]
    arrays: dict[str, np.ndarray]
    metrics: list[dict[str, Any]]

    @property
    def id(self) -> str:
        return self.result["candidate_id"]


def read_runs(folder: Path) -> list[Run]:
    """Read the store of a run folder with nothing but json and NumPy."""
    found = []
    for place in sorted(path for path in (folder / "runs").iterdir() if (path / "done").exists()):
        with np.load(place / "arrays.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        lines = (place / "metrics.jsonl").read_text().splitlines()
        found.append(
            Run(
                place.name,
                json.loads((place / "spec.json").read_text()),
                json.loads((place / "result.json").read_text()),
                arrays,
                [json.loads(line) for line in lines],
            )
        )
    return found


@dataclass(frozen=True)
class Case:
    """A search that was run: its folder, the table and the roles it was given, the truth per row."""

    name: str
    folder: Path
    table: pd.DataFrame
    truth: np.ndarray
    clusters: np.ndarray | None
    verdict: dict[str, Any]
    runs: list[Run]

    @property
    def score(self) -> str:
        return self.verdict["data"]["score"]

    def prediction_name(self) -> str:
        return {"accuracy": "label", "auc": "probability", "r2": "value"}[self.score]

    def final(self, identifier: str) -> Run:
        return next(run for run in self.runs if run.id == identifier and run.spec["round"] < 0)

    def folds(self, identifier: str) -> list[Run]:
        return [run for run in self.runs if run.id == identifier and run.spec["round"] >= 0]

    def test_rows(self) -> np.ndarray:
        return np.sort(self.final("dense").arrays["rows"])

    def compared(self) -> np.ndarray:
        return np.unique(np.concatenate([run.arrays["rows"] for run in self.folds("dense")]))

    def matrix(self, identifier: str) -> np.ndarray:
        """Out-of-fold predictions [rows compared, rounds]; every row must be held out exactly once in a round."""
        rows, name = self.compared(), self.prediction_name()
        rounds = sorted({run.spec["round"] for run in self.folds(identifier)})
        out = np.full((len(rows), len(rounds)), np.nan)
        for run in self.folds(identifier):
            at = np.searchsorted(rows, run.arrays["rows"])
            column = rounds.index(run.spec["round"])
            assert np.isnan(out[at, column]).all(), "a row was held out twice in one round"
            out[at, column] = run.arrays[name]
        assert np.isfinite(out).all(), "a row was never held out in a round"
        return out

    def bound(self, chosen: np.ndarray, dense: np.ndarray, level: float, factor: float = 1.5) -> SimpleNamespace:
        """The crossed bound of the decision note, from predictions."""
        rows = self.compared()
        y = self.truth[rows]
        clusters = None if self.clusters is None else self.clusters[rows]
        if self.score == "auc":
            return crossed_auc(y, chosen, dense, level, factor, clusters)
        if self.score == "accuracy":
            d = (chosen == y[:, None]).astype(float) - (dense == y[:, None])
        else:
            d = np.stack([influence_r2(y, chosen[:, r], dense[:, r]) for r in range(dense.shape[1])], axis=1)
        return crossed(d, level, factor, clusters)

    def candidates(self, *kinds: str) -> list[dict[str, Any]]:
        return [entry for entry in self.verdict["candidates"] if not kinds or entry["kind"] in kinds]


def problem(name: str) -> tuple[pd.DataFrame, str, dict[str, Any]]:
    """Table, target and the settings of each named search."""
    options: dict[str, Any] = {"folds": 2, "rounds": 2, "methods": ["gmp"], "densities": [0.45]}
    if name == "accuracy":
        frame, hidden = visits(420, 1)
        frame["y"] = np.where(hidden > 0.2, "yes", "no")
        frame["sex"] = np.random.default_rng(9).choice(["f", "m"], len(frame))
        wide = {"densities": [0.5, 0.2, 0.05], "methods": ["gmp", "static"]}
        return frame, "y", options | wide | {"margin": 0.08, "group": "sex", "epochs": 20}
    if name == "strict":
        frame, hidden = visits(360, 2)
        frame["y"] = np.where(hidden > 0.9, "top", np.where(hidden > -0.4, "mid", "low"))
        return frame, "y", options | {"margin": 0.04, "densities": [0.5, 0.1], "epochs": 30}
    if name == "auc":
        frame, hidden = visits(450, 3)
        frame["y"] = np.where(hidden > 0.9, "yes", "no")
        return frame, "y", options | {"margin": 0.1, "score": "auc"}
    if name == "r2":
        frame, hidden = visits(400, 4)
        frame["y"] = hidden * 100 + 7
        return frame, "y", options | {"margin": 0.25, "densities": [0.5, 0.2], "epochs": 20}
    if name in ("cluster", "cluster-auc", "cluster-r2"):
        frame, hidden = visits(400, 5, per_unit=4)
        frame["patient"] = np.repeat(np.random.default_rng(5).permutation(100), 4)
        if name == "cluster-r2":
            frame["y"] = hidden
            return frame, "y", options | {"margin": 0.3, "cluster": "patient", "epochs": 20}
        frame["y"] = np.where(hidden > 0.2, "yes", "no")
        score = "auc" if name == "cluster-auc" else "accuracy"
        return frame, "y", options | {"margin": 0.12, "cluster": "patient", "score": score}
    if name == "time":
        frame, hidden = visits(420, 6)
        frame["day"] = np.random.default_rng(6).integers(0, 200, len(frame))
        frame["y"] = np.where(hidden > 0.2, "yes", "no")
        return frame, "y", options | {"margin": 0.12, "time": "day"}
    if name == "site":
        frame, hidden = visits(420, 7)
        frame["place"] = np.random.default_rng(7).choice(list("ABCDEF"), len(frame), p=[0.2, 0.2, 0.2, 0.2, 0.1, 0.1])
        frame["y"] = np.where(hidden > 0.2, "yes", "no")
        return frame, "y", options | {"margin": 0.12, "site": "place"}
    if name == "noise":
        frame, _ = visits(300, 8)
        frame["y"] = np.random.default_rng(8).choice(["no", "yes"], len(frame), p=[0.45, 0.55])
        return frame, "y", options | {"margin": 0.05}
    raise KeyError(name)


def run_case(name: str, folder: Path) -> Case:
    """Run one named search and read everything back from its files."""
    import sparsefire as sf

    table, target, options = problem(name)
    sf.fit(table, target=target, out=folder, **(TINY | options))
    verdict = json.loads((folder / "verdict.json").read_text())
    if verdict["data"]["task"] == "classification":
        truth = np.array([verdict["data"]["classes"].index(label) for label in table[target]])
    else:
        truth = table[target].to_numpy(dtype=float)
    clusters = table[options["cluster"]].to_numpy() if "cluster" in options else None
    return Case(name, folder, table, truth, clusters, verdict, read_runs(folder))


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Return a function that runs a named search once per session."""
    known: dict[str, Case] = {}

    def find(name: str) -> Case:
        if name not in known:
            known[name] = run_case(name, tmp_path_factory.mktemp("oracle") / name)
        return known[name]

    return find


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs the command line in this process and returns what it prints."""
    from sparsefire.cli import main

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["sparsefire", *words])
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        assert not code, printed.err
        return printed.out

    return run


@pytest.fixture(scope="session")
def runs_of() -> Callable[[Path], list[Run]]:
    """Return the reader of a store."""
    return read_runs

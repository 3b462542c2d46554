"""Sparse regression with an unknown support: rows, learners that read losses alone, and lassos beside them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from noise import kernels
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LassoCV

from sparsefire import randomness

Record = dict[str, Any]
LIVE, START = 10, 0.3
"""Weights that are not zero, and where m starts; w starts at zero."""
TIMES, AFTER, EARLY = 10.0, 0.1, 0.2
"""Steps in units of 1 / (rate λ); those of the end phase, and of the plain rule that is stopped early, as shares."""
SMALL = 1e-3
"""Square of the noise of the end phase as a share of λ."""


SHARES = (0.25, 0.5, 1.0)
"""Rates that are tried, as shares of the limit of stability for product weights."""
CURVES, MARKS, SMALLER, MOST = 200, 120, 200, 200_000
"""Rows at which curves are kept, how many looks they take, weights up to which there is a run with the λ that
cross-validation chose, and its steps at most."""
PRODUCT, PRODUCT_REFIT = "two queries, product weights", "two queries, product weights, then refitted by queries"
SOFT, SOFT_REFIT = "two queries, soft threshold", "two queries, soft threshold, then refitted by queries"
STOPPED = "two queries, plain, stopped at its best"
PRODUCT_CV = "two queries, product weights, λ of the cross-validation"
LASSO, LASSO_REFIT = "lasso at λ", "lasso at λ, refitted"
LASSO_CV, LASSO_CV_REFIT = "lasso, cross-validated", "lasso, cross-validated, refitted"
RIDGE = "ridge at its best"


@dataclass(frozen=True)
class Problem:
    """Y = Xθ* + noise of variance 1; X is Gaussian with columns of mean square 1, θ* has ±1 in ten places.

    Attributes:
        d, n: numbers of weights and rows.
        replicate: which draw.
    """

    d: int
    n: int
    replicate: int

    @cached_property
    def drawn(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return X [n, d], Y [n] and θ* [d]."""
        source = np.random.default_rng([self.d, self.n, self.replicate])
        x = source.standard_normal((self.n, self.d))
        x /= np.sqrt((x**2).mean(0))
        truth = np.zeros(self.d)
        truth[source.choice(self.d, LIVE, replace=False)] = source.choice([-1.0, 1.0], LIVE)
        return x, x @ truth + source.standard_normal(self.n), truth

    @property
    def lasso(self) -> float:
        """Return λ = σ √(2 log d / n), which supposes σ = 1 to be known."""
        return math.sqrt(2 * math.log(self.d) / self.n)

    @property
    def steepest(self) -> float:
        """Return (1 + √(d/n))², about the largest eigenvalue of XᵀX / n."""
        return (1 + math.sqrt(self.d / self.n)) ** 2

    def limit(self, lasso: float) -> float:
        """Return the rate below which two queries on products are stable: without signal, and with signs ±1."""
        return min(1 / (self.d * lasso * (1 + self.d / self.n)), 2 / (self.d * self.steepest))

    def score(self, theta: np.ndarray, threshold: float) -> dict[str, float]:
        """Return the excess risk |θ − θ*|² of isotropic inputs, F1 of the support beyond a threshold, and its size."""
        truth = self.drawn[2]
        found = np.abs(theta) > threshold
        right = int((found & (truth != 0)).sum())
        risk = float(((theta - truth) ** 2).sum())
        return {"risk": risk, "f1": 2 * right / (LIVE + int(found.sum())), "kept": int(found.sum())}


@dataclass(frozen=True)
class Squares:
    """½|Aθ − b|², which is the loss up to a constant; A is triangular where there are more rows than weights."""

    a: np.ndarray
    begins: np.ndarray
    b: np.ndarray


def squares(x: np.ndarray, y: np.ndarray, dtype: Any = np.float32) -> Squares:
    """Return the loss |Y − Xθ|² / 2n as the kernels want it."""
    n, d = x.shape
    a, b, begins = x / math.sqrt(n), y / math.sqrt(n), np.zeros(n, dtype=np.int64)
    if n > d:
        q, a = np.linalg.qr(a)
        b, begins = q.T @ b, np.arange(d)
    return Squares(np.ascontiguousarray(a, dtype=dtype), begins, b.astype(dtype))


def learned(
    loss: Squares, how: str, lasso: float, rate: float, steps: int, key: int, marks: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return θ at the end and after the numbers of steps in ``marks``; not a number from where it diverged.

    Args:
        loss: to be lowered.
        how: ``"product"`` weights, or ``"plain"`` ones behind a soft threshold.
        lasso: λ; the noise on both factors is √λ.
        rate, steps, key: of the learning; see :mod:`noise.kernels`.
        marks: ascending.
    """
    d, dtype = loss.a.shape[1], loss.a.dtype
    marks = np.empty(0, dtype=np.int64) if marks is None else marks
    seen = np.full((len(marks), d), np.nan, dtype=dtype)
    common = (float(rate), np.uint64(key), steps, marks, seen)
    if how == "product":
        m, w = np.full(d, START, dtype), np.zeros(d, dtype)
        fine = kernels.two_queries(loss.a, loss.begins, loss.b, m, w, math.sqrt(lasso), *common)
        theta = m.astype(float) * w
    else:
        theta = np.zeros(d, dtype)
        fine = kernels.thresholded(loss.a, loss.begins, loss.b, theta, float(lasso), *common)
    return (theta.astype(float) if fine else np.full(d, np.nan)), seen.astype(float)


def refitted_by_queries(problem: Problem, theta: np.ndarray, lasso: float, steps: int, key: int) -> np.ndarray:
    """Freeze |θ| ≤ λ/2 at zero and let the others go on as products with next to no noise.

    As little noise leaves as little variance, so that the rate is bounded by the curvature of what is left alone.
    """
    kept = np.flatnonzero(np.abs(theta) > lasso / 2)
    if not len(kept) or len(kept) >= problem.n:
        return theta
    x, y, _ = problem.drawn
    loss, found = squares(x[:, kept], y), np.zeros(problem.d)
    steepest = float(np.linalg.eigvalsh(loss.a.astype(float).T @ loss.a)[-1])
    size = max(1.0, float(np.abs(theta).max()))
    begin = np.abs(theta[kept])
    m, w = np.sqrt(begin).astype(np.float32), (np.sign(theta[kept]) * np.sqrt(begin)).astype(np.float32)
    rate, none = 0.5 / (len(kept) * steepest * size), np.empty((0, len(kept)), np.float32)
    kernels.two_queries(
        loss.a, loss.begins, loss.b, m, w, math.sqrt(SMALL * lasso), rate, np.uint64(key), steps,
        np.empty(0, np.int64), none,
    )  # fmt: skip
    found[kept] = m.astype(float) * w
    return found


def refitted(problem: Problem, theta: np.ndarray, lasso: float) -> np.ndarray:
    """Return least squares on the places where |θ| > λ/2."""
    x, y, _ = problem.drawn
    kept, found = np.abs(theta) > lasso / 2, np.zeros(problem.d)
    found[kept] = np.linalg.lstsq(x[:, kept], y, rcond=None)[0]
    return found


def best_ridge(problem: Problem) -> np.ndarray:
    """Return the ridge estimate with the least risk of all strengths, which nobody could choose: the truth is asked."""
    x, y, truth = problem.drawn
    u, s, vt = np.linalg.svd(x / math.sqrt(problem.n), full_matrices=False)
    along, wanted = u.T @ y / math.sqrt(problem.n), vt @ truth
    strengths = np.geomspace(1e-4, 1e2, 121)
    found = [vt.T @ (s * along / (s**2 + strength)) for strength in strengths]
    risks = [((s * along / (s**2 + strength) - wanted) ** 2).sum() for strength in strengths]
    return found[int(np.argmin(risks))]


def lasso_at(problem: Problem, lasso: float) -> np.ndarray:
    """Return the lasso by coordinate descent."""
    x, y, _ = problem.drawn
    return Lasso(alpha=lasso, fit_intercept=False, tol=1e-6, max_iter=20_000).fit(x, y).coef_


def lasso_by_cv(problem: Problem) -> tuple[np.ndarray, float]:
    """Return the lasso whose λ five-fold cross-validation chose, and that λ."""
    x, y, _ = problem.drawn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        strongest = float(np.abs(x.T @ y).max()) / problem.n
        tried = np.geomspace(strongest, 1e-3 * strongest, 60)
        found = LassoCV(alphas=tried, cv=5, fit_intercept=False, max_iter=5000).fit(x, y)
    return found.coef_, float(found.alpha_)


ARMS = (
    PRODUCT, PRODUCT_REFIT, SOFT, SOFT_REFIT, STOPPED, PRODUCT_CV, LASSO, LASSO_REFIT, LASSO_CV, LASSO_CV_REFIT, RIDGE,
)  # fmt: skip


def tune(d: int, n: int, replicate: int) -> list[Record]:
    """Return the risk of both learners at each rate, on a problem of its own; all read as many losses."""
    problem, found = Problem(d, n, replicate), []
    loss, lasso = squares(*problem.drawn[:2]), problem.lasso
    for how in ("product", "plain"):
        for share in SHARES:
            rate = share * problem.limit(lasso)
            theta, _ = learned(loss, how, lasso, rate, steps_of(problem, lasso), key_of("tune", how, d, n, replicate))
            risk = problem.score(theta, lasso / 2)["risk"]
            place = {"piece": "tune", "d": d, "n": n, "replicate": replicate}
            found.append(place | {"how": how, "share": share, "risk": risk})
    return found


def best_share(found: Sequence[Record], d: int, n: int, how: str) -> float:
    """Return the rate, as a share of the limit, with the least mean risk of those that diverged nowhere."""
    rows = [r for r in found if r["piece"] == "tune" and (r["d"], r["n"], r["how"]) == (d, n, how)]
    means = {share: float(np.mean([r["risk"] for r in rows if r["share"] == share])) for share in SHARES}
    return min((share for share in SHARES if np.isfinite(means[share])), key=lambda share: means[share])


def steps_of(problem: Problem, lasso: float) -> int:
    """Return the pairs of losses that a learner may read: ten times 1 / (rate λ) at half the limit of the rate."""
    return round(TIMES / (0.5 * problem.limit(lasso) * lasso))


def run(d: int, n: int, replicate: int, product: float, plain: float) -> list[Record]:
    """Return a record for each estimate of one problem.

    Args:
        d, n, replicate: of the problem.
        product, plain: rates as shares of the limit, for product weights and for plain ones.
    """
    problem = Problem(d, n, replicate)
    loss, lasso, truth = squares(*problem.drawn[:2]), problem.lasso, problem.drawn[2]
    steps, curves = steps_of(problem, lasso), n == CURVES
    marks = np.unique(np.geomspace(10, steps, MARKS).astype(np.int64))
    found: list[Record] = []

    def add(arm: str, theta: np.ndarray, threshold: float = lasso / 2, **more: Any) -> None:
        place = {"piece": "regression", "d": d, "n": n, "replicate": replicate, "arm": arm}
        found.append(place | problem.score(theta, threshold) | more)

    sides = {"product": (PRODUCT, PRODUCT_REFIT, product), "plain": (SOFT, SOFT_REFIT, plain)}
    exact = lasso_at(problem, lasso)
    for how, (name, after, share) in sides.items():
        rate, key = share * problem.limit(lasso), key_of(how, d, n, replicate)
        theta, seen = learned(loss, how, lasso, rate, steps, key, marks)
        more = {"queries": 2 * steps, "to lasso": float(((theta - exact) ** 2).sum())}
        more |= _curve(problem, marks, seen) if curves else {}
        add(name, theta, dense=float((theta != 0).mean()), **more)
        late = round(AFTER * steps)
        end = refitted_by_queries(problem, theta, lasso, late, key_of(how, "late", d, n, replicate))
        add(after, end, 0.0, queries=2 * (steps + late))
    rate = plain * problem.limit(lasso)
    marks = marks[marks <= EARLY * steps]
    _, seen = learned(loss, "plain", 0.0, rate, int(EARLY * steps), key_of("plain alone", d, n, replicate), marks)
    risks = ((seen - truth) ** 2).sum(1)
    best = int(np.nanargmin(risks))
    add(STOPPED, seen[best], queries=int(2 * marks[best]), **(_curve(problem, marks, seen) if curves else {}))
    add(RIDGE, best_ridge(problem))
    add(LASSO, exact)
    add(LASSO_REFIT, refitted(problem, exact, lasso), 0.0)
    by_cv, chosen = lasso_by_cv(problem)
    add(LASSO_CV, by_cv, 0.0, lasso=chosen)
    add(LASSO_CV_REFIT, refitted(problem, by_cv, chosen), 0.0, lasso=chosen)
    if d <= SMALLER:
        rate = product * problem.limit(chosen)
        steps = min(steps_of(problem, chosen), MOST)
        theta, _ = learned(loss, "product", chosen, rate, steps, key_of("cv", d, n, replicate))
        add(PRODUCT_CV, theta, chosen / 2, lasso=chosen, queries=2 * steps)
    return found


def _curve(problem: Problem, marks: np.ndarray, seen: np.ndarray) -> Record:
    scores = [problem.score(one, problem.lasso / 2) for one in seen]
    return {"at": (2 * marks).tolist()} | {f"curve {name}": [one[name] for one in scores] for name in ("risk", "f1")}


def key_of(*what: int | str) -> int:
    """Return the key of the signs of a piece of work."""
    return randomness.integer(0, "synaptic noise", *what)

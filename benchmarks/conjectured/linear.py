"""Linear regression with few rows: rules that read losses, beside the gradient stopped and decayed at its best."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numba
import numpy as np
from noise.kernels import _signs, thresholded, two_queries
from sklearn.linear_model import lasso_path

from sparsefire.randomness import integer, stream

Record = dict[str, Any]
GRADIENT, LASSO = "gradient", "lasso"
TWO, ONE, PRODUCTS = "two queries", "one query", "two queries, product weights"
SLOPED, DOWN = "gradient, product weights", "gradient, product weights, no decay"
FREE, SLOPED_FREE = f"{PRODUCTS}, any start", f"{SLOPED}, any start"
ARMS = (GRADIENT, LASSO, TWO, ONE, PRODUCTS, SLOPED, FREE, SLOPED_FREE, DOWN)
DIMENSION, LIVE = 100, 5
HELD = 0.25
"""Share of the rows that choose: when to stop, how much to decay, how much noise."""
STEPS, MARKS = 60_000, 100
PENALTIES = tuple(2.0**k for k in range(-4, 3))
"""Noise on products, as its penalty over σ√(2 log d / n); the weight decays of the gradient on products."""
DECAYS = (0.0, *(float(10.0**k) for k in np.arange(-3.0, 1.01, 0.5)))
START = 0.3
"""Where one of two factors starts; the other starts at 0."""
STARTS = (START, START / 10, START / 100)
"""Among which arms with any start choose."""
PACES = (0.1, 0.5)
"""Rates on products among which the gradient and noise with any start choose, over about the largest that is stable."""
DESCENT = 20_000
"""Steps of the gradient on products."""


@dataclass(frozen=True)
class Problem:
    """Y = X′θ* + ε with standard normal X and ε; ‖θ*‖² = 5, in all coordinates or in five of them.

    Attributes:
        truth: ``"dense"`` or ``"sparse"``.
        rows: n.
        replicate: which draw.
        share: of the steps; less than 1 in a quick look.
        part: of :data:`PARTS`, which arms are run.
    """

    truth: str
    rows: int
    replicate: int
    share: float = 1.0
    part: str = "losses"

    @property
    def name(self) -> str:
        """As records call it."""
        return f"linear, {self.truth} truth"

    @cached_property
    def drawn(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return X [n, d], Y [n] and θ* [d]."""
        rng = stream(0, "conjecture", self.truth, self.rows, self.replicate)
        if self.truth == "sparse":
            theta = np.zeros(DIMENSION)
            theta[rng.choice(DIMENSION, LIVE, replace=False)] = rng.choice([-1.0, 1.0], LIVE)
        else:
            theta = rng.standard_normal(DIMENSION)
            theta *= math.sqrt(LIVE) / np.linalg.norm(theta)
        x = rng.standard_normal((self.rows, DIMENSION))
        return x, x @ theta + rng.standard_normal(self.rows), theta

    @cached_property
    def split(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the rows that train and those that choose."""
        x, y, _ = self.drawn
        cut = self.rows - max(5, round(HELD * self.rows))
        return x[:cut], y[:cut], x[cut:], y[cut:]


def chosen(problem: Problem, thetas: np.ndarray) -> tuple[float, int]:
    """Return the excess risk ‖θ − θ*‖² of the θ [·, d] that does best on the rows that choose, and which it is."""
    _, _, x, y = problem.split
    losses = ((thetas @ x.T - y) ** 2).mean(1)
    best = int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))
    return float(((thetas[best] - problem.drawn[2]) ** 2).sum()), best


def gradient(problem: Problem) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Return θ of gradient flow from 0 at many times with many weight decays, in closed form, and (time, decay).

    With singular values s of X / √n and decay λ the flow has taken (1 − exp(−t (s² + λ))) / (s² + λ) of s u′Y / √n.
    """
    x, y, _, _ = problem.split
    u, s, v = np.linalg.svd(x / math.sqrt(len(x)), full_matrices=False)
    along, square = s * (u.T @ y) / math.sqrt(len(x)), s**2
    found, names = [], []
    for decay in DECAYS:
        for time in np.geomspace(0.05, 2e4, 80):
            rate = square + decay
            found.append((-np.expm1(-time * rate) / rate * along) @ v)
            names.append((float(time), decay))
    return np.array(found), names


def lasso(problem: Problem) -> np.ndarray:
    """Return the lasso's path: where product weights with weight decay end by the gradient."""
    x, y, _, _ = problem.split
    most = np.abs(x.T @ y).max() / len(x)
    return lasso_path(x, y, alphas=np.geomspace(most, 1e-3 * most, 80))[1].T


def _quadratic(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y, _, _ = problem.split
    a, b, begins = x / math.sqrt(len(x)), y / math.sqrt(len(x)), np.zeros(len(x), dtype=np.int64)
    if len(x) > DIMENSION:
        q, a = np.linalg.qr(a)
        b, begins = q.T @ b, np.arange(DIMENSION)
    return np.ascontiguousarray(a), begins, np.ascontiguousarray(b)


def marks(steps: int) -> np.ndarray:
    """Return after which steps θ is looked at: evenly in logarithms."""
    return np.unique(np.geomspace(10, steps, MARKS).astype(np.int64))


def steepest(problem: Problem) -> float:
    """Return about the largest eigenvalue of X′X / n."""
    return (1 + math.sqrt(DIMENSION / len(problem.split[0]))) ** 2


def two(problem: Problem, steps: int) -> np.ndarray:
    """Return θ along two queries on plain weights: without sampling noise, gradient descent with multiplied noise."""
    a, begins, b = _quadratic(problem)
    at = marks(steps)
    seen = np.full((len(at), DIMENSION), np.nan)
    rate = 0.5 / (DIMENSION * steepest(problem))
    thresholded(a, begins, b, np.zeros(DIMENSION), 0.0, rate, _key(problem, TWO), steps, at, seen)
    return seen


def products(problem: Problem, penalty: float, steps: int, start: float = START, pace: float = 0.5) -> np.ndarray:
    """Return θ along two queries on θ = m · w whose noise has the penalty λ ‖θ‖₁."""
    a, begins, b = _quadratic(problem)
    at = marks(steps)
    seen = np.full((len(at), DIMENSION), np.nan)
    m, w = np.full(DIMENSION, start), np.zeros(DIMENSION)
    spread = DIMENSION / len(problem.split[0])
    rate = pace * min(1 / (DIMENSION * penalty * (1 + spread)), 2 / (DIMENSION * steepest(problem)))
    two_queries(a, begins, b, m, w, math.sqrt(penalty), rate, _key(problem, PRODUCTS), steps, at, seen)
    return seen


def descent(problem: Problem, starts: np.ndarray, decays: np.ndarray, rates: np.ndarray, steps: int) -> np.ndarray:
    """Return θ = m · w [settings, marks, d] along the gradient of ½|Aθ − b|² + ½λ (|m|² + |w|²), settings side by side.

    Factors start as those of :func:`products` do, m at ``starts`` and w at 0; λ are ``decays``, so that the penalty is
    the λ‖θ‖₁ that noise on both factors has. What overflows is not finite, and is not chosen.
    """
    x, y, _, _ = problem.split
    gram, moment = x.T @ x / len(x), x.T @ y / len(x)
    at = marks(steps)
    seen, place = np.empty((len(at), len(starts), DIMENSION)), 0
    m, w = np.repeat(starts[:, None], DIMENSION, axis=1), np.zeros((len(starts), DIMENSION))
    rate, left = rates[:, None], 1 - (rates * decays)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(1, steps + 1):
            slope = rate * ((m * w) @ gram - moment)
            m, w = left * m - slope * w, left * w - slope * m
            if step == at[place]:
                seen[place] = m * w
                place += 1
    return seen.swapaxes(0, 1)


@numba.njit(nogil=True, cache=True)
def _one_query(a, b, theta, radius, rate, memory, key, steps, at, seen):
    rows, d = a.shape
    z, mean, place = np.empty(d), 0.0, 0
    for step in range(steps):
        _signs(key, step, z)
        loss = 0.0
        for i in range(rows):
            r = -b[i]
            for j in range(d):
                r += a[i, j] * (theta[j] + radius * z[j])
            loss += 0.5 * r * r
        if step == 0:
            mean = loss
        left = min(1.0, (steps - step) / (0.4 * steps))
        move = rate * left * (loss - mean) / radius
        mean += memory * (loss - mean)
        for j in range(d):
            theta[j] -= move * z[j]
        if place < len(at) and step + 1 == at[place]:
            seen[place] = theta
            place += 1


def one(problem: Problem, radius: float, rate: float, steps: int) -> np.ndarray:
    """Return θ along single queries (L(θ + cz) − mean of the losses before) z / c."""
    a, _, b = _quadratic(problem)
    at = marks(steps)
    seen = np.full((len(at), DIMENSION), np.nan)
    _one_query(a, b, np.zeros(DIMENSION), radius, rate, 0.1, _key(problem, ONE), steps, at, seen)
    return seen


def _key(problem: Problem, arm: str) -> np.uint64:
    return np.uint64(integer(0, "conjecture", arm, problem.truth, problem.rows, problem.replicate))


def run(problem: Problem) -> list[Record]:
    """Return one record per arm of the problem's part."""
    return PARTS[problem.part][1](problem)


def _losses(problem: Problem) -> list[Record]:
    """Return what the gradient, the lasso and rules that read losses reach, and what these had after fewer."""
    out, steps = [], round(problem.share * STEPS)
    found, names = gradient(problem)
    risk, best = chosen(problem, found)
    out.append(_record(problem, GRADIENT, risk, time=names[best][0], decay=names[best][1]))
    out.append(_record(problem, LASSO, chosen(problem, lasso(problem))[0]))
    at = marks(steps)
    seen = two(problem, steps)
    risk, best = chosen(problem, seen)
    out.append(_record(problem, TWO, risk, queries=2 * int(at[best]), curve=_curve(problem, [seen], at, 2)))
    scale = 1 / (DIMENSION * steepest(problem))
    tried = [one(problem, c, share * scale, steps) for c in (0.01, 0.1) for share in (0.02, 0.1, 0.3)]
    risk, best = chosen(problem, np.concatenate(tried))
    out.append(_record(problem, ONE, risk, queries=int(at[best % len(at)]), curve=_curve(problem, tried, at, 1)))
    out.append(_noise_on_products(problem, PRODUCTS, [(START, penalty, 0.5) for penalty in PENALTIES]))
    return out


def _noise_on_products(problem: Problem, arm: str, settings: list[tuple[float, float, float]]) -> Record:
    """Return what two queries on products reach with the best of some (start, penalty, pace)."""
    steps = round(problem.share * STEPS)
    at = marks(steps)
    tried = [products(problem, penalty * usual(problem), steps, start, pace) for start, penalty, pace in settings]
    risk, best = chosen(problem, np.concatenate(tried))
    last, (start, penalty, pace) = int(at[best % len(at)]), settings[best // len(at)]
    curve = _curve(problem, tried, at, 2)
    return _record(problem, arm, risk, queries=2 * last, start=start, penalty=penalty, pace=pace, curve=curve)


def _slopes_on_products(problem: Problem) -> list[Record]:
    """Return what the gradient reaches on products: from the start of the noise, from any, from any without decay."""
    out, steps = [], max(100, round(problem.share * DESCENT))
    tried = list(product(STARTS, (0.0, *PENALTIES), PACES))
    starts, penalties, paces = np.array(tried).T
    seen = descent(problem, starts, penalties * usual(problem), paces / steepest(problem), steps)
    for arm, allowed in ((SLOPED, starts == START), (SLOPED_FREE, starts > 0), (DOWN, penalties == 0)):
        places = np.flatnonzero(allowed)
        risk, best = chosen(problem, np.concatenate(seen[places]))
        start, penalty, pace = tried[places[best // seen.shape[1]]]
        stop = int(marks(steps)[best % seen.shape[1]])
        out.append(_record(problem, arm, risk, start=start, penalty=penalty, pace=pace, steps=stop))
    return out


def _freer_noise(problem: Problem) -> list[Record]:
    """Return what noise on products reaches with the choices of start and rate that the gradient there has."""
    return [_noise_on_products(problem, FREE, list(product(STARTS, PENALTIES, PACES)))]


PARTS = {"losses": (GRADIENT, _losses), "slopes": (SLOPED, _slopes_on_products), "freer": (FREE, _freer_noise)}
"""Arms that are run together: one of them, and what runs them."""
TRUTHS = {"losses": ("dense", "sparse"), "slopes": ("dense", "sparse"), "freer": ("sparse",)}
"""Where a part is run: more choices for noise only where product weights win at all."""


def usual(problem: Problem) -> float:
    """Return σ√(2 log d / n), the usual size of a penalty."""
    return math.sqrt(2 * math.log(DIMENSION) / len(problem.split[0]))


def _curve(problem: Problem, tried: list[np.ndarray], at: np.ndarray, each: int) -> list[list[float]]:
    """Return (losses read, risk) when the rows that choose may look at all that was had by then."""
    points = []
    for place in range(0, len(at), 6):
        until = np.concatenate([seen[: place + 1] for seen in tried])
        points.append([each * int(at[place]), float(f"{chosen(problem, until)[0]:.5g}")])
    return points


def _record(problem: Problem, arm: str, risk: float, **more: Any) -> Record:
    where = {"problem": problem.name, "rows": problem.rows, "replicate": problem.replicate}
    return {**where, "arm": arm, "risk": float(f"{risk:.6g}"), **more}

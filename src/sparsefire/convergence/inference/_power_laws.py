"""Least squares in logarithms for r = c k⁻ᵃ, c k⁻ᵃ + f and c k⁻ᵃ log k, for many curves at once.

The floor is fitted as its share s of the curve at the last point: log r = η + log((1 - s) e^(-a (x - x_last)) + s) with
x = log k, which is smooth through s = 0, by Levenberg-Marquardt; a fit with s < 0 becomes the one with s = 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MODELS = ("power", "floor", "log")
STARTS = ((0.5, 0.0), (1.0, 0.0), (0.5, 0.5), (1.0, 0.5), (1.0, 0.9), (2.0, 0.9))  # exponent, share
MOST_STEPS = 100
MOST_SHARE = 1 - 1e-9


def slope_row(x: np.ndarray) -> np.ndarray:
    """Return the row whose product with log r is the fitted exponent [points]."""
    centred = x - x.mean()
    return -centred / (centred @ centred)


def fit(
    x: np.ndarray,
    y: np.ndarray,
    model: str,
    whiten: np.ndarray | None = None,
    starts: Sequence[tuple[float, float]] = STARTS,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (log constant, exponent, floor) [curves, 3] and the sums of squares [curves].

    Args:
        x: log k [points], rising.
        y: log r [curves, points].
        model: one of :data:`MODELS`; ``"log"`` needs x > 0.
        whiten: residuals are multiplied by this matrix [points, points]; the identity by default.
        starts: (exponent, share) from which the search for a floor begins; the best result counts.

    >>> x = np.log([1.0, 10.0, 100.0, 1000.0])
    >>> found, squares = fit(x, np.log(2 * np.exp(-x) + 0.5)[None], "floor")
    >>> found.round(6).tolist(), bool(squares[0] < 1e-20)
    ([[0.693147, 1.0, 0.5]], True)
    """
    whiten = np.eye(len(x)) if whiten is None else whiten
    offset = np.log(x) if model == "log" else 0.0
    found, squares = _lines(x, y - offset, whiten)
    if model != "floor":
        return found, squares
    eta, exponent, share, squares_floor = _best_start(x, y, whiten, starts)
    with_floor = (share > 0) & (squares_floor < squares)
    log_constant = eta + np.log1p(-np.where(with_floor, share, 0.0)) + exponent * x[-1]
    floored = np.stack([log_constant, exponent, np.exp(eta) * share], axis=-1)
    return np.where(with_floor[:, None], floored, found), np.where(with_floor, squares_floor, squares)


def predict(k: np.ndarray, constant: float, exponent: float, floor: float, log_power: int) -> np.ndarray:
    """Return c k⁻ᵃ (log k)^b + f.

    >>> predict(np.array([10.0]), 2.0, 1.0, 0.5, 0).tolist()
    [0.7]
    """
    return constant * k**-exponent * np.log(k) ** log_power + floor


def _lines(x: np.ndarray, y: np.ndarray, whiten: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    design = whiten @ np.stack([np.ones_like(x), -x], axis=1)
    target = whiten @ y.T
    found = np.linalg.lstsq(design, target, rcond=None)[0]
    squares = np.square(target - design @ found).sum(0)
    return np.column_stack([found.T, np.zeros(len(y))]), squares


def _best_start(
    x: np.ndarray, y: np.ndarray, whiten: np.ndarray, starts: Sequence[tuple[float, float]]
) -> tuple[np.ndarray, ...]:
    best = _levenberg(x, y, whiten, *starts[0])
    for start in starts[1:]:
        found = _levenberg(x, y, whiten, *start)
        better = found[3] < best[3]
        best = tuple(np.where(better, new, old) for new, old in zip(found, best, strict=True))
    return best


def _levenberg(
    x: np.ndarray, y: np.ndarray, whiten: np.ndarray, exponent: float, share: float
) -> tuple[np.ndarray, ...]:
    """Return η, exponent, share and sum of squares from one start, [curves] each."""
    back = x - x[-1]

    def residuals(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        decay = np.exp(-p[:, 1:2] * back)
        inner = (1 - p[:, 2:]) * decay + p[:, 2:]
        return (y - p[:, :1] - np.log(inner)) @ whiten.T, decay, inner

    p = np.column_stack([y[:, -1], np.full(len(y), exponent), np.full(len(y), share)])
    rest, decay, inner = residuals(p)
    cost, damping, settled = np.square(rest).sum(1), np.full(len(y), 1e-3), np.zeros(len(y), bool)
    for _ in range(MOST_STEPS):
        jacobian = np.stack([np.ones_like(inner), -back * (1 - p[:, 2:]) * decay / inner, (1 - decay) / inner], -1)
        jacobian = whiten @ jacobian
        normal = np.swapaxes(jacobian, 1, 2) @ jacobian
        scale = np.einsum("bii->bi", normal)
        lifted = normal + np.eye(3) * ((damping[:, None] + 1e-12) * (scale + 1e-12))[:, :, None]
        step = np.linalg.solve(lifted, (np.swapaxes(jacobian, 1, 2) @ rest[..., None]))[..., 0]
        trial = p + step
        trial[:, 1] = np.clip(trial[:, 1], 1e-6, 50.0)
        trial[:, 2] = np.clip(trial[:, 2], -1e6, MOST_SHARE)
        rest_new, decay_new, inner_new = residuals(trial)
        cost_new = np.square(rest_new).sum(1)
        better = cost_new < cost
        gain = np.where(better, cost - cost_new, 0.0)
        p = np.where(better[:, None], trial, p)
        rest, decay, inner = (
            np.where(better[:, None], new, old)
            for new, old in ((rest_new, rest), (decay_new, decay), (inner_new, inner))
        )
        settled |= (~better & (damping > 1e6)) | (better & (gain <= 1e-10 * cost + 1e-28))
        cost = np.where(better, cost_new, cost)
        damping = np.where(better, damping / 5, damping * 4)
        if settled.all():
            break
    return p[:, 0], p[:, 1], p[:, 2], cost

"""Two signals through a dense ReLU network of finite width: the exact chain of their Gram matrices, sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.propagation.laws import _ranks
from sparsefire.propagation.laws.widths import widths_of
from sparsefire.randomness import stream

QUANTITIES = ("first", "second", "correlation")
CELLS = 2**15  # pre-activations of one signal that are held at once


@dataclass(frozen=True, eq=False)
class GramChain:
    """Samples of the Gram matrices of two signals, layer by layer.

    Attributes:
        log_norms: float64 [2, depth, runs], log |x_l|² / n_l of the two signals; -inf where all units are silent.
        correlations: float64 [depth, runs], x·y / (|x| |y|); NaN where one of them is silent.
        runs: how many networks were drawn.
        method: how.
    """

    log_norms: np.ndarray
    correlations: np.ndarray
    runs: int
    method: str

    def dead(self) -> np.ndarray:
        """Return the share of runs in which one of the signals is silent, float64 [depth]."""
        return np.isnan(self.correlations).mean(1)

    def quantile(self, of: str, q: Any) -> np.ndarray:
        """Return quantiles by layer, float64 [*q.shape, depth].

        Args:
            of: ``"first"`` or ``"second"``, log |x_l|² / n_l of that signal; or ``"correlation"``, among the runs in
                which both signals live (NaN if there are none).
            q: chances in [0, 1].
        """
        q = _ranks.chances(q)
        found = [_ranks.quantile(row, q) if len(row) else np.full(q.shape, np.nan) for row in self._rows(of)]
        return np.stack(found, axis=-1)

    def interval(self, of: str, q: float, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of an interval for a quantile, float64 [depth] each, from order statistics alone."""
        ends = [_ranks.interval(row, q, level) for row in self._rows(of)]
        return np.array([low for low, _ in ends]), np.array([high for _, high in ends])

    def _rows(self, of: str) -> list[np.ndarray]:
        if of not in QUANTITIES:
            raise UserError("this is not followed.", came=repr(of), expected=", ".join(map(repr, QUANTITIES)))
        if of == "correlation":
            return [np.sort(row[~np.isnan(row)]) for row in self.correlations]
        return list(np.sort(self.log_norms[QUANTITIES.index(of)], axis=1))


def gram_chain(
    width: Any,
    depth: int | None = None,
    *,
    correlation: float = 0.0,
    input_squares: tuple[float, float] = (1.0, 1.0),
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    runs: int = 2_000,
    rng: Any = None,
) -> GramChain:
    """Sample the joint law of two signals in a dense ReLU network with normal weights, layer by layer.

    Given the Gram matrix of the layer before, the pairs of pre-activations of the n units are independent normal
    pairs, so the chain is exact at any width. It costs 2 n normal numbers per layer and run, whatever n_in.

    Args:
        width: units of every layer and of the input; or all widths, the input's first.
        depth: number of layers; None where all widths are given.
        correlation: x_0·y_0 / (|x_0| |y_0|), in [-1, 1].
        input_squares: |x_0|² / n_0 and |y_0|² / n_0.
        weight_variance: v; weights have variance v / n_in. He's is 2.
        bias_variance: b², of every unit.
        runs: networks to draw, 2 or more. The same rng gives the same runs.
        rng: see :mod:`sparsefire.randomness`.

    Raises:
        UserError: a correlation outside [-1, 1], sizes or variances that are none.

    Source: Burkholz & Dubatovka 2019, arXiv:1806.06362.

    >>> chain = gram_chain(width=300, depth=3, runs=400, rng=0)
    >>> chain.quantile("correlation", 0.5).round(1).tolist()
    [0.3, 0.5, 0.6]
    """
    widths = widths_of(width, depth)
    if not -1 <= correlation <= 1:
        raise UserError("this is no correlation.", came=repr(correlation), expected="a number in [-1, 1]")
    if len(input_squares) != 2 or not all(0 < one < np.inf for one in input_squares):
        raise UserError("input_squares are |x_0|² / n_0.", came=repr(input_squares), expected="two numbers above 0")
    if not (0 < weight_variance < np.inf and 0 <= bias_variance < np.inf):
        raise UserError(
            "these are no variances.", came=f"{weight_variance!r}, {bias_variance!r}", expected="above 0, 0 or more"
        )
    if isinstance(runs, bool) or not isinstance(runs, int | np.integer) or runs < 2:
        raise UserError("runs are counted.", came=repr(runs), expected="2 or more")
    draws = stream(rng, "gram chain")
    logs = np.empty((2, len(widths) - 1, runs))
    cosines = np.empty((len(widths) - 1, runs))
    scale = np.log(np.array(input_squares, dtype=np.float64))[:, None] * np.ones(runs)  # log |x|²/n of both signals
    cosine = np.full(runs, float(correlation))
    for at, n in enumerate(widths[1:]):
        scale, cosine = _layer(scale, cosine, n, weight_variance, bias_variance, draws)
        logs[:, at], cosines[at] = scale, cosine
    return GramChain(logs, cosines, int(runs), f"{runs:,} sampled chains, exact at finite width")


def mean_gram(gram: Any, width: int, inputs: int, *, weight_variance: float = 2.0, bias_variance: float = 0.0) -> Any:
    """Return the mean Gram matrix after one layer, float64 [..., 2, 2], in closed form.

    Args:
        gram: [..., 2, 2] of the layer before: |x|², x·y, |y|².
        width: n, units of the layer.
        inputs: n_in, units before it.
        weight_variance: v; weights have variance v / n_in.
        bias_variance: b².

    With c the correlation of two pre-activations of variances p and q, E relu(h) relu(h') = √(pq) κ(c) / 2, where κ is
    :func:`arc_cosine`.

    >>> mean_gram([[1.0, 0.0], [0.0, 1.0]], 100, 100).round(6).tolist()
    [[1.0, 0.31831], [0.31831, 1.0]]
    """
    gram = np.asarray(gram, dtype=np.float64)
    if gram.shape[-2:] != (2, 2):
        raise UserError("a Gram matrix of two signals is [2, 2].", came=f"shape {gram.shape}", expected="(..., 2, 2)")
    h = weight_variance / inputs * gram + bias_variance
    p, q = h[..., 0, 0], h[..., 1, 1]
    root = np.sqrt(p * q)
    c = np.divide(h[..., 0, 1], root, where=root > 0, out=np.zeros(root.shape))
    joint = root * arc_cosine(np.clip(c, -1, 1))
    return width / 2 * np.stack([np.stack([p, joint], -1), np.stack([joint, q], -1)], -2)


def arc_cosine(c: Any) -> Any:
    """Return κ(c) = (√(1 - c²) + c (π - arccos c)) / π: the correlation after a wide ReLU layer without bias.

    κ(c_l) tends to 1 with 1 - c_l ~ 9π² / (2 l²), more slowly than any power of a number below 1.

    Source: Cho & Saul 2009, "Kernel methods for deep learning", the arc-cosine kernel of degree 1.

    >>> arc_cosine(np.array([0.0, 1.0])).round(6).tolist()
    [0.31831, 1.0]
    """
    c = np.asarray(c, dtype=np.float64)
    return (np.sqrt((1 - c) * (1 + c)) + c * (np.pi - np.arccos(c))) / np.pi


def _layer(
    scale: np.ndarray, cosine: np.ndarray, n: int, v: float, b2: float, draws: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    found, joint = np.empty(scale.shape), np.empty(len(cosine))
    for start in range(0, len(cosine), max(1, CELLS // n)):
        part = slice(start, start + max(1, CELLS // n))
        shift = np.where(np.isfinite(scale[:, part]), scale[:, part], 0.0) if b2 == 0 else np.zeros((2, 1))
        squares = np.exp(scale[:, part] - shift)
        p, q = v * squares + b2
        c = np.where(np.isnan(cosine[part]), 0.0, cosine[part]) * np.sqrt(squares[0] * squares[1]) * v + b2
        root = np.sqrt(p * q)
        c = np.clip(np.divide(c, root, where=root > 0, out=np.zeros(len(c))), -1, 1)
        g = draws.standard_normal((2, len(c), n))
        g[1] = c[:, None] * g[0] + np.sqrt((1 - c) * (1 + c))[:, None] * g[1]
        np.maximum(g, 0.0, out=g)
        sums = np.einsum("sri,sri->sr", g, g)
        with np.errstate(divide="ignore"):
            found[:, part] = np.log(np.stack([p, q]) * sums / n) + shift
        both = np.sqrt(sums[0] * sums[1]) * (root > 0)
        joint[part] = np.divide(np.einsum("ri,ri->r", g[0], g[1]), both, where=both > 0, out=np.full(len(c), np.nan))
    return found, np.minimum(joint, 1.0)

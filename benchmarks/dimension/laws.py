"""Closed forms: the variance of one estimate, and the risk of linear regression along the way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def node_variance(deltas: Sequence[Tensor], squares: Sequence[Tensor], gradient: Tensor) -> float:
    """Return E|ĝ − g|² / |g|² of one draw of node perturbation with signs, for small noise.

    With δ_bj the derivative of the loss of row b by the output of unit j, all layers counted, and q_bj = Σ x_bi² over
    the active inputs of the unit (its bias has x = 1), the estimate of δ_bj is δ_bj + ξ_bj Σ_{i≠j} δ_bi ξ_bi, and so

        E|ĝ − g|² = B⁻² Σ_b Σ_j q_bj (Σ_i δ_bi² − δ_bj²)

    for B rows: about units · Σ q δ² / B², whatever part of the weights is there.

    Args:
        deltas: by layer [rows, units], of the loss of each row.
        squares: q, alike.
        gradient: g, of the mean loss, over the active parameters.

    >>> one = torch.ones(1, 3)
    >>> node_variance([one], [one], torch.ones(3))
    2.0
    """
    delta, square = torch.cat(list(deltas), 1).double(), torch.cat(list(squares), 1).double()
    spread = (square * (delta.square().sum(1, keepdim=True) - delta.square())).sum() / len(delta) ** 2
    return float(spread / gradient.double().square().sum())


def effective_rank(eigenvalues: np.ndarray) -> float:
    """Return tr Q / ‖Q‖.

    >>> effective_rank(np.array([2.0, 1.0, 1.0]))
    2.0
    """
    return float(eigenvalues.sum() / eigenvalues.max())


def participation(eigenvalues: np.ndarray) -> float:
    """Return (tr Q)² / tr Q², how many directions carry the trace.

    >>> participation(np.array([1.0, 1.0, 0.0]))
    2.0
    """
    return float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())


def spread_rank(eigenvalues: np.ndarray) -> float:
    """Return exp of the entropy of the eigenvalues as shares of the trace (Roy and Vetterli 2007, EUSIPCO).

    >>> round(spread_rank(np.array([1.0, 1.0, 0.0])), 6)
    2.0
    """
    shares = eigenvalues[eigenvalues > 0] / eigenvalues.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def geometric(rank: float, inputs: int) -> np.ndarray:
    """Return eigenvalues (1 − 1/r)ʲ, whose effective rank is r where there are many more inputs.

    >>> round(effective_rank(geometric(8, 1024)), 6)
    8.0
    """
    return (1 - 1 / rank) ** np.arange(inputs)


def step(a: np.ndarray, q: np.ndarray, rate: np.ndarray, rule: str) -> np.ndarray:
    """Return E δ_j² after one step of linear regression without noise, from E δ_j², in the eigenbasis of Q.

    The loss is E (X·δ)² / 2, X normal with covariance Q = diag(q). For errors that are uncorrelated between
    coordinates, which these steps keep so:

        gradient          a_j (1 − α q_j)²
        two-query         a_j (1 − 2α q_j) + α² Σ_i q_i² a_i
        two-query, row    a_j (1 − 2α q_j) + α² (2 Σ_i q_i² a_i + tr Q Σ_i q_i a_i)

    The second asks about the population loss along one direction of independent signs, u uᵀ Q δ: E u uᵀ M u uᵀ is
    2M + tr(M) I − 2 diag(M). The third asks about the loss of one fresh row, with E X Xᵀ A X Xᵀ = 2 Q A Q + tr(QA) Q
    in place of Q A Q. The best constant α is near 1 / tr Q and ‖Q‖ / (tr Q)²: two queries cost tr Q / ‖Q‖ times the
    steps of the gradient, and its square where rows are asked one by one; the number of inputs does not enter.

    Args:
        a: E δ_j², [..., inputs].
        q: eigenvalues, [inputs].
        rate: α, [...].
        rule: one of the three.
    """
    shrunk = a * (1 - 2 * rate[..., None] * q)
    square = (q**2 * a).sum(-1, keepdims=True)
    if rule == "gradient":
        return a * (1 - rate[..., None] * q) ** 2
    if rule == "two-query":
        return shrunk + rate[..., None] ** 2 * square
    return shrunk + rate[..., None] ** 2 * (2 * square + q.sum() * (q * a).sum(-1, keepdims=True))


def steps_to(share: float, q: np.ndarray, rule: str, most: int = 200_000) -> tuple[int, float]:
    """Return the fewest steps to this share of the first risk over constant rates, and the rate.

    The parameters to find are drawn alike in all directions: E δ_j² = 1 at first.

    Args:
        share: of Σ q_j E δ_j².
        q: eigenvalues.
        rule: as of :func:`step`.
        most: steps.

    >>> steps_to(0.1, np.ones(10), "gradient")[0]
    1
    """
    trace, largest = q.sum(), q.max()
    middle = {"gradient": 1 / largest, "two-query": 1 / trace}.get(rule, largest / trace**2)
    rates = middle * np.concatenate([np.geomspace(0.05, 2.5, 40), [1.0]])
    a = np.ones((len(rates), len(q)))
    first = float(trace)
    for number in range(1, most + 1):
        a = step(a, q, rates, rule)
        risk = np.nan_to_num(a @ q, nan=np.inf)
        if risk.min() <= share * first:
            return number, float(rates[risk.argmin()])
        alive = risk < 10 * first
        if not alive.all():
            a, rates = a[alive], rates[alive]
    raise ValueError(f"no rate reaches {share} in {most} steps")

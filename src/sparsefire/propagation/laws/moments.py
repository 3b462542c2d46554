"""What the laws of sparse layers take: the law of fan-ins, and what matters of the law of weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.cascades.approximate.degree_laws import degree_law
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

FOURTH_MOMENTS = {"normal": 3.0, "uniform": 1.8, "sign": 1.0}
"""μ4 = E w⁴ / (E w²)² of the laws that have a name."""

SCALES = ("mean", "actual")
"""Whose fan-in sets the variance of weights: the mean of the layer's, or each unit's own."""

INPUTS = ("activated", "plain")
"""What the input of the first layer is: a layer like the others, or numbers that no activation has met."""


def fan_in_law(fan_in: Any) -> np.ndarray:
    """Return P(fan-in = 0), P(fan-in = 1), …, float64 [K + 1].

    Args:
        fan_in: a whole number; probabilities [K + 1] that add up to 1; a frozen discrete law of ``scipy.stats``; or a
            :class:`~sparsefire.wiring.graph.Wiring`, whose units on the receiving side count alike.

    Raises:
        UserError: none of these, a number below 0, a wiring without units.

    >>> fan_in_law(2).tolist(), fan_in_law([0.5, 0.5]).tolist()
    ([0.0, 0.0, 1.0], [0.5, 0.5])
    >>> fan_in_law(Wiring.from_edges([0, 0], [1, 2], shape=(1, 3))).round(3).tolist()
    [0.333, 0.667]
    """
    if isinstance(fan_in, Wiring):
        degrees = fan_in.in_degrees
        if not len(degrees):
            raise UserError("a wiring without units has no fan-in.", came=repr(fan_in), expected="1 unit or more")
        return np.bincount(degrees) / len(degrees)
    if isinstance(fan_in, int | np.integer | float | np.floating):  # a bool is an int, and refused
        if isinstance(fan_in, bool) or fan_in < 0 or fan_in != int(fan_in):
            raise UserError(
                "a fan-in is a whole number.",
                came=repr(fan_in),
                expected="0 or more",
                attempt="a law of fan-ins, such as degree_laws.poisson(2.5)",
            )
        law = np.zeros(int(fan_in) + 1)
        law[-1] = 1.0
        return law
    law = np.asarray(fan_in, dtype=np.float64) if not hasattr(fan_in, "pmf") else fan_in
    if isinstance(law, np.ndarray) and law.shape == (1,) and law[0] == 1.0:
        return law.copy()  # nobody is joined: dead at once, which is an answer here
    return degree_law(law)


def per_layer(fan_in: Any, depth: int | None) -> list[np.ndarray]:
    """Return one law of fan-ins per layer.

    Args:
        fan_in: see :func:`fan_in_law`, the same for all layers; or one of these per layer: see :func:`by_layer`.
        depth: number of layers, 1 or more; None takes the length of the list.

    Raises:
        UserError: a depth below 1, or one that is not the number of layers given.

    >>> [len(law) - 1 for law in per_layer([3, 4], None)], len(per_layer(3, 5))
    ([3, 4], 5)
    """
    several = by_layer(fan_in)
    if depth is None:
        depth = len(fan_in) if several else 0
    if isinstance(depth, bool) or not isinstance(depth, int | np.integer) or depth < 1:
        raise UserError("a depth is a number of layers.", came=f"depth={depth!r}", expected="1 or more")
    if not several:
        return [fan_in_law(fan_in)] * int(depth)
    if len(fan_in) != depth:
        raise UserError("there is one fan-in per layer.", came=f"{len(fan_in)} for depth {depth}", expected=str(depth))
    return [fan_in_law(one) for one in fan_in]


def by_layer(fan_in: Any) -> bool:
    """Say whether fan-ins are given layer by layer: a list, a tuple or an array of whole numbers, one per layer.

    Numbers that add up to 1 are a law instead, so that [0, 1] is that of one input for all; but [1] is one layer, of
    fan-in 1. (As a law it would say that no unit has inputs: for this give 0, or [1.0].)

    >>> by_layer([3, 4]), by_layer(np.array([3, 4])), by_layer([0.5, 0.5]), by_layer([1]), by_layer([1.0]), by_layer(3)
    (True, True, False, True, False, False)
    """
    if isinstance(fan_in, np.ndarray):
        return fan_in.ndim == 1 and fan_in.dtype.kind in "iu" and (len(fan_in) == 1 or not is_row(fan_in))
    if not isinstance(fan_in, list | tuple):
        return False
    one = len(fan_in) == 1 and isinstance(fan_in[0], int | np.integer)
    return one or not is_row(fan_in)


def check_inputs(inputs: Any, others: str = "") -> None:
    """Raise unless these are named inputs; ``others`` says what else would have been right."""
    if not isinstance(inputs, str) or inputs not in INPUTS:
        raise UserError(
            "these are no inputs.", came=f"inputs={inputs!r}"[:80], expected=" or ".join(map(repr, INPUTS)) + others
        )


def fourth_moment(weights: Any) -> float:
    """Return μ4 = E w⁴ / (E w²)² of a law of weights.

    Args:
        weights: ``"normal"`` 3, ``"uniform"`` 9/5, ``"sign"`` 1, or the number itself, 1 or more.

    >>> fourth_moment("sign"), fourth_moment(2.5)
    (1.0, 2.5)
    """
    if isinstance(weights, str) and weights in FOURTH_MOMENTS:
        return FOURTH_MOMENTS[weights]
    if not isinstance(weights, bool | str) and isinstance(weights, int | float | np.number) and 1 <= weights < np.inf:
        return float(weights)
    raise UserError(
        "weights are told by the name of their law or by μ4 = E w⁴ / (E w²)².",
        came=repr(weights),
        expected=f"{', '.join(FOURTH_MOMENTS)}, or a number of 1 or more",
    )


def weight_variances(law: np.ndarray, weight_variance: float, scaled: str) -> np.ndarray:
    """Return the variance of a weight of a unit with 0, 1, …, K inputs, float64 [K + 1]; 0.0 where there is none.

    >>> weight_variances(np.array([0.0, 0.5, 0.0, 0.5]), 2.0, "actual").round(3).tolist()
    [0.0, 2.0, 1.0, 0.667]
    """
    if scaled not in SCALES:
        raise UserError(f"weights are not scaled like {scaled!r}.", came=repr(scaled), expected="mean or actual")
    k = np.arange(len(law))
    whose = k if scaled == "actual" else np.full(len(law), k @ law)
    return np.where((k > 0) & (whose > 0), weight_variance / np.where(whose > 0, whose, 1.0), 0.0)


def generating(law: np.ndarray, u: Any) -> Any:
    """Return Σ p_k u^k, of the shape of ``u``.

    >>> generating(np.array([0.5, 0.0, 0.5]), np.array([0.0, 1.0])).tolist()
    [0.5, 1.0]
    """
    return np.polynomial.polynomial.polyval(u, law)


def is_row(values: Any) -> bool:
    """Say whether values are a law of fan-ins: numbers that add up to 1.

    >>> is_row([0.5, 0.5]), is_row([3, 4])
    (True, False)
    """
    try:
        row = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return bool(row.ndim == 1 and len(row) > 0 and abs(row.sum() - 1) <= 1e-9 and (row >= 0).all())

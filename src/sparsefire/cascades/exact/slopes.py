"""By how much every unit takes part in one coefficient: reverse differentiation of a recursion on a rooted forest.

P(C = size) is linear in every message of the recursion, and in every factor y that counts an active unit. So its slope
by a product, which is 0 or more, goes on to the factors of the product, from the roots to the leaves; slope times value
at the factors y of one unit is P(unit is active, C = size). Nothing is subtracted or divided by. The messages come from
one sweep over all units; what they are made from is kept for one unit at a time and made again on the way back. Powers
of y beyond y^size are never made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sparsefire.cascades.exact.forest import Forest
from sparsefire.cascades.exact.polynomials import Scaled, dot, longer, meet, normal, plus, shrink, stack, stretch


class Part:
    """A polynomial in the making of another one; ``slope`` grows on the way back."""

    __slots__ = ("back", "slope", "value")

    def __init__(self, value: Scaled, back: Callable[[Scaled], None] | None = None) -> None:
        self.value = value
        self.back = back
        self.slope: Scaled | None = None

    def add(self, slope: Scaled | None) -> None:
        """Take a share of the slope."""
        if slope is not None:
            self.slope = slope if self.slope is None else plus((1.0, self.slope), (1.0, slope))


Maybe = Part | None  # None is 0
Message = tuple[Maybe, ...]
Unit = Callable[["Tape", int, list[Message]], Message]


class Tape:
    """Makes polynomials from others and remembers how; ``tilt`` (mantissa, exponent) stands beside every y.

    Of all polynomials the first ``most`` coefficients are made.
    """

    def __init__(self, tilt: tuple[float, int], most: int) -> None:
        self.tilt = tilt
        self.most = most
        self.one = Part((np.ones(1), 0))
        self.made: list[Part] = []
        self.counted: list[Part] = []

    def times(self, x: Maybe, y: Maybe) -> Maybe:
        """Return x·y."""
        if x is None or y is None:
            return None
        if x is self.one or y is self.one:
            return y if x is self.one else x

        def back(slope: Scaled) -> None:
            full = longer(slope[0], len(x.value[0]) + len(y.value[0]) - 1)
            x.add(normal(np.correlate(full, y.value[0], "valid"), slope[1] + y.value[1]))
            y.add(normal(np.correlate(full, x.value[0], "valid"), slope[1] + x.value[1]))

        product = np.convolve(x.value[0], y.value[0])[: self.most]
        return self.keep(normal(product, x.value[1] + y.value[1]), back)

    def sum(self, *terms: tuple[float, Maybe]) -> Maybe:
        """Return Σ coefficient · polynomial, coefficients of 0 or more."""
        parts = [(c, x) for c, x in terms if c > 0.0 and x is not None]
        if not parts:
            return None
        if len(parts) == 1 and parts[0][0] == 1.0:
            return parts[0][1]

        def back(slope: Scaled) -> None:
            for c, x in parts:
                x.add(plus((c, (slope[0][: len(x.value[0])], slope[1]))))

        return self.keep(plus(*((c, x.value) for c, x in parts)), back)

    def count(self, x: Maybe) -> Maybe:
        """Return y·x: the unit at hand is active."""
        if x is None:
            return None
        mantissa, exponent = self.tilt

        def back(slope: Scaled) -> None:
            x.add((longer(slope[0][1:] * mantissa, len(x.value[0])), slope[1] + exponent))

        out = self.keep((np.append(0.0, x.value[0])[: self.most] * mantissa, x.value[1] + exponent), back)
        self.counted.append(out)
        return out

    def choose(self, pairs: Sequence[tuple[Maybe, Maybe]], height: int) -> Part:
        """Return the coefficients of x^0 … x^(height - 1) of ∏ (n + x f) as rows; f has no y^0.

        Of d products on the way only every √d-th is kept; those between are made again on the way back.
        """
        shape = min(height, self.most), self.most
        step = max(1, math.isqrt(len(pairs)))
        rows: Scaled = (np.ones((1, 1)), 0)
        marks = []
        for k, (n, f) in enumerate(pairs):
            if k % step == 0:
                marks.append(rows)
            rows = absorb(rows, n, f, shape)

        def back(slope: Scaled) -> None:
            for mark in range(len(marks) - 1, -1, -1):
                some, before = pairs[mark * step : (mark + 1) * step], [marks[mark]]
                for n, f in some[:-1]:
                    before.append(absorb(before[-1], n, f, shape))
                for (n, f), rows in zip(reversed(some), reversed(before), strict=True):
                    slope = release(slope, rows, n, f)

        return self.keep(rows, back)

    def pick(self, rows: Part, weights: np.ndarray) -> Maybe:
        """Return Σ weights[m] · row m, over the rows there are."""
        values, power = rows.value
        w = weights[: len(values)]
        if not w.any():
            return None
        exponent = math.frexp(float(w.max()))[1]
        w = np.ldexp(w, -exponent)

        def back(slope: Scaled) -> None:
            more = np.zeros_like(values)
            more[: len(w)] = np.outer(w, slope[0])
            rows.add((more, slope[1] + exponent))

        return self.keep(normal(w @ values[: len(w)], power + exponent), back)

    def keep(self, value: Scaled, back: Callable[[Scaled], None]) -> Part:
        """Remember what was made, and how its slope goes on."""
        self.made.append(Part(value, back))
        return self.made[-1]

    def rewind(self) -> None:
        """Hand all slopes on."""
        for part in reversed(self.made):
            if part.slope is not None and part.back is not None:
                part.back(part.slope)


def shares(forest: Forest, unit: Unit, size: int, tilt: tuple[float, int]) -> tuple[np.ndarray, float]:
    """Return P(unit is active | C = size) by position [n], and log P(C = size), tilted, as found on the way.

    Args:
        forest: the rooted forest.
        unit: ``unit(tape, position, messages of the children)`` returns the message of a position; the first polynomial
            in that of a root is the law of its tree.
        size: possible.
        tilt: mantissa and binary exponent.
    """
    n = len(forest.size)
    messages: list[list[Scaled | None]] = [[] for _ in range(n)]
    slopes: list[list[Scaled | None]] = [[] for _ in range(n)]

    def of_children(i: int) -> tuple[np.ndarray, list[Message]]:
        children = forest.children[forest.starts[i] : forest.starts[i + 1]]
        return children, [tuple(None if m is None else Part(m) for m in messages[c]) for c in children]

    for i in range(n - 1, -1, -1):
        messages[i] = [None if m is None else m.value for m in unit(Tape(tilt, size + 1), i, of_children(i)[1])]
    roots, parts = of_children(n)
    tape = Tape(tilt, size + 1)
    law = fold(tape.times, [message[0] for message in parts], tape.one)
    found = np.zeros(n)
    if law is None or size >= len(law.value[0]) or not law.value[0][size] > 0:
        return found, -math.inf
    pick = np.zeros(len(law.value[0]))
    pick[size] = 1.0
    law.add((pick, 0))
    total = dot((pick, 0), law.value)
    tape.rewind()
    for c, message in zip(roots, parts, strict=True):
        slopes[c] = [m.slope if m is not None else None for m in message]
    for i in range(n):
        children, parts = of_children(i)
        tape = Tape(tilt, size + 1)
        for out, slope in zip(unit(tape, i, parts), slopes[i], strict=True):
            if out is not None:
                out.add(slope)
        tape.rewind()
        for out in tape.counted:
            if out.slope is not None:
                mantissa, exponent = dot(out.slope, out.value)
                found[i] += math.ldexp(mantissa / total[0], exponent - total[1])
        for c, message in zip(children, parts, strict=True):
            slopes[c] = [m.slope if m is not None else None for m in message]
            messages[c] = []
        slopes[i] = []
    return np.minimum(found, 1.0), math.log(total[0]) + total[1] * math.log(2)


def fold(join: Callable[[Any, Any], Any], items: Sequence[Any], nothing: Any) -> Any:
    """Join neighbours, then the results, until one is left: long products are few."""
    while len(items) > 1:
        items = [join(*items[k : k + 2]) if k + 1 < len(items) else items[k] for k in range(0, len(items), 2)]
    return items[0] if items else nothing


def absorb(rows: Scaled, n: Maybe, f: Maybe, shape: tuple[int, int]) -> Scaled:
    """Return the rows of X (n + x f) from those of X, the first ones of a certain length."""
    values, power = rows
    parts = []
    if n is not None:
        parts.append((0, (stretch(values, n.value[0])[:, : shape[1]], power + n.value[1])))
    if f is not None and shape[0] > 1:
        parts.append((1, (stretch(values[: shape[0] - 1], f.value[0])[:, : shape[1]], power + f.value[1])))
    return stack(parts)


def release(slope: Scaled, rows: Scaled, n: Maybe, f: Maybe) -> Scaled:
    """Hand the slope by the rows of X (n + x f) on to n and f, and return that by the rows of X."""
    values, power = rows
    height, length = values.shape
    parts: list[tuple[int, Scaled]] = [(0, (np.zeros_like(values), 0))]
    for first, factor in ((0, n), (1, f)):
        found = slope[0][first : first + height]
        if factor is None or not len(found):
            continue
        found = longer(found, length + len(factor.value[0]) - 1)
        factor.add(normal(meet(found, values[: len(found)]), slope[1] + power))
        parts.append((0, (shrink(found, factor.value[0]), slope[1] + factor.value[1])))
    return stack(parts)

"""Random wirings with given degrees: configuration models, regular and biregular wirings."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.wiring.draw import Units, key, layers, whole
from sparsefire.wiring.graph import MOST_UNITS, Wiring

_TRIES = 1000  # of drawing degrees whose sums fit
_ROUNDS, _STARTS = 40, 25  # of repairs without progress before pairing anew, and of that
_MIXING = 10  # proposed swaps per edge after a repair


def configuration(
    out_degrees: Any,
    in_degrees: Any = None,
    *,
    units: Units | None = None,
    simple: bool = False,
    two_layers: bool = False,
    rng: Any = None,
) -> Wiring:
    """Return a uniform pairing of stubs: a random wiring with the given degrees (Bollobás 1980, Molloy and Reed 1995).

    Args:
        out_degrees: whole numbers [senders], or a law with ``rvs`` (frozen, of scipy.stats). Without ``in_degrees``
            they are the degrees of an undirected wiring.
        in_degrees: whole numbers [receivers], or a law. Degrees that are given are kept exactly.
        units: how many to draw from a law, or (senders, receivers).
        simple: False keeps loops and parallel arcs as the pairing makes them (all degrees exact, pairing uniform; an
            undirected loop takes two stubs and is one arc); True removes them by edge swaps and then proposes 10 swaps
            per edge: degrees stay exact, and the law is that of the swap chain near its limit, uniform over simple
            wirings.
        two_layers: senders and receivers are different units; so it is wherever their numbers differ.
        rng: see :func:`sparsefire.randomness.stream`.

    Laws: an undirected wiring draws all degrees until their sum is even. Where one side or both are drawn, the sides
    are drawn until their sums differ by at most n^0.75, and the difference is made up by one stub more at that many
    random units of a drawn side (Chen and Olvera-Cravioto 2013, doi:10.1214/12-SSY076).

    Raises:
        UserError: degrees that are negative or not whole (which one), sums that differ, an odd sum, degrees that no
            simple wiring has.

    >>> configuration([3, 2, 2, 1], simple=True, rng=0).out_degrees.tolist()
    [3, 2, 2, 1]
    >>> configuration([2, 0, 1], [1, 1, 1], rng=0).in_degrees.tolist()
    [1, 1, 1]
    """
    generator = stream(rng, "configuration")
    if in_degrees is None:
        degrees = _even(out_degrees, units, generator)
        stubs = generator.permutation(np.repeat(np.arange(len(degrees)), degrees))
        tails, heads = stubs[::2].copy(), stubs[1::2].copy()
        shape, directed, square = (len(degrees), len(degrees)), False, True
    else:
        senders, receivers = _balanced(out_degrees, in_degrees, units, generator)
        shape, directed = (len(senders), len(receivers)), True
        square = shape[0] == shape[1] and not two_layers and not isinstance(units, tuple)
        tails = np.repeat(np.arange(shape[0]), senders)
        heads = generator.permutation(np.repeat(np.arange(shape[1]), receivers))
    if simple:
        _repair(tails, heads, shape[1], directed, square, generator)
    if square:
        return Wiring.from_edges(tails, heads, units=shape[0], directed=directed)
    return Wiring.from_edges(tails, heads, shape=shape)


def random_regular(units: int, degree: int, *, rng: Any = None) -> Wiring:
    """Return an undirected simple wiring in which every unit has the same degree.

    Up to degree 3 pairings are drawn until one is simple, which is exactly uniform; above, see ``simple=True`` of
    :func:`configuration`.

    >>> set(random_regular(100, 3, rng=0).out_degrees.tolist())
    {3}
    """
    units = whole(units, "units", 1)
    degree = whole(degree, "degree", 0, units - 1)
    if units * degree % 2:
        raise UserError("the degrees of an undirected wiring have an even sum.", came=f"{units:,} times {degree}")
    degrees = np.full(units, degree)
    generator = stream(rng, "random_regular")
    if degree > 3:
        return configuration(degrees, simple=True, rng=generator)
    while True:  # a pairing is simple with probability near exp((1 − d²) / 4)
        found = configuration(degrees, rng=generator)
        if not len(_defects(found.senders, found.receivers, units, True, True)):
            return found


def biregular(units: tuple[int, int], fan_in: int, *, rng: Any = None) -> Wiring:
    """Return a wiring between two layers with the same fan-in everywhere and fan-outs that differ by one at most.

    Args:
        units: (senders, receivers).
        fan_in: of every receiver, at most the number of senders.
        rng: see :func:`sparsefire.randomness.stream`.

    Where receivers · fan_in is no multiple of the senders, random senders have one arc more.

    >>> found = biregular((6, 4), 3, rng=0)
    >>> found.in_degrees.tolist(), found.out_degrees.tolist()
    ([3, 3, 3, 3], [2, 2, 2, 2, 2, 2])
    """
    senders, receivers, _ = layers(units)
    fan_in = whole(fan_in, "fan_in", 0, senders)
    generator = stream(rng, "biregular")
    each, more = divmod(receivers * fan_in, senders)
    fan_out = np.full(senders, each)
    fan_out[generator.choice(senders, more, replace=False)] += 1
    return configuration(fan_out, np.full(receivers, fan_in), simple=True, two_layers=True, rng=generator)


def _repair(
    tails: np.ndarray, heads: np.ndarray, width: int, directed: bool, square: bool, generator: np.random.Generator
) -> None:
    """Swap loops and parallel arcs away in place, then mix."""
    from sparsefire.wiring import compiled  # late: it loads numba

    none = np.empty(0, np.int64)
    rounds, starts, least = 0, 0, len(tails) + 1
    while len(bad := _defects(tails, heads, width, directed, square)):
        rounds, least = (0, len(bad)) if len(bad) < least else (rounds + 1, least)
        if starts > _STARTS:
            raise UserError(
                "no simple wiring with these degrees was found.",
                came=f"{len(bad):,} loops or parallel arcs that no swap removes",
                expected="degrees that fit without them",
                attempt="simple=False, or smaller degrees",
            )
        if rounds > _ROUNDS:  # a dead end, such as loops only: pair anew
            starts, rounds, least = starts + 1, 0, len(tails) + 1
            if directed:
                heads[:] = generator.permutation(heads)
            else:
                stubs = generator.permutation(np.concatenate([tails, heads]))
                tails[:], heads[:] = stubs[: len(tails)], stubs[len(tails) :]
        elif rounds:  # loosen the rest
            compiled.swap(tails, heads, width, directed, square, len(tails), none, key(generator))
        else:
            compiled.swap(tails, heads, width, directed, square, 4 * len(bad), bad, key(generator))
    if len(tails) > 1:
        compiled.swap(tails, heads, width, directed, square, _MIXING * len(tails), none, key(generator))


def _defects(tails: np.ndarray, heads: np.ndarray, width: int, directed: bool, square: bool) -> np.ndarray:
    """Return the places of loops and of all but one of each set of parallel arcs."""
    low, high = (tails, heads) if directed else (np.minimum(tails, heads), np.maximum(tails, heads))
    pairs = low.astype(np.int64) * width + high
    order = np.argsort(pairs, kind="stable")
    again = np.zeros(len(pairs), dtype=bool)
    again[order[1:]] = pairs[order[1:]] == pairs[order[:-1]]
    return np.flatnonzero(again | (tails == heads) if square else again)


def _degrees(given: Any, name: str, count: int | None, generator: np.random.Generator) -> np.ndarray:
    if hasattr(given, "rvs"):
        if count is None:
            raise UserError(f"{name} is a law, so units must say how many to draw.", expected="units=")
        given = given.rvs(size=count, random_state=generator)
    found = np.asarray(given)
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iuf":
        raise UserError(f"{name} must be one whole number per unit.", came=f"{found.dtype} of shape {found.shape}")
    if count is not None and len(found) != count:
        raise UserError(f"{name} and units differ.", came=f"{len(found):,} degrees", expected=f"{count:,}")
    wrong = np.flatnonzero(~((found >= 0) & (found <= MOST_UNITS) & (found == np.floor(found))))
    if len(wrong):
        at = int(wrong[0])
        raise UserError(f"{name} must be whole numbers.", came=f"{found[at]} of unit {at}", expected="0 or more")
    return found.astype(np.int64)


def _even(given: Any, units: Units | None, generator: np.random.Generator) -> np.ndarray:
    if isinstance(units, tuple):
        raise UserError("two layers need degrees of both.", expected="in_degrees")
    count = None if units is None else whole(units, "units", 1)
    for _ in range(_TRIES if hasattr(given, "rvs") else 1):
        degrees = _degrees(given, "degrees", count, generator)
        if degrees.sum() % 2 == 0:
            return degrees
    raise UserError(
        "the degrees of an undirected wiring have an even sum.",
        came=f"a sum of {degrees.sum():,}",
        expected="an even one",
    )


def _balanced(
    outward: Any, inward: Any, units: Units | None, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    senders, receivers = (None, None) if units is None else layers(units)[:2]
    drawn = hasattr(outward, "rvs"), hasattr(inward, "rvs")
    if drawn[0] and senders is None and not drawn[1]:
        senders = len(inward)
    if drawn[1] and receivers is None and not drawn[0]:
        receivers = len(outward)
    for _ in range(_TRIES if any(drawn) else 1):
        left = _degrees(outward, "out_degrees", senders, generator)
        right = _degrees(inward, "in_degrees", receivers, generator)
        missing = int(left.sum() - right.sum())
        if not missing:
            return left, right
        short, is_law = (right, drawn[1]) if missing > 0 else (left, drawn[0])
        if is_law and abs(missing) <= len(short) ** 0.75:
            short[generator.choice(len(short), abs(missing), replace=False)] += 1
            return left, right
    raise UserError(
        "every arc that leaves must arrive.",
        came=f"out-degrees with a sum of {left.sum():,}, in-degrees with one of {right.sum():,}",
        expected="equal sums" if not any(drawn) else "laws with equal means",
    )

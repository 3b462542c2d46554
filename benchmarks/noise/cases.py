"""All pieces of work, in the order in which a part of them is already a balanced table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from noise import digits, laws, queries, regression
from noise.arms import ARMS, SPRED
from noise.digits import Digits, Setting
from noise.queries import Queries

Record = dict[str, Any]
PLACES = {200: (50, 100, 150, 200, 400, 1000), 1000: (100, 200, 400, 1000)}
REPLICATES = {200: 20, 1000: 10}
DEAR, FEWER = (1000, 1000), 5
"""The place that takes longest, and its replicates."""
TUNING = {200: (1001, 1002, 1003), 1000: (1001,)}
MOST_TUNED = {200: 1000, 1000: 400}
"""Rows up to which rates are tuned; with more rows the rate of these is used."""
LONG = 4
"""Times the epochs of the networks that are trained longer."""


@dataclass(frozen=True)
class Tune:
    """Rates of one place of the regression, on a replicate of its own."""

    d: int
    n: int
    replicate: int


@dataclass(frozen=True)
class Regression:
    """One problem, with the shares of the limiting rate that were chosen."""

    d: int
    n: int
    replicate: int
    product: float
    plain: float


@dataclass(frozen=True)
class Laws:
    """Penalties of noises, or one replicate of learning under them."""

    replicate: int


Piece = Tune | Regression | Laws | Digits | Queries


def run(piece: Piece) -> list[Record]:
    """Return the records of a piece."""
    if isinstance(piece, Tune):
        return regression.tune(piece.d, piece.n, piece.replicate)
    if isinstance(piece, Regression):
        return regression.run(piece.d, piece.n, piece.replicate, piece.product, piece.plain)
    if isinstance(piece, Laws):
        return laws.run(piece.replicate)
    if isinstance(piece, Queries):
        return queries.run(piece)
    return digits.run(piece)


def first() -> list[Piece]:
    """Return what chooses rates and settings, and what needs no choice."""
    tuning = [Tune(d, n, r) for d, rows in PLACES.items() for n in rows if n <= MOST_TUNED[d] for r in TUNING[d]]
    inner = [Digits(settings, digits.INNER, True) for arm in ARMS for settings in together(digits.grid(arm.name))]
    return [*(Laws(r) for r in range(laws.REPLICATES)), *tuning, *inner, *queries.first()]


def second(found: Sequence[Record]) -> list[Piece]:
    """Return what runs with the choices."""
    pieces: dict[int, list[Piece]] = {200: [], 1000: []}
    last: list[Piece] = []
    for d, rows in PLACES.items():
        at = {n: min(n, MOST_TUNED[d]) for n in rows}
        shares = {n: [regression.best_share(found, d, at[n], how) for how in ("product", "plain")] for n in rows}
        for r in range(REPLICATES[d]):
            pieces[d] += [Regression(d, n, r, *shares[n]) for n in rows if (d, n) != DEAR]
        last += [Regression(d, n, r, *shares[n]) for n in rows if (d, n) == DEAR for r in range(FEWER)]
    aims = digits.chosen(found)
    wanted = [one for arms in aims.values() for one in arms.values()] + digits.frontier(found)
    long = [replace(one, times=LONG) for name in ("points 0.01", "kept 0.05") for one in _longer(aims[name])]
    outer: list[Piece] = [Digits(s, digits.REPLICATES, False) for s in together([*wanted, *long])]
    return [*pieces[200], *outer, *pieces[1000], *last, *queries.second(found)]


def _longer(chosen: dict[str, Setting]) -> list[Setting]:
    return [one for arm, one in chosen.items() if arm == SPRED or arm.endswith("curved, by row")]


def together(settings: Sequence[Setting]) -> list[tuple[Setting, ...]]:
    """Return settings that can be trained at once: of one arm, optimizer, rate and length; none twice."""
    groups: dict[tuple[Any, ...], list[Setting]] = {}
    for one in dict.fromkeys(settings):
        groups.setdefault((one.arm, one.how, one.rate, one.times), []).append(one)
    return [tuple(group) for group in groups.values()]


def few() -> list[Piece]:
    """Return pieces for a minute."""
    pieces: list[Piece] = [Laws(0), *(Regression(200, n, r, 0.5, 0.25) for n in (100, 200) for r in range(3))]
    for name in (SPRED, "Poisson, curved, by row"):
        settings = [one for one in digits.grid(name) if (one.how, one.rate) == ("sgd", 0.3) and one.floor != 1.0]
        pieces.append(Digits(tuple(settings[1:5:2]), (0, 1, 2), False))
    return pieces


def done(piece: Piece, found: Sequence[Record]) -> bool:
    """Say whether the records of a piece are there."""
    if isinstance(piece, Digits):
        there = {(digits.setting_of(r), r["replicate"]) for r in found if r["piece"] == "digits"}
        return all((one, number) in there for one in piece.settings for number in piece.replicates)
    if isinstance(piece, Queries):
        return queries.done(piece, found)
    kind = type(piece).__name__.lower()
    wanted = {name: value for name, value in vars(piece).items() if name in ("d", "n", "replicate")}
    return any(r["piece"] == kind and all(r[name] == v for name, v in wanted.items()) for r in found)

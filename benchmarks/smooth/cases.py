"""What is run: every function at every n, learned by four rules, and by piecewise polynomials of known exponent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from smooth.learners import Setting, predict, standard, train

from sparsefire.convergence.nonparametric import functions
from sparsefire.convergence.nonparametric.functions import Function
from sparsefire.convergence.nonparametric.smoothers import smoother_risk
from sparsefire.randomness import stream

Record = dict[str, Any]
NOISE, ROUGH_NOISE = 1.0, 0.4
"""Standard deviation of ε where a function has one or two variables at heart; where it has five, whose exponents show
only when noise matters less. Both were chosen with the smoother, on other functions, before a network was trained."""
ROWS = (128, 256, 512, 1024, 2048, 4096)
REPLICATES = tuple(range(4))
ASKED = 8192
SMOOTHER = "piecewise polynomials"
SMOOTH_ROWS = (256, 512, 1024, 2048, 4096, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000)
"""Sample sizes of the reference: those of the networks, and a longer range over which its own exponent shows."""
SMOOTH_REPLICATES = tuple(range(10))
FRESH = 5000
"""First number of a function."""


def _composed(rng: int) -> Function:
    inner = [functions.multi_index(2.0, 5, 1, rng=stream(rng, "inner", i)) for i in range(2)]
    return functions.composition(inner, functions.hoelder(1.0, 2, rng=stream(rng, "outer")))


def _named(beta: float, dimension: int) -> tuple[str, Callable[[int], Function]]:
    shown = {0.5: "½"}.get(beta, f"{beta:g}")
    return f"β = {shown}, d = {dimension}", lambda rng: functions.hoelder(beta, dimension, rng=rng)


FUNCTIONS: dict[str, Callable[[int], Function]] = {
    **dict(_named(beta, dimension) for dimension in (1, 2, 5) for beta in (0.5, 1.0, 2.0)),
    "additive, β = 1, d = 5": lambda rng: functions.additive(1.0, 5, rng=rng),
    "single index, β = 2, d = 5": lambda rng: functions.single_index(2.0, 5, rng=rng),
    "composition, t = 2, d = 5": _composed,
}
HOW = {
    "backprop": (40_000, tuple(Setting(rate) for rate in (3e-3, 1e-2, 3e-2))),
    "feedback alignment": (40_000, tuple(Setting(rate) for rate in (3e-3, 1e-2, 3e-2))),
    "node perturbation": (60_000, tuple(Setting(rate) for rate in (1e-3, 3e-3, 1e-2))),
    "two queries": (100_000, tuple(Setting(rate) for rate in (1e-3, 3e-3))),
}
"""Steps and what the held rows choose from, by rule. A step of the last two reads two losses of a batch."""


@dataclass(frozen=True)
class Piece:
    """One function, learned in one way from n rows."""

    function: str
    rule: str
    rows: int
    replicate: int
    share: float = 1.0
    """Of the steps: less than 1 in a quick look."""


def noise_of(function: str) -> float:
    """Return the standard deviation of ε.

    >>> noise_of("β = ½, d = 5"), noise_of("additive, β = 1, d = 5")
    (0.4, 1.0)
    """
    return ROUGH_NOISE if function.startswith("β") and function.endswith("d = 5") else NOISE


def excess(function: Function, answers: Callable[[np.ndarray], np.ndarray], replicate: int) -> float:
    """Return E (f̂ − f)² over fresh uniform rows, the same for all rules."""
    x = stream(0, "nonparametric", "asked", function.dimension, replicate).random((ASKED, function.dimension))
    return float(((answers(x) - function(x)) ** 2).mean())


def run(piece: Piece) -> list[Record]:
    """Return one record."""
    function = FUNCTIONS[piece.function](FRESH + piece.replicate)
    noise = noise_of(piece.function)
    where = {"function": piece.function, "rule": piece.rule, "rows": piece.rows, "replicate": piece.replicate}
    if piece.rule == SMOOTHER:
        rng = stream(0, "nonparametric", SMOOTHER, piece.function, piece.rows, piece.replicate)
        found = smoother_risk(function, piece.rows, noise, rng=rng)
        return [{**where, "exponent": function.exponent, "risk": found.risk}]
    x, y = function.sample(piece.rows, noise, stream(0, "nonparametric", piece.function, piece.rows, piece.replicate))
    steps, settings = HOW[piece.rule]
    name = ("nonparametric", piece.function, piece.rows, piece.replicate)
    found = train(piece.rule, standard(x), y, settings, max(100, round(piece.share * steps)), name)
    risk = excess(function, lambda rows: predict(found.thetas[-1], standard(rows)), piece.replicate)
    last = found.stopped == found.marks[-1]
    more = {"rate": found.settings[-1].rate, "stopped": found.stopped, "last": bool(last)}
    return [{**where, "exponent": function.exponent, "risk": float(f"{risk:.6g}"), **more}]


def all_pieces() -> list[Piece]:
    """Return the study, long pieces first."""
    rules = sorted(HOW, key=lambda rule: -HOW[rule][0] * len(HOW[rule][1]))
    pieces = [Piece(f, rule, n, r) for r in REPLICATES for rule in rules for n in reversed(ROWS) for f in FUNCTIONS]
    return pieces + [
        Piece(f, SMOOTHER, n, r) for n in reversed(SMOOTH_ROWS) for r in SMOOTH_REPLICATES for f in FUNCTIONS
    ]


def few() -> list[Piece]:
    """Return a small study of a few seconds."""
    names, rules = ("β = 1, d = 1", "composition, t = 2, d = 5"), (*HOW, SMOOTHER)
    return [Piece(f, rule, n, r, 0.02) for f in names for rule in rules for n in (128, 512, 2048) for r in range(2)]


def done(piece: Piece, found: list[Record]) -> bool:
    """Return whether a piece is stored."""
    names = ("function", "rule", "rows", "replicate")
    return any(all(record[name] == getattr(piece, name) for name in names) for record in found)

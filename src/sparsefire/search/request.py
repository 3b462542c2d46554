"""What a person asks of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Request:
    """What a person asks for; None leaves it to the effort.

    Attributes:
        effort: ``"quick"``, ``"standard"`` or ``"thorough"``.
        methods, densities: sparse methods and densities named in advance.
        margin: loss allowed in units of the score, or ``retain``: share of dense's gain over a constant to keep.
        folds, rounds, epochs: K, M, passes over the rows.
        level: one-sided error level.
        rule: ``"backprop"`` or ``"forward-gradient"``.
        model: ``"mlp"``, ``"cnn"`` or the name of a factory.
        hidden: widths of the hidden layers.
        rng: see :func:`sparsefire.randomness.entropy`.
        command: the words that repeat it, for the report.
    """

    effort: str = "standard"
    methods: Sequence[str] | None = None
    densities: Sequence[float] | None = None
    margin: float | None = None
    retain: float | None = None
    folds: int | None = None
    rounds: int | None = None
    epochs: int | None = None
    level: float = 0.05
    rule: str = "backprop"
    model: str = "mlp"
    hidden: Sequence[int] | None = None
    rng: Any = 0
    command: str = ""

"""What a person asks of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.search.candidates import check_densities, check_methods
from sparsefire.sparsity.amounts import LAYOUTS
from sparsefire.train.loop import INITIALISERS, check_rule

EFFORTS = ("quick", "standard", "thorough")


@dataclass(frozen=True)
class Request:
    """What a person asks for; None leaves it to the effort.

    Attributes:
        effort: ``"quick"``, ``"standard"`` or ``"thorough"``.
        methods, densities: sparse methods and densities named in advance; densities are sorted from dense to sparse.
        margin: loss allowed in units of the score, or ``retain``: share of dense's gain over a constant to keep.
        folds, rounds, epochs: K, M, passes over the rows.
        level: one-sided error level.
        rule: how networks learn, a name in :data:`sparsefire.train.learners.LEARNERS`.
        layout: how methods share out the density over layers, where their name does not say it; None for their own.
        init: first weights of every network, a name in :data:`sparsefire.train.loop.INITIALISERS`.
        model: ``"mlp"``, ``"spiking"``, ``"cnn"`` or the name of a factory.
        hidden: widths of the hidden layers.
        rng: see :func:`sparsefire.randomness.entropy`.
        command: the words that repeat it, for the report.

    Raises:
        UserError: unknown names, numbers outside their ranges, both margin and retain.

    >>> Request("quick", densities=[0.01, 0.1]).densities
    (0.1, 0.01)
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
    layout: str | None = None
    init: str = "own"
    model: str = "mlp"
    hidden: Sequence[int] | None = None
    rng: Any = 0
    command: str = ""

    def __post_init__(self) -> None:
        if self.effort not in EFFORTS:
            raise UserError(
                f"there is no effort {self.effort!r}.", came=str(self.effort), expected=f"one of {', '.join(EFFORTS)}"
            )
        _check_losses(self.margin, self.retain)
        _check_share("level", self.level, 0.5, "the level is an error probability.", "such as 0.05")
        for name, least in (("folds", 2), ("rounds", 2), ("epochs", 1)):
            _check_count(name, getattr(self, name), least)
        check_rule(self.rule, "dense")
        if self.layout is not None and self.layout not in LAYOUTS:
            raise UserError(
                f"there is no layout {self.layout!r}.", came=str(self.layout), expected=f"one of {', '.join(LAYOUTS)}"
            )
        if self.init not in INITIALISERS:
            raise UserError(
                f"there is no initialiser {self.init!r}.", came=str(self.init), expected=", ".join(INITIALISERS)
            )
        if self.methods is not None:
            object.__setattr__(self, "methods", check_methods(_listed(self.methods)))
            for method in self.methods:
                check_rule(self.rule, method.split("/")[0])
        if self.densities is not None:
            object.__setattr__(self, "densities", check_densities(_listed(self.densities)))
        if self.hidden is not None:
            hidden = _listed(self.hidden)
            for width in hidden:
                _check_count("a hidden width", width, 1)
            object.__setattr__(self, "hidden", tuple(int(width) for width in hidden))


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) or np.ndim(value) == 0 else list(value)


def _check_losses(margin: float | None, retain: float | None) -> None:
    if margin is not None and retain is not None:
        raise UserError("margin and retain are two ways to say one thing.", expected="one of them")
    _check_share(
        "margin",
        margin,
        1.0,
        "the margin is the loss that may not be exceeded, in units of the score.",
        "a number between 0 and 1; 0.01 is one point of accuracy",
    )
    _check_share("retain", retain, 1.0, "retain is the share of dense's gain that is kept.", "0 to 1, such as 0.95")


def _check_share(name: str, value: float | None, below: float, message: str, expected: str) -> None:
    if value is not None and (not isinstance(value, Real) or not 0 < value < below):
        raise UserError(message, came=f"{name}={value}", expected=expected)


def _check_count(name: str, value: int | None, least: int) -> None:
    if value is not None and (not isinstance(value, Integral) or value < least):
        raise UserError(f"{name} must be a whole number, at least {least}.", came=f"{name}={value}")

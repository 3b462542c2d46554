"""How a spike changes the weights of a competitive network."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from sparsefire.errors import UserError


@dataclass(frozen=True)
class CompetitiveRule:
    """Trace rules of Diehl and Cook 2015 (doi:10.3389/fncom.2015.00099) in one form.

    A spike of the input, and one of the unit, change a weight w by

        Δw = −pre · y w^μ,    Δw = post · (x − target) (most − w)^μ [· z, of before the spike, with ``triplet``]

    then w is kept within [0, most]. x is set to 1 by a spike of the input; y and z are set to 1 by a spike of the unit.
    They decay with ``tau_pre``, ``tau_post`` and ``tau_slow`` and are taken for 0 after 0.5 s. The defaults are the
    triplet rule of the authors' code; ``CompetitiveRule(triplet=False, pre=0.0, target=0.4, exponent=0.2)`` has the
    form of their rule with power-law weight dependence, which only a spike of the unit applies.

    Args:
        pre, post: learning rates, 0 or more.
        target: x_tar, 0 or more; inputs that have been silent for long lose weight where it is above 0.
        exponent: μ, 0 or more; 0 changes weights whatever they are.
        most: w_max, above 0.
        triplet: whether potentiation needs an earlier spike of the unit.
        tau_pre, tau_post, tau_slow: seconds, above 0.

    Raises:
        UserError: for numbers out of range.

    >>> CompetitiveRule().triplet, CompetitiveRule(exponent=0.2, triplet=False).most
    (True, 1.0)
    """

    pre: float = 1e-4
    post: float = 1e-2
    _: KW_ONLY
    target: float = 0.0
    exponent: float = 0.0
    most: float = 1.0
    triplet: bool = True
    tau_pre: float = 20e-3
    tau_post: float = 20e-3
    tau_slow: float = 40e-3

    def __post_init__(self) -> None:
        for name in ("pre", "post", "target", "exponent"):
            number(name, getattr(self, name), zero=True)
        for name in ("most", "tau_pre", "tau_post", "tau_slow"):
            number(name, getattr(self, name))


def number(name: str, value: object, *, zero: bool = False) -> float:
    """Return a finite number above 0 (or from 0 on) after checking it.

    >>> number("rate", 2)
    2.0
    """
    good = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not good or not np.isfinite(value) or value < 0 or (value == 0 and not zero):  # type: ignore[call-overload,operator]
        expected = "a finite number, 0 or more" if zero else "a finite number above 0"
        raise UserError(f"{name} is out of range.", came=f"{name}={value!r}", expected=expected)
    return float(value)  # type: ignore[arg-type]

"""How a spike changes the weights of a competitive network."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from sparsefire.spiking._numbers import number


@dataclass(frozen=True)
class CompetitiveRule:
    """Trace rules of Diehl and Cook 2015 (doi:10.3389/fncom.2015.00099) in one form.

    A spike of the input, and one of the unit, change a weight w by

        Δw = −a₋ o₁ w^μ,    Δw = a₊ (r − target) (w_max − w)^μ [· o₂, of before the spike, with ``triplet``]

    then w is kept within [0, w_max]. r is set to 1 by a spike of the input; o₁ and o₂ are set to 1 by a spike of the
    unit. They decay with τ₊, τ₋ and τ_y, as in :class:`~sparsefire.spiking.TripletSTDP`, and are taken for 0 after
    0.5 s. The defaults are the triplet rule of the authors' code;
    ``CompetitiveRule(a_minus=0.0, target=0.4, mu=0.2, triplet=False)`` has the form of their rule with power-law weight
    dependence, which only a spike of the unit applies.

    Args:
        a_plus, a_minus: learning rates at a spike of the unit and of the input, 0 or more.
        target: x_tar, 0 or more; inputs that have been silent for long lose weight where it is above 0.
        mu: μ, 0 or more; 0 changes weights whatever they are.
        w_max: largest weight, above 0.
        triplet: whether potentiation needs an earlier spike of the unit.
        tau_plus, tau_minus, tau_y: seconds, above 0, and not below a step of the network.

    Raises:
        UserError: for numbers out of range.

    >>> CompetitiveRule().triplet, CompetitiveRule(mu=0.2, triplet=False).w_max
    (True, 1.0)
    """

    a_plus: float = 1e-2
    a_minus: float = 1e-4
    _: KW_ONLY
    target: float = 0.0
    mu: float = 0.0
    w_max: float = 1.0
    triplet: bool = True
    tau_plus: float = 20e-3
    tau_minus: float = 20e-3
    tau_y: float = 40e-3

    def __post_init__(self) -> None:
        for name in ("a_plus", "a_minus", "target", "mu"):
            number(name, getattr(self, name), zero=True)
        for name in ("w_max", "tau_plus", "tau_minus", "tau_y"):
            number(name, getattr(self, name))

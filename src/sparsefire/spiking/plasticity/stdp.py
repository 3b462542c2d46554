"""Spike-timing-dependent plasticity: of pairs, of triplets, and with bounds that are soft.

Traces that spikes raise and time lowers stand for all pairs at once, so a spike touches one row or column of the
weights, and a weight between neurons that are silent is never read (Morrison, Diesmann, Gerstner 2008,
doi:10.1007/s00422-008-0233-1).
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from sparsefire.spiking.plasticity._inputs import finite
from sparsefire.spiking.plasticity.rule import Law, TraceRule, check_common


@dataclass(frozen=True)
class STDP(TraceRule):
    """Pair rule: what a spike of one side finds left of spikes of the other side changes the weight.

    With Δ = t_post − t_pre, every pair (or the nearest one) changes the weight by

        a₊ exp(−Δ/τ₊) for Δ > 0,    −a₋ exp(Δ/τ₋) for Δ < 0

    Independent Poisson trains of rates ν drift by ν_pre ν_post (a₊ τ₊ − a₋ τ₋) per second with ``pairing="all"``. On a
    grid of steps τ becomes dt Σ_k exp(−k dt/τ), from k = 0 on where coincident spikes count and from k = 1 on where
    they do not: about τ + dt/2 and τ − dt/2.

    Args:
        tau_plus, tau_minus: seconds, above 0.
        a_plus, a_minus: changes by a pair, any finite number: negative ones turn the rule round (anti-Hebbian).
        pairing: ``"all"`` counts every pair; ``"nearest"`` pairs a spike with the last one of the other side alone
            (the symmetric scheme of doi:10.1007/s00422-008-0233-1).
        coincident: two spikes at the same time (in the same step): ``"pre-first"`` counts them as Δ = 0 from above, a
            full a₊, for a layer without delay fires in the step in which its input arrives; ``"none"`` lets them be.
        dt: seconds per step of dense spikes; Spikes have their own times.

    Raises:
        UserError: for time constants that are not above 0, amounts that are not finite, unknown words.

    >>> import numpy as np
    >>> stdp = STDP(a_plus=0.02, a_minus=0.01)
    >>> pre, post = np.zeros((50, 1, 2)), np.zeros((50, 1, 1))
    >>> pre[10, 0, 0] = pre[30, 0, 1] = post[20, 0, 0] = 1
    >>> stdp(pre, post, np.zeros((1, 2))).round(5).tolist()  # 0.02 exp(−10/16.8), −0.01 exp(−10/33.7)
    [[0.01103, -0.00743]]
    """

    tau_plus: float = 16.8e-3
    tau_minus: float = 33.7e-3
    a_plus: float = 0.02
    a_minus: float = 0.01
    _: KW_ONLY
    pairing: str = "all"
    coincident: str = "pre-first"
    dt: float = 1e-3

    def __post_init__(self) -> None:
        check_common(self, ("tau_plus", "tau_minus"))
        finite("a_plus", self.a_plus)
        finite("a_minus", self.a_minus)

    def law(self) -> Law:
        """Return the rule in numbers."""
        fast = (self.tau_plus, self.tau_plus, self.tau_minus, self.tau_minus)
        return Law(fast, (self.a_plus, 0.0, self.a_minus, 0.0))


@dataclass(frozen=True)
class TripletSTDP(TraceRule):
    """Triplet rule of Pfister and Gerstner 2006 (doi:10.1523/JNEUROSCI.1425-06.2006).

    Traces r₁ (τ₊), r₂ (τ_x) follow presynaptic spikes, o₁ (τ₋), o₂ (τ_y) postsynaptic ones; just before a spike

        w ← w − o₁ (A₂₋ + A₃₋ r₂)  at a presynaptic spike,    w ← w + r₁ (A₂₊ + A₃₊ o₂)  at a postsynaptic one

    Independent Poisson trains drift, with all pairs, by ν_pre ν_post (A₂₊ τ₊ − A₂₋ τ₋) + A₃₊ τ₊ τ_y ν_pre ν_post²
    − A₃₋ τ₋ τ_x ν_pre² ν_post. The defaults are the paper's fit to hippocampal cultures with nearest spikes.

    Args:
        tau_plus, tau_x, tau_minus, tau_y: seconds, above 0.
        a2_plus, a3_plus, a2_minus, a3_minus: changes by a pair and by a triplet, any finite number.
        pairing: ``"nearest"``: a trace is set to 1 by a spike; ``"all"``: it is raised by 1.
        coincident: as of :class:`STDP`; r₂ and o₂ never see the spike that reads them.
        dt: seconds per step of dense spikes.

    >>> import numpy as np
    >>> post = np.zeros((400, 1, 1)); pre = post.copy()
    >>> pre[5::100], post[15::100] = 1, 1  # four pairs, 10 ms before, ten a second
    >>> float(TripletSTDP()(pre, post, np.zeros((1, 1)))[0, 0].round(5))
    0.01132
    """

    tau_plus: float = 16.8e-3
    tau_x: float = 575e-3
    tau_minus: float = 33.7e-3
    tau_y: float = 47e-3
    a2_plus: float = 4.6e-3
    a3_plus: float = 9.1e-3
    a2_minus: float = 3.0e-3
    a3_minus: float = 7.5e-9
    _: KW_ONLY
    pairing: str = "nearest"
    coincident: str = "pre-first"
    dt: float = 1e-3

    def __post_init__(self) -> None:
        check_common(self, ("tau_plus", "tau_x", "tau_minus", "tau_y"))
        for name in ("a2_plus", "a3_plus", "a2_minus", "a3_minus"):
            finite(name, getattr(self, name))

    def law(self) -> Law:
        """Return the rule in numbers."""
        return Law(
            (self.tau_plus, self.tau_x, self.tau_minus, self.tau_y),
            (self.a2_plus, self.a3_plus, self.a2_minus, self.a3_minus),
        )


@dataclass(frozen=True)
class WeightDependentSTDP(TraceRule):
    """Pair rule with soft bounds (Gütig et al. 2003, doi:10.1523/JNEUROSCI.23-09-03697.2003).

    With u = w / w_max in [0, 1], a pair changes u by

        λ (1 − u)^μ exp(−Δ/τ₊) for Δ > 0,    −α λ u^μ exp(Δ/τ₋) for Δ < 0

    one after the other, as the spikes come, so the weight moves within a call; it never leaves [0, w_max]. μ = 0 is the
    additive rule with hard bounds, μ = 1 the multiplicative one. Under independent Poisson trains the mean drift is
    zero at u* = 1 / (1 + (α τ₋/τ₊)^(1/μ)). In a batch each sample begins from the weight given.

    Args:
        step: λ, in (0, 1].
        alpha: α, above 0.
        mu: μ, in [0, 1].
        w_max: largest weight, above 0.
        tau_plus, tau_minus, pairing, coincident, dt: as of :class:`STDP`.

    >>> import numpy as np
    >>> rule = WeightDependentSTDP(step=0.1, mu=1.0)
    >>> pre = np.ones((1, 1, 1))
    >>> [float(rule(pre, pre, np.full((1, 1), w))[0, 0].round(3)) for w in (0.0, 0.5, 1.0)]  # coincident: potentiated
    [0.1, 0.05, 0.0]
    """

    step: float = 0.005
    alpha: float = 1.05
    mu: float = 0.4
    w_max: float = 1.0
    tau_plus: float = 20e-3
    tau_minus: float = 20e-3
    _: KW_ONLY
    pairing: str = "all"
    coincident: str = "pre-first"
    dt: float = 1e-3

    def __post_init__(self) -> None:
        check_common(self, ("tau_plus", "tau_minus"))
        finite("step", self.step, 0.0, 1.0, least=False)
        finite("alpha", self.alpha, 0.0, least=False)
        finite("mu", self.mu, 0.0, 1.0)
        finite("w_max", self.w_max, 0.0, least=False)

    @property
    def fixed_point(self) -> float:
        """The weight at which independent Poisson trains neither raise nor lower it, in continuous time, for μ > 0.

        >>> round(WeightDependentSTDP(mu=1.0, alpha=3.0).fixed_point, 6)
        0.25
        """
        ratio = self.alpha * self.tau_minus / self.tau_plus
        if self.mu == 0:
            return 0.0 if ratio > 1 else self.w_max if ratio < 1 else float("nan")
        return self.w_max / (1 + ratio ** (1 / self.mu))

    def law(self) -> Law:
        """Return the rule in numbers."""
        fast = (self.tau_plus, self.tau_plus, self.tau_minus, self.tau_minus)
        up = self.step * self.w_max
        return Law(fast, (up, 0.0, self.alpha * up, 0.0), float(self.mu), float(self.w_max), soft=True)

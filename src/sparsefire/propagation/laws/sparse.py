"""Two laws of sparse ReLU networks: how many units no signal reaches, and how unevenly it is shared by the others.

Zero bias, independent symmetric weights, h_l = W_l x_{l-1}, x_l = relu(h_l), fan-in k (or a law of fan-ins), many
units, so that what reaches a unit comes over a tree:

    u_{l+1} = G((1 + u_l) / 2),    u_l = P(h_l = 0),    G(z) = Σ p_k z^k
    K_{l+1} = 3 E k(k-1) / (E k)² + (2 μ4 / E k) K_l,    K_l = E h⁴ / (E h²)²,    μ4 = E w⁴ / (E w²)²

The first is the extinction of a Galton-Watson process with E k / 2 children on the mean: a fan-in of 2 is critical. The
second has a finite limit if and only if E k > 2 μ4, since a unit squares what it gets and half of the signal is cut.
Both are derived here; that ReLU units die by bad luck at initialisation is in Lu et al. 2019, arXiv:1903.06733, and
Rister & Rubin 2020, arXiv:2007.06192, for dense networks.

At finite width the number A of active units is a Markov chain: every unit draws its inputs afresh, so that given A it
is active with chance (1 - G(1 - A/n)) / 2, or with C(n - A, k) / C(n, k) for (1 - A/n)^k where the k inputs are
distinct. It is exact for weights of a continuous law. Weights of one magnitude can also cancel exactly, which is not
counted.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from scipy import special

from sparsefire.errors import UserError
from sparsefire.propagation.laws.moments import (
    INPUTS,
    check_inputs,
    fan_in_law,
    fourth_moment,
    generating,
    per_layer,
    weight_variances,
)
from sparsefire.propagation.laws.widths import several, widths_of

MOST_UNITS = 4096  # of a layer whose law is kept whole


def dead_share(
    fan_in: Any,
    depth: int | None = None,
    width: Any = None,
    *,
    distinct: bool = False,
    inputs: Any = "activated",
) -> np.ndarray:
    """Return the share of units whose pre-activation is exactly 0, float64 [depth]: no live input reaches them.

    Half of the others are silent as well (x_l = 0) for this input: see :func:`silent_share`.

    Args:
        fan_in: a number, a law or a Wiring for all layers, or a list with one per layer: see
            :func:`~sparsefire.propagation.laws.moments.per_layer`.
        depth: number of layers; may be left out where a list tells it.
        width: None for many units; else units of every layer and of the input, or all widths, the input's first: then
            the mean share of the finite chain is given.
        distinct: at finite width, False: the inputs of a unit are drawn with replacement, active' | active ~ Bin(n,
            (1 - (1 - A/n)^k) / 2); True: they are distinct, as those of a mask are, with C(n - A, k) / C(n, k) in
            place of (1 - A/n)^k. Among many units both agree. The law of an independent mask of density d is
            binomial(n, d), with ``distinct=True``.
        inputs: ``"activated"``, each input is 0 with chance 1/2, as if the input were a layer of ReLUs without dead
            units (u_0 = 0); ``"plain"``, no input is 0; or, with ``width``, how many are not, or the law of that
            number [n_0 + 1].

    Raises:
        UserError: no law of fan-ins, a depth or a width below 1, more distinct inputs than units.

    >>> dead_share(fan_in=3, depth=20)[[0, 1, 19]].round(5).tolist()
    [0.125, 0.17798, 0.23607]
    >>> dead_share(fan_in=2, depth=20)[-1].round(5).tolist(), dead_share(2, 20, width=100)[-1].round(3).tolist()
    (0.84619, 0.879)
    """
    if width is not None:
        chain = _Chain(fan_in, depth, width, distinct, inputs)
        return np.array([before @ chain.unreached(at) for at, before in enumerate(chain.laws()[:-1])])
    check_inputs(inputs, ", or width= too")
    z, found = 0.5 if inputs == "activated" else 0.0, []
    for law in per_layer(fan_in, depth):
        found.append(float(generating(law, z)))
        z = (1 + found[-1]) / 2
    return np.array(found)


def silent_share(fan_in: Any, depth: int | None = None, width: Any = None, **arguments: Any) -> np.ndarray:
    """Return the share of units with x_l = 0, float64 [depth]: (1 + dead share) / 2. For the arguments see there.

    >>> silent_share(3, 2).round(4).tolist()
    [0.5625, 0.589]
    """
    return (1 + dead_share(fan_in, depth, width, **arguments)) / 2


def dead_limit(fan_in: Any) -> float:
    """Return the dead share of many layers: the smallest root of u = G((1 + u) / 2); 1 where E k ≤ 2.

    >>> round(dead_limit(3), 6), dead_limit(2)
    (0.236068, 1.0)
    """
    law = fan_in_law(fan_in)
    slope = np.polynomial.polynomial.polyder(law)
    if generating(slope, 1.0) <= 2:
        return 1.0
    u = 0.0
    for _ in range(200):  # Newton from the left of a convex function never steps over its root
        z = (1 + u) / 2
        step = (float(generating(law, z)) - u) / (1 - float(generating(slope, z)) / 2)
        u += step
        if step < 1e-16:
            break
    return u


def active_law(
    fan_in: Any,
    depth: int | None = None,
    width: Any = None,
    *,
    distinct: bool = False,
    inputs: Any = "activated",
) -> list[np.ndarray] | np.ndarray:
    """Return the law of the number of active units (x_l > 0), layer by layer.

    Args:
        fan_in, depth, distinct: as of :func:`dead_share`.
        width: units of every layer and of the input, or all widths, the input's first; up to 4,096.
        inputs: ``"activated"``, each input is 0 with chance 1/2; ``"plain"``, none is; how many are not; or the law of
            that number [n_0 + 1].

    Returns:
        float64 [depth, n + 1]; a list with a law [n_l + 1] per layer where widths differ. Entry 0 is the chance that
        nothing is left.

    Units take their fan-ins independently from the law. Where a mask has a fixed number of weights, they depend on
    each other a little: the spread is then slightly smaller than here.

    >>> active_law(3, depth=2, width=4, distinct=False, inputs="plain").round(4).tolist()
    [[0.0625, 0.25, 0.375, 0.25, 0.0625], [0.1844, 0.3007, 0.3168, 0.164, 0.0341]]
    """
    laws = _Chain(fan_in, depth, width, distinct, inputs).laws()[1:]
    return np.array(laws) if len({len(law) for law in laws}) == 1 else laws


def dead_law(
    fan_in: Any,
    depth: int | None = None,
    width: Any = None,
    *,
    distinct: bool = False,
    inputs: Any = "activated",
) -> list[np.ndarray] | np.ndarray:
    """Return the law of the number of units whose pre-activation is exactly 0. For the arguments see above.

    >>> dead_law(1, depth=2, width=2, inputs="plain").round(4).tolist()
    [[1.0, 0.0, 0.0], [0.375, 0.25, 0.375]]
    """
    chain = _Chain(fan_in, depth, width, distinct, inputs)
    laws = [before @ binomials(len(after) - 1, chain.unreached(at)) for at, (before, after) in chain.pairs()]
    return np.array(laws) if len({len(law) for law in laws}) == 1 else laws


def kurtosis(
    fan_in: Any,
    depth: int | None = None,
    weights: Any = "normal",
    *,
    scaled: str = "mean",
    start: float = 3.0,
) -> np.ndarray:
    """Return K_l = E h⁴ / (E h²)² over all units of a layer, dead ones with them, float64 [depth].

    Args:
        fan_in, depth: as of :func:`dead_share`.
        weights: ``"normal"``, ``"uniform"``, ``"sign"``, or μ4: see
            :func:`~sparsefire.propagation.laws.moments.fourth_moment`.
        scaled: ``"mean"``: weights have variance 2 / E k; ``"actual"``: 2 / k, k the fan-in of the unit they lead to.
        start: K_0, of the pre-activations whose ReLU is the input. For an input with kurtosis κ that is not rectified
            give κ / 2, since the ReLU of a symmetric law has twice its kurtosis: 1.5 for a normal input.

    With s_k the variance of the weights of a unit of fan-in k, and m = E k s_k,

        K_{l+1} = 3 E[k(k-1) s_k²] / m² + 2 μ4 E[k s_k²] / m² · K_l

    which is the law at the head of this module for s_k = 2 / E k, and (3 E[1 - 1/k] + 2 μ4 E[1/k] K_l) / P(k > 0)²,
    means over k > 0, for s_k = 2 / k.

    >>> kurtosis(fan_in=16, depth=10)[[0, -1]].round(3).tolist(), kurtosis(4, 3, "sign").tolist()
    ([3.938, 4.5], [3.75, 4.125, 4.3125])
    """
    mu4 = fourth_moment(weights)
    if not (np.isfinite(start) and start > 0):
        raise UserError("start is a kurtosis.", came=repr(start), expected="a number above 0")
    value, found = float(start), []
    for law in per_layer(fan_in, depth):
        spread, kept = kurtosis_step(law, mu4, scaled)
        value = spread + kept * value
        found.append(value)
    return np.array(found)


def kurtosis_limit(fan_in: Any, weights: Any = "normal", *, scaled: str = "mean") -> float:
    """Return the limit of K_l over many layers; inf if fan-ins are too small. For the arguments see above.

    >>> kurtosis_limit(16), kurtosis_limit(6), round(kurtosis_limit(3, "sign"), 9)
    (4.5, inf, 6.0)
    """
    spread, kept = kurtosis_step(fan_in_law(fan_in), fourth_moment(weights), scaled)
    return spread / (1 - kept) if kept < 1 - 1e-12 else np.inf


def kurtosis_step(law: np.ndarray, mu4: float, scaled: str) -> tuple[float, float]:
    """Return a and b of K' = a + b K.

    >>> kurtosis_step(fan_in_law(4), 3.0, "mean")
    (2.25, 1.5)
    """
    mean, pairs, singles = scale_moments(law, scaled)
    return (3 * pairs / mean**2, 2 * mu4 * singles / mean**2) if mean > 0 else (np.nan, np.nan)


def scale_moments(law: np.ndarray, scaled: str) -> tuple[float, float, float]:
    """Return E k s_k, E k(k-1) s_k² and E k s_k², where s_k is the variance of the weights of a unit of fan-in k.

    >>> scale_moments(fan_in_law([0.5, 0.0, 0.5]), "mean"), scale_moments(fan_in_law([0.5, 0.0, 0.5]), "actual")
    ((2.0, 4.0, 4.0), (1.0, 1.0, 1.0))
    """
    k = np.arange(len(law), dtype=np.float64)
    s = weight_variances(law, 2.0, scaled)
    return float(law @ (k * s)), float(law @ (k * (k - 1) * s**2)), float(law @ (k * s**2))


def binomials(trials: int, chances: np.ndarray) -> np.ndarray:
    """Return the laws of Bin(trials, chance), a row for each chance: float64 [chances, trials + 1].

    >>> binomials(2, np.array([0.0, 0.5])).round(12).tolist()
    [[1.0, 0.0, 0.0], [0.25, 0.5, 0.25]]
    """
    j = np.arange(trials + 1.0)
    ways = special.gammaln(trials + 1.0) - special.gammaln(j + 1) - special.gammaln(trials - j + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(chances)[:, None] * j  # 0 log 0 is put right below
        found += np.log1p(-chances)[:, None] * (trials - j)
    found += ways
    np.exp(found, out=found)
    for sure, place in ((chances <= 0, 0), (chances >= 1, trials)):
        found[sure] = 0.0
        found[sure, place] = 1.0
    return found / found.sum(1, keepdims=True)


class _Chain:
    """The chain of the number of active units: laws, widths and the law of the number of live inputs, checked."""

    def __init__(self, fan_in: Any, depth: int | None, width: Any, distinct: bool, inputs: Any) -> None:
        if width is None:
            raise UserError("a finite chain needs its width.", came="width=None", expected="a number of units")
        self.fan_ins = per_layer(fan_in, several(width, depth))
        self.widths = widths_of(width, len(self.fan_ins))
        if max(self.widths) > MOST_UNITS:
            raise UserError(
                "these layers are too wide for their whole law.",
                came=f"width {max(self.widths):,}",
                expected=f"up to {MOST_UNITS:,}",
                attempt="width=None, many units",
            )
        self.distinct = bool(distinct)
        if distinct:
            check_distinct(self.fan_ins, self.widths)
        self.first = live_law(inputs, self.widths[0])

    def unreached(self, at: int) -> np.ndarray:
        """Return P(h = 0 | A) in layer ``at``, for A = 0 … n active units before it."""
        return unreached(self.fan_ins[at], self.widths[at], self.distinct)

    def laws(self) -> list[np.ndarray]:
        """Return the laws of A, of the input and of all layers."""
        found: list[np.ndarray] = [self.first]
        last: Any = None
        matrix = np.empty(0)
        for at, n in enumerate(self.widths[1:]):
            key = (self.fan_ins[at].tobytes(), self.widths[at], n)
            if key != last:
                matrix, last = binomials(n, (1 - self.unreached(at)) / 2), key
            found.append(found[-1] @ matrix)
        return found

    def pairs(self) -> list[tuple[int, tuple[np.ndarray, np.ndarray]]]:
        """Return the laws before and after every layer."""
        return list(enumerate(pairwise(self.laws())))


def check_distinct(fan_ins: list[np.ndarray], widths: list[int]) -> None:
    """Raise if a unit has more inputs than there are units in the layer before."""
    for at, (law, n) in enumerate(zip(fan_ins, widths, strict=False)):
        if law[n + 1 :].sum() > 1e-9:
            raise UserError(
                f"layer {at + 1} has more distinct inputs than there are.",
                came=f"a fan-in of {len(law) - 1} from {n} units",
                expected=f"up to {n}",
            )


def unreached(law: np.ndarray, width: int, distinct: bool) -> np.ndarray:
    """Return the chance that none of a unit's inputs is active, for A = 0 … n active units, float64 [n + 1].

    >>> unreached(fan_in_law(2), 3, False).round(4).tolist(), unreached(fan_in_law(2), 3, True).round(4).tolist()
    ([1.0, 0.4444, 0.1111, 0.0], [1.0, 0.3333, 0.0, 0.0])
    """
    active = np.arange(width + 1)
    if not distinct:
        return np.asarray(generating(law, 1 - active / width))
    found, none = np.zeros(width + 1), np.ones(width + 1)
    for k in range(min(len(law) - 1, width) + 1):
        found += law[k] * none
        none = none * np.maximum(width - active - k, 0) / max(width - k, 1)  # C(n-A, k+1) / C(n, k+1)
    return found / law[: width + 1].sum()


def live_law(inputs: Any, units: int) -> np.ndarray:
    """Return the law of how many inputs are not 0, float64 [units + 1]; see :func:`active_law`.

    >>> live_law("activated", 2).round(12).tolist(), live_law(1, 2).tolist()
    ([0.25, 0.5, 0.25], [0.0, 1.0, 0.0])
    """
    if isinstance(inputs, str) and inputs == "activated":
        return binomials(units, np.array([0.5]))[0]
    count = units if isinstance(inputs, str) and inputs == "plain" else inputs
    if isinstance(count, int | np.integer) and not isinstance(count, bool) and 0 <= count <= units:
        law = np.zeros(units + 1)
        law[count] = 1.0
        return law
    if isinstance(inputs, np.ndarray | list | tuple):
        law = np.asarray(inputs, dtype=np.float64)
        if law.shape == (units + 1,) and (law >= 0).all() and abs(law.sum() - 1) <= 1e-9:
            return law / law.sum()
    raise UserError(
        "these are no inputs.",
        came=repr(inputs)[:60],
        expected=f"{', '.join(map(repr, INPUTS))}, a number up to {units}, or the law of that number [{units + 1}]",
    )

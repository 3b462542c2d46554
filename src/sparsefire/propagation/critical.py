"""The layout ``"critical"``: the fewest weights with which a signal neither dies out, nor localises, nor drifts away.

The laws behind it hold for random masks of constant fan-in, weights scaled to the fan-in of their unit (variance 2/k)
and ReLU units without biases. In layer l, of width n, with fan-in k out of m, behind a layer with the values u and K:

    extinction    u_l = ((1 + u) / 2)^k, the share of units that are exactly zero before the ReLU (Galton–Watson)
    localisation  K_l = (μ4 κ + 3 (k − 1)(m − κ) / (m − 1)) / k, κ = min(2K, m), the kurtosis of a pre-activation;
                  a share 1 / (2 K_l) of the units carries the signal: (Σx²)² / (n Σx⁴)
    spread        λ_l = −(2 K_l − 1) / (2n), the drift of log |x|² (its expectation keeps while its median shrinks)

For m → ∞ the second is K_l = 3 (1 − 1/k) + 2 μ4 K / k, which stays finite if and only if k > 2 μ4, and for k = m and
normal weights the third is −5/(2n). These are the laws of :mod:`sparsefire.propagation.laws.sparse` with a finite m
before the layer. The first layer hears inputs that are all alive, with a kurtosis of 3 (κ = 3).

Sources: neuron death arXiv:1903.06733 and exact finite-width laws arXiv:1806.06362 for dense layers; for sparse layers
the three are derived here: given x, E h⁴ of a row is averaged over its random places, and λ = −Var R / 2 to second
order with R the ratio of two layers' mean squares, Var R = (2 K_l − 1) / n.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.propagation import allocation
from sparsefire.propagation.even_masks import even_mask
from sparsefire.propagation.laws.moments import fourth_moment
from sparsefire.randomness import stream
from sparsefire.wiring.layouts import Shape, keep_count

DENSE_CARRIERS = 1 / 6
"""Share of units that carry the signal of a dense layer: 1 / (2 · 3)."""


@dataclass(frozen=True, eq=False)
class CriticalLayout:
    """How many weights each layer keeps, and why.

    Attributes:
        shapes: name → weight shape, first layer first.
        counts: weights kept per layer.
        least: fewest that satisfy the constraints, per layer; equal to ``counts`` where no density was asked for.
        binding: per layer the constraint that sets ``least``: ``"coverage"``, ``"extinction"``, ``"localisation"`` or
            ``"spread"``; that of the layer behind it, if it keeps more for the sake of that one.
        unattainable: name → constraints that even the dense layer fails, since the widths are too small. These bind
            nothing, but for extinction, under which the layer is made dense.
        extinction: expected share of units before the ReLU that are exactly zero, float64 [layers].
        kurtosis: of the pre-activations, float64 [layers].
        drift: λ of the hidden layers, float64 [layers − 1].
    """

    shapes: dict[str, Shape]
    counts: tuple[int, ...]
    least: tuple[int, ...]
    binding: tuple[str, ...]
    unattainable: dict[str, tuple[str, ...]]
    extinction: np.ndarray
    kurtosis: np.ndarray
    drift: np.ndarray

    @property
    def attainable(self) -> bool:
        """Whether the widths let every layer satisfy every constraint."""
        return not self.unattainable

    @property
    def fan_ins(self) -> np.ndarray:
        """Mean weights per output unit, float64 [layers]; each unit has this number, rounded down or up."""
        return np.array([count / shape[0] for count, shape in zip(self.counts, self.shapes.values(), strict=True)])

    @property
    def smallest_density(self) -> float:
        """Share of all weights that ``least`` comes to: below it a density is not feasible."""
        return sum(self.least) / sum(math.prod(shape) for shape in self.shapes.values())

    def densities(self) -> dict[str, float]:
        """Return name → share of weights kept."""
        found = zip(self.shapes.items(), self.counts, strict=True)
        return {name: count / math.prod(shape) for (name, shape), count in found}


def critical_layout(
    shapes: Mapping[str, Shape] | Sequence[Shape],
    density: float | None = None,
    *,
    weights: str | float = "normal",
    extinction: float = 0.01,
    participation: float = 0.05,
    spread: float = 1.0,
) -> CriticalLayout:
    """Return how many weights each layer keeps so that a signal arrives: alive, on many units, at its size.

    The fewest weights are found that satisfy in every layer

    - coverage: as many weights as the layer has inputs and outputs, so that each can be joined;
    - extinction: u_l ≤ ``extinction``;
    - localisation: 1 / (2 K_l) ≥ ``participation``;
    - spread, in hidden layers: |λ_l| · depth ≤ ``spread``, with depth the number of hidden layers. It holds both the
      drift of log |x|² (which a gain such as that of ``typical_`` mends) and its standard deviation, about √(2 ·
      spread), which no gain mends.

    A count that is no multiple of the units gives them two fan-ins, one apart. The budget that is left is spent by
    water-filling: the smallest fan-ins are raised first, to a common level, up to dense layers. What shapes cannot
    tell is not seen: skips, groups, and that a convolution repeats at many places (its width is its channels).

    Args:
        shapes: name → ``[out, in]`` or ``[out, in, *kernel]``, first layer first; or a list of these.
        density: share of all weights to keep, in (0, 1]; None keeps the fewest.
        weights: law of the weights that exist, ``"normal"``, ``"sign"``, ``"uniform"`` or μ4 (see
            :func:`~sparsefire.propagation.laws.moments.fourth_moment`). Signs allow the smallest fan-ins.
        extinction: in (0, 1).
        participation: in (0, 1/6); a dense layer has 1/6.
        spread: above 0.

    Returns:
        A :class:`CriticalLayout`; counts add up to round(density · all weights).

    Raises:
        UserError: shapes that are none, numbers out of range, a density below what the constraints need (with what
            binds and the smallest density that is feasible).

    Each layer takes the least that keeps its bounds, and more where that saves more in the layer behind it (a wide
    one behind a narrow one). More weights than the fewest, anywhere, never break a bound.

    >>> found = critical_layout({"a": (512, 64), "b": (512, 512), "c": (10, 512)})
    >>> found.counts, found.binding
    ((614, 3442, 512), ('localisation', 'localisation', 'coverage'))
    >>> round(found.smallest_density, 4), critical_layout(found.shapes, 0.05).fan_ins.round(1).tolist()
    (0.0152, [14.2, 14.2, 51.2])
    """
    named = _named(shapes)
    mu4 = fourth_moment(weights)
    _check(extinction, participation, spread)
    stages = _stages(named, extinction, participation, spread)
    least, binding, missed = allocation.fewest(stages, mu4)
    sizes = np.array([stage.size for stage in stages])
    counts = least
    if density is not None:
        total = keep_count(int(sizes.sum()), density)
        if total < least.sum():
            signs = allocation.fewest(stages, 1.0)[0]
            raise _infeasible(named, density, total, least, binding, int(sizes.sum()), int(signs.sum()))
        counts = _fill(np.array([stage.outs for stage in stages]), least, sizes, total)
    states = [allocation.INPUTS]
    for stage, count in zip(stages, counts, strict=True):
        states.append(allocation.after(stage, count, states[-1], mu4))
    u, kurtosis = np.array(states[1:]).T
    widths = np.array([stage.outs for stage in stages[:-1]])
    return CriticalLayout(
        shapes=named,
        counts=tuple(int(count) for count in counts),
        least=tuple(int(count) for count in least),
        binding=tuple(binding),
        unattainable={name: lost for name, lost in zip(named, missed, strict=True) if lost},
        extinction=u,
        kurtosis=kurtosis,
        drift=-(2 * kurtosis[:-1] - 1) / (2 * widths),
    )


def critical_masks(
    shapes: Mapping[str, Shape] | Sequence[Shape], density: float | None = None, *, rng: Any = None, **constraints: Any
) -> dict[str, np.ndarray]:
    """Return a random mask per layer with the counts of :func:`critical_layout`.

    Fan-ins of a layer differ by one at most, and so do the fan-outs of its inputs (of the entries [in, *kernel] of a
    convolution); no input is left out where there are as many weights as inputs. Rows are dealt from random
    permutations of the inputs, one after the other; where a row meets two of them, the second is drawn so that no
    input comes twice.

    Args:
        shapes, density: see :func:`critical_layout`.
        rng: see :func:`sparsefire.randomness.stream`.
        **constraints: ``weights``, ``extinction``, ``participation`` and ``spread`` of :func:`critical_layout`.

    Returns:
        name → bool ``[out, in, *kernel]``, True where a weight exists. A list of shapes has the names "0", "1", ….

    >>> masks = critical_masks([(64, 32), (64, 64), (10, 64)], 0.2, rng=0)
    >>> {int(k) for k in masks["1"].sum(1)}, {int(k) for k in masks["1"].sum(0)}
    ({9, 10}, {9, 10})
    """
    layout = critical_layout(shapes, density, **constraints)
    generator = stream(rng, "critical masks")
    drawn = {}
    for (name, shape), count in zip(layout.shapes.items(), layout.counts, strict=True):
        drawn[name] = even_mask(shape, count, generator)
    return drawn


def _named(shapes: Mapping[str, Shape] | Sequence[Shape]) -> dict[str, Shape]:
    named = dict(shapes) if isinstance(shapes, Mapping) else {str(i): shape for i, shape in enumerate(shapes)}
    if not named:
        raise UserError("a layout needs layers.", came="no shapes", expected='{"fc1": (300, 784), …}')
    for name, shape in named.items():
        if len(shape) < 2 or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
            raise UserError(
                f"the shape of {name!r} is none.", came=repr(shape), expected="(out, in, *kernel), whole and positive"
            )
    return {name: tuple(int(n) for n in shape) for name, shape in named.items()}


def _check(extinction: float, participation: float, spread: float) -> None:
    for name, value, most in (
        ("extinction", extinction, 1.0),
        ("participation", participation, DENSE_CARRIERS),
        ("spread", spread, math.inf),
    ):
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < most:
            upper = "1/6, the share of a dense layer" if name == "participation" else f"{most:g}"
            expected = "a number above 0" if most == math.inf else f"a number between 0 and {upper}"
            raise UserError(f"{name} is out of range.", came=f"{name}={value!r}", expected=expected)


def _stages(named: dict[str, Shape], extinction: float, participation: float, spread: float) -> list[allocation.Stage]:
    stages, depth = [], len(named) - 1
    for layer, shape in enumerate(named.values()):
        outs, entries = shape[0], math.prod(shape[1:])
        bounds = {"localisation": 0.5 / participation}
        if layer:
            bounds["extinction"] = extinction  # the first layer hears inputs that are alive
        if layer < depth:
            bounds["spread"] = spread * outs / depth + 0.5
        cover = min(max(outs, shape[1]), outs * entries)
        stages.append(allocation.Stage(outs, entries, cover, bounds))
    return stages


def _fill(outs: np.ndarray, least: np.ndarray, sizes: np.ndarray, total: int) -> np.ndarray:
    """Raise the smallest fan-ins to a common level so that the counts add up to ``total``."""
    low, high = 0.0, float((sizes / outs).max())
    for _ in range(200):
        level = (low + high) / 2
        low, high = (low, level) if np.clip(outs * level, least, sizes).sum() > total else (level, high)
    amounts = np.clip(outs * low, least, sizes)
    counts = np.floor(amounts).astype(np.int64)
    while counts.sum() < total:  # fractions of less than one weight per layer
        counts[np.where(counts < sizes, amounts - counts, -np.inf).argmax()] += 1
    return counts


def _infeasible(
    named: dict[str, Shape], density: float, total: int, least: np.ndarray, binding: list[str], size: int, signs: int
) -> UserError:
    weights_of = dict.fromkeys(binding, 0)
    for count, constraint in zip(least.tolist(), binding, strict=True):
        weights_of[constraint] += count
    worst = max(weights_of, key=lambda constraint: weights_of[constraint])
    layers = [name for name, b in zip(named, binding, strict=True) if b == worst]
    where = f"layer {layers[0]!r}" + (f" and {len(layers) - 1} more" if len(layers) > 1 else "")
    attempt = f"density={_at_least(int(least.sum()), size)}"
    if signs < least.sum():
        attempt += f', or weights="sign" (in sparsify layout="critical-signs"), which needs {_at_least(signs, size)}'
    return UserError(
        f"density {density:g} keeps {total:,} weights, the critical layout needs {int(least.sum()):,}: "
        f"{worst} binds in {where}.",
        came=f"density {density:g} of {size:,} weights",
        expected=f"{_at_least(int(least.sum()), size)} or more, or looser bounds",
        attempt=attempt,
    )


def _at_least(count: int, size: int) -> str:
    """Return a short density that keeps at least ``count`` of ``size``."""
    digits = 2 - math.floor(math.log10(count / size))
    share = min(math.ceil(round(count / size * 10**digits, 6)) / 10**digits, 1.0)
    return f"{share:.{digits}f}".rstrip("0").rstrip(".")

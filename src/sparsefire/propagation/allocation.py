"""The fewest weights with which every layer of a chain keeps within bounds, in exact counts.

Two numbers go from layer to layer, the share u of units that are exactly zero before the ReLU and the kurtosis K of
the others (formulas at the head of :mod:`sparsefire.propagation.critical`). Units have a fan-in of ⌊c⌋ or ⌊c⌋ + 1 for a
count of c per unit; f is the share of the second kind. With v = (1 + u) / 2 the means over units are

    E v^k = v^⌊c⌋ (1 − f (1 − v)),    E 1/k = 1/⌊c⌋ − f / (⌊c⌋ (⌊c⌋ + 1)),

piecewise linear in c, so that the least count within a bound is known in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

CONSTRAINTS = ("coverage", "extinction", "localisation", "spread")
_SLACK = 1e-9  # of a count, for rounding
_SWEEPS = 50

State = tuple[Any, Any]
"""u and K of a layer."""
INPUTS: State = (-1.0, 1.5)
"""Of the inputs: v = (1 + u) / 2 = 0, none is zero, and K = 3/2, which a ReLU would double."""


@dataclass(frozen=True)
class Stage:
    """One layer: outputs, inputs of each, least count in any case, and the bounds on what it hands on."""

    outs: int
    entries: int
    cover: int
    bounds: dict[str, float]  # of u for "extinction", of K for "localisation" and "spread"

    @property
    def size(self) -> int:
        return self.outs * self.entries

    @property
    def limits(self) -> State:
        """Largest u and K."""
        on_kurtosis = [bound for name, bound in self.bounds.items() if name != "extinction"]
        return self.bounds.get("extinction", 1.0), min(on_kurtosis, default=math.inf)


def after(stage: Stage, count: Any, state: State, mu4: float) -> State:
    """Return u and K behind a layer with so many weights (arrays of counts give arrays), at least one per output.

    >>> u, k = after(Stage(2, 100, 1, {}), 5, (0.0, 3.0), 1.0)
    >>> round(float(u), 4), round(float(k), 4)
    (0.1875, 4.1616)
    """
    fan_in, more = count // stage.outs, count / stage.outs % 1
    v = (1 + state[0]) / 2
    peak, rest = _peak(stage, state[1])
    inverse = 1 / fan_in - more / (fan_in * (fan_in + 1))
    return v**fan_in * (1 - more * (1 - v)), rest + (mu4 * peak - rest) * inverse


def fewest(stages: Sequence[Stage], mu4: float) -> tuple[np.ndarray, list[str], list[tuple[str, ...]]]:
    """Return the fewest weights per layer, the constraint that sets each, and per layer those that no count satisfies.

    One layer after the other takes the least that keeps it within its bounds. Then neighbours are weighed: more weights
    in one layer may save more of them in the next. Both are exact; the sum is the least as far as pairs can tell.
    """
    possible, missed, counts, state = [], [], [], INPUTS
    for stage in stages:
        stage, lost = _possible(stage, state, mu4)
        possible.append(stage)
        missed.append(lost)
        counts.append(max(_needs(stage, state, mu4).values()))
        state = after(stage, counts[-1], state, mu4)
    for _ in range(_SWEEPS):
        before = sum(counts)
        _weigh(possible, counts, mu4)
        if sum(counts) == before:
            break
    binding, state = [], INPUTS
    for stage, count in zip(possible, counts, strict=True):
        needs = _needs(stage, state, mu4)
        binding.append(next((one for one in CONSTRAINTS if needs.get(one, -1) >= count), ""))
        state = after(stage, count, state, mu4)
    for layer in reversed(range(len(counts))):
        binding[layer] = binding[layer] or binding[layer + 1]  # it keeps more for the sake of what binds the next
    for layer, lost in enumerate(missed):
        if "extinction" in lost:
            binding[layer] = "extinction"
    return np.array(counts), binding, missed


def _possible(stage: Stage, state: State, mu4: float) -> tuple[Stage, tuple[str, ...]]:
    """Return the stage without the bounds that its dense layer fails, and their names."""
    u, kurtosis = after(stage, stage.size, state, mu4)
    lost = []
    for name, bound in stage.bounds.items():
        # A kurtosis below 3 comes only with dense layers of signs, which lose it when earlier layers gain weights.
        value = u if name == "extinction" else max(kurtosis, 3.0)
        if value > bound * (1 + _SLACK):
            lost.append(name)
    cover = stage.size if "extinction" in lost else stage.cover  # more cannot be done
    bounds = {name: bound for name, bound in stage.bounds.items() if name not in lost}
    return replace(stage, cover=cover, bounds=bounds), tuple(lost)


def _needs(stage: Stage, state: State, mu4: float) -> dict[str, int]:
    found = {"coverage": stage.cover}
    for name, bound in stage.bounds.items():
        needed = _for_life(stage, state[0], bound) if name == "extinction" else _for_size(stage, state[1], bound, mu4)
        found[name] = int(min(needed, stage.size))
    return found


def _weigh(stages: Sequence[Stage], counts: list[int], mu4: float) -> None:
    """Move weights between neighbours in place, where that lowers their sum and all bounds still hold."""
    allowed = _allowed(stages, counts, mu4)
    state = INPUTS
    for layer, (stage, following) in enumerate(pairwise(stages)):
        least = max(_needs(stage, state, mu4).values())
        grid = least * (stage.size / least) ** np.linspace(0, 1, 64)
        near = counts[layer] + np.arange(-8, 9) * max(1, stage.outs // 16)
        tried = np.unique(np.clip(np.concatenate([grid, near, counts[layer] + np.arange(-3, 4)]), least, stage.size))
        tried = np.floor(tried)
        u, kurtosis = after(stage, tried, state, mu4)
        most = allowed[layer + 1]
        needed = np.maximum(_for_life(following, u, most[0]), _for_size(following, kurtosis, most[1], mu4))
        total = tried + np.where(needed > following.size, np.inf, np.maximum(needed, following.cover))
        best = int(total.argmin())
        if total[best] < counts[layer] + counts[layer + 1]:
            counts[layer], counts[layer + 1] = int(tried[best]), int(total[best] - tried[best])
        state = after(stage, counts[layer], state, mu4)


def _allowed(stages: Sequence[Stage], counts: list[int], mu4: float) -> list[State]:
    """Return the largest u and K of each layer with which all layers behind it keep their bounds."""
    found = [stages[-1].limits]
    for stage, following, count in zip(stages[-2::-1], stages[:0:-1], counts[:0:-1], strict=True):
        u, kurtosis = stage.limits
        most = found[-1]
        fan_in, more = count // following.outs, count / following.outs % 1
        low, high = 0.5, 1.0
        for _ in range(50):
            v = (low + high) / 2
            low, high = (v, high) if v**fan_in * (1 - more * (1 - v)) <= most[0] else (low, v)
        inverse = 1 / fan_in - more / (fan_in * (fan_in + 1))
        m = following.entries
        slope = mu4 * inverse - 3 * (1 - inverse) / (m - 1) if m > 1 else 0.0
        peak = (most[1] - 3 * m / (m - 1) * (1 - inverse)) / slope if slope > 0 else math.inf
        found.append((min(u, 2 * low - 1), min(kurtosis, peak / 2 if peak < m else math.inf)))
    return found[::-1]


def _peak(stage: Stage, kurtosis: Any) -> tuple[Any, Any]:
    """Return κ of the inputs and 3 (m − κ) / (m − 1)."""
    peak = np.minimum(2 * kurtosis, stage.entries)
    return peak, 3 * (stage.entries - peak) / max(stage.entries - 1, 1)


def _for_life(stage: Stage, u: Any, bound: float) -> Any:
    """Return the least count with E v^k ≤ bound, inf for none."""
    v = (1 + np.asarray(u, dtype=np.float64)) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        fan_in = np.floor(np.log(bound) / np.log(v) + _SLACK)
        more = np.maximum(1 - bound / v**fan_in, 0.0) / (1 - v)
        found = np.where(v >= 1, np.inf, np.where(v <= 0, 0.0, _whole(stage.outs * (fan_in + more))))
    return found if bound < 1 else np.zeros_like(found)


def _for_size(stage: Stage, kurtosis: Any, bound: float, mu4: float) -> Any:
    """Return the least count with a kurtosis ≤ bound, inf for none."""
    peak, rest = _peak(stage, np.asarray(kurtosis, dtype=np.float64))
    falls = mu4 * peak > rest  # otherwise any count will do, for bounds of 3 and above
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = (bound - rest) / (mu4 * peak - rest)
        fan_in = np.floor(1 / inverse + _SLACK)
        more = np.maximum((1 / fan_in - inverse) * fan_in * (fan_in + 1), 0.0)
        found = np.where(inverse < 1, _whole(stage.outs * (fan_in + more)), 0.0)
        return np.where(falls & (inverse <= 0), np.inf, np.where(falls, found, 0.0))


def _whole(count: Any) -> Any:
    return np.ceil(count * (1 - 1e-12) - _SLACK)

"""Oracles: averages over units one by one, and counts tried one by one. Whole chains are in test_critical."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.propagation.allocation import INPUTS, Stage, after, fewest

stages = st.builds(lambda outs, entries: Stage(outs, entries, outs, {}), st.integers(1, 9), st.integers(1, 12))
moments = st.sampled_from([1.0, 1.8, 3.0, 6.0])


def one_by_one(stage: Stage, count: int, state: tuple[float, float], mu4: float) -> tuple[float, float]:
    fan_ins = np.full(stage.outs, count // stage.outs)
    fan_ins[: count % stage.outs] += 1
    m = stage.entries
    peak = min(2 * state[1], m)
    pairs = 3 * (fan_ins - 1) * (m - peak) / max(m - 1, 1)
    return float((((1 + state[0]) / 2) ** fan_ins).mean()), float(((mu4 * peak + pairs) / fan_ins).mean())


@given(stages, st.floats(0, 1), st.floats(0, 1), st.floats(0.5, 20), moments)
def test_one_layer(stage: Stage, share: float, u: float, kurtosis: float, mu4: float) -> None:
    count = round(stage.outs + share * (stage.size - stage.outs))
    found = after(stage, count, (u, kurtosis), mu4)
    assert tuple(map(float, found)) == pytest.approx(one_by_one(stage, count, (u, kurtosis), mu4), rel=1e-12)


@settings(deadline=None, max_examples=300)
@given(stages, stages, st.floats(0.001, 0.9), st.floats(3.05, 12), moments)
def test_the_least_count_of_a_layer_is_the_least(
    first: Stage, second: Stage, dead: float, kurtosis: float, mu4: float
) -> None:
    stage = Stage(second.outs, first.outs, second.outs, {"extinction": dead, "localisation": kurtosis})
    counts, binding, missed = fewest([first, stage], mu4)
    state = one_by_one(first, int(counts[0]), (-1.0, 1.5), mu4)
    assert INPUTS == (-1.0, 1.5)
    u, k4 = one_by_one(stage, int(counts[1]), state, mu4)
    assert missed[0] == ()
    for name, value, bound in (("extinction", u, dead), ("localisation", k4, kurtosis)):
        assert value <= bound * (1 + 1e-7) or name in missed[1]
    tried = [
        (sum(pair), pair)
        for pair in ((a, b) for a in range(first.outs, first.size + 1) for b in range(stage.outs, stage.size + 1))
        if sum(pair) < counts.sum()
    ]
    if not missed[1]:
        for _, (a, b) in tried:
            behind = one_by_one(first, a, (-1.0, 1.5), mu4)
            u, k4 = one_by_one(stage, b, behind, mu4)
            assert u > dead * (1 - 1e-7) or k4 > kurtosis * (1 - 1e-7)
    elif "extinction" in missed[1]:
        assert counts[1] == stage.size
        assert binding[1] == "extinction"

"""Oracle: all choices of whole numbers, tried one by one."""

from __future__ import annotations

import itertools
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.sparsity.whole_units import multiples


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_rounding_to_whole_units_is_worth_most_of_all_choices(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 3))
    steps = data.draw(st.lists(st.integers(1, 30), min_size=size, max_size=size))
    most = data.draw(st.lists(st.integers(1, 12), min_size=size, max_size=size))
    counts = [data.draw(st.integers(step, step * limit)) for step, limit in zip(steps, most, strict=True)]
    found = multiples(counts, steps, most)
    total = sum(counts)

    def off(qs: Any) -> int:
        return abs(sum(q * step for q, step in zip(qs, steps, strict=True)) - total)

    def price(qs: Any) -> float:
        parts = zip(qs, steps, counts, strict=True)
        return sum(c * math.log(q * s / c) ** 2 for q, s, c in parts) + 50 * max(off(qs) - tolerance, 0)

    either = [{c // s, -(-c // s)} for c, s in zip(counts, steps, strict=True)]
    rounded = min(map(off, itertools.product(*either)))
    assert off(found) <= rounded <= max(steps) / 2
    apart = math.gcd(*(step for step, limit in zip(steps, most, strict=True) if limit > 1)) or 1
    tolerance = max(min(total % apart, -total % apart), total // 1000)
    if rounded <= tolerance:
        assert all(q in options for q, options in zip(found, either, strict=True))
        assert off(found) == rounded
    elif off(found) > tolerance:  # nothing that is nearer is worth it
        choices = itertools.product(*(range(1, limit + 1) for limit in most))
        assert all(price(qs) >= price(found) - 1e-9 for qs in choices if off(qs) < rounded)


def test_a_layer_that_would_get_nothing_gets_one() -> None:
    assert multiples([0, 3, 97], [10, 10, 10], [10, 10, 10]) == [1, 1, 8]

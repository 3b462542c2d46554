"""Oracles: numbers by hand, and a law for which nothing has to be known of the units."""

import numpy as np
import pytest

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.exact.solution import alike, settled
from sparsefire.errors import UserError


def test_units_that_are_alike_share_what_the_sure_ones_leave():
    law = SizeDistribution.from_pmf([0, 0, 0.5, 0.25, 0.0, 0.25], "by hand")
    sure = np.array([True, False, True, False, False])
    solution = alike(law, sure)
    assert solution.method == "by hand"
    assert solution.law() is law
    assert solution.active(2).tolist() == [1, 0, 1, 0, 0]
    assert solution.active(3) == pytest.approx([1, 1 / 3, 1, 1 / 3, 1 / 3])
    assert solution.active(5).tolist() == [1] * 5
    assert solution.active(None).sum() == pytest.approx(law.mean())
    for size in (0, 1, 4):
        with pytest.raises(UserError, match="impossible") as caught:
            solution.active(size)
        assert caught.value.came == f"size={size}"


def test_all_are_sure():
    solution = alike(SizeDistribution.from_pmf([0, 0, 1], "by hand"), np.array([True, True]))
    assert solution.active(2).tolist() == solution.active(None).tolist() == [1.0, 1.0]


def test_sizes_too_rare_for_floating_point_are_possible():
    law = SizeDistribution.from_log_pmf([0.0, -2000.0], "by hand")
    assert alike(law, np.array([False])).active(1).tolist() == [1.0]


def test_nothing_is_left_to_chance():
    solution = settled(np.array([True, False, True]))
    assert solution.method == "deterministic"
    assert solution.law().pmf.tolist() == [0, 0, 1, 0]
    assert solution.active(None).tolist() == solution.active(2).tolist() == [1, 0, 1]
    with pytest.raises(UserError, match="impossible"):
        solution.active(3)
    assert not solution.hard(2)

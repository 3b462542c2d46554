"""Oracle: the thresholds as written down in the specification of the decision."""

import numpy as np
import pytest

from sparsefire.statistics import cautions


def test_rounds_that_dominate():
    assert cautions.fired(cautions.about_initialisations(0.51, np.zeros(5), 0.0), cautions.LIMITED)
    assert cautions.about_initialisations(0.5, np.zeros(5), 0.0) == []


@pytest.mark.parametrize(
    ("worst", "error", "accuracy", "fails"),
    [
        (-0.044, 0.001, False, False),  # 3 scaled MADs of these rounds are 0.0445
        (-0.046, 0.001, False, True),
        (-0.046, 0.020, False, False),  # its own rows explain it
        (-0.051, 0.016, True, True),
    ],
)
def test_a_round_far_below(worst, error, accuracy, fails):
    rounds = np.array([0.0, 0.01, -0.01, 0.02, worst])
    texts = cautions.about_initialisations(0.0, rounds - np.median(rounds), error, accuracy=accuracy)
    assert bool(texts) == fails


def test_five_points_of_accuracy_fail_even_among_scattered_rounds():
    rounds = np.array([0.06, 0.03, 0.0, -0.03, -0.06])
    assert cautions.about_initialisations(0.0, rounds, 0.01, accuracy=True)
    assert cautions.about_initialisations(0.0, rounds, 0.01, accuracy=False) == []


def test_sizes():
    assert cautions.about_size(100, differing=30, folds=10) == []
    assert cautions.about_size(99) == ["Too small to promise a level: 99 rows."]
    assert "9.9 groups per fold" in cautions.about_size(500, clusters=99, folds=10)[0]
    assert cautions.about_size(500, clusters=30) == []
    assert cautions.about_size(500, clusters=9) == ["Few groups (9): no verdict."]


def test_tail_counts_the_top_hundredth():
    flat = np.ones(1000)
    assert cautions.about_tail(flat) == []
    heavy = np.concatenate([np.ones(990), np.full(10, np.sqrt(34.0))])  # 340 of 1330: 25.6 %
    assert cautions.about_tail(heavy)
    just_not = np.concatenate([np.ones(990), np.full(10, np.sqrt(32.0))])  # 320 of 1310: 24.4 %
    assert cautions.about_tail(just_not) == []


def test_thousands_are_separated():
    heavy = np.concatenate([np.ones(16_347), np.full(165, 50.0)])
    assert "165 of 16,512 rows" in cautions.about_tail(heavy)[0]
    assert "in 16,512 rows;" in cautions.never_disagreed(16_512, 0.05)


def test_positives():
    assert cautions.about_positives(20, 300, 0.9) == []
    assert cautions.about_positives(300, 19, 0.9)
    assert cautions.about_positives(49, 300, 0.951)
    assert cautions.about_positives(50, 300, 0.99) == []

"""Oracles: mixtures whose groups are known, unimodal laws of scipy.stats, and counts done by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.shape import Mode, binned, log_bins, modes
from sparsefire.errors import UserError


def law_of(values):
    values = np.asarray(values, dtype=float)
    return SizeDistribution.from_pmf(values / values.sum(), "exact")


def mixture(units, low_share, low_mean=2.0, high_share_of_units=0.5):
    """A geometric law of small cascades and a binomial one of large."""
    sizes = np.arange(units + 1)
    small = stats.geom(1 / low_mean).pmf(sizes)
    return law_of(low_share * small + (1 - low_share) * stats.binom(units, high_share_of_units).pmf(sizes))


@given(st.integers(1, 10**6), st.integers(1, 20))
def test_bins_cover_every_size_once(units, per_decade):
    edges = log_bins(units, per_decade)
    assert edges[0] == 0
    assert edges[1] == 1
    assert edges[-1] == units + 1
    assert np.all(np.diff(edges) > 0)
    wide = np.flatnonzero(np.diff(edges)[:-1] > 1)
    # No bin reaches further than the step of the axis says, but for rounding to whole numbers.
    assert np.all(edges[wide + 1] < edges[wide] * 10 ** (1 / per_decade) + 1 + 1e-6)


def test_bins_by_hand():
    assert log_bins(1).tolist() == [0, 1, 2]
    assert log_bins(12, 1).tolist() == [0, 1, 10, 13]
    assert log_bins(9, 1).tolist() == [0, 1, 10]
    assert log_bins(10, 1).tolist() == [0, 1, 10, 11]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=200).filter(lambda values: sum(values) > 0.1))
def test_bins_keep_the_mass(values):
    law = law_of(values)
    edges = log_bins(len(values) - 1)
    mass = binned(law, edges)
    assert mass.sum() == pytest.approx(1)
    assert mass == pytest.approx([law.pmf[a:b].sum() for a, b in itertools.pairwise(edges)])


@pytest.mark.parametrize("share", [0.06, 0.3, 0.5, 0.94])
def test_all_or_nothing_is_two_groups(share):
    found = modes(mixture(2000, share))
    assert len(found) == 2
    assert found[0].probability == pytest.approx(share, abs=0.002)
    assert found[1].probability == pytest.approx(1 - share, abs=0.002)
    assert found[0].peak == 1
    assert abs(found[1].peak - 1000) <= 1
    assert found[0].high < 100 < 800 < found[1].low


@pytest.mark.parametrize("share", [0.02, 0.04, 0.96, 0.99])
def test_a_rare_kind_is_no_group(share):
    assert len(modes(mixture(2000, share))) == 1


@pytest.mark.parametrize(
    "law",
    [
        stats.geom(0.01), stats.poisson(3), stats.poisson(300), stats.binom(1000, 0.5), stats.randint(0, 1001),
        stats.zipf(1.5), stats.zipf(2.5), stats.randint(500, 501),
    ],
    ids=["geometric", "poisson 3", "poisson 300", "binomial", "uniform", "zipf 1.5", "zipf 2.5", "point"],
)  # fmt: skip
def test_one_hump_is_one_group(law):
    found = modes(law_of(law.pmf(np.arange(1001))))
    assert len(found) == 1
    assert found[0].probability == pytest.approx(1)


def test_even_sizes_alone_are_no_groups():
    values = np.zeros(101)
    values[2::2] = 0.8 ** np.arange(50)
    assert len(modes(law_of(values))) == 1


def test_three_groups():
    values = np.zeros(10_001)
    values[[1, 100, 9000]] = 0.2, 0.3, 0.5
    assert modes(law_of(values)) == (
        Mode(1, 1, pytest.approx(0.2), 1), Mode(100, 100, pytest.approx(0.3), 100),
        Mode(9000, 9000, pytest.approx(0.5), 9000),
    )  # fmt: skip


def test_what_lies_between_belongs_to_neither():
    values = np.full(1001, 1e-7)
    values[1], values[900] = 0.5, 0.5
    first, second = modes(law_of(values))
    assert (first.low, first.high, second.low, second.high) == (1, 1, 900, 900)
    assert 0 < 1 - first.probability - second.probability < 1e-3


def test_a_valley_of_a_tenth_is_none():
    edges = log_bins(1000)
    values = np.zeros(1001)
    values[edges[1:-1]] = 0.05 + 1e-3  # the valley: a little more than a tenth of both peaks
    values[1], values[edges[-2]] = 0.5, 0.5
    assert len(modes(law_of(values))) == 1
    values[edges[2:-2]] = 0.04
    assert len(modes(law_of(values))) == 2


@pytest.mark.parametrize(("samples", "groups"), [(6, 1), (5000, 2)])
def test_a_gap_between_few_samples_is_none(samples, groups):
    sizes = np.array([1, 800])[np.arange(samples) % 2]
    assert len(modes(SizeDistribution.from_samples(sizes, 1000))) == groups


def test_samples_agree_with_the_law_they_come_from():
    law = mixture(2000, 0.4)
    sizes = np.random.default_rng(0).choice(2001, size=20_000, p=law.pmf)
    found, true = modes(SizeDistribution.from_samples(sizes, 2000)), modes(law)
    assert len(found) == len(true) == 2
    for a, b in zip(found, true, strict=True):
        assert a.probability == pytest.approx(b.probability, abs=4 * np.sqrt(0.24 / 20_000))


@settings(max_examples=200)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=300).filter(lambda values: sum(values) > 0.1))
def test_groups_are_apart_and_hold_what_they_say(values):
    law = law_of(values)
    found = modes(law)
    assert len(found) >= 1
    for group in found:
        assert 0 <= group.low <= group.high < len(values)
        assert law.pmf[group.low : group.high + 1].sum() <= group.probability + 1e-9
        assert group.probability - law.pmf[group.low : group.high + 1].sum() <= 2e-4 + 1e-9
        assert group.probability >= 0.05 or len(found) == 1
    assert sum(group.probability for group in found) <= 1 + 1e-9
    assert all(a.high < b.low for a, b in itertools.pairwise(found))


def test_units_are_needed():
    with pytest.raises(UserError):
        log_bins(0)
    assert modes(law_of([1.0])) == (Mode(0, 0, 1.0, 0),)

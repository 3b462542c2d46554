"""Oracles: second moments, fourth moments of the stated variance, the streams of torch generators."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from sparsefire.errors import UserError
from sparsefire.rules.directions import bits, check_count, check_law, draw, generator_of, kurtosis_excess

LAWS = ("rademacher", "normal", "sphere", "uniform", "coordinates")


@pytest.mark.parametrize("law", LAWS)
def test_the_second_moment_is_the_identity_and_the_mean_is_zero(law):
    drawn = draw(law, 40_000, 4, generator_of(1), torch.float64)
    products = torch.einsum("ki,kj->kij", drawn, drawn)
    error = products.std(0) / math.sqrt(len(drawn))
    assert bool(((products.mean(0) - torch.eye(4, dtype=torch.float64)).abs() <= 4.5 * error + 1e-9).all())
    assert float(drawn.mean(0).abs().max()) < 4.5 / math.sqrt(len(drawn))


@pytest.mark.parametrize("law", LAWS)
def test_the_relative_variance_of_one_directional_derivative(law):
    size = 6
    g = torch.tensor([2.0, -1.0, 0.5, 0.0, 1.0, 3.0], dtype=torch.float64)
    drawn = draw(law, 40_000, size, generator_of(2), torch.float64)
    errors = ((drawn @ g)[:, None] * drawn - g).square().sum(1) / g.square().sum()
    expected = size + kurtosis_excess(law)
    assert abs(float(errors.mean()) - expected) < 4.5 * float(errors.std()) / math.sqrt(len(drawn)) + 1e-9


def test_shapes_of_the_laws():
    assert set(draw("rademacher", 50, 41, generator_of(0)).unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(draw("sphere", 9, 5, generator_of(0)).norm(dim=1), torch.full((9,), math.sqrt(5)))
    assert float(draw("uniform", 100, 50, generator_of(0)).abs().max()) <= math.sqrt(3)
    one = draw("coordinates", 30, 7, generator_of(0))
    assert bool(((one != 0).sum(1) == 1).all())
    assert stats.kstest(draw("normal", 10, 500, generator_of(0)).flatten().numpy(), "norm").pvalue > 1e-4


@pytest.mark.parametrize("law", LAWS)
def test_directions_do_not_depend_on_how_many_are_drawn_at_once(law):
    whole = draw(law, 9, 70, generator_of(4))
    generator = generator_of(4)
    parts = [draw(law, count, 70, generator) for count in (1, 5, 3)]
    assert torch.equal(whole, torch.cat(parts))


def test_signs_are_fair_and_independent_within_a_byte():
    drawn = draw("rademacher", 20_000, 8, generator_of(3)).numpy()
    correlation = np.corrcoef(drawn.T) - np.eye(8)
    assert abs(correlation).max() < 4.5 / math.sqrt(20_000)


def test_bits_are_counted_by_law():
    assert [bits(law, 3, 100) for law in LAWS] == [300, 9600, 9600, 9600, 24]


def test_anything_that_is_an_rng_will_do():
    own = torch.Generator().manual_seed(5)
    assert generator_of(own) is own
    same = [draw("normal", 1, 3, generator_of(7)) for _ in range(2)]
    assert torch.equal(*same)
    assert not torch.equal(draw("normal", 1, 3, generator_of(None)), draw("normal", 1, 3, generator_of(None)))
    before = torch.get_rng_state()
    draw("normal", 1, 3, generator_of(np.random.default_rng(0)))
    assert torch.equal(torch.get_rng_state(), before)


def test_bad_options_are_refused():
    with pytest.raises(UserError, match="no law 'cauchy'"):
        check_law("cauchy")
    for count in (0, -1, 1.5, True):
        with pytest.raises(UserError, match="at least one direction"):
            check_count(count)

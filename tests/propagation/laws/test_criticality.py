"""Oracles: the laws the parts come from, and the cases in which a verdict is known."""

from __future__ import annotations

import numpy as np
import pytest

from sparsefire.cascades.approximate.degree_laws import poisson
from sparsefire.errors import UserError
from sparsefire.propagation.laws.criticality import criticalities
from sparsefire.propagation.laws.log_norm import log_norm
from sparsefire.propagation.laws.sparse import dead_share, kurtosis


@pytest.mark.parametrize(
    ("fan_in", "weights", "topological", "localisation"),
    [
        (1, "normal", "subcritical", "supercritical"),
        (2, "normal", "critical", "supercritical"),
        (2, "sign", "critical", "critical"),
        (3, "sign", "supercritical", "subcritical"),
        (6, "normal", "supercritical", "critical"),
        (16, "normal", "supercritical", "subcritical"),
        (poisson(3.6), "uniform", "supercritical", "critical"),
        (4, 2.0, "supercritical", "critical"),
    ],
)
def test_verdicts(fan_in, weights, topological, localisation):
    found = criticalities(fan_in, 6, None, weights)
    assert found.topological.verdict == topological
    assert found.localisation.verdict == localisation
    assert found.metric.verdict == "critical"
    assert np.isinf(found.localisation.limit) == (localisation != "subcritical")
    assert (found.topological.limit == 1.0) == (topological != "supercritical")
    np.testing.assert_allclose(found.topological.dead, dead_share(fan_in, 6))
    np.testing.assert_allclose(found.localisation.kurtosis, kurtosis(fan_in, 6, weights))
    assert found.localisation.drift is None


@pytest.mark.parametrize(("v", "verdict"), [(1.9, "subcritical"), (2.0, "critical"), (2.2, "supercritical")])
def test_the_metric_one_is_apart(v, verdict):
    found = criticalities(16, depth=4, weight_variance=v)
    assert found.metric.verdict == verdict
    assert found.metric.chi == pytest.approx(v / 2)
    assert found.topological.verdict == "supercritical"
    assert found.localisation.verdict == "subcritical"


def test_scaled_by_the_own_fan_in_units_without_inputs_are_lost():
    law = np.array([0.2, 0.0, 0.0, 0.0, 0.8])
    found = criticalities(law, 5, weights="sign", scaled="actual")
    assert found.metric.chi == pytest.approx(0.8)
    assert found.metric.verdict == "subcritical"


def test_at_finite_width():
    found = criticalities(4, depth=10, width=100, runs=500, rng=1)
    law = log_norm(4, 10, 100, runs=500, rng=1)
    assert found.localisation.drift == pytest.approx(law.drift())
    assert found.localisation.gap == pytest.approx(-law.drift())
    assert found.localisation.gap > 0
    np.testing.assert_allclose(found.localisation.participation, law.participation)
    np.testing.assert_allclose(found.topological.dead, dead_share(4, 10, 100))
    narrowing = criticalities(24, width=[400, 300, 200], depth=2)
    assert abs(narrowing.localisation.drift) < 0.02  # per unit, so that widths do not count
    assert "against log χ" in str(found)


def test_layers_of_their_own():
    found = criticalities([2, 8])
    assert found.topological.branching == pytest.approx(2.0)
    assert found.localisation.fan_in == pytest.approx(4.0)
    assert found.localisation.handed_on == pytest.approx(6 / 4)
    assert found.topological.dead.shape == (2,)
    assert len(criticalities([0.5, 0.5]).topological.dead) == 20  # a law, not two layers
    array = criticalities(np.array([2, 8]))
    assert str(array) == str(found)


def test_nothing_arrives():
    found = criticalities(0, depth=3)
    assert found.topological.dead.tolist() == [1.0, 1.0, 1.0]
    assert found.topological.verdict == found.metric.verdict == "subcritical"
    assert found.metric.log_chi == -np.inf


@pytest.mark.parametrize(
    "call",
    [
        lambda: criticalities(-1),
        lambda: criticalities(3, weights="cauchy"),
        lambda: criticalities(3, "sign"),
        lambda: criticalities(3, depth=0),
        lambda: criticalities([3, 4], depth=3),
        lambda: criticalities(3, scaled="own"),
        lambda: criticalities(3, weight_variance=0.0),
        lambda: criticalities(9, width=4),
    ],
)
def test_wrong_use(call):
    with pytest.raises(UserError):
        call()

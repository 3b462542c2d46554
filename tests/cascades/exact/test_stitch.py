"""Oracle: laws that are known, shown through passes that hide what a pass of limited range would hide."""

import math

import numpy as np
import pytest

from sparsefire.cascades.exact.stitch import REACH, stitched

LN2 = math.log(2)


def window(logs, hidden_as, span=None, limit=400.0):
    """Return passes over a law: an entry ``limit`` below another one is hidden, at once or by steps of a span."""
    passes = []

    def run(mantissa, exponent):
        tilted = logs + np.arange(len(logs)) * (math.log(mantissa) + exponent * LN2)
        passes.append(exponent)
        away = np.abs(np.subtract.outer(np.arange(len(logs)), np.arange(len(logs))))
        steps = np.where(away > 0, np.maximum(1.0, away / span), 0) if span else np.ones_like(away)
        hidden = np.isfinite(tilted) & (tilted < (tilted - limit * steps).max(axis=1))
        return np.where(hidden, hidden_as(tilted), tilted), bool(hidden.any())

    return run, passes


def nothing(tilted):
    return np.full(len(tilted), -np.inf)


def too_little(tilted):
    return tilted - 30.0


def must_not_be_called():
    raise AssertionError("the tilts reach everything")


@pytest.mark.parametrize("hidden_as", [nothing, too_little])
@pytest.mark.parametrize("span", [0, 16])
@pytest.mark.parametrize(
    "logs",
    [
        -0.05 * np.arange(400.0) ** 2,
        -0.3 * (np.arange(300.0) - 120) ** 2,
        -50.0 * np.arange(100.0),
        np.append(0.0, -300 - 3.0 * np.arange(100.0)),
        -(np.abs(np.arange(-150.0, 200.0)) ** 1.5),
    ],
    ids=["half a bell", "a narrow bell", "a steep line", "a jump", "a peak"],
)
def test_tilts_reach_laws_without_valleys(logs, span, hidden_as):
    run, passes = window(logs, hidden_as, span)
    found = stitched(run, len(logs), 0, len(logs) - 1, must_not_be_called, span)
    assert np.abs(found - logs).max() < 1e-9
    assert (1 if span else 2) <= len(passes) < 40


@pytest.mark.parametrize("hidden_as", [nothing, too_little])
@pytest.mark.parametrize("steep", [15.0, 62.0])
def test_valleys_are_left_to_the_fallback_only_where_they_are_too_steep(steep, hidden_as):
    """A side that falls faster than what hides it does may be missing in a pass that looks flat."""
    logs = np.maximum(-2 * steep * np.arange(300.0), -steep * np.arange(299, -1, -1.0))
    run, _ = window(logs, hidden_as, 16)
    called = []
    found = stitched(run, 300, 0, 299, lambda: called.append(1) or logs, 16)
    assert np.abs(found - logs).max() < 1e-9
    assert called or steep * 2 * 16 < 2 * REACH


def test_the_fallback_fills_what_tilts_miss():
    logs = np.array([0.0, -5000.0, 0.0])

    def run(mantissa, exponent):
        tilted = logs + np.arange(3) * (math.log(mantissa) + exponent * math.log(2))
        return np.where(tilted > tilted.max() - 690, tilted, -np.inf), True

    assert stitched(run, 3, 0, 2, lambda: logs).tolist() == logs.tolist()


def test_sizes_outside_the_possible_ones_stay_impossible():
    logs = np.full(60, -np.inf)
    logs[10:50] = -40.0 * np.arange(40)
    run, _ = window(logs, nothing)
    found = stitched(run, 60, 10, 49, must_not_be_called)
    assert np.array_equal(np.isfinite(found), np.isfinite(logs))
    assert np.abs(found[10:50] - logs[10:50]).max() < 1e-9


def test_one_pass_is_enough_if_it_drops_nothing():
    logs = np.append(-np.arange(5.0), -np.inf)
    run, passes = window(logs, nothing)
    assert stitched(run, 6, 0, 5, must_not_be_called).tolist() == logs.tolist()
    assert len(passes) == 1

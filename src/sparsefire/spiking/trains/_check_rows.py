"""The tests of which a check is made; each is one row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import special

from sparsefire.cascades.avalanches import branching_ratio, count_events, cut_avalanches
from sparsefire.errors import UserError
from sparsefire.spiking.spikes import Spikes
from sparsefire.spiking.trains.estimate import FEWEST
from sparsefire.spiking.trains.rescaling import FEWEST as FEWEST_INTERVALS
from sparsefire.spiking.trains.rescaling import Rescaled, rescaling_tests
from sparsefire.spiking.trains.statistics import fano_factor

ROUNDING = 1e-9  # of a threshold: sums in another order may differ by it
USUAL_BIN = 4e-3  # seconds, for branching ratios (Wilting & Priesemann 2018)
RESAMPLES = 200


NO_DECAY = "no estimate"


class Row(NamedTuple):
    """One line of a check; ``p_value`` is nan where something must hold exactly or is only described.

    ``fails`` is True or False where something must hold exactly, None elsewhere.
    """

    test: str
    units: str
    n: int
    statistic: float
    low: float = np.nan
    high: float = np.nan
    expected: str = ""
    p_value: float = np.nan
    fails: bool | None = None


def rescaling_rows(rescaled: Rescaled, name: str, level: float) -> list[Row]:
    """Return rows on the law of rescaled intervals and on their independence, together and each."""
    rows = []
    impossible = int(rescaled.impossible.sum())
    if impossible:
        worst = int(rescaled.units[np.argmax(rescaled.impossible)])
        rows.append(Row("spikes of chance 0", f"worst {worst}", len(rescaled), impossible, expected="0", fails=True))
    if len(rescaled) < FEWEST_INTERVALS:
        return rows
    found = rescaling_tests(rescaled)
    pooled = found.pooled
    band = pooled.band(1 - level)
    rows.append(Row("time rescaling", name, pooled.n, pooled.statistic, 0.0, band, f"≤ {band:.3g}", pooled.p_value))
    low, high = pooled.interval(1 - level)
    rows.append(Row("successive intervals", name, pooled.n, pooled.correlation, low, high, "0", pooled.correlation_p))
    if len(found.units) > 1:
        for test, p, values in (
            ("time rescaling, each", found.adjusted, [one.statistic for one in found.tests]),
            ("successive, each", found.adjusted_correlation, [one.correlation for one in found.tests]),
        ):
            at = int(np.argmin(p))
            one = found.tests[at]
            band = one.band(1 - level)
            shown = (0.0, band, f"≤ {band:.3g}") if "rescaling" in test else (*one.interval(1 - level), "0")
            who = f"{len(p)}, worst {found.units[at]}"
            rows.append(Row(test, who, one.n, values[at], *shown, float(p[at])))
    return rows


def count_row(test: str, name: str, observed: float, expected: float, variance: float, level: float) -> Row:
    """Return a row on a number of spikes, as a share of what is expected, with a normal interval."""
    if expected <= 0 or variance <= 0:
        return Row(test, name, int(observed), observed, expected=f"{expected:g}", fails=observed != expected)
    error = np.sqrt(variance) / expected
    share = observed / expected
    half = float(special.ndtri(1 - level / 2)) * error
    p = float(2 * special.ndtr(-abs(share - 1) / error))
    return Row(test, name, int(observed), share, share - half, share + half, "1", p)


def crossing_row(fired: np.ndarray, name: str, replay: Any, threshold: np.ndarray | None) -> Row:
    """Return how many steps contradict "fires exactly above the threshold"; rounding is excused."""
    wrong = fired.astype(bool) != (np.asarray(replay.probability) > 0.5)
    if threshold is not None:
        near = np.abs(np.asarray(replay.v) - threshold) <= ROUNDING * np.maximum(1.0, np.abs(threshold))
        wrong &= ~near
    count = int(wrong.sum())
    return Row("spikes ≠ crossings", name, int(fired.sum()), count, expected="0", fails=count > 0)


def refractory_row(spikes: Spikes, least: float) -> Row:
    """Return how many intervals are shorter than they can be."""
    order = np.argsort(spikes.units, kind="stable")
    times, units = spikes.times[order], spikes.units[order]
    gaps = np.diff(times)[np.diff(units) == 0]
    short = int((gaps < least - 1e-6 * max(least, 1e-3)).sum())
    return Row(
        f"intervals < {1e3 * least:.3g} ms", many(spikes.n_units), len(gaps), short, expected="0", fails=short > 0
    )


def rate_row(spikes: Spikes, most: float) -> Row:
    """Return the mean firing rate, from the lowest to the highest; what no neuron can do fails."""
    rates = spikes.firing_rates
    ceiling = most * (1 + 1e-6) + 1 / spikes.duration
    expected = f"≤ {most:.4g}" if np.isfinite(most) else ""
    fails = bool(rates.max(initial=0.0) > ceiling) if np.isfinite(most) else None
    low, high = float(rates.min(initial=np.inf)), float(rates.max(initial=0.0))
    return Row(
        "firing rate, Hz", many(spikes.n_units), len(spikes), float(rates.mean()), low, high, expected, fails=fails
    )


def fano_row(spikes: Spikes, window: float, expected: Any, level: float) -> list[Row]:
    """Return the mean Fano factor of the units, described."""
    if spikes.duration / window < FEWEST:
        return []
    found = fano_factor(spikes, window)
    known = np.isfinite(found.value) & (spikes.counts >= FEWEST)
    if not known.any():
        return []
    value = float(found.value[known].mean())
    error = float(np.sqrt((found.error[known] ** 2).sum()) / known.sum())
    half = float(special.stdtrit(found.blocks - 1, 1 - level / 2)) * error
    words = "" if expected is None else f"{expected:.4g}"
    return [
        Row(
            f"Fano factor, {window:.3g} s",
            many(int(known.sum())),
            int(found.n[0]),
            value,
            value - half,
            value + half,
            words,
        )
    ]


def interval_row(spikes: Spikes, expected: float | None, level: float) -> list[Row]:
    """Return the CV of the intervals of all trains together, described; its error takes them as independent."""
    x = np.concatenate([np.zeros(0), *(np.diff(train) for train in spikes.trains())])
    if len(x) < FEWEST_INTERVALS or np.ptp(x) == 0:
        return []
    mean, deviation = float(x.mean()), float(x.std(ddof=1))
    cv = deviation / mean
    influence = cv * (((x - mean) / deviation) ** 2 / 2 - 0.5 - (x - mean) / mean)
    half = float(special.ndtri(1 - level / 2)) * float(influence.std()) / np.sqrt(len(x))
    words = "" if expected is None else f"{expected:.4g}"
    return [Row("CV of intervals", many(spikes.n_units), len(x), cv, cv - half, cv + half, words)]


def network_rows(spikes: Spikes, least: float, width: float | None, level: float, rng: Any) -> list[Row]:
    """Return the branching ratio and the avalanches of all spikes together, described.

    Args:
        spikes: of the network.
        least: width below which bins make no sense, the time step.
        width: of bins in seconds; None for 4 ms or the mean interval for ratios, the mean interval for avalanches.
        level: of the interval.
        rng: for its bootstrap.
    """
    if len(spikes) < 2:
        return []
    between = spikes.duration / len(spikes)
    ratio_bin = width or max(USUAL_BIN, between, least)
    rows = []
    try:
        together = Spikes(spikes.times, np.zeros_like(spikes.units), 1, spikes.duration)
        counts = together.counts_in(ratio_bin)[:, 0]
        found = branching_ratio(counts, dt=ratio_bin, level=1 - level, resamples=RESAMPLES, rng=rng)
        name, low, high = f"branching ratio, {1e3 * ratio_bin:.3g} ms", *found.interval()
        if 0 < found.ratio < 1 and found.correlated:
            rows.append(Row(name, many(spikes.n_units), len(spikes), found.ratio, low, high, "below 1"))
        else:  # activity of units that do not heed each other, or that repeats itself, tells no ratio
            rows.append(Row(name, many(spikes.n_units), len(spikes), np.nan, expected=NO_DECAY))
    except UserError:
        pass  # too short or too even a record: nothing to describe
    cut_bin = width or max(between, least)
    # half a step aside, so that spikes at the ends of steps do not lie on edges
    counts = count_events(np.maximum(spikes.times - least / 2, 0.0), cut_bin, start=0.0, stop=spikes.duration)
    sizes = cut_avalanches(counts).sizes
    if len(sizes):
        low, high = float(sizes.min()), float(sizes.max())
        name = f"avalanche size, {1e3 * cut_bin:.3g} ms"
        rows.append(Row(name, many(spikes.n_units), len(sizes), float(sizes.mean()), low, high))
    return rows


def many(units: int) -> str:
    return f"all {units:,}" if units > 1 else "1"

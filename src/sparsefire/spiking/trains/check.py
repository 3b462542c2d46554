"""Is this the process that was asked for? One call that tests a simulation, or spikes against a law."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.spiking._numbers import array, finite, number
from sparsefire.spiking.spikes import Spikes, trains_of
from sparsefire.spiking.trains import _check_rows as rows_of
from sparsefire.spiking.trains._check_rows import Row
from sparsefire.spiking.trains.rescaling import holm, rescale, rescale_steps
from sparsefire.statistics._check import level_checked

MOST_UNITS = 100
MOST_CELLS = 8_000_000  # steps times units that are followed again
FITS, FAILS, DESCRIBED = "fits", "fails", "described"
SIGNS = {FITS: "✓", FAILS: "✕"}


@dataclass(frozen=True, eq=False, repr=False)
class Check:
    """What was tested, and what came out. Made by :func:`check`.

    Attributes:
        table: one row per test: ``test``, ``units``, ``n`` (spikes, intervals or windows), ``statistic``, ``low`` and
            ``high`` (its interval, the band of a distance, or the range of rates and avalanches), ``expected``,
            ``p_value`` (of rows on each unit: the least of them, by Holm), ``p_holm`` (for all rows jointly),
            ``verdict`` (fits, fails, described).
        subject: what was looked at.
        level: chance that a right process fails in any of the tests, at most (nearly: p-values of distances are exact,
            those of correlations and counts asymptotic).
    """

    table: pd.DataFrame
    subject: str
    level: float

    @property
    def passed(self) -> bool | None:
        """Whether no test failed; None where nothing was tested."""
        verdicts = set(self.table["verdict"])
        return None if not verdicts & {FITS, FAILS} else FAILS not in verdicts

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        tested, failed = (self.table[self.table["verdict"].isin(kinds)] for kinds in ([FITS, FAILS], [FAILS]))
        if not len(tested):
            return "Nothing was tested: give a law, or a run of a simulation."
        if not len(failed):
            return f"The spikes keep to the law, in {len(tested)} tests at {100 * self.level:g}% for all jointly."
        return f"The spikes do not keep to the law: {', '.join(failed['test'])}."

    def __str__(self) -> str:
        wide, many = (int(self.table[name].str.len().max()) + 2 for name in ("test", "units"))
        lines = [f"Check  {self.subject}", f"  {'test':<{wide}}{'units':<{many}}{'found':>9}  {'expected':<10}{'p':>7}"]
        for row in self.table.to_dict("records"):
            found = f"{row['statistic']:,.3g}" if abs(row["statistic"]) < 1e3 else f"{row['statistic']:,.0f}"
            found = "–" if np.isnan(row["statistic"]) else found.replace("-", "−")
            line = f"  {row['test']:<{wide}}{row['units']:<{many}}{found:>9}  {row['expected']:<10}"
            if row["verdict"] == DESCRIBED:
                lines.append(f"{line} {_range(row['low'], row['high'])}".rstrip())
            else:
                lines.append(f"{line}{_p_value(row['p_value']):>7}  {SIGNS[row['verdict']]} {row['verdict']}")
        return "\n".join([*lines, "", *_wrapped(f"VERDICT  {self.sentence}")])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.subject)}</p>{self.table.to_html(index=False)}<p><b>{escape(self.sentence)}</b></p>"


def check(
    run_or_spikes: Any, law: Any = None, *, units: Any = None, refractory: float | None = None,
    bin: float | None = None, level: float = 0.05, rng: Any = 0,
) -> Check:  # fmt: skip
    """Test whether spikes come from the process that was asked for.

    A run of a simulation is followed again from its recorded spikes (``run.replay``). Neurons with noise: the
    recomputed chances of all steps are tested by time rescaling with the correction for steps (Haslinger, Pipa, Brown
    2010, doi:10.1162/NECO_a_00015), together and each; so are independence and the number of spikes. Neurons without:
    every spike must be a crossing of the threshold and the other way round. Both: refractory times, rates; branching
    ratio (no estimate where activity is not correlated, or its correlations do not decay) and avalanches are described.

    Spikes and a law: time rescaling, independence, number of spikes, dead time; CV and Fano factor beside the law's.
    The law's parameters must not come from the same spikes (:func:`fitted_test` is for that).

    Args:
        run_or_spikes: a run of :func:`sparsefire.spiking.simulate`, or Spikes.
        law: for spikes: :class:`PoissonDeadTime`, :class:`GammaRenewal`, :class:`HazardRenewal`, :class:`EscapeLIF`,
            :class:`InhomogeneousPoisson`, :class:`Hawkes`, or a function, see :func:`rescale`. With a run it is
            tested too.
        units: of a run, which to follow again; None for up to 100, drawn without regard to their spikes.
        refractory: for spikes: seconds that every interval must last.
        bin: seconds, for branching ratio and avalanches; None for 4 ms (or the mean interval, if longer) and the mean
            interval.
        level: chance that a right process fails, for all tests jointly (Holm).
        rng: for the draws of the correction and of units.

    Raises:
        UserError: for neither spikes nor a run, no spikes at all, no such law.

    >>> from sparsefire.spiking.trains.renewal import PoissonDeadTime
    >>> spikes = PoissonDeadTime(50.0, 5e-3).sample(25.0, 4, rng=0)
    >>> check(spikes, PoissonDeadTime(50.0, 5e-3)).passed, check(spikes, PoissonDeadTime(40.0)).passed
    (True, False)
    """
    alpha, spikes = level_checked(finite("level", level)), trains_of(run_or_spikes)
    if not len(spikes) or not spikes.duration:
        raise UserError("there is nothing to check.", came=repr(spikes), expected="spikes, and a duration")
    is_run = hasattr(run_or_spikes, "replay")
    step = number("dt", run_or_spikes.dt) if is_run else 0.0
    if units is not None and not is_run:
        raise UserError("units are those of a run.", came="Spikes", expected="a run", attempt="spikes.select(units)")
    rows = _of_run(run_or_spikes, units, alpha, rng) if is_run else []
    if law is not None:
        rows += _of_law(spikes, law, alpha)
    elif not is_run:
        rows += [rows_of.rate_row(spikes, np.inf), *rows_of.interval_row(spikes, None, alpha)]
        rows += rows_of.fano_row(spikes, _window(spikes), None, alpha)
    if refractory is not None:
        rows.append(rows_of.refractory_row(spikes, number("refractory", refractory, zero=True, unit="seconds")))
    if spikes.n_units > 1:
        rows += rows_of.network_rows(spikes, step, None if bin is None else number("bin", bin), alpha, rng)
    kind = f"run, dt {1e3 * step:g} ms" if is_run else "spikes"
    subject = f"{kind} · {spikes.n_units:,} units · {spikes.duration:g} s · {len(spikes):,} spikes"
    return Check(_table(rows, alpha), subject, alpha)


def _of_run(run: Any, units: Any, level: float, rng: Any) -> list[Row]:
    spikes, neurons, dt = run.spikes, run.neurons, float(run.dt)
    steps = round(spikes.duration / dt)
    if units is None:
        most = int(np.clip(MOST_CELLS // max(steps, 1), 1, MOST_UNITS))
        who = np.arange(spikes.n_units)
        if len(who) > most:
            who = np.sort(stream(rng, "check units").choice(who, most, replace=False))
    else:
        asked = np.unique(array("units", units))
        who = asked.astype(np.int64)
        if not len(who) or (who != asked).any() or who[0] < 0 or who[-1] >= spikes.n_units:
            raise UserError(
                "these are no units of the run.", came=repr(units)[:60], expected=f"whole, 0 to {spikes.n_units - 1}"
            )
    name = rows_of.many(len(who)) if len(who) == spikes.n_units else f"{len(who)} of {spikes.n_units:,}"
    replay = run.replay(who)
    fired = _fired(spikes, who, dt, steps)
    p = np.asarray(replay.probability, float)
    if ((p > 0) & (p < 1)).any():
        rows = rows_of.rescaling_rows(rescale_steps(fired, p, units=who, rng=rng), name, level)
        variance = float((p * (1 - p)).sum())
        rows.append(rows_of.count_row("spikes / expected", name, float(fired.sum()), float(p.sum()), variance, level))
    else:
        rows = [rows_of.crossing_row(fired, name, replay, _threshold(neurons, who, spikes.n_units))]
    least = (round(float(getattr(neurons, "refractory", 0.0)) / dt) + 1) * dt
    return [*rows, rows_of.refractory_row(spikes, least), rows_of.rate_row(spikes, 1 / least)]


def _fired(spikes: Spikes, who: np.ndarray, dt: float, steps: int) -> np.ndarray:
    """Return 0 or 1 [steps, units] of some units only."""
    place = np.full(spikes.n_units, -1)
    place[who] = np.arange(len(who))
    kept = place[spikes.units] >= 0
    some = Spikes(spikes.times[kept], place[spikes.units[kept]], len(who), spikes.duration)
    return np.minimum(some.counts_in(dt), 1)[:steps]


def _threshold(neurons: Any, who: np.ndarray, units: int) -> np.ndarray | None:
    """Return thresholds, or None where they move."""
    value = getattr(neurons, "v_threshold", None)
    if value is None or getattr(neurons, "adaptation", None) is not None:
        return None
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.broadcast_to(np.asarray(value, float).ravel() if np.ndim(value) else value, units)[who]


def _of_law(spikes: Spikes, law: Any, level: float) -> list[Row]:
    name = rows_of.many(spikes.n_units)
    rows = rows_of.rescaling_rows(rescale(spikes, law), name, level)
    observed, trains = float(len(spikes)), spikes.n_units
    window, cv, fano = _window(spikes), None, None
    if hasattr(law, "survival"):  # a renewal law
        expected = law.rate * spikes.duration * trains
        cv, fano = law.cv, law.fano(window)
        variance = expected * law.fano(spikes.duration)
        rows.append(rows_of.count_row("spikes / expected", name, observed, expected, variance, level))
        if getattr(law, "dead_time", 0.0) > 0:
            rows.append(rows_of.refractory_row(spikes, law.dead_time))
    elif hasattr(law, "count_covariance"):  # Hawkes
        expected = float(law.rates.sum()) * spikes.duration
        variance = float(law.count_covariance(spikes.duration).sum())
        fano = float(np.mean(law.fano(window)))
        rows.append(rows_of.count_row("spikes / expected", name, observed, expected, variance, level))
    elif hasattr(law, "cumulative"):  # Poisson
        expected = float(law.cumulative(spikes.duration)) * trains
        rows.append(rows_of.count_row("spikes / expected", name, observed, expected, expected, level))
    return [*rows, *rows_of.interval_row(spikes, cv, level), *rows_of.fano_row(spikes, window, fano, level)]


def _window(spikes: Spikes) -> float:
    """Return a window of about ten spikes of a unit, of which 20 or more fit."""
    per_unit = len(spikes) / max(spikes.n_units, 1) / spikes.duration
    return min(10 / per_unit, spikes.duration / 20)


def _table(rows: list[Row], level: float) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(Row._fields))
    tested = table["p_value"].notna()
    table["p_holm"] = np.nan
    table.loc[tested, "p_holm"] = holm(table.loc[tested, "p_value"].to_numpy(float))
    verdicts = []
    for row, p in zip(rows, table["p_holm"], strict=True):
        if row.fails is None and np.isnan(p):
            verdicts.append(DESCRIBED)
        else:
            verdicts.append(FAILS if (p < level if row.fails is None else row.fails) else FITS)
    return table.drop(columns="fails").assign(verdict=verdicts)


def _p_value(p: float) -> str:
    return "" if np.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _range(low: float, high: float) -> str:
    low_end, high_end = (f"{end:,.3g}" if abs(end) < 1e3 else f"{end:,.0f}" for end in (low, high))
    return "" if np.isnan(low) else f"{low_end} to {high_end}".replace("-", "−")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 80, subsequent_indent=" " * 9)

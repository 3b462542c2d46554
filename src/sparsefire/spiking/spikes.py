"""Spikes as events: when each unit fired. Every part of the room that speaks of spike trains speaks of these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsefire.data.npz import Archive
from sparsefire.errors import UserError


@dataclass(frozen=True, eq=False)
class Spikes:
    """The spikes of some units between 0 and ``duration``.

    Args:
        times: seconds, ascending, within [0, duration], float64 [spikes].
        units: which unit fired, int64 [spikes], in 0 … n_units − 1.
        n_units: how many units there are, also those that were silent.
        duration: seconds; by default the time of the last spike.

    Raises:
        UserError: for times that are not ascending (see :meth:`sorted_from`), not finite or out of range; lengths that
            differ.

    >>> spikes = Spikes([0.1, 0.25, 0.4], [0, 1, 0], n_units=3, duration=2.0)
    >>> spikes
    Spikes(3 spikes of 3 units in 2 s)
    >>> spikes.firing_rates.tolist()
    [1.0, 0.5, 0.0]
    """

    times: np.ndarray
    units: np.ndarray
    n_units: int
    duration: float

    def __init__(self, times: Any, units: Any, n_units: int | None = None, duration: float | None = None) -> None:
        when, who = _floats(times), _ids(units)
        if len(when) != len(who):
            raise UserError(
                "every spike needs a time and a unit.", came=f"{len(when):,} times, {len(who):,} units",
                expected="as many of one as of the other",
            )  # fmt: skip
        if n_units is None:
            n_units = int(who.max(initial=-1)) + 1
        if not isinstance(n_units, int | np.integer) or isinstance(n_units, bool) or n_units < 0:
            raise UserError("n_units is a whole number.", came=repr(n_units), expected="0 or more")
        if len(who) and (who.min() < 0 or who.max() >= n_units):
            raise UserError(
                "a unit is out of range.", came=f"{int(who.min())} to {int(who.max())}", expected=f"0 to {n_units - 1}"
            )
        if len(when) > 1 and np.any(np.diff(when) < 0):
            place = int(np.argmax(np.diff(when) < 0))
            raise UserError(
                "spike times are not in order.", came=f"{when[place]:g} s before {when[place + 1]:g} s",
                expected="ascending times", attempt="Spikes.sorted_from(times, units, …)",
            )  # fmt: skip
        length = float(when[-1]) if duration is None and len(when) else float(duration or 0.0)
        if not np.isfinite(length) or length < 0:
            raise UserError("a duration is a number of seconds.", came=repr(duration), expected="0 or more")
        if len(when) and (when[0] < 0 or when[-1] > length):
            raise UserError(
                "a spike lies outside the recording.",
                came=f"{when[0]:g} to {when[-1]:g} s",
                expected=f"0 to {length:g} s",
            )
        for name, value in (("times", when), ("units", who), ("n_units", int(n_units)), ("duration", length)):
            object.__setattr__(self, name, value)

    @classmethod
    def sorted_from(cls, times: Any, units: Any, n_units: int | None = None, duration: float | None = None) -> Spikes:
        """Return spikes from times in any order; of spikes at one time the lower unit comes first.

        >>> Spikes.sorted_from([0.3, 0.1], [0, 1]).units.tolist()
        [1, 0]
        """
        when, who = _floats(times), _ids(units)
        if len(when) != len(who):
            return cls(when, who, n_units, duration)  # says what is wrong
        order = np.lexsort((who, when))
        return cls(when[order], who[order], n_units, duration)

    @classmethod
    def from_dense(cls, spikes: Any, dt: float) -> Spikes:
        """Return the events of zeros and ones [time, unit]; the spike of step k is at (k + 1) dt, where the step ends.

        Args:
            spikes: array or tensor [time, unit].
            dt: seconds per step, above 0.

        Raises:
            UserError: values other than 0 and 1, another number of axes.

        >>> Spikes.from_dense([[0, 1], [1, 1]], dt=0.5).times.tolist()
        [0.5, 1.0, 1.0]
        """
        dense = np.asarray(spikes.detach().cpu() if hasattr(spikes, "detach") else spikes)
        if dense.ndim != 2:
            raise UserError("dense spikes have two axes.", came=f"shape {dense.shape}", expected="[time, unit]")
        if not np.isin(dense, (0, 1)).all():
            raise UserError("spikes are zeros and ones.", came=f"values up to {dense.max():g}", expected="0 or 1")
        step, unit = np.nonzero(dense)
        return cls((step + 1) * _step(dt), unit, dense.shape[1], dense.shape[0] * dt)

    def dense(self, dt: float) -> np.ndarray:
        """Return zeros and ones, float32 [time, unit]; inverse of :meth:`from_dense`.

        Raises:
            UserError: where a unit fires twice within one step (:meth:`counts_in` counts such spikes).

        >>> Spikes([0.1, 0.5], [0, 1], duration=0.6).dense(0.2).tolist()
        [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
        """
        counts = self.counts_in(dt)
        if counts.max(initial=0) > 1:
            raise UserError(
                "a unit fires twice within one step.", came=f"{int(counts.max())} spikes in {dt:g} s",
                expected="a shorter step", attempt="spikes.counts_in(dt)",
            )  # fmt: skip
        return counts.astype(np.float32)

    def counts_in(self, width: float) -> np.ndarray:
        """Return spikes per window and unit, int64 [windows, unit]; windows are (k·width, (k+1)·width].

        The last window may reach beyond the recording.

        >>> Spikes([0.1, 0.2, 0.5], [0, 0, 1], duration=0.6).counts_in(0.3).tolist()
        [[2, 0], [0, 1]]
        """
        width = _step(width)
        windows = max(int(np.ceil(self.duration / width - 1e-9)), 0)
        found = np.zeros((windows, self.n_units), np.int64)
        if len(self.times):
            place = np.clip(np.ceil(self.times / width - 1e-9).astype(np.int64) - 1, 0, windows - 1)
            np.add.at(found, (place, self.units), 1)
        return found

    @property
    def counts(self) -> np.ndarray:
        """Spikes of each unit, int64 [n_units]."""
        return np.bincount(self.units, minlength=self.n_units)

    @property
    def firing_rates(self) -> np.ndarray:
        """Spikes per second of each unit in Hz, float64 [n_units]; nan where the duration is 0."""
        return self.counts / self.duration if self.duration else np.full(self.n_units, np.nan)

    def train(self, unit: int) -> np.ndarray:
        """Return the times at which one unit fired, float64."""
        if not 0 <= unit < self.n_units:
            raise UserError("there is no such unit.", came=repr(unit), expected=f"0 to {self.n_units - 1}")
        return self.times[self.units == unit]

    def trains(self) -> list[np.ndarray]:
        """Return the times of every unit, a list of n_units arrays."""
        order = np.argsort(self.units, kind="stable")
        return np.split(self.times[order], np.cumsum(self.counts)[:-1]) if self.n_units else []

    def between(self, start: float, stop: float) -> Spikes:
        """Return the spikes in (start, stop], with times counted from ``start``.

        >>> Spikes([0.1, 0.5], [0, 1], duration=1.0).between(0.2, 0.8)
        Spikes(1 spikes of 2 units in 0.6 s)
        """
        if not 0 <= start < stop <= self.duration:
            raise UserError(
                "not a part of the recording.", came=f"{start} to {stop} s", expected=f"within 0 to {self.duration:g} s"
            )
        inside = (self.times > start) & (self.times <= stop)
        return Spikes(self.times[inside] - start, self.units[inside], self.n_units, stop - start)

    def save(self, path: str | Path) -> None:
        """Write times, units, n_units and duration to an ``.npz`` file of exactly this name."""
        whole = {"times": self.times, "units": self.units, "n_units": self.n_units, "duration": self.duration}
        place = Path(path)
        part = place.with_name(place.name + ".part.npz")  # renamed when whole: never half a file under the name
        try:
            np.savez_compressed(part, **whole)  # type: ignore[arg-type]
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Spikes:
        """Read what :meth:`save` wrote; nothing is unpickled.

        Raises:
            UserError: no NPZ file, or one without these arrays.
        """
        with Archive(Path(path)) as file:
            missing = {"times", "units", "n_units", "duration"} - set(file.members)
            if missing:
                raise UserError(
                    f"{path} holds no spikes.", came=f"without {', '.join(sorted(missing))}",
                    expected="times, units, n_units, duration",
                )  # fmt: skip
            times, units, number, length = (file.load(name) for name in ("times", "units", "n_units", "duration"))
        return cls(times, units, int(number), float(length))

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        return f"Spikes({len(self):,} spikes of {self.n_units:,} units in {self.duration:g} s)"


def _floats(times: Any) -> np.ndarray:
    try:
        found = np.asarray(times, float)
    except (TypeError, ValueError):
        found = np.full(1, np.nan)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise UserError("spike times are finite numbers.", came=repr(times)[:60], expected="seconds, one axis")
    return found


def _ids(units: Any) -> np.ndarray:
    found = np.asarray(units)
    if found.size == 0:
        found = found.astype(np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise UserError("units are whole numbers.", came=repr(units)[:60], expected="counted from 0, one axis")
    return found.astype(np.int64)


def _step(dt: float) -> float:
    if not isinstance(dt, int | float | np.floating) or isinstance(dt, bool) or not 0 < dt < np.inf:
        raise UserError("a step is a number of seconds.", came=repr(dt), expected="above 0")
    return float(dt)

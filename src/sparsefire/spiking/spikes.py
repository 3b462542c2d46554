"""Spikes as events: when each unit fired. Every part of the room that speaks of spike trains speaks of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsefire.data.npz import Archive
from sparsefire.errors import UserError
from sparsefire.spiking._numbers import array, finite, number, whole

MOST_CELLS = 1 << 30  # counts, 8 GB
_SAVED = ("times", "units", "n_units", "duration")


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
        n_units = whole("n_units", int(who.max(initial=-1)) + 1 if n_units is None else n_units, 0)
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
        last = when.max(initial=0.0)
        length = number("a duration", last if duration is None else duration, zero=True, unit="seconds")
        if len(when) and (when[0] < 0 or when[-1] > length):
            raise UserError(
                "a spike lies outside the recording.",
                came=f"{when[0]:g} to {when[-1]:g} s",
                expected=f"0 to {length:g} s",
            )
        for name, value in (("times", when), ("units", who), ("n_units", n_units), ("duration", length)):
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
            UserError: values other than 0 and 1, another number of axes, no numbers.

        >>> Spikes.from_dense([[0, 1], [1, 1]], dt=0.5).times.tolist()
        [0.5, 1.0, 1.0]
        """
        if hasattr(spikes, "detach"):  # a tensor; NumPy has no bfloat16
            spikes = spikes.detach().cpu()
            spikes = spikes.float() if spikes.is_floating_point() else spikes
        dense, width = array("dense spikes", spikes), _step(dt)
        if dense.ndim != 2:
            raise UserError("dense spikes have two axes.", came=f"shape {dense.shape}", expected="[time, unit]")
        if not np.isin(dense, (0, 1)).all():
            raise UserError("spikes are zeros and ones.", came=f"values up to {dense.max():g}", expected="0 or 1")
        step, unit = np.nonzero(dense)
        return cls((step + 1) * width, unit, dense.shape[1], dense.shape[0] * width)

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

        Raises:
            UserError: windows so short that their counts fill the memory.

        >>> Spikes([0.1, 0.2, 0.5], [0, 0, 1], duration=0.6).counts_in(0.3).tolist()
        [[2, 0], [0, 1]]
        """
        width = _step(width)
        windows = max(int(np.ceil(self.duration / width - 1e-9)), 0)
        if windows * self.n_units > MOST_CELLS:
            raise UserError(
                "so many windows do not fit into memory.", came=f"{windows:,} windows of {self.n_units:,} units",
                expected=f"at most {MOST_CELLS:,} counts", attempt="longer windows, or spikes.select(units)",
            )  # fmt: skip
        place = np.clip(np.ceil(self.times / width - 1e-9).astype(np.int64) - 1, 0, max(windows - 1, 0))
        found = np.bincount(place * self.n_units + self.units, minlength=windows * self.n_units)
        return found.reshape(windows, self.n_units)

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
        which = whole("a unit", unit, 0)
        if which >= self.n_units:
            raise UserError("there is no such unit.", came=repr(unit), expected=f"0 to {self.n_units - 1}")
        return self.times[self.units == which]

    def trains(self) -> list[np.ndarray]:
        """Return the times of every unit, a list of n_units arrays."""
        order = np.argsort(self.units, kind="stable")
        return np.split(self.times[order], np.cumsum(self.counts)[:-1]) if self.n_units else []

    def between(self, start: float, stop: float) -> Spikes:
        """Return the spikes in (start, stop], with times counted from ``start``.

        >>> Spikes([0.1, 0.5], [0, 1], duration=1.0).between(0.2, 0.8)
        Spikes(1 spikes of 2 units in 0.6 s)
        """
        start, stop = finite("the start", start), finite("the stop", stop)
        if not 0 <= start < stop <= self.duration:
            raise UserError(
                "not a part of the recording.", came=f"{start} to {stop} s", expected=f"within 0 to {self.duration:g} s"
            )
        inside = (self.times > start) & (self.times <= stop)
        return Spikes(self.times[inside] - start, self.units[inside], self.n_units, stop - start)

    def select(self, units: Any) -> Spikes:
        """Return the spikes of some units alone, numbered anew in the order given.

        Raises:
            UserError: no such units, or one of them twice.

        >>> Spikes([0.1, 0.2, 0.3], [0, 1, 2], duration=1.0).select([2, 0]).units.tolist()
        [1, 0]
        """
        wanted = array("units", units, "iu").astype(np.int64)
        good = wanted.ndim == 1 and len(np.unique(wanted)) == len(wanted)
        if not good or (wanted < 0).any() or (wanted >= self.n_units).any():
            raise UserError(
                "these are no units to select.", came=repr(units)[:60], expected=f"each once, 0 to {self.n_units - 1}"
            )
        place = np.full(self.n_units, -1)
        place[wanted] = np.arange(len(wanted))
        kept = place[self.units] >= 0
        return Spikes.sorted_from(self.times[kept], place[self.units[kept]], len(wanted), self.duration)

    def to_pandas(self) -> pd.DataFrame:
        """Return a table of two columns, ``time`` (seconds) and ``unit``, a row for each spike.

        >>> Spikes([0.1, 0.25], [0, 1]).to_pandas().to_dict("list")
        {'time': [0.1, 0.25], 'unit': [0, 1]}
        """
        return pd.DataFrame({"time": self.times, "unit": self.units})

    def save(self, path: str | Path) -> None:
        """Write times, units, n_units and duration to an ``.npz`` file of exactly this name.

        Raises:
            UserError: a folder that is not there, a name that is a folder.
        """
        place = _path(path)
        if not place.parent.is_dir():
            raise UserError(
                f"there is no folder {place.parent}.", came=str(place), expected="a file in a folder that is there",
                attempt=f"mkdir -p {place.parent}",
            )  # fmt: skip
        if place.is_dir():
            raise UserError(f"{place} is a folder.", came=str(path), expected="the name of a file")
        arrays = {"times": self.times, "units": self.units, "n_units": self.n_units, "duration": self.duration}
        part = place.with_name(place.name + ".part.npz")  # renamed when whole: never half a file under the name
        try:
            np.savez_compressed(part, **arrays)  # type: ignore[arg-type]
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path, trains: str | Sequence[str] | None = None, duration: float | None = None) -> Spikes:
        """Read what :meth:`save` wrote, or trains of any other ``.npz`` file; nothing is unpickled.

        Args:
            path: of the file.
            trains: names of arrays in it, each the times of one unit in seconds, in any order; None for a file of
                :meth:`save`.
            duration: seconds, with ``trains``; by default the time of the last spike.

        Raises:
            UserError: no NPZ file, or one without these arrays; arrays that are no times.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/cells.npz", first=[0.1, 0.4], second=[0.2])
        ...     Spikes.load(f"{folder}/cells.npz", trains=["first", "second"], duration=1.0)
        Spikes(3 spikes of 2 units in 1 s)
        """
        if trains is None and duration is not None:
            raise UserError("a duration goes with trains.", came=f"duration={duration!r}", expected="trains=[…] too")
        named = _SAVED if trains is None else _names(trains)
        with Archive(_path(path)) as file:
            missing = [name for name in named if name not in file.members]
            if missing:
                there = ", ".join(sorted(file.members))[:300]
                raise UserError(
                    f"{path} holds no such spikes.", came=f"without {', '.join(missing)}; with {there}",
                    expected=", ".join(named), attempt="trains=[names of arrays of times], duration=…",
                )  # fmt: skip
            found = [file.load(name) for name in named]
        if trains is None:
            sizes: list[Any] = [size[()] for size in found[2:]]
            return cls(found[0], found[1], *sizes)
        for name, times in zip(named, found, strict=True):
            if times.ndim != 1:
                raise UserError(
                    f"{name} is no array of times.", came=f"shape {times.shape}", expected="seconds, one axis",
                    attempt="Spikes.from_dense(array, dt) for zeros and ones [time, unit]",
                )  # fmt: skip
        units = np.repeat(np.arange(len(found)), [len(times) for times in found])
        return cls.sorted_from(np.concatenate([_floats(times) for times in found]), units, len(found), duration)

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        return f"Spikes({len(self):,} spikes of {self.n_units:,} units in {self.duration:g} s)"


def _floats(times: Any) -> np.ndarray:
    found = array("spike times", times)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise UserError("spike times are finite numbers.", came=repr(times)[:60], expected="seconds, one axis")
    return found


def _ids(units: Any) -> np.ndarray:
    array("units", units)
    found = np.asarray(units)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise UserError("units are whole numbers.", came=repr(units)[:60], expected="counted from 0, one axis")
    return found.astype(np.int64)


def _step(dt: float) -> float:
    return number("a step", dt, unit="seconds")


def _path(path: Any) -> Path:
    if not isinstance(path, str | PathLike):
        raise UserError("a path is a text.", came=type(path).__name__, expected="str or pathlib.Path")
    return Path(path)


def _names(trains: Any) -> tuple[str, ...]:
    given = (trains,) if isinstance(trains, str) else trains
    if not isinstance(given, Sequence) or not given or not all(isinstance(name, str) for name in given):
        raise UserError("trains are names of arrays.", came=repr(trains)[:60], expected="one or more texts")
    return tuple(given)


def trains_of(given: Any) -> Spikes:
    """Return spikes, from spikes or from a run of a simulation, which holds them."""
    found = getattr(given, "spikes", given)
    if not isinstance(found, Spikes):
        raise UserError(
            "these are no spikes.", came=type(given).__name__, expected="Spikes, or a run of a simulation",
            attempt="sf.spiking.Spikes(times, units, n_units=…, duration=…)",
        )  # fmt: skip
    return found

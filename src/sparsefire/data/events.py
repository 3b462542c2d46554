"""Recordings of an event camera: when each pixel got brighter or darker, many recordings in one NPZ file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsefire.data.npz import Archive
from sparsefire.data.words import plain
from sparsefire.errors import UserError

MICROSECOND = 1e-6
_NAMES = ("x", "y", "p", "t", "offset", "label")


@dataclass(frozen=True, eq=False)
class Recordings:
    """Recordings of events, one after another in the same arrays.

    Attributes:
        times: seconds since the start of the recording, float64 [events], ascending within each recording.
        pixels: which sensor spoke, int64 [events]: (polarity · height + y) · width + x.
        offsets: int64 [recordings + 1]; events of recording k are ``offsets[k]:offsets[k + 1]``.
        labels: int64 [recordings].
        shape: polarities, height, width.

    >>> one = Recordings(np.array([0.1, 0.2]), np.array([0, 3]), np.array([0, 2]), np.array([7]), (1, 2, 2))
    >>> one.binned(steps=2, duration=0.2).tolist()
    [[[1.0, 0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0, 1.0]]]
    """

    times: np.ndarray
    pixels: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.times[start:stop], self.pixels[start:stop]

    @property
    def duration(self) -> float:
        """Seconds of the longest recording."""
        return float(self.times.max(initial=0.0))

    def binned(
        self, steps: int, rows: Any = None, duration: float | None = None, *, counts: bool = False
    ) -> np.ndarray:
        """Return dense spikes, float32 [time, recording, pixel], 1 where a pixel spoke within a step.

        Args:
            steps: time steps of equal length.
            rows: which recordings: numbers, a slice or truth values; all by default. Dense spikes of many recordings
                take much memory.
            duration: seconds that the steps cover; events after it are left out. By default the longest recording.
            counts: how many events there were, in place of 1.

        Raises:
            UserError: steps below 1, a duration of 0, recordings that are not there.
        """
        if not isinstance(steps, int | np.integer) or isinstance(steps, bool) or steps < 1:
            raise UserError("steps is a number of time steps.", came=repr(steps), expected="1 or more")
        length = self.duration if duration is None else duration
        if not 0 < length < np.inf:
            raise UserError("a duration is a number of seconds.", came=repr(length), expected="above 0")
        chosen = self._rows(rows)
        found = np.zeros((int(steps), len(chosen), int(np.prod(self.shape))), np.float32)
        for place, row in enumerate(chosen):
            mine = slice(self.offsets[row], self.offsets[row + 1])
            when = np.ceil(self.times[mine] * (steps / length) - 1e-9).astype(np.int64) - 1
            inside = when < steps
            step, pixel = np.maximum(when[inside], 0), self.pixels[mine][inside]
            if counts:
                np.add.at(found[:, place], (step, pixel), 1.0)
            else:
                found[step, place, pixel] = 1.0
        return found

    def _rows(self, rows: Any) -> np.ndarray:
        every = np.arange(len(self))
        if rows is None:
            return every
        try:
            return np.atleast_1d(every[rows if isinstance(rows, slice) else np.asarray(rows)])
        except (IndexError, TypeError, ValueError):
            raise UserError(
                "there are no such recordings.",
                came=f"rows={rows!r}"[:80],
                expected=f"numbers from 0 to {len(self) - 1}",
            ) from None


def read_events(path: str | Path, part: str = "", shape: tuple[int, int] | None = None) -> Recordings:
    """Read recordings of an event camera from an NPZ file; nothing is unpickled.

    Args:
        path: an NPZ file with ``x``, ``y`` (pixels), ``p`` (polarity, 0 or 1), ``t`` (microseconds), ``offset`` (where
            each recording begins in these, and where the last one ends) and ``label``.
        part: what follows the names, such as ``"train"`` for ``x_train``.
        shape: height and width of the sensor; by default the smallest that holds all pixels of every part of the file,
            so that parts number their pixels alike.

    Raises:
        UserError: arrays that are missing or do not fit each other, times that are not in order.
    """
    ending = f"_{part}" if part else ""
    with Archive(Path(path)) as archive:
        keys = {name: archive.find(name + ending) for name in _NAMES}
        missing = [name + ending for name, key in keys.items() if key is None]
        if missing:
            raise UserError(
                f"{Path(path).name} holds no such recordings.", came=f"without {', '.join(missing)}",
                expected=", ".join(name + ending for name in _NAMES),
                attempt=" or ".join(f'part="{plain(one)}"' for one in _parts(archive)),
            )  # fmt: skip
        x, y, p, t, offset, label = (_whole(archive, key) for key in keys.values() if key is not None)
        least = tuple(_extent(archive, name) for name in "yx")
    if not len(x) == len(y) == len(p) == len(t):
        raise UserError(
            "every event needs x, y, p and t.", came=f"{len(x):,}, {len(y):,}, {len(p):,}, {len(t):,}",
            expected="as many of each",
        )  # fmt: skip
    if len(offset) != len(label) + 1 or offset[0] != 0 or offset[-1] != len(t) or np.any(np.diff(offset) < 0):
        raise UserError(
            "the offsets do not part the events into recordings.", came=f"{len(offset):,} for {len(label):,} labels",
            expected=f"0 … {len(t):,}, one more than labels",
        )  # fmt: skip
    if len(t) and (min(x.min(), y.min(), p.min(), t.min()) < 0 or p.max() > 1):
        raise UserError(
            "an event is out of range.", came="a negative number, or a polarity above 1", expected="0 or more"
        )
    back = np.flatnonzero(np.diff(t) < 0) + 1
    if len(np.setdiff1d(back, offset)):
        row = int(np.searchsorted(offset, np.setdiff1d(back, offset)[0], side="right")) - 1
        raise UserError("event times are not in order.", came=f"recording {row}", expected="ascending times")
    height, width = least if shape is None else shape
    if y.max(initial=0) >= height or x.max(initial=0) >= width:
        raise UserError(
            "a pixel lies outside the sensor.",
            came=f"x = {x.max()}, y = {y.max()}",
            expected=f"{height} × {width} pixels",
        )
    return Recordings(t * MICROSECOND, (p * height + y) * width + x, offset, label, (2, height, width))


def _whole(archive: Archive, key: str) -> np.ndarray:
    found = archive.load(key)
    if found.ndim != 1 or found.dtype.kind not in "iub":
        raise UserError(
            f"the array {key} holds no whole numbers.", came=f"{found.dtype}, {found.ndim} axes",
            expected="integers, one axis; times are microseconds",
        )  # fmt: skip
    return found.astype(np.int64)


def _parts(archive: Archive) -> list[str]:
    """Return the parts that a file holds: what follows all names, as ``train`` does in ``x_train``."""
    ends = [key[2:] for key in archive.members if key[:2].casefold() == "x_"]
    return [end for end in ends if all(archive.find(f"{name}_{end}") for name in _NAMES)]


def _extent(archive: Archive, name: str) -> int:
    """Return one more than the largest x or y of any part."""
    keys = [key for key in archive.members if key == name or key.startswith(f"{name}_")]
    return max((int(_whole(archive, key).max(initial=0)) for key in keys), default=0) + 1

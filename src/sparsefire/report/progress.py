"""One live line of progress: rewritten in place on a terminal, one line per ten percent elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from sparsefire.data import figures
from sparsefire.report.textual import fit, printable, use_colour

_BAR = 37
_PAUSE = 0.1  # seconds between two drawings on a terminal


class Progress:
    """Tells how far a search is; use it as a context manager, so that the line is closed.

    Args:
        stream: where to write, standard error by default.
        colour: colour the bar; by default only on a terminal without ``NO_COLOR``.
        clock: seconds, monotone; for tests.
        title: the word in front of the bar.

    What is told never runs backwards: fewer runs done than before are ignored, and a plan that shrinks because a walk
    stopped early only moves the bar forward.

    >>> progress = Progress(sys.stdout)
    >>> for done in range(0, 41, 10):
    ...     progress.update(done, 40, 90.0 - done, "gmp 0.02, fold 3")
    Train   25%  10 of 40   1 min 20 s left   now gmp 0.02, fold 3
    Train   50%  20 of 40   1 min 10 s left   now gmp 0.02, fold 3
    Train   75%  30 of 40   1 min left   now gmp 0.02, fold 3
    Train  100%  40 of 40   now gmp 0.02, fold 3
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        colour: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        title: str = "Train",
    ) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.live = bool(getattr(self.stream, "isatty", lambda: False)())
        self.colour = use_colour(self.stream) if colour is None else colour
        self.title = title
        self._clock = clock
        self._drawn = False
        self._last = -1.0
        self._share = 0.0
        self._tenths = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(
        self, done: int, total: int, seconds_left: float | None = None, now: str = "", smallest: str = ""
    ) -> None:
        """Tell how far the search is.

        Args:
            done: finished runs.
            total: runs at most.
            seconds_left: estimate of the wall time left, or None when there is none yet.
            now: what is being trained.
            smallest: the smallest candidate that passed so far, such as ``gmp 0.05, 4,224 weights``.
        """
        share = min(max(done / total, 0.0), 1.0) if total > 0 else 1.0
        self._share = max(share, self._share)
        if self.live:
            self._draw(done, total, seconds_left, now, smallest)
        elif int(10 * self._share + 1e-9) > self._tenths:
            self._tenths = int(10 * self._share + 1e-9)
            self._tell(done, total, seconds_left, now)

    def close(self) -> None:
        """End the live line, so that what follows starts on a line of its own."""
        if self._drawn:
            self._write("\n")
            self._drawn = False

    def _tell(self, done: int, total: int, seconds_left: float | None, now: str) -> None:
        parts = [f"{figures.count(done)} of {figures.count(total)}", _left(done, total, seconds_left), f"now {now}"]
        told = "   ".join(part for part in parts if part not in ("", "now "))
        self._write(fit(f"{self.title}  {int(100 * self._share + 1e-9):>3}%  {told}", 80) + "\n")

    def _draw(self, done: int, total: int, seconds_left: float | None, now: str, smallest: str) -> None:
        at = self._clock()
        if self._drawn and at - self._last < _PAUSE and done < total:
            return
        columns = min(shutil.get_terminal_size((80, 24)).columns - 1, 80)
        lead = len(self.title) + 2
        bar = max(min(_BAR, columns - 36 - lead), 5)
        full = int(bar * self._share)
        text = f"  {figures.count(done)} of {figures.count(total)}   {_left(done, total, seconds_left)}".rstrip()
        text = fit(text, max(columns - lead - bar, 1))
        heavy, light = "━" * full, "╌" * (bar - full)
        first = (
            f"\x1b[1m{self.title}\x1b[0m  \x1b[36m{heavy}\x1b[0m{light}{text}"
            if self.colour
            else f"{self.title}  {heavy}{light}{text}"
        )
        parts = [f"now {now}" if now else "", f"smallest passed: {smallest}" if smallest else ""]
        second = fit(" " * lead + " · ".join(part for part in parts if part), columns)
        back = "\r\x1b[1A" if self._drawn else ""
        self._write(f"{back}\x1b[2K{first}\n\x1b[2K{second}")
        self._drawn, self._last = True, at

    def _write(self, text: str) -> None:
        self.stream.write(printable(text, self.stream))
        self.stream.flush()


def _left(done: int, total: int, seconds_left: float | None) -> str:
    if seconds_left is None or done >= total:
        return ""
    return f"{figures.duration(max(seconds_left, 0.0))} left"

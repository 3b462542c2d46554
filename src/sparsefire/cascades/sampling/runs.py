"""Many runs of a cascade on several threads: sizes, how often each unit was active, and who activated whom."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsefire import randomness
from sparsefire.cascades.distribution import clopper_pearson
from sparsefire.errors import UserError
from sparsefire.parallel import checked_workers

BLOCK = 65_536  # at most so many runs are handed out at once


class Record(NamedTuple):
    """What a compiled block of runs writes; arrays of length 0 are not asked for.

    Attributes:
        sizes, durations: int64 [runs].
        counts: int64 [units], raised for every active unit of the runs that end with ``wanted`` units (-1: of all).
        wanted: a size or -1.
        begin: int64 [runs], where the activations of each run begin in the arrays that follow.
        units, by, steps: int32, the unit, who activated it and in which step; of those that begin active, the last two
            stay as they are (-1 and 0).
    """

    sizes: np.ndarray
    durations: np.ndarray
    counts: np.ndarray
    wanted: int
    begin: np.ndarray
    units: np.ndarray
    by: np.ndarray
    steps: np.ndarray

    def part(self, runs: slice) -> Record:
        """Return the record of some of the runs."""
        return self._replace(sizes=self.sizes[runs], durations=self.durations[runs], begin=self.begin[runs])


Runner = Callable[[int, int, np.uint64, Record], None]  # first run, how many, key of the streams, what to write


@dataclass(frozen=True, eq=False)
class Activations:
    """Who activated whom: one entry per active unit of every run, in the order in which they became active.

    Attributes:
        run: int64, the number of the run.
        unit: int32.
        by: int32, the unit whose activity tipped it, -1 if it was active from the start.
        step: int32, 0 for those active from the start.
    """

    run: np.ndarray
    unit: np.ndarray
    by: np.ndarray
    step: np.ndarray


@dataclass(frozen=True, eq=False)
class Sample:
    """Sampled cascades.

    Attributes:
        sizes: int64 [runs], units active in the end.
        durations: int64 [runs], steps after the sources until nothing moved.
        activations: who activated whom, if asked for.
    """

    sizes: np.ndarray
    durations: np.ndarray
    activations: Activations | None = None


@dataclass(frozen=True, eq=False)
class Marginals:
    """P(unit is active in the end) for every unit; stands for the array ``probability`` in NumPy functions.

    Attributes:
        probability: float64 [n].
        method: how it was found.
        samples: runs behind it, None where none are.
    """

    probability: np.ndarray
    method: str
    samples: int | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.probability, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.probability)

    def __getitem__(self, key: Any) -> Any:
        return self.probability[key]

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the limits of Clopper and Pearson for every unit, [n] each; None for what was not sampled."""
        if self.samples is None:
            return None
        return clopper_pearson(np.rint(self.probability * self.samples), self.samples, level)


def sample(runner: Runner, runs: int, rng: Any, workers: int | None, *, who: bool = False) -> Sample:
    """Return sizes and durations of ``runs`` runs, and on request who activated whom.

    Run r depends on ``rng`` and r alone. The second of these costs a second pass over the same runs, whose sizes say
    how much room it needs.
    """
    key = key_of(rng)
    sizes, durations = np.empty(_count(runs), np.int64), np.empty(runs, np.int64)
    empty = _nothing()

    def block(first: int, count: int) -> None:
        part = slice(first, first + count)
        runner(first, count, key, Record(sizes[part], durations[part], empty[0], -1, empty[0], *empty[1:]))

    deque(each_block(block, runs, workers), maxlen=0)
    if not who:
        return Sample(sizes, durations)
    ends = np.cumsum(sizes)
    total = int(ends[-1])
    units, by, steps = np.empty(total, np.int32), np.full(total, -1, np.int32), np.zeros(total, np.int32)
    begin = ends - sizes

    def again(first: int, count: int) -> None:
        part = slice(first, first + count)
        runner(first, count, key, Record(sizes[part], durations[part], empty[0], -1, begin[part], units, by, steps))

    deque(each_block(again, runs, workers), maxlen=0)
    return Sample(sizes, durations, Activations(np.repeat(np.arange(runs), sizes), units, by, steps))


def histogram(runner: Runner, units: int, runs: int, rng: Any, workers: int | None) -> np.ndarray:
    """Return how many of the runs ended with 0 … ``units`` active units, int64 [units + 1]; sizes are not kept."""
    key, total, empty = key_of(rng), np.zeros(units + 1, np.int64), _nothing()

    def block(first: int, count: int) -> np.ndarray:
        sizes = np.empty(count, np.int64)
        runner(first, count, key, Record(sizes, np.empty(count, np.int64), empty[0], -1, empty[0], *empty[1:]))
        return np.bincount(sizes)

    for counts in each_block(block, _count(runs), workers):
        total[: len(counts)] += counts
    return total


def counts(
    runner: Runner, units: int, runs: int, rng: Any, workers: int | None, wanted: int = -1
) -> tuple[np.ndarray, int]:
    """Return how often each unit was active, int64 [units], among the runs that ended with ``wanted`` units (-1: all),
    and how many runs these were."""
    key, total, kept, empty = key_of(rng), np.zeros(units, np.int64), 0, _nothing()

    def block(first: int, count: int) -> tuple[np.ndarray, int]:
        sizes, found = np.empty(count, np.int64), np.zeros(units, np.int64)
        runner(first, count, key, Record(sizes, np.empty(count, np.int64), found, wanted, empty[0], *empty[1:]))
        return found, count if wanted < 0 else int((sizes == wanted).sum())

    for found, number in each_block(block, _count(runs), workers):
        total += found
        kept += number
    return total, kept


def key_of(rng: Any) -> np.uint64:
    """Return the key of the streams of a cascade's runs."""
    return np.uint64(randomness.integer(rng, "cascade"))


def each_block(block: Callable[[int, int], Any], runs: int, workers: int | None) -> Iterator[Any]:
    """Yield ``block(first, count)`` over all runs, in order; at most two results per thread wait to be taken."""
    threads = checked_workers(workers)
    size = min(BLOCK, max(1, -(-runs // (4 * threads))))  # several blocks per thread: their runs differ in length
    parts = [(first, min(size, runs - first)) for first in range(0, runs, size)]
    if threads == 1:
        yield from (block(*part) for part in parts)
        return
    with ThreadPoolExecutor(min(threads, len(parts))) as pool:
        waiting: deque[Future[Any]] = deque()
        try:
            for part in parts:
                if len(waiting) == 2 * threads:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(block, *part))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _nothing() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int32)


def _count(runs: int) -> int:
    if isinstance(runs, bool) or not isinstance(runs, int | np.integer) or runs < 1:
        raise UserError("there must be runs.", came=f"runs={runs!r}", expected="a whole number, 1 or more")
    return int(runs)

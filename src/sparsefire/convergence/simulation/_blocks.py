"""Blocks of runs on threads: compiled loops without the interpreter lock, stopped within a second, told by progress."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import numpy as np

from sparsefire.convergence._inputs import a_function
from sparsefire.parallel import checked_workers

_POLL = 0.1  # seconds between looks at progress and at Ctrl-C
_PARTS = 20  # of the runs, for each worker


def run_blocks(
    block: Callable[[int], Iterator[None]],
    blocks: int,
    pieces: int,
    *,
    workers: int,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Run ``block(i)`` for i < blocks on threads; each is a generator that yields after each of its pieces.

    Args:
        block: makes the iterator of block i; a piece should take well under a second.
        blocks, pieces: how many blocks, and how many pieces each has.
        workers: threads.
        progress: called from this thread with the fraction done, at the end with 1.

    An exception of a block, of ``progress``, or Ctrl-C stops all blocks after the piece they are at.

    >>> run_blocks(lambda i: iter([None, None]), 3, 2, workers=2, progress=lambda part: None)
    """
    if progress is not None:
        a_function(progress, "progress", "a function of the share done")
    stop, done = threading.Event(), [0] * blocks

    def work(i: int) -> None:
        for _ in block(i):
            done[i] += 1
            if stop.is_set():
                return

    with ThreadPoolExecutor(max_workers=workers) as pool:
        futures = [pool.submit(work, i) for i in range(blocks)]
        try:
            left = set(futures)
            told = 0
            while left:
                finished, left = wait(left, timeout=_POLL, return_when=FIRST_EXCEPTION)
                for future in finished:
                    future.result()
                if progress is not None and sum(done) > told:
                    told = sum(done)
                    progress(told / (blocks * pieces))
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise


def over_runs(
    part: Callable[[int, int], None], runs: int, workers: int | None, progress: Callable[[float], None] | None = None
) -> None:
    """Call ``part(first, end)`` on threads until all runs have had their turn, some parts per worker.

    Args:
        part: a compiled loop over the runs first … end - 1.
        runs: how many.
        workers: threads; None for all cores.
        progress: as of :func:`run_blocks`.

    >>> done = []
    >>> over_runs(lambda first, end: done.extend(range(first, end)), 3, workers=1)
    >>> done
    [0, 1, 2]
    """
    workers = min(checked_workers(workers), runs)
    edges = np.linspace(0, runs, min(runs, _PARTS * workers) + 1).astype(int)

    def block(i: int) -> Iterator[None]:
        part(int(edges[i]), int(edges[i + 1]))
        yield

    run_blocks(block, len(edges) - 1, 1, workers=workers, progress=progress)

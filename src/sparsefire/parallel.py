"""Independent jobs on the cores of this machine: one thread each, warm workers, results as they finish."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sparsefire.errors import UserError

Progress = Callable[[int, float], None]


def workers_available() -> int:
    """Return how many processes this one may keep busy: its CPU affinity, capped by a container's quota.

    >>> workers_available() >= 1
    True
    """
    import joblib

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, int(joblib.cpu_count())))


def checked_workers(workers: int | None) -> int:
    """Return the number of workers, :func:`workers_available` for None, or raise when it is no count.

    >>> checked_workers(3)
    3
    """
    if workers is None:
        workers = workers_available()
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise UserError(
            "the number of workers is not a positive whole number.",
            came=repr(workers),
            expected=f"1 to about {workers_available()} on this machine",
            attempt=f"workers={workers_available()}",
        )
    return workers


def run_all(
    function: Callable[[Any], Any],
    jobs: Sequence[Any],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[int, Any]]:
    """Run ``function(job)`` for every job and yield ``(index, result)`` as they finish.

    Args:
        function: called with one job; must be picklable (a lambda or a function of a script is, by cloudpickle).
        jobs: any sequence; long jobs first keeps the workers busy to the end. Arrays above 1 MB arrive as read-only
            memory maps.
        workers: processes, at least 1; default :func:`workers_available`. 1 runs in this process.
        progress: called here as ``progress(index, seconds)`` after each job with the time the job itself took.

    Returns:
        An iterator over ``(index of the job, result)`` in order of completion (with 1 worker: in order of the jobs).
        Nothing starts before the first ``next``. Closing it stops the workers.

    Every job has one OpenMP, BLAS and torch thread, wherever it runs, so results do not depend on ``workers``.
    Workers stay warm for later calls with as many workers. They die with this process, however it ends.

    Raises:
        UserError: ``workers`` is no count, or a worker process died (killed, or out of memory).
        Exception: what ``function`` raised, with its type; jobs not yet finished are dropped. On ``KeyboardInterrupt``
            the workers are stopped at once and everything already yielded stays valid.

    >>> sorted(run_all(abs, [-2, 3], workers=1))
    [(0, 2), (1, 3)]
    """
    workers = checked_workers(workers)
    jobs = list(jobs)
    return _here(function, jobs, progress) if workers == 1 else _in_workers(function, jobs, workers, progress)


def _here(function: Callable[[Any], Any], jobs: list[Any], progress: Progress | None) -> Iterator[tuple[int, Any]]:
    for index, job in enumerate(jobs):
        with one_thread():
            _, seconds, result = _timed(function, index, job)
        if progress is not None:
            progress(index, seconds)
        yield index, result


def _in_workers(
    function: Callable[[Any], Any], jobs: list[Any], workers: int, progress: Progress | None
) -> Iterator[tuple[int, Any]]:
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import BrokenProcessPool

    if not jobs:
        return
    # The children inherit these limits before any library of theirs can start threads.
    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)
    # ``os.getpid`` is what the workers compare with to notice that they were orphaned.
    outcomes = pool(delayed(_in_worker)(function, index, job, os.getpid()) for index, job in enumerate(jobs))
    try:
        for index, seconds, result in outcomes:
            if progress is not None:
                progress(index, seconds)
            yield index, result
    except BrokenProcessPool as error:  # also its child TerminatedWorkerError
        raise UserError(
            "a worker process died in the middle of a job.",
            came=_exit_codes(error),
            expected=f"memory for {workers} jobs at once, and nothing that kills them",
            attempt="the same again with fewer workers; what had finished is not lost",
        ) from error
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib warns that stopping early kills jobs: that is what was asked
            outcomes.close()


def _exit_codes(error: BaseException) -> str:
    _, _, codes = str(error).partition("exit codes of the workers are ")
    return f"worker exit codes {codes.strip()}" if codes else "no exit code (killed from outside, or out of memory)"


def _timed(function: Callable[[Any], Any], index: int, job: Any) -> tuple[int, float, Any]:
    start = time.perf_counter()
    result = function(job)
    return index, time.perf_counter() - start, result


_guarded = False  # true in a worker that has been prepared


def _in_worker(function: Callable[[Any], Any], index: int, job: Any, parent: int) -> tuple[int, float, Any]:
    global _guarded
    if not _guarded:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
        threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
        _guarded = True
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
    return _timed(function, index, job)


def _die_with(parent: int, every: float = 0.2) -> None:
    """End this worker when its parent is gone: a killed study must not go on writing behind the next one's back."""
    while os.getppid() == parent:
        time.sleep(every)
    os._exit(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS, OpenMP and torch to one thread inside the ``with`` block, and give them back afterwards.

    Small networks are slower with more (performance notes in ``docs``), and sums must not depend on the thread count.

    >>> with one_thread():
    ...     pass
    """
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    before = os.environ.get("OMP_NUM_THREADS")
    threads = torch.get_num_threads() if torch is not None else None
    if torch is not None:
        torch.set_num_threads(1)
    else:  # in case the block is what imports it
        os.environ["OMP_NUM_THREADS"] = "1"
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        if threads is None:
            _restore("OMP_NUM_THREADS", before)
            torch = sys.modules.get("torch")
            threads = int(before) if before and before.isdigit() else workers_available()
        if torch is not None:
            torch.set_num_threads(threads)


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


class TimeLeft:
    """How long the rest will take, from expected costs of the jobs and the times measured so far.

    Args:
        total_cost: sum of the expected costs of all jobs, in any unit (such as rows × epochs × weights); positive.
        workers: jobs that run at the same time.

    One number is learned, the seconds per unit of cost Σ seconds / Σ cost of the finished jobs. Jobs under way are on
    average half done, and the last ones leave workers idle for about as long: the two cancel, so neither is counted.

    >>> left = TimeLeft(10.0, workers=2)
    >>> left.seconds() is None
    True
    >>> left.finish(cost=2.0, seconds=4.0)
    >>> round(left.seconds(), 1)
    8.0
    """

    def __init__(self, total_cost: float, workers: int = 1) -> None:
        if not total_cost > 0 or workers < 1:
            raise ValueError(f"need a positive total cost and workers, got {total_cost!r} and {workers!r}")
        self._left = float(total_cost)
        self._workers = workers
        self._cost = 0.0
        self._seconds = 0.0
        self._since = time.monotonic()

    def finish(self, cost: float, seconds: float) -> None:
        """Count one finished job: its expected cost and the seconds it took in its worker."""
        self._left = max(0.0, self._left - cost)
        self._cost += cost
        self._seconds += seconds
        self._since = time.monotonic()

    def skip(self, cost: float) -> None:
        """Take out a job that need not run (it was found finished)."""
        self._left = max(0.0, self._left - cost)

    def seconds(self) -> float | None:
        """Return the seconds still to go, counting down between jobs, or None before the first job has finished."""
        if self._cost <= 0:
            return None
        estimate = self._left * self._seconds / self._cost / self._workers
        return max(0.0, estimate - (time.monotonic() - self._since))

"""Runs on threads: each has its turn once, and what fails is told."""

import threading

import pytest

from sparsefire.convergence.simulation._blocks import over_runs, run_blocks
from sparsefire.errors import UserError


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("runs", [1, 2, 3, 100])
def test_every_run_has_its_turn_once(runs: int, workers: int) -> None:
    lock, seen = threading.Lock(), []

    def part(first: int, end: int) -> None:
        with lock:
            seen.extend(range(first, end))

    over_runs(part, runs, workers)
    assert sorted(seen) == list(range(runs))


def test_what_fails_in_a_part_is_raised() -> None:
    def part(first: int, end: int) -> None:
        if first:
            raise ArithmeticError("lost")

    with pytest.raises(ArithmeticError, match="lost"):
        over_runs(part, 8, 2)
    with pytest.raises(UserError, match="workers"):
        over_runs(part, 8, 0)


def test_progress_ends_at_one() -> None:
    told: list[float] = []
    run_blocks(lambda i: iter([None] * 3), 4, 3, workers=2, progress=told.append)
    assert told[-1] == 1.0
    assert told == sorted(told)
    told.clear()
    over_runs(lambda first, end: None, 100, 2, told.append)
    assert told[-1] == 1.0
    for progress in (3, "bar"):
        with pytest.raises(UserError, match="progress is no function"):
            over_runs(lambda first, end: None, 100, 2, progress)

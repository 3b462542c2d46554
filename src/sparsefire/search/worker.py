"""Runs the jobs of a study that the store does not have yet, and tells how far it is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from sparsefire.parallel import TimeLeft, run_all
from sparsefire.search.candidates import Candidate
from sparsefire.search.plan import everyone
from sparsefire.search.runs import FINAL, Job, Study, execute, settings_of
from sparsefire.studies import Store, key_of

Listener = Callable[[str, dict[str, Any]], None]


class Worker:
    """Runs jobs that are not finished yet, and tells how far it is."""

    def __init__(
        self,
        study: Study,
        store: Store,
        workers: int,
        tell: Listener,
        expected: dict[str, float],
        before: frozenset[str] = frozenset(),
    ) -> None:
        """Start counting: every candidate may run in all its rounds, each in its expected seconds.

        ``before`` are the keys of an earlier start, counted as resumed.
        """
        self.study, self.store, self.workers, self.tell = study, store, workers, tell
        self.expected, self.before = expected, before
        per = {c.id: study.plan.folds * study.plan.rounds_of(c) for c in everyone(study.plan)}
        self.total = sum(per.values())
        self.left = TimeLeft(sum(per[i] * expected[i] for i in per), workers)
        self.done = self.resumed = 0
        self.smallest: str | None = None

    def drop(self, candidates: Sequence[Candidate]) -> None:
        """Take out candidates that will not be trained, because their walk has stopped."""
        runs = self.study.plan.folds * self.study.plan.rounds
        for candidate in candidates:
            self.total -= runs
            self.left.skip(runs * self.expected[candidate.id])

    def run(self, jobs: Sequence[Job]) -> None:
        """Do all jobs that the store does not have, one thread each."""
        missing = []
        for job in jobs:
            key = key_of(settings_of(self.study, job))
            if self.store.finished(key):
                self.resumed += key in self.before
                self._count(job, None)
            else:
                missing.append(job)
        missing.sort(key=lambda job: (job.round, job.fold, -self.expected.get(job.candidate.id, 0.0)))
        seconds: dict[int, float] = {}
        one = functools.partial(execute, self.study, store=self.store)
        for index, _ in run_all(one, missing, workers=self.workers, progress=seconds.__setitem__):
            self._count(missing[index], seconds.get(index))

    def _count(self, job: Job, seconds: float | None) -> None:
        self.done += 1
        if job.round == FINAL:
            self.total = max(self.total, self.done)
        elif seconds is None:
            self.left.skip(self.expected[job.candidate.id])
        else:
            self.left.finish(self.expected[job.candidate.id], seconds)
        now = "refit on all development rows" if job.round == FINAL else f"{job.candidate.id}, fold {job.fold + 1}"
        self.tell(
            "progress",
            {
                "done": self.done,
                "total": max(self.total, self.done),
                "seconds_left": self.left.seconds(),
                "now": now,
                "smallest": self.smallest,
            },
        )

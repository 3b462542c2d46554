"""What is run: students of point-process neurons, by dimension and by how they learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.spiking.teaching.students import learn_online, maximise_likelihood
from sparsefire.spiking.teaching.teacher import Lesson, Teacher, draw_teacher

Record = dict[str, Any]
LEARNERS = ("maximum likelihood", "likelihood", "reward")
RUNS = {10: 240, 40: 80, 100: 32}
"""A risk is a sum over d weights, so many weights need few runs."""
TUNED = {10: 48, 40: 12, 100: 5}
BATCH = tuple(100 * 2**k for k in range(5))
ONLINE = tuple(250 * 2**k for k in range(8))
"""Steps per weight after which risks are taken; about one step in ten has a spike."""
HELD_OUT = 20_000
DELAY = 100
"""Steps per weight after which step sizes fall."""
STEP_SIZES = {"likelihood": (0.1, 0.2, 0.4, 0.8), "reward": (0.02, 0.04, 0.08, 0.16)}
POWERS = (0.5, 0.67)
AFTER = {"likelihood": (200, 800), "reward": (800, 3200)}
"""Steps per weight after which weights are averaged."""


@dataclass(frozen=True)
class Case:
    """All runs of one way to learn so many weights."""

    dimension: int
    learner: str
    short: bool = False

    @property
    def points(self) -> tuple[int, ...]:
        """Steps per weight."""
        kept = BATCH if self.learner == LEARNERS[0] else ONLINE
        return kept[:-2] if self.short else kept


def taught(case: Case, run: int, purpose: str) -> tuple[Teacher, Lesson, int]:
    """Return the teacher of a run, what its students are judged on, and a number for their own streams."""
    number = 10_000 * (purpose == "tune") + run
    teacher = draw_teacher(case.dimension, rng=number)
    return teacher, teacher.record(HELD_OUT, rng=20_000 + number), 40_000 + number


def batch(case: Case, run: int) -> tuple[list[float], list[float]]:
    """Return spikes and risks of maximum likelihood after longer and longer parts of one lesson."""
    teacher, held_out, number = taught(case, run, "run")
    steps = [case.dimension * point for point in case.points]
    lesson, weights, spikes, risks = teacher.record(steps[-1], rng=number), None, [], []
    for k in steps:
        part = Lesson(*(kept[:k] for kept in lesson))
        weights = maximise_likelihood(teacher, part, weights)
        spikes.append(float(part.spikes.sum()))
        risks.append(teacher.risk(weights, held_out))
    return spikes, risks


def online(case: Case, run: int, schedule: dict[str, float], purpose: str = "run") -> tuple[list[float], list[float]]:
    """Return spikes and risks of averaged weights; both local rules of a run hear the same teacher on other inputs."""
    teacher, held_out, number = taught(case, run, purpose)
    d = case.dimension
    steps = [d * point for point in case.points]
    learned = learn_online(
        teacher, steps[-1], case.learner, step_size=schedule["step_size"], power=schedule["power"], delay=d * DELAY,
        average_after=d * int(schedule["after"]), record=steps if purpose == "run" else None, rng=number,
    )  # fmt: skip
    return learned.spikes.tolist(), [teacher.risk(weights, held_out) for weights in learned.averages]


def tuned(case: Case) -> tuple[dict[str, float], bool]:
    """Return the schedule of least mean risk in the end on runs of its own, and whether a step size is at an edge."""
    grid = list(product(STEP_SIZES[case.learner], POWERS, AFTER[case.learner]))
    runs = 2 if case.short else TUNED[case.dimension]
    found = []
    for step_size, power, after in grid:
        schedule = {"step_size": step_size, "power": power, "after": after}
        try:
            found.append(
                (float(np.mean([online(case, run, schedule, "tune")[1][-1] for run in range(runs)])), schedule)
            )
        except UserError:  # a student of infinite weights
            continue
    best = min(found, key=lambda pair: pair[0])[1]
    return best, best["step_size"] in (STEP_SIZES[case.learner][0], STEP_SIZES[case.learner][-1])


def run(case: Case) -> list[Record]:
    """Return the record of a case."""
    runs = 4 if case.short else RUNS[case.dimension]
    schedule: dict[str, float] | None = None
    edge = False
    if case.learner == LEARNERS[0]:
        found = [batch(case, number) for number in range(runs)]
    else:
        schedule, edge = tuned(case)
        found = [online(case, number, schedule) for number in range(runs)]
    prices = [teacher.price_of_reward(lesson) for teacher, lesson, _ in (taught(case, r, "run") for r in range(runs))]
    rates = [float(taught(case, r, "run")[1].spikes.mean()) for r in range(min(runs, 20))]
    return [
        {
            **asdict(case), "schedule": schedule, "edge": edge, "chance": float(np.mean(rates)),
            "price": float(np.mean(prices)), "points": list(case.points),
            "spikes": np.mean([spikes for spikes, _ in found], axis=0).tolist(),
            "risks": [[float(f"{risk:.8g}") for risk in risks] for _, risks in found],
        }
    ]  # fmt: skip


def all_cases() -> list[Case]:
    """Return everything, the longest first."""
    return [Case(d, learner) for d in sorted(RUNS, reverse=True) for learner in LEARNERS]


def few() -> list[Case]:
    """Return cases for a minute."""
    return [Case(10, learner, short=True) for learner in LEARNERS]


def done(case: Case, found: Sequence[Record]) -> bool:
    """Say whether the record of a case is there."""
    return any(all(record[name] == value for name, value in asdict(case).items()) for record in found)

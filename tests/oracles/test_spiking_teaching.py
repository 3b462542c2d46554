"""Oracle: teacher and student point processes, by their likelihood written out.

Truccolo et al. 2005 (doi:10.1152/jn.00697.2004); Williams 1992 (doi:10.1007/BF00992696); Wilks 1938.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize

from sparsefire import spiking as sp
from sparsefire.errors import UserError

W = np.array([0.6, -0.5, 0.0])


def chances(lesson: sp.Lesson, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    q = np.exp(lesson.traces @ weights + lesson.offset)
    return q, -np.expm1(-q)


def test_risk_likelihood_and_score() -> None:
    teacher = sp.Teacher(W)
    lesson, other = teacher.record(40_000, rng=0), np.array([0.3, 0.1, -0.2])
    (q, p), (qh, ph) = chances(lesson, W), chances(lesson, other)
    s = lesson.spikes
    np.testing.assert_allclose(teacher.hazard(other, lesson), qh, rtol=1e-12)
    assert teacher.risk(other, lesson) == pytest.approx(
        (p * np.log(p / ph) + (1 - p) * (qh - q)).sum() / p.sum(), rel=1e-10
    )
    assert teacher.log_likelihood(other, lesson) == pytest.approx(np.where(s, np.log(ph), -qh).sum(), rel=1e-12)
    score = ((s - p) * q / p)[:, None] * lesson.traces  # a martingale under the right law
    assert (np.abs(score.sum(0)) < 4 * np.sqrt((score**2).sum(0))).all()
    assert (np.abs(lesson.traces.mean(0)) < 0.15).all()
    assert (np.abs(lesson.traces.var(0) - 1) < 0.15).all()
    f = (lesson.traces * (q**2 * (1 - p) / p)[:, None]).T @ lesson.traces
    g = (lesson.traces * (q**2 * (1 - p) / p * ((1 - p) ** 2 / p + p**2 / (1 - p)))[:, None]).T @ lesson.traces
    assert teacher.price_of_reward(lesson) == pytest.approx(np.trace(np.linalg.solve(f, g)) / 3, rel=1e-9)


def test_own_spikes_lower_the_offset() -> None:
    teacher = sp.Teacher(W, base_rate=30.0, after=-1.5, tau_after=0.03, dt=0.002)
    lesson = teacher.record(5000, rng=2)
    trace = (lesson.offset - math.log(30.0 * 0.002)) / -1.5
    fall = math.exp(-0.002 / 0.03)
    jump = trace[1:] - fall * trace[:-1]
    heights = np.unique(jump[lesson.spikes[:-1]].round(9))
    assert len(heights) == 1
    assert heights[0] == pytest.approx(fall, rel=1e-6) or heights[0] == pytest.approx(1.0, rel=1e-6)
    np.testing.assert_allclose(jump[~lesson.spikes[:-1]], 0.0, atol=1e-9)


def test_maximum_likelihood_and_its_risk() -> None:
    teacher, risks, fresh = sp.Teacher(W), [], sp.Teacher(W).record(40_000, rng=999)
    for number in range(60):
        lesson = teacher.record(8000, rng=number)
        found = sp.maximise_likelihood(teacher, lesson)
        if number < 3:
            mine = optimize.minimize(lambda w, seen=lesson: -teacher.log_likelihood(w, seen), np.zeros(3), tol=1e-9)
            np.testing.assert_allclose(found, mine.x, atol=1e-4)
        risks.append(teacher.risk(found, fresh) * lesson.spikes.sum())
    assert abs(np.mean(risks) - 1.5) < 4 * np.std(risks) / math.sqrt(60) + 0.1  # Wilks: d/2


def test_both_rules_find_the_teacher_and_reward_pays_its_price() -> None:
    teacher = sp.Teacher(W)
    fresh = teacher.record(40_000, rng=7)
    errors = {}
    for rule in ("likelihood", "reward"):
        learned = [
            sp.learn_online(teacher, 100_000, rule, step_size=0.01, average_after=20_000, rng=k).averages[-1]
            for k in range(16)
        ]
        mean, spread = np.mean(learned, 0), np.std(learned, 0)
        assert (np.abs(mean - W) < 4 * spread / 4 + 0.06).all()
        errors[rule] = np.mean([teacher.risk(w, fresh) for w in learned])
    assert 2 < errors["reward"] / errors["likelihood"] < 4 * teacher.price_of_reward(fresh)


@pytest.mark.parametrize("rule", ["likelihood", "reward"])
def test_default_step_learns(rule: str) -> None:
    teacher = sp.Teacher(W)
    learned, lesson = sp.learn_online(teacher, 50_000, rule, rng=0).weights[-1], teacher.record(20_000, rng=1)
    assert teacher.risk(learned, lesson) < teacher.risk(np.zeros(3), lesson)


@pytest.mark.parametrize(
    "call",
    [
        lambda: sp.Teacher([math.nan]),
        lambda: sp.Teacher("w"),
        lambda: sp.Teacher([[1.0]]),
        lambda: sp.Teacher([1.0], dt=0.1),
        lambda: sp.Teacher([1.0], tau_after=1e-3),
        lambda: sp.Teacher([1.0], input_rate=300.0),
        lambda: sp.Teacher([1.0], base_rate=0.0),
        lambda: sp.Teacher(W).record(0),
        lambda: sp.Teacher(W).risk([1.0], sp.Teacher(W).record(10, rng=0)),
        lambda: sp.learn_online(sp.Teacher(W), 10, "hebb"),
        lambda: sp.learn_online(sp.Teacher(W), 10, record=[5, 3]),
        lambda: sp.learn_online(sp.Teacher(W), 10, record=[50]),
        lambda: sp.learn_online(sp.Teacher(W), 10, step_size=math.nan),
        lambda: sp.learn_online(sp.Teacher(W), 10, memory=0),
        lambda: sp.maximise_likelihood(sp.Teacher(W), sp.Teacher(W).record(2, rng=0)),
        lambda: sp.draw_teacher(0),
        lambda: sp.draw_teacher(3, spread=-1.0),
    ],
)
def test_bad_input(call: Any) -> None:
    with pytest.raises(UserError):
        call()

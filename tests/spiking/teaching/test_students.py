"""Oracle: another optimiser, a recursion in plain Python, and the theory of large samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.spiking import Teacher, draw_teacher, learn_online, maximise_likelihood
from sparsefire.spiking.teaching import _kernels
from sparsefire.spiking.teaching.teacher import Lesson


def test_maximum_likelihood_is_that_of_another_optimiser() -> None:
    teacher = draw_teacher(6, rng=0)
    lesson = teacher.record(2000, rng=0)
    found = maximise_likelihood(teacher, lesson)
    other = optimize.minimize(lambda w: -teacher.log_likelihood(w, lesson), np.zeros(6), method="BFGS", tol=1e-8)
    np.testing.assert_allclose(found, other.x, atol=1e-5)
    assert teacher.log_likelihood(found, lesson) >= -other.fun - 1e-9
    np.testing.assert_allclose(maximise_likelihood(teacher, lesson, start=np.full(6, 2.0)), found, atol=1e-6)


def test_maximum_likelihood_has_the_risk_of_wilks() -> None:
    """n times the risk per spike is half the number of weights."""
    d, found = 8, []
    for run in range(120):
        teacher = draw_teacher(d, rng=run)
        lesson = teacher.record(8000, rng=run)
        held_out = teacher.record(4000, rng=1000 + run)
        found.append(lesson.spikes.sum() * teacher.risk(maximise_likelihood(teacher, lesson), held_out))
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert error < 0.06 * d / 2
    assert abs(np.mean(found) - d / 2) < 4 * error


def by_hand(
    teacher: Teacher, steps: int, rule: str, gamma: tuple[float, float, float], memory: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the student's weights of every step; numbers are drawn in the order of the kernel."""
    keep, jump, mean, chance, bias, after, keep_after = teacher.law
    d = len(teacher.weights)

    def gap() -> int:
        return int(np.log1p(-rng.random()) / np.log1p(-chance))

    x, w, z, baseline, paths = np.full(d, mean), np.zeros(d), 0.0, 1.0, []
    trials = gap()
    for t in range(-teacher.burn, steps):
        x = x * keep
        while trials < d:
            x[trials] += jump
            trials += 1 + gap()
        trials -= d
        z *= keep_after
        rest = bias + after * z
        taught, q = (np.exp(rest + v @ (x - mean)) for v in (teacher.weights, w))
        fired = rng.random() < 1 - np.exp(-taught)
        z += fired
        if t < 0:
            continue
        p = 1 - np.exp(-q)
        score = {True: (1 - p) * q / p, False: -q}
        if rule == "likelihood":
            factor = score[fired]
        else:
            mine = rng.random() < p
            reward = (1 / (p if mine else 1 - p)) if mine == fired else 0.0
            factor = (reward - baseline) * score[mine]
            baseline += (reward - baseline) / memory
        w = w + gamma[0] / d * (1 + t / gamma[1]) ** -gamma[2] * factor * (x - mean)
        paths.append(w)
    return np.array(paths)


@pytest.mark.parametrize("rule", ["likelihood", "reward"])
def test_the_rules_step_by_step(rule: str) -> None:
    teacher = draw_teacher(4, rng=0)
    record = [1, 2, 7, 80, 300]
    found = learn_online(
        teacher, 300, rule, step_size=0.3, delay=50, power=0.6, memory=40, average_after=5, record=record, rng=9
    )
    paths = by_hand(teacher, 300, rule, (0.3, 50.0, 0.6), 40, stream(9, "student"))
    np.testing.assert_allclose(found.weights, paths[np.array(record) - 1], atol=1e-10)
    means = [paths[min(5, k - 1) : k].mean(axis=0) for k in record]
    np.testing.assert_allclose(found.averages, means, atol=1e-10)
    assert (np.diff(found.spikes) >= 0).all()
    assert found.spikes[-1] > 5


def test_the_mean_update_is_the_gradient_of_the_likelihood() -> None:
    """The first step, from weights of zero, has the mean of the score."""
    teacher, moves = Teacher([1.0], after=0.0), {}
    for rule in ("likelihood", "reward"):
        made = [learn_online(teacher, 1, rule, step_size=1.0, rng=run).weights[0, 0] for run in range(4000)]
        moves[rule] = (np.mean(made), np.std(made, ddof=1) / np.sqrt(len(made)))
    lesson = teacher.record(200_000, rng=1)
    q, p = teacher.hazard([0.0], lesson), -np.expm1(-teacher.hazard(teacher.weights, lesson))
    own = -np.expm1(-q)
    exact = float(((p * q * (1 - own) / own - (1 - p) * q) * lesson.traces[:, 0]).mean())
    for mean, error in moves.values():
        assert abs(mean - exact) < 4 * error
        assert exact > 4 * moves["likelihood"][1]


def test_averages_of_the_likelihood_rule_are_efficient() -> None:
    d, found = 5, []
    for run in range(40):
        teacher = draw_teacher(d, rng=run)
        learned = learn_online(teacher, 100_000, step_size=0.2, delay=2000, power=0.5, average_after=2000, rng=run)
        found.append(learned.spikes[-1] * teacher.risk(learned.averages[-1], teacher.record(4000, rng=run)))
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - d / 2) < 4 * error + 0.1 * d / 2  # a tenth for what n is not infinite


def test_bad_input() -> None:
    teacher = Teacher([0.5, 0.5])
    for options, words in (
        ({"steps": 0}, "steps"), ({"rule": "none"}, "no such rule"), ({"step_size": 0.0}, "step_size"),
        ({"delay": -1.0}, "delay"), ({"power": 2.0}, "power"), ({"memory": 0}, "memory"),
        ({"record": [3, 2]}, "ascending"), ({"record": [0, 2]}, "record"), ({"record": [200]}, "beyond"),
        ({"record": []}, "record"), ({"start": [1.0]}, "weights"), ({"average_after": -1}, "average_after"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            learn_online(teacher, **{"steps": 100, **options})
    rest = np.full(2, np.log(teacher.base_rate * teacher.dt))
    for traces in ([[1.0, 2.0], [2.0, 4.0]], [[1.0, 0.3], [-0.3, -1.0]]):  # no rank; told apart without error
        with pytest.raises(UserError, match="does not determine"):
            maximise_likelihood(teacher, Lesson(np.array(traces), rest, np.array([True, False])))


@pytest.mark.parametrize("rule", ["likelihood", "reward"])
def test_weights_that_run_away_are_told(rule: str) -> None:
    assert _kernels.HIGHEST < 700  # e^700 is still a float
    with pytest.raises(UserError, match="ran away"):
        learn_online(draw_teacher(3, rng=0), 20_000, rule, step_size=50.0, rng=0)

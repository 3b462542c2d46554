"""Oracle: enumeration of spike trains, the sampler of neurons/, closed forms of the inputs' moments."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from sparsefire.errors import UserError
from sparsefire.spiking import SRM0, Escape, Lesson, Teacher, draw_teacher


def test_traces_are_standardised_and_have_the_kernel() -> None:
    teacher = Teacher([0.3, -0.2], input_rate=30.0, tau=15e-3)
    x = teacher.record(60_000, rng=0).traces
    keep = np.exp(-teacher.dt / teacher.tau)
    effective = len(x) * (1 - keep) / (1 + keep)
    assert (np.abs(x.mean(axis=0)) < 4 / np.sqrt(effective)).all()
    assert np.allclose(x.var(axis=0), 1, atol=0.1)
    assert np.corrcoef(x[:-1, 0], x[1:, 0])[0, 1] == pytest.approx(keep, abs=0.02)
    assert abs(np.corrcoef(x.T)[0, 1]) < 4 / np.sqrt(effective)
    chance = teacher.input_rate * teacher.dt
    jumps = np.diff(x[:, 0]) + (1 - keep) * (x[:-1, 0] + teacher.law[2])  # what the decay does not explain
    assert np.allclose(np.unique(jumps.round(9)), [0, round(teacher.law[1], 9)])
    assert abs((jumps > 1e-6).mean() - chance) < 4 * np.sqrt(chance / len(x))


def test_the_offset_is_the_memory_of_own_spikes() -> None:
    teacher = Teacher([0.5], after=-2.0, tau_after=12e-3)
    lesson = teacher.record(500, rng=1)
    keep, memory = np.exp(-teacher.dt / teacher.tau_after), 0.0
    rest = np.log(teacher.base_rate * teacher.dt)
    memory = (lesson.offset[0] - rest) / teacher.after
    for t in range(500):
        assert lesson.offset[t] == pytest.approx(rest + teacher.after * memory, abs=1e-12)
        memory = keep * (memory + lesson.spikes[t])


def test_spikes_have_the_probability_of_their_law() -> None:
    teacher = draw_teacher(5, rng=0)
    lesson = teacher.record(50_000, rng=2)
    p = -np.expm1(-teacher.hazard(teacher.weights, lesson))
    for low, high in ((0, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 1)):
        there = (p >= low) & (p < high)
        error = np.sqrt((p[there] * (1 - p[there])).sum())
        assert abs(lesson.spikes[there].sum() - p[there].sum()) < 4 * error


def test_the_law_is_that_of_the_spike_response_model() -> None:
    """Without inputs' influence: the same rate as SRM0 with the same after-potential, threshold and hazard."""
    teacher = Teacher([0.0], base_rate=40.0, after=-1.5, dt=1e-3)
    ours = teacher.record(100_000, rng=0).spikes.mean()
    cell = SRM0(
        20, v_threshold=0.0, after=-1.5, tau_after=20e-3, memory="all", dt=1e-3, escape=Escape(40.0, 1.0), rng=0,
    )  # fmt: skip
    theirs, _ = cell(torch.zeros(5000, 1, 20))
    theirs = theirs[500:].double()
    error = np.sqrt(float(theirs.mean()) * (1 / 100_000 + 1 / theirs.numel()))  # refractory trains vary less
    assert abs(ours - float(theirs.mean())) < 4 * error


def test_likelihood_and_risk_by_enumeration() -> None:
    """All spike trains of 4 steps after given inputs: probabilities sum to 1, the divergence is the expectation."""
    teacher, student = Teacher([0.8, -0.4]), np.array([0.1, 0.5])
    x = np.random.default_rng(0).normal(size=(4, 2))
    rest, keep = np.log(teacher.base_rate * teacher.dt), teacher.law[-1]
    total = excess = spikes = expected = 0.0
    for train in product((False, True), repeat=4):
        memory, offset = 0.0, []
        for fired in train:
            offset.append(rest + teacher.after * memory)
            memory = keep * (memory + fired)
        lesson = Lesson(x, np.array(offset), np.array(train))
        true, other = (teacher.log_likelihood(w, lesson) for w in (teacher.weights, student))
        p = -np.expm1(-teacher.hazard(teacher.weights, lesson))
        chance = np.exp(true)
        total += chance
        excess += chance * (true - other)
        spikes += chance * sum(train)
        expected += chance * teacher.risk(student, lesson) * p.sum()
    assert total == pytest.approx(1, abs=1e-12)
    assert expected == pytest.approx(excess, abs=1e-12)
    assert 0.2 < spikes < 2


def test_the_risk_is_zero_only_at_the_teacher() -> None:
    teacher = draw_teacher(4, rng=1)
    lesson = teacher.record(5000, rng=0)
    assert teacher.risk(teacher.weights, lesson) == 0
    assert teacher.risk(teacher.weights + 0.01, lesson) > 0
    assert np.isfinite(teacher.risk(teacher.weights - 1e4, lesson))


def test_the_price_of_a_reward_by_enumeration() -> None:
    """Without inputs and memory p is a constant: E[(R − 1)² g²] over E[g²], over four outcomes."""
    teacher = Teacher([0.0, 0.0], base_rate=30.0, after=0.0)
    q = 30.0 * teacher.dt
    p = -np.expm1(-q)
    g, chance = {1: q * (1 - p) / p, 0: -q}, {1: p, 0: 1 - p}
    reward = {(s, own): (s == own) / chance[own] for s in (0, 1) for own in (0, 1)}
    for s in (0, 1):  # the mean update is the gradient of the likelihood
        assert sum(chance[own] * reward[s, own] * g[own] for own in (0, 1)) == pytest.approx(g[s])
    rewarded = sum(chance[s] * chance[own] * ((reward[s, own] - 1) * g[own]) ** 2 for s in (0, 1) for own in (0, 1))
    price = rewarded / sum(chance[s] * g[s] ** 2 for s in (0, 1))
    assert teacher.price_of_reward(teacher.record(1000, rng=0)) == pytest.approx(price, rel=1e-9)


def test_numbers_come_from_rng() -> None:
    teacher = draw_teacher(3, rng=0)
    first, again, other = (teacher.record(200, rng=rng) for rng in (0, 0, 1))
    assert (first.traces == again.traces).all()
    assert (first.spikes == again.spikes).all()
    assert (first.traces != other.traces).any()
    assert (draw_teacher(3, rng=1).weights != teacher.weights).all()


def test_bad_input() -> None:
    for weights, options, words in (
        ([], {}, "weights"), ([[1.0]], {}, "weights"), ([np.nan], {}, "weights"), ("a", {}, "weights"),
        ([1.0], {"base_rate": 0.0}, "base_rate"), ([1.0], {"dt": np.inf}, "dt"), ([1.0], {"after": "no"}, "after"),
        ([1.0], {"tau": 1e-3}, "longer than a time constant"), ([1.0], {"tau_after": 1e-3}, "longer"),
        ([1.0], {"input_rate": 200.0}, "once a step"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            Teacher(weights, **options)
    teacher = Teacher([1.0, 0.0])
    for steps in (0, 1.5, True):
        with pytest.raises(UserError, match="steps"):
            teacher.record(steps)
    with pytest.raises(UserError, match="weights"):
        teacher.risk([1.0], teacher.record(10, rng=0))
    for dimension, spread, words in ((0, 0.5, "dimension"), (2, -1.0, "spread"), (2, "a", "spread")):
        with pytest.raises(UserError, match=words):
            draw_teacher(dimension, rng=0, spread=spread)

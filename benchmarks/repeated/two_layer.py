"""Online learning in a small network, by the gradient or by repeated forward gradients on each sample (compiled)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numba
import numpy as np

from sparsefire.randomness import stream

ASKED = 4096
"""Inputs at which the risk E(f − f*)² is read, the same for all arms of a problem."""


@dataclass(frozen=True)
class Problem:
    """Y = f*(X) + ε with X standard normal; f* is of the learner's own kind.

    Args:
        inputs: d.
        hidden: units h with tanh; 0 is the linear model, where the theory is exact.
        start: ``"near"``: f*'s weights plus noise with standard deviation 0.1; ``"far"``: weights drawn afresh.
        directions: ``"signs"``, or ``"normal"``, for which the linear model has an exact risk at every n.
        noise: standard deviation of ε.
    """

    inputs: int
    hidden: int
    start: str
    directions: str = "signs"
    noise: float = 0.5

    @property
    def parameters(self) -> int:
        """p = h(d + 1), or d for the linear model."""
        return self.hidden * (self.inputs + 1) if self.hidden else self.inputs

    @property
    def name(self) -> str:
        """As pages and records call it."""
        if self.hidden:
            return f"{self.inputs}-{self.hidden}-1, {self.start}"
        return f"linear, {self.inputs}, {self.directions}"


@cache
def asked(inputs: int) -> np.ndarray:
    """Return the inputs at which risks are read [ASKED, d]."""
    return stream(0, "repeats", "asked", inputs).standard_normal((ASKED, inputs))


def draw(problem: Problem, run: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of f* and those at the start [p]; hidden layers first, then the output weights."""
    rng = stream(0, "repeats", "weights", problem.name, run)
    h, d = problem.hidden, problem.inputs
    scale = np.concatenate([np.full(h * d, 1 / np.sqrt(d)), np.full(h, 1 / np.sqrt(h))]) if h else np.full(d, d**-0.5)
    truth = scale * rng.standard_normal(problem.parameters)
    if h == 0:
        return truth, truth + rng.choice([-1.0, 1.0], problem.parameters) / np.sqrt(d)
    if problem.start == "near":
        return truth, truth + 0.1 * rng.standard_normal(problem.parameters)
    return truth, scale * rng.standard_normal(problem.parameters)


@numba.njit(nogil=True, cache=True)
def output(weights, x, hidden, state):
    """Return f(x); the activities of hidden units are left in ``state``."""
    d, total = len(x), 0.0
    if hidden == 0:
        for i in range(d):
            total += weights[i] * x[i]
        return total
    for j in range(hidden):
        field = 0.0
        for i in range(d):
            field += weights[j * d + i] * x[i]
        state[j] = np.tanh(field)
        total += weights[hidden * d + j] * state[j]
    return total


@numba.njit(nogil=True, cache=True)
def slope(weights, x, hidden, state, out):
    """Write ∇f(x) [p] from the activities in ``state``."""
    d = len(x)
    if hidden == 0:
        out[:] = x
        return
    for j in range(hidden):
        back = weights[hidden * d + j] * (1.0 - state[j] * state[j])
        for i in range(d):
            out[j * d + i] = back * x[i]
        out[hidden * d + j] = state[j]


@numba.njit(nogil=True, cache=True)
def risk(weights, hidden, inputs, answers, state):
    """Return the mean squared distance from f*."""
    total = 0.0
    for row in range(len(inputs)):
        error = output(weights, inputs[row], hidden, state) - answers[row]
        total += error * error
    return total / len(inputs)


@numba.njit(nogil=True, cache=True)
def learn(truth, weights, hidden, noise, alphas, repeats, normal, data, directions, record, inputs, answers):
    """Return the risk after each recorded number of samples; ``repeats`` = 0 is the gradient itself.

    A repeat moves θ by −(α/l) e ⟨∇f, ξ⟩ ξ with a fresh ξ, signs or ``normal``, and e, ∇f at the present θ: l
    forward-gradient steps.
    """
    d, p = inputs.shape[1], len(weights)
    state, gradient, x = np.empty(max(hidden, 1)), np.empty(p), np.empty(d)
    ways, found, at = np.empty(p), np.empty(len(record)), 0
    for k in range(len(alphas) + 1):
        if at < len(record) and record[at] == k:
            found[at] = risk(weights, hidden, inputs, answers, state)
            at += 1
            if not found[at - 1] < 1e6:
                found[at:] = np.inf
                return found
        if k == len(alphas):
            return found
        for i in range(d):
            x[i] = data.standard_normal()
        answer = output(truth, x, hidden, state) + noise * data.standard_normal()
        if repeats == 0:
            error = output(weights, x, hidden, state) - answer
            slope(weights, x, hidden, state, gradient)
            for i in range(p):
                weights[i] -= alphas[k] * error * gradient[i]
            continue
        step = alphas[k] / repeats
        for _ in range(repeats):
            error = output(weights, x, hidden, state) - answer
            slope(weights, x, hidden, state, gradient)
            along = 0.0
            for i in range(p if normal else 0):
                ways[i] = directions.standard_normal()
                along += gradient[i] * ways[i]
            for begin in range(p if normal else 0, p, 32):
                bits = np.uint64(directions.integers(0, 4294967296))
                for i in range(begin, min(begin + 32, p)):
                    ways[i] = 1.0 - 2.0 * float((bits >> np.uint64(i - begin)) & np.uint64(1))
                    along += gradient[i] * ways[i]
            for i in range(p):
                weights[i] -= step * error * along * ways[i]
    return found


def path(problem: Problem, repeats: int, alphas: np.ndarray, record: np.ndarray, run: int) -> np.ndarray:
    """Return the risks of one run; samples of a run are the same whatever the arm."""
    truth, weights = draw(problem, run)
    points = asked(problem.inputs)
    state = np.empty(max(problem.hidden, 1))
    answers = np.array([output(truth, x, problem.hidden, state) for x in points])
    data = stream(0, "repeats", "data", problem.name, run)
    directions = stream(0, "repeats", "directions", problem.name, repeats, run)
    return learn(
        truth, weights, problem.hidden, problem.noise, alphas, repeats, problem.directions == "normal", data,
        directions, record, points, answers,
    )  # fmt: skip

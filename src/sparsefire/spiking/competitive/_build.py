"""From settings to the arrays and constants of the compiled loop."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.spiking._numbers import choice, number
from sparsefire.spiking.competitive import _kernel
from sparsefire.spiking.competitive._kernel import Clock, Competition, Learning, Membrane, State
from sparsefire.spiking.competitive.rule import CompetitiveRule
from sparsefire.spiking.competitive.votes import VOTES
from sparsefire.wiring.draw import whole
from sparsefire.wiring.generators import fixed_fan_in

_OFFSET = 20.0  # mV: θ starts here and thresholds are lowered by as much, so that units that never fire become keener
_MEMORY = 0.5  # seconds after which a trace is 0
_SHOWINGS = 20


@dataclass(frozen=True)
class Network:
    """What :func:`_kernel.show_all` takes."""

    state: State
    clock: Clock
    cells: tuple[Membrane, Membrane]
    competition: Competition
    learning: Learning
    senders: np.ndarray
    traces: np.ndarray

    @property
    def units(self) -> int:
        """How many excitatory units there are."""
        return len(self.state.theta)

    @property
    def silent(self) -> bool:
        """Whether no unit ever fired while it learned."""
        return bool((self.state.last_unit <= _kernel.NEVER).all())

    def learn(self, images: np.ndarray, white: float, first: int, key: np.uint64) -> int:
        """Learn from images, whose draws are called by their numbers from ``first`` on; return the presentations."""
        names = np.arange(first, first + len(images), dtype=np.uint64)
        return self._show(np.ascontiguousarray(images, float) / white, names, key, True)[1]

    def respond(self, images: np.ndarray, white: float, key: np.uint64) -> np.ndarray:
        """Return the spike counts of images, each from rest and with draws called by what it shows."""
        shown = np.ascontiguousarray(images, float) / white + 0.0  # -0.0 is 0.0
        at_rest = replace(self, state=state_at_rest(self.state.weights, self.state.theta, self.cells))
        return at_rest._show(shown, fingerprints(shown), key, False)[0]

    def _show(self, images: np.ndarray, names: np.ndarray, key: np.uint64, learn: bool) -> tuple[np.ndarray, int]:
        counts = np.empty((len(images), self.units), np.int64)
        shown = _kernel.show_all(
            images, names, key, learn, self.clock, self.state, self.cells, self.competition, self.learning,
            self.senders, self.traces, counts,
        )  # fmt: skip
        return counts, shown


def fingerprints(images: np.ndarray) -> np.ndarray:
    """Return a hash of each image, uint64 [n]: of the bytes of its intensities.

    >>> a, b = fingerprints(np.eye(2))
    >>> bool(a == b), bool(a == fingerprints(np.eye(1, 2))[0])
    (False, True)
    """
    digests = b"".join(hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def build(given: Any, rng: int) -> Network:
    """Return the network of a :class:`~sparsefire.spiking.DiehlCook` before it learns, after checking its settings."""
    units, inputs = whole(given.units, "units", 1), whole(given.inputs, "inputs", 1)
    rule = CompetitiveRule() if given.rule is None else given.rule
    if not isinstance(rule, CompetitiveRule):
        raise UserError("rule is no rule.", came=type(rule).__name__, expected="a CompetitiveRule, or None")
    for name, choices in (("inhibition", ("layer", "direct")), ("vote", VOTES)):
        choice(name, getattr(given, name), choices)
    dt = 1e3 * number("dt", given.dt)  # milliseconds from here on
    if dt > 1.0:
        raise UserError("the step is longer than a time constant.", came=f"dt={given.dt!r}", expected="at most 1e-3 s")
    taus = {name: number(name, getattr(rule, name)) for name in ("tau_plus", "tau_minus", "tau_y")}
    taus["theta_decay"] = number("theta_decay", given.theta_decay)
    for name, tau in taus.items():
        if 1e3 * tau < dt:
            raise UserError("the step is longer than a time constant.", came=f"{name}={tau:g}, dt={given.dt!r}",
                            expected=f"{name} of at least {given.dt!r} s")  # fmt: skip
    senders = connections(units, inputs, number("density", given.density), rng)
    total = 0.0 if given.total is None else number("total", given.total)
    if total > rule.w_max * senders.shape[1]:
        raise UserError(
            "weights cannot add up to so much.", came=f"total={total:g}",
            expected=f"at most {rule.w_max:g} for each of {senders.shape[1]} inputs",
            attempt=f"total={0.1 * rule.w_max * senders.shape[1]:g}, as published for 784 inputs",
        )  # fmt: skip
    weights = first_weights(units, inputs, senders, total, rng)
    cells = (
        Membrane(dt / 100, -65.0, -65.0, -52.0 - _OFFSET, 0.0, -100.0, np.exp(-dt), np.exp(-dt / 2), round(5 / dt)),
        Membrane(dt / 10, -60.0, -45.0, -40.0, 0.0, -85.0, np.exp(-dt), np.exp(-dt / 2), round(2 / dt)),
    )
    fade = float(np.exp(-dt * 1e-3 / taus["theta_decay"]))
    strength, jump = number("strength", given.strength, zero=True), number("theta_plus", given.theta_plus, zero=True)
    chance = number("rate", given.rate) * dt * 1e-3
    if chance > 1 + 1e-12:
        raise UserError(
            "an input cannot fire more than once per step.", came=f"rate={given.rate:g} with dt={given.dt!r}",
            expected=f"a rate of at most {1e3 / dt:g} Hz",
        )  # fmt: skip
    ages = np.arange(max(round(1e3 * _MEMORY / dt), 2)) * dt * 1e-3
    traces = np.exp(-ages / np.array([[rule.tau_plus], [rule.tau_minus], [rule.tau_y]]))
    traces[:, -1] = 0.0
    return Network(
        state_at_rest(weights, np.full(units, _OFFSET), cells),
        Clock(
            max(round(1e3 * number("duration", given.duration) / dt), 1),
            round(1e3 * number("pause", given.pause, zero=True) / dt),
            chance, chance / 2, whole(given.fewest, "fewest", 0), _SHOWINGS,
        ),
        cells,
        Competition(given.inhibition == "layer", 10.4, strength, jump, fade),
        Learning(
            float(rule.a_plus), float(rule.a_minus), float(rule.target), float(rule.mu), float(rule.w_max),
            bool(rule.triplet), total,
        ),
        senders,
        traces,
    )  # fmt: skip


def connections(units: int, inputs: int, density: float, rng: int) -> np.ndarray:
    """Return the inputs of each unit, int32 [units, fan-in], ascending.

    >>> connections(2, 3, 1.0, 0).tolist()
    [[0, 1, 2], [0, 1, 2]]
    """
    if density > 1:
        raise UserError("density is a share.", came=f"density={density:g}", expected="above 0, at most 1")
    fan_in = max(round(density * inputs), 1)
    if fan_in == inputs:
        return np.tile(np.arange(inputs, dtype=np.int32), (units, 1))
    wiring = fixed_fan_in((inputs, units), fan_in, rng=stream(rng, "diehl-cook", "connections")).transpose
    return np.ascontiguousarray(wiring.receivers.reshape(units, fan_in), np.int32)


def first_weights(units: int, inputs: int, senders: np.ndarray, total: float, rng: int) -> np.ndarray:
    """Return weights float32 [inputs, units], uniform on [0.003, 0.303) where connected, adding up to ``total``."""
    weights = np.zeros((inputs, units), np.float32)
    own = np.arange(units)[:, None]
    weights[senders, own] = 0.003 + 0.3 * stream(rng, "diehl-cook", "weights").random(senders.shape)
    if total:
        _kernel.normalise(weights, senders, np.arange(units), total)
    return weights


def state_at_rest(weights: np.ndarray, theta: np.ndarray, cells: tuple[Membrane, Membrane]) -> State:
    """Return a state with these weights and thresholds (not copied), in which nothing ever happened."""
    inputs, units = weights.shape
    room = [np.zeros(units) for _ in range(3)]
    state = State(
        weights, theta, room[0], room[1], room[2], np.zeros(units, np.int64), np.zeros(units), np.zeros(units),
        np.zeros(units, np.int64), np.zeros(inputs, np.int64), np.zeros(units, np.int64),
    )  # fmt: skip
    _kernel.rest(state, cells)
    return state

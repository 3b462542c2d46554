"""How neurons fire: exactly or by escape noise above a threshold that may adapt, with reset and refractory period."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sparsefire.errors import UserError
from sparsefire.spiking._numbers import choice, number, yes
from sparsefire.spiking.neurons._fused import Fire, Start, fused, plain
from sparsefire.spiking.neurons._fused_escape import Rule, fused_escape
from sparsefire.spiking.neurons._noise import Noise
from sparsefire.spiking.neurons.escape import Escape
from sparsefire.spiking.neurons.neuron import Neuron, check_step, stacked
from sparsefire.spiking.neurons.surrogates import SHAPES, spike

RESETS = ("hard", "soft")
ELSEWHERE = {
    "beta": "tau=−dt/log(beta), and r=1/(1 − beta) for a current that is added whole",
    "alpha": "tau_syn=−dt/log(alpha), of CubaLIF",
    "threshold": "v_threshold=…",
    "reset_mechanism": 'reset="soft" for "subtract", reset="hard" for "zero"',
    "tau_mem_inv": "tau=1/tau_mem_inv",
    "v_th": "v_threshold=…",
}
"""What other packages' names are here."""


@dataclass(frozen=True)
class Adaptation:
    """A threshold that rises by ``step`` with each spike and falls back with time constant ``tau``, in seconds.

    Bellec et al. 2018 (arXiv:1803.09574).
    """

    tau: float
    step: float

    def __post_init__(self) -> None:
        number("the adaptation's tau", self.tau)
        number("the adaptation's step", self.step, zero=True)


def refractory_period(seconds: Any, dt: float) -> float:
    """Return the seconds; some that round to no step are an error."""
    found = number("refractory", seconds, zero=True)
    if found and not round(found / dt):
        raise UserError(
            "the refractory period is shorter than half a step.", came=f"{found:g} s in steps of {dt:g} s",
            expected="0, or about a step or more", attempt=f"dt={found:g}",
        )  # fmt: skip
    return found


def check_adaptation(adaptation: Adaptation | None, dt: float) -> None:
    """Raise a UserError where a step is longer than the time constant of the adaptation."""
    if adaptation is not None:
        tau = torch.tensor(adaptation.tau, dtype=torch.float64)
        check_step(dt, "exponential", **{"tau of the adaptation": tau})


class Firing(Neuron):
    """Neurons that fire where v exceeds ``v_threshold``, and are then reset; see :class:`~sparsefire.spiking.LIF`.

    Args:
        units, dt: see :class:`~sparsefire.spiking.Neuron`.
        v_threshold, v_reset: potentials, one number or one for each unit.
        reset: ``"hard"``, v ← v_reset, or ``"soft"``, v ← v − threshold (v_reset is then not used).
        refractory: seconds after a spike during which v stays as it was reset, rounded to steps.
        adaptation: of the threshold.
        escape: noise at the threshold; None fires exactly above it.
        stochastic: False switches the noise of ``escape`` off: the neuron then fires above its threshold.
        surrogate, steepness: see :func:`~sparsefire.spiking.surrogate_slope`; with noise the derivative is that of the
            probability instead.
        reset_gradient: whether gradients also flow through the reset; not by default, as Zenke and Vogels 2021
            (doi:10.1162/neco_a_01367) recommend.
        rng: for the noise.
    """

    v_threshold: Tensor
    v_reset: Tensor

    def __init__(
        self, units: int | tuple[int, ...], dt: float, v_threshold: Any = 1.0, v_reset: Any = 0.0, *,
        reset: str = "hard", refractory: float = 0.0, adaptation: Adaptation | None = None,
        escape: Escape | None = None, stochastic: bool = True, surrogate: str = "fast-sigmoid",
        steepness: float = 10.0, reset_gradient: bool = False, rng: Any = None, **unknown: Any,
    ) -> None:  # fmt: skip
        if unknown:
            name = next(iter(unknown))
            raise UserError(
                f"{type(self).__name__} has no parameter {name}.", came=f"{name}={unknown[name]!r}"[:60],
                expected="NIR's names: tau, v_threshold, v_reset, …", attempt=ELSEWHERE.get(name, ""),
            )  # fmt: skip
        super().__init__(units, dt)
        self.parameter("v_threshold", v_threshold)
        self.parameter("v_reset", v_reset)
        self.reset = choice("reset", reset, RESETS)
        if reset == "hard" and bool((self.v_reset >= self.v_threshold).any()):
            raise UserError(
                "v_reset is not below the threshold: a neuron that fired once would fire for ever.",
                came=f"v_reset {float(self.v_reset.max()):g}, v_threshold {float(self.v_threshold.min()):g}",
                expected="v_reset < v_threshold",
            )  # fmt: skip
        for name, value, kind in (("adaptation", adaptation, Adaptation), ("escape", escape, Escape)):
            if value is not None and not isinstance(value, kind):
                raise UserError(
                    f"{name} is an {kind.__name__}.", came=repr(value), expected=f"{kind.__name__}(…) or None"
                )
        check_adaptation(adaptation, self.dt)
        self.reset_gradient = yes("reset_gradient", reset_gradient)
        self.refractory = refractory_period(refractory, self.dt)
        self.adaptation, self.escape, self.stochastic = adaptation, escape, yes("stochastic", stochastic)
        self.surrogate, self.steepness = choice("surrogate", surrogate, SHAPES), number("steepness", steepness)
        self.noise = Noise(rng, self.units) if escape is not None else None

    @property
    def refractory_steps(self) -> int:
        """Steps for which a neuron that fired is refractory."""
        return round(self.refractory / self.dt)

    @property
    def fall_and_step(self) -> tuple[float, float]:
        """What is left of a raised threshold after a step, and what a spike adds to it."""
        if self.adaptation is None:
            return 1.0, 0.0
        return math.exp(-self.dt / self.adaptation.tau), self.adaptation.step

    def leaky_fire(self, current: Tensor, state: Any, a: Tensor, k: Tensor, b: Tensor, r: Tensor) -> tuple[Tensor, ...]:
        """Return spikes, v, rest, raised, drawn after steps of v ← a v + k (b + r I), by the faster way that holds."""
        threshold, v_reset = self.like(current, "v_threshold", "v_reset")
        constants = (a, k, b, r, threshold, v_reset)
        parts = (state.v, state.rest, state.raised)
        escape = self.escape if self.noisy else None
        own = escape is not None and type(escape) is not Escape  # a hazard of somebody's
        if own or not plain(current, *parts) or any(part.requires_grad for part in constants):
            return self.loop(current, state, constants)
        how = Fire(self.reset == "hard", self.refractory_steps, self.surrogate, self.steepness, self.reset_gradient)
        loop = lambda x, start: self.loop(x, start, constants)  # noqa: E731
        level = self.adaptation is None and not state.raised.requires_grad and not bool(state.raised.any())
        if level and escape is None:
            spikes, v, rest = fused(current, state.v, state.rest, constants, how, loop)
            return spikes, v, rest, state.raised, state.drawn
        rule = Rule(*self.fall_and_step, escape, self.dt, self.places(state.drawn), self.units)
        spikes, v, rest, raised = fused_escape(current, Start(*parts, state.drawn), constants, how, rule, loop)
        raised = state.raised if self.adaptation is None else raised
        return spikes, v, rest, raised, self.later(state.drawn, len(current))

    def loop(self, current: Tensor, state: Any, constants: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The same step by step in torch; the reference for the fused way."""
        a, k, b, r, threshold, v_reset = constants
        v, rest, raised = state.v, state.rest, state.raised
        places = self.places(state.drawn)
        found = []
        for step, drive in enumerate(k * (b + r * current)):
            free = rest <= 0 if self.refractory_steps else None
            v = a * v + drive if free is None else torch.where(free, a * v + drive, v)
            fired = self.fire(v - (threshold + raised), places, step)
            fired = fired if free is None else fired * free
            v, rest, raised = self.settle(v, fired, rest, raised, threshold, v_reset)
            found.append(fired)
        return stacked(found, current), v, rest, raised, self.later(state.drawn, len(current))

    def fire(self, distance: Tensor, places: Tensor, step: int) -> Tensor:
        """Return spikes for v − threshold; ``places`` says where the noise is."""
        if self.escape is None or not self.noisy:
            return spike(distance, self.surrogate, self.steepness)
        return self.draw(self.escape.probability(distance, self.dt), places, step)

    def settle(
        self, v: Tensor, fired: Tensor, rest: Tensor, raised: Tensor, threshold: Tensor, v_reset: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return v, rest and raised after the spikes of this step."""
        known = fired if self.reset_gradient else fired.detach()
        if self.reset == "soft":
            v = v - known * (threshold + raised)
        else:
            before, v = v, torch.where(fired > 0, v_reset, v)
            if self.reset_gradient:
                v = v + (known - known.detach()) * (v_reset - before)  # 0, but for its gradient
        if self.refractory_steps:
            rest = torch.where(fired > 0, torch.full_like(rest, self.refractory_steps), (rest - 1).clamp(min=0))
        if self.adaptation is not None:
            fall, step = self.fall_and_step
            raised = raised * fall + step * fired
        return v, rest, raised

"""The numbers that the simulator needs of a torch module that describes neurons."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.spiking.engine import _parts

_FORMS = {"exponential": _parts.EXPONENTIAL, "linear": _parts.LINEAR, "erf": _parts.ERF}
_NONE = np.zeros(0)


def noisy(neurons: Any) -> bool:
    """Whether spikes are drawn."""
    return neurons.escape is not None and neurons.stochastic


def conducts(neurons: Any) -> bool:
    """Whether arrivals open excitatory or inhibitory conductances, by their sign."""
    return hasattr(neurons, "tau_e")


def numbers(neurons: Any, name: str) -> np.ndarray:
    """Return a parameter of the module for each of its units, float64 [units]."""
    value = getattr(neurons, name).detach().cpu().numpy().astype(np.float64)
    return np.broadcast_to(value, neurons.shape).reshape(-1).copy()


def kept(neurons: Any, name: str, dt: float) -> np.ndarray:
    """Return what is left after a step of something that decays with a time constant, float64 [units]."""
    from sparsefire.spiking.neurons.neuron import check_step  # late: torch

    how = getattr(neurons, "discretisation", "exponential")
    check_step(dt, how, **{name: getattr(neurons, name)})
    tau = numbers(neurons, name)
    return np.exp(-dt / tau) if how == "exponential" else 1 - dt / tau


def cells(neurons: Any, current: np.ndarray, dt: float) -> _parts.Cells:
    """Return the parameters for steps of dt, with a constant current [units]."""
    from sparsefire.spiking.neurons.firing import check_adaptation, refractory_period  # late: torch

    adaptation, escape = getattr(neurons, "adaptation", None), neurons.escape if noisy(neurons) else None
    refractory_period(neurons.refractory, dt)
    check_adaptation(adaptation, dt)
    synapse = steady = _NONE
    response, conductances = np.zeros((2, 0)), np.zeros((7, 0))
    if conducts(neurons):
        decay = base = gain = feed = _NONE
        kept(neurons, "tau", dt)  # for its check
        conductances = np.stack([
            kept(neurons, "tau_e", dt), kept(neurons, "tau_i", dt), numbers(neurons, "v_e"), numbers(neurons, "v_i"),
            numbers(neurons, "v_leak"), dt / numbers(neurons, "tau"), current,
        ])  # fmt: skip
    elif hasattr(neurons, "tau_syn"):
        decay, synapse = kept(neurons, "tau_mem", dt), kept(neurons, "tau_syn", dt)
        gain, feed = (1 - decay) * numbers(neurons, "r"), (1 - synapse) * numbers(neurons, "w_in")
        base, steady = (1 - decay) * numbers(neurons, "v_leak"), feed * current
    elif hasattr(neurons, "tau"):
        decay = kept(neurons, "tau", dt)
        gain = feed = (1 - decay) * numbers(neurons, "r")
        base = (1 - decay) * numbers(neurons, "v_leak") + feed * current
        if hasattr(neurons, "tau_after"):
            response = np.stack([kept(neurons, "tau_after", dt), numbers(neurons, "after")])
    else:  # no leak
        decay, gain = np.ones(neurons.units), dt * numbers(neurons, "r")
        feed, base = gain, gain * current
    reset = numbers(neurons, "v_reset") if hasattr(neurons, "v_reset") else _NONE
    return _parts.Cells(
        decay, base, gain, feed, numbers(neurons, "v_threshold"), reset, synapse, steady,
        getattr(neurons, "reset", "") == "soft", round(neurons.refractory / dt),
        float(np.exp(-dt / adaptation.tau)) if adaptation else 1.0, float(adaptation.step) if adaptation else 0.0,
        _FORMS[escape.form] if escape else _parts.NO_NOISE, escape.rate * dt if escape else 0.0,
        float(escape.width) if escape else 1.0, response, getattr(neurons, "memory", "") == "last", conductances,
    )  # fmt: skip


def rest(neurons: Any) -> np.ndarray:
    """Return the potentials of neurons at rest, float64 [units]."""
    return numbers(neurons, "v_leak" if hasattr(neurons, "v_leak") else "v_reset")


def highest(neurons: Any, current: np.ndarray) -> np.ndarray:
    """Return what potentials that begin below it never exceed under a constant current alone, float64 [units]."""
    if conducts(neurons):  # means of these, with weights that are not negative
        least = np.maximum(numbers(neurons, "v_leak"), numbers(neurons, "v_i"))
        return np.where(current > 0, np.maximum(least, numbers(neurons, "v_e")), least)
    push = numbers(neurons, "r") * current
    if hasattr(neurons, "tau_syn"):  # the synaptic current begins at 0 and never passes w_in I
        return numbers(neurons, "v_leak") + np.maximum(numbers(neurons, "w_in") * push, 0.0)
    if hasattr(neurons, "tau"):
        return numbers(neurons, "v_leak") + push
    return np.where(push > 0, np.inf, -np.inf)


def senses(neurons: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return in which direction positive arrivals and positive currents move the potentials, float64 [units] each."""
    if conducts(neurons):
        return np.ones(neurons.units), np.ones(neurons.units)
    r = numbers(neurons, "r")
    return (r, r * numbers(neurons, "w_in")) if hasattr(neurons, "tau_syn") else (np.ones(neurons.units), r)

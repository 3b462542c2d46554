"""The numbers that the simulator needs of a torch module that describes neurons."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.spiking.engine import _kernels

_FORMS = {"exponential": _kernels.EXPONENTIAL, "linear": _kernels.LINEAR, "erf": _kernels.ERF}


def noisy(neurons: Any) -> bool:
    """Whether spikes are drawn."""
    return neurons.escape is not None and neurons.stochastic


def numbers(neurons: Any, name: str) -> np.ndarray:
    """Return a parameter of the module for each of its units, float64 [units]."""
    value = getattr(neurons, name).detach().cpu().numpy().astype(np.float64)
    return np.broadcast_to(value, neurons.shape).reshape(-1).copy()


def kept(neurons: Any, name: str, dt: float) -> np.ndarray:
    """Return what is left after a step of something that decays with a time constant, float64 [units]."""
    from sparsefire.spiking.neurons.neuron import check_step  # late: torch

    check_step(dt, neurons.discretisation, **{name: getattr(neurons, name)})
    tau = numbers(neurons, name)
    return np.exp(-dt / tau) if neurons.discretisation == "exponential" else 1 - dt / tau


def cells(neurons: Any, current: np.ndarray, dt: float) -> _kernels.Cells:
    """Return the parameters for steps of dt, with a constant current [units]."""
    from sparsefire.spiking.neurons.firing import check_adaptation, refractory_period  # late: torch

    refractory_period(neurons.refractory, dt)
    check_adaptation(neurons.adaptation, dt)
    r, synapse, steady = numbers(neurons, "r"), np.zeros(0), np.zeros(0)
    if hasattr(neurons, "tau_syn"):
        decay, synapse = kept(neurons, "tau_mem", dt), kept(neurons, "tau_syn", dt)
        gain, feed = (1 - decay) * r, (1 - synapse) * numbers(neurons, "w_in")
        base, steady = (1 - decay) * numbers(neurons, "v_leak"), feed * current
    elif hasattr(neurons, "tau"):
        decay = kept(neurons, "tau", dt)
        gain = feed = (1 - decay) * r
        base = (1 - decay) * numbers(neurons, "v_leak") + feed * current
    else:  # no leak
        decay, gain = np.ones(neurons.units), dt * r
        feed, base = gain, gain * current
    adaptation, escape = neurons.adaptation, neurons.escape if noisy(neurons) else None
    return _kernels.Cells(
        decay, base, gain, feed, numbers(neurons, "v_threshold"), numbers(neurons, "v_reset"), synapse, steady,
        neurons.reset == "soft", round(neurons.refractory / dt),
        float(np.exp(-dt / adaptation.tau)) if adaptation else 1.0, float(adaptation.step) if adaptation else 0.0,
        _FORMS[escape.form] if escape else _kernels.NO_NOISE, escape.rate * dt if escape else 0.0,
        float(escape.width) if escape else 1.0,
    )  # fmt: skip


def rest(neurons: Any) -> np.ndarray:
    """Return the potentials of neurons at rest, float64 [units]."""
    return numbers(neurons, "v_leak" if hasattr(neurons, "v_leak") else "v_reset")


def highest(neurons: Any, current: np.ndarray) -> np.ndarray:
    """Return what potentials that begin below it never exceed under a constant current alone, float64 [units]."""
    push = numbers(neurons, "r") * current
    if hasattr(neurons, "tau_syn"):  # the synaptic current begins at 0 and never passes w_in I
        return numbers(neurons, "v_leak") + np.maximum(numbers(neurons, "w_in") * push, 0.0)
    if hasattr(neurons, "tau"):
        return numbers(neurons, "v_leak") + push
    return np.where(push > 0, np.inf, -np.inf)

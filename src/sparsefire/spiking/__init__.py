"""Spiking networks as stochastic processes that learn: neurons, simulators, plasticity, statistics, chips."""

from __future__ import annotations

import importlib
from typing import Any

# Where each name lives; loaded when first used.
_HOME = {
    "Spikes": "spikes",
    "encode_by_rate": "encoders",
    "encode_by_latency": "encoders",
    "encode_changes": "encoders",
    "Sequential": "sequential",
    "linear_of_spikes": "indexed",
    "SpikingPerceptron": "perceptron",
    "Neuron": "neurons.neuron",
    "detach": "neurons.neuron",
    "LIF": "neurons.lif",
    "LIFState": "neurons.lif",
    "Adaptation": "neurons.firing",
    "IF": "neurons.integrate_and_fire",
    "CubaLIF": "neurons.cuba",
    "CubaLIFState": "neurons.cuba",
    "CobaLIF": "neurons.coba",
    "CobaLIFState": "neurons.coba",
    "LI": "neurons.readout",
    "LIState": "neurons.readout",
    "SRM0": "neurons.srm",
    "SRM0State": "neurons.srm",
    "Bernoulli": "neurons.memoryless",
    "Poisson": "neurons.memoryless",
    "Escape": "neurons.escape",
    "surrogate_slope": "neurons.surrogates",
    "spike": "neurons.surrogates",
    "DiehlCook": "competitive.diehl_cook",
    "CompetitiveRule": "competitive.rule",
    "Chip": "chips.chip",
    "constrain": "chips.constraints",
    "age": "chips.constraints",
    "cores": "chips.placing",
    "energy": "chips.account",
    "Account": "chips.account",
    "Costs": "chips.account",
    "HOROWITZ": "chips.account",
    "LOIHI": "chips.account",
    "simulate": "engine.simulation",
    "NetworkState": "engine.run",
    "Run": "engine.run",
    "Replay": "engine.run",
    "Arrivals": "engine.drives",
    "PoissonDrive": "engine.drives",
    "STDP": "plasticity.stdp",
    "TripletSTDP": "plasticity.stdp",
    "WeightDependentSTDP": "plasticity.stdp",
    "SimplexSTDP": "plasticity.simplex",
    "Synapses": "plasticity.synapses",
    "Plastic": "plasticity.plastic",
    "Channel": "plasticity.modulated",
    "ThreeFactor": "plasticity.modulated",
    "RewardSTDP": "plasticity.modulated",
    "Homeostasis": "plasticity.homeostasis",
    "StructuralPlasticity": "plasticity.structural",
    "PoissonDeadTime": "trains.renewal",
    "GammaRenewal": "trains.renewal",
    "HazardRenewal": "trains.hazard",
    "EscapeLIF": "trains.hazard",
    "InhomogeneousPoisson": "trains.poisson",
    "Hawkes": "trains.hawkes",
    "branching_of_timescale": "trains.hawkes",
    "HawkesFit": "trains.hawkes_fit",
    "fit_hawkes": "trains.hawkes_fit",
    "RenewalFit": "trains.fits",
    "fit_gamma": "trains.fits",
    "fit_dead_time": "trains.fits",
    "Rescaled": "trains.rescaling",
    "RescalingTests": "trains.rescaling",
    "UniformTest": "trains.rescaling",
    "rescale": "trains.rescaling",
    "rescale_steps": "trains.rescaling",
    "rescaling_tests": "trains.rescaling",
    "uniform_test": "trains.rescaling",
    "fitted_test": "trains.rescaling",
    "Estimate": "trains.estimate",
    "fano_factor": "trains.statistics",
    "interval_cv": "trains.statistics",
    "interval_cv2": "trains.statistics",
    "local_variation": "trains.statistics",
    "serial_correlation": "trains.statistics",
    "count_correlation": "trains.statistics",
    "Correlogram": "trains.correlogram",
    "cross_correlogram": "trains.correlogram",
    "Check": "trains.check",
    "check": "trains.check",
    "Teacher": "teaching.teacher",
    "Lesson": "teaching.teacher",
    "draw_teacher": "teaching.teacher",
    "Learned": "teaching.students",
    "learn_online": "teaching.students",
    "maximise_likelihood": "teaching.students",
    "Recurrent": "recurrent",
    "RecurrentState": "recurrent",
    "EProp": "learning.eprop",
    "OTTT": "learning.ottt",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sparsefire.spiking' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"sparsefire.spiking.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

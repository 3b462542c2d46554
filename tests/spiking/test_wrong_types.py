"""Whatever comes as an argument of whatever is public: an answer, or a readable error."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sparsefire as sf
from sparsefire import spiking as sp
from sparsefire.errors import UserError

WRONG = [
    "x", 3, 1.5, None, {}, object(), [[1], [2, 3]], np.array(["normal", "sphere"]), lambda *given: None, True, -1,
    float("nan"), torch.zeros(2),
]  # fmt: skip
Call = tuple[Callable[..., Any], dict[str, Any]]


def call(function: Callable[..., Any], **given: Any) -> Call:
    """Return a function and all its arguments: those given, else its own defaults."""
    parameters = inspect.signature(function).parameters
    own = {key: value.default for key, value in parameters.items() if value.default is not value.empty}
    return function, {**own, **given}


def neurons(kind: Any) -> Call:
    function, given = call(kind, units=3)
    return function, {**given, **call(sp.neurons.firing.Firing.__init__, units=3, dt=1e-3)[1], **given}


def linear() -> nn.Linear:
    return nn.Linear(4, 3)


def net() -> sp.Sequential:
    return sp.Sequential(linear(), sp.LIF(3))


def free(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with a layer of its own for each call: it changes the one that it gets."""
    return lambda **given: function(
        **{**given, "net": linear() if isinstance(given["net"], nn.Module) else given["net"]}
    )


BARS = {"units": 2, "inputs": 4, "total": 2.0, "rate": 600.0, "theta_plus": 0.1}
RING = sf.Wiring.from_edges([0, 1, 2], [1, 2, 0], [1.5, 1.5, 1.5])
SPIKES = sp.Spikes([0.1, 0.2, 0.3, 0.35, 0.5, 0.62, 0.7, 0.8], [0, 1, 0, 1, 0, 1, 0, 1], 2, 1.0)
TEACHER = sp.Teacher([0.6, -0.5, 0.0])
RUN = sp.simulate(RING, sp.LIF(3, escape=sp.Escape()), drive=0.5, duration=0.2, dt=1e-3)
HAWKES = sp.Hawkes([5.0, 5.0], [[0.2, 0.1], [0.1, 0.2]], 10.0)
PRE = (torch.arange(40).reshape(5, 2, 4) % 3 == 0).float()
POST = (torch.arange(30).reshape(5, 2, 3) % 4 == 0).float()
SIDES = {"pre": PRE, "post": POST}
OUTPUT = {"current": PRE, "state": None}
WEIGHTED = {**SIDES, "weight": torch.ones(3, 4), "mask": None}
LESSON = {**SIDES, "reward": None, "state": None}

CALLS: dict[str, Call] = {
    "Adaptation": call(sp.Adaptation, tau=0.1, step=0.1),
    "Arrivals": call(sp.Arrivals, spikes=SPIKES, weights=sf.Wiring.from_edges([0, 1], [0, 1], shape=(2, 3))),
    "Bernoulli": call(sp.Bernoulli, units=3),
    "Bernoulli()": (lambda **given: sp.Bernoulli(4)(**given), OUTPUT),
    "Channel": call(sp.Channel, tau=0.1),
    "Chip": call(sp.Chip),
    "CobaLIF": neurons(sp.CobaLIF),
    "CompetitiveRule": call(sp.CompetitiveRule),
    "Costs": call(sp.Costs, ac=1e-12, mac=1e-12, update=1e-12, source="here"),
    "CubaLIF": neurons(sp.CubaLIF),
    "CubaLIF()": (lambda **given: sp.CubaLIF(4)(**given), OUTPUT),
    "DiehlCook": (lambda **given: sp.DiehlCook(**given).fit(np.eye(4)), call(sp.DiehlCook, **BARS)[1]),
    "DiehlCook.fit": (
        lambda **given: sp.DiehlCook(**BARS).fit(**given), {"X": np.eye(4), "y": [0, 1, 0, 1], "progress": None},
    ),
    "EProp": call(sp.EProp),
    "Escape": call(sp.Escape),
    "EscapeLIF": call(sp.EscapeLIF, escape=sp.Escape()),
    "GammaRenewal": call(sp.GammaRenewal, shape=2.0, firing_rate=10.0),
    "Hawkes": call(sp.Hawkes, baseline=[1.0, 1.0], branching=[[0.2, 0.1], [0.1, 0.2]], decay=10.0),
    "HazardRenewal": call(sp.HazardRenewal, rho=lambda t: 10.0 + 0 * t),
    "Homeostasis": call(sp.Homeostasis, layer=linear(), target=10.0),
    "Homeostasis.step": (lambda **given: sp.Homeostasis(linear(), 10.0).step(**given), {"post": POST}),
    "IF": neurons(sp.IF),
    "InhomogeneousPoisson": call(sp.InhomogeneousPoisson, intensity=lambda t: 5 + 0 * t, most=6.0),
    "LI": call(sp.LI, units=3),
    "LIF": neurons(sp.LIF),
    "LIF()": (lambda **given: sp.LIF(4)(**given), OUTPUT),
    "OTTT": call(sp.OTTT),
    "Plastic": call(sp.Plastic, layer=linear(), stdp=sp.STDP()),
    "Plastic.learn": (lambda **given: sp.Plastic(linear(), sp.STDP()).learn(**given), LESSON),
    "Plastic.learn, rewarded": (
        lambda **given: sp.Plastic(linear(), sp.RewardSTDP()).learn(**given), {**LESSON, "reward": torch.ones(5, 2)},
    ),
    "Poisson": call(sp.Poisson, units=3),
    "PoissonDeadTime": call(sp.PoissonDeadTime, intensity=10.0),
    "PoissonDrive": call(sp.PoissonDrive, rate=10.0, weight=0.1),
    "Recurrent": call(sp.Recurrent, neurons=sp.LIF(3)),
    "Recurrent()": (lambda **given: sp.Recurrent(sp.LIF(4))(**given), OUTPUT),
    "RewardSTDP": call(sp.RewardSTDP),
    "SRM0": call(sp.SRM0, units=3),
    "SRM0()": (lambda **given: sp.SRM0(4)(**given), OUTPUT),
    "STDP": call(sp.STDP),
    "STDP()": (lambda **given: sp.STDP()(**given), WEIGHTED),
    "Sequential()": (lambda current, state: net()(current, state), OUTPUT),
    "SimplexSTDP": call(sp.SimplexSTDP, alpha=0.1),
    "SimplexSTDP()": (
        lambda **given: sp.SimplexSTDP(0.1)(**given),
        {"pre": PRE, "post": POST[..., :1], "weight": torch.full((1, 4), 0.25)},
    ),
    "Spikes": call(sp.Spikes, times=[0.1, 0.2], units=[0, 1]),
    "Spikes.from_dense": call(sp.Spikes.from_dense, spikes=PRE[:, 0], dt=1e-3),
    "Spikes.load": call(sp.Spikes.load, path="nowhere.npz"),
    "Spikes.sorted_from": call(sp.Spikes.sorted_from, times=[0.2, 0.1], units=[0, 1]),
    "SpikingPerceptron": call(sp.SpikingPerceptron, widths=[4, 3, 2]),
    "StructuralPlasticity": (
        free(sp.StructuralPlasticity), call(sp.StructuralPlasticity, net=linear(), density=0.5)[1],
    ),
    "Teacher": call(sp.Teacher, weights=[0.5, -0.5]),
    "Teacher.record": call(TEACHER.record, steps=100, rng=0),
    "ThreeFactor": call(sp.ThreeFactor, stdp=sp.STDP(), channels=[sp.Channel(0.1)]),
    "TripletSTDP": call(sp.TripletSTDP),
    "TripletSTDP()": (lambda **given: sp.TripletSTDP()(**given), WEIGHTED),
    "WeightDependentSTDP": call(sp.WeightDependentSTDP),
    "WeightDependentSTDP()": (lambda **given: sp.WeightDependentSTDP()(**given), WEIGHTED),
    "age": call(sp.age, net=sp.constrain(linear(), drift=0.1, rng=0), seconds=10.0),
    "branching_of_timescale": call(sp.branching_of_timescale, timescale=2.0, decay=10.0),
    "check": call(sp.check, run_or_spikes=SPIKES),
    "check of a run": call(sp.check, run_or_spikes=RUN),
    "constrain": (free(sp.constrain), {**call(sp.constrain, net=linear())[1], "weight_bits": 4, "mismatch": 0.0}),
    "cores": call(sp.cores, net=linear(), chip=sp.Chip(synapses_per_core=100)),
    "count_correlation": call(sp.count_correlation, spikes=SPIKES, window=0.1),
    "cross_correlogram": call(sp.cross_correlogram, spikes=SPIKES, a=0, b=1),
    "detach": call(sp.detach, state=sp.LIF(4)(PRE)[1]),
    "draw_teacher": call(sp.draw_teacher, dimension=3),
    "encode_by_latency": call(sp.encode_by_latency, values=[0.5, 0.2], steps=5),
    "encode_by_rate": call(sp.encode_by_rate, values=[0.5, 0.2], steps=5),
    "encode_changes": call(sp.encode_changes, signal=torch.arange(10.0).reshape(5, 2), threshold=0.1),
    "energy": call(sp.energy, net=net(), x=PRE),
    "energy of a perceptron": call(sp.energy, net=sp.SpikingPerceptron([4, 3, 2]), x=torch.ones(5, 4)),
    "fano_factor": call(sp.fano_factor, spikes=SPIKES, window=0.1),
    "fit_dead_time": call(sp.fit_dead_time, spikes=SPIKES),
    "fit_gamma": call(sp.fit_gamma, spikes=SPIKES),
    "fit_hawkes": call(sp.fit_hawkes, spikes=HAWKES.sample(20.0, rng=0)),
    "fitted_test": call(sp.fitted_test, spikes=SPIKES, fit=sp.fit_gamma, resamples=19, rng=0),
    "from_nir": call(sf.deploy.from_nir, path="nowhere.nir"),
    "interval_cv": call(sp.interval_cv, spikes=SPIKES),
    "interval_cv2": call(sp.interval_cv2, spikes=SPIKES),
    "learn_online": call(sp.learn_online, teacher=TEACHER, steps=50),
    "linear_of_spikes": call(sp.linear_of_spikes, spikes=PRE, weight=torch.ones(3, 4)),
    "local_variation": call(sp.local_variation, spikes=SPIKES),
    "maximise_likelihood": call(sp.maximise_likelihood, teacher=TEACHER, lesson=TEACHER.record(9000, rng=0)),
    "rescale": call(sp.rescale, spikes=SPIKES, law=sp.GammaRenewal(2.0, 4.0)),
    "rescale_steps": call(sp.rescale_steps, fired=PRE[:, 0], probability=torch.full((5, 4), 0.5), rng=0),
    "rescaling_tests": call(sp.rescaling_tests, rescaled=sp.rescale(SPIKES, sp.GammaRenewal(2.0, 4.0))),
    "serial_correlation": call(sp.serial_correlation, spikes=SPIKES),
    "simulate": call(
        sp.simulate, wiring=RING, neurons=sp.LIF(3), drive=0.5, duration=0.05, dt=1e-3, initial=[1.2, 0, 0],
    ),
    "spike": call(sp.spike, distance=torch.ones(3)),
    "surrogate_slope": call(sp.surrogate_slope, distance=torch.ones(3), shape="sigmoid", steepness=10.0),
    "to_nir": call(sf.deploy.to_nir, net=net(), path="net.nir"),
    "uniform_test": call(sp.uniform_test, z=np.linspace(0.01, 0.99, 50)),
}  # fmt: skip
FAILS = {"from_nir", "Spikes.load"}  # there is nothing to read


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes "x" for a path may write there."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", CALLS)
def test_wrong_types_are_told(name: str) -> None:
    function, given = CALLS[name]
    if name in ("from_nir", "to_nir"):
        pytest.importorskip("nir", reason="the extra nir is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name not in FAILS:
            function(**given)
        for argument in given:
            for wrong in WRONG:
                try:
                    function(**{**given, argument: wrong})
                except UserError as error:
                    assert error.expected or error.attempt  # noqa: PT017


def test_nothing_public_is_left_out() -> None:
    made_for_you = {name for name in sp.__all__ if not callable(getattr(sp, name)) or name.endswith("State")}
    made_for_you |= {
        "Account",
        "Check",
        "Correlogram",
        "Estimate",
        "HawkesFit",
        "Learned",
        "Lesson",
        "Neuron",
        "Rescaled",
    }
    made_for_you |= {"RenewalFit", "Replay", "RescalingTests", "Run", "Sequential", "Synapses", "UniformTest"}
    assert {name.split(".")[0].split("(")[0].split(" ")[0] for name in CALLS} | made_for_you >= set(sp.__all__)

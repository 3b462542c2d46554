"""Whatever comes as an argument of whatever is public: an answer, or a readable error."""

import warnings
from typing import Any

import numpy as np
import pytest

import sparsefire as sf
from sparsefire.errors import UserError

conv = sf.convergence
WRONG = ["x", 3, 1.5, None, {}, object(), [[1], [2, 3]], np.array(["normal", "sphere"]), lambda *given: None]
RULE = {"rule": "forward-gradient", "problem": None, "dimension": 3, "law": "normal", "covariance": None, "start": 1.0}
STEPS = {**RULE, "steps": 3, "step_size": 0.01}
RUNS = {"runs": 3, "rng": 0, "workers": 1, "progress": None}
DROPOUT = conv.Dropout(np.eye(2), [1.0, 2.0], keep=0.5, step_size=0.1)
NETWORK = conv.DiagonalNetwork(np.eye(2), [1.0, 2.0], noise=0.1)
PROBLEM = conv.LinearRegression(2)
K = np.arange(1.0, 31.0)
PATHS = np.random.default_rng(0).random((24, 30)) + 1
FIT = {"model": "power", "statistic": "mean", "resamples": 100, "rng": 0}
QUERY = {"problem": PROBLEM, "radius": None, "law": "rademacher"}
SIMPLEX = {"probabilities": (0.6, 0.4), "alpha": 0.1}

CALLS: dict[str, dict[str, Any]] = {
    "DiagonalNetwork": {"x": np.eye(2), "y": [1.0, 2.0], "noise": 0.1, "layers": 2},
    "Dropout": {"x": np.eye(2), "y": [1.0, 2.0], "keep": 0.5, "step_size": 0.1, "simplified": False},
    "LinearRegression": {"dimension": 2, "covariance": None, "noise": 1.0, "noise_law": "normal", "start": 1.0},
    "OnlineInterval": {"batches": 8, "burn_in": 0},
    "RandomScaling": {"burn_in": 0},
    "Update": {"rule": "one-query", "law": "normal", "baseline": "none", "memory": 0.1, "radius": None, "reward": None},
    "asymptotic_constant": RULE,
    "batch_means": {"iterates": K, "length": 10, "batches": 4, "burn_in": 0},
    "best_radius": {"problem": PROBLEM, "law": "rademacher", "most": 2.0},
    "best_step_sizes": {**RULE, "steps": 3, "of": "parameters"},
    "choose_model": {"estimate": K, "values": PATHS, "window": None, "models": ("power",), "rng": 0},
    "decompose": {**STEPS, "of": "parameters"},
    "default_schedule": RULE,
    "dropout_long_run_covariance": {"problem": DROPOUT},
    "dropout_mean": {"problem": DROPOUT, "steps": 3, "start": 0.0},
    "dropout_second_moment": {"problem": DROPOUT, "steps": 3, "start": 0.0},
    "dropout_stationary_covariance": {"problem": DROPOUT},
    "exact_covariance": {**STEPS, "at": None},
    "exact_risk": {**STEPS, "of": "parameters"},
    "expected_error": {**STEPS, "at": None},
    "find_minimum": {"function": lambda x: x + 1 / x, "low": 0.1, "high": 10.0, "tolerance": 1e-3},
    "find_transition": {"indicator": lambda x: x - 1, "low": 0.0, "high": 3.0, "target": 0.0, "tolerance": None},
    "first_order_bound": {"problem": PROBLEM},
    "fisher_information": QUERY,
    "fit_powers": {"sizes": [1.0, 2.0, 4.0], "estimates": PATHS[:3], **FIT},
    "fit_rate": {"estimate": K, "values": PATHS, "window": None, **FIT},
    "fixation_exponent": {"alpha": 0.1, "jitter": 0.0},
    "harmonic": {"factor": 1.0, "offset": 0.0},
    "induced_penalty": {"beta": [1.0], "noise": 0.1, "layers": 2},
    "local_slopes": {"estimate": K, "values": PATHS, "per_decade": 1, "window": None, "statistic": "mean", "rng": 0},
    "mean_field_path": {"start": (0.6, 0.4), "times": [1.0]},
    "plan": {"rule": "sgd", "problem": PROBLEM, "risk": 0.1, "schedule": "harmonic", "of": "parameters", "most": 1000},
    "query_bound": QUERY,
    "random_scaling": {"iterates": K, "burn_in": 0},
    "score_reward": QUERY,
    "search_transition": {"trial": lambda x, draws: draws.random(100) < x, "low": 0.0, "high": 1.0, "most": 500},
    "sharpness_descent": {"problem": NETWORK, "start": 0.1, "steps": 3, "step_size": 0.1, "record": None},
    "sharpness_flow": {"problem": NETWORK, "start": 0.1, "times": 1.0},
    "sharpness_limit": {"problem": NETWORK},
    "simulate_dropout": {"problem": DROPOUT, "steps": 3, **RUNS, "batches": 1, "burn_in": 0, "start": 0.0},
    "simulate_risk": {**STEPS, **RUNS, "record": None, "of": "parameters", "method": "auto"},
    "simulate_sharpness": {"problem": NETWORK, "start": 0.1, "steps": 3, "step_size": 0.1, **RUNS, "record": None},
    "simulate_simplex": {**SIMPLEX, "steps": 3, **RUNS, "record": None, "jitter": 0.0},
    "spectral_radius": {**RULE, "step_size": 0.01},
    "stability_limit": RULE,
    "stationary_risk": {**RULE, "step_size": 0.01, "of": "parameters"},
    "step_for_error": {"probabilities": (0.6, 0.4), "error": 0.01, "winner": None, "method": "exact"},
    "susceptibility_peak": {"parameters": K[:3], "samples": PATHS[:3], "scale": 1.0, "resamples": 100, "rng": 0},
    "winner_probabilities": SIMPLEX,
    "wrong_winner_probability": {**SIMPLEX, "winner": None, "method": "exact"},
}
RESULTS = {"BatchMeans", "Plan", "RateFit", "RiskEstimate"}  # nobody makes them by hand


def test_nothing_public_is_left_out() -> None:
    assert set(CALLS) | RESULTS == set(conv.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_wrong_types_are_told(name: str) -> None:
    call, given = getattr(conv, name), CALLS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call(**given)
        for argument in given:
            for wrong in WRONG:
                try:
                    call(**{**given, argument: wrong})
                except UserError as error:
                    assert error.expected or error.attempt  # noqa: PT017


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        (name, argument)
        for name, given in CALLS.items()
        for argument in ("rng", "progress", "workers", "of", "statistic", "law", "method", "record", "schedule", "runs")
        if argument in given
    ],
)
def test_what_must_be_refused_is_refused_by_its_name(name: str, argument: str) -> None:
    with pytest.raises(UserError, match=argument):
        getattr(conv, name)(**{**CALLS[name], argument: "x"})

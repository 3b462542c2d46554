"""How fast learning really is: exact risk, simulated risk, and the inference of exponents, side by side.

Everything that concerns linear regression needs no torch; ``networks`` trains networks on ``samples`` of ``functions``
or tables, beside ``smoothers``; ``references`` are the curves that theory allows.
"""

import importlib
from typing import Any

from sparsefire.convergence.bounds.fisher import (
    best_radius,
    first_order_bound,
    fisher_information,
    query_bound,
    score_reward,
)
from sparsefire.convergence.bounds.planning import Plan, plan
from sparsefire.convergence.exact.constants import asymptotic_constant
from sparsefire.convergence.exact.risk import decompose, exact_covariance, exact_risk, expected_error
from sparsefire.convergence.exact.stability import (
    best_step_sizes,
    default_schedule,
    spectral_radius,
    stability_limit,
    stationary_risk,
)
from sparsefire.convergence.inference.fits import RateFit, fit_powers, fit_rate, local_slopes
from sparsefire.convergence.inference.model_choice import choose_model
from sparsefire.convergence.inference.online import (
    BatchMeans,
    OnlineInterval,
    RandomScaling,
    batch_means,
    random_scaling,
)
from sparsefire.convergence.inference.transitions import (
    find_minimum,
    find_transition,
    search_transition,
    susceptibility_peak,
)
from sparsefire.convergence.noise.dropout import (
    Dropout,
    dropout_long_run_covariance,
    dropout_mean,
    dropout_second_moment,
    dropout_stationary_covariance,
    simulate_dropout,
)
from sparsefire.convergence.noise.sharpness import (
    DiagonalNetwork,
    induced_penalty,
    sharpness_descent,
    sharpness_flow,
    sharpness_limit,
    simulate_sharpness,
)
from sparsefire.convergence.noise.simplex import (
    fixation_exponent,
    mean_field_path,
    simulate_simplex,
    step_for_error,
    winner_probabilities,
    wrong_winner_probability,
)
from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.schedules import harmonic
from sparsefire.convergence.simulation.estimate import RiskEstimate
from sparsefire.convergence.simulation.simulate import simulate_risk
from sparsefire.convergence.update import Update

__all__ = [
    "BatchMeans",
    "DiagonalNetwork",
    "Dropout",
    "LinearRegression",
    "OnlineInterval",
    "Plan",
    "RandomScaling",
    "RateFit",
    "RiskEstimate",
    "Update",
    "asymptotic_constant",
    "batch_means",
    "best_radius",
    "best_step_sizes",
    "choose_model",
    "decompose",
    "default_schedule",
    "dropout_long_run_covariance",
    "dropout_mean",
    "dropout_second_moment",
    "dropout_stationary_covariance",
    "exact_covariance",
    "exact_risk",
    "expected_error",
    "find_minimum",
    "find_transition",
    "first_order_bound",
    "fisher_information",
    "fit_powers",
    "fit_rate",
    "fixation_exponent",
    "harmonic",
    "induced_penalty",
    "local_slopes",
    "mean_field_path",
    "plan",
    "query_bound",
    "random_scaling",
    "score_reward",
    "search_transition",
    "sharpness_descent",
    "sharpness_flow",
    "sharpness_limit",
    "simulate_dropout",
    "simulate_risk",
    "simulate_sharpness",
    "simulate_simplex",
    "spectral_radius",
    "stability_limit",
    "stationary_risk",
    "step_for_error",
    "susceptibility_peak",
    "winner_probabilities",
    "wrong_winner_probability",
]

_MODULES = {
    "functions": "nonparametric",
    "networks": "nonparametric",
    "references": "bounds",
    "samples": "nonparametric",
    "smoothers": "nonparametric",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:  # when they are asked for: networks need torch
        return importlib.import_module(f"{__name__}.{_MODULES[name]}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

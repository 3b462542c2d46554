"""Oracle: what the exact risk and its neighbours say of bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sparsefire as sf
from sparsefire.errors import UserError

conv = sf.convergence


BAD: list[tuple[str, dict[str, Any]]] = [
    ("backprop", {}),
    ("sgd", {"dimension": 0}),
    ("sgd", {"dimension": 2.5}),
    ("sgd", {"dimension": "3"}),
    ("sgd", {"dimension": True}),
    ("sgd", {"dimension": None}),
    ("sgd", {"steps": 0}),
    ("sgd", {"steps": -3}),
    ("sgd", {"steps": 3.5}),
    ("sgd", {"steps": "many"}),
    ("sgd", {"step_size": -0.1}),
    ("sgd", {"step_size": float("nan")}),
    ("sgd", {"step_size": float("inf")}),
    ("sgd", {"step_size": lambda k: float("nan")}),
    ("sgd", {"step_size": lambda k: 1 / (k - 2)}),
    ("sgd", {"step_size": lambda k: None}),
    ("sgd", {"step_size": lambda k: 1j}),
    ("sgd", {"step_size": "fast"}),
    ("sgd", {"step_size": None}),
    ("sgd", {"step_size": [0.1, 0.1]}),
    ("sgd", {"step_size": [[0.1], [0.1], [0.1]]}),
    ("sgd", {"noise": -1.0}),
    ("sgd", {"noise": float("nan")}),
    ("sgd", {"noise": "loud"}),
    ("sgd", {"noise_law": "cauchy"}),
    ("sgd", {"design": "fractal"}),
    ("sgd", {"design": None}),
    ("sgd", {"design": "sparse", "filled": 0.0}),
    ("sgd", {"design": "sparse", "filled": 1.5}),
    ("sgd", {"covariance": [[1.0, 2.0], [2.0, 1.0]], "dimension": 2}),
    ("sgd", {"covariance": [[1.0, 0.5], [0.2, 1.0]], "dimension": 2}),
    ("sgd", {"covariance": [1.0, 0.0, 2.0]}),
    ("sgd", {"covariance": [1.0, -1.0, 2.0]}),
    ("sgd", {"covariance": [1.0, 1.0]}),
    ("sgd", {"covariance": [1.0, float("nan"), 1.0]}),
    ("sgd", {"covariance": "wide"}),
    ("sgd", {"covariance": [1.0, 1.0, 1.0], "rank": 2}),
    ("sgd", {"rank": 0}),
    ("sgd", {"rank": 4}),
    ("sgd", {"active": 0}),
    ("sgd", {"active": 4}),
    ("sgd", {"outputs": 0}),
    ("sgd", {"start": -1.0}),
    ("sgd", {"start": float("inf")}),
    ("sgd", {"start": [1.0, 2.0]}),
    ("sgd", {"start": "here"}),
    ("sgd", {"of": "everything"}),
    ("sgd", {"law": "rademachr"}),
    ("sgd", {"colour": "red"}),
    ("sgd", {"repeats": 2}),
    ("sgd", {"directions": 2}),
    ("forward-gradient", {"law": "rademachr"}),
    ("forward-gradient", {"law": 3}),
    ("forward-gradient", {"directions": 0}),
    ("forward-gradient", {"directions": 1.5}),
    ("forward-gradient", {"repeats": 0}),
    ("forward-gradient", {"mask": 0}),
    ("forward-gradient", {"mask": 4}),
    ("forward-gradient", {"baseline": "previous"}),
    ("forward-gradient", {"repeats": 2, "covariance": [1.0, 2.0, 3.0]}),
    ("forward-gradient", {"repeats": 2, "law": "uniform"}),
    ("two-query", {"radius": 0.0}),
    ("two-query", {"radius": -1.0}),
    ("one-query", {}),
    ("hebbian", {}),
    ("sgd", {"dimension": np.array([3, 4])}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "given"), BAD, ids=lambda v: ",".join(v) if isinstance(v, dict) else str(v))
def test_bad_input_is_told(rule: str, given: dict[str, Any]) -> None:
    call: dict[str, Any] = {"dimension": 3, "steps": 3, "step_size": 0.01} | given
    with pytest.raises(UserError):
        conv.exact_risk(rule, **call)


@pytest.mark.parametrize("rule", [None, 3, ["sgd"], b"sgd"])
def test_a_rule_of_the_wrong_type(rule: Any) -> None:
    with pytest.raises(UserError):
        conv.exact_risk(rule, dimension=3, steps=3, step_size=0.01)
    with pytest.raises(UserError):
        conv.stability_limit(rule, dimension=3)


def test_bad_input_elsewhere() -> None:
    for call in (
        lambda: conv.exact_risk("sgd", steps=3, step_size=0.01),
        lambda: conv.exact_covariance("sgd", dimension=2, steps=3, step_size=0.01, at=[4]),
        lambda: conv.exact_covariance("sgd", dimension=2, steps=3, step_size=0.01, at=[2, 1]),
        lambda: conv.exact_covariance("sgd", dimension=2, steps=3, step_size=0.01, at=[-1]),
        lambda: conv.exact_covariance("sgd", dimension=2, steps=3, step_size=0.01, at="end"),
        lambda: conv.exact_covariance("forward-gradient", dimension=2, repeats=2, steps=3, step_size=0.01),
        lambda: conv.expected_error("sgd", dimension=2, steps=3, step_size=0.01, at=[1.5]),
        lambda: conv.stability_limit("one-query", dimension=2),
        lambda: conv.spectral_radius("sgd", step_size=-0.1, dimension=2),
        lambda: conv.spectral_radius("sgd", step_size=float("nan"), dimension=2),
        lambda: conv.stationary_risk("sgd", step_size="small", dimension=2),
        lambda: conv.best_step_sizes("one-query", dimension=2, steps=3),
        lambda: conv.best_step_sizes("forward-gradient", dimension=2, repeats=2, steps=3),
        lambda: conv.best_step_sizes("sgd", dimension=2, steps=0),
        lambda: conv.asymptotic_constant("hebbian", dimension=2),
        lambda: conv.asymptotic_constant("sgd", dimension=2, covariance=[1.0, 2.0]),
        lambda: conv.exact_risk("sgd", dimension=2, steps=3, step_size=conv.harmonic(-1.0)),
        lambda: conv.exact_risk("sgd", dimension=2, steps=3, step_size=conv.harmonic(1.0, -2.0)),
    ):
        with pytest.raises(UserError):
            call()


def test_a_stationary_law_needs_a_step() -> None:
    with pytest.raises(UserError):
        conv.stationary_risk("sgd", step_size=0.0, dimension=2)


@pytest.mark.parametrize(
    "problem", [3, "linear", {"dimension": 3}, np.eye(3)], ids=["number", "word", "table", "matrix"]
)
def test_a_problem_of_the_wrong_type(problem: Any) -> None:
    with pytest.raises(UserError):
        conv.exact_risk("sgd", problem, steps=3, step_size=0.01)
    with pytest.raises(UserError):
        conv.stability_limit("sgd", problem)
    with pytest.raises(UserError):
        conv.simulate_risk("sgd", problem, steps=3, step_size=0.01, runs=2, rng=0)
    with pytest.raises(UserError):
        conv.asymptotic_constant("sgd", problem)

"""A small finished run as it stands in ``verdict.json``, for the examples in docstrings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def _example() -> dict[str, Any]:
    def row(identifier: str, kind: str, weights: int, score: float, shift: float, lower: float, walk: str) -> dict:
        method, _, amount = identifier.partition("@")
        return {
            "id": identifier, "kind": kind, "method": method, "density": float(amount) if amount else None,
            "weights": weights, "latency_us": None, "score": score, "difference": shift, "lower": lower, "walk": walk,
        }  # fmt: skip

    candidates: Sequence[dict] = (
        row("dense", "dense", 266_200, 0.980, 0.0, 0.0, "reference"),
        row("gmp@0.05", "sparse", 13_310, 0.977, -0.003, -0.006, "chosen"),
        row("gmp@0.02", "sparse", 5_324, 0.968, -0.012, -0.016, "stopped"),
    )
    test = {
        "rows": 2_000, "score_chosen": 0.979, "score_dense": 0.981, "difference": -0.002, "lower": -0.007,
        "upper": 0.003, "passed": True, "only_dense": 8, "only_chosen": 4, "rows_needed": 370, "power": 0.9,
    }  # fmt: skip
    return {
        "state": "confirmed", "kind": "sparse", "margin": 0.01, "confirmed": True, "why_not": None,
        "data": {"score": "accuracy", "rows_development": 8_000, "rows_test": 2_000, "split": "stratified"},
        "plan": {"folds": 5, "rounds": 1, "rates": 3},
        "selected": {"candidate": "gmp@0.05", "weights": 13_310, "dense_weights": 266_200},
        "gate": {"passed": True, "estimate": 0.8, "lower": 0.79, "threshold": 0.01},
        "confirmation": test, "candidates": candidates, "better_than_both": None, "groups": [],
    }  # fmt: skip


# A small finished run.
EXAMPLE = _example()

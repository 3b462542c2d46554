"""Turns side by side: nobody gets a ratio before mean sizes agree."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cascade_speed.entrants import DISTRIBUTIONS
from cascade_speed.turns import Entrant, Turn, enough
from sparsefire.parallel import workers_available

MOST_ERRORS = 4.0  # standard errors that two mean sizes may lie apart
Record = dict[str, Any]


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds, CPU seconds of one turn, and the environment of NDlib, if any."""

    rounds: int = 5
    seconds: float = 1.0
    ndlib: Path | None = None


def record(job: str, unit: str, figures: Record, floor: float | None, stretch: float | None, on: str) -> Record:
    """Return a record; targets are at least so much where they are ``on`` the ratio, at most where on our figure."""
    value = figures[on]
    return {
        "area": "cascades",
        "job": job,
        "unit": unit,
        **figures,
        "floor": floor,
        "stretch": stretch,
        "target_on": on,
        "met": None if floor is None else bool(value >= floor if on == "ratio" else value <= floor),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "cores": workers_available(),
    }


def standard_errors(a: np.ndarray, b: np.ndarray) -> float:
    """Return how many standard errors two mean sizes lie apart; equal laws have one variance, so it is pooled."""
    difference = abs(float(np.mean(a) - np.mean(b)))
    squares = len(a) * np.var(a) + len(b) * np.var(b)
    error = float(np.sqrt(squares / max(len(a) + len(b) - 2, 1) * (1 / len(a) + 1 / len(b))))
    return difference / error if error else (np.inf if difference else 0.0)


def compare(
    job: str,
    entrants: dict[str, Entrant],
    effort: Effort,
    floor: float | None = None,
    stretch: float | None = None,
    versions: dict[str, str] | None = None,
) -> list[Record]:
    """Let the first entrant run beside all others, in turns; the targets are for its ratio to the second.

    Raises:
        AssertionError: mean sizes that differ.
    """
    runs = {name: enough(entrant, effort.seconds) for name, entrant in entrants.items()}
    turns: dict[str, list[Turn]] = {name: [] for name in entrants}
    for number in range(effort.rounds):
        for name in list(entrants)[:: -1 if number % 2 else 1]:
            turns[name].append(entrants[name](runs[name]))
    sizes = {name: np.concatenate([turn.sizes for turn in found]) for name, found in turns.items()}
    rates = {name: [runs[name] / turn.seconds for turn in found] for name, found in turns.items()}
    first, *peers = entrants
    found = []
    for number, name in enumerate(peers):
        apart = standard_errors(sizes[first], sizes[name])
        assert apart <= MOST_ERRORS, (
            f"{job}: {first} {sizes[first].mean():.2f}, {name} {sizes[name].mean():.2f}, {apart:.1f} standard errors"
        )
        ratios = [a / b for a, b in zip(rates[first], rates[name], strict=True)]
        figures = {
            "ours": statistics.median(rates[first]),
            "peer": statistics.median(rates[name]),
            "peer_name": name,
            "peer_version": (versions or {}).get(name) or version(DISTRIBUTIONS[name]),
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
            "rounds": effort.rounds,
            "runs": [runs[first], runs[name]],
            "mean_size": [float(sizes[first].mean()), float(sizes[name].mean())],
            "standard_errors_apart": apart,
        }
        targets = (floor, stretch) if number == 0 else (None, None)
        found.append(record(job, "cascades per CPU s", figures, *targets, "ratio"))
    return found

"""What is run: every problem with the gradient and with each number of repeats, all tuned alike."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from repeated.two_layer import Problem, path

from sparsefire.convergence import exact_risk

Record = dict[str, Any]
PROBLEMS = (
    Problem(24, 0, "near", "normal"), Problem(24, 0, "near"), Problem(5, 4, "near"), Problem(3, 2, "far"),
    Problem(5, 4, "far"), Problem(8, 8, "far"), Problem(16, 8, "far"),
)  # fmt: skip
AGAIN = Problem(5, 4, "far")
REPEATS = (0, 1, 2, 5, 10, 20, 50, 100)
"""Steps on each sample; 0 stands for the gradient."""
SAMPLES, TUNING, RUNS = 10_000, 12, 200
FIRST = 1000
"""Number of the first run that tuning has not seen."""
LONGER = 40_000
"""Samples to which one problem, ``AGAIN``, is learned as well: does a repeat gain or lose worth with n?"""
FACTORS = (0.5, 1.0, 4.0, 16.0, 64.0, 256.0)
OFFSETS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 4.0)


@dataclass(frozen=True)
class Piece:
    """One problem learned in one way."""

    problem: Problem
    repeats: int
    samples: int = SAMPLES
    tuning: int = TUNING
    runs: int = RUNS


def stability(problem: Problem, repeats: int) -> float:
    """Return C of the linear model with as many parameters: steps are stable up to 2/C."""
    p = problem.parameters
    return p + 2.0 if repeats == 0 else (p + 2.0) * (p + repeats - 1.0) / repeats


def schedule(piece: Piece, factor: float, offset: float) -> np.ndarray:
    """Return α_k = c/(k + c·m·C): a first step of about 1/(m C), and c/k in the end."""
    k = np.arange(1, piece.samples + 1)
    return factor / (k + factor * offset * stability(piece.problem, piece.repeats))


def run(piece: Piece) -> list[Record]:
    """Choose the schedule on runs of their own, then learn afresh; return one record."""
    end = np.array([piece.samples])
    tried = {}
    for factor in FACTORS:
        for offset in OFFSETS:
            alphas = schedule(piece, factor, offset)
            ends = [path(piece.problem, piece.repeats, alphas, end, run)[0] for run in range(piece.tuning)]
            tried[factor, offset] = float(np.mean(ends))
    factor, offset = min(tried, key=lambda key: tried[key])
    record = np.unique(np.geomspace(10, piece.samples, 13).astype(int))
    alphas = schedule(piece, factor, offset)
    paths = [path(piece.problem, piece.repeats, alphas, record, FIRST + run) for run in range(piece.runs)]
    return [
        {
            "problem": piece.problem.name, "parameters": piece.problem.parameters, "repeats": piece.repeats,
            "samples": piece.samples, "factor": factor, "offset": offset, "tuned": tried[factor, offset],
            "k": record.tolist(), "risks": [[float(f"{value:.6g}") for value in found] for found in paths],
        }
    ]  # fmt: skip


def edge(record: Record) -> bool:
    """Return whether the schedule that was chosen lies at the edge of the grid."""
    return record["factor"] in (FACTORS[0], FACTORS[-1]) or record["offset"] in (OFFSETS[0], OFFSETS[-1])


@cache
def exact(repeats: int, factor: float, offset: float, samples: int) -> np.ndarray:
    """Return the exact risks of the linear problem with normal directions, after 0 … ``samples`` samples."""
    problem = PROBLEMS[0]
    steps = schedule(Piece(problem, repeats, samples), factor, offset) / max(repeats, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some schedules of the grid begin beyond the stability limit
        return exact_risk(
            "forward-gradient" if repeats else "sgd", dimension=problem.inputs, noise=problem.noise,
            repeats=max(repeats, 1), steps=samples, step_size=steps,
        )  # fmt: skip


@cache
def control(samples: int) -> dict[int, float]:
    """Return the exact ratios of the linear problem with normal directions, every schedule the best of the grid."""
    found = {
        repeats: min(exact(repeats, factor, offset, samples)[-1] for factor in FACTORS for offset in OFFSETS)
        for repeats in REPEATS
    }
    return {repeats: risk / found[0] for repeats, risk in found.items() if repeats}


def all_pieces() -> list[Piece]:
    """Return the study, long pieces first."""
    pieces = [Piece(problem, repeats) for problem in PROBLEMS for repeats in REPEATS]
    pieces += [Piece(AGAIN, repeats, LONGER, runs=RUNS // 2) for repeats in (0, 1, 5, 20, 100)]
    return sorted(pieces, key=lambda piece: -piece.repeats * piece.problem.parameters * piece.samples)


def few() -> list[Piece]:
    """Return a small study of a few seconds."""
    return [Piece(problem, repeats, 1000, 2, 8) for problem in PROBLEMS[:3] for repeats in (0, 1, 10, 50)]


def done(piece: Piece, found: list[Record]) -> bool:
    """Return whether a piece is stored."""
    return any(
        record["problem"] == piece.problem.name
        and record["repeats"] == piece.repeats
        and record["samples"] == piece.samples
        for record in found
    )

"""Risk against queries: each student at a ladder of rates, by two queries, by node perturbation, by the gradient."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from dimension import found
from dimension.arms import BY_NAME, Student
from dimension.engine import per_step, train
from dimension.laws import effective_rank, participation, spread_rank
from dimension.teacher import INPUTS, JUDGED, Teacher, curvature, mask_of, rows, spectrum, students, teacher

TUNING = (100, 101)  # replicates that choose the rate
REPLICATES = tuple(range(6))
SHARES = {
    "two-query": (0.03125, 0.0625, 0.125, 0.25, 0.5),
    "node-perturbation": (0.125, 0.25, 0.5, 1.0, 2.0),
    "backprop": (0.125, 0.25, 0.5, 1.0, 2.0),
}
"""Rates, in units of 1 / (λ + noise): see :func:`rates`."""
PAIRS = 16
LOOKS = 2  # per doubling of the queries
LONG = ("dense 8", "dense 16", "dense 32", "oracle 16 × 12")  # need more queries to leave the plateau


def length(rule: str, rows_each: int, student: Student, quick: bool) -> int:
    """Return how many losses may be read; gradients for back-propagation."""
    if quick:
        return {"two-query": 3_200, "node-perturbation": 4_800, "backprop": 100}[rule]
    if rule == "backprop":
        return 4_096 if rows_each == 32 else 8_192
    return (512_000 if student.name in LONG else 256_000) if rule == "two-query" else 393_216


def rates(rule: str, rows_each: int, trace: float, largest: float, units: int) -> list[float]:
    """Return the rates that are tried: shares of the inverse of what limits a step.

    A step on a quadratic loss with curvature H shrinks it up to 1 / (λ + tr H / B) for gradients of B rows, λ = ‖H‖,
    1 / (λ + tr H / K + tr H / B) for K pairs of queries, about 1 / (λ + units · tr H / B) for noise on units. H is the
    Gauss–Newton matrix where the network begins, so shares mean about the same for all students.
    """
    noise = {"two-query": 1 / PAIRS + 1 / rows_each, "node-perturbation": units / rows_each}.get(rule, 1 / rows_each)
    return [share / (largest + noise * trace) for share in SHARES[rule]]


@lru_cache(maxsize=64)
def mask(student: Student, number: int) -> np.ndarray:
    """Return the mask of one replicate; a wider or denser one holds no narrower one's."""
    one = teacher(number)
    kept = student.width * student.fan_in
    if student.kind == "noise":
        return found.by_gradients(one, number, student.width, kept)
    if student.kind == "noise, queries":
        return found.by_queries(one, number, student.width, kept)
    return mask_of(student.kind, one.seen, student.width, student.fan_in, np.random.default_rng([number, 34]))


def run(rule: str, name: str, rows_each: int, quick: bool = False) -> dict[str, Any]:
    """Return risks of one student: of the replicates that tune at all rates, of the others at the rates chosen.

    Args:
        rule: as of :func:`dimension.engine.train`.
        name: of the student.
        rows_each: in a batch.
        quick: a few steps of two replicates.
    """
    student = BY_NAME[name]
    tuning, judged = (TUNING, REPLICATES) if not quick else (TUNING[:1], REPLICATES[:2])
    queries = length(rule, rows_each, student, quick)
    tuned = _curves(rule, student, rows_each, list(tuning), list(range(len(SHARES[rule]))), queries)
    means = np.log(tuned["risks"]).mean(0)  # [rates, looks]
    chosen = means.argmin(0)
    kept = sorted({int(one) for one in chosen})
    final = _curves(rule, student, rows_each, list(judged), kept, queries)
    risks = final["risks"][:, [kept.index(int(one)) for one in chosen], range(len(chosen))]
    return {
        "part": "risk", "rule": rule, "arm": name, "rows": rows_each, "active": student.active,
        "units": student.width + 1, "queries": final["queries"], "risks": risks.tolist(),
        "shares": [SHARES[rule][one] for one in chosen], "trace": final["trace"], "largest": final["largest"],
        "overlap": final["overlap"], "replicates": list(judged),
    }  # fmt: skip


def spectra(name: str) -> dict[str, Any]:
    """Return effective ranks of the Gauss–Newton matrix where a student begins, by replicate."""
    student = BY_NAME[name]
    x = torch.from_numpy(np.random.default_rng(42).standard_normal((2_000, INPUTS), dtype=np.float32))
    nets = students([mask(student, number) for number in REPLICATES], list(REPLICATES), [1.0])
    found = [spectrum(nets, x, r) for r in range(len(REPLICATES))]
    ranks = {"stable": effective_rank, "participation": participation, "spread": spread_rank}
    return {
        "part": "rank", "rule": "spectrum", "arm": name, "active": student.active,
        **{key: [how(one) for one in found] for key, how in ranks.items()},
    }  # fmt: skip


def _curves(
    rule: str, student: Student, rows_each: int, numbers: list[int], which: list[int], queries: int
) -> dict[str, Any]:
    """Return risks [replicates, rates, looks] and where they were looked at."""
    teachers = [teacher(number) for number in numbers]
    masks = [mask(student, number) for number in numbers]
    probe = torch.randn(512, INPUTS, generator=torch.Generator().manual_seed(1))
    trace, largest = curvature(students(masks, numbers, [1.0]), probe)
    ladder = rates(rule, rows_each, trace, largest, student.width + 1)
    nets = students(masks, numbers, [ladder[one] for one in which])
    x, y = _fresh(teachers, numbers)
    each = per_step(rule, rows_each, PAIRS)
    steps = queries // each
    marks = sorted({round(steps * 2 ** (-i / LOOKS)) for i in range(9 * LOOKS)} - {0})
    seen: list[torch.Tensor] = []

    def look(step: int) -> None:
        if step in marks:
            seen.append(nets.losses(nets.forward(x)[2], y[:, None]).mean(-1))

    train(nets, rule, rows(teachers, numbers, rows_each), steps, numbers, look, directions=PAIRS)
    risks = torch.stack(seen, 2).nan_to_num(1e3, 1e3).clamp(1e-9, 1e3).double().numpy()
    overlap = float(np.mean([_overlap(one, part.seen) for one, part in zip(masks, teachers, strict=True)]))
    return {
        "risks": risks, "queries": [mark * each for mark in marks], "trace": trace, "largest": largest,
        "overlap": overlap,
    }  # fmt: skip


def _fresh(teachers: list[Teacher], numbers: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows to judge on, without noise in the targets: the excess risk."""
    x = np.stack([np.random.default_rng([n, 35]).standard_normal((JUDGED, INPUTS), dtype=np.float32) for n in numbers])
    rows_of = torch.from_numpy(x)
    return rows_of, torch.stack([one(part) for one, part in zip(teachers, rows_of, strict=True)])


def _overlap(mask_found: np.ndarray, seen: np.ndarray) -> float:
    """Return the mean over the teacher's units of the largest share of their inputs that one student's unit reads."""
    return float((mask_found.astype(float) @ seen.T / seen.sum(1)).max(0).mean())

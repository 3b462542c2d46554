"""All pieces of work, the ones that matter most first."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from dimension import images, rank, risk, variance
from dimension.arms import NODES, WEIGHTS
from dimension.structures import STRUCTURES

PARTS = ("variance", "rank", "risk", "images")
MNIST = (
    "whitened, narrow dense",
    "whitened, wide, random",
    "whitened, wide, by synaptic noise",
)


@dataclass(frozen=True)
class Case:
    """One piece of work.

    Attributes:
        part: one of ``PARTS``.
        rule: of learning; ``""`` where there is none to choose.
        arm: a student, a structure, or data.
        place: data, where the arm does not say it.
        size: rows of a batch, a budget, a width, or a number of inputs.
        amount: density or rank.
        quick: whether it is small.
    """

    part: str
    rule: str
    arm: str
    place: str = ""
    size: int = 0
    amount: float = 0.0
    quick: bool = False


def everything(quick: bool = False) -> list[Case]:
    """Return all cases, or a few for a minute."""
    if quick:
        return [
            Case("variance", "", "digits", size=16, amount=0.25, quick=True),
            Case("rank", "two-query", "", size=64, amount=4),
            Case("risk", "two-query", "oracle 16 × 4", size=32, quick=True),
            Case("risk", "backprop", "oracle 16 × 4", size=32, quick=True),
            Case("images", "two-query", "narrow dense", "digits", 3_200, quick=True),
            Case("images", "two-query", "fixed neighbours", "digits", 3_200, quick=True),
        ]
    found = [Case("risk", rule, one.name, size=32) for one in WEIGHTS for rule in ("two-query", "backprop")]
    found += [Case("rank", "simulated", "")]
    found += [Case("rank", "spectrum", one.name) for one in WEIGHTS if one.able]
    found += [
        Case("rank", rule, "", size=inputs, amount=amount)
        for rule in ("gradient", "two-query") for amount in rank.RANKS for inputs in rank.INPUTS if inputs >= amount
    ]  # fmt: skip
    found += [Case("rank", rule, "", size=inputs) for rule in ("gradient", "two-query") for inputs in rank.INPUTS]
    found += [Case("rank", "two-query, row", "", size=n, amount=r) for r in rank.ROW_RANKS for n in rank.INPUTS]
    found += [
        Case("variance", "", place, size=width, amount=density)
        for place, densities in variance.DENSITIES.items() for width in variance.WIDTHS for density in densities
    ]  # fmt: skip
    found += [
        Case("images", rule, one.name, "digits", budget)
        for one in STRUCTURES for rule, budget in images.BUDGETS.items()
    ]  # fmt: skip
    found += [Case("risk", rule, one.name, size=8) for one in NODES for rule in ("node-perturbation", "backprop")]
    found += [
        Case("images", rule, name, "mnist10k", budget) for name in MNIST for rule, budget in images.BUDGETS.items()
    ]
    return found


def run(case: Case) -> list[dict[str, Any]]:
    """Return the record of a case."""
    began = time.process_time()
    if case.part == "risk":
        record = risk.run(case.rule, case.arm, case.size, case.quick)
    elif case.part == "images":
        record = images.run(case.rule, case.place, case.arm, case.size, case.quick)
    elif case.part == "variance":
        record = variance.run(case.arm, case.size, case.amount, case.quick)
    elif case.rule == "spectrum":
        record = risk.spectra(case.arm)
    elif case.rule == "simulated":
        record = rank.simulated()
    else:
        record = rank.run(case.rule, case.amount, case.size)
    return [{"case": asdict(case), **record, "seconds": round(time.process_time() - began, 1)}]

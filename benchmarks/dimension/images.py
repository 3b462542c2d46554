"""Accuracy on pictures at equal queries: wide with few weights against narrow and dense, rates chosen per arm."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from dimension.engine import Nets, per_step, train
from dimension.pictures import batches, rows_of
from dimension.structures import BY_NAME, PLACES, made, masks_of, width_of

TUNING = (100, 101)
REPLICATES = tuple(range(6))
RATES = {"two-query": (2e-3, 6e-3, 2e-2, 6e-2), "node-perturbation": (5e-4, 1.5e-3, 5e-3, 1.5e-2)}
BEYOND = 3.2  # the ladder goes on by this factor while its end is best, at most twice
ROWS, PAIRS = 64, 16
BUDGETS = {"two-query": 80_000, "node-perturbation": 1_600_000}
"""Losses of a batch; losses of a row."""
WEIGHTS = {"digits": 760, "mnist10k": 826}
"""Numbers that are perturbed, biases among them: a dense 64-10-10, and 40-16-10 on whitened components."""


def run(rule: str, place: str, name: str, budget: int, quick: bool = False) -> dict[str, Any]:
    """Return accuracies of the judged replicates at the rate with the best mean on held-out rows of the others."""
    one, weights = BY_NAME[name], WEIGHTS[place]
    ladder = list(RATES[rule][1:2] if quick else RATES[rule])
    tuned = _accuracies(rule, place, name, budget, TUNING, ladder, inner=True).mean(0)
    scores = dict(zip(ladder, tuned.tolist(), strict=True))
    for _ in range(0 if quick else 2):
        best = max(scores, key=lambda rate: scores[rate])
        more = best * BEYOND if best == max(scores) else best / BEYOND if best == min(scores) else None
        if more is None:
            break
        scores[more] = float(_accuracies(rule, place, name, budget, TUNING, [more], inner=True).mean())
    best = max(scores, key=lambda rate: scores[rate])
    nets: list[Nets] = []
    found = _accuracies(rule, place, name, budget, REPLICATES[: 2 if quick else None], [best], False, nets)[:, 0]
    return {
        "part": "images", "rule": rule, "place": place, "arm": name, "budget": budget, "rate": best,
        "tried": {f"{rate:.2g}": score for rate, score in scores.items()}, "accuracy": found.tolist(),
        "active": nets[0].shape.active, "units": nets[0].shape.units, "width": width_of(place, one, weights),
    }  # fmt: skip


def _accuracies(
    rule: str, place: str, name: str, budget: int, numbers: tuple[int, ...], rates: list[float], inner: bool,
    kept: list[Nets] | None = None,
) -> np.ndarray:  # fmt: skip
    """Return the share right [replicates, rates] after the budget."""
    one = BY_NAME[name]
    both = [rows_of(place, number, PLACES[place][1] if one.whitened else 0, inner) for number in numbers]
    found = [masks_of(place, name, WEIGHTS[place], number, inner) for number in numbers]
    nets = made(place, one, WEIGHTS[place], found, list(numbers), rates)
    steps = budget // per_step(rule, ROWS, PAIRS)
    data = batches([rows for rows, _ in both], list(numbers), ROWS)
    train(nets, rule, data, steps, numbers, directions=PAIRS, decay=True)
    if kept is not None:
        kept.append(nets)
    x, y = (torch.from_numpy(np.stack([test[i] for _, test in both])) for i in (0, 1))
    out = nets.forward(x)[2].nan_to_num(0).argmax(-1)
    return (out == y[:, None]).double().mean(-1).numpy()

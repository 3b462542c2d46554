"""What is known before training, for each case: our chance, and four baselines."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from fate.cases import DEEPEST, Case, build, connected
from fate.data import load
from fate.training import learns
from torch import nn

from sparsefire.propagation import path_counts
from sparsefire.propagation.learning import chance, signs_of
from sparsefire.propagation.trace import trace

BASELINES = ("density", "depth · log density", "path count", "gradient norm")


def record(case: Case, *, steps: int = 200) -> dict[str, Any]:
    """Look at a case, train it, and return everything as plain values."""
    net = build(case)
    signs = signs_of(trace(net))
    known = {
        "density": case.density,
        "depth · log density": case.depth * math.log(case.density),
        "path count": path_counts(net).log10_total,
        "gradient norm": _gradient(net, case),
    }
    outcome = learns(net, load(case.data), steps=steps, look=25, rng=case.number)
    return {
        "case": asdict(case),
        "signs": asdict(signs),
        "chance": chance(signs),
        "known": known,
        "learned": outcome.learned,
        "best": outcome.best,
        "steps": outcome.steps,
    }


def boundary(case: Case, draws: int = 2, fine: float = 1.25) -> float | None:
    """Return the depth at which the predicted chance of such networks falls to one half, None if it is beyond reach.

    Bisection on the logarithm of the depth up to a factor ``fine``, with several networks at each.
    """

    def likely(depth: int) -> float:
        found: list[float] = []
        for number in range(3 * draws):  # disconnected networks are left out, as in the tests
            other = Case(**{**asdict(case), "depth": depth, "number": case.number + number})
            if len(found) < draws and connected(other):
                found.append(chance(signs_of(trace(build(other)))))
        return float(np.mean(found)) if found else 0.0

    low, high = 2, DEEPEST
    if likely(high) >= 0.5 or likely(low) < 0.5:
        return None
    while high / low > fine and high - low > 1:
        middle = max(low + 1, min(high - 1, round(math.sqrt(low * high))))
        low, high = (middle, high) if likely(middle) >= 0.5 else (low, middle)
    return math.sqrt(low * high)


def _gradient(net: nn.Sequential, case: Case) -> float:
    """Return log10 of the norm of the gradient of the training loss on one batch."""
    x, y, *_ = load(case.data)
    net = net.train()
    loss = nn.functional.cross_entropy(net(torch.from_numpy(x[:256])), torch.from_numpy(y[:256]))
    slopes = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
    norm = math.sqrt(sum(float(s.double().square().sum()) for s in slopes if s is not None))
    return math.log10(max(norm, 1e-300)) if math.isfinite(norm) else 300.0

"""Where the effective rank binds: linear regression with inputs that go together."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from dimension import laws
from torch import nn

import sparsefire as sf

RANKS, INPUTS = (4, 8, 16, 32, 64), (64, 256, 1024)
ROW_RANKS = (2, 4, 8, 16)  # where rows are asked one by one: the square of the rank makes others long
SHARE = 0.1
RUNS, RUN_INPUTS, RUN_RANK = 200, 64, 4


def run(rule: str, rank: float, inputs: int) -> dict[str, Any]:
    """Return how many steps reach a tenth of the first risk at the best constant rate; a two-query step reads two.

    Args:
        rule: as of :func:`dimension.laws.step`.
        rank: of the covariance; 0 for inputs that are independent with one variance.
        inputs: how many.
    """
    q = laws.geometric(rank, inputs) if rank else np.ones(inputs)
    steps, rate = laws.steps_to(SHARE, q, rule)
    return {
        "part": "rank", "rule": rule, "rank": laws.effective_rank(q), "inputs": inputs, "steps": steps,
        "rate_times_trace": float(rate * q.sum()),
    }  # fmt: skip


def simulated(steps: int = 60, runs: int = RUNS) -> dict[str, Any]:
    """Return risks of ``sf.rules.TwoQuery`` and what the law says, and the variance of an estimate beside the risk.

    The rows √(d q_j) e_j have the covariance Q exactly, so that their mean loss is that of the population.
    """
    q = laws.geometric(RUN_RANK, RUN_INPUTS)
    x = torch.diag(torch.from_numpy(np.sqrt(RUN_INPUTS * q))).float()
    rate = 0.5 / q.sum()
    law, a = [], np.ones(RUN_INPUTS)
    for _ in range(steps):
        a = laws.step(a, q, np.array(rate), "two-query")
        law.append(float(a @ q))
    found = []
    for number in range(runs):
        stream = torch.Generator().manual_seed(number)
        net = nn.Linear(RUN_INPUTS, 1, bias=False)
        with torch.no_grad():
            net.weight.copy_(torch.randn(1, RUN_INPUTS, generator=stream))
        optimizer = torch.optim.SGD(net.parameters(), rate)
        rule, y, path = sf.rules.TwoQuery(scale=0.1, rng=number), torch.zeros(RUN_INPUTS, 1), []
        for _ in range(steps):
            rule(net, _half_square, x, y)
            optimizer.step()
            optimizer.zero_grad()
            path.append(2 * float(_half_square(net(x).detach(), y)))
        found.append(path)
    risks = np.array(found)
    z = (risks.mean(0) - law) / (risks.std(0, ddof=1) / np.sqrt(runs))
    variance = sf.rules.diagnose(
        sf.rules.TwoQuery(scale=0.1, rng=0), net_of(), _half_square, x, torch.ones(RUN_INPUTS, 1), repeats=2000
    ).relative_variance
    return {
        "part": "rank", "rule": "simulated", "rank": RUN_RANK, "inputs": RUN_INPUTS, "law": law[-1],
        "risk": float(risks[:, -1].mean()), "error": float(risks[:, -1].std(ddof=1) / np.sqrt(runs)),
        "largest_z": float(np.abs(z).max()), "relative_variance": variance, "runs": runs, "steps": steps,
    }  # fmt: skip


def net_of() -> nn.Linear:
    """Return a linear map with weights of its own."""
    net = nn.Linear(RUN_INPUTS, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.randn(1, RUN_INPUTS, generator=torch.Generator().manual_seed(0)))
    return net


def _half_square(output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (output - y).square().mean() / 2

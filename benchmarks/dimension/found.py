"""Masks found by synaptic noise on a dense student: learned by gradients, or by the queries themselves."""

from __future__ import annotations

import numpy as np
import torch
from dimension.teacher import INPUTS, Teacher, curvature, rows, students
from torch import nn

import sparsefire as sf
from sparsefire import masks
from sparsefire.rules.directions import draw

STEPS, RATE = 3_000, 0.01
"""Gradient steps of 32 rows, with Adam, while noise is steered and weights are cut."""
QUERIES, ETA, FACTOR, SHARE = 256_000, 0.1, 0.3, 0.125
"""Losses of 32 rows that the queries may read; size of the noise; first m of the product; share of the largest rate."""
PAIRS, ROWS = 16, 32


def by_gradients(teacher: Teacher, number: int, width: int, weights: int) -> np.ndarray:
    """Return the mask [width, inputs] that ``method="synaptic-noise"`` leaves, with back-propagation through the noise.

    Args:
        teacher: to learn from, by fresh rows.
        number: of the replicate.
        width: units of the student.
        weights: how many the hidden layer keeps.
    """
    net = nn.Sequential(nn.Linear(INPUTS, width), nn.Tanh(), nn.Linear(width, 1))
    first = students([np.ones((width, INPUTS), bool)], [number], [1.0])
    with torch.no_grad():
        for layer, (b, w) in zip((net[0], net[2]), zip(*[iter(first.weights())] * 2, strict=True), strict=True):
            layer.weight.copy_(w[0, 0])
            layer.bias.copy_(b[0, 0])
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    topology = sf.sparsify(
        net, weights / (width * INPUTS), "synaptic-noise", optimizer=optimizer, steps=STEPS, layers=["0"], rng=number
    )
    rule, batches = sf.rules.Backprop(), rows([teacher], [1000 + number], ROWS)
    for _ in range(STEPS):
        x, y = next(batches)
        rule(net, nn.functional.mse_loss, x[0], y[0])
        optimizer.step()
        topology.step()
        optimizer.zero_grad()
    return masks.masked(net)["0"].weight.detach().numpy() != 0


def by_queries(teacher: Teacher, number: int, width: int, weights: int, queries: int = QUERIES) -> np.ndarray:
    """Return the mask of the largest |m w| after learning both factors of the hidden layer by two queries.

    Signs ±η move m, w and all other parameters at once; both sides are read, as in
    :func:`sparsefire.sparsity.noise.two_queries`, for ``PAIRS`` directions a step. No gradient is taken anywhere.
    """
    nets = students([np.ones((width, INPUTS), bool)], [number], [1.0])
    trace, largest = curvature(nets, torch.randn(512, INPUTS, generator=torch.Generator().manual_seed(1)))
    b, theta, a, v = (part[0, 0] for part in nets.weights())
    m = torch.full_like(theta, FACTOR)
    held = [m.flatten(), (theta / m).flatten(), b, a, v.flatten()]
    sizes, state = [len(part) for part in held], torch.cat(held)
    stream, batches = torch.Generator().manual_seed(number), rows([teacher], [1000 + number], ROWS)
    steps = queries // (2 * PAIRS)
    for step in range(steps):
        x, y = (part[0] for part in next(batches))
        signs = draw("rademacher", PAIRS, len(state), stream)
        losses = []
        for side in (ETA, -ETA):
            m, w, b, a, v = torch.add(state, signs, alpha=side).split(sizes, 1)
            hidden = (x @ (m * w).view(-1, width, INPUTS).mT + b[:, None]).tanh()
            losses.append((hidden @ v[:, :, None] + a[:, None] - y).square().mean((1, 2)))
        slopes = (losses[0] - losses[1]) / (2 * ETA * PAIRS)
        state = state - SHARE / (largest + trace / PAIRS) * (1 - step / steps) * (slopes @ signs)
    m, w = state.split(sizes)[:2]
    found = torch.zeros(width * INPUTS, dtype=torch.bool)
    found[(m * w).abs().topk(weights).indices] = True
    return found.view(width, INPUTS).numpy()

"""A sparse teacher and its students: who may see which inputs, first weights, fresh rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from dimension.engine import Nets, Shape
from torch import Tensor

INPUTS, UNITS, FAN_IN, NOISE = 20, 8, 4, 0.1
"""Of the teacher: inputs, units, inputs of each unit, deviation of the noise on its output (which has variance 1)."""
SLOPE = 3.0  # norm of the weights of a teacher's unit: bent enough that a linear fit leaves a quarter
JUDGED = 4_000  # fresh rows that the risk is measured on
BLOCK = 256  # steps drawn at once


@dataclass(frozen=True)
class Teacher:
    """f(x) = a · tanh(W x), scaled to variance 1 for normal inputs.

    Attributes:
        weights: W [units, inputs], ``FAN_IN`` of each row not zero.
        readout: a [units].
    """

    weights: Tensor
    readout: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return outputs [..., rows, 1] for inputs [..., rows, inputs]."""
        return (x @ self.weights.T).tanh() @ self.readout[:, None]

    @property
    def seen(self) -> np.ndarray:
        """Return which inputs a unit reads, bool [units, inputs]."""
        return self.weights.numpy() != 0


def teacher(replicate: int) -> Teacher:
    """Draw one; units read inputs of their own as far as there are any.

    >>> teacher(0).seen.sum(1).tolist()
    [4, 4, 4, 4, 4, 4, 4, 4]
    """
    rng = np.random.default_rng([replicate, 31])
    weights = np.zeros((UNITS, INPUTS), np.float32)
    for row in weights:
        row[rng.choice(INPUTS, FAN_IN, replace=False)] = rng.choice([-1, 1], FAN_IN) * rng.uniform(0.5, 1.5, FAN_IN)
    weights *= SLOPE / np.linalg.norm(weights, axis=1, keepdims=True)
    signs = rng.choice([-1.0, 1.0], UNITS).astype(np.float32)
    x = rng.standard_normal((20_000, INPUTS)).astype(np.float32)
    spread = (np.tanh(x @ weights.T) @ signs).std()
    return Teacher(torch.from_numpy(weights), torch.from_numpy(signs / spread))


def rows(teachers: list[Teacher], numbers: list[int], count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield fresh batches [replicates, count, inputs] and noisy targets for ever; a replicate's are its own."""
    streams = [np.random.default_rng([number, 32]) for number in numbers]
    while True:
        x = torch.from_numpy(
            np.stack([one.standard_normal((BLOCK, count, INPUTS), dtype=np.float32) for one in streams])
        )
        e = np.stack([one.standard_normal((BLOCK, count, 1), dtype=np.float32) for one in streams])
        y = torch.stack([one(part) for one, part in zip(teachers, x, strict=True)]) + NOISE * torch.from_numpy(e)
        for step in range(BLOCK):
            yield x[:, step], y[:, step]


def mask_of(kind: str, seen: np.ndarray, width: int, fan_in: int, rng: np.random.Generator) -> np.ndarray:
    """Return which inputs each unit of a student may read, bool [width, inputs].

    Args:
        kind: ``"oracle"``: unit j reads what unit j modulo the teacher's reads, and others at random up to ``fan_in``;
            ``"random"``: any; ``"dense"``: all.
        seen: of the teacher.
        width, fan_in: of the student.
        rng: draws the inputs.

    >>> found = mask_of("oracle", teacher(0).seen, 16, 8, np.random.default_rng(0))
    >>> found.sum(1).tolist() == [8] * 16 and bool((found[8:] >= teacher(0).seen).all())
    True
    """
    if kind == "dense":
        return np.ones((width, INPUTS), bool)
    found = np.zeros((width, INPUTS), bool)
    for j, row in enumerate(found):
        if kind == "oracle":
            row[seen[j % len(seen)]] = True
        row[rng.permutation(np.flatnonzero(~row))[: fan_in - row.sum()]] = True
    return found


def students(masks: list[np.ndarray], numbers: list[int], rates: list[float], adam: bool = False) -> Nets:
    """Return students with first weights of variance 1 / fan-in, no biases, and a readout of variance 1 / 4 units."""
    width = masks[0].shape[0]
    first = []
    for mask, number in zip(masks, numbers, strict=True):
        rng = np.random.default_rng([number, 33])
        weights = rng.standard_normal(mask.shape) * mask / np.sqrt(np.maximum(mask.sum(1, keepdims=True), 1))
        first.append([np.zeros(width), weights, np.zeros(1), rng.standard_normal((1, width)) / np.sqrt(4 * width)])
    parts = [torch.from_numpy(np.stack(part).astype(np.float32)) for part in zip(*first, strict=True)]
    shape = Shape(torch.from_numpy(np.stack(masks)), torch.ones(len(masks), 1, width, dtype=torch.bool))
    return Nets(shape, parts, rates, adam)


def curvature(nets: Nets, x: Tensor) -> tuple[float, float]:
    """Return the trace and the largest eigenvalue of the Gauss–Newton matrix where the networks begin.

    Args:
        nets: with one output; the mean over replicates is returned.
        x: inputs [rows, inputs].
    """
    found = [spectrum(nets, x, r) for r in range(nets.replicates)]
    return float(np.mean([one.sum() for one in found])), float(np.mean([one.max() for one in found]))


def spectrum(nets: Nets, x: Tensor, replicate: int) -> np.ndarray:
    """Return the eigenvalues of 2 E ∇f ∇fᵀ, without those that are zero for want of rows or weights."""
    _, _, _, v = (part[replicate, 0] for part in nets.weights())
    after = nets.forward(x.expand(nets.replicates, -1, -1))[1][replicate, 0]
    near = v[0] * (1 - after.square())  # [rows, units]
    mask = nets.shape.mask[replicate]
    slopes = (near[:, :, None] * x[:, None]).flatten(1)[:, mask.flatten()]
    every = torch.cat([near, slopes, after, torch.ones(len(x), 1)], 1).double() * (2 / len(x)) ** 0.5
    return torch.linalg.eigvalsh(every.T @ every if every.shape[1] < len(x) else every @ every.T).clamp_min(0).numpy()

"""Cones of units: what one unit reaches through sparse layers, as the compiled kernel reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsefire.rules._unit_wise_chain import CODES, Level


class Cones:
    """The levels above one level as the compiled kernel reads them."""

    def __init__(self, queries: Any, above: list[Level], known: list[tuple[str, float]]) -> None:
        from sparsefire.rules import _unit_wise_kernels as kernels

        self.queries, self.base = queries, above[-1].before.contiguous()
        weights = [level.weight.contiguous().numpy() for level in above]
        total = sum(queries.products[-len(above) :])
        self.values, self.outputs = np.empty(total, weights[0].dtype), np.empty(total, np.int64)
        self.columns = np.cumsum([0, *(weight.shape[1] + 1 for weight in weights)])
        self.starts, first = np.empty(self.columns[-1], np.int64), 0
        for at, weight in zip(self.columns, weights, strict=False):
            first = kernels.compress(weight, self.values, self.outputs, self.starts[at:], first)
        heights = [weight.shape[0] for weight in weights]
        self.places = np.cumsum([0, *heights[:-1]])
        self.before = torch.cat([level.before.T for level in above[:-1]]).contiguous().numpy()
        self.after = torch.cat([level.value.T for level in above[:-1]]).contiguous().numpy()
        self.codes = np.array([CODES.index(code) for code, _ in known], np.int64)
        self.slopes = np.array([slope for _, slope in known], weights[0].dtype)

    def __call__(self, units: Tensor, moves: Tensor) -> tuple[Tensor, Tensor]:
        from sparsefire.rules._unit_wise_kernels import collect, cones

        outputs = self.base.shape[1]
        shifts = torch.empty(len(units), outputs, moves.shape[1], dtype=moves.dtype)
        self.queries.work += cones(
            units.numpy(), moves.numpy(), self.values, self.outputs, self.starts, self.columns[:-1], self.places,
            self.before, self.after, self.codes, self.slopes, shifts.numpy(),
        )  # fmt: skip
        found = torch.empty(moves.numel(), outputs, dtype=moves.dtype)
        who = torch.empty(moves.numel(), dtype=torch.int64)
        count = collect(self.base.numpy(), moves.numpy(), shifts.numpy(), found.numpy(), who.numpy())
        return found[:count], who[:count]

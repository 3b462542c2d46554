"""Moves of the units of several levels at once, example by example: one matrix product per level for all from below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsefire.rules._unit_wise_chain import CODES, Level, simple


class Sweep:
    """Moved units of hidden levels from one on, and the outputs that they lead to.

    Args:
        levels: from the first whose units move, the last one among them.
        moves: [rows, hidden units], by level, zero for units that do not move.
    """

    def __init__(self, levels: Sequence[Level], moves: Tensor) -> None:
        self.moves, self.rows = moves.contiguous(), len(moves)
        self.before = torch.cat([level.before for level in levels], 1)
        self.after = torch.cat([level.value for level in levels[:-1]], 1)
        self.weights = torch.cat([level.weight.T.flatten() for level in levels[1:]])
        self.widths = np.array([level.before.shape[1] for level in levels], np.int64)
        known = [simple(level.after) or ("identity", 0.0) for level in levels[:-1]]
        self.codes = np.array([CODES.index(code) for code, _ in known], np.int64)
        self.slopes = np.array([slope for _, slope in known], self.moves.numpy().dtype)
        self.counts = self.moves.count_nonzero(1).numpy()

    @property
    def room(self) -> int:
        """Return the numbers that are held besides outputs while one example is swept."""
        widest = int(self.widths.max())
        return (3 * int(self.counts.max(initial=0)) + widest) * widest

    def blocks(self, pairs: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield outputs before their activation [n, outputs] and unit · rows + example, of about so many pairs."""
        from sparsefire.rules._unit_wise_kernels import sweep

        room = np.empty(self.room, self.slopes.dtype)
        moves, before, after, weights = (part.numpy() for part in (self.moves, self.before, self.after, self.weights))
        ends = np.cumsum(self.counts)
        marks = [0, *np.flatnonzero(np.diff(ends // pairs)) + 1, self.rows]
        for first, last in pairwise(dict.fromkeys(marks)):
            size = int(self.counts[first:last].sum())
            found, who = (
                torch.empty(size, self.widths[-1], dtype=self.moves.dtype),
                torch.empty(size, dtype=torch.int64),
            )
            with _blas().limit(limits=torch.get_num_threads(), user_api="blas"):
                sweep(
                    first, last, moves, before, after, weights, self.widths, self.codes, self.slopes, room,
                    found.numpy(), who.numpy(),
                )  # fmt: skip
            yield found, who


@lru_cache
def _blas() -> Any:
    """Return what sets the threads of the linear algebra that compiled kernels call, which torch does not know of."""
    import scipy.linalg.cython_blas  # noqa: F401  what compiled kernels call: loaded, so that it is found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

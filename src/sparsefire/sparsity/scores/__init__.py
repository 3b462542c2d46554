"""Which weight goes: scores by name. Every score gives one number per weight; the lowest go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sparsefire.sparsity.scores import activity, first_order, flow, plain, second_order
from sparsefire.sparsity.scores.fields import fields
from sparsefire.sparsity.setting import Setting


@dataclass(frozen=True)
class Score:
    """One way to rank weights.

    Attributes:
        name: as spelled in Python and on the command line.
        source: the paper.
        of: from a setting (its network is masked) and the key of the pruning to a score of every weight, by layer.
        needs: what it looks at: ``"data"``, a batch, and ``"loss"``, its loss; nothing by default.
        rounds: how many prunings lead from dense to a sparse start; 1 is one shot.
        inputs: whether it looks at what enters each layer, which linear layers and convolutions alone can show.
        chance: whether it is a draw, whose numbers say nothing across layers.
        compensate_: what a pruning does to the weights that stay, given the chosen masks by layer and the network as it
            was before; None where they stay as they are.
    """

    name: str
    source: str
    of: Callable[[Setting, Any], dict[str, Tensor]]
    needs: frozenset[str] = frozenset()
    rounds: int = 1
    inputs: bool = False
    chance: bool = False
    compensate_: Callable[[Setting, Mapping[str, Tensor]], None] | None = None


_LOSS = frozenset({"data", "loss"})
_INPUTS = frozenset({"data"})

SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("random", "arXiv:2210.02412", plain.random, chance=True),
        Score("fields", "this package", fields, _INPUTS, chance=True),
        Score("magnitude", "arXiv:1710.01878", plain.magnitude),
        Score("snip", "arXiv:1810.02340", first_order.snip, _LOSS),
        Score("grasp", "arXiv:2002.07376", first_order.grasp, _LOSS),
        Score("synflow", "arXiv:2006.05467", flow.synflow, rounds=flow.ROUNDS),
        Score("taylor", "arXiv:1906.10771", first_order.taylor, _LOSS),
        Score("wanda", "arXiv:2306.11695", activity.wanda, _INPUTS, inputs=True),
        Score("obc", "arXiv:2208.11580", second_order.obc, _INPUTS, inputs=True, compensate_=second_order.compensate_),
    )
}

"""Which weight goes: scores by name. Every score gives one number per weight; the lowest go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sparsefire.sparsity.scores import activity, first_order, flow, plain, second_order
from sparsefire.sparsity.setting import Setting


@dataclass(frozen=True)
class Score:
    """One way to rank weights.

    Attributes:
        name: as spelled in Python and on the command line.
        source: the paper.
        of: from a setting (its network is masked) and the key of the pruning to a score of every weight, by layer.
        data: whether it looks at ``setting.data`` and ``setting.loss``.
        rounds: how many prunings lead from dense to a sparse start; 1 is one shot.
        inputs: whether it looks at what enters each layer, which linear layers and convolutions alone can show.
        compensate_: what a pruning does to the weights that stay, given the chosen masks by layer and the network as it
            was before; None where they stay as they are.
    """

    name: str
    source: str
    of: Callable[[Setting, Any], dict[str, Tensor]]
    data: bool = False
    rounds: int = 1
    inputs: bool = False
    compensate_: Callable[[Setting, Mapping[str, Tensor]], None] | None = None


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("random", "arXiv:2210.02412", plain.random),
        Score("magnitude", "arXiv:1710.01878", plain.magnitude),
        Score("snip", "arXiv:1810.02340", first_order.snip, data=True),
        Score("grasp", "arXiv:2002.07376", first_order.grasp, data=True),
        Score("synflow", "arXiv:2006.05467", flow.synflow, rounds=flow.ROUNDS),
        Score("taylor", "arXiv:1906.10771", first_order.taylor, data=True),
        Score("wanda", "arXiv:2306.11695", activity.wanda, data=True, inputs=True),
        Score(
            "obc", "arXiv:2208.11580", second_order.obc, data=True, inputs=True, compensate_=second_order.compensate_
        ),
    )
}

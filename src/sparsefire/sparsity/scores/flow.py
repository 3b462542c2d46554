"""SynFlow: the part of the flow through a network that passes through each weight; no data."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.conserved import synflow_shares
from sparsefire.sparsity.setting import Setting

ROUNDS = 100
"""Prunings from dense to sparse; in a single one layers collapse."""


def synflow(setting: Setting, key: Any) -> dict[str, Tensor]:
    """Return |w| · ∂R/∂|w| / R by layer, for the flow R = 1ᵀ (∏_l |W_l|) 1 of an input of ones; float64.

    SynFlow (Tanaka et al., arXiv:2006.05467), in evaluation mode, without biases; see
    :func:`~sparsefire.propagation.conserved.synflow_shares`. The method prunes in 100 rounds to densities ρ^(r/100):
    since all layers have the same flow, and what enters a unit leaves it, no layer is emptied before its weights are
    the largest of all. A single round is another method, and empties layers.

    Args:
        setting: ``data`` gives the shape of an input, if there is any; its values are not looked at.
        key: unused.

    Raises:
        UserError: no data for a network that begins with a convolution, inputs that are not one tensor, a network
            that is not positively homogeneous, a flow beyond float64 in one with branches.

    >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    >>> for layer in net: _ = layer.weight.data.fill_(-1.0)
    >>> synflow(Setting(net), 0)["1"].tolist()
    [[0.5, 0.5]]
    """
    layers: dict[str, Any] = masks.maskable(setting.net, setting.layers)
    scores = synflow_shares(setting.net, _shape(setting, next(iter(layers.values()))))
    return {name: score.to(layers[name].weight.device) for name, score in scores.items() if name in layers}


def _shape(setting: Setting, first: nn.Module) -> tuple[int, ...] | None:
    if setting.data is None:
        if isinstance(first, nn.Linear):
            return None
        raise UserError(
            "SynFlow needs the shape of an input where the first layer is a convolution.",
            came="data=None",
            expected="sparsify(..., data=(x, y)); only the shape of x is used",
        )
    x = setting.data[0]
    if not isinstance(x, Tensor) or x.ndim < 2:
        raise UserError(
            "SynFlow sends ones through a network with one input.",
            came=f"inputs of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__,
            expected="one tensor of inputs, examples first",
        )
    return tuple(x.shape[1:])

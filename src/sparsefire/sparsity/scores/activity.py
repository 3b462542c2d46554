"""Wanda: weights by magnitude times the activity of their input."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from sparsefire import masks
from sparsefire.sparsity.scores import passes
from sparsefire.sparsity.setting import Setting


def wanda(setting: Setting, key: Any) -> dict[str, Tensor]:
    """Return |w_ij| · ‖x_j‖₂ by layer, the norm being over all examples of the batch.

    Wanda (Sun et al., arXiv:2306.11695), for trained networks, without an update of what stays. For a convolution x_j
    runs over examples and places, unfolded, padding included. The network is in evaluation mode.

    The paper ranks the weights of each unit apart: that is the pattern ``"fan-in"`` with the layout ``"uniform"``.
    With the unstructured pattern weights are ranked within layers, and with ``"global"`` across layers, whose
    activities have different units.

    Args:
        setting: with data; targets and loss are not looked at.
        key: unused.

    Raises:
        UserError: no data, inputs that are not finite, a layer that no input arrives at.

    >>> import torch
    >>> net = nn.Linear(2, 1, bias=False); _ = net.weight.data.copy_(torch.tensor([[1.0, -4.0]]))
    >>> data = (torch.tensor([[3.0, 1.0], [4.0, 0.0]]), None)
    >>> wanda(Setting(net, data=data), 0)[""].tolist()
    [[5.0, 4.0]]
    """
    total: dict[str, Tensor] = {}

    def take(name: str, module: nn.Module, x: Tensor) -> None:
        squares = x.double().square()
        squares = squares.reshape(-1, x.shape[-1]) if isinstance(module, nn.Linear) else squares
        arrived = passes.patches(module, squares.sum(0, keepdim=True)).sum(1)  # padding never adds to a square
        total[name] = total.get(name, 0.0) + arrived

    passes.watch_inputs(setting, take)
    scores = {}
    for name, module in masks.maskable(setting.net, setting.layers).items():
        weight: Any = module.weight
        norms = total[name].sqrt().repeat_interleave(len(weight) // len(total[name]), 0)  # units of a group share them
        scores[name] = weight.detach().abs() * norms.reshape(weight.shape)
    return passes.ready(scores)

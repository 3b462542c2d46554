"""Scores from gradients on one batch: SNIP, GraSP and Taylor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from sparsefire import masks
from sparsefire.sparsity.scores import passes
from sparsefire.sparsity.setting import Setting

TEMPERATURE = 200.0
"""What GraSP divides logits by."""

MINIBATCH = 32
"""Examples per gradient of the Taylor score."""


def snip(setting: Setting, key: Any) -> dict[str, Tensor]:
    """Return |w · ∂L/∂w| by layer: how fast the loss changes as a weight is switched off.

    SNIP (Lee, Ajanthan & Torr, arXiv:1810.02340): |∂L(c · w)/∂c| at c = 1, for one batch. The paper divides by the sum
    over all weights, which changes no order.

    Batch normalisation does as the mode of the network says (batch statistics in training mode); dropout is off.

    Args:
        setting: with data and loss.
        key: unused.

    Raises:
        UserError: no data, inputs that are not finite, a loss that is not one number, a frozen layer.

    >>> from torch import nn
    >>> net = nn.Linear(2, 1, bias=False); _ = net.weight.data.copy_(torch.tensor([[1.0, -4.0]]))
    >>> data = (torch.tensor([[1.0, 2.0]]), torch.tensor([0.0]))
    >>> snip(Setting(net, data=data, loss=lambda output, target: output.sum()), 0)[""]
    tensor([[1., 8.]])
    """
    x, y = passes.batch(setting)
    return passes.ready({name: score.abs() for name, score in _changes(setting, x, y).items()})


def taylor(setting: Setting, key: Any) -> dict[str, Tensor]:
    """Return (w · ∂L/∂w)² by layer, the squared first-order change of the loss as a weight goes, over minibatches.

    Molchanov et al. (arXiv:1906.10771, equation 8), for single weights and, as there, the mean over minibatches: here
    the batch in parts of at most 32 examples, for at the end of training the gradient over all of them is nearly zero.
    With one part it ranks as SNIP does; there it is for trained networks, here too.

    Args:
        setting: with data and loss, a mean over examples.
        key: unused.

    Raises:
        UserError: as :func:`snip`.

    >>> from torch import nn
    >>> net = nn.Linear(2, 1, bias=False); _ = net.weight.data.copy_(torch.tensor([[1.0, -4.0]]))
    >>> data = (torch.tensor([[1.0, 2.0]]), torch.tensor([0.0]))
    >>> taylor(Setting(net, data=data, loss=lambda output, target: output.sum()), 0)[""]
    tensor([[ 1., 64.]])
    """
    total: dict[str, Tensor] = {}
    parts = passes.parts_of(*passes.batch(setting), MINIBATCH)
    for x, y in parts:
        for name, change in _changes(setting, x, y).items():
            total[name] = total.get(name, 0.0) + change.square() / len(parts)
    return passes.ready(total)


def grasp(setting: Setting, key: Any) -> dict[str, Tensor]:
    """Return w · (H g) by layer: what the squared norm of the gradient, halved, loses as a weight goes, to first order.

    GraSP (Wang, Zhang & Grosse, arXiv:2002.07376). Its score of removal S = −w · H g is the change of ½‖g‖² under
    δ = −w, and the weights with the largest S go, those whose removal lowers the flow of gradients least, or raises it
    most. Here the lowest go, so the sign is turned. g and H are those of present weights of linear and convolutional
    layers alone. As in the paper, logits are divided by 200; that is done where targets are classes (integers), and
    not for a regression.

    Batch normalisation and dropout as for :func:`snip`.

    Args:
        setting: with data and loss.
        key: unused.

    Raises:
        UserError: as :func:`snip`.

    >>> from torch import nn
    >>> net = nn.Linear(2, 1, bias=False); _ = net.weight.data.copy_(torch.tensor([[1.0, -4.0]]))
    >>> data = (torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]]))
    >>> grasp(Setting(net, data=data, loss=nn.MSELoss()), 0)[""]  # H = 2 x xᵀ, g = −14 x
    tensor([[-140., 1120.]])
    """
    x, y = passes.batch(setting)
    classes = isinstance(y, Tensor) and not y.is_floating_point()
    net = setting.net
    # Fused attention has no second derivative.
    with torch.enable_grad(), passes.quiet(net, setting.rng), sdpa_kernel(SDPBackend.MATH):
        weights = passes.effective_weights(net)
        present = masks.masks(net)
        loss = passes.mean_loss(setting, x, y, TEMPERATURE if classes else 1.0)
        first = passes.slopes(loss, list(weights.values()), graph=True)
        first = [one * present[name] if name in present else one for one, name in zip(first, weights, strict=True)]
        norm = torch.stack([(one.detach() * one).sum() for one in first]).sum()
        second = passes.slopes(norm, list(weights.values()))
    return passes.ready({name: w * one for (name, w), one in zip(weights.items(), second, strict=True)})


def _changes(setting: Setting, x: Any, y: Any) -> dict[str, Tensor]:
    """Return w · ∂L/∂w by layer."""
    with torch.enable_grad(), passes.quiet(setting.net, setting.rng):
        weights = passes.effective_weights(setting.net)
        found = passes.slopes(passes.mean_loss(setting, x, y), list(weights.values()))
    return {name: (w * slope).detach() for (name, w), slope in zip(weights.items(), found, strict=True)}

"""A copy of a network to look at: plain weights, whatever made them, and which of them exist."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.init.walk import Layer, layers_of


@dataclass(frozen=True, eq=False)
class Plain:
    """A network without masks, parametrisations and pruning hooks, that computes the same.

    Attributes:
        net: the copy, on the CPU, evaluating; batch normalisation takes the batch at hand, since its running statistics
            mean nothing before training.
        layers: its linear and convolutional layers by name.
        exists: name → bool tensor of the weight's shape, True where a weight exists: by mask where there is one, else
            where it is not zero; all of a layer that starts at zero.
        idle: layers that start at zero. In the copy they are drawn with variance 1 / fan-in, as they may soon be:
            nothing can be seen through zeros.
    """

    net: nn.Module
    layers: dict[str, Layer]
    exists: dict[str, Tensor]
    idle: tuple[str, ...]


@torch.no_grad()
def plain_copy(net: nn.Module, dtype: torch.dtype, generator: torch.Generator) -> Plain:
    """Return a plain copy of a network, which is left as it is.

    Args:
        net: any network with linear or convolutional layers; masked by ``sparsify`` or ``torch.nn.utils.prune``, with
            weight norm or other parametrisations, or none of these.
        dtype: of the copy.
        generator: draws what starts at zero.

    Raises:
        UserError: no layers, a network that cannot be copied.

    >>> net = nn.Sequential(nn.Linear(4, 2))
    >>> prune.l1_unstructured(net[0], "weight", 0.5) is net[0]
    True
    >>> found = plain_copy(net, torch.float64, torch.Generator())
    >>> int(found.exists["0"].sum()), type(found.net[0].weight).__name__
    (4, 'Parameter')
    """
    given = {layer.name: layer for layer in layers_of(net)}
    shown = {name: _shown(layer) for name, layer in given.items()}
    twin = masks.bake(_copied(net)).to("cpu", dtype).eval()
    for module in twin.modules():
        with torch.enable_grad():  # else torch leaves no Parameter behind
            _make_plain(module)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    layers = {layer.name: layer for layer in layers_of(twin)}
    exists, idle = {}, []
    for name, layer in layers.items():
        weight: Any = layer.module.weight
        mask = shown[name]
        kept: Tensor = weight != 0 if mask is None else mask
        if mask is None and not bool(kept.any()):
            idle.append(name)
            kept = torch.ones_like(weight, dtype=torch.bool)
            drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight.copy_(drawn / max(1, weight[0].numel()) ** 0.5)
        exists[name] = kept
    for parameter in twin.parameters():
        parameter.data = parameter.data.contiguous()  # not channels last: views are taken
        parameter.requires_grad_(parameter.is_floating_point())
    return Plain(twin, layers, exists, tuple(idle))


def _shown(layer: Layer) -> Tensor | None:
    if layer.mask is not None:
        return layer.mask.detach().cpu().clone()
    pruned: Any = getattr(layer.module, "weight_mask", None)
    return pruned.detach().cpu() != 0 if isinstance(pruned, Tensor) else None


def _copied(net: nn.Module) -> nn.Module:
    made: dict[int, Any] = {}  # tensors that hooks have computed cannot be copied by torch: hand their values over
    for module in net.modules():
        for value in module.__dict__.values():
            if isinstance(value, Tensor) and not value.is_leaf:
                made[id(value)] = value.detach().clone()
    try:
        return copy.deepcopy(net, made)
    except Exception as error:  # whatever the user's own modules hold
        raise UserError(
            "this network cannot be copied, and it is looked at in a copy.",
            came=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            expected="a network that copy.deepcopy takes",
        ) from error


def _make_plain(module: nn.Module) -> None:
    if parametrize.is_parametrized(module):
        for name in list(module.parametrizations):  # type: ignore[arg-type]
            masks.own_class(module)
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    for hook in list(module._forward_pre_hooks.values()):
        if isinstance(hook, prune.BasePruningMethod):
            prune.remove(module, hook._tensor_name)
        elif type(hook).__name__ == "WeightNorm" and hasattr(hook, "name"):
            nn.utils.remove_weight_norm(module, hook.name)

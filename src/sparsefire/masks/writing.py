"""What changes a masked network: masks come, move and go; weights are set through them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsefire.errors import UserError
from sparsefire.masks.groups import leave_
from sparsefire.masks.parametrisation import CHAIN, Masked, mask_of, masking, own_parameter
from sparsefire.masks.projection import Projection, remove_hook
from sparsefire.masks.reading import masked


@torch.no_grad()
def attach_(module: nn.Module, mask: Tensor | Masked) -> None:
    """Give a layer a mask (or a parametrisation that is one). Its Parameter stays the same object, for the optimizer.

    Raises:
        UserError: the layer is masked already, or the shape does not fit.

    >>> net = nn.Linear(2, 1); before = net.weight
    >>> attach_(net, torch.ones(1, 2, dtype=torch.bool)); net.parametrizations.weight.original is before
    True
    """
    own = mask if isinstance(mask, Masked) else Masked(mask.clone())
    if mask_of(module) is not None:
        raise UserError("this layer is masked already.", expected="a plain network", attempt="sf.bake(net) first")
    if own.mask.shape != module.weight.shape:
        raise UserError(
            f"a mask must have the shape of its weight {tuple(module.weight.shape)}.",  # type: ignore[arg-type]
            came=f"a mask of shape {tuple(own.mask.shape)}",
        )
    own.mask = own.mask.to(module.weight.device)  # type: ignore[arg-type]
    own.kept = own.kept.to(module.weight)  # type: ignore[arg-type]
    held: Any = module._parameters.get("weight")
    if held is not None:  # torch writes by set_, after which nobody hears of its gradient: see stand_in
        module._parameters["weight"] = stand_in(held)
    parametrize.register_parametrization(module, "weight", own)
    if held is not None:
        chain: Any = module.parametrizations["weight"]  # type: ignore[index]
        chain._parameters["original"] = held.copy_(chain.original)
    module.register_load_state_dict_pre_hook(_accept_dense)
    if isinstance(module, Projection):
        module.open_()


def stored_weight(module: nn.Module) -> Tensor:
    """Return the weight as :func:`write_weight_` sets it: masked, but before what the devices of a chip make of it.

    >>> net = nn.Linear(2, 1, bias=False); stored_weight(net) is net.weight
    True
    """
    if not _devices(module):
        return module.weight  # type: ignore[return-value]
    weight: Tensor = own_parameter(module)
    for part in module.parametrizations["weight"]:  # type: ignore[index]
        weight = weight if getattr(part, "stores", False) else part(weight)
    return weight


def _devices(module: nn.Module) -> bool:
    """Whether a parametrisation stores a number of its own and says so by ``stores``: what it does is not undone."""
    chain: Any = module.parametrizations["weight"] if parametrize.is_parametrized(module, "weight") else ()  # type: ignore[index]
    return any(getattr(part, "stores", False) for part in chain)


@torch.no_grad()
def write_weight_(module: nn.Module, weight: Tensor) -> None:
    """Set the effective weight of a layer, through whatever parametrisation it has. Masked entries become zero.

    Under the constraints of a chip it is the number that is stored; devices then make of it what they do.

    >>> net = nn.Linear(2, 1, bias=False); attach_(net, torch.tensor([[True, False]]))
    >>> write_weight_(net, torch.tensor([[5.0, 7.0]])); net.weight.tolist()
    [[5.0, 0.0]]
    """
    if parametrize.is_parametrized(module, "weight"):
        for part in reversed(module.parametrizations["weight"]):  # type: ignore[index]
            weight = weight if getattr(part, "stores", False) else part.right_inverse(weight)
        own_parameter(module).copy_(weight)
    else:
        module.weight.copy_(weight)  # type: ignore[operator]


@torch.no_grad()
def write_mask_(module: nn.Module, mask: Tensor) -> None:
    """Replace the mask of a masked layer; weights that leave become zero, weights that are new start at zero.

    Moments are the optimizer's: :func:`clear_moments_` is called by whoever moves the mask.

    >>> net = nn.Linear(2, 1, bias=False); attach_(net, torch.tensor([[True, False]]))
    >>> write_mask_(net, torch.tensor([[False, True]])); net.weight.abs().tolist()
    [[0.0, 0.0]]
    """
    own = mask_of(module)
    if own is None:
        raise UserError("this layer has no mask to replace.", expected="a layer that sparsify has masked")
    stays = own.mask & mask
    fresh = mask & ~own.mask
    own.write_(mask)
    for parameter in (own_parameter(module), *own.factors()):
        parameter.mul_(stays)
    own.awaken_(fresh, own_parameter(module))


def bake(net: nn.Module, optimizer: torch.optim.Optimizer | None = None, scheduler: Any = None) -> nn.Module:
    """Turn a masked network into a plain one with exact zeros, in place, and return it.

    The Parameters stay the same objects, so an optimizer goes on; nothing keeps the zeros any longer, the hook of
    :func:`keep_zero` included. A network knows no optimizer: one that is to go on where a method has added parameters,
    such as the second factor of m · w, is given here. It then is what it was before ``sparsify``: parameters that the
    network no longer has leave it with their state, weights that were moved to a group without decay return to their
    own, and forget the moments of what they were if they were factors.

    Args:
        net: masked; anything else stays as it is.
        optimizer, scheduler: those in use, if they go on; the scheduler also where it was made after ``sparsify``.

    >>> net = nn.Linear(2, 1, bias=False); attach_(net, torch.tensor([[True, False]]))
    >>> type(bake(net)).__name__, net.weight[0, 1].item()
    ('Linear', 0.0)
    """
    gone: list[nn.Parameter] = []
    back: list[nn.Parameter] = []
    for module in masked(net).values():
        own = masking(module)
        factored = optimizer is not None and type(own) is not Masked
        before: Any = own_parameter(module).detach().clone() if factored else None
        gone += own.parameters()
        own_class(module)
        weight: Any = own_parameter(module)
        module.parametrizations["weight"]._parameters["original"] = stand_in(weight)  # type: ignore[index,union-attr]
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        weight.data.copy_(module.weight)
        module._parameters["weight"] = weight
        for other in [name for name in module._parameters if name != "weight"]:  # the order of a plain twin
            module._parameters[other] = module._parameters.pop(other)
        weight.data.masked_fill_(~own.mask, 0.0)  # 0 · w is −0 for a negative w and NaN for one that diverged
        remove_hook(module, _accept_dense)
        if isinstance(module, Projection):
            module.close_()
        back.append(weight)
        if before is not None and not torch.equal(before, weight):
            optimizer.state.pop(weight, None)  # type: ignore[union-attr]
    if optimizer is not None:
        leave_(optimizer, scheduler, gone, back)
    return net


def stand_in(parameter: nn.Parameter) -> nn.Parameter:
    """Return a copy for torch to write to while parametrisations come or go.

    ``torch.nn.utils.parametrize`` replaces values by ``set_``. After that a Parameter gets its gradients another way,
    and who listened there, ``DistributedDataParallel`` above all, hears no more: processes drift apart.

    >>> weight = nn.Parameter(torch.ones(2)); torch.equal(stand_in(weight), weight), stand_in(weight) is weight
    (True, False)
    """
    return nn.Parameter(parameter.detach().clone(), requires_grad=parameter.requires_grad)


def own_class(module: nn.Module) -> None:
    """Part a copied layer from the class it shares with its original: torch takes the parametrisation off the class."""
    shared = type(module)
    module.__class__ = type(shared.__name__, shared.__bases__, dict(shared.__dict__))


def _accept_dense(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Let a masked layer load the ``weight`` of a dense checkpoint: the mask stays, the weight passes through it."""
    dense = state_dict.get(prefix + "weight")
    if dense is None or mask_of(module) is None:
        return
    if dense.shape != own_parameter(module).shape:
        return  # left in place: torch then reports the unexpected key and the missing ones
    del state_dict[prefix + "weight"]
    write_weight_(module, dense.to(own_parameter(module)))
    for name, value in module.parametrizations["weight"].state_dict().items():  # type: ignore[index,union-attr]
        state_dict[prefix + CHAIN + name] = value.clone()

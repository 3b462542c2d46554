"""Masks: the one protocol by which torch networks show and accept which of their weights exist.

A masked layer carries a :class:`Masked` parametrisation on its ``weight``. The optimizer keeps holding the very same
Parameter as before; the layer computes with ``mask * weight``; entries outside the mask are exactly zero after every
optimizer step, and so are their moments (:func:`keep_zero`). Rooms above read through :func:`active`, :func:`masks` and
:func:`density`; only ``sparsity`` writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsefire.errors import UserError

_MASKABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CHAIN = "parametrizations.weight."


class Masked(nn.Module):
    """Parametrisation ``weight -> mask * weight``.

    Args:
        mask: bool tensor of the weight's shape, True where a weight exists; kept as a buffer.

    The attribute ``dense_gradient`` is set by a topology for one backward pass: the forward value is the same, but the
    gradient then reaches every entry, which is how missing connections show whether they would help. Data-parallel
    training averages that gradient like any other.

    >>> Masked(torch.tensor([True, False]))(torch.tensor([2.0, 3.0]))
    tensor([2., 0.])
    """

    mask: Tensor
    kept: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        if mask.dtype != torch.bool:
            raise TypeError(f"a mask must be a bool tensor. Got {mask.dtype}")
        self.register_buffer("mask", mask)
        # The same mask as numbers: multiplying by bool is eight times slower. Not stored; follows the weight's dtype.
        self.register_buffer("kept", mask.to(torch.get_default_dtype()), persistent=False)
        self.dense_gradient = False

    def forward(self, weight: Tensor) -> Tensor:
        masked = weight * self.kept
        return weight + (masked - weight).detach() if self.dense_gradient else masked

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight * self.kept

    @torch.no_grad()
    def write_(self, mask: Tensor) -> None:
        """Take another mask."""
        self.mask.copy_(mask)
        self.kept.copy_(mask)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self.kept.copy_(self.mask)

    def factors(self) -> Iterator[nn.Parameter]:
        """Yield parameters of the parametrisation itself that live on the mask: one for a product, none here."""
        yield from self.parameters(recurse=False)


def layers(net: nn.Module) -> dict[str, nn.Module]:
    """Return the layers whose weights can be masked: linear and convolutional ones, by name, in order.

    Biases, normalisation and embeddings stay dense.

    >>> list(layers(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))))
    ['0']
    """
    return {name: module for name, module in net.named_modules() if isinstance(module, _MASKABLE)}


def mask_of(module: nn.Module) -> Masked | None:
    """Return the masking parametrisation of a layer, or None.

    >>> mask_of(nn.Linear(2, 2)) is None
    True
    """
    if not parametrize.is_parametrized(module, "weight"):
        return None
    for parametrisation in module.parametrizations["weight"]:  # type: ignore[index]
        if isinstance(parametrisation, Masked):
            return parametrisation
    return None


def masks(net: nn.Module) -> dict[str, Tensor]:
    """Return the masks by layer name; layers without a mask are left out. The tensors are the live buffers.

    >>> masks(nn.Linear(2, 2))
    {}
    """
    found = ((name, mask_of(module)) for name, module in layers(net).items())
    return {name: masked.mask for name, masked in found if masked is not None}


def active(net: nn.Module) -> dict[nn.Parameter, Tensor | None]:
    """Return, for every parameter of the network, the mask it lives on, or None if all of it is active.

    >>> net = nn.Linear(2, 1, bias=False)
    >>> attach_(net, torch.tensor([[True, False]]))
    >>> [mask.tolist() for mask in active(net).values()]
    [[[True, False]]]
    """
    found: dict[nn.Parameter, Tensor | None] = dict.fromkeys(net.parameters())
    for module in layers(net).values():
        masked = mask_of(module)
        if masked is not None:
            found[_original(module)] = masked.mask
            found.update(dict.fromkeys(masked.factors(), masked.mask))
    return found


def density(net: nn.Module) -> float:
    """Return the share of weights that exist: by mask where there is one, by value (non-zero) elsewhere.

    Only weights of linear and convolutional layers count.

    >>> net = nn.Linear(4, 1)
    >>> attach_(net, torch.tensor([[True, False, False, False]]))
    >>> density(net)
    0.25
    """
    kept = total = 0
    for module in layers(net).values():
        masked = mask_of(module)
        entries: Any = masked.mask if masked is not None else module.weight
        kept += int(entries.count_nonzero())
        total += entries.numel()
    if not total:
        raise UserError("this network has no linear or convolutional layer.", came=type(net).__name__)
    return kept / total


@torch.no_grad()
def attach_(module: nn.Module, mask: Tensor | Masked) -> None:
    """Give a layer a mask (or a parametrisation that is one). Its Parameter stays the same object, for the optimizer.

    Raises:
        UserError: the layer is masked already, or the shape does not fit.

    >>> net = nn.Linear(2, 1); before = net.weight
    >>> attach_(net, torch.ones(1, 2, dtype=torch.bool)); net.parametrizations.weight.original is before
    True
    """
    masked = mask if isinstance(mask, Masked) else Masked(mask.clone())
    if mask_of(module) is not None:
        raise UserError("this layer is masked already.", expected="a plain network", attempt="sf.bake(net) first")
    if masked.mask.shape != module.weight.shape:
        raise UserError(
            f"a mask must have the shape of its weight {tuple(module.weight.shape)}.",  # type: ignore[arg-type]
            came=f"a mask of shape {tuple(masked.mask.shape)}",
        )
    masked.mask = masked.mask.to(module.weight.device)  # type: ignore[arg-type]
    masked.kept = masked.kept.to(module.weight)  # type: ignore[arg-type]
    parametrize.register_parametrization(module, "weight", masked)
    module.register_load_state_dict_pre_hook(_accept_dense)


@torch.no_grad()
def write_weight_(module: nn.Module, weight: Tensor) -> None:
    """Set the effective weight of a layer, through whatever parametrisation it has. Masked entries become zero.

    >>> net = nn.Linear(2, 1, bias=False); attach_(net, torch.tensor([[True, False]]))
    >>> write_weight_(net, torch.tensor([[5.0, 7.0]])); net.weight.tolist()
    [[5.0, 0.0]]
    """
    if parametrize.is_parametrized(module, "weight"):
        module.weight = weight
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
    masked = mask_of(module)
    if masked is None:
        raise UserError("this layer has no mask to replace.", expected="a layer that sparsify has masked")
    stays = masked.mask & mask
    masked.write_(mask)
    for parameter in (_original(module), *masked.factors()):
        parameter.mul_(stays)


@torch.no_grad()
def zero_masked_(net: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Set masked weights, and their moments in the optimizer, to exactly zero."""
    _zero(_masked_parameters(net), optimizer)


def keep_zero(net: nn.Module, optimizer: torch.optim.Optimizer) -> Any:
    """Register the hook that zeroes masked weights and moments after every step of the optimizer; return its handle.

    Momentum, Adam's moments and weight decay otherwise revive or drift masked entries. Any per-weight state with the
    shape of its parameter counts as a moment. A training that diverged stays visible until :func:`bake`:
    0 · NaN is NaN.

    >>> net = nn.Linear(2, 1); attach_(net, torch.tensor([[True, False]]))
    >>> handle = keep_zero(net, torch.optim.SGD(net.parameters(), lr=0.1)); handle.remove()
    """
    held = _masked_parameters(net)  # buffers are live: mask moves are seen

    def after_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        _zero([entry for entry in held if mask_of(entry[0]) is entry[2]], optimizer)  # a baked layer is no longer held

    return optimizer.register_step_post_hook(after_step)


@torch.no_grad()
def clear_moments_(net: nn.Module, optimizer: torch.optim.Optimizer, fresh: dict[str, Tensor]) -> None:
    """Zero the moments of weights that have just been grown.

    Args:
        fresh: layer name → bool tensor, True where a weight is new.
    """
    found = layers(net)
    for name, new in fresh.items():
        module = found[name]
        masked = mask_of(module)
        parameters = (_original(module), *(masked.factors() if masked is not None else ()))
        for parameter in parameters:
            for moment in _moments(parameter, optimizer):
                moment.mul_(~new)


def dense_state_dict(net: nn.Module) -> dict[str, Tensor]:
    """Return the state of the plain network: effective weights with exact zeros, no masks, the names a dense twin has.

    >>> net = nn.Linear(2, 1); attach_(net, torch.tensor([[True, False]]))
    >>> sorted(dense_state_dict(net))
    ['bias', 'weight']
    """
    state = net.state_dict()
    for name, module in layers(net).items():
        if mask_of(module) is not None:
            prefix = f"{name}." if name else ""
            state = {key: value for key, value in state.items() if not key.startswith(prefix + _CHAIN)}
            weight: Any = module.weight
            state[prefix + "weight"] = weight.detach().clone()
    return state


def bake(net: nn.Module) -> nn.Module:
    """Turn a masked network into a plain one with exact zeros, in place, and return it.

    The Parameters stay the same objects, so an optimizer goes on; nothing keeps the zeros any longer, the hook of
    :func:`keep_zero` included.

    >>> net = nn.Linear(2, 1, bias=False); attach_(net, torch.tensor([[True, False]]))
    >>> type(bake(net)).__name__, net.weight[0, 1].item()
    ('Linear', 0.0)
    """
    for module in layers(net).values():
        masked = mask_of(module)
        if masked is not None:
            own_class(module)
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
            weight: Any = module.weight
            for other in [name for name in module._parameters if name != "weight"]:  # the order of a plain twin
                module._parameters[other] = module._parameters.pop(other)
            weight.data.masked_fill_(~masked.mask, 0.0)  # 0 · w is −0 for a negative w and NaN for one that diverged
            for key, hook in list(module._load_state_dict_pre_hooks.items()):
                if getattr(hook, "hook", hook) is _accept_dense:
                    del module._load_state_dict_pre_hooks[key]
    return net


def own_class(module: nn.Module) -> None:
    """Part a copied layer from the class it shares with its original: torch takes the parametrisation off the class."""
    shared = type(module)
    module.__class__ = type(shared.__name__, shared.__bases__, dict(shared.__dict__))


def _original(module: nn.Module) -> nn.Parameter:
    if parametrize.is_parametrized(module, "weight"):
        return module.parametrizations["weight"].original  # type: ignore[index,union-attr]
    return module.weight  # type: ignore[return-value]


def _masked_parameters(net: nn.Module) -> list[tuple[nn.Module, nn.Parameter, Masked]]:
    found: list[tuple[nn.Module, nn.Parameter, Masked]] = []
    for module in layers(net).values():
        masked = mask_of(module)
        if masked is not None:
            found += [(module, parameter, masked) for parameter in (_original(module), *masked.factors())]
    return found


def _moments(parameter: nn.Parameter, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    state = optimizer.state.get(parameter, {})
    return [value for value in state.values() if isinstance(value, Tensor) and value.shape == parameter.shape]


@torch.no_grad()
def _zero(entries: list[tuple[nn.Module, nn.Parameter, Masked]], optimizer: torch.optim.Optimizer | None) -> None:
    values: list[Tensor] = []
    kept: list[Tensor] = []
    for _, parameter, masked in entries:
        held = [parameter, *(_moments(parameter, optimizer) if optimizer is not None else ())]
        values += held
        kept += [masked.kept] * len(held)
    if values:
        torch._foreach_mul_(values, kept)


def _accept_dense(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Let a masked layer load the ``weight`` of a dense checkpoint: the mask stays, the weight passes through it."""
    dense = state_dict.get(prefix + "weight")
    if dense is None or mask_of(module) is None:
        return
    if dense.shape != _original(module).shape:
        return  # left in place: torch then reports the unexpected key and the missing ones
    del state_dict[prefix + "weight"]
    write_weight_(module, dense.to(_original(module)))
    for name, value in module.parametrizations["weight"].state_dict().items():  # type: ignore[index,union-attr]
        state_dict[prefix + _CHAIN + name] = value.clone()

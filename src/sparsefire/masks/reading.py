"""What a network shows: which layers can be masked, which are, by which masks, and how many weights that leaves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.masks.parametrisation import CHAIN, mask_of, masking, own_parameter
from sparsefire.masks.projection import PROJECTIONS, Projection, child_name

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TABLES = (nn.Embedding, nn.EmbeddingBag)
_WHEN_NAMED = (*_TABLES, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def layers(net: nn.Module) -> dict[str, nn.Module]:
    """Return the linear and convolutional layers, by name, in order, masked or not.

    >>> list(layers(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))))
    ['0']
    """
    return {name: module for name, module in net.named_modules() if isinstance(module, _LAYERS)}


def maskable(net: nn.Module, names: Iterable[str] | None = None) -> dict[str, nn.Module]:
    """Return the layers whose weights are to be masked, by name, in order.

    Args:
        net: any network.
        names: of the layers wanted; the order does not matter. None takes all linear layers, convolutions and
            attention projections (:class:`Projection`, such as ``"self_attn.in_proj"``). Embeddings and transposed
            convolutions stay dense unless named; biases and normalisation always do.

    Raises:
        UserError: a name that is no such layer, or no name at all; an embedding whose gradients are sparse, or whose
            rows are renormalised in place: neither passes through a mask.

    >>> net = nn.ModuleDict({"words": nn.Embedding(9, 4), "look": nn.MultiheadAttention(4, 2), "out": nn.Linear(4, 9)})
    >>> list(maskable(net))
    ['look.in_proj', 'look.out_proj', 'out']
    >>> list(maskable(net, ["words", "look.in_proj"]))
    ['words', 'look.in_proj']
    """
    found = dict(_all_layers(net))
    if names is None:
        return {name: module for name, module in found.items() if not isinstance(module, _WHEN_NAMED)}
    if isinstance(names, str):
        raise UserError("layers are given by their names.", came=repr(names), expected=f"a list, [{names!r}]")
    wanted = list(names) if isinstance(names, Iterable) else [names]
    if not all(isinstance(name, str) for name in wanted):
        raise UserError("layers are given by their names.", came=repr(names)[:60], expected="a list of names, or None")
    unknown = [name for name in wanted if name not in found]
    if unknown or not wanted:
        raise UserError(
            f"there is no layer {unknown[0]!r} with weights to mask." if unknown else "no layer is named.",
            came=repr(unknown[0]) if unknown else "an empty list",
            expected=f"some of {', '.join(map(repr, found))}" if found else "a network with such layers",
        )
    for name in wanted:
        for option in ("sparse", "max_norm"):
            if isinstance(found[name], _TABLES) and getattr(found[name], option):
                raise UserError(
                    f"a mask does not go with {option}= of the embedding {name!r}.",
                    came=f"{option}={getattr(found[name], option)}",
                    expected="an embedding without it, or one left dense",
                )
    return {name: module for name, module in found.items() if name in wanted}


def masked(net: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that carry a mask, by name, in order.

    >>> from sparsefire.masks import attach_
    >>> net = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1))
    >>> attach_(net[0], torch.tensor([[True, False]])); list(masked(net))
    ['0']
    """
    return {name: module for name, module in _all_layers(net) if mask_of(module) is not None}


def masks(net: nn.Module) -> dict[str, Tensor]:
    """Return the masks by layer name; layers without a mask are left out. The tensors are the live buffers.

    >>> masks(nn.Linear(2, 2))
    {}
    """
    return {name: masking(module).mask for name, module in masked(net).items()}


def active(net: nn.Module) -> dict[nn.Parameter, Tensor | None]:
    """Return, for every parameter of the network, the mask it lives on, or None if all of it is active.

    >>> from sparsefire.masks import attach_
    >>> net = nn.Linear(2, 1, bias=False)
    >>> attach_(net, torch.tensor([[True, False]]))
    >>> [mask.tolist() for mask in active(net).values()]
    [[[True, False]]]
    """
    found: dict[nn.Parameter, Tensor | None] = dict.fromkeys(net.parameters())
    for module in masked(net).values():
        own = masking(module)
        found[own_parameter(module)] = own.mask
        found.update(dict.fromkeys(own.factors(), own.mask))
    return found


def density(net: nn.Module) -> float:
    """Return the share of weights that exist: by mask where there is one, by value (non-zero) elsewhere.

    Weights of linear and convolutional layers and of attention projections count, and whatever else has a mask.

    >>> from sparsefire.masks import attach_
    >>> net = nn.Linear(4, 1)
    >>> attach_(net, torch.tensor([[True, False, False, False]]))
    >>> density(net)
    0.25
    """
    kept = total = 0
    for module in {**maskable(net), **masked(net)}.values():
        own = mask_of(module)
        entries: Any = own.mask if own is not None else module.weight
        kept += int(entries.count_nonzero())
        total += entries.numel()
    if not total:
        raise UserError("this network has no linear or convolutional layer.", came=type(net).__name__)
    return kept / total


@torch.no_grad()
def dense_state_dict(net: nn.Module) -> dict[str, Tensor]:
    """Return the state of the plain network: effective weights with exact zeros, no masks, the names a dense twin has.

    >>> from sparsefire.masks import attach_
    >>> net = nn.Linear(2, 1); attach_(net, torch.tensor([[True, False]]))
    >>> sorted(dense_state_dict(net))
    ['bias', 'weight']
    """
    state = net.state_dict()
    for name, module in masked(net).items():
        prefix = f"{name}." if name else ""
        state = {key: value for key, value in state.items() if not key.startswith(prefix + CHAIN)}
        weight: Any = module.weight
        plain = f"{name}_weight" if isinstance(module, Projection) else prefix + "weight"
        state[plain] = weight.detach().clone()
    return state


def _all_layers(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield every layer that can be masked, in an order that attaching does not change."""
    for name, module in net.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            for attribute in PROJECTIONS:
                called = child_name(attribute)
                layer = module._modules.get(called)
                if not isinstance(layer, Projection):
                    if module._parameters.get(attribute) is None:
                        continue
                    layer = Projection(module, attribute)
                yield f"{name}.{called}" if name else called, layer
        elif isinstance(module, (*_LAYERS, *_WHEN_NAMED)):
            yield name, module

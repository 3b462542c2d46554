"""Which networks are chains of sparse linear layers, and where their weights stand: what compiled queries need.

Any other network is asked with dense weights, and so is a chain that has too many weights for this to pay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as modules
from torch.nn.utils import parametrize
from torch.utils.weak import WeakIdKeyDictionary

from sparsefire.masks.parametrisation import Masked, mask_of, own_parameter
from sparsefire.rules.active import Active, true_places

SHARE = 0.3
"""Share of weights up to which leaving out absent ones pays, measured on one thread.

Dense products take half more time there at 512 rows and more with fewer; times are even at 0.5. They are shared out
among threads, and compiled queries are not.
"""

_ELEMENTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.Softplus, nn.Hardtanh, nn.ReLU6,
)  # fmt: skip
_COMPILED = (torch.float32, torch.float64)
_LISTS: WeakIdKeyDictionary = WeakIdKeyDictionary()  # mask → (its version, starts, columns): masks seldom move

_Chain = list[tuple[nn.Linear, list[nn.Module]]]


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer, the weights it has, and where its entries stand in the vector of what is perturbed.

    Attributes:
        weight, bias: parameters.
        places: flat ones of the weights that are there; None for all.
        starts, columns: where those of each unit begin, int64 [units + 1], and where they come from, int64 [count].
        weight_at, bias_at: first places in the vector; None for what is frozen or not there.
        rectified: whether a ReLU follows at once.
        after: the activations that follow then.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    places: Tensor | None
    starts: np.ndarray
    columns: np.ndarray
    weight_at: int | None
    bias_at: int | None
    rectified: bool
    after: tuple[nn.Module, ...]

    @property
    def units(self) -> int:
        return len(self.starts) - 1

    @property
    def moves(self) -> bool:
        """Whether anything of it is perturbed."""
        return self.weight_at is not None or self.bias_at is not None

    def weights(self) -> Tensor:
        """Return those that are there, [1, count]."""
        flat = self.weight.detach().flatten()
        return (flat if self.places is None else flat[self.places])[None]

    def biases(self) -> Tensor:
        """Return them, [1, units], or [0, units]."""
        return self.weight.new_empty(0, self.units) if self.bias is None else self.bias.detach()[None]

    def weight_part(self, vectors: Tensor) -> Tensor | None:
        """Return what vectors [K, N] hold for the weights, [K, count], or None."""
        at = self.weight_at
        return None if at is None else vectors[:, at : at + len(self.columns)]

    def bias_part(self, vectors: Tensor) -> Tensor | None:
        """Return what vectors [K, N] hold for the biases, [K, units], or None."""
        at = self.bias_at
        return None if at is None else vectors[:, at : at + self.units]

    def activities(self, values: Tensor, rectified: bool = False) -> Tensor:
        """Return what the activations make of pre-activations; rectified says that the ReLU is done."""
        if self.rectified and not rectified:
            values = values.relu()
        for module in self.after:
            values = module(values)
        return values


def layers_of(active: Active, x: Any) -> tuple[list[Layer], Tensor] | None:
    """Return a network as a chain of sparse layers, and what it receives, [rows, inputs].

    None where it is none: it has other modules, hooks, layers that stand twice or share parameters, parametrisations
    other than a mask, training dropout; where something is perturbed that is not all of a parameter that is active;
    where inputs are not one tensor on the CPU, or not finite; or where it does not pay.

    Args:
        active: what may move, of the network.
        x: the inputs.
    """
    chain = _chain(active.net)
    if chain is None or not _plain(x):
        return None
    flattens, parts = chain
    inputs = x.detach().flatten(1) if flattens and x.ndim > 1 else x.detach()
    if inputs.ndim != 2 or not inputs.numel() or not _fits(parts, inputs) or not _pays(parts):
        return None
    found = _layers(parts, active)
    numbers = [inputs, *(own_parameter(part).detach() for part, _ in parts)]
    if found is None or not bool(torch.stack([part.sum() for part in numbers]).isfinite().all()):
        return None  # absent weights are not looked at, and would have to answer NaN
    return found, inputs


def _chain(net: nn.Module) -> tuple[bool, _Chain] | None:
    """Return whether a chain begins by flattening, and its layers with their activations; None for anything else."""
    flat = list(_parts(net))
    if any(part is None or _hooked(part) for part in flat) or any(map(_hooked, net.modules())) or _hooked_everywhere():
        return None
    flattens, found = False, list[tuple[nn.Linear, list[nn.Module]]]()
    for part in flat:
        if _linear(part):
            found.append((part, []))
        elif found and type(part) in _ELEMENTWISE:
            found[-1][1].append(part)
        elif type(part) is nn.Flatten and not found and (part.start_dim, part.end_dim) == (1, -1):
            flattens = True
        elif not (type(part) is nn.Identity or (type(part) is nn.Dropout and not part.training)):
            return None
    return (flattens, found) if found else None


def _parts(net: nn.Module) -> Iterator[Any]:
    """Yield the modules of a chain in order, nested ones flattened; None for a container that is no plain one."""
    if type(net) is nn.Sequential:
        for part in net._modules.values():  # named_children leaves out what occurs twice
            yield from _parts(part) if part is not None else (None,)
    else:
        yield net


def _linear(part: nn.Module) -> bool:
    """Return whether a layer is linear with its weight as it is, or under a mask and nothing else."""
    if type(part) is nn.Linear:
        return not parametrize.is_parametrized(part)
    if type(part).__bases__ != (nn.Linear,) or not parametrize.is_parametrized(part):
        return False
    own: Any = part.parametrizations
    return (
        type(part).forward is nn.Linear.forward and list(own) == ["weight"] and [*map(type, own["weight"])] == [Masked]
    )


def _hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._compiled_call_impl is not None
        or "forward" in module.__dict__
    )


def _hooked_everywhere() -> bool:
    return bool(modules._global_forward_hooks or modules._global_forward_pre_hooks) or torch.is_autocast_enabled("cpu")


def _plain(tensor: Any) -> bool:
    """Return whether a compiled kernel can read a tensor."""
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and tensor.dtype in _COMPILED
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and not tensor.is_neg()
    )


def _fits(parts: _Chain, x: Tensor) -> bool:
    """Return whether inputs go through a chain whose numbers are all of one kind."""
    weights = [own_parameter(part) for part, _ in parts]
    biases = [part.bias for part, _ in parts if part.bias is not None]
    if not all(_plain(part) and part.dtype == x.dtype for part in (*weights, *biases)):
        return False
    widths = [x.shape[1], *(len(weight) for weight in weights)]
    return [weight.shape[1] for weight in weights] == widths[:-1]


def _layers(parts: _Chain, active: Active) -> list[Layer] | None:
    """Return the layers, or None where one stands twice, or what is perturbed is not just what is active in them."""
    begins = dict(zip(active.parameters, accumulate(active.sizes, initial=0), strict=False))
    where = {parameter: (begins[name], active.places[name]) for name, parameter in active.parameters.items()}
    found, seen = [], []
    for part, after in parts:
        weight, bias, mask = own_parameter(part), part.bias, _mask((part, after))
        places = None if mask is None else true_places(mask)
        weight_at, weight_places = where.get(weight, (None, places))
        bias_at, bias_places = where.get(bias, (None, None))
        if weight_places is not places or bias_places is not None:
            return None
        seen += [weight] if bias is None else [weight, bias]
        starts, columns = _all_there(tuple(weight.shape)) if mask is None else _there(mask)
        relu = bool(after) and type(after[0]) is nn.ReLU
        found.append(Layer(weight, bias, places, starts, columns, weight_at, bias_at, relu, tuple(after[relu:])))
    alone = len({id(parameter) for parameter in seen}) == len(seen)
    return found if alone and set(where) <= set(seen) else None


def _mask(part: tuple[nn.Linear, Any]) -> Tensor | None:
    own = mask_of(part[0])
    return None if own is None else own.mask


def _pays(parts: _Chain) -> bool:
    entries = [own_parameter(part).numel() for part, _ in parts]
    masks = [_mask(part) for part in parts]
    there = [n if mask is None else len(true_places(mask)) for n, mask in zip(entries, masks, strict=True)]
    return sum(there) * torch.get_num_threads() <= SHARE * sum(entries)


@lru_cache(maxsize=16)
def _all_there(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    units, inputs = shape
    return np.arange(0, (units + 1) * inputs, inputs), np.tile(np.arange(inputs), units)


def _there(mask: Tensor) -> tuple[np.ndarray, np.ndarray]:
    known = _LISTS.get(mask)
    if known is None or known[0] != mask._version:
        units, inputs = mask.shape
        places = true_places(mask).numpy()
        known = (mask._version, np.searchsorted(places, np.arange(units + 1) * inputs), places % inputs)
        _LISTS[mask] = known
    return known[1], known[2]

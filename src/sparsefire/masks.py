"""Masks: the one protocol by which torch networks show and accept which of their weights exist.

A masked layer carries a :class:`Masked` parametrisation on its ``weight``. The optimizer keeps holding the very same
Parameter as before; the layer computes with ``mask * weight``; entries outside the mask are exactly zero after every
optimizer step, and so are their moments (:func:`keep_zero`). Rooms above read through :func:`active`, :func:`masks` and
:func:`density`; only ``sparsity`` writes.

Three sets of layers: :func:`layers` are linear and convolutional, masked or not; :func:`maskable` are those that
``sparsify`` masks, attention projections among them; :func:`masked` are those that carry a mask now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsefire.errors import UserError

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TABLES = (nn.Embedding, nn.EmbeddingBag)
_WHEN_NAMED = (*_TABLES, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
CHAIN = "parametrizations.weight."


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
        masked = self.value(weight) * self.kept
        if not self.dense_gradient:
            return masked
        return masked + (weight - weight.detach()) * (1 - self.kept)  # the second part is zero, its gradient is not

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight * self.kept

    def value(self, weight: Tensor) -> Tensor:
        """Return the effective weight before the mask, from the layer's own Parameter: here that itself."""
        return weight

    def slope(self, weight: Tensor) -> Tensor | float:
        """Return ∂value/∂weight, entry by entry."""
        return 1.0

    def awaken_(self, fresh: Tensor, weight: Tensor) -> None:
        """Make entries that have just entered, and are zero, ready to grow, in place: a product needs one factor."""

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


class Projection(nn.Module):
    """A weight that an attention module holds beside others, as a layer of its own.

    ``nn.MultiheadAttention`` has the weights of query, key and value in one Parameter ``in_proj_weight`` [3·E, E], or
    in three where key or value have a width of their own. The attention module stays as it is until a mask is attached;
    then the projection is its child (``in_proj``, or ``q_proj``, ``k_proj``, ``v_proj``), and the attention module
    reads the masked weight under the name it knows, in its fast path too. :func:`bake` puts the Parameter back.

    Args:
        host: the attention module.
        attribute: name of its Parameter.

    >>> Projection(nn.MultiheadAttention(4, 2), "in_proj_weight").weight.shape
    torch.Size([12, 4])
    """

    def __init__(self, host: nn.Module, attribute: str) -> None:
        super().__init__()
        self.weight = host._parameters[attribute]
        self._place = (host, attribute)  # in a tuple, for the host is no child

    def open_(self) -> None:
        """Become a child of the attention module."""
        host, attribute = self._place
        if not isinstance(type(host).__dict__.get(attribute), property):
            shared = type(host)
            read = {name: property(_reader(name)) for name in _PROJECTIONS}
            host.__class__ = type(shared.__name__, (shared,), {"__module__": shared.__module__, **read})
            host.register_load_state_dict_pre_hook(_accept_joint)
        host._parameters[attribute] = None  # not deleted: its place in the order is kept
        host.add_module(_child(attribute), self)

    def close_(self) -> None:
        """Give the Parameter back; the attention module is then what it was."""
        host, attribute = self._place
        host._parameters[attribute] = self.weight
        del host._modules[_child(attribute)]
        if not any(_child(name) in host._modules for name in _PROJECTIONS):
            host.__class__ = type(host).__bases__[0]
            _remove_hook(host, _accept_joint)


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
    wanted = list(names)
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

    >>> net = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1))
    >>> attach_(net[0], torch.tensor([[True, False]])); list(masked(net))
    ['0']
    """
    return {name: module for name, module in _all_layers(net) if mask_of(module) is not None}


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
    return {name: _masked(module).mask for name, module in masked(net).items()}


def active(net: nn.Module) -> dict[nn.Parameter, Tensor | None]:
    """Return, for every parameter of the network, the mask it lives on, or None if all of it is active.

    >>> net = nn.Linear(2, 1, bias=False)
    >>> attach_(net, torch.tensor([[True, False]]))
    >>> [mask.tolist() for mask in active(net).values()]
    [[[True, False]]]
    """
    found: dict[nn.Parameter, Tensor | None] = dict.fromkeys(net.parameters())
    for module in masked(net).values():
        own = _masked(module)
        found[own_parameter(module)] = own.mask
        found.update(dict.fromkeys(own.factors(), own.mask))
    return found


def density(net: nn.Module) -> float:
    """Return the share of weights that exist: by mask where there is one, by value (non-zero) elsewhere.

    Weights of linear and convolutional layers and of attention projections count, and whatever else has a mask.

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
    parametrize.register_parametrization(module, "weight", own)
    module.register_load_state_dict_pre_hook(_accept_dense)
    if isinstance(module, Projection):
        module.open_()


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
    own = mask_of(module)
    if own is None:
        raise UserError("this layer has no mask to replace.", expected="a layer that sparsify has masked")
    stays = own.mask & mask
    fresh = mask & ~own.mask
    own.write_(mask)
    for parameter in (own_parameter(module), *own.factors()):
        parameter.mul_(stays)
    own.awaken_(fresh, own_parameter(module))


def gradient_of(module: nn.Module) -> Tensor | None:
    """Return the gradient of the loss by the effective weight of a masked layer, or None if there is none.

    At missing weights it is right only after a backward pass with ``dense_gradient``; zero otherwise, and also where
    the parametrisation passes no gradient on.

    >>> net = nn.Linear(2, 1, bias=False); attach_(net, torch.tensor([[True, False]]))
    >>> net(torch.tensor([3.0, 5.0])).backward(); gradient_of(net).tolist()
    [[3.0, 0.0]]
    """
    own = mask_of(module)
    gradient = own_parameter(module).grad
    if gradient is None or own is None or type(own) is Masked:
        return gradient
    with torch.no_grad():
        slope = torch.as_tensor(own.slope(own_parameter(module))).to(gradient)
        inside = torch.where(slope == 0, 0.0, gradient / torch.where(slope == 0, 1.0, slope))
        return torch.where(own.mask, inside, gradient)


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
    found = masked(net)
    for name, new in fresh.items():
        module = found[name]
        for parameter in (own_parameter(module), *_masked(module).factors()):
            for moment in _moments(parameter, optimizer):
                moment.mul_(~new)


@torch.no_grad()
def dense_state_dict(net: nn.Module) -> dict[str, Tensor]:
    """Return the state of the plain network: effective weights with exact zeros, no masks, the names a dense twin has.

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


def bake(net: nn.Module) -> nn.Module:
    """Turn a masked network into a plain one with exact zeros, in place, and return it.

    The Parameters stay the same objects, so an optimizer goes on; nothing keeps the zeros any longer, the hook of
    :func:`keep_zero` included.

    >>> net = nn.Linear(2, 1, bias=False); attach_(net, torch.tensor([[True, False]]))
    >>> type(bake(net)).__name__, net.weight[0, 1].item()
    ('Linear', 0.0)
    """
    for module in masked(net).values():
        own = _masked(module)
        own_class(module)
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        weight: Any = module.weight
        for other in [name for name in module._parameters if name != "weight"]:  # the order of a plain twin
            module._parameters[other] = module._parameters.pop(other)
        weight.data.masked_fill_(~own.mask, 0.0)  # 0 · w is −0 for a negative w and NaN for one that diverged
        _remove_hook(module, _accept_dense)
        if isinstance(module, Projection):
            module.close_()
    return net


def own_class(module: nn.Module) -> None:
    """Part a copied layer from the class it shares with its original: torch takes the parametrisation off the class."""
    shared = type(module)
    module.__class__ = type(shared.__name__, shared.__bases__, dict(shared.__dict__))


def _all_layers(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield every layer that can be masked, in an order that attaching does not change."""
    for name, module in net.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            for attribute in _PROJECTIONS:
                child = module._modules.get(_child(attribute))
                if isinstance(child, Projection):
                    yield f"{name}.{_child(attribute)}" if name else _child(attribute), child
                elif module._parameters.get(attribute) is not None:
                    yield f"{name}.{_child(attribute)}" if name else _child(attribute), Projection(module, attribute)
        elif isinstance(module, (*_LAYERS, *_WHEN_NAMED)):
            yield name, module


def _child(attribute: str) -> str:
    return attribute.removesuffix("_weight")


def _reader(attribute: str) -> Callable[[nn.Module], Any]:
    def read(host: nn.Module) -> Any:
        child = host._modules.get(_child(attribute))
        return child.weight if isinstance(child, Projection) else host._parameters[attribute]

    return read


def _masked(module: nn.Module) -> Masked:
    own = mask_of(module)
    assert own is not None
    return own


def _remove_hook(module: nn.Module, hook: Any) -> None:
    for key, held in list(module._load_state_dict_pre_hooks.items()):
        if getattr(held, "hook", held) is hook:
            del module._load_state_dict_pre_hooks[key]


def own_parameter(module: nn.Module) -> nn.Parameter:
    """Return the layer's own Parameter, which the optimizer holds, masked or not.

    >>> own_parameter(nn.Linear(2, 1)).shape
    torch.Size([1, 2])
    """
    if parametrize.is_parametrized(module, "weight"):
        return module.parametrizations["weight"].original  # type: ignore[index,union-attr]
    return module.weight  # type: ignore[return-value]


def _masked_parameters(net: nn.Module) -> list[tuple[nn.Module, nn.Parameter, Masked]]:
    found: list[tuple[nn.Module, nn.Parameter, Masked]] = []
    for module in masked(net).values():
        own = _masked(module)
        found += [(module, parameter, own) for parameter in (own_parameter(module), *own.factors())]
    return found


def _moments(parameter: nn.Parameter, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    state = optimizer.state.get(parameter, {})
    return [value for value in state.values() if isinstance(value, Tensor) and value.shape == parameter.shape]


@torch.no_grad()
def _zero(entries: list[tuple[nn.Module, nn.Parameter, Masked]], optimizer: torch.optim.Optimizer | None) -> None:
    values: list[Tensor] = []
    kept: list[Tensor] = []
    for _, parameter, own in entries:
        held = [parameter, *(_moments(parameter, optimizer) if optimizer is not None else ())]
        values += held
        kept += [own.kept] * len(held)
    if values:
        torch._foreach_mul_(values, kept)


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


def _accept_joint(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Hand the weights of a dense attention module to the projections that hold them now."""
    for attribute in _PROJECTIONS:
        if isinstance(module._modules.get(_child(attribute)), Projection) and prefix + attribute in state_dict:
            state_dict[f"{prefix}{_child(attribute)}.weight"] = state_dict.pop(prefix + attribute)

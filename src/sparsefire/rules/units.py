"""Unit activities: which layers have them, what these were in one pass, and what credit for them means to weights.

Rules that perturb or credit activities need no derivative through the network. They need dL/da for the outputs a of
each layer, and the derivative of that one layer by its own parameters, which the layer can compute from what it
received: for a linear layer ∂L/∂w_ji = Σ_b (dL/da_bj) x_bi.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils import parametrize

from sparsefire.errors import UserError
from sparsefire.rules.call import add_gradient_, call, rows_of

_ONE_BY_ONE = "freeze others with requires_grad_(False)"


def unit_layers(net: nn.Module, rule: str) -> dict[str, nn.Module]:
    """Return the layers without parts that own trainable parameters, by name: linear, convolutional, norm layers, ...

    Masked layers, products and other parametrised ones are layers like any other.

    Args:
        net: any network.
        rule: its name, for the message.

    Raises:
        UserError: nothing to train; a parameter that belongs to a layer with parts (the projections of attention), to
            a recurrent layer, or to an embedding with sparse gradients or ``max_norm``.

    >>> list(unit_layers(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.BatchNorm1d(2)), "node perturbation"))
    ['0', '2']
    """
    found: dict[str, nn.Module] = {}
    for name, module in _modules(net, ""):
        own = trainable(module, parts=False)
        if own and not _servable(module):
            raise UserError(
                f"{rule} cannot perturb {called(name, module)}, which owns trainable parameters.",
                came=f"{type(module).__name__} with {len(own)} of them",
                expected="parameters in layers without parts that map activity to activity, such as Linear or Conv2d",
                attempt=_ONE_BY_ONE,
            )
        if own:
            found[name] = module
    if not found:
        raise UserError(f"there is nothing that {rule} could train.", came="no parameter with requires_grad")
    return found


def trainable(module: nn.Module, parts: bool = True) -> list[nn.Parameter]:
    """Return a layer's trainable parameters, those inside its parametrisations among them, each once.

    Args:
        module: the layer.
        parts: with those of its parts, if it has any.
    """
    held = list(module.parameters(recurse=parts))
    if not parts and parametrize.is_parametrized(module):
        held += module.parametrizations.parameters()  # type: ignore[union-attr]
    return [p for p in dict.fromkeys(held) if p.requires_grad]


def called(name: str, module: nn.Module) -> str:
    """Return how messages speak of a layer.

    >>> called("0", nn.Linear(1, 1)), called("", nn.Linear(1, 1))
    ("layer '0' (Linear)", 'the network itself (Linear)')
    """
    return f"layer {name!r} ({type(module).__name__})" if name else f"the network itself ({type(module).__name__})"


@torch.no_grad()
def record(
    net: nn.Module, x: Any, layers: Mapping[str, nn.Module], rule: str, copies: bool = False
) -> tuple[Any, dict[str, Tensor]]:
    """Run one pass and keep what each layer gave.

    Args:
        net: the network; its hooks are as before afterwards, whatever happens.
        x: a batch, as for ``call``.
        layers: from :func:`unit_layers`.
        rule: its name, for messages.
        copies: let the network go on with copies, so that what is kept survives activations that work in place.

    Returns:
        The output of the network, and by layer its output [rows, ...]: each with a graph that reaches this layer's
        parameters and ends there, for :func:`credit_`.

    Raises:
        UserError: a layer that is called twice or not at all, or whose output is no tensor with a row per input.
    """
    rows, given = rows_of(x), dict[str, Tensor]()

    def before(_: nn.Module, __: Any) -> None:
        torch.set_grad_enabled(True)

    def keep(name: str) -> Callable[..., Tensor]:
        def hook(module: nn.Module, _: Any, output: Any) -> Tensor:
            torch.set_grad_enabled(False)
            if name in given:
                raise UserError(
                    f"{called(name, module)} is called more than once in a pass.",
                    expected=f"for {rule}, each layer with trainable parameters once",
                )
            if not isinstance(output, Tensor) or output.ndim < 1 or len(output) != rows:
                shape = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
                raise UserError(
                    f"{called(name, module)} does not return a tensor with one row per input.",
                    came=f"{shape} for {rows} rows",
                    expected=f"for {rule}, outputs of shape ({rows}, ...)",
                    attempt=_ONE_BY_ONE,
                )
            given[name] = output
            return output.detach().clone() if copies else output.detach()

        return hook

    handles = [module.register_forward_pre_hook(before) for module in layers.values()]
    with _hooked(layers, keep, handles):
        output = call(net, x)
    silent = next((name for name in layers if name not in given), None)
    if silent is not None:
        raise UserError(
            f"{called(silent, layers[silent])} has trainable parameters and is not called in the pass.",
            expected=f"for {rule}, each layer with trainable parameters once",
            attempt=_ONE_BY_ONE,
        )
    return output, given


@torch.no_grad()
def disturbed(
    net: nn.Module,
    x: Any,
    layers: Mapping[str, nn.Module],
    noise: Mapping[str, Tensor],
    seen: dict[str, Tensor] | None = None,
) -> Any:
    """Return the output of a pass in which noise is added to what layers give.

    Args:
        net, x, layers: as for :func:`record`.
        noise: by layer, of its output's shape; layers without are left alone.
        seen: filled with what each layer gave on, the noise and what came from below included; None keeps nothing.
    """

    def add(name: str) -> Callable[..., Tensor]:
        def hook(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            moved = output + noise[name]
            if seen is not None:
                seen[name] = moved.clone()
            return moved

        return hook

    with _hooked({name: layers[name] for name in noise}, add, []):
        return call(net, x)


@torch.no_grad()
def leaning(net: nn.Module, x: Any, layers: Mapping[str, nn.Module], noise: Mapping[str, Tensor]) -> Any:
    """Return the output of a pass and its derivative along noise on what layers give, as one dual tensor.

    Args:
        net, x, layers, noise: as for :func:`disturbed`; within ``torch.autograd.forward_ad.dual_level()``.
    """

    def lean(name: str) -> Callable[..., Tensor]:
        def hook(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            value, slope = forward_ad.unpack_dual(output)
            return forward_ad.make_dual(value, noise[name] if slope is None else slope + noise[name])

        return hook

    with _hooked({name: layers[name] for name in noise}, lean, []):
        return call(net, x)


def credit_(layers: Mapping[str, nn.Module], given: Mapping[str, Tensor], deltas: Mapping[str, Tensor]) -> None:
    """Add to ``.grad`` what sensitivities of outputs mean for the parameters of each layer, by its own derivative.

    Args:
        layers: as for :func:`record`.
        given: the outputs it returned; the graphs are used up.
        deltas: dL/da by layer, of its output's shape, summed over rows as they are: divide by their number for a mean.
    """
    for name, delta in deltas.items():
        own = trainable(layers[name])
        slopes = torch.autograd.grad(given[name], own, delta.to(given[name]), allow_unused=True)
        for parameter, slope in zip(own, slopes, strict=True):
            if slope is not None:
                add_gradient_(parameter, slope)


def _servable(module: nn.Module) -> bool:
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return False
    if isinstance(module, nn.Embedding | nn.EmbeddingBag) and (module.sparse or module.max_norm is not None):
        return False
    return all(name == "parametrizations" for name, _ in module.named_children())


def _modules(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield all modules once, in order, but not what parametrisations are made of."""
    seen: set[nn.Module] = set()
    inside: set[nn.Module] = set()
    for path, part in module.named_modules(prefix=name):
        if parametrize.is_parametrized(part):
            inside.update(part.parametrizations.modules())
        if part not in inside and part not in seen:
            seen.add(part)
            yield path, part


@contextmanager
def _hooked(layers: Mapping[str, nn.Module], hook: Callable[[str], Any], handles: list[Any]) -> Iterator[None]:
    try:
        handles += [module.register_forward_hook(hook(name)) for name, module in layers.items()]
        yield
    finally:
        for handle in handles:
            handle.remove()

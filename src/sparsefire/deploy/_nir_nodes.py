"""One module ↔ one NIR node."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire.deploy._nir_file import library
from sparsefire.errors import UserError
from sparsefire.spiking import IF, LI, LIF, CubaLIF
from sparsefire.spiking.neurons.neuron import Neuron

Shape = tuple[int, ...]
NEURONS: dict[str, tuple[type[Neuron], tuple[str, ...]]] = {
    "LIF": (LIF, ("tau", "r", "v_leak", "v_threshold", "v_reset")),
    "CubaLIF": (CubaLIF, ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in")),
    "IF": (IF, ("r", "v_threshold", "v_reset")),
    "LI": (LI, ("tau", "r", "v_leak")),
}
"""Neurons by NIR's names, and the parameters that both have."""
LAYERS = ("Affine", "Linear", "Conv1d", "Conv2d", "AvgPool2d", "SumPool2d", "Flatten")
SUPPORTED = ("Input", "Output", *LAYERS, *NEURONS)
LOST = {
    "noise": "escape noise: what fires is no longer drawn",
    "refractory": "the refractory period",
    "adaptation": "the threshold's adaptation",
    "soft reset": "the reset by subtraction: it becomes a reset to v_reset",
    "plasticity": "the plasticity rule: weights stay as they are",
}
"""What NIR has no words for, by the names of ``drop=``."""


def losses(module: nn.Module) -> list[str]:
    """Return what of a module NIR cannot say, by the names of :data:`LOST`."""
    found = []
    if getattr(module, "noisy", False):
        found.append("noise")
    if getattr(module, "refractory_steps", 0):
        found.append("refractory")
    if getattr(module, "adaptation", None) is not None:
        found.append("adaptation")
    if getattr(module, "reset", "hard") == "soft":
        found.append("soft reset")
    if type(module).__module__.startswith("sparsefire.spiking.plasticity"):
        found.append("plasticity")
    return found


def node_of(name: str, module: nn.Module, shape: Shape | None, discretisation: str | None) -> tuple[Any, Shape]:
    """Return the NIR node of a module and the shape of what it gives, without time and batch.

    Args:
        name: of the module, for messages.
        module: a layer or neurons.
        shape: of what it receives, None where nothing has said so yet.
        discretisation: ``"euler"`` writes the time constants with which Euler steps do the same.
    """
    nir = library()
    if isinstance(module, Neuron):
        kind = type(module).__name__
        if NEURONS.get(kind, (None,))[0] is not type(module):
            unsupported(name, module)
        node = getattr(nir, kind)(**_parameters(module, discretisation), metadata=_metadata(module, discretisation))
        _fits(name, module, shape, module.shape)
        return node, module.shape
    if plain(module, nn.Linear):
        weight = _array(name, module.weight)  # type: ignore[arg-type]
        _fits(name, module, shape, weight.shape[1:])
        if module.bias is None:
            return nir.Linear(weight=weight), weight.shape[:1]
        return nir.Affine(weight=weight, bias=_array(name, module.bias)), weight.shape[:1]  # type: ignore[arg-type]
    if plain(module, nn.Conv1d, nn.Conv2d):
        return _convolution(name, module, shape)
    if plain(module, nn.AvgPool2d, nn.LPPool2d):
        return _pool(name, module, shape)
    if plain(module, nn.Flatten):
        known = _known(name, shape)
        begin: Any = module.start_dim
        start = begin - 1 if begin > 0 else begin  # NIR counts without the batch
        if module.start_dim == 0:
            unsupported(name, module, "start_dim=0, which takes the batch in")
        end = module.end_dim - 1 if module.end_dim > 0 else module.end_dim  # type: ignore[operator]
        node = nir.Flatten({"input": np.array(known)}, start, end)
        return node, tuple(int(n) for n in node.output_type["output"])
    unsupported(name, module)


def plain(module: Any, *kinds: Any) -> bool:
    """Whether a module is of one of these kinds and does what they do: subclasses may, if they leave ``forward`` be.

    >>> class Twice(nn.Linear):
    ...     def forward(self, x): return 2 * super().forward(x)
    >>> plain(nn.Linear(2, 2), nn.Linear), plain(Twice(2, 2), nn.Linear)
    (True, False)
    """
    own = ("forward", "_conv_forward")
    return any(
        isinstance(module, kind) and all(getattr(type(module), name, None) is getattr(kind, name, None) for name in own)
        for kind in kinds
    )


def _parameters(neuron: Any, discretisation: str | None) -> dict[str, np.ndarray]:
    kind = type(neuron).__name__
    found = {}
    for key in NEURONS[kind][1]:
        value = getattr(neuron, key).detach().cpu()
        if key.startswith("tau") and discretisation == "euler" and neuron.discretisation == "exponential":
            value = neuron.dt / (1 - torch.exp(-neuron.dt / value).double())  # 1 − dt/τ′ = exp(−dt/τ)
        found[key] = value.expand(neuron.shape).contiguous().numpy()
    return found


def _metadata(neuron: Any, discretisation: str | None) -> dict[str, Any]:
    own = getattr(neuron, "discretisation", None)
    said: dict[str, Any] = {"sparsefire": version("sparsefire"), "dt": neuron.dt, "units": "s"}
    if own is not None:
        said["discretisation"] = own if discretisation is None else discretisation
        if said["discretisation"] != own:
            said["meant_for"] = "time steps of dt alone: time constants are not those"
    for key in ("surrogate", "steepness"):
        if hasattr(neuron, key):
            said[key] = getattr(neuron, key)
    return said


def module_of(name: str, node: Any, dt: float | None, discretisation: str | None) -> nn.Module:
    """Return the module of a NIR node.

    Args:
        name: of the node, for messages.
        node: of a type in :data:`SUPPORTED`.
        dt, discretisation: in place of those of the file.
    """
    kind = type(node).__name__
    if kind in NEURONS:
        return _neurons(name, kind, node, dt, discretisation)
    if kind in ("Linear", "Affine"):
        weight = _finite(name, node.weight)
        if weight.ndim != 2:
            _odd(name, kind, f"weights of shape {list(weight.shape)}", "[out, in]")
        bias = node.bias if kind == "Affine" else None
        return _filled(name, nn.Linear, (weight.shape[1], weight.shape[0]), weight, bias)
    if kind in ("Conv1d", "Conv2d"):
        weight = _finite(name, node.weight)
        sizes = {key: _plain(getattr(node, key)) for key in ("stride", "padding", "dilation")}
        made = nn.Conv1d if kind == "Conv1d" else nn.Conv2d
        groups, bias = int(node.groups), node.bias if node.metadata.get("bias", True) else None
        shape = (weight.shape[1] * groups, weight.shape[0], weight.shape[2:])
        return _filled(name, made, shape, weight, bias, groups=groups, **sizes)
    if kind in ("AvgPool2d", "SumPool2d"):
        sizes = {key: _plain(getattr(node, key)) for key in ("kernel_size", "stride", "padding")}
        return nn.AvgPool2d(**sizes, divisor_override=1 if kind == "SumPool2d" else None)
    start, end = int(node.start_dim), int(node.end_dim)
    return nn.Flatten(start + 1 if start >= 0 else start, end + 1 if end >= 0 else end)


def _neurons(name: str, kind: str, node: Any, dt: float | None, discretisation: str | None) -> nn.Module:
    made, keys = NEURONS[kind]
    said = node.metadata if isinstance(node.metadata, Mapping) else {}
    step = said.get("dt") if dt is None else dt
    if step is None:
        raise UserError(
            "this NIR file does not say its time step.", came=f"node {name!r} ({kind})", expected="dt in its metadata",
            attempt="from_nir(path, dt=1e-4)",
        )  # fmt: skip
    values = {key: torch.from_numpy(np.array(getattr(node, key))) for key in keys}
    shape = tuple(values[keys[0]].shape)
    if not shape:
        _odd(name, kind, "one number", "an array with a number for each unit")
    options: dict[str, Any] = {"dt": float(step)}
    if kind != "IF":
        options["discretisation"] = discretisation or str(said.get("discretisation", "exponential"))
    for key, convert in (("surrogate", str), ("steepness", float)):
        if kind != "LI" and key in said:
            options[key] = convert(said[key])
    return made(shape, **values, **options)  # type: ignore[arg-type]


def _convolution(name: str, layer: Any, shape: Shape | None) -> tuple[Any, Shape]:
    nir, known = library(), _known(name, shape, layer.weight.ndim - 1)
    if layer.padding_mode != "zeros":
        unsupported(name, layer, f"padding_mode={layer.padding_mode!r}")
    if layer.groups != 1 or len(set(layer.kernel_size)) != 1:
        unsupported(name, layer, "groups or a kernel that is not square, whose shapes the package nir gets wrong")
    weight, flat = _array(name, layer.weight), isinstance(layer, nn.Conv1d)
    _fits(name, layer, known[:1], weight.shape[1:2])
    bias = np.zeros(len(weight), weight.dtype) if layer.bias is None else _array(name, layer.bias)
    sizes = {
        key: value if isinstance(value, str) else value[0] if flat else tuple(value)
        for key, value in (("stride", layer.stride), ("padding", layer.padding), ("dilation", layer.dilation))
    }
    made = nir.Conv1d if flat else nir.Conv2d
    spatial = known[1] if flat else known[1:]
    after = _after(name, layer, known)
    return made(spatial, weight, groups=1, bias=bias, metadata={"bias": layer.bias is not None}, **sizes), after


def _pool(name: str, layer: Any, shape: Shape | None) -> tuple[Any, Shape]:
    nir, known = library(), _known(name, shape, 3)
    if layer.ceil_mode:
        unsupported(name, layer, "ceil_mode=True")
    summed = isinstance(layer, nn.LPPool2d)
    if summed and layer.norm_type != 1:
        unsupported(name, layer, f"norm_type={layer.norm_type:g}")
    kernel, stride, padding = (
        np.array([value, value] if isinstance(value, int) else value)
        for value in (layer.kernel_size, layer.stride or layer.kernel_size, getattr(layer, "padding", 0))
    )
    if not summed:
        divisor = layer.divisor_override
        summed = divisor == 1
        if divisor not in (None, 1, int(np.prod(kernel))) or (padding.any() and not layer.count_include_pad):
            unsupported(name, layer, f"divisor_override={divisor}, count_include_pad={layer.count_include_pad}")
    made = nir.SumPool2d if summed else nir.AvgPool2d
    return made(kernel_size=kernel, stride=stride, padding=padding), _after(name, layer, known)


@torch.no_grad()
def _after(name: str, layer: nn.Module, shape: Shape) -> Shape:
    like = next(layer.parameters(), torch.zeros(()))
    try:
        return tuple(layer(torch.zeros((1, *shape), dtype=like.dtype, device=like.device)).shape[1:])
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"{name!r} ({type(layer).__name__}) does not fit what comes before it.", came=f"shape {list(shape)}",
            expected=str(error).splitlines()[0],
        ) from error  # fmt: skip


def _known(name: str, shape: Shape | None, axes: int | None = None) -> Shape:
    if shape is None:
        raise UserError(
            "the shape of the input is not known.", came=f"{name!r} comes first", expected="that of one sample",
            attempt="to_nir(net, path, input_shape=(2, 34, 34))",
        )  # fmt: skip
    if axes is not None and len(shape) != axes:
        raise UserError(
            f"{name!r} does not fit what comes before it.", came=f"shape {list(shape)}", expected=f"{axes} axes"
        )
    return shape


def _fits(name: str, module: nn.Module, shape: Shape | None, expected: Shape) -> None:
    if shape is not None and tuple(shape) != tuple(expected):
        raise UserError(
            f"{name!r} ({type(module).__name__}) does not fit what comes before it.", came=f"shape {list(shape)}",
            expected=f"{list(expected)}",
        )  # fmt: skip


def _array(name: str, value: Tensor) -> np.ndarray:
    dense = value.detach().to_dense() if value.layout != torch.strided else value.detach()
    return _finite(name, dense.cpu().contiguous().numpy())


def _finite(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        raise UserError(f"{name!r} has weights that are no finite numbers.", came=str(array.dtype), expected="numbers")
    return array


def _plain(value: Any) -> Any:
    if isinstance(value, str | bytes):
        return value.decode() if isinstance(value, bytes) else value
    found = np.asarray(value)
    return int(found) if found.ndim == 0 else tuple(int(n) for n in found)


@torch.no_grad()
def _filled(name: str, kind: Any, shape: tuple[Any, ...], weight: np.ndarray, bias: Any, **sizes: Any) -> nn.Module:
    held = torch.from_numpy(weight)
    layer = nn.utils.skip_init(kind, *shape, bias=bias is not None, dtype=held.dtype, **sizes)  # draws nothing
    layer.weight.copy_(held)
    if bias is not None:
        given = _finite(name, bias)
        if given.shape != (len(weight),):
            _odd(name, kind.__name__, f"a bias of shape {list(given.shape)}", f"[{len(weight)}]")
        layer.bias.copy_(torch.from_numpy(given))
    return layer


def _odd(name: str, kind: str, came: str, expected: str) -> NoReturn:
    raise UserError(
        f"the node {name!r} ({kind}) of this NIR graph is not one we can run.", came=came, expected=expected
    )


def unsupported(name: str, module: nn.Module, why: str = "") -> NoReturn:
    """Raise the error for a module that NIR has no node for."""
    raise UserError(
        f"NIR has no node for {name!r}.", came=f"{type(module).__name__}" + (f" with {why}" if why else ""),
        expected="Linear, Conv1d, Conv2d, AvgPool2d, LPPool2d with norm_type=1 (a sum), Flatten, LIF, CubaLIF, IF, LI",
    )  # fmt: skip

"""Layers on few spikes: silent inputs cost nothing if the weights of those that fired are looked up."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsefire.errors import UserError
from sparsefire.spiking._dense import dense
from sparsefire.spiking.neurons._fused import plain

# Measured with 16 to 2000 outputs and 128 to 2000 inputs, one thread: with 32 outputs looking up breaks even with the
# dense product, forward and backward, at a density of 0.05 to 0.1, from 64 outputs on at 0.1 to 0.15.
_LEAST_OUTPUTS, _MANY_OUTPUTS = 32, 64
_MOST_IF_FEW, _MOST_IF_MANY = 0.05, 0.1
_LEAST_WORK = 1 << 20  # entries of the input times outputs: below, either takes no time


def linear_of_spikes(spikes: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``torch.nn.functional.linear(spikes, weight, bias)``, adding up only the columns of inputs that fired.

    The same numbers as the dense product up to rounding, also for the gradients; that by the weights touches only
    columns of inputs that fired, that by the spikes is dense and computed only if it is asked for.

    Args:
        spikes: [..., in], 0 or 1, float32 or float64 on the CPU.
        weight: [out, in]. bias: [out].

    Raises:
        UserError: for numbers that are not 0 or 1, shapes that do not fit.

    >>> linear_of_spikes(torch.tensor([[0.0, 1.0, 1.0]]), torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[5.]])
    """
    for name, given in (("spikes", spikes), ("weight", weight), *([] if bias is None else [("bias", bias)])):
        if not isinstance(given, Tensor):
            raise UserError(f"{name} is a tensor.", came=type(given).__name__, expected="float32 or float64 on the CPU")
    if not spikes.ndim or weight.ndim != 2 or spikes.shape[-1] != weight.shape[1]:
        came = f"shapes {list(spikes.shape)} and {list(weight.shape)}"
        raise UserError("spikes and weights do not fit.", came=came, expected="[…, in] and [out, in]")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise UserError("bias and weights do not fit.", came=f"shape {list(bias.shape)}", expected=f"[{len(weight)}]")
    if not plain(spikes, weight) or (bias is not None and not plain(spikes, bias)):
        raise UserError(
            "spikes are looked up on the CPU.", came=f"{spikes.dtype} on {spikes.device}",
            expected="float32 or float64, of the type of the weights",
        )  # fmt: skip
    rows = spikes.reshape(spikes.shape[:-1].numel(), spikes.shape[-1])
    found = _found(rows, 1.0)
    if found is None:
        other = rows[(rows != 0) & (rows != 1)]
        raise UserError("these are no spikes.", came=f"{float(other[0]):g}", expected="0 or 1")
    return _Indexed.apply(rows, weight, bias, *found).reshape(*spikes.shape[:-1], len(weight))


def linear(layer: nn.Linear, x: Tensor, *, indexed: bool = True) -> Tensor:
    """Return ``layer(x)`` for x [rows, in] by the fastest way; ``indexed`` allows to look up where spikes are few."""
    work = x.numel() * layer.out_features
    if work < _LEAST_WORK or not by_itself(layer, nn.Linear) or not plain(x):
        return layer(x)
    weight, found = layer.weight, None
    if not plain(x, weight):
        return functional.linear(x, weight, layer.bias)
    if indexed and layer.out_features >= _LEAST_OUTPUTS:
        most = _MOST_IF_MANY if layer.out_features >= _MANY_OUTPUTS else _MOST_IF_FEW
        found = _found(x, most / torch.get_num_threads())  # the dense product uses them all
    if found is None:
        return dense(x, weight, layer.bias)
    return _Indexed.apply(x, weight, layer.bias, *found)


def by_itself(layer: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether the layer does nothing but what its kind does: nobody listens, nobody has changed it."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    everywhere = torch.nn.modules.module
    general = (
        everywhere._global_forward_hooks,
        everywhere._global_forward_pre_hooks,
        everywhere._global_backward_hooks,
    )
    own = type(layer).forward is kind.forward and "forward" not in vars(layer)
    return own and not any(hooks) and not any(general) and not torch.is_autocast_enabled("cpu")


def _found(rows: Tensor, most: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Return starts and indices of the spikes of rows [rows, in], or None: too many, or numbers other than 0 and 1."""
    from sparsefire.spiking import _indexed_kernels

    x = rows.detach().contiguous().numpy()
    starts = np.empty(len(x) + 1, np.int64)
    index = np.empty(int(most * x.size) + 5 * x.shape[1] + 9, np.int32)
    count = _indexed_kernels.find(x, most, starts, index)
    return None if count < 0 else (starts, index[:count].copy())


class _Indexed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, starts: np.ndarray, index: np.ndarray
    ) -> Tensor:
        from sparsefire.spiking import _indexed_kernels

        ctx.save_for_backward(x, weight)
        ctx.spikes = starts, index
        out = torch.empty((len(x), len(weight)), dtype=x.dtype)
        shift = np.zeros(len(weight), out.numpy().dtype) if bias is None else bias.detach().numpy()
        _indexed_kernels.gather(starts, index, weight.detach().t().contiguous().numpy(), shift, out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, by: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        by_x = by @ weight if ctx.needs_input_grad[0] else None
        by_bias = by.sum(0) if ctx.needs_input_grad[2] else None
        by_weight = None
        if ctx.needs_input_grad[1]:
            starts, index = ctx.spikes
            by_weight = by.t() @ x if torch.is_grad_enabled() else _scattered(starts, index, by, weight)
        return by_x, by_weight, by_bias, None, None


def _scattered(starts: np.ndarray, index: np.ndarray, by: Tensor, weight: Tensor) -> Tensor:
    from sparsefire.spiking import _indexed_kernels

    grad = np.zeros((weight.shape[1], weight.shape[0]), by.numpy().dtype)
    _indexed_kernels.scatter(starts, index, by.detach().contiguous().numpy(), grad)
    return torch.from_numpy(grad).t()

"""Singular values of the input–output Jacobian of a network, and what they say about its gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire.errors import UserError


@dataclass(frozen=True)
class Spectrum:
    """Singular values in three numbers.

    Attributes:
        log_mean: mean of the logarithm over the values that are not zero; 0 for an isometry, −inf if all are zero.
        condition: largest over smallest value of an input, the median over inputs; inf where one is zero.
        zero_share: share of values that are zero.
    """

    log_mean: float
    condition: float
    zero_share: float


def singular_values(net: nn.Module, x: Any) -> np.ndarray:
    """Return the singular values of ∂net(x)/∂x at every row of x, largest first.

    Dynamical isometry means that all of them are 1 (Saxe et al., arXiv:1312.6120; Pennington et al.,
    arXiv:1711.04735). One backward pass per output serves all rows together. The network runs in evaluation mode, in
    which rows do not mix, and is left as it was.

    Args:
        net: takes [rows, …] to [rows, …]; best with no more than some hundred outputs.
        x: inputs [rows, …], an array or tensor of numbers.

    Returns:
        float64 [rows, min(inputs, outputs)]; a row whose derivative is not finite is NaN.

    Raises:
        UserError: inputs that are no real numbers, without rows, or an output that is no tensor with a row per input
            or does not depend on the input.

    >>> net = nn.Linear(2, 2); _ = net.weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, -2.0]]))
    >>> singular_values(net, torch.zeros(1, 2))
    array([[3., 2.]])
    """
    jacobian = _jacobian(net, _inputs(net, x))
    found = np.full((len(jacobian), min(jacobian.shape[1:])), np.nan)
    finite = np.isfinite(jacobian).all(axis=(1, 2))
    if finite.any():
        found[finite] = np.linalg.svd(jacobian[finite], compute_uv=False)
    return found


def spectrum(values: np.ndarray, *, zero: float = 1e-7) -> Spectrum:
    """Return log-mean, condition and share of zeros of singular values.

    Args:
        values: float64 [rows, r], from :func:`singular_values`.
        zero: values up to this fraction of the largest of their row count as zero; 1e-7 is the rounding error of
            float32 networks.

    Raises:
        UserError: values that are no [rows, r] table with an entry.

    >>> spectrum(np.array([[np.e, 1.0, 0.0, 0.0]]))
    Spectrum(log_mean=0.5, condition=inf, zero_share=0.5)
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not values.size:
        raise UserError("singular values are a table.", came=f"shape {values.shape}", expected="[rows, r], r ≥ 1")
    largest, smallest = values.max(1), values.min(1)
    none = values <= zero * largest[:, None]
    logarithms = np.log(values[~none])
    with np.errstate(divide="ignore", invalid="ignore"):
        condition = np.where(none.any(1), np.inf, largest / smallest)
    return Spectrum(
        float(logarithms.mean()) if len(logarithms) else -np.inf, float(np.median(condition)), float(none.mean())
    )


def slopes(outputs: Tensor, inputs: Tensor) -> Tensor:
    """Return the derivative of each output, summed over its rows, by every input, [rows, outputs, inputs].

    One pass back per output. Where rows do not mix, these are the Jacobians of the rows.

    Args:
        outputs: [any rows, outputs], made from ``inputs``.
        inputs: [rows, ...], which require gradients.

    >>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    >>> slopes(x**2, x).tolist()
    [[[2.0, 0.0], [0.0, 4.0]]]
    """
    found = []
    for at in range(outputs.shape[1]):
        (slope,) = torch.autograd.grad(outputs[:, at].sum(), inputs, retain_graph=True, allow_unused=True)
        found.append((torch.zeros_like(inputs) if slope is None else slope).flatten(1))
    return torch.stack(found, 1)


def _inputs(net: nn.Module, x: Any) -> Tensor:
    if not isinstance(net, nn.Module):
        raise UserError("a Jacobian is that of a network.", came=type(net).__name__, expected="a torch.nn.Module")
    like = next((p for p in net.parameters() if p.is_floating_point()), torch.zeros(0))
    try:
        rows = torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError("inputs are numbers.", came=type(x).__name__, expected="a tensor [rows, …]") from error
    if rows.is_complex() or rows.ndim < 2 or not rows.numel():
        raise UserError(
            "a Jacobian is taken at rows of real inputs.",
            came=f"{rows.dtype} of shape {tuple(rows.shape)}",
            expected="a tensor [rows, …] with one row or more",
        )
    return rows.detach().to(like.device, like.dtype, copy=True).requires_grad_()


def _jacobian(net: nn.Module, rows: Tensor) -> np.ndarray:
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        with torch.enable_grad():
            outputs = net(rows)
            if not isinstance(outputs, Tensor) or len(outputs) != len(rows) or not outputs.requires_grad:
                came = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else type(outputs).__name__
                raise UserError(
                    "this network has no Jacobian.", came=came, expected="a tensor [rows, …] that depends on the input"
                )
            flat = outputs.reshape(len(rows), -1)
            found = slopes(flat, rows).cpu().double().numpy()
    finally:
        for module, mode in modes.items():
            module.training = mode
    return found

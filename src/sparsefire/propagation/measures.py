"""What is measured on the signal of one layer."""

from __future__ import annotations

from torch import Tensor

MEASURES = ("variance", "kurtosis", "correlation", "dead_share")


def measure(given: Tensor, bias: Tensor | None) -> dict[str, float]:
    """Return what a layer's output looks like, before its activation.

    Args:
        given: output of the layer [rows, units, ...], 2 rows or more.
        bias: of the layer [units], or None.

    Returns:
        ``variance``: mean of h² over rows and units; ``kurtosis``: mean h⁴ / (mean h²)² over the units of a row,
        averaged over rows (3 for normal signals); ``correlation``: cosine between the signals of two rows, averaged
        over pairs; ``dead_share``: share of entries that no live input reaches, where h is the bias and nothing else.
        Kurtosis and correlation are NaN where all signals are zero.

    >>> import torch
    >>> measure(torch.tensor([[1.0, -1.0], [1.0, 0.0]]), None)["dead_share"]
    0.25
    """
    rows = given.flatten(1)
    still = given == (0 if bias is None else bias.reshape(1, -1, *[1] * (given.ndim - 2)))
    square = rows.square().mean(1)
    lively = square > 0
    scaled = rows[lively] / square[lively].sqrt().unsqueeze(1)
    count = len(scaled)
    kurtosis = correlation = float("nan")
    if count:
        kurtosis = float(scaled.pow(4).mean())
    if count > 1:
        total = scaled.sum(0).square().sum() / scaled.shape[1]
        correlation = float((total - count) / (count * (count - 1)))
    return {
        "variance": float(square.mean()),
        "kurtosis": kurtosis,
        "correlation": correlation,
        "dead_share": float(still.double().mean()),
    }

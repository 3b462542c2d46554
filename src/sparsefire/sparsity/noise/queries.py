"""Learning from the noise itself: two losses, no derivative."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity.noise.weights import NoisyProduct
from sparsefire.sparsity.parameterisation.penalised import add_gradient_


@torch.no_grad()
def two_queries(net: nn.Module, loss: Callable[[], Tensor]) -> Tensor:
    """Estimate the gradient of noisy products from two losses, without derivatives, and add it to ``.grad``.

        D = [L(m + η z, w + η z') - L(m - η z, w - η z')] / (2 η),     ∂m ≈ D z,  ∂w ≈ D z'

    Where :func:`sparsefire.sparsity.sparsify` has set up the noise, this stands where ``loss.backward()`` stands. For
    linear models E D z has the penalty η² G_jj m, and every step leaves, for signs, E[m² - w²] exactly
    (1 - 2 lr η² G_jj) times what it was. At the lasso E D² = η⁴ Σ_i (m_i² + w_i²) Σ_{j≠i} G_ij²: it follows the live
    weights, not their number. It costs about (3 to 10) · d / η² steps.

    Args:
        net: in training; other parameters, such as biases, get no gradient.
        loss: computes the loss of the batch, a scalar; called twice.

    Returns:
        The mean of both losses.

    Raises:
        UserError: no noisy products, no noise, or a network in evaluation.
    """
    found = [(layer, masks.mask_of(layer)) for layer in masks.masked(net).values()]
    parts = [(masks.own_parameter(layer), part) for layer, part in found if isinstance(part, NoisyProduct)]
    if not parts or not all(part.training and part.eta > 0 for _, part in parts):
        raise UserError(
            "two queries learn from the noise of noisy products.",
            came="no such layers" if not parts else "a network in evaluation, or without noise",
            expected='a network that sparsify(..., method="synaptic-noise") has set up, in training',
        )
    losses = []
    for side in (-1.0, 1.0):
        for _, part in parts:
            part.side = side
        losses.append(loss().detach())
    for weight, part in parts:  # the last side was the positive one
        difference = float(losses[1] - losses[0]) / (2 * part.eta)
        first, second = part.signs(weight, 2).mul_(part.kept)
        add_gradient_(part.factor, first, difference)
        add_gradient_(weight, second, difference)
    return (losses[0] + losses[1]) / 2

"""Direct feedback alignment: the error at the output reaches every block at once.

A. Nøkland. Direct feedback alignment provides learning in deep neural networks, 2016. arXiv:1609.01596
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire.rules.call import LossFunction, finite, scalar
from sparsefire.rules.local.chain import apart, backward, blocks, one_input, unmoved_on_error
from sparsefire.rules.local.feedback import FeedbackRule


@dataclass(eq=False)
class DirectFeedbackAlignment(FeedbackRule):
    """Send the error at the output, e = ∂L/∂output, to the output h_l of each block through a fixed random matrix.

        δ_l = B_lᵀ e   for the hidden blocks,   δ_L = e,   g_l = (∂h_l/∂θ_l)ᵀ δ_l

    e is taken row by row. A block is a layer with weights and what follows it until the next one (activation, norm,
    pooling, flattening, dropout); within a block derivatives are exact, between blocks none passes.

    Args:
        scale: standard deviation of the entries of B_l; None takes 1/√(outputs), so that an error keeps its size.
        rng: draws B_l, once, at the first call.

    One call is one forward pass, and counts 2 more for the way back: 3 in ``budget.forward_passes``. After it
    ``feedback`` holds B_l, [outputs, units], by the name of the block's layer; entries may be replaced.

    Raises:
        UserError: a network that is no chain of such blocks, by the name of the layer; a loss that is no finite
            number; a number of units that is not that of the calls before.

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> rule = DirectFeedbackAlignment(rng=0)
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> {name: tuple(matrix.shape) for name, matrix in rule.feedback.items()}
    {'0': (1, 4)}
    """

    @torch.enable_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        chain = blocks(net, "direct feedback alignment")
        entering = one_input(x, "direct feedback alignment")
        with unmoved_on_error(net):
            *hidden, output = apart(chain, entering)
            if not output.requires_grad:
                output.requires_grad_()  # a frozen last block still has an error
            loss = scalar(loss_fn(output, y))
            finite(loss.detach(), self.budget)
            error = torch.autograd.grad(loss, output, retain_graph=True)[0].flatten(1)
            errors: list[Tensor | None] = [
                self._sent(block.name, error, h) for block, h in zip(chain[:-1], hidden, strict=True)
            ]
        backward([*hidden, loss], [*errors, None])
        self.budget.add(samples=len(entering), queries=1, forward_passes=3, random_bits=self.drawn_bits())
        return loss.detach()

    @torch.no_grad()
    def _sent(self, name: str, error: Tensor, h: Tensor) -> Tensor:
        outputs, units = error.shape[1], h[0].numel()
        return (error @ self.fixed(name, (outputs, units), 1 / math.sqrt(outputs), error)).to(h).view_as(h)

"""Local losses: every block learns from a read-out of its own.

A. Nøkland, L. H. Eidnes. Training neural networks with local error signals, ICML 2019. arXiv:1901.06656
(the prediction loss; without the similarity-matching one)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.budget import Budget
from sparsefire.rules.call import LossFunction, finite, scalar
from sparsefire.rules.directions import generator_of
from sparsefire.rules.local.chain import Block, apart, backward, blocks, one_input, unmoved_on_error

_OPTIMIZERS: dict[str, type[torch.optim.Adam] | type[torch.optim.SGD]] = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
}


@dataclass(eq=False)
class LocalLosses:
    """Train each hidden block on the loss of a linear read-out of its own; no gradient passes between blocks.

        L_l = loss_fn(A_l p(h_l) + a_l, y),   g_l = ∂L_l/∂θ_l,   g_L = ∂ loss_fn(output, y)/∂θ_L

    p is the mean over positions where h_l comes out of a convolution as maps, and h_l itself elsewhere. The read-outs
    A_l, a_l live in the rule, which moves them by one step of its own optimiser in each call; they are not needed to
    predict.

    Args:
        rate: learning rate of the read-outs, above 0.
        optimizer: of the read-outs, ``"adam"`` or ``"sgd"``.
        rng: draws the read-outs, once, at the first call: uniform on ±1/√features, as a new linear layer.

    One call is one forward and one backward pass, 3 in ``budget.forward_passes`` (the read-outs are not counted), and
    reads one loss per block. The loss that comes back is that of the network's own output.

    Raises:
        UserError: a network that is no chain of such blocks, by the name of the layer; a loss that is no finite
            number; a number of features that is not that of the calls before.

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> rule = LocalLosses(rng=0)
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> {name: tuple(weight.shape) for name, (weight, bias) in rule.readouts.items()}
    {'0': (1, 4)}
    """

    rate: float = 1e-3
    optimizer: str = "adam"
    rng: Any = None
    readouts: dict[str, tuple[nn.Parameter, nn.Parameter]] = field(default_factory=dict, init=False, repr=False)
    budget: Budget = field(default_factory=Budget, init=False, repr=False)
    dense_gradients: ClassVar[bool] = True
    per_example: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.rate < math.inf:
            raise UserError("read-outs learn at some rate.", came=f"rate={self.rate!r}", expected="a number above 0")
        if self.optimizer not in _OPTIMIZERS:
            raise UserError(
                f"there is no optimiser {self.optimizer!r} for read-outs.",
                came=repr(self.optimizer),
                expected=" or ".join(map(repr, _OPTIMIZERS)),
            )
        self._generator = generator_of(self.rng)
        self._moves: torch.optim.Optimizer | None = None
        self._bits = 0

    @torch.enable_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        chain = blocks(net, "local losses")
        entering = one_input(x, "local losses")
        with unmoved_on_error(net):
            *hidden, output = apart(chain, entering)
            losses = [
                scalar(loss_fn(self._read(block, h, output), y)) for block, h in zip(chain[:-1], hidden, strict=True)
            ]
            losses.append(scalar(loss_fn(output, y)))
            finite(torch.stack(losses).detach(), self.budget)
        if self._moves is None and self.readouts:
            self._moves = self._optimiser()
        backward(losses, [None] * len(losses))
        if self._moves is not None:
            self._moves.step()
            self._moves.zero_grad()
        self.budget.add(samples=len(entering), queries=len(losses), forward_passes=3, random_bits=self._bits)
        self._bits = 0
        return losses[-1].detach()

    def _read(self, block: Block, h: Tensor, output: Tensor) -> Tensor:
        """Return what the block's own read-out makes of its activities, in the shape of the network's output."""
        maps = h.ndim > 2 and not isinstance(block.layer, nn.Linear)
        features = (h.flatten(2).mean(2) if maps else h.flatten(1)).to(output)
        shape = (output[0].numel(), features.shape[1])
        if block.name not in self.readouts:
            self.readouts[block.name] = self._drawn(shape, output)
        weight, bias = self.readouts[block.name]
        if weight.shape != shape:
            raise UserError(
                f"the read-out of layer {block.name!r} was drawn for another shape.",
                came=str(shape),
                expected=str(tuple(weight.shape)),
                attempt="a new rule for each network",
            )
        return nn.functional.linear(features, weight, bias).view_as(output)

    @torch.no_grad()
    def _drawn(self, shape: tuple[int, int], like: Tensor) -> tuple[nn.Parameter, nn.Parameter]:
        bound, device = 1 / math.sqrt(shape[1]), self._generator.device
        parts = [torch.rand(size, generator=self._generator, device=device) for size in (shape, shape[:1])]
        self._bits += 32 * sum(part.numel() for part in parts)
        weight, bias = (nn.Parameter((bound * (2 * part - 1)).to(like)) for part in parts)
        return weight, bias

    def _optimiser(self) -> torch.optim.Optimizer:
        return _OPTIMIZERS[self.optimizer]([part for pair in self.readouts.values() for part in pair], lr=self.rate)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule remembers, as plain tensors and numbers."""
        return {
            "budget": self.budget.state_dict(),
            "generator": self._generator.get_state(),
            "readouts": {name: [part.detach().clone() for part in pair] for name, pair in self.readouts.items()},
            "optimizer": None if self._moves is None else self._moves.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where such a state was taken."""
        self.budget.load_state_dict(state["budget"])
        self._generator.set_state(state["generator"])
        self.readouts = {
            name: (nn.Parameter(weight.clone()), nn.Parameter(bias.clone()))
            for name, (weight, bias) in state["readouts"].items()
        }
        self._moves = None
        if state["optimizer"] is not None:
            self._moves = self._optimiser()
            self._moves.load_state_dict(state["optimizer"])

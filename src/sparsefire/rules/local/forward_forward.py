"""Forward-forward: two forward passes in place of one forward and one backward.

G. Hinton. The forward-forward algorithm: some preliminary investigations, 2022. arXiv:2212.13345
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.budget import Budget
from sparsefire.rules.call import LossFunction, finite
from sparsefire.rules.directions import generator_of
from sparsefire.rules.local.chain import Block, backward, linear_blocks, one_input

_NAME = "forward-forward"


@dataclass(eq=False)
class ForwardForward:
    """Let every block be active on inputs with their right label, and silent on inputs with a wrong one.

        G_l = sum (or mean) of h_l² over units,
        L_l = mean over rows of ½ [log(1 + exp(θ − G_l⁺)) + log(1 + exp(G_l⁻ − θ))],   g_l = ∂L_l/∂θ_l

    ⁺ is the input whose first ``classes`` entries are overwritten by the right label (one entry ``amplitude``, the
    others 0), ⁻ the same with a label drawn from the wrong ones. What enters a block is brought to unit mean square
    first, except in the first block, so that a block cannot read off the goodness of the one below; no gradient passes
    between blocks. The loss function is not used; the loss that comes back is the mean of the L_l.

    :meth:`predict` gives the label with the largest goodness, summed over all blocks but the first if there are
    several. The network's own output has no meaning, and its last layer needs units, not classes.

    Args:
        classes: number of labels, at least 2; y holds codes 0 … classes − 1, [rows].
        threshold: θ, above 0, in units of the goodness; 10 goes with a sum, 2 with a mean, which learns more slowly.
        goodness: ``"sum"`` or ``"mean"`` of squares.
        amplitude: of the written label; above 0. About the largest value of the inputs is right.
        rng: draws the wrong labels.

    One call is two forward and two backward passes, 6 in ``budget.forward_passes``, and reads one loss per block.

    Raises:
        UserError: a network that is no chain of linear layers with at most one activation each, by the name of the
            layer; inputs that are not [rows, features ≥ classes]; y that is no class codes; losses that are no number.

    >>> net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
    >>> rule = ForwardForward(classes=3, rng=0)
    >>> loss = rule(net, None, torch.ones(5, 6), torch.tensor([0, 1, 2, 0, 1]))
    >>> rule.predict(net, torch.ones(5, 6)).shape
    torch.Size([5])
    """

    classes: int
    threshold: float = 10.0
    goodness: str = "sum"
    amplitude: float = 1.0
    rng: Any = None
    budget: Budget = field(default_factory=Budget, init=False, repr=False)
    dense_gradients: ClassVar[bool] = True
    per_example: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise UserError("labels differ.", came=f"classes={self.classes!r}", expected="2 or more")
        for name in ("threshold", "amplitude"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} is above 0.", came=f"{name}={getattr(self, name)!r}", expected="such as 1.0")
        if self.goodness not in ("mean", "sum"):
            raise UserError(f"there is no goodness {self.goodness!r}.", expected='"sum" or "mean" of squares')
        self._generator = generator_of(self.rng)

    @torch.enable_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction | None, x: Any, y: Any) -> Tensor:
        chain = linear_blocks(net, _NAME)
        plain = self._flat(x)
        right = self._codes(y, plain)
        shift = torch.randint(
            1, self.classes, right.shape, generator=self._generator, device=self._generator.device
        ).to(right.device)
        wrong = (right + shift) % self.classes
        both = torch.cat([self._written(plain, right), self._written(plain, wrong)])
        sign = torch.ones(len(both), device=both.device, dtype=both.dtype)
        sign[len(plain) :] = -1
        losses = [
            nn.functional.softplus(-sign * (goodness - self.threshold)).mean()
            for goodness in self._goodness(chain, both)
        ]
        loss = finite(torch.stack(losses).detach(), self.budget).mean()
        backward(losses, [None] * len(losses))
        bits = len(plain) * math.ceil(math.log2(self.classes - 1))
        self.budget.add(samples=len(plain), queries=len(losses), forward_passes=6, random_bits=bits)
        return loss

    @torch.no_grad()
    def predict(self, net: nn.Module, x: Any) -> Tensor:
        """Return the most active label of each row, [rows]; ``classes`` forward passes."""
        chain = linear_blocks(net, _NAME)
        plain = self._flat(x)
        totals = []
        for label in range(self.classes):
            codes = torch.full((len(plain),), label, device=plain.device)
            found = self._goodness(chain, self._written(plain, codes))
            totals.append(torch.stack(found[1:] or found).sum(0))
        return torch.stack(totals).argmax(0)

    def _goodness(self, chain: list[Block], x: Tensor) -> list[Tensor]:
        """Return the goodness of each block, [rows], each with a graph of its own block alone."""
        found = []
        for number, block in enumerate(chain):
            x = x.detach()
            if number:
                size = x.square().mean(1, keepdim=True).sqrt()
                x = x / size.clamp_min(1e-12)  # a silent row stays silent
            x = block(x)
            squares = x.square()
            found.append(squares.mean(1) if self.goodness == "mean" else squares.sum(1))
        return found

    def _written(self, x: Tensor, codes: Tensor) -> Tensor:
        label = nn.functional.one_hot(codes, self.classes).to(x) * self.amplitude
        return torch.cat([label, x[:, self.classes :]], 1)

    def _flat(self, x: Any) -> Tensor:
        plain = one_input(x, _NAME)
        if plain.ndim != 2 or plain.shape[1] < self.classes:
            raise UserError(
                f"{_NAME} writes the label into the first {self.classes} entries of a row.",
                came=f"inputs of shape {tuple(plain.shape)}",
                expected=f"(rows, features), {self.classes} features or more",
            )
        return plain

    def _codes(self, y: Any, x: Tensor) -> Tensor:
        integral = isinstance(y, Tensor) and not (y.is_floating_point() or y.is_complex() or y.dtype == torch.bool)
        if not integral or y.shape != x.shape[:1] or not bool(((y >= 0) & (y < self.classes)).all()):
            raise UserError(
                f"{_NAME} needs class codes.",
                came=f"{y.dtype} of shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__,
                expected=f"integers 0 to {self.classes - 1}, shape ({len(x)},)",
            )
        codes: Tensor = y.to(x.device, torch.int64)
        return codes

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule remembers, as plain tensors and numbers."""
        return {"generator": self._generator.get_state(), "budget": self.budget.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where such a state was taken."""
        self._generator.set_state(state["generator"])
        self.budget.load_state_dict(state["budget"])

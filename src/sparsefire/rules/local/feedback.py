"""Fixed random weights by which an error comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from sparsefire.errors import UserError
from sparsefire.randomness import integer
from sparsefire.rules.budget import Budget
from sparsefire.rules.directions import generator_of


@dataclass(eq=False)
class FeedbackRule:
    """What rules with fixed random feedback share: the matrices by layer name, drawn when first needed.

    A rule holds the feedback of one network; another network takes another rule.

    Args:
        scale: standard deviation of the entries, above 0; None takes the one that keeps the size of an error.
        rng: None, int, ``SeedSequence``, NumPy or torch Generator that draws them.
    """

    scale: float | None = None
    rng: Any = None
    feedback: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)
    budget: Budget = field(default_factory=Budget, init=False, repr=False)
    dense_gradients: ClassVar[bool] = True
    per_example: ClassVar[bool] = False

    def __post_init__(self) -> None:
        known = isinstance(self.scale, int | float) and not isinstance(self.scale, bool)
        if self.scale is not None and not (known and 0 < self.scale < float("inf")):
            raise UserError("feedback has a size.", came=f"scale={self.scale!r}", expected="a number above 0, or None")
        generator = generator_of(self.rng)
        self._own = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        self._bits = 0

    def fixed(self, name: str, shape: tuple[int, ...], deviation: float, like: Tensor) -> Tensor:
        """Return the matrix of a layer, drawn if this is the first time.

        Args:
            name: of the layer.
            shape: of the matrix.
            deviation: standard deviation where ``scale`` is None.
            like: gives the device and the dtype.
        """
        if name not in self.feedback:
            # by name, so that no layer's matrix depends on which others were drawn before, or are frozen
            generator = torch.Generator().manual_seed(integer(self._own, "feedback", name))
            drawn = torch.randn(shape, generator=generator)
            self._bits += 32 * drawn.numel()
            self.feedback[name] = drawn.mul_(deviation if self.scale is None else self.scale)
        found = self.feedback[name]
        if found.shape != shape:
            raise UserError(
                f"the feedback of layer {name!r} was drawn for another shape.",
                came=str(tuple(shape)),
                expected=str(tuple(found.shape)),
                attempt="a new rule for each network",
            )
        if found.device != like.device or found.dtype != like.dtype:
            found = self.feedback[name] = found.to(like)
        return found

    def drawn_bits(self) -> int:
        """Return the random bits taken since the last time this was asked."""
        bits, self._bits = self._bits, 0
        return bits

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule remembers, as plain tensors and numbers."""
        return {
            "budget": self.budget.state_dict(),
            "own": self._own,
            "feedback": {name: matrix.clone() for name, matrix in self.feedback.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where such a state was taken."""
        self.budget.load_state_dict(state["budget"])
        self._own = state["own"]
        self.feedback = {name: matrix.clone() for name, matrix in state["feedback"].items()}

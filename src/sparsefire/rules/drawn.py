"""What rules that draw noise remember from call to call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import torch

from sparsefire.rules.budget import Budget


@dataclass(eq=False)
class Drawn:
    """The state of a rule that draws from a generator of its own and counts what it spends."""

    budget: Budget = field(default_factory=Budget, init=False, repr=False)
    _generator: torch.Generator = field(init=False, repr=False)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule remembers, as plain tensors and numbers."""
        return {"generator": self._generator.get_state(), "budget": self.budget.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where such a state was taken."""
        self._generator.set_state(state["generator"])
        self.budget.load_state_dict(state["budget"])


def undone_on_failure(call: Callable[..., Any]) -> Callable[..., Any]:
    """Let a call that fails leave the rule as if it had not been: the same noise comes next, whatever was drawn.

    Args:
        call: ``__call__`` of a rule with ``state_dict`` and ``load_state_dict``.
    """

    @wraps(call)
    def guarded(self: Any, *args: Any, **named: Any) -> Any:
        before = self.state_dict()
        try:
            return call(self, *args, **named)
        except BaseException:
            self.load_state_dict(before)
            raise

    return guarded

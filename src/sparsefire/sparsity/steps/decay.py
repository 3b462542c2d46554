"""Weight decay that is switched off part-way.

T. Jacobs, C. Zhou, R. Burkholz. Mirror, mirror of the flow: how does regularization shape implicit bias?, ICML 2025.
arXiv:2504.12883

Decay changes the geometry in which training goes on, and that outlasts it, while the pull that biases the minimum goes.
Of a product m · w under a penalty α (m² + w²), the balance has shrunk to β₀ · exp(-4 ∫ α), and the metric near zero
with it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sparsefire.errors import UserError
from sparsefire.sparsity.setting import Setting, check_steps
from sparsefire.sparsity.steps.wrapper import optimizer_of
from sparsefire.sparsity.topology.base import Control


class DecayOff(Control):
    """Set the weight decay of every group to zero after a fraction of the steps.

    The paper proposes the switch, the moment is a choice: half-way by default.

    Args:
        setting: with an optimizer and the number of steps.
        after: fraction of the steps with decay, in [0, 1].

    Raises:
        UserError: an optimizer without such a thing as weight decay, or ``after`` outside [0, 1].
    """

    needs: ClassVar[frozenset[str]] = frozenset({"optimizer", "steps"})

    def __init__(self, setting: Setting, after: float = 0.5) -> None:
        super().__init__(setting)
        self.optimizer = optimizer_of(setting)
        if not 0 <= after <= 1:
            raise UserError("decay stops after a fraction of the steps.", came=f"after={after}", expected="0 to 1")
        if not all("weight_decay" in group for group in self.optimizer.param_groups):
            raise UserError(
                "this optimizer has no weight decay to switch off.",
                came=type(self.optimizer).__name__,
                expected="one whose groups have weight_decay, such as SGD or AdamW",
            )
        self.last = round(after * check_steps(setting.steps, setting.method))
        self.decays = [float(group["weight_decay"]) for group in self.optimizer.param_groups]
        self.off = False
        self.update(0)

    def update(self, step: int) -> None:
        if step >= self.last and not self.off:
            self.decays = [float(group["weight_decay"]) for group in self.optimizer.param_groups]
            self.off = True
            self._write()

    def state_dict(self) -> dict[str, Any]:
        return {"off": self.off, "decays": list(self.decays)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        was_off, self.off, self.decays = self.off, bool(state["off"]), [float(decay) for decay in state["decays"]]
        if self.off or was_off:
            self._write()

    def _write(self) -> None:
        for group, decay in zip(self.optimizer.param_groups, self.decays, strict=False):
            group["weight_decay"] = 0.0 if self.off else decay

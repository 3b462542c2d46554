"""What one loss is compared with, where a rule reads one loss at a time."""

from __future__ import annotations

from torch import Tensor

from sparsefire.errors import UserError

BASELINES = ("none", "previous", "running-mean")


class Baseline:
    """Turn losses read one after the other into advantages.

    ``"none"`` leaves them, ``"previous"`` subtracts the loss read just before, ``"running-mean"`` an exponential mean
    of those before. In the one-query linear model they cost 3, 4 and 2 σ²d²/k (2 is the least that any adaptive rule
    can have).

    Args:
        kind: one of ``BASELINES``.
        rate: of the running mean, in (0, 1].

    >>> import torch; baseline = Baseline("previous"); baseline.value = 1.0
    >>> baseline.advantages(torch.tensor([3.0, 2.0])).tolist()
    [2.0, -1.0]
    """

    def __init__(self, kind: str, rate: float = 0.02) -> None:
        if kind not in BASELINES:
            raise UserError(f"there is no baseline {kind!r}.", came=repr(kind), expected=", ".join(BASELINES))
        if not 0 < rate <= 1:
            raise UserError("a running mean moves by a share.", came=f"rate={rate!r}", expected="a number in (0, 1]")
        self.kind, self.rate = kind, rate
        self.value: float | None = None

    @property
    def waits(self) -> bool:
        """Whether a first loss is needed to compare with."""
        return self.kind != "none" and self.value is None

    def advantages(self, losses: Tensor, together: int = 1) -> Tensor:
        """Return the losses [K] less the baseline of each, and go on with the last.

        Losses that share a direction must be told by ``together``: they are compared with what came before all of
        them, since a baseline that knows the direction would bias the estimate.
        """
        if self.kind == "none":
            return losses
        value, found = self.value or 0.0, []
        for group in losses.reshape(-1, together).tolist():
            found += [loss - value for loss in group]
            for loss in group:
                value = loss if self.kind == "previous" else value + self.rate * (loss - value)
        self.value = value
        return losses.new_tensor(found)

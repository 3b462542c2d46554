"""What is trained on digits: how a weight is made, what noise it carries, and which strengths are tried."""

from __future__ import annotations

from dataclasses import dataclass

FLOORS = (0.1, 1.0)
"""Shares of a layer's mean curvature that are added to the curvature of a weight."""


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: on the page.
        weight: ``"plain"`` or a ``"product"`` of two factors.
        noise: ``"none"``, ``"both factors"`` (additive) or ``"poisson"`` (variance e² |θ|).
        curved: whether the noise of a weight follows its curvature: η² = λ / (H + floor), e² = 2λ / (H + floor).
        rows: whether every row of a batch has noise of its own, or all share it.
        penalty: ``"none"``, ``"spred"``, or ``"average"``, what curved noise takes away from |θ| on average: λ H /
            (H + floor), without any noise.
        strengths: κ, η, e or λ that are tried; as many for each arm that has one.
    """

    name: str
    weight: str
    noise: str = "none"
    curved: bool = False
    rows: bool = False
    penalty: str = "none"
    strengths: tuple[float, ...] = (0.0,)

    @property
    def floors(self) -> tuple[float, ...]:
        """Return the floors that are tried."""
        return FLOORS if self.curved else (0.0,)


_ETA = (0.03, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4)
_E = (0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_LAM = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
BOTH, POISSON = "both factors", "poisson"

PLAIN, QUIET, SPRED = "plain", "product, no noise", "spred"
AVERAGE = "its average, without noise"
ARMS = (
    Arm(PLAIN, "plain"),
    Arm(QUIET, "product"),
    Arm(SPRED, "product", penalty="spred", strengths=(1e-4, 3e-4, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3)),
    Arm("product", "product", BOTH, strengths=_ETA),
    Arm("Poisson", "plain", POISSON, strengths=_E),
    Arm("Poisson, by row", "plain", POISSON, rows=True, strengths=_E),
    Arm("product, curved", "product", BOTH, True, strengths=_LAM),
    Arm("Poisson, curved", "plain", POISSON, True, strengths=_LAM),
    Arm("product, curved, by row", "product", BOTH, True, True, strengths=_LAM),
    Arm("Poisson, curved, by row", "plain", POISSON, True, True, strengths=_LAM),
    Arm(AVERAGE, "plain", curved=True, penalty="average", strengths=_LAM),
)
BY_NAME = {arm.name: arm for arm in ARMS}

"""How many weights each layer keeps, under every layout, the critical one included."""

from __future__ import annotations

from collections.abc import Sequence

from sparsefire.propagation.critical import critical_layout
from sparsefire.wiring import layer_counts
from sparsefire.wiring import layouts as wiring_layouts
from sparsefire.wiring.layouts import Shape

CRITICAL = {"critical": "normal", "critical-signs": "sign"}
"""The critical layouts and the law of weights they are for; signs allow the smaller fan-ins."""

LAYOUTS = (*wiring_layouts.LAYOUTS, *CRITICAL)
"""What ``layout=`` takes, beside ``"global"`` for methods that prune by magnitude."""


def amounts(shapes: Sequence[Shape], density: float, layout: str) -> list[int]:
    """Return how many weights each layer keeps.

    Args:
        shapes: weight shapes, first layer first.
        density: share of all weights to keep, in (0, 1].
        layout: a name in ``LAYOUTS``; ``"critical"`` is :func:`~sparsefire.propagation.critical.critical_layout`.

    >>> amounts([(128, 64), (128, 128), (10, 128)], 0.2, "critical")
    [2488, 2488, 195]
    """
    if layout in CRITICAL:
        return list(critical_layout(list(shapes), density, weights=CRITICAL[layout]).counts)
    return layer_counts(shapes, density, layout)


def smallest_density(shapes: Sequence[Shape], layout: str) -> float:
    """Return the density below which a layout is not feasible, 0 if it always is.

    >>> round(smallest_density([(128, 64), (128, 128), (10, 128)], "critical"), 3)
    0.044
    """
    if layout not in CRITICAL:
        return 0.0
    return critical_layout(list(shapes), weights=CRITICAL[layout]).smallest_density

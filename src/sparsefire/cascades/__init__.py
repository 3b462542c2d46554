"""What spreads over a wiring: models, and the law of how far it gets. Names load when they are first used.

Models stand at the top of this room; ``exact``, ``approximate`` and ``sampling`` are how they are solved,
``influence``, ``avalanches`` and ``infer`` what is done with them.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "IndependentCascade": "independent",
    "LinearThreshold": "linear_threshold",
    "Threshold": "threshold",
    "LoadRedistribution": "load_redistribution",
    "CascadeModel": "model",
    "SizeDistribution": "distribution",
    "Marginals": "sampling.runs",
    "Sample": "sampling.runs",
    "MeanField": "approximate.ensembles",
    "mean_field": "approximate.ensembles",
    "modes": "shape",
    "tree_law": "exact.tree",
    "live_tree_law": "exact.live_tree",
    "threshold_tree_law": "exact.threshold_tree",
    "marginals": "exact.tree",
    "marginals_given_size": "exact.conditional",
    "live_marginals_given_size": "exact.conditional",
    "threshold_marginals_given_size": "exact.conditional",
    "enumerate_independent": "exact.small",
    "enumerate_thresholds": "exact.small",
    "tree_approximation": "approximate.spanning_tree",
    "tree_approximation_live": "approximate.spanning_tree",
    "tree_approximation_threshold": "approximate.spanning_tree",
    "independent_units_law": "approximate.independent_units",
    "cavity_marginals": "approximate.cavity",
    "cavity_marginals_live": "approximate.cavity",
    "cavity_marginals_threshold": "approximate.cavity_thresholds",
}
_MODULES = {
    "avalanches": "avalanches",
    "branching": "branching",
    "closed_forms": "exact.closed_forms",
    "degree_laws": "approximate.degree_laws",
    "infer": "infer",
    "influence": "influence",
    "windows": "approximate.windows",
}

__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"sparsefire.cascades.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"sparsefire.cascades.{_MODULES[name]}")
    raise AttributeError(f"module 'sparsefire.cascades' has no attribute {name!r}")

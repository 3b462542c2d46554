"""What spreads over a wiring: models, and the law of how far it gets. Names load when they are first used."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "IndependentCascade": "independent",
    "LinearThreshold": "linear_threshold",
    "Threshold": "threshold",
    "LoadRedistribution": "load_redistribution",
    "CascadeModel": "model",
    "Marginals": "sampling",
    "Sample": "sampling",
    "SizeDistribution": "distribution",
    "tree_law": "tree",
    "marginals": "tree",
    "marginals_given_size": "conditional",
    "enumerate_independent": "small",
    "enumerate_thresholds": "small",
    "tree_approximation": "spanning_tree",
    "live_tree_law": "live_tree",
    "cavity_marginals": "cavity",
    "cavity_marginals_live": "cavity",
    "cavity_marginals_threshold": "cavity_thresholds",
    "MeanField": "ensembles",
    "Influence": "influence",
    "modes": "shape",
    "threshold_tree_law": "threshold_tree",
    "independent_units_law": "independent_units",
    "mean_field": "ensembles",
    "branching": "",
    "influence": "",
    "avalanches": "",
    "degree_laws": "",
    "infer": "",
    "windows": "",
    "closed_forms": "",
    "threshold_tree": "",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sparsefire.cascades' has no attribute {name!r}")
    module = importlib.import_module(f"sparsefire.cascades.{_HOME[name] or name}")
    return getattr(module, name) if _HOME[name] else module

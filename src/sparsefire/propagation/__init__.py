"""A network as a cascade at initialisation: laws, diagnosis, initialisers, layouts, penalties. Names load when used.

``laws`` tells what depth does to a signal and needs no network; ``diagnose`` looks at a network; ``init``,
:func:`critical_masks` and :func:`penalty` mend it.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "activation": "laws.activations",
    "variance_map": "laws.mean_field",
    "kurtosis_map": "laws.mean_field",
    "orbit": "laws.mean_field",
    "correlation_map": "laws.mean_field",
    "fixed_point": "laws.mean_field",
    "slope": "laws.mean_field",
    "depth_scale": "laws.mean_field",
    "critical_line": "laws.mean_field",
    "density_evolution": "laws.density_evolution",
    "norm_moments": "laws.finite_width",
    "norm_law": "laws.finite_width",
    "gram_chain": "laws.finite_width",
    "mean_gram": "laws.gram",
    "dead_share": "laws.sparse",
    "dead_limit": "laws.sparse",
    "dead_law": "laws.sparse",
    "silent_share": "laws.sparse",
    "active_law": "laws.sparse",
    "kurtosis": "laws.sparse",
    "kurtosis_limit": "laws.sparse",
    "log_norm": "laws.log_norm",
    "criticalities": "laws.criticality",
    "singular_values": "jacobian",
    "spectrum": "jacobian",
    "synflow_scores": "conserved",
    "synflow_masks": "conserved",
    "flow_balance": "conserved",
    "product_balance": "conserved",
    "attention_balance": "conserved",
    "critical_layout": "critical",
    "critical_masks": "critical",
    "penalty": "penalties",
    "penalty_parts": "penalties",
    "growth_scores": "penalties",
    "path_counts": "paths",
    "diagnose": "diagnosis",
    "Diagnosis": "diagnosis",
}
_MODULES = {"init": "init", "laws": "laws"}

__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"sparsefire.propagation.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"sparsefire.propagation.{_MODULES[name]}")
    raise AttributeError(f"module 'sparsefire.propagation' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)

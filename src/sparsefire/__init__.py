"""Sparse networks that fire: small networks, and the evidence that they are good enough.

Import as ``import sparsefire as sf``. Rooms load when they are first used, so the import itself is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Where each name lives. A plain table: what people type often, and the rooms.
_HOME = {
    "fit": "estimators",
    "SparseClassifier": "estimators",
    "SparseRegressor": "estimators",
    "load_model": "deploy",
    "sparsify": "sparsity",
    "bake": "masks",
    "density": "masks",
    "list_methods": "sparsity",
    "UserError": "errors",
    "Wiring": "wiring",
}
_ROOMS = (
    "cascades", "convergence", "data", "deploy", "estimators", "evaluate", "kernels", "masks", "parallel",
    "propagation", "randomness", "report", "rules", "search", "sparsity", "spiking", "statistics", "studies", "train",
    "wiring",
)  # fmt: skip

__all__ = ["__version__", *sorted(_HOME), *sorted(_ROOMS)]

if TYPE_CHECKING:
    from sparsefire.deploy import load_model as load_model
    from sparsefire.errors import UserError as UserError
    from sparsefire.estimators import SparseClassifier as SparseClassifier
    from sparsefire.estimators import SparseRegressor as SparseRegressor
    from sparsefire.estimators import fit as fit
    from sparsefire.masks import bake as bake
    from sparsefire.masks import density as density
    from sparsefire.sparsity import list_methods as list_methods
    from sparsefire.sparsity import sparsify as sparsify
    from sparsefire.wiring.graph import Wiring as Wiring


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"sparsefire.{_HOME[name]}"), name)
    elif name in _ROOMS:
        value = importlib.import_module(f"sparsefire.{name}")
    else:
        raise AttributeError(f"module 'sparsefire' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

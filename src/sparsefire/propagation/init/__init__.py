"""Initialisers, in place, named as torch does; every one knows the mask of each layer."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "in_degree_": "variance",
    "typical_": "variance",
    "signs_": "variance",
    "looks_linear_": "looks_linear",
    "mirrored_masks": "looks_linear",
    "sparse_orthogonal_": "orthogonal",
    "support_masks": "orthogonal",
    "approximate_isometry_": "isometry",
    "residual_isometry_": "residual",
    "balance_attention_": "attention",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"sparsefire.propagation.init.{_HOME[name]}"), name)
    raise AttributeError(f"module 'sparsefire.propagation.init' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)

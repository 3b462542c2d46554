"""Compiled arithmetic on plain arrays. No torch here, and Numba only when a compiled function is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsefire.kernels.csr import from_csr as from_csr
    from sparsefire.kernels.csr import to_csr as to_csr
    from sparsefire.kernels.layers import FORMS as FORMS
    from sparsefire.kernels.layers import Plan as Plan
    from sparsefire.kernels.layers import forward as forward
    from sparsefire.kernels.layers import plan as plan
    from sparsefire.kernels.timing import time_call as time_call

_HOME = {
    "FORMS": "layers", "Plan": "layers", "forward": "layers", "plan": "layers",
    "from_csr": "csr", "to_csr": "csr", "time_call": "timing",
}  # fmt: skip

__all__ = ["FORMS", "Plan", "forward", "from_csr", "plan", "time_call", "to_csr"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sparsefire.kernels' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sparsefire.kernels.{_HOME[name]}"), name)

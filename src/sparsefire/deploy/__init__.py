"""Handing a model over: stored without pickle, read back with suspicion, and run by what was measured fastest here."""

from __future__ import annotations

from typing import Any

from sparsefire.deploy.compact import compact
from sparsefire.deploy.model import Model, load_model, save_model
from sparsefire.deploy.runner import Runner, fastest

__all__ = ["Model", "Runner", "compact", "fastest", "from_nir", "load_model", "save_model", "to_nir"]


def __getattr__(name: str) -> Any:
    if name not in ("from_nir", "to_nir"):  # these load the room of spiking networks
        raise AttributeError(f"module 'sparsefire.deploy' has no attribute {name!r}")
    from sparsefire.deploy import nir

    return getattr(nir, name)

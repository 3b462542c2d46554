"""Handing a model over: stored without pickle, read back with suspicion, and run by what was measured fastest here."""

from sparsefire.deploy.compact import compact
from sparsefire.deploy.model import Model, load_model, save_model
from sparsefire.deploy.runner import Runner, fastest

__all__ = ["Model", "Runner", "compact", "fastest", "load_model", "save_model"]

from __future__ import annotations

import sys
import types
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from sparsefire.deploy import save_model
from sparsefire.randomness import stream
from sparsefire.train.networks import build


@dataclass(frozen=True)
class Centre:
    """The simplest preparation: subtract a stored mean."""

    mean: np.ndarray

    @property
    def features(self):
        return self.mean.size

    @property
    def feature_names(self):
        return tuple(f"x{i}" for i in range(len(self.mean)))

    def transform(self, inputs):
        return (np.asarray(inputs, dtype=np.float64) - self.mean).astype(np.float32)

    def arrays(self):
        return {"mean": self.mean}

    def settings(self):
        return {"kind": "centre"}


def from_stored(arrays, settings):
    if settings["kind"] != "centre":
        raise ValueError(settings["kind"])
    return Centre(arrays["mean"])


@pytest.fixture
def rooms(monkeypatch):
    """Stand-ins for reading and preparing data, so that these tests are about the model folder alone."""
    data = types.ModuleType("sparsefire.data")
    data.read_new = lambda inputs, schema: np.asarray(inputs)
    prepare = types.ModuleType("sparsefire.data.prepare")
    prepare.from_stored = from_stored
    data.prepare = prepare
    monkeypatch.setitem(sys.modules, "sparsefire.data", data)
    monkeypatch.setitem(sys.modules, "sparsefire.data.prepare", prepare)


@pytest.fixture
def centre():
    """The class of the stand-in preparation."""
    return Centre


@pytest.fixture
def thin():
    """thin(description, density, rng=0, factory=None): a network with random masks and biases, baked by hand."""
    return thinned


def thinned(description, density, rng=0, factory=None):
    network = build(description, rng=rng, factory=factory)
    draws = stream(rng, "thin")
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(torch.from_numpy(draws.random(parameter.shape) < density))
            else:
                parameter.copy_(torch.from_numpy(draws.standard_normal(parameter.shape)))
    return network


MLP = {"kind": "mlp", "widths": [12, 40, 30, 3]}
SCHEMA = {
    "kind": "array", "columns": [], "shape": [12], "feature_names": [], "scaled": False, "ignored": [],
    "task": "classification", "classes": ["setosa", "it's", "<b>"], "target": "kind",
}  # fmt: skip


@pytest.fixture
def saved(tmp_path, rooms):
    """(folder, network) of a stored classifier with 12 inputs and 3 classes."""
    network = thinned(MLP, 0.1)
    folder = tmp_path / "model"
    preparation = Centre(np.arange(12.0))
    save_model(folder, description=MLP, network=network, preparation=preparation, schema=SCHEMA, extra={"note": "ü"})
    return folder, network

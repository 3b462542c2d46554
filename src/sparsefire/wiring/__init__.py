"""Which unit acts on which: wirings, how to make, read and randomise them, and how dense each layer of a network is."""

from __future__ import annotations

import importlib
from typing import Any

from sparsefire.wiring.layouts import LAYOUTS, densities, layer_counts

# Where each other name lives; loaded when first used, since these need scipy.sparse, pandas or numba.
_HOME = {
    "Wiring": "graph",
    "from_graph": "convert",
    "to_networkx": "convert",
    "from_frame": "convert",
    "to_frame": "convert",
    "from_mask": "convert",
    "to_mask": "convert",
    "read_edges": "read",
    "write_edges": "write",
    "edge_list": "nulls",
    "erdos_renyi": "generators",
    "fixed_arcs": "generators",
    "fixed_fan_in": "generators",
    "lognormal_fan_in": "generators",
    "small_world": "generators",
    "preferential_attachment": "generators",
    "random_tree": "generators",
    "configuration": "degrees",
    "random_regular": "degrees",
    "biregular": "degrees",
    "degree_preserving_rewiring": "nulls",
    "density_matched": "nulls",
    "shuffle_weights": "nulls",
    "connectomes": "",
}

__all__ = ["LAYOUTS", "densities", "layer_counts", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sparsefire.wiring' has no attribute {name!r}")
    module = importlib.import_module(f"sparsefire.wiring.{_HOME[name] or name}")
    return getattr(module, name) if _HOME[name] else module

"""Ways to a small network: :func:`sparsify` and the methods it knows by name."""

from sparsefire.masks import bake, masks
from sparsefire.sparsity.methods import METHODS, Method, list_methods, sparsify
from sparsefire.sparsity.topology import Topology

__all__ = ["METHODS", "Method", "Topology", "bake", "list_methods", "masks", "sparsify"]

"""Ways to a small network: :func:`sparsify` and the methods it knows by name."""

from sparsefire.masks import bake, masks
from sparsefire.sparsity.methods import list_methods, sparsify
from sparsefire.sparsity.recipes import METHODS, Recipe, recipe
from sparsefire.sparsity.steps import HAM, SAM
from sparsefire.sparsity.topology.base import Topology
from sparsefire.sparsity.watch import Watch, mask_overlap, sign_agreement

__all__ = [
    "HAM",
    "METHODS",
    "SAM",
    "Recipe",
    "Topology",
    "Watch",
    "bake",
    "list_methods",
    "mask_overlap",
    "masks",
    "recipe",
    "sign_agreement",
    "sparsify",
]

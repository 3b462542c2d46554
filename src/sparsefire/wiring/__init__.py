"""Which units are connected: how a density is shared out over the layers of a network."""

from sparsefire.wiring.densities import LAYOUTS, layer_counts

__all__ = ["LAYOUTS", "layer_counts"]

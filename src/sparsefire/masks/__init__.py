"""Masks: the one protocol by which torch networks show and accept which of their weights exist.

A masked layer carries a :class:`Masked` parametrisation on its ``weight``. The optimizer keeps holding the very same
Parameter as before; the layer computes with ``mask * weight``; entries outside the mask are exactly zero after every
optimizer step, and so are their moments (:func:`keep_zero`). Rooms above read through :func:`active`, :func:`masks` and
:func:`density`; only ``sparsity`` writes.

Three sets of layers: :func:`layers` are linear and convolutional, masked or not; :func:`maskable` are those that
``sparsify`` masks, attention projections among them; :func:`masked` are those that carry a mask now.
"""

from sparsefire.masks.parametrisation import CHAIN, Masked, gradient_of, mask_of, own_parameter
from sparsefire.masks.projection import Projection
from sparsefire.masks.reading import active, dense_state_dict, density, layers, maskable, masked, masks
from sparsefire.masks.writing import attach_, bake, own_class, stored_weight, write_mask_, write_weight_
from sparsefire.masks.zeros import clear_moments_, keep_zero, zero_masked_

__all__ = [
    "CHAIN",
    "Masked",
    "Projection",
    "active",
    "attach_",
    "bake",
    "clear_moments_",
    "dense_state_dict",
    "density",
    "gradient_of",
    "keep_zero",
    "layers",
    "mask_of",
    "maskable",
    "masked",
    "masks",
    "own_class",
    "own_parameter",
    "stored_weight",
    "write_mask_",
    "write_weight_",
    "zero_masked_",
]

"""The dense product of many rows with the weights of a layer, by the faster of two libraries that come with torch."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

_LEAST_WORK = 1 << 23  # multiplications


@cache
def _blas_is_slow() -> bool:
    """Whether torch's BLAS leaves the wide units of this processor idle: MKL does so on those of AMD."""
    import llvmlite.binding

    mkldnn = torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()
    return mkldnn and llvmlite.binding.get_host_cpu_name().startswith("znver")


def dense(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``functional.linear(x, weight, bias)`` for x [rows, in] on the CPU.

    Where MKL is slow, a large product in float32 is written as a convolution with one pixel, which oneDNN computes:
    twice as fast there, forward and backward, and equal up to rounding. Rows are the pixels of images whose channels
    come last, so nothing is copied; a single image would be given to MKL again.
    """
    rows, inputs = x.shape
    images = next((n for n in (64, 16, 4, 2) if rows % n == 0), 1)
    large = rows * inputs * weight.shape[0] >= _LEAST_WORK and images > 1
    if (
        not large
        or x.dtype != torch.float32
        or not x.is_contiguous()
        or not torch.backends.mkldnn.enabled
        or not _blas_is_slow()
    ):
        return functional.linear(x, weight, bias)
    pixels = x.view(images, rows // images, 1, inputs).permute(0, 3, 1, 2)
    return functional.conv2d(pixels, weight[:, :, None, None], bias).permute(0, 2, 3, 1).reshape(rows, -1)

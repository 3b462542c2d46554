"""How many paths lead from the inputs to the outputs of a network, counted exactly, and which units lie on none.

A linear cascade that starts with one at every input counts them: with M_l [out, in] the number of weights that join
two units,

    forward   a_0 = 1,  a_l = M_l a_(l−1)      paths from any input to a unit
    backward  b_L = 1,  b_(l−1) = M_lᵀ b_l     paths from a unit to any output
    total     Σ a_L = Σ b_0;  a_l · b_l paths lead through a unit of layer l

(the path count of SynFlow with |w| = 1, arXiv:2006.05467). Counts exceed every machine number after a few layers. They
are kept in limbs of 2^bits, with bits such that each sum of a product stays below 2⁵³: float64 products are then
exact, whatever their order, and only the carries are left.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from sparsefire.errors import UserError

_EXACT = 53  # bits of a float64
_SPARSE = 0.1  # density below which a sparse product is the faster one
_ENTRIES = 1 << 22  # of a dense matrix that are float64 at a time

_Matrix = Any  # [out, in], bool or integer, or a CSR array of float64
_Given = tuple[str, np.ndarray, int | None]  # name, what exists, groups (None where only the shapes can tell)


@dataclass(frozen=True, eq=False)
class PathCounts:
    """Paths through a network.

    Attributes:
        names: of the layers, first layer first.
        total: number of paths from inputs to outputs, exact.
        forward: log10 of the paths from any input to each unit, −∞ for none: one float64 array for the inputs, then
            one for the outputs of every layer.
        backward: log10 of the paths from each unit to any output, likewise.
        dead_inputs: inputs of each layer that no weight leaves, int64 [layers].
        dead_outputs: outputs of each layer that no weight reaches, int64 [layers].
        unreached: outputs of each layer to which no path leads from the inputs, int64 [layers].
        unheard: outputs of each layer from which no path leads to the outputs of the network, int64 [layers].
        disconnected: outputs of each layer that are one or the other, int64 [layers].
    """

    names: tuple[str, ...]
    total: int
    forward: tuple[np.ndarray, ...]
    backward: tuple[np.ndarray, ...]
    dead_inputs: np.ndarray
    dead_outputs: np.ndarray
    unreached: np.ndarray
    unheard: np.ndarray
    disconnected: np.ndarray

    @property
    def log10_total(self) -> float:
        """log10 of the number of paths, −∞ for none."""
        return math.log10(self.total) if self.total else -math.inf

    def on_paths(self, layer: int) -> np.ndarray:
        """Return which outputs of a layer (which inputs, for −1) lie on a path, bool [units]."""
        return np.isfinite(self.forward[layer + 1]) & np.isfinite(self.backward[layer + 1])


def path_counts(net: Any) -> PathCounts:
    """Count the paths from the inputs to the outputs of a network whose layers follow each other.

    Args:
        net: a torch network: of its linear and convolutional layers, in the order of the modules, the masks count, and
            where there is none the weights that are not zero. Or a sequence, or a mapping from names, of arrays
            ``[out, in]`` or ``[out, in, *kernel]`` that are non-zero where a weight exists.

    A convolution joins channels: two channels are joined as often as the kernel between them has taps, whatever the
    size of the image. Where a linear layer follows a convolution, each channel has in / channels places there, and each
    weight from one of them counts. Grouped convolutions join the channels of a group.

    Raises:
        UserError: no layers, an array that is none of a layer, layers that do not follow each other (which two).

    >>> found = path_counts([np.ones((3, 2)), np.array([[1, 1, 0]])])
    >>> found.total, found.dead_inputs.tolist(), found.unheard.tolist()
    (4, [0, 1], [1, 0])
    >>> path_counts([np.ones((512, 512))] * 50).total == 512**51
    True
    """
    layers = _layers(net)
    matrices = _chain(layers)
    fan_ins = [_product(matrix, _ones(matrix.shape[1])) for matrix in matrices]
    fan_outs = [_product(matrix.T, _ones(matrix.shape[0])) for matrix in matrices]
    most = int(max(degrees.max() for degrees in fan_ins + fan_outs))
    bits = _EXACT - max(most.bit_length(), 1)
    if bits < 1:
        raise UserError("a unit has too many weights to count paths.", came=f"{most:,}", expected="below 2^52")
    ahead = [_ones(matrices[0].shape[1])]
    for matrix in matrices:
        ahead.append(_carry(_product(matrix, ahead[-1]), bits))
    back = [_ones(matrices[-1].shape[0])]
    for matrix in reversed(matrices):
        back.append(_carry(_product(matrix.T, back[-1]), bits))
    back.reverse()
    unreached = [counts.max(1) == 0 for counts in ahead[1:]]
    unheard = [counts.max(1) == 0 for counts in back[1:]]
    return PathCounts(
        names=tuple(name for name, _, _ in layers),
        total=_whole(ahead[-1], bits),
        forward=tuple(_log10(counts, bits) for counts in ahead),
        backward=tuple(_log10(counts, bits) for counts in back),
        dead_inputs=_numbers([degrees == 0 for degrees in fan_outs]),
        dead_outputs=_numbers([degrees == 0 for degrees in fan_ins]),
        unreached=_numbers(unreached),
        unheard=_numbers(unheard),
        disconnected=_numbers([a | b for a, b in zip(unreached, unheard, strict=True)]),
    )


def _layers(net: Any) -> list[_Given]:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(net, torch.nn.Module):
        from sparsefire.propagation.init.walk import layers_of

        return [(layer.name or type(layer.module).__name__, *_existing(layer)) for layer in layers_of(net)]
    if isinstance(net, Mapping):
        given = [(str(name), array) for name, array in net.items()]
    elif isinstance(net, Sequence) and not isinstance(net, str):
        given = [(str(place), array) for place, array in enumerate(net)]
    else:
        raise UserError(
            "paths lead through a network or through arrays.",
            came=type(net).__name__,
            expected="a torch.nn.Module, or a list of arrays [out, in]",
        )
    if not given:
        raise UserError("paths need a layer to lead through.", came="no arrays", expected="one or more")
    found: list[_Given] = []
    for name, array in given:
        exists = np.asarray(array) != 0
        if exists.ndim < 2 or not exists.size:
            raise UserError(
                f"layer {name!r} is no layer.", came=f"shape {exists.shape}", expected="[out, in] or [out, in, *kernel]"
            )
        found.append((name, exists, None))
    return found


def _existing(layer: Any) -> tuple[np.ndarray, int]:
    exists = layer.mask if layer.mask is not None else layer.module.weight.detach() != 0
    return exists.cpu().numpy(), getattr(layer.module, "groups", 1)


def _chain(layers: list[_Given]) -> list[_Matrix]:
    """Return the number of weights between any two units, layer by layer, checked to follow each other."""
    matrices = []
    before: tuple[str, int, bool] | None = None  # name, outputs, whether they are channels
    for name, exists, told in layers:
        outs, ins, is_kernel = exists.shape[0], exists.shape[1], exists.ndim > 2
        groups, places = told or 1, 1
        if before is not None:
            _, entering, channels = before
            if is_kernel and told is None:  # arrays do not tell their groups, but what comes before them does
                groups = max(entering // ins, 1)
            elif not is_kernel and channels:  # flattened: each channel has several places
                places = max(ins // entering, 1)
            if ins * groups != entering * places or outs % groups:
                raise _apart(before, name, ins * groups)
        counts = exists
        if is_kernel or places > 1:
            counts = np.count_nonzero(exists.reshape(outs, ins // places, -1), axis=2)
        matrices.append(_stored(counts, groups))
        before = (name, outs, is_kernel)
    return matrices


def _apart(before: tuple[str, int, bool], name: str, ins: int) -> UserError:
    kind = "channels" if before[2] else "outputs"
    return UserError(
        f"the layers do not follow each other: {before[0]!r} has {before[1]:,} {kind}, {name!r} takes {ins:,} inputs.",
        came=f"{before[0]!r}, then {name!r}",
        expected="each layer fed by the one before it alone, in the order of the modules",
        attempt="a list of the masks of one chain of layers",
    )


def _stored(counts: np.ndarray, groups: int) -> _Matrix:
    """Return [out, in / groups] as a matrix [out, in] in the form in which its products are fast."""
    if groups == 1 and np.count_nonzero(counts) >= _SPARSE * counts.size:
        return counts
    places = np.flatnonzero(counts)
    rows, columns = np.divmod(places, counts.shape[1])
    columns += rows // (len(counts) // groups) * counts.shape[1]
    ends = np.concatenate([[0], np.bincount(rows, minlength=len(counts)).cumsum()])
    values = np.ones(len(places)) if counts.dtype == bool else counts.ravel()[places].astype(np.float64)
    return sparse.csr_array((values, columns, ends), shape=(len(counts), counts.shape[1] * groups))


def _product(matrix: _Matrix, counts: np.ndarray) -> np.ndarray:
    """Return matrix @ counts as float64 [out, limbs], exact."""
    if sparse.issparse(matrix):
        return np.asarray(matrix @ counts)
    rows = max(1, _ENTRIES // matrix.shape[1])
    parts = [matrix[start : start + rows].astype(np.float64) @ counts for start in range(0, matrix.shape[0], rows)]
    return np.concatenate(parts)


def _ones(units: int) -> np.ndarray:
    return np.ones((units, 1))


def _carry(counts: np.ndarray, bits: int) -> np.ndarray:
    """Bring all limbs below 2^bits, lowest first; more are added for what is left."""
    limbs, over = [], np.zeros(len(counts), dtype=np.int64)
    lowest = np.int64((1 << bits) - 1)
    for limb in counts.T.astype(np.int64):
        over += limb
        limbs.append(over & lowest)
        over >>= bits
    while over.any():
        limbs.append(over & lowest)
        over >>= bits
    return np.array(limbs, dtype=np.float64).T


def _whole(counts: np.ndarray, bits: int) -> int:
    """Return the sum of all counts as one Python integer."""
    return sum(int(limb) << (bits * place) for place, limb in enumerate(counts.astype(np.int64).T.sum(1)))


def _log10(counts: np.ndarray, bits: int) -> np.ndarray:
    """Return log10 of each count from its three highest limbs, exact to rounding."""
    limbs = counts.shape[1]
    top = limbs - 1 - np.argmax(counts[:, ::-1] > 0, axis=1)
    rows = np.arange(len(counts))
    value = sum(
        np.where(top >= down, counts[rows, np.maximum(top - down, 0)], 0.0) * 2.0 ** (-bits * down) for down in range(3)
    )
    with np.errstate(divide="ignore"):
        return np.log10(value) + top * bits * math.log10(2.0)


def _numbers(flags: list[np.ndarray]) -> np.ndarray:
    return np.array([int(flag.sum()) for flag in flags])

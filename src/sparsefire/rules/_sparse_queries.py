"""Chains of sparse linear layers asked about many directions at once, without the weights that are absent.

What a network answers at θ + s u is computed by compiled products over active weights. Where the activities below a
layer are the same for all directions, as those of the batch are, its weights and its directions are multiplied apart,

    (W + s U) x = W x + s (U x),

so that all s share the products with U. Inputs that are zero in the whole batch take no time. A hidden unit that
overflows is not looked at where all its weights to the layer above are absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.func import jvp

from sparsefire.rules._sparse_chain import Layer, layers_of
from sparsefire.rules.active import Active

ROWS = 128
"""Rows of the batch that go through the network together: their activities stay in the cache."""

ROOM = 2**21
"""Bytes that the activities of one layer may take, all directions that go through it together."""

_READ: WeakKeyDictionary = WeakKeyDictionary()  # what may move → (the batch, the chain): several ask in one call

_Own = list[tuple[Layer, Tensor, Tensor]]  # layers with their weights [1, count] and biases [1, units] or [0, units]


@dataclass(frozen=True, eq=False)
class SparseQueries:
    """A chain that can be asked so, and its batch.

    Args:
        layers: in order.
        x: [rows, inputs].
    """

    layers: Sequence[Layer]
    x: Tensor

    def bytes_each(self, size: int) -> int:
        """Return how much memory one direction of this size takes, the losses of its outputs among it."""
        return self.x.element_size() * (4 * size + 8 * len(self.x) * self.layers[-1].units)

    def outputs(self, directions: Tensor, scales: Sequence[float]) -> Tensor:
        """Return what the network answers at θ + s u, [scales, K, rows, outputs]; weights are read anew.

        Args:
            directions: u, [K, active weights].
            scales: s.
        """
        found = self.x.new_empty(len(scales), len(directions), len(self.x), self.layers[-1].units)
        sizes = torch.tensor(list(scales), dtype=self.x.dtype)
        directions, (own, first) = directions.to(self.x), self._own()
        simple = not any(layer.after for layer in self.layers[first:])
        for rows, below in self._tiles():
            for layer, weights, biases in own[:first]:
                below = layer.activities(_product(layer, weights, biases, below))
            layer, weights, biases = own[first]
            taken = _alive(layer, below)
            base = _product(layer, weights, biases, below, taken)
            for some in self._groups(len(directions), 1 if simple else len(scales), below.shape[2]):
                along = directions[some]
                shift = _along(layer, along, below, taken)
                answer = _climb if simple else _step_by_step
                found[:, some, rows] = answer(own[first:], base, shift, along, sizes).transpose(2, 3)
        return found

    def slopes(self, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs [rows, outputs] and their derivatives along directions, [K, rows, outputs].

        Args:
            directions: u, [K, active weights].
        """
        outputs = self.x.new_empty(len(self.x), self.layers[-1].units)
        found = self.x.new_empty(len(directions), *outputs.shape)
        directions, (own, first) = directions.to(self.x), self._own()
        for rows, value in self._tiles():
            inputs, rates = [], []
            for layer, weights, biases in own:
                inputs.append(value)
                before = _product(layer, weights, biases, value)
                answer = jvp(layer.activities, (before,), (torch.ones_like(before),))
                value = answer[0]
                rates.append(answer[1])
            outputs[rows] = value[0].T
            taken = _alive(self.layers[first], inputs[first])
            for some in self._groups(len(directions), 1, value.shape[2]):
                along = directions[some]
                tangents = _along(self.layers[first], along, inputs[first], taken).mul_(rates[first])
                for number in range(first + 1, len(own)):
                    layer, weights, biases = own[number]
                    tangents = _product(layer, weights, biases[:0], tangents)
                    if layer.moves:
                        tangents = _along(layer, along, inputs[number], _all(layer), tangents)
                    tangents.mul_(rates[number])
                found[some, rows] = tangents.transpose(1, 2)
        return outputs, found

    def _own(self) -> tuple[_Own, int]:
        """Return the layers with their weights and biases as they are now, and which is the first that is moved."""
        first = next(number for number, layer in enumerate(self.layers) if layer.moves)
        return [(layer, layer.weights(), layer.biases()) for layer in self.layers], first

    def _tiles(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield rows of the batch, features first, [1, inputs, rows]."""
        for begin in range(0, len(self.x), ROWS):
            rows = slice(begin, begin + ROWS)
            yield rows, self.x[rows].T.contiguous()[None]

    def _groups(self, directions: int, scales: int, rows: int) -> Iterator[slice]:
        """Yield directions that go through the network together."""
        widest = max(layer.units for layer in self.layers)
        size = max(1, ROOM // (self.x.element_size() * scales * widest * rows))
        return (slice(begin, min(begin + size, directions)) for begin in range(0, directions, size))


def read(active: Active, x: Any) -> SparseQueries | None:
    """Return a network as a chain of sparse layers with its batch, or None where that cannot be, or does not pay.

    Args:
        active: what may move, of the network.
        x: the inputs.
    """
    known = _READ.get(active)
    if known is None or known[0] is not x:
        found = layers_of(active, x)
        known = _READ[active] = (x, None if found is None else SparseQueries(*found))
    return known[1]


@dataclass(frozen=True, eq=False)
class _Taken:
    """The weights of a layer that take part in a product: which, and where they stand."""

    which: Any
    starts: np.ndarray
    columns: np.ndarray


def _all(layer: Layer) -> _Taken:
    return _Taken(None, layer.starts, layer.columns)


def _alive(layer: Layer, below: Tensor) -> _Taken:
    """Return the weights whose inputs [1, inputs, rows] are not zero in all rows."""
    from sparsefire.rules._sparse_query_kernels import alive

    kept, starts, columns = (np.empty_like(part) for part in (layer.columns, layer.starts, layer.columns))
    count = alive(below[0].numpy(), layer.starts, layer.columns, kept, starts, columns)
    return _all(layer) if count == len(kept) else _Taken(torch.from_numpy(kept[:count]), starts, columns[:count])


def _product(
    layer: Layer,
    weights: Tensor,
    biases: Tensor,
    below: Tensor,
    taken: _Taken | None = None,
    above: Tensor | None = None,
) -> Tensor:
    """Return weights · below + biases, [G, units, rows], added to above; what has one entry in front all share."""
    from sparsefire.rules._sparse_query_kernels import multiply

    taken, add = taken or _all(layer), above is not None
    weights = weights.contiguous() if taken.which is None else weights[:, taken.which]
    if above is None:
        above = below.new_empty(max(len(weights), len(biases), len(below)), layer.units, below.shape[2])
    multiply(
        weights.numpy(), biases.contiguous().numpy(), add, taken.starts, taken.columns, below.numpy(), above.numpy()
    )
    return above


def _along(layer: Layer, directions: Tensor, below: Tensor, taken: _Taken, above: Tensor | None = None) -> Tensor:
    """Return what directions add to pre-activations where all receive the same, [K, units, rows], added to above."""
    weights, biases = layer.weight_part(directions), layer.bias_part(directions)
    if weights is None:
        weights, taken = directions[:1, :0], _Taken(None, np.zeros_like(layer.starts), layer.columns[:0])
    return _product(layer, weights, directions[:0, : layer.units] if biases is None else biases, below, taken, above)


def _step_by_step(own: _Own, base: Tensor, shift: Tensor, directions: Tensor, sizes: Tensor) -> Tensor:
    """Return the outputs [scales, K, outputs, rows] at base + s · shift of the first layer, one layer at a time."""
    from sparsefire.rules._sparse_query_kernels import spread

    first = own[0][0]
    spreaded = base.new_empty(len(shift), len(sizes), *base.shape[1:])
    spread(base[0].numpy(), shift.numpy(), sizes.numpy(), first.rectified, spreaded.numpy())
    values = first.activities(spreaded.flatten(0, 1), rectified=True)
    for layer, weights, biases in own[1:]:
        moved = _moved(weights, layer.weight_part(directions), sizes)
        before = _product(layer, moved, _moved(biases, layer.bias_part(directions), sizes), values)
        values = layer.activities(before)
    return values.unflatten(0, (len(shift), len(sizes))).transpose(0, 1)


def _climb(own: _Own, base: Tensor, shift: Tensor, directions: Tensor, sizes: Tensor) -> Tensor:
    """Return the same where all activations are ReLUs, all layers together."""
    from sparsefire.rules._sparse_query_kernels import climb

    above = [layer for layer, _, _ in own[1:]]
    weights = torch.cat([base.new_empty(1, 0), *(part for _, part, _ in own[1:])], 1)[0]
    biases = [base.new_empty(0), *(part[0] if len(part) else part.new_zeros(part.shape[1]) for _, _, part in own[1:])]
    places = np.array(
        [[-1 if at is None else at for at in (layer.weight_at, layer.bias_at)] for layer in above], np.int64
    ).reshape(-1, 2)
    tops = np.cumsum([0, *(layer.units for layer in above)])
    begins = np.cumsum([0, *(len(layer.columns) for layer in above)])
    starts = [layer.starts[:-1] + begin for layer, begin in zip(above, begins[:-1], strict=True)]
    found = base.new_empty(len(sizes), len(shift), own[-1][0].units, base.shape[2])
    climb(
        base[0].numpy(),
        shift.numpy(),
        sizes.numpy(),
        directions.contiguous().numpy(),
        weights.numpy(),
        torch.cat(biases).numpy(),
        places[:, 0].copy(),
        places[:, 1].copy(),
        tops,
        np.concatenate([*starts, begins[-1:]]),
        np.concatenate([np.empty(0, np.int64), *(layer.columns for layer in above)]),
        np.array([layer.rectified for layer, _, _ in own]),
        found.numpy(),
    )
    return found


def _moved(own: Tensor, part: Tensor | None, sizes: Tensor) -> Tensor:
    """Return θ + s u, [K · scales, entries]; θ alone where nothing moves."""
    return own if part is None else torch.addcmul(own, sizes[:, None], part[:, None]).flatten(0, 1)

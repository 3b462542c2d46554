"""Wiring: which unit acts on which. A frozen directed graph in compressed rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from sparsefire.errors import UserError

MOST_UNITS = 2**31 - 1  # receivers are int32


@dataclass(frozen=True, eq=False, repr=False)
class Wiring:
    """A directed graph with weights; an arc (u, v) means that u acts on v. Square, or bipartite between two layers.

    Made by :meth:`from_edges` and its siblings, which check what they are given. Arcs stand row by row: those of
    sender u are ``receivers[starts[u]:starts[u + 1]]``, by increasing receiver. Parallel arcs and loops are kept.

    Attributes:
        starts: int64 [senders + 1].
        receivers: int32 [arcs].
        weights: float64 [arcs].
        shape: numbers of senders and of receivers.
        given: int64 [arcs], the place of each arc's edge in the order in which edges were given. An undirected edge is
            two arcs.
        edges: how many edges were given.
        labels: names of the units of a square wiring, or ``()``.
        layered: whether senders and receivers are two layers, also where both have as many units.

    >>> wiring = Wiring.from_edges([0, 0, 1], [1, 2, 2])
    >>> wiring
    Wiring(3 units, 3 arcs)
    >>> wiring.out_degrees.tolist(), wiring.in_degrees.tolist()
    ([2, 1, 0], [0, 1, 2])
    """

    starts: np.ndarray
    receivers: np.ndarray
    weights: np.ndarray
    shape: tuple[int, int]
    given: np.ndarray
    edges: int
    labels: tuple[str, ...] = ()
    layered: bool = False

    @staticmethod
    def from_edges(
        senders: Any,
        receivers: Any,
        weights: Any = None,
        *,
        units: int | None = None,
        shape: tuple[int, int] | None = None,
        directed: bool = True,
        labels: Any = (),
    ) -> Wiring:
        """Make a wiring from the two ends of every edge.

        Args:
            senders, receivers: ids counted from 0 [edges], whole numbers.
            weights: finite numbers [edges], or None for ones.
            units: how many units there are; by default the largest id and one.
            shape: numbers of senders and receivers, in place of ``units``: then they are two layers.
            directed: False makes two arcs of every edge (a loop stays one); they share the edge's weight, and what is
                given per edge later, but are tried independently.
            labels: names of the units.

        Raises:
            UserError: lengths that differ, ids that are negative, not whole or too large, weights that are not finite,
                no edges where nothing else says how many units there are.

        >>> Wiring.from_edges([0, 1], [1, 2], units=4, directed=False).out_degrees.tolist()
        [1, 2, 1, 0]
        """
        tails, heads = _ids(senders, "senders"), _ids(receivers, "receivers")
        if len(tails) != len(heads):
            raise UserError(
                "every edge needs a sender and a receiver.",
                came=f"{len(tails):,} senders, {len(heads):,} receivers",
                expected="as many of one as of the other",
            )
        if units is not None and shape is not None:
            raise UserError("units and shape are two ways to say one thing.", expected="one of them")
        layered = shape is not None
        if shape is None:
            found = int(max(tails.max(initial=-1), heads.max(initial=-1))) + 1
            if units is None and not found:
                raise UserError("a wiring without edges has no units.", came="0 edges", expected="edges, or units=")
            shape = (_size(found), _size(found)) if units is None else (_size(units), _size(units))
        else:
            shape = (_size(shape[0]), _size(shape[1]))
        _within(tails, shape[0], "senders")
        _within(heads, shape[1], "receivers")
        edges, values, number = len(tails), _weights(weights, len(tails)), None
        names = tuple(str(label) for label in labels)
        if names and (layered or len(names) != shape[0]):
            raise UserError(
                "labels name the units of a square wiring.", came=f"{len(names):,} for {shape}", expected="one each"
            )
        if len(set(names)) < len(names):
            seen: set[str] = set()
            twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise UserError("two units have one label.", came=repr(twice), expected="a label of its own for each")
        if not directed:
            if layered:
                raise UserError("two layers are directed.", came=f"directed=False, shape={shape}")
            back = np.flatnonzero(tails != heads)
            number = np.concatenate([np.arange(edges), back])
            tails, heads = np.concatenate([tails, heads[back]]), np.concatenate([heads, tails[back]])
            values = None if values is None else np.concatenate([values, values[back]])
        return _compressed(tails, heads, values, shape, number, edges, names, layered)

    def __repr__(self) -> str:
        size = f"{self.units:,} units" if self.square else f"{self.shape[0]:,} → {self.shape[1]:,} units"
        return f"Wiring({size}, {self.arcs:,} arcs)"

    @property
    def square(self) -> bool:
        """Return whether senders and receivers are the same units."""
        return not self.layered

    @property
    def units(self) -> int:
        """Return the number of units of a square wiring."""
        if not self.square:
            raise UserError("a wiring between two layers has no one number of units.", came=f"shape {self.shape}")
        return self.shape[0]

    def name(self, unit: int) -> str:
        """Return how to speak of a unit: its number, and its label if it has one.

        >>> Wiring.from_edges([0], [1], labels=["a", "b"]).name(1)
        "1 ('b')"
        """
        return f"{unit} ({self.labels[unit]!r})" if self.labels else str(unit)

    @property
    def arcs(self) -> int:
        """Return the number of arcs."""
        return len(self.receivers)

    @property
    def density(self) -> float:
        """Return arcs over pairs."""
        pairs = self.shape[0] * self.shape[1]
        return self.arcs / pairs if pairs else 0.0

    @cached_property
    def senders(self) -> np.ndarray:
        """The sender of every arc, int32 [arcs]."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.starts))

    @cached_property
    def out_degrees(self) -> np.ndarray:
        """Arcs that leave each sender, int64."""
        return np.diff(self.starts)

    @cached_property
    def in_degrees(self) -> np.ndarray:
        """Arcs that reach each receiver, int64."""
        return np.bincount(self.receivers, minlength=self.shape[1])

    @cached_property
    def transpose(self) -> Wiring:
        """The same arcs turned round; ``given`` follows."""
        from sparsefire.wiring import compiled  # late: it loads numba

        starts, order = compiled.columns(self.receivers, self.shape[1])
        turned = _frozen(
            starts,
            self.senders[order],
            self.weights[order],
            (self.shape[1], self.shape[0]),
            self.given[order],
            self.edges,
            self.labels,
            self.layered,
        )
        turned.__dict__["transpose"] = self
        return turned

    def with_weights(self, weights: Any) -> Wiring:
        """Return the same arcs with other weights: one number, or one for each arc in the order of ``receivers``.

        Raises:
            UserError: another number of weights, or some that are not finite.

        >>> Wiring.from_edges([0, 1], [1, 0]).with_weights([0.5, -1.0]).weights.tolist()
        [0.5, -1.0]
        """
        one = isinstance(weights, int | float | np.number)
        found = _weights(np.full(self.arcs, weights) if one else weights, self.arcs)
        if found is None:
            raise UserError("weights are numbers.", came="None", expected=f"one, or [{self.arcs:,}]")
        return replace(self, weights=found)

    def per_arc(self, values: Any, name: str = "values") -> np.ndarray:
        """Return one number per arc from one number, or one per edge in the order in which edges were given.

        >>> Wiring.from_edges([1, 0], [0, 1]).per_arc([0.1, 0.2]).tolist()
        [0.2, 0.1]
        """
        numbers = np.asarray(values, dtype=np.float64)
        if numbers.ndim == 0:
            return np.full(self.arcs, float(numbers))
        if numbers.shape != (self.edges,):
            raise UserError(
                f"{name} must be one number, or one per edge.",
                came=f"shape {numbers.shape}",
                expected=f"[{self.edges:,}]",
            )
        return numbers[self.given]

    def to_scipy(self) -> sparse.csr_array:
        """Return the weights as a sparse array [senders, receivers]; parallel arcs are added up.

        >>> Wiring.from_edges([0], [1], [2.5]).to_scipy().toarray().tolist()
        [[0.0, 2.5], [0.0, 0.0]]
        """
        found = sparse.csr_array((self.weights, self.receivers, self.starts), shape=self.shape, copy=True)
        found.sum_duplicates()
        return found

    @staticmethod
    def from_scipy(matrix: Any, *, layered: bool | None = None) -> Wiring:
        """Make a wiring from a sparse matrix or array [senders, receivers]; stored entries are arcs, zeros too.

        Args:
            matrix: sparse.
            layered: whether rows and columns are two layers; None: if there are not as many of one as of the other.

        >>> Wiring.from_scipy(sparse.eye_array(3, k=1))
        Wiring(3 units, 2 arcs)
        """
        if not sparse.issparse(matrix):
            raise UserError("this is no sparse matrix.", came=type(matrix).__name__, expected="scipy.sparse")
        entries = matrix.tocoo()
        if entries.ndim != 2:
            raise UserError("a matrix of arcs has two axes.", came=f"shape {entries.shape}")
        rows, columns = entries.shape
        if rows == columns and not layered:
            return Wiring.from_edges(entries.row, entries.col, entries.data, units=rows)
        return Wiring.from_edges(entries.row, entries.col, entries.data, shape=entries.shape)


def _compressed(
    tails: np.ndarray,
    heads: np.ndarray,
    weights: np.ndarray | None,
    shape: tuple[int, int],
    given: np.ndarray | None,
    edges: int,
    labels: tuple[str, ...],
    layered: bool,
) -> Wiring:
    from sparsefire.wiring import compiled  # late: it loads numba

    starts, receivers, order = compiled.rows(tails, heads, *shape)
    values = np.ones(len(order)) if weights is None else weights[order]
    number = order if given is None else given[order]
    return _frozen(starts, receivers, values, shape, number, edges, labels, layered)


def _frozen(
    starts: np.ndarray,
    receivers: np.ndarray,
    weights: np.ndarray,
    shape: tuple[int, int],
    given: np.ndarray,
    edges: int,
    labels: tuple[str, ...],
    layered: bool,
) -> Wiring:
    for part in (starts, receivers, weights, given):
        part.setflags(write=False)
    return Wiring(starts, receivers, weights, shape, given, edges, labels, layered)


def _ids(values: Any, name: str) -> np.ndarray:
    found = np.asarray(values)
    if found.ndim != 1 or (len(found) and found.dtype.kind not in "iuf"):
        raise UserError(
            f"{name} are ids of units.", came=f"{found.dtype} of shape {found.shape}", expected="whole numbers [edges]"
        )
    if found.dtype.kind == "i" and (not len(found) or found.min() >= 0):
        return found
    wrong = np.flatnonzero(~((found >= 0) & (found < 2**63) & (found == np.floor(found))))
    if len(wrong):
        at = int(wrong[0])
        raise UserError(
            f"{name} are ids of units.", came=f"{found[at]} in edge {at}", expected="whole numbers, 0 or more"
        )
    return found.astype(np.int64)


def _size(value: Any) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not 1 <= value <= MOST_UNITS:
        raise UserError("the number of units is a whole number.", came=repr(value), expected=f"1 to {MOST_UNITS:,}")
    return int(value)


def _within(ids: np.ndarray, size: int, name: str) -> None:
    if not len(ids) or ids.max() < size:
        return
    at = int(np.flatnonzero(ids >= size)[0])
    raise UserError(
        f"{name} hold an id that does not exist.", came=f"{ids[at]} in edge {at}", expected=f"0 to {size - 1}"
    )


def _weights(values: Any, edges: int) -> np.ndarray | None:
    if values is None:
        return None
    try:
        found = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError("weights are numbers.", came=repr(values)[:60], expected=f"[{edges:,}]") from None
    if found.shape != (edges,):
        raise UserError("weights are one per edge.", came=f"shape {found.shape}", expected=f"[{edges:,}]")
    wrong = np.flatnonzero(~np.isfinite(found))
    if len(wrong):
        at = int(wrong[0])
        raise UserError("a weight is not finite.", came=f"{found[at]} in edge {at}", expected="finite numbers")
    return found

"""Check that a wiring has no cycle, and hang its trees on roots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring


@dataclass(frozen=True, eq=False)
class Forest:
    """Rooted trees in an order in which every subtree is contiguous; all arrays speak of positions in this order.

    Attributes:
        order: int64 [n], the unit at each position; a parent stands before its children.
        parent: int64 [n], position of the parent, -1 for a root.
        size: int64 [n], units in the subtree.
        starts: int64 [n + 2]; the children of position i are ``children[starts[i]:starts[i + 1]]``, smallest subtree
            first; the roots are those of the imagined position n.
        children: int64 [n].
        up: int64 [n], the arc from this unit to its parent, -1 if there is none.
        down: int64 [n], the arc from its parent, -1 if there is none.
    """

    order: np.ndarray
    parent: np.ndarray
    size: np.ndarray
    starts: np.ndarray
    children: np.ndarray
    up: np.ndarray
    down: np.ndarray


def forest_of(wiring: Wiring) -> Forest:
    """Hang a square wiring without undirected cycles on roots.

    Args:
        wiring: at most one arc each way between two units, no loops, no cycle when directions are ignored.

    Returns:
        The rooted forest; each tree hangs on its centroid, so that subtrees are small.

    Raises:
        UserError: naming an arc that closes a cycle, a loop or a repeated arc.

    >>> forest_of(Wiring.from_edges([0, 1], [1, 2])).size.tolist()
    [3, 1, 1]
    """
    n = wiring.units
    senders, receivers = wiring.senders.astype(np.int64), wiring.receivers.astype(np.int64)
    loops = np.flatnonzero(senders == receivers)
    if len(loops):
        _not_a_forest(wiring, int(loops[0]), "is a loop")
    low, high = np.minimum(senders, receivers), np.maximum(senders, receivers)
    sort = np.lexsort((senders, high, low))
    low, high, tail = low[sort], high[sort], senders[sort]
    same = np.zeros(len(sort), dtype=bool)  # same pair as the arc before
    same[1:] = (low[1:] == low[:-1]) & (high[1:] == high[:-1])
    again = np.flatnonzero(same[1:] & (tail[1:] == tail[:-1])) + 1
    if len(again):
        _not_a_forest(wiring, int(sort[again[0]]), "is given twice")
    first = np.flatnonzero(~same)
    pairs = np.stack([low[first], high[first]])
    arcs = np.full((2, len(first)), -1, dtype=np.int64)  # from the lower to the higher unit, and back
    number = np.cumsum(~same) - 1
    arcs[(tail == high).astype(np.int64), number] = sort

    from sparsefire.cascades.exact._tree_kernels import hang

    bad, order, parent, size, via = hang(n, pairs[0], pairs[1])
    if bad >= 0:
        _not_a_forest(wiring, int(arcs[:, bad].max()), "closes a cycle")
    position = np.empty(n, dtype=np.int64)
    position[order] = np.arange(n)
    hanging = via >= 0
    upward = hanging & (order == pairs[0][via] if len(first) else hanging)
    up, down = np.full(n, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    up[hanging] = arcs[np.where(upward, 0, 1)[hanging], via[hanging]]
    down[hanging] = arcs[np.where(upward, 1, 0)[hanging], via[hanging]]
    above = np.where(parent < 0, n, parent)
    children = np.lexsort((size, above))
    starts = np.zeros(n + 2, dtype=np.int64)
    np.cumsum(np.bincount(above, minlength=n + 1), out=starts[1:])
    return Forest(order, parent, size, starts, children, up, down)


def is_forest(wiring: Wiring) -> bool:
    """Return whether the wiring is square, and free of loops, repeated arcs and undirected cycles.

    >>> is_forest(Wiring.from_edges([0, 1, 2], [1, 2, 0]))
    False
    """
    try:
        forest_of(wiring)
    except UserError:
        return False
    return True


def closure(forest: Forest, start: np.ndarray, up: np.ndarray, down: np.ndarray) -> int:
    """Return how many units are reached from ``start`` over the arcs that are open (bools by position)."""
    from sparsefire.cascades.exact._tree_kernels import reached

    return int(reached(forest.parent, start, up, down))


def _not_a_forest(wiring: Wiring, arc: int, why: str) -> None:
    sender, receiver = int(wiring.senders[arc]), int(wiring.receivers[arc])
    raise UserError(
        f"the wiring is no forest: the arc {sender} → {receiver} {why}.",
        came=f"edge {int(wiring.given[arc])}, {sender} → {receiver}",
        expected="no cycle when directions are ignored, at most one arc each way",
        attempt='method="auto", "tree-approximation" or "monte-carlo"',
    )

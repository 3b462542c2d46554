"""Null models: what a claim about a wiring must be compared with.

Each keeps something and randomises the rest: the degrees (:func:`degree_preserving_rewiring`), the number of arcs
(:func:`density_matched`), the arcs but not which weight stands where (:func:`shuffle_weights`). A wiring counts as
undirected where edges were given that way (two arcs share an edge), and stays so.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.wiring.draw import Units, key
from sparsefire.wiring.generators import fixed_arcs
from sparsefire.wiring.graph import Wiring


def degree_preserving_rewiring(wiring: Wiring, swaps: float = 10.0, *, rng: Any = None) -> Wiring:
    """Return a wiring with the same in- and out-degrees and otherwise random arcs (Maslov and Sneppen 2002).

    Two arcs a → b, c → d at a time become a → d, c → b, unless that would make a loop or a parallel arc; loops and
    parallel arcs that were there may go, none comes. Proposals are symmetric, refused ones count, so the limit is the
    uniform law over all wirings that swaps can reach (doi:10.1126/science.1065103; for directed wirings a few degree
    sequences, such as that of a cycle of three, fall into parts that swaps do not join). Weights go with their senders:
    out-strengths stay, in-strengths do not.

    Args:
        wiring: directed, undirected or between two layers.
        swaps: how many are proposed, as a multiple of the edges; 10 is the usual choice.
        rng: see :func:`sparsefire.randomness.stream`.

    >>> wiring = fixed_arcs(50, 200, rng=0)
    >>> other = degree_preserving_rewiring(wiring, rng=0)
    >>> bool((other.in_degrees == wiring.in_degrees).all() and (other.out_degrees == wiring.out_degrees).all())
    True
    """
    if not isinstance(swaps, int | float | np.number) or not 0 <= swaps < np.inf:
        raise UserError("swaps is a multiple of the edges.", came=f"swaps={swaps!r}", expected="0 or more")
    from sparsefire.wiring import compiled  # late: it loads numba

    directed = not undirected(wiring)
    tails, heads, weights = edge_list(wiring)
    proposals = round(float(swaps) * len(tails)) if len(tails) > 1 else 0
    none = np.empty(0, np.int64)
    compiled.swap(tails, heads, wiring.shape[1], directed, wiring.square, proposals, none, key(rng, "rewiring"))
    return like(wiring, tails, heads, weights)


def density_matched(wiring: Wiring, *, rng: Any = None) -> Wiring:
    """Return a random wiring with as many arcs, no loops and no parallel arcs; weights are dealt out anew at random.

    >>> density_matched(fixed_arcs(50, 200, rng=0), rng=1).arcs
    200
    """
    directed = not undirected(wiring)
    units: Units = wiring.units if wiring.square else wiring.shape
    generator = stream(rng, "density_matched")
    found = fixed_arcs(units, wiring.edges, directed=directed, rng=generator)
    tails, heads, _ = edge_list(found)
    weights = generator.permutation(edge_list(wiring)[2])
    return like(wiring, tails, heads, weights)


def shuffle_weights(wiring: Wiring, *, rng: Any = None) -> Wiring:
    """Return the same arcs with the weights dealt out anew, uniformly; the two arcs of an edge keep one weight.

    >>> wiring = Wiring.from_edges([0, 1, 2], [1, 2, 0], [1.0, 2.0, 3.0])
    >>> sorted(shuffle_weights(wiring, rng=0).weights.tolist())
    [1.0, 2.0, 3.0]
    """
    tails, heads, weights = edge_list(wiring)
    return like(wiring, tails, heads, stream(rng, "shuffle_weights").permutation(weights))


def like(wiring: Wiring, tails: np.ndarray, heads: np.ndarray, weights: np.ndarray) -> Wiring:
    """Return a wiring of other edges between the same units, directed or not as the given one.

    >>> like(Wiring.from_edges([0], [1]), [1], [0], [2.0]).weights.tolist()
    [2.0]
    """
    if not wiring.square:
        return Wiring.from_edges(tails, heads, weights, shape=wiring.shape)
    both = undirected(wiring)
    return Wiring.from_edges(tails, heads, weights, units=wiring.units, directed=not both, labels=wiring.labels)


def undirected(wiring: Wiring) -> bool:
    """Return whether some edge is two arcs.

    >>> undirected(Wiring.from_edges([0], [1])), undirected(Wiring.from_edges([0], [1], directed=False))
    (False, True)
    """
    return wiring.arcs > wiring.edges


def edge_list(wiring: Wiring) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sender, receiver (int64) and weight of every edge, in the order in which edges were given.

    Of an edge that is two arcs the smaller id is the sender.

    >>> [part.tolist() for part in edge_list(Wiring.from_edges([2, 0], [1, 1], [0.5, 1.5]))]
    [[2, 0], [1, 1], [0.5, 1.5]]
    """
    parts = np.empty(wiring.edges, np.int64), np.empty(wiring.edges, np.int64), np.empty(wiring.edges)
    for part, values in zip(parts, (wiring.senders, wiring.receivers, wiring.weights), strict=True):
        part[wiring.given] = values
    if undirected(wiring):
        return np.minimum(parts[0], parts[1]), np.maximum(parts[0], parts[1]), parts[2]
    return parts

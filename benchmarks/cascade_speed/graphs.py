"""What everybody is given: one random graph per size, and who starts on it."""

from __future__ import annotations

import functools
from typing import Any

from sparsefire.randomness import stream
from sparsefire.wiring import Wiring, fixed_arcs

MEAN_DEGREE = 10
SOURCES = 20


@functools.cache
def graph(units: int) -> Wiring:
    """Return the random graph of all rows of this size: 5 n undirected edges, both directions tried independently."""
    return fixed_arcs(units, units * MEAN_DEGREE // 2, directed=False, rng=1)


@functools.cache
def sources(units: int) -> list[int]:
    """Return who starts every cascade."""
    return sorted(stream(1, "sources").choice(units, SOURCES, replace=False).tolist())


@functools.cache
def graph_of_networkx(units: int) -> Any:
    import networkx as nx

    found = nx.Graph()
    found.add_nodes_from(range(units))
    found.add_edges_from(zip(graph(units).senders.tolist(), graph(units).receivers.tolist(), strict=True))
    return found


@functools.cache
def neighbours_of(units: int) -> dict[int, list[int]]:
    return {u: list(near) for u, near in graph_of_networkx(units).adjacency()}

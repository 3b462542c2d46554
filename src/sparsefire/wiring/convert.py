"""From and to what others use: graphs of networkx, igraph and rustworkx, tables, and masks ``[out, in]`` of layers.

Graph packages are recognised by what their objects can do and never imported to read them.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring
from sparsefire.wiring.nulls import edge_list, undirected

_SPARSE_IDS = 100  # ids above so many times the edges (and a million) are names rather than numbers


def from_graph(graph: Any, weight: str | None = "weight") -> Wiring:
    """Make a wiring from a graph of networkx, igraph or rustworkx.

    Args:
        graph: directed or undirected; with parallel edges or without. Units are numbered in the graph's own order.
        weight: name of the edge attribute (for rustworkx: key of the edge's payload, which may also be the number
            itself); edges without it weigh 1. None ignores weights.

    Raises:
        UserError: for other objects, and where a weight is no finite number.

    >>> import networkx as nx
    >>> wiring = from_graph(nx.path_graph(["a", "b", "c"], create_using=nx.DiGraph))
    >>> wiring, wiring.labels
    (Wiring(3 units, 2 arcs), ('a', 'b', 'c'))
    """
    if hasattr(graph, "is_directed") and hasattr(graph, "adj"):
        names = list(graph.nodes)
        number = {name: i for i, name in enumerate(names)}
        edges = [(number[u], number[v], data.get(weight)) for u, v, data in graph.edges(data=True)]
        return _from_list(edges, names, bool(graph.is_directed()))
    if hasattr(graph, "vcount") and hasattr(graph, "get_edgelist"):
        values = graph.es[weight] if weight in graph.es.attributes() else [None] * graph.ecount()
        names = graph.vs["name"] if "name" in graph.vs.attributes() else list(range(graph.vcount()))
        edges = [(u, v, value) for (u, v), value in zip(graph.get_edgelist(), values, strict=True)]
        return _from_list(edges, names, bool(graph.is_directed()))
    if hasattr(graph, "weighted_edge_list") and hasattr(graph, "node_indices"):
        number = {place: i for i, place in enumerate(graph.node_indices())}  # indices have gaps after removals
        names = list(graph.nodes())
        if not all(isinstance(name, str) for name in names):
            names = list(number)
        edges = [(number[u], number[v], _payload(data, weight)) for u, v, data in graph.weighted_edge_list()]
        return _from_list(edges, names, hasattr(graph, "successors"))
    raise UserError(
        "this is no graph that is understood.",
        came=f"an object of type {type(graph).__name__}",
        expected="a graph of networkx, igraph or rustworkx",
        attempt="Wiring.from_edges(senders, receivers)",
    )


def _payload(data: Any, weight: str | None) -> Any:
    if weight is None or isinstance(data, int | float):
        return None if weight is None else data
    return data.get(weight) if hasattr(data, "get") else None


def _from_list(edges: list[tuple[int, int, Any]], names: list[Any], directed: bool) -> Wiring:
    values = [1.0 if value is None else value for _, _, value in edges]
    for (u, v, _), value in zip(edges, values, strict=True):
        if not isinstance(value, int | float | np.number):
            raise UserError("a weight is no number.", came=f"{value!r} from {names[u]!r} to {names[v]!r}")
    ends = np.array([(u, v) for u, v, _ in edges], dtype=np.int64).reshape(-1, 2)
    plain = names == list(range(len(names)))
    labels = () if plain else names
    return Wiring.from_edges(ends[:, 0], ends[:, 1], values, units=len(names), directed=directed, labels=labels)


def to_networkx(wiring: Wiring) -> Any:
    """Return a networkx graph (which must be installed): directed or not as edges were given, with ``weight``.

    Parallel edges make it a multigraph. Nodes are the labels, or the numbers.

    >>> to_networkx(Wiring.from_edges([0, 1], [1, 2])).is_directed()
    True
    """
    try:
        import networkx
    except ImportError:
        raise UserError("networkx is not installed.", attempt="pip install networkx") from None
    tails, heads, weights = edge_list(wiring)
    both = undirected(wiring)
    low, high = (np.minimum(tails, heads), np.maximum(tails, heads)) if both else (tails, heads)
    repeated = len(np.unique(low * wiring.shape[1] + high)) < len(low)
    kinds = {
        (False, False): networkx.DiGraph,
        (False, True): networkx.MultiDiGraph,
        (True, False): networkx.Graph,
        (True, True): networkx.MultiGraph,
    }
    graph = kinds[both, repeated]()
    names: Any = wiring.labels or range(wiring.units)
    graph.add_nodes_from(names)
    graph.add_weighted_edges_from(
        (names[u], names[v], w) for u, v, w in zip(tails.tolist(), heads.tolist(), weights.tolist(), strict=True)
    )
    return graph


def from_frame(
    frame: Any,
    *,
    sender: str | None = None,
    receiver: str | None = None,
    weight: str | None = None,
    units: int | None = None,
    named: bool = False,
    directed: bool = True,
) -> Wiring:
    """Make a wiring from a table with one edge in each row.

    Args:
        frame: pandas, polars or any eager table that narwhals knows.
        sender, receiver: names of columns; by default the first two.
        weight: name of a column of numbers; None for ones.
        units: how many there are; by default the largest id and one.
        named: True takes whole numbers, too, as names. Names (text always is) become labels, numbered in the order in
            which they appear, all senders before the receivers.
        directed: False makes two arcs of every edge.

    Raises:
        UserError: one column, no rows, columns that are not there, missing values (in which row), ids that are neither
            whole numbers nor text, or far larger than their number.

    >>> import pandas as pd
    >>> from_frame(pd.DataFrame({"from": ["a", "b"], "to": ["b", "c"]})).labels
    ('a', 'b', 'c')
    """
    import pandas as pd

    from sparsefire.data.frames import as_pandas
    from sparsefire.data.words import columns as shown
    from sparsefire.data.words import quote

    table = as_pandas(frame)
    names = list(table.columns)
    if len(names) < 2:
        raise UserError("an edge list has two columns.", came=shown(names), expected="senders and receivers")
    if not len(table):
        raise UserError("the edge list is empty.", came="0 rows", expected="one edge in each row")
    rest = [name for name in names if name not in (sender, receiver, weight)]
    sender = rest.pop(0) if sender is None and rest else sender
    receiver = rest.pop(0) if receiver is None and rest else receiver
    for role, name in (("sender", sender), ("receiver", receiver), ("weight", weight)):
        if name not in names and not (role == "weight" and name is None):
            raise UserError(f"there is no column for the {role}.", came=f"{role}={name!r}", expected=shown(names))
    if sender == receiver:
        raise UserError("sender and receiver are one column.", came=quote(sender), expected="two columns")
    chosen = [name for name in (sender, receiver, weight) if name is not None]
    for name in chosen:
        gone = np.flatnonzero(table[name].isna().to_numpy())
        if len(gone):
            raise UserError(
                f"the column {quote(name)} has missing values.",
                came=f"nothing in row {gone[0] + 1:,}" + (f", {len(gone):,} in all" if len(gone) > 1 else ""),
                expected="a value in every row",
            )
    if weight is not None and not pd.api.types.is_numeric_dtype(table[weight].dtype):
        raise UserError(f"the column {quote(weight)} holds no numbers.", came=f"{table[weight].iloc[0]!r}")
    values = None if weight is None else table[weight].to_numpy(np.float64)
    numeric = [pd.api.types.is_numeric_dtype(table[name].dtype) for name in (sender, receiver)]
    if all(numeric) and not named:
        tails, heads = table[sender].to_numpy(), table[receiver].to_numpy()
        most = max(tails.max(), heads.max())
        if units is None and most > max(10**6, _SPARSE_IDS * len(table)):
            raise UserError(
                "ids are far larger than their number.",
                came=f"{most:,} with {len(table):,} edges",
                expected="ids counted from 0",
                attempt="named=True, which numbers them and keeps them as labels",
            )
        return Wiring.from_edges(tails, heads, values, units=units, directed=directed)
    both = [table[name] if any(numeric) == all(numeric) else table[name].astype(str) for name in (sender, receiver)]
    codes, labels = pd.factorize(pd.concat(both, ignore_index=True))
    if units is not None and units != len(labels):
        raise UserError("units and names differ.", came=f"units={units}", expected=f"{len(labels):,}, the names found")
    tails, heads = codes[: len(table)], codes[len(table) :]
    return Wiring.from_edges(tails, heads, values, units=len(labels), directed=directed, labels=labels)


def to_frame(wiring: Wiring) -> Any:
    """Return a pandas table with the columns sender, receiver and weight, one arc in each row.

    >>> to_frame(Wiring.from_edges([0], [1], [0.5])).to_dict("list")
    {'sender': [0], 'receiver': [1], 'weight': [0.5]}
    """
    import pandas as pd

    ends: list[Any] = [wiring.senders, wiring.receivers]
    if wiring.labels:
        names = np.array(wiring.labels, dtype=object)
        ends = [names[part] for part in ends]
    return pd.DataFrame({"sender": ends[0], "receiver": ends[1], "weight": wiring.weights})


def from_mask(mask: Any, weights: Any = None) -> Wiring:
    """Make the wiring of a layer, inputs acting on outputs, from its mask.

    Args:
        mask: ``[out, in]``, torch or NumPy: what is not zero is an arc.
        weights: ``[out, in]``, of the layer; by default every arc weighs 1.

    >>> from_mask(np.array([[1, 0, 1], [0, 1, 0]]))
    Wiring(3 → 2 units, 3 arcs)
    """
    kept = _matrix(mask, "mask") != 0
    heads, tails = np.nonzero(kept)
    values = None
    if weights is not None:
        matrix = _matrix(weights, "weights")
        if matrix.shape != kept.shape:
            raise UserError("mask and weights differ.", came=f"{kept.shape} and {matrix.shape}", expected="one shape")
        values = matrix[heads, tails]
    return Wiring.from_edges(tails, heads, values, shape=(kept.shape[1], kept.shape[0]))


def to_mask(wiring: Wiring, like: Any = None) -> Any:
    """Return the mask ``[out, in]`` of a wiring: a NumPy array of truth values, or a tensor where ``like`` is one.

    >>> to_mask(from_mask(np.array([[True, False], [True, True]]))).tolist()
    [[True, False], [True, True]]
    """
    mask = np.zeros((wiring.shape[1], wiring.shape[0]), dtype=bool)
    mask[wiring.receivers, wiring.senders] = True
    if type(like).__module__.split(".")[0] != "torch":
        return mask
    torch = sys.modules["torch"]  # loaded, since its object is here; this module does not depend on it
    return torch.from_numpy(mask).to(like.device)


def _matrix(values: Any, name: str) -> np.ndarray:
    if type(values).__module__.split(".")[0] == "torch":
        values = values.detach()
        values = (values.to_dense() if values.layout != sys.modules["torch"].strided else values).cpu().double().numpy()
    found = np.asarray(values)
    if found.ndim != 2 or found.dtype.kind not in "biuf":
        raise UserError(f"{name} must be a matrix.", came=f"{found.dtype} of shape {found.shape}", expected="[out, in]")
    return found

"""Oracles: networkx' own matrices, round trips, stand-ins with the methods of igraph and rustworkx."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from sparsefire.errors import UserError
from sparsefire.wiring.convert import from_frame, from_graph, from_mask, to_frame, to_mask, to_networkx
from sparsefire.wiring.read import read_edges


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph])
def test_networkx_both_ways(kind: type) -> None:
    graph = nx.gnp_random_graph(30, 0.2, seed=1, directed=kind().is_directed()).to_directed()
    graph = kind(graph.edges) if kind().is_directed() else kind(nx.gnp_random_graph(30, 0.2, seed=1))
    if graph.is_multigraph():
        graph.add_edge(3, 4)
        graph.add_edge(3, 4)
    for i, (_, _, data) in enumerate(graph.edges(data=True)):
        data["weight"] = i + 0.5
    wiring = from_graph(graph)
    assert np.array_equal(wiring.to_scipy().toarray(), nx.to_numpy_array(graph))
    again = to_networkx(wiring)
    assert type(again) is kind
    assert np.array_equal(nx.to_numpy_array(again, nodelist=again.nodes), nx.to_numpy_array(graph))
    assert from_graph(graph, weight=None).weights.tolist() == [1.0] * wiring.arcs


def test_labels_and_missing_weights() -> None:
    graph = nx.DiGraph([("x", "y"), ("y", "z")])
    graph["x"]["y"]["weight"] = 2
    wiring = from_graph(graph)
    assert wiring.labels == ("x", "y", "z")
    assert wiring.weights.tolist() == [2.0, 1.0]
    assert set(to_networkx(wiring).edges) == set(graph.edges)
    graph["x"]["y"]["weight"] = "heavy"
    with pytest.raises(UserError) as caught:
        from_graph(graph)
    assert caught.value.came == "'heavy' from 'x' to 'y'"


class Attributes(dict):
    def attributes(self) -> list[str]:
        return list(self)


class LikeIgraph:
    es, vs = Attributes(weight=[2.0, 3.0]), Attributes(name=["a", "b", "c"])
    vcount, ecount = (lambda self: 3), (lambda self: 2)
    is_directed, get_edgelist = (lambda self: True), (lambda self: [(0, 1), (2, 1)])


class LikeRustworkx:
    nodes, node_indices = (lambda self: [None, None, None]), (lambda self: [0, 2, 5])
    weighted_edge_list = lambda self: [(0, 5, 2.0), (5, 2, None), (2, 0, {"weight": 3})]  # noqa: E731
    successors = None


def test_igraph_and_rustworkx_by_what_they_can_do() -> None:
    wiring = from_graph(LikeIgraph())
    assert (wiring.labels, wiring.senders.tolist(), wiring.weights.tolist()) == (("a", "b", "c"), [0, 2], [2.0, 3.0])
    wiring = from_graph(LikeRustworkx())
    assert wiring.to_scipy().toarray().tolist() == [[0, 0, 2], [3, 0, 0], [0, 1, 0]]
    assert wiring.labels == ("0", "2", "5")
    with pytest.raises(UserError, match="no graph"):
        from_graph([(0, 1)])


def test_networkx_is_not_imported_to_read() -> None:
    code = "import sys, sparsefire.wiring.convert as c; print('networkx' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(library: str) -> None:
    data = {"w": [0.5, 1.5, 2.5], "to": [1, 2, 0], "from": [0, 1, 2]}
    frame = pd.DataFrame(data) if library == "pandas" else __import__("polars").DataFrame(data)
    wiring = from_frame(frame, sender="from", receiver="to", weight="w", units=4)
    assert wiring.to_scipy().toarray()[[0, 1, 2], [1, 2, 0]].tolist() == [0.5, 1.5, 2.5]
    assert wiring.units == 4
    assert to_frame(wiring).to_dict("list") == {"sender": [0, 1, 2], "receiver": [1, 2, 0], "weight": [0.5, 1.5, 2.5]}
    default = from_frame(frame, weight="w")  # the first two columns that are left
    assert default.senders.tolist() == [0, 1, 2]
    assert default.receivers.tolist() == [2, 0, 1]


def test_names_become_labels() -> None:
    wiring = from_frame(pd.DataFrame({"a": ["x", "y"], "b": ["y", "z"]}), directed=False)
    assert wiring.labels == ("x", "y", "z")
    assert wiring.arcs == 4
    assert to_frame(wiring)["sender"].tolist() == ["x", "y", "y", "z"]
    wiring = from_frame(pd.DataFrame({"a": [5_000_000_000, 7], "b": [7, 9]}), named=True)
    assert wiring.labels == ("5000000000", "7", "9")
    mixed = from_frame(pd.DataFrame({"a": [1, 2], "b": ["2", "x"]}))
    assert mixed.labels == ("1", "2", "x")


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ({"a": [1]}, {}, "1 column"),
        ({"a": [], "b": []}, {}, "0 rows"),
        ({"a": [1, None], "b": [1, 2]}, {}, "row 2"),
        ({"a": ["x", None, None], "b": ["x", "y", "z"]}, {}, "row 2, 2 in all"),
        ({"a": [1], "b": [2], "w": [None]}, {"weight": "w"}, "row 1"),
        ({"a": [1], "b": [2]}, {"weight": "w"}, "weight='w'"),
        ({"a": [1], "b": [2]}, {"sender": "c"}, "sender='c'"),
        ({"a": [1], "b": [2]}, {"sender": "a", "receiver": "a"}, '"a"'),
        ({"a": [1], "b": [2], "w": ["x"]}, {"weight": "w"}, "'x'"),
        ({"a": [1.5], "b": [2]}, {}, "1.5 in edge 0"),
        ({"a": [-1], "b": [2]}, {}, "-1 in edge 0"),
        ({"a": [1], "b": [720575940600000000]}, {}, "720,575,940,600,000,000"),
        ({"a": ["x"], "b": ["y"]}, {"units": 3}, "units=3"),
    ],
)
def test_wrong_tables_are_named(data: dict, options: dict, words: str) -> None:
    with pytest.raises(UserError) as caught:
        from_frame(pd.DataFrame(data), **options)
    assert words in caught.value.came


def test_masks_both_ways() -> None:
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(4, 6, generator=generator) < 0.4
    weight = torch.randn(4, 6, generator=generator)
    wiring = from_mask(mask, weight)
    assert wiring.shape == (6, 4)
    assert torch.equal(to_mask(wiring, like=mask), mask)
    assert np.array_equal(to_mask(wiring), mask.numpy())
    assert np.allclose(wiring.to_scipy().toarray(), (weight * mask).T.numpy())
    assert np.array_equal(to_mask(from_mask(mask.float().to_sparse())), mask.numpy())
    assert np.array_equal(to_mask(from_mask(mask.bfloat16())), mask.numpy())
    x = torch.rand(6, generator=generator).double()  # acts as the layer does
    assert np.allclose(wiring.to_scipy().T @ x.numpy(), ((weight * mask).double() @ x).numpy())
    with pytest.raises(UserError, match="matrix"):
        from_mask(torch.ones(2, 2, 3, 3))
    with pytest.raises(UserError, match="differ"):
        from_mask(mask, weight.T)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz", ".parquet"])
def test_files(tmp_path: Path, ending: str) -> None:
    frame = pd.DataFrame({"u": [0, 2, 2], "v": [1, 0, 1], "w": [0.5, 2.0, 1.0]})
    path = tmp_path / f"edges{ending}"
    if ending == ".parquet":
        import duckdb

        duckdb.connect().execute(f"COPY (SELECT * FROM frame) TO '{path}' (FORMAT parquet)")
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in ending else ",")
    wiring = read_edges(path, weight="w")
    assert wiring.to_scipy().toarray().tolist() == [[0, 0.5, 0], [0, 0, 0], [2, 1, 0]]
    assert read_edges(path, sender="v", receiver="u", directed=False).arcs == 6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("u\n1\n", "1 column"),
        ("u,v\n", "u, v"),
        ("", "0 bytes"),
        ("u,v\n1,2\n3,\n", "row 2"),
        ("0,1\n1,2\n", "0, 1"),
        ("u,v\n1,2\n1,2.5\n", "2.5 in edge 1"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "edges.csv"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_edges(path)
    assert words in caught.value.came
    with pytest.raises(UserError, match="no file"):
        read_edges(tmp_path / "other.csv")

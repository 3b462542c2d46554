"""Oracle: what is written is read back the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sparsefire.errors import UserError
from sparsefire.wiring import Wiring, read_edges, write_edges
from sparsefire.wiring.nulls import edge_list


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz", "tsv.gz", "parquet"])
@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("labels", [(), ("1", "b,c", "d")])
def test_edges_come_back(ending: str, directed: bool, labels: tuple[str, ...], tmp_path: Path) -> None:
    weights = [0.1, 2.0, 1 / 3]
    wiring = Wiring.from_edges([0, 0, 1], [1, 2, 2], weights, units=3, directed=directed, labels=labels)
    path = write_edges(wiring, tmp_path / f"edges.{ending}")
    again = read_edges(path, weight="weight", directed=directed, named=bool(labels))
    for one, two in zip(edge_list(wiring), edge_list(again), strict=True):
        np.testing.assert_array_equal(one, two)
    assert again.labels == labels
    assert again.arcs == wiring.arcs
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_other_places_are_refused(tmp_path: Path) -> None:
    wiring = Wiring.from_edges([0], [1])
    with pytest.raises(UserError, match="no kind of edge list"):
        write_edges(wiring, tmp_path / "edges.xlsx")
    with pytest.raises(UserError, match="no such folder"):
        write_edges(wiring, tmp_path / "absent" / "edges.csv")

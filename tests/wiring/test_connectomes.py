"""Oracles: the published counts, as the notes beside the files state them; files made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sparsefire.errors import UserError
from sparsefire.wiring.connectomes import celegans, fly_visual_system, larval_drosophila
from sparsefire.wiring.nulls import degree_preserving_rewiring

Find = Callable[[str], Path]


@pytest.mark.parametrize(
    ("sex", "synapses", "cells", "arcs", "total"),
    [
        ("hermaphrodite", "chemical", 473, 4879, 28_113),
        ("hermaphrodite", "electrical", 473, 2883, 23_313),
        ("male", "chemical", 598, 5306, 45_959),
        ("male", "electrical", 598, 3482, 31_702),
    ],
)
def test_celegans(shared_data: Find, sex: str, synapses: str, cells: int, arcs: int, total: int) -> None:
    found = celegans(shared_data("celegans/celegans.npz"), sex=sex, synapses=synapses)
    assert (found.wiring.units, found.wiring.arcs, found.wiring.weights.sum()) == (cells, arcs, total)
    assert {"AVAL", "AVAR", "PVDL"} <= set(found.wiring.labels)
    matrix = found.wiring.to_scipy()
    if (sex, synapses) == ("hermaphrodite", "electrical"):
        assert abs(matrix - matrix.T).max() == 0
    assert "Cook" in found.citation
    assert "MIT" in found.licence


def test_checksum(shared_data: Find) -> None:
    path = shared_data("celegans/celegans.npz")
    digest = celegans(path).sha256[0]
    assert len(digest) == 64
    assert celegans(path, sha256=digest.upper()).sha256 == (digest,)
    with pytest.raises(UserError) as caught:
        celegans(path, sha256="0" * 64)
    assert digest in caught.value.came


def test_larval_drosophila(shared_data: Find) -> None:
    folder = shared_data("drosophila_larva_brain")
    found = larval_drosophila(folder / "edges.csv.gz", folder / "nodes.csv.gz")
    wiring = found.wiring
    assert (wiring.units, wiring.arcs, wiring.weights.sum()) == (3591, 119_010, 376_091)
    assert int((wiring.senders == wiring.receivers).sum()) == 577
    assert found.groups.count("KCs") == 222
    assert len(set(wiring.labels)) == 3591
    null = degree_preserving_rewiring(wiring, 2, rng=0)
    assert np.array_equal(null.in_degrees, wiring.in_degrees)
    assert int((null.senders == null.receivers).sum()) < 577


def test_fly_visual_system(shared_data: Find) -> None:
    found = fly_visual_system(shared_data("fly_visual_system/fib25-fib19_v2.2.json.gz"))
    assert (found.wiring.units, found.wiring.arcs) == (65, 605)
    assert found.groups.count("input") == 8
    assert found.groups.count("output") == 34
    first = found.wiring.labels.index("R1"), found.wiring.labels.index("L1")
    assert found.wiring.to_scipy()[first] == -40


def test_wrong_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"nodes": []}))
    with pytest.raises(UserError, match="no template") as caught:
        fly_visual_system(path)
    assert "edges" in caught.value.came
    other = tmp_path / "a.npz"
    np.savez(other, herm_names=np.array(["a"]))
    with pytest.raises(UserError, match="does not hold"):
        celegans(other)
    with pytest.raises(UserError) as caught:
        celegans(other, sex="both")
    assert "both" in caught.value.came
    with pytest.raises(UserError, match="no file"):
        larval_drosophila(tmp_path / "e.csv", tmp_path / "n.csv")

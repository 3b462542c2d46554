"""Oracle: enumeration for the second route, hand-made samples for the comparison, and the peers on a small graph."""

import json
from importlib.util import find_spec

import cascades
import numpy as np
import pytest
from cascade_speed import comparison, entrants, exact, large_file, page, sampling
from cascade_speed.comparison import Effort
from cascade_speed.graphs import SOURCES, graph
from cascade_speed.turns import Turn

from sparsefire.cascades import IndependentCascade, enumerate_independent
from sparsefire.wiring import Wiring

PEERS = ("cynetdiff", "EoN", "networkx")
FAST = Effort(rounds=2, seconds=0.005)
SMALL = 300
needs_peers = pytest.mark.skipif(
    any(find_spec(name) is None for name in PEERS), reason=f"needs {', '.join(PEERS)}: pip install 'sparsefire[bench]'"
)


def given(sizes):
    """Return an entrant that takes a millisecond for each run and cycles through these sizes."""
    return lambda runs: Turn(np.resize(sizes, runs), runs / 1000)


def test_the_second_route_is_the_law_of_enumeration():
    parents = np.array([0, 0, 1])
    wiring = Wiring.from_edges(parents, [1, 2, 3], directed=False)
    law = enumerate_independent(wiring, 0.3, np.full(4, 0.2))
    for points in (1, 512):
        np.testing.assert_allclose(exact.by_roots_of_unity(parents, 0.3, 0.2, points), law.pmf, rtol=0, atol=1e-15)


def test_unequal_means_give_no_ratio():
    a, b = np.array([9, 10, 11]), np.array([10, 11, 12])
    same = {"a": given(a), "networkx loop": given(a)}
    (found,) = comparison.compare("same", same, Effort(1, 1.0))
    assert (found["ratio"], found["standard_errors_apart"]) == (1.0, 0.0)
    with pytest.raises(AssertionError, match="networkx loop 11"):
        comparison.compare("differ", {"a": given(a), "networkx loop": given(b)}, Effort(1, 1.0))


def test_standard_errors_are_those_of_the_pooled_variance():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([5.0, 7.0])
    assert comparison.standard_errors(a, b) == pytest.approx(4 / (4 / 3 * (1 / 3 + 1 / 2)) ** 0.5)
    assert comparison.standard_errors(np.full(3, 7), np.full(2, 7)) == 0
    assert comparison.standard_errors(np.full(3, 7), np.full(2, 8)) == np.inf


def test_targets():
    for on, value, floor, met in (("ratio", 5.0, 5, True), ("ratio", 4.9, 5, False), ("ours", 0.03, 0.02, False)):
        assert comparison.record("job", "unit", {on: value}, floor, None, on)["met"] is met
    assert comparison.record("job", "unit", {"ratio": 1.0}, None, None, "ratio")["met"] is None


@needs_peers
def test_everybody_finds_the_same_sizes():
    for probability in (0.05, 0.12):
        found = sampling.independent(FAST, SMALL, probability, 1, 2)
        assert [one["peer_name"] for one in found] == ["CyNetDiff", "networkx loop", "EoN"]
        assert [one["floor"] for one in found] == [1, None, None]
    for about in (0.12, None):
        (found,) = sampling.per_edge(FAST, SMALL, about, 1, 2)
        assert found["mean_size"][0] == pytest.approx(found["mean_size"][1], rel=0.1)
    sampling.linear_threshold(FAST, SMALL, 1, 2)
    (found,) = sampling.watts(FAST, SMALL)
    assert found["mean_size"][0] == found["mean_size"][1] > SOURCES


@needs_peers
def test_another_probability_is_noticed():
    model = IndependentCascade(graph(SMALL), 0.05)
    both = {"ours": entrants.ours(model), "CyNetDiff": entrants.cynetdiff(graph(SMALL), probability=0.06)}
    with pytest.raises(AssertionError, match="standard errors"):
        comparison.compare("other", both, FAST)


def test_a_file_is_read_and_its_cascades_are_those_of_the_branching_process():
    (found,) = large_file.large_file(FAST, 50_000)
    assert found["met"]
    assert 0.05 < found["ours"] < 4
    assert found["standard_errors_apart"] <= 4


@needs_peers
def test_records_and_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(cascades.JOBS, "tree-1000", lambda effort: exact.exact_law(effort, 60, 1e-9, 0.4))
    monkeypatch.setitem(cascades.JOBS, "workers", lambda effort: sampling.two_workers(FAST, SMALL))
    monkeypatch.setattr(cascades, "QUICK", ("tree-1000", "workers"))
    cascades.main(["--quick", "--json", str(tmp_path / "found.json"), "--docs", str(tmp_path / "page.md")])
    tree, workers = json.loads((tmp_path / "found.json").read_text())
    assert {"area", "job", "ours", "peer", "peer_name", "ratio", "unit", "load", "floor", "stretch"} <= set(tree)
    assert tree["met"] is False
    assert tree["largest_difference"] < 1e-12
    assert (workers["peer_name"], workers["floor"]) == ("one worker", 1.7)
    text, printed = (tmp_path / "page.md").read_text(), capsys.readouterr().out
    for one in (tree, workers):
        assert page.row(one) in text
        assert page.row(one) in printed
    assert "| no |" in page.row(tree)
    assert f"NumPy {np.__version__}" in text
    assert "networkx" not in text  # only who was there


def test_figures_have_three_digits():
    found = [page.figure(value) for value in (1234567.0, 123.4, 12.345, 0.012345, None)]
    assert found == ["1,230,000", "123", "12.3", "0.0123", "–"]


@needs_peers
def test_what_cannot_be_asked_for():
    for wrong in (["--only", "nothing"], ["--rounds", "0"], ["--quick", "--only", "file"]):
        with pytest.raises(SystemExit, match="2"):
            cascades.main(wrong)

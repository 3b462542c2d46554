"""Oracles: numpy's lexsort, scipy.sparse, hand-made graphs; hypothesis properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

edges = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=40)


@settings(deadline=None)
@given(edges)
def test_arcs_stand_by_sender_receiver_and_order_given(found: list[tuple[int, int]]) -> None:
    tails, heads = np.array(found, dtype=np.int64).reshape(-1, 2).T
    weights = np.arange(len(found)) + 0.5
    wiring = Wiring.from_edges(tails, heads, weights, shape=(7, 5))
    order = np.lexsort((heads, tails))  # stable
    assert wiring.given.tolist() == order.tolist()
    assert wiring.senders.tolist() == tails[order].tolist()
    assert wiring.receivers.tolist() == heads[order].tolist()
    assert wiring.weights.tolist() == weights[order].tolist()
    assert wiring.per_arc(weights).tolist() == wiring.weights.tolist()
    turned, back = wiring.transpose, np.lexsort((tails, heads))
    assert turned.shape == (5, 7)
    assert turned.senders.tolist() == heads[back].tolist()
    assert turned.receivers.tolist() == tails[back].tolist()
    assert turned.given.tolist() == back.tolist()
    assert turned.transpose is wiring
    dense = np.zeros((7, 5))
    np.add.at(dense, (tails, heads), weights)
    assert np.array_equal(wiring.to_scipy().toarray(), dense)
    assert np.array_equal(turned.to_scipy().toarray(), dense.T)
    assert wiring.in_degrees.tolist() == np.bincount(heads, minlength=5).tolist()
    assert wiring.out_degrees.tolist() == np.bincount(tails, minlength=7).tolist()


def test_to_scipy_leaves_the_wiring_as_it_is() -> None:
    wiring = Wiring.from_edges([0, 0], [1, 1], [1.0, 2.0])
    assert wiring.to_scipy().toarray().tolist() == [[0, 3], [0, 0]]
    assert wiring.weights.tolist() == [1.0, 2.0]
    assert wiring.arcs == 2
    wiring.to_scipy().data[:] = 9
    assert wiring.weights.tolist() == [1.0, 2.0]


def test_undirected_edges_are_two_arcs_and_share_what_is_given() -> None:
    wiring = Wiring.from_edges([2, 1, 1], [0, 1, 2], [3.0, 4.0, 5.0], directed=False)
    assert wiring.edges == 3
    found = sorted(zip(wiring.senders.tolist(), wiring.receivers.tolist(), wiring.weights.tolist(), strict=True))
    assert found == [(0, 2, 3.0), (1, 1, 4.0), (1, 2, 5.0), (2, 0, 3.0), (2, 1, 5.0)]
    assert wiring.per_arc([0.1, 0.2, 0.3])[wiring.senders == 0].tolist() == [0.1]


def test_types_and_that_parts_are_read_only() -> None:
    wiring = Wiring.from_edges(np.array([0, 1], np.uint8), np.array([1.0, 0.0]), labels=["a", "b"])
    assert (wiring.starts.dtype, wiring.receivers.dtype, wiring.weights.dtype) == (np.int64, np.int32, np.float64)
    assert wiring.labels == ("a", "b")
    with pytest.raises(ValueError, match="read-only"):
        wiring.weights[0] = 2


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 1000))
def test_scipy_round_trip(rows: int, columns: int, seed: int) -> None:
    matrix = sparse.random_array((rows, columns), density=0.3, rng=np.random.default_rng(seed))
    for form in ("csr", "csc", "coo"):
        again = Wiring.from_scipy(matrix.asformat(form))
        assert again.shape == (rows, columns)
        assert np.array_equal(again.to_scipy().toarray(), matrix.toarray())


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([0, 1], [1]), {}, "2 senders, 1 receivers"),
        (([0, -1], [1, 1]), {}, "-1 in edge 1"),
        (([0, 0.5], [1, 1]), {}, "0.5 in edge 1"),
        (([0, float("nan")], [1, 1]), {}, "nan in edge 1"),
        (([0, 2**40], [1, 1]), {}, "1099511627777"),
        (([0, 1], [1, 3]), {"units": 3}, "3 in edge 1"),
        (([0, 1], [1, 3]), {"shape": (1, 4)}, "1 in edge 1"),
        (([0, 1], [1, 0], [1.0, np.inf]), {}, "inf in edge 1"),
        (([0, 1], [1, 0], [1.0]), {}, "(1,)"),
        (([], []), {}, "0 edges"),
        (([], []), {"units": 0}, "0"),
        (([0], [1]), {"units": 2.5}, "2.5"),
        ((["a"], ["b"]), {}, "<U1"),
        (([[0]], [[1]]), {}, "(1, 1)"),
        (([0], [1]), {"labels": ["a"]}, "1 for (2, 2)"),
        (([0], [1]), {"shape": (1, 2), "directed": False}, "directed=False"),
    ],
)
def test_wrong_edges_are_named(arguments: tuple, options: dict, words: str) -> None:
    with pytest.raises(UserError) as caught:
        Wiring.from_edges(*arguments, **options)
    assert words in caught.value.came


def test_other_errors() -> None:
    with pytest.raises(UserError, match="two ways"):
        Wiring.from_edges([0], [1], units=2, shape=(2, 2))
    with pytest.raises(UserError, match="no one number"):
        _ = Wiring.from_edges([0], [1], shape=(1, 2)).units
    with pytest.raises(UserError, match="two layers"):
        _ = Wiring.from_edges([0], [1], shape=(2, 2)).units
    with pytest.raises(UserError, match="no sparse"):
        Wiring.from_scipy(np.eye(3))
    with pytest.raises(UserError, match="one per edge"):
        Wiring.from_edges([0], [1]).per_arc([1.0, 2.0], "probability")


def test_units_without_arcs_count() -> None:
    wiring = Wiring.from_edges([], [], units=3)
    assert (wiring.units, wiring.arcs, wiring.density) == (3, 0, 0.0)
    assert wiring.transpose.in_degrees.tolist() == [0, 0, 0]


def test_labels_are_different() -> None:
    with pytest.raises(UserError, match="one label") as caught:
        Wiring.from_edges([0, 1], [1, 2], labels=["a", "b", "a"])
    assert caught.value.came == "'a'"


def test_square_matrices_may_join_two_layers() -> None:
    matrix = sparse.coo_array(np.eye(3))
    assert Wiring.from_scipy(matrix).square
    assert not Wiring.from_scipy(matrix, layered=True).square


def test_other_weights_on_the_same_arcs():
    wiring = Wiring.from_edges([0, 0, 1], [1, 2, 2], [1.0, 2.0, 3.0])
    given = np.array([4.0, 5.0, 6.0])
    other = wiring.with_weights(given)
    given[0] = 9.0
    assert other.weights.tolist() == [4.0, 5.0, 6.0]
    assert wiring.weights.tolist() == [1.0, 2.0, 3.0]
    assert np.array_equal(other.transpose.weights, wiring.with_weights([4.0, 5.0, 6.0]).transpose.weights)
    assert wiring.with_weights(0.5).weights.tolist() == [0.5] * 3
    for wrong in (None, "x", [1.0], [1.0, 2.0, np.nan], [[1.0, 2.0, 3.0]]):
        with pytest.raises(UserError):
            wiring.with_weights(wrong)

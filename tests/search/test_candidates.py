"""Oracles: small cases by hand, enumeration of all methods and layouts."""

from __future__ import annotations

import pytest

from sparsefire import UserError
from sparsefire.search.candidates import (
    DENSE,
    Candidate,
    architecture,
    chains,
    check_densities,
    check_methods,
    describe,
    target_weights,
)
from sparsefire.sparsity import METHODS
from sparsefire.train import weight_count


def test_chains_go_from_dense_to_sparse_each_density_once():
    found = chains(["gmp", "static/balanced"], [0.1, 0.5, 0.1], narrow=[0.5, 0.1])
    assert list(found) == ["linear", "narrow", "gmp", "static/balanced"]
    assert [c.density for c in found["static/balanced"]] == [0.5, 0.1]
    assert "narrow" not in chains(["gmp"], [0.5], narrow=[])


def test_ids_are_unique():
    ids = [c.id for chain in chains(list(METHODS), [0.5, 0.05, 0.01], narrow=[0.5, 0.1]).values() for c in chain]
    assert len(ids) == len(set(ids))


def test_a_method_may_name_its_layout():
    [one] = chains(["static/balanced"], [0.5], narrow=[])["static/balanced"]
    assert (one.training_method, one.layout) == ("static", "balanced")
    assert DENSE.training_method == "dense"
    assert DENSE.layout is None


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_known(name):
    assert check_methods([name]) == (name,)


@pytest.mark.parametrize("names", [["magic"], ["gmp", "gmp"], ["static/none"], ["static/"], ["/erk"], [""]])
def test_other_methods_are_refused(names):
    with pytest.raises(UserError):
        check_methods(names)


@pytest.mark.parametrize("densities", [[], [0], [1], [-0.1], [0.5, float("nan")], ["0.5"], [None]])
def test_other_densities_are_refused(densities):
    with pytest.raises(UserError, match="densities"):
        check_densities(densities)


def test_densities_are_sorted_and_unique():
    assert check_densities([0.1, 0.5, 0.1]) == (0.5, 0.1)


def test_architecture_of_images_and_of_factories():
    assert architecture("cnn", 100, [1, 8, 8], None, "backprop")["kind"] == "cnn"
    assert architecture("own:net", 100, [4], None, "backprop") == {"kind": "factory", "name": "own:net"}
    with pytest.raises(UserError, match="needs images"):
        architecture("cnn", 100, [64], None, "backprop")


def test_given_widths_are_taken_as_they_are():
    assert architecture("mlp", 10, [4], (7, 5), "forward-gradient")["hidden"] == [7, 5]


def test_the_described_network_fits_the_rows():
    assert describe({"kind": "mlp", "hidden": [5]}, [2, 3], 4)["widths"] == [6, 5, 4]
    cnn = describe({"kind": "cnn", "channels": [2], "hidden": 3}, [1, 4, 4], 2)
    assert weight_count(cnn) == 9 * 2 + 2 * 2 * 2 * 3 + 3 * 2


@pytest.mark.parametrize("density", [0.5, 0.1, 0.01])
def test_sparse_and_narrow_get_the_same_number_of_weights(density):
    sparse, narrow = Candidate("s", "sparse", "gmp", density), Candidate("n", "narrow", "narrow", density)
    assert target_weights(10_000, sparse) == target_weights(10_000, narrow) == round(10_000 * density)

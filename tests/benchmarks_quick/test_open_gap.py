"""Oracles: sums that shuffling keeps, operations by hand."""

import json

import numpy as np
import open_gap
import pytest
import torch
from gap import page
from gap.arms import ARMS, BY_NAME
from gap.cases import Case, Setup, trained
from gap.masks import neighbours, shuffled

from sparsefire.sparsity import recipe


@pytest.mark.parametrize(("how", "axis"), [("inputs", 0), ("units", 1), ("layers", None)])
def test_shuffling_keeps_what_it_says(how, axis):
    mask = torch.rand(30, 40, generator=torch.Generator().manual_seed(0)) < 0.2
    other = shuffled(mask, how, np.random.default_rng(0))
    assert not torch.equal(other, mask)
    np.testing.assert_array_equal(mask.numpy().sum(axis), other.numpy().sum(axis))


def test_fields_of_neighbours_lie_near_one_pixel():
    x = np.random.default_rng(0).random((20, 784))
    chances = neighbours(x, 6, np.random.default_rng(0))
    for row in chances:
        y, x_ = np.divmod(np.flatnonzero(row), 28)
        assert np.hypot(y - y.mean(), x_ - x_.mean()).max() < 2 * 9


@pytest.mark.parametrize("arm", ["static", "gmp", "rigl", "fields", "neighbours", "mask of gmp, shuffled in inputs"])
def test_a_small_training_counts_its_operations(arm):
    if not open_gap.HERE.parents[1].joinpath("shared", "data").is_dir():
        pytest.skip("needs the data sets beside the checkout")
    _, found = trained(Case("pneumonia", arm, 0.1, 0, 0.07), Setup(0.01, "one"))
    assert found["weights"] <= 10_867
    if arm in ("gmp", "rigl"):
        assert 0.1 / 15 < found["operations"] < 1 / 15
    else:
        assert found["operations"] == pytest.approx(0.1 / 15, rel=1e-4)


def test_arms_are_methods_of_the_package():
    assert len(BY_NAME) == len(ARMS)
    for arm in ARMS:
        assert arm.method is None or recipe(arm.method).name


def test_the_page_from_made_up_records():
    rng = np.random.default_rng(0)
    means = {"dense": 0.96, "gmp": 0.96, "static": 0.95, "fields": 0.957, "mask of gmp": 0.956}
    found = [
        {"place": "mnist10k", "arm": arm, "density": 0.1, "replicate": r, "times": times, "rate": 0.01, "scale": "one",
         "accuracy": mean + rng.normal(0, 1e-3), "operations": 0.1 * times, "memory": 0.1, "weights": 1}
        for arm, mean in means.items() for r in range(5) for times in (1.0, 3.6)
    ]  # fmt: skip
    text = page.markdown(found)
    assert "Best from dense to sparse: gmp." in text
    assert "| fields | sparse, fixed | inputs without labels | 95." in text
    (fields,) = [record for record in page.records(found) if record["job"].endswith("fields")]
    assert fields["closed"][1] < 0.7 < fields["closed"][2]
    json.dumps(page.records(found))

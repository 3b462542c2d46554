"""Oracles: ranges by hand; equal requests however they are spelled."""

from __future__ import annotations

import numpy as np
import pytest

from sparsefire import UserError
from sparsefire.search.request import Request


@pytest.mark.parametrize(
    "wrong",
    [
        {"margin": 0}, {"margin": 1}, {"margin": float("nan")}, {"margin": "0.1"}, {"retain": 0}, {"retain": 1},
        {"folds": 1}, {"folds": 2.5}, {"rounds": 1}, {"epochs": 0}, {"level": 0}, {"level": 0.5},
        {"margin": 0.1, "retain": 0.9}, {"hidden": [0]}, {"hidden": [1.5]}, {"densities": []}, {"densities": [1.0]},
        {"densities": ["0.1"]}, {"methods": ["gpm"]}, {"methods": ["gmp", "gmp"]}, {"rule": "hebb"},
        {"methods": ["rigl"], "rule": "forward-gradient"},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_requests_are_refused(wrong):
    with pytest.raises(UserError):
        Request("quick", **wrong)


def test_an_unknown_effort_is_refused():
    with pytest.raises(UserError, match="no effort"):
        Request("heroic")


def test_arrays_and_lists_ask_for_the_same():
    arrays = Request(densities=np.array([0.05, 0.5]), hidden=np.array([8, 4]), folds=np.int64(5))
    assert Request(densities=0.1, methods="gmp", hidden=16) == Request(densities=[0.1], methods=["gmp"], hidden=[16])
    assert arrays == Request(densities=[0.5, 0.05], hidden=(8, 4), folds=5)

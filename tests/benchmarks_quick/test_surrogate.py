"""Oracles: records made up with known means, Wilson's interval, recordings told apart by their labels."""

import json

import numpy as np
import pytest
import resume
import surrogate
from surrogated import cases, page

from sparsefire.statistics import wilson


def made(data, density, replicate, accuracy, *, held=False, setting=(45, 8e-3, 3)):
    """A record."""
    right = [1] * round(100 * accuracy) + [0] * round(100 - 100 * accuracy)
    return {
        "data": data, "density": density, "replicate": replicate, "accuracy": accuracy, "held": held, "weights": 10,
        "firing": 0.1, "seconds": 60.0, "rows": 1000, "tested": 100, "right": right,
        **dict(zip(("epochs", "rate", "shift"), setting, strict=True)),
    }  # fmt: skip


def test_one_replicate_has_wilsons_interval_over_rows():
    text = page.markdown([made("linear", 1.0, 0, 0.89), *(made("nmnist", 0.1, i, 0.9 + i / 100) for i in range(3))])
    _, low, high = wilson(89, 100)
    assert f"| 0.8900 [{low:.4f}, {high:.4f}] |" in text
    assert "0.9100 [0.8852, 0.9348]" in text  # a t interval: 0.91 ± 4.303 · 0.01 / √3
    assert "inf" not in text


def test_held_trainings_stay_out_of_the_results():
    found = [made("nmnist", 0.1, i, 0.9) for i in range(3)] + [made("nmnist", 0.1, 5, 0.1, held=True)]
    assert list(page.cells(found)) == [("nmnist", 0.1)]
    assert len(page.cells(found)["nmnist", 0.1]) == 3


def test_the_best_mean_is_chosen_and_of_equals_the_cheaper():
    found = [
        made("nmnist", density, 5, accuracy, held=True, setting=setting)
        for setting, both in {(45, 2e-3, 0): (0.9, 0.8), (15, 4e-3, 3): (0.8, 0.9), (15, 2e-3, 0): (0.99, 0.7)}.items()
        for density, accuracy in zip(cases.TRIED_AT, both, strict=True)
    ]
    assert page.chosen(found) == (15, 4e-3, 3)
    assert page.choice(found) == []  # before all of it is there nothing is told


def test_the_settings_in_use_are_what_the_stored_trainings_choose():
    found = resume.stored(surrogate.STORE)
    assert all(cases.done(case, found) for case in cases.tried())
    assert page.chosen(found) == (cases.EPOCHS["nmnist"], cases.RATE["nmnist"], cases.SHIFT["nmnist"])
    assert len(page.choice(found)) > 12


def test_what_is_stored_is_not_run_again():
    assert len(set(cases.all_cases())) == len(cases.all_cases())
    found = json.loads(json.dumps([made("nmnist", 1.0, 5, 0.9, held=True, setting=(15, 2e-3, 0))]))
    asked = {"epochs": 15, "rate": 2e-3, "shift": 0, "held": True}
    assert cases.done(cases.Case("nmnist", 1.0, 5, **asked), found)
    for other in ({"held": False}, {"shift": 3}, {"rate": 4e-3}, {"epochs": 45}):
        assert not cases.done(cases.Case("nmnist", 1.0, 5, **(asked | other)), found)


def test_held_recordings_are_apart_from_those_that_are_learned_from():
    if not (cases.SHARED / "nmnist_small" / "nmnist_small.npz").exists():
        pytest.skip("the recordings are not here")
    held, free = (cases.Case("nmnist", 1.0, 0, held=held, shift=0) for held in (True, False))
    labels = {(part, case.held): cases.nmnist(part, case)[1] for part in ("train", "test") for case in (held, free)}
    assert {key: len(value) for key, value in labels.items()} == {
        ("train", True): 800, ("test", True): 200, ("train", False): 1000, ("test", False): 100
    }  # fmt: skip
    both = np.sort(np.concatenate([labels["train", True], labels["test", True]]))
    np.testing.assert_array_equal(both, np.sort(labels["train", False]))

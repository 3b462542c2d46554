"""Oracles: records made up with known means, Wilson's interval, recordings told apart by their labels."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from surrogated import cases, page

from sparsefire.statistics import wilson

PAGE = Path(__file__).resolve().parents[2] / "docs" / "surrogate.md"


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


def test_replicates_of_the_first_choice_are_told_and_not_mixed_in():
    first = [made("nmnist", 0.1, i, 0.7 + i / 100, setting=page.BY_HAND) for i in range(3)]
    found = [*first, *(made("nmnist", 0.1, i, 0.9) for i in range(2))]
    assert [r["accuracy"] for r in page.cells(found)["nmnist", 0.1]] == [0.9, 0.9]
    assert "0.710 [0.685, 0.735] at density 0.1" in page.earlier(found)
    assert page.earlier(found[3:]) == ""


def test_the_best_mean_is_chosen_and_of_equals_the_cheaper():
    found = [
        made("nmnist", density, 5, accuracy, held=True, setting=setting)
        for setting, both in {(45, 2e-3, 0): (0.9, 0.8), (15, 4e-3, 3): (0.8, 0.9), (15, 2e-3, 0): (0.99, 0.7)}.items()
        for density, accuracy in zip(cases.TRIED_AT, both, strict=True)
    ]
    assert page.chosen(found) == (15, 4e-3, 3)
    assert page.choice(found) == []  # before all of it is there nothing is told


def test_the_settings_in_use_are_the_best_of_those_tried_on_the_page():
    rows = [row.strip("|").split("|") for row in PAGE.read_text(encoding="utf-8").splitlines() if row.startswith("| ")]
    rows = [row for row in rows if len(row) == 6 and row[0] != " epochs "]
    tried = {tuple(map(float, row[:3])): float(row[5].strip(" *")) for row in rows}
    assert set(tried) == set(itertools.product(*cases.TRIED.values()))
    settings = (cases.EPOCHS["nmnist"], cases.RATE["nmnist"], cases.SHIFT["nmnist"])
    assert tried[settings] == max(tried.values())


def test_what_was_tried_is_told_when_all_of_it_is_there():
    found = [
        made("nmnist", density, 5, 0.95 if setting == (45, 8e-3, 3) else 0.9, held=True, setting=setting)
        for setting in itertools.product(*cases.TRIED.values())
        for density in cases.TRIED_AT
    ]
    text = "\n".join(page.choice(found))
    assert "45 epochs, rate 0.008, shift 3" in " ".join(text.split())
    assert "| 45 | 0.008 | 3 | 0.950 | 0.950 | **0.9500** |" in text
    assert max(map(len, text.splitlines())) <= 120
    for record in found:
        record["accuracy"] = 0.9 if record["shift"] else 0.95
    with pytest.raises(AssertionError, match="held recordings choose"):
        page.choice(found)


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

"""Oracle: differences and intervals worked out by hand; two cases trained again."""

import json

import numpy as np
import pytest
import sparse_methods
from scipy import stats
from table import page
from table.cases import PLACES, Case, run, split

from sparsefire.sparsity import recipe


def records():
    rows = []
    for number, (dense, gmp) in enumerate([(0.9, 0.91), (0.8, 0.83), (0.85, 0.84)]):
        for method, density, accuracy in (("dense", 1.0, dense), ("gmp", 0.1, gmp)):
            rows.append(
                {
                    "place": "digits", "method": method, "density": density, "replicate": number, "rate": 0.01,
                    "tried": {}, "accuracy": accuracy, "weights": 100, "training_seconds": 1.0, "asked": None,
                    "seconds": 2.0,
                }
            )  # fmt: skip
    return rows


def test_differences_are_paired():
    table = page.frame(records())
    found = table[table.method == "gmp"].difference.to_numpy()
    np.testing.assert_allclose(found, [0.01, 0.03, -0.01])
    low, high = stats.t.interval(0.95, 2, loc=0.01, scale=stats.sem(found))
    text = page.markdown(table)
    assert f"| gmp | 86.0 | +1.0 [{100 * low:+.1f}, {100 * high:+.1f}] |" in text
    assert "| gmp | 86.0 | +1.0 [-4.0, +6.0] |" in text
    (record,) = [r for r in page.records(table) if "gmp" in r["job"]]
    assert record["ratio"] == pytest.approx(0.86 / 0.85)


def test_a_case_is_plain_and_repeats():
    case = Case("digits", "static", 0.05, 1)
    first, second = run(case), run(case)
    for record in (first, second):
        del record["seconds"], record["training_seconds"]
    assert json.loads(json.dumps(first)) == second
    assert first["weights"] == round(0.05 * (64 * 128 + 128 * 128 + 128 * 10))
    assert first["accuracy"] > 0.9


def test_splits_share_no_row():
    x, y, test, truth = split("digits", 0)
    assert len(x) + len(test) == 1797
    assert set(y) == set(truth) == set(range(10))
    rows = {row.tobytes() for row in x}
    assert sum(row.tobytes() in rows for row in test) <= 2  # digits has rows twice


def test_every_case_names_a_method_and_a_place():
    for case in [*sparse_methods.everything(False), *sparse_methods.everything(True)]:
        assert case.place in PLACES
        if case.method not in ("dense", "narrow"):
            recipe(case.method)

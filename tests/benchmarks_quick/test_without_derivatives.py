"""Oracles: interpolation by SciPy, hand-made records, and two short trainings on digits."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
import without_derivatives as script
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_digits
from targets import page
from targets.jobs import EXACT, JOBS, TUNING, Job, Piece
from targets.rows import enlarged, rows_of

UNITS = Job("unit-wise differences, random mask", "digits", "unit-differences", (16,), 1, 0.5, 0.9, density=0.5,
            epochs=12, batch=64, rates=(1e-2,))  # fmt: skip
PLAIN = replace(UNITS, name=f"{EXACT}, random mask", rule="backprop", target=None, stretch=None)


def record(job: Job, accuracy: float, replicate: int, rate: float = 1e-2, seconds: float = 1.0) -> dict:
    piece = json.loads(json.dumps(asdict(Piece(job, rate, replicate, replicate >= TUNING))))
    return {"piece": piece, "accuracy": accuracy, "seconds": seconds, "parameters": 100, "budget": {"queries": 7},
            "curve": [[0.5, 3, accuracy / 2], [1.0, 7, accuracy]]}  # fmt: skip


def test_enlarged_images_are_interpolated_between_pixel_centres():
    x = load_digits(return_X_y=True)[0][:3]
    at = (np.arange(28) + 0.5) * 8 / 28 - 0.5
    places = np.meshgrid(at, at, indexing="ij")
    expected = [map_coordinates(one.reshape(8, 8) / 16, places, order=1, mode="nearest").ravel() for one in x]
    np.testing.assert_allclose(enlarged(x), expected, atol=1e-12)


@pytest.mark.parametrize("components", [0, 20])
def test_rows_are_scaled_by_the_training_rows_alone(components):
    (x, y), (other, truth) = rows_of("digits", 0, components, False)
    assert (len(x), len(other), len(y), len(truth)) == (1437, 360, 1437, 360)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-5)
    if components:
        np.testing.assert_allclose(np.cov(x.T), np.eye(20), atol=1e-4)
        assert np.abs(np.cov(other.T) - np.eye(20)).max() > 0.05
    (inner, _), (judged, _) = rows_of("digits", 0, components, True)
    assert (len(inner), len(judged)) == (1149, 288)


def test_the_black_boxes_have_as_few_weights_as_the_target_allows():
    for job in (job for job in JOBS if job.data != "enlarged"):  # the network there is that of other packages' figures
        inputs = job.components or (64 if job.data == "digits" else 784)
        widths = (inputs, *job.hidden, 10)
        if job.name.startswith("black box"):
            weights = sum((a + 1) * b for a, b in pairwise(widths))
            assert weights <= (1000 if job.data == "digits" else 1500)
        elif "dense" not in job.name:
            assert sum(a * b for a, b in pairwise(widths)) * job.density < 20_000


def test_rates_and_targets_do_not_tell_trainings_apart_but_epochs_do():
    piece = Piece(UNITS, 1e-2, 0, False)
    assert script.key_of(piece) == script.key_of(replace(piece, job=replace(UNITS, rates=(1.0,), target=0.99)))
    assert script.key_of(piece) != script.key_of(replace(piece, job=replace(UNITS, epochs=13)))
    assert script.key_of(piece) != script.key_of(replace(piece, inner=True))


def test_the_best_rate_is_that_of_the_inner_split():
    job = replace(UNITS, rates=(1e-3, 1e-2))
    found = {script.key(r["piece"]): r for r in (record(job, 0.9, TUNING, 1e-3), record(job, 0.8, TUNING, 1e-2))}
    assert script.best_rate(job, found) == 1e-3


def test_the_page_says_what_was_reached_and_compares_replicates_in_pairs():
    ours = [record(UNITS, a, n) for n, a in enumerate((0.81, 0.71, 0.91))]
    theirs = [record(PLAIN, a, n) for n, a in enumerate((0.80, 0.70, 0.90))]
    found = [*ours, *theirs, record(UNITS, 0.1, TUNING)]
    line = next(row for row in page.markdown(found).splitlines() if row.startswith("| unit-wise"))
    assert "81.00 [" in line  # the record that chose the rate is not in the mean
    assert "+1.00 [+1.00, +1.00]" in line
    assert "50: yes" in line
    assert "90: **missed**" in line
    listed = page.records(found)
    assert [row["peer"] for row in listed] == [pytest.approx(0.8), None]
    assert json.dumps(listed)


def test_finished_trainings_are_not_run_again(tmp_path, monkeypatch):
    path = tmp_path / "trainings.jsonl"
    first = script.work([UNITS, PLAIN], 1, 1, path)
    assert [r["piece"]["replicate"] for r in first] == [TUNING, TUNING, 0, 0]
    assert all(r["accuracy"] > 0.5 for r in first[2:])
    assert first[2]["budget"]["queries"] > 10_000 > first[3]["budget"]["queries"]
    monkeypatch.setattr(script, "alone", lambda piece: pytest.fail("run again"))
    assert script.work([UNITS, PLAIN], 1, 1, path) == first

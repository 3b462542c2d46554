"""Oracle: torch's own Adam on the masked network; a planted boundary for the figures of the page."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
import trainability
from fate import page
from fate.cases import INITIALISERS, Case, build, connected
from fate.predict import record
from fate.training import learns
from torch import nn

import sparsefire as sf

SMALL = Case("digits", 24, 3, 6.0, "erk", "in-degree", "none", 5)


def ours(norm, rate, steps):
    """Return the accuracy that ``learns`` finds at one rate."""
    net = build(Case(**{**vars(SMALL), "norm": norm}))
    return learns(net, data(), steps=steps, look=steps, rates=(rate,), rng=3, stop=False).accuracy[0]


def data():
    rng = np.random.default_rng(0)
    y = rng.integers(10, size=400)
    x = (rng.standard_normal((10, 64))[y] + rng.standard_normal((400, 64))).astype(np.float32)
    return x[:200], y[:200], x[200:], y[200:]


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_training_is_that_of_torch(norm):
    net, (x, y, test, truth) = build(Case(**{**vars(SMALL), "norm": norm})), map(torch.from_numpy, data())
    rate, steps, order = 1e-2, 80, np.random.default_rng(3)
    optimizer = torch.optim.Adam(net.parameters())
    for step in range(1, steps + 1):
        pick = torch.from_numpy(order.integers(len(x), size=64))
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[pick]), y[pick]).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        warm = steps // 20
        rise = step / warm if step <= warm else 0.5 * (1 + np.cos(np.pi * (step - warm) / (steps - warm)))
        optimizer.param_groups[0]["lr"] = rate * rise
        optimizer.step()
    with torch.no_grad():  # batch norm by the rows at hand, as ``learns`` looks at them
        right = (net(test).argmax(1) == truth).double().mean().item()
    assert right > 0.3
    assert ours(norm, rate, steps) == pytest.approx(right, abs=0.011)


def test_learning_is_five_standard_errors_above_the_largest_class():
    found = learns(build(SMALL), data(), steps=300, look=25, rng=0)
    largest = np.bincount(data()[3]).max() / 200
    assert found.learned
    assert found.best > largest + 5 * np.sqrt(largest * (1 - largest) / 200)
    x, _, test, _ = data()
    noise = np.random.default_rng(1).integers(10, size=200)
    assert not learns(build(SMALL), (x, noise, test, noise[::-1].copy()), steps=50, rng=0).learned


@pytest.mark.parametrize("name", INITIALISERS)
def test_networks_have_the_density_asked_for(name):
    case = Case("digits", 48, 4, 8.0, "erk", name, "none", 1)
    share = 0.9 if name == "orthogonal" else 1.0
    assert share * case.density - 1e-3 <= sf.density(build(case)) <= case.density + 1e-3
    assert connected(case)


def test_a_record_is_plain_and_repeats():
    first, second = record(SMALL, steps=25), record(SMALL, steps=25)
    assert json.loads(json.dumps(first)) == second
    assert set(first["known"]) == set(page.BASELINES)
    assert 0 <= first["chance"] <= 1


def test_the_calibration_and_the_test_share_nothing():
    old, new = trainability.OLD, trainability.NEW
    assert not set(old["data"]) & set(new["data"])
    assert not set(old["widths"]) & set(new["widths"])
    number = trainability.with_norm(4)
    assert number == trainability.with_norm(4)
    assert number.data in old["data"]
    assert number.width in old["widths"]
    assert number.norm != "none"
    assert connected(number)


def test_half_depth_of_planted_outcomes():
    depth = np.repeat(np.log([5, 8, 12, 18, 27, 40]), 30)
    chance = 1 / (1 + np.exp(6 * (depth - np.log(14))))
    assert page._half(depth, chance) == pytest.approx(14, rel=0.02)
    learned = np.random.default_rng(0).random(len(depth)) < chance
    assert page._half(depth, learned) == pytest.approx(14, rel=0.15)


def test_slope_of_planted_chances():
    logit = np.random.default_rng(0).normal(0, 2, 20_000)
    learned = np.random.default_rng(1).random(len(logit)) < 1 / (1 + np.exp(-(0.7 * logit - 0.4)))
    slope, shift = page._slope(1 / (1 + np.exp(-logit)), learned)
    assert (slope, shift) == (pytest.approx(0.7, abs=0.05), pytest.approx(-0.4, abs=0.06))


def test_stored_networks_are_not_trained_again(tmp_path):
    path = tmp_path / "some.jsonl"
    cases = [SMALL, Case(**{**vars(SMALL), "number": 6})]
    path.write_text(json.dumps({"case": vars(cases[0])}) + "\n")
    assert trainability.not_stored(iter(cases), path) == [cases[1]]


def test_widths_run_from_inputs_to_classes():
    assert SMALL.widths == [64, 24, 24, 24, 10]
    kept = sum(int(m.sum()) for m in sf.sparsity.masks(build(SMALL)).values())
    assert kept == pytest.approx(6.0 * sum(b for _, b in pairwise(SMALL.widths)), abs=2)

"""Oracle: torch's own gradients, Adam and clipping on the dense masked network; hand-made records for the page."""

import json

import deep_sparse
import numpy as np
import pytest
import torch
from deep import page
from deep.arms import ARMS, BOUNDS, BY_NAME, LAWS, build, payable, slope_of_penalty
from deep.cases import Accuracy, Ladder, network, run
from deep.sparse import gather, to_torch
from deep.training import gradient, score, train
from scipy import stats
from torch import nn

from sparsefire.errors import UserError
from sparsefire.propagation import penalty

WIDTHS = [12, 16, 16, 16, 4]


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((160, 12)).astype(np.float32)
    return x, (x[:, :4] + 0.1 * rng.standard_normal((160, 4))).argmax(1)


def batch_of(net, x):
    a = net.new(len(x))
    a[: net.widths[0]] = x.T
    return a


def test_slopes_are_those_of_the_dense_network(rows):
    x, y = rows[0][:64], rows[1][:64]
    net = build(BY_NAME["ERK, He by in-degree"], WIDTHS, 0.4, 1)
    dense = to_torch(net)
    nn.functional.cross_entropy(dense(torch.from_numpy(x)), torch.from_numpy(y)).backward()
    found, edges = gradient(net, batch_of(net, x), y), len(net.source)
    np.testing.assert_allclose(
        found[:edges], gather(net, [layer.weight.grad.numpy() for layer in dense[::2]]), atol=1e-6
    )
    np.testing.assert_allclose(
        found[edges:], np.concatenate([layer.bias.grad.numpy() for layer in dense[::2]]), atol=1e-6
    )
    assert np.abs(found).max() > 0.01


def test_training_is_that_of_torch_on_the_masked_network(rows):
    x, y = rows
    net = build(BY_NAME["ERK, signs"], WIDTHS, 0.4, 2)
    net.weights[:] *= 3  # so that some gradients are clipped
    dense, exists = to_torch(net), [layer.weight != 0 for layer in to_torch(net)[::2]]
    optimizer = torch.optim.Adam(dense.parameters())
    order, steps, clipped = np.random.default_rng(5), 40, 0
    for step in range(1, steps + 1):
        pick = order.integers(len(y), size=64)
        optimizer.zero_grad()
        nn.functional.cross_entropy(dense(torch.from_numpy(x[pick])), torch.from_numpy(y[pick])).backward()
        for layer, kept in zip(dense[::2], exists, strict=True):
            layer.weight.grad *= kept
        clipped += float(nn.utils.clip_grad_norm_(dense.parameters(), 1.0)) > 1
        rate = 0.01 * (step / 2 if step <= 2 else 0.5 * (1 + np.cos(np.pi * (step - 2) / (steps - 2))))
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    outcome = train(net, rows, rows, rate=0.01, steps=steps, rng=5)
    for ours, theirs in zip(to_torch(net)[::2], dense[::2], strict=True):
        np.testing.assert_allclose(ours.weight.detach(), theirs.weight.detach(), atol=1e-4)
    with torch.no_grad():
        out = dense(torch.from_numpy(x))
    assert clipped > 0
    assert outcome.accuracy == pytest.approx(float((out.argmax(1).numpy() == y).mean()), abs=0.01)
    assert outcome.loss == pytest.approx(float(nn.functional.cross_entropy(out, torch.from_numpy(y))), rel=1e-3)
    assert score(net, rows) == (outcome.accuracy, outcome.loss)


def test_training_stops_when_it_is_settled(rows):
    net = build(BY_NAME["ERK, signs"], WIDTHS, 0.4, 2)
    assert train(net, rows, rows, rate=0.01, steps=40, look=10, enough=0.0).steps == 10
    assert train(net, rows, rows, rate=0.01, steps=40, look=10, least=1.0).steps == 20


def test_penalty_has_the_slope_that_a_masked_network_has():
    net = build(BY_NAME["ERK, He by in-degree"], WIDTHS, 0.4, 1)
    slope, before, size = slope_of_penalty(0.5)(net), penalty(to_torch(net)).item(), 1e-2
    net.weights[:] -= size * slope
    assert penalty(to_torch(net)).item() - before == pytest.approx(-2 * size * float(slope @ slope), rel=0.1)


@pytest.mark.parametrize("name", [arm.name for arm in ARMS])
def test_every_arm_has_the_same_number_of_weights(name):
    density = 0.05
    net = network(name, "digits", 4, density, 3, 128)
    full = 256 * (64 + 3 * 256 + 10)
    assert len(net.source) <= round(density * full) + 1 + 4 * ("looks-linear" in name)
    assert len(net.source) >= 0.9 * density * full
    assert np.isfinite(net.weights).all()
    again = network(name, "digits", 4, density, 3, 128)
    assert np.array_equal(net.values, again.values)


def test_bounds_are_loosened_no_more_than_the_density_asks_for():
    shapes = {"a": (256, 64), "b": (256, 256), "c": (10, 256)}
    assert payable(shapes, 0.5, LAWS["critical"]) == BOUNDS[0]
    assert payable(shapes, 0.018, LAWS["critical-signs"]) in BOUNDS[1:]
    with pytest.raises(UserError):
        payable(shapes, 0.001, LAWS["critical"])


def record(arm, values, tuned, data="digits"):
    case = {"arm": arm, "data": data, "depth": 20, "density": 0.01, "units": 256, "replicates": 3, "steps": 400}
    found = {"rate": 0.01, "tuned": {"0.01": tuned}, "accuracy": values, "loss": [0, 0, 0], "weights": [9, 9, 9]}
    return {"case": case, **found, "seconds": 1.0}


def ladder(arm, largest, top=False):
    case = {"arm": arm, "data": "mnist10k", "density": 0.02, "depths": [5, 10, 20], "replicates": 3, "steps": 400}
    return {"case": case, "largest": largest, "top": top, "depths": [], "seconds": 1.0}


def test_page_pairs_replicates_and_takes_the_baseline_that_tuned_best():
    ours, theirs = [0.6, 0.7, 0.9], [0.5, 0.5, 0.7]
    found = [
        record("ERK, signs", ours, [0.1, 0.1]),
        record("ERK, He by in-degree", theirs, [0.5, 0.6]),
        record("ERK, He", [0.8, 0.8, 0.8], [0.2, 0.2]),  # luckier in the table than in the choice
        ladder("ERK, signs", 20, True),
        ladder("ERK, He by in-degree", 5),
        ladder("ERK, He", 0),
    ]
    low, high = stats.ttest_rel(ours, theirs).confidence_interval()
    text, (_, signs, depth) = page.markdown(found), page.records(found)
    assert f"[{100 * low:+.1f}, {100 * high:+.1f}]" in text
    assert signs["peer_name"] == depth["peer_name"] == "ERK, He by in-degree"
    assert signs["difference"] == pytest.approx((low + high) / 2)
    assert (depth["ratio"], depth["lower_bound"]) == (4.0, True)
    assert "| ≥ 20 | ≥ 4.0 |" in text
    assert "| < 5 | 0.0 |" in text


def test_an_arm_without_a_network_says_so():
    found = run(Accuracy("critical, typical", "digits", 20, 0.002))
    assert "critical layout needs" in found["missing"]
    assert "too few weights" in page.markdown([found])
    climbed = run(Ladder("critical, typical", "digits", 0.002, (5, 10, 20)))
    assert climbed["largest"] == 0
    assert len(climbed["depths"]) == 2


def test_work_is_kept_and_not_done_twice(tmp_path, monkeypatch, capsys):
    cases = [
        Accuracy("ERK, signs", "digits", 3, 0.05, replicates=2, steps=60),
        Ladder("ERK, signs", "digits", 0.05, (3,), 1, 60),
    ]
    monkeypatch.setattr(deep_sparse, "RESULTS", tmp_path)
    monkeypatch.setattr(deep_sparse, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(deep_sparse, "everything", lambda: cases)
    assert deep_sparse.main(["--workers", "1", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert all("area" in one for one in listed)
    kept = (tmp_path / "cases.jsonl").read_text()
    assert len(kept.splitlines()) == 2
    assert deep_sparse.main(["--workers", "1"]) == 0
    assert (tmp_path / "cases.jsonl").read_text() == kept
    first = next(one for one in map(json.loads, kept.splitlines()) if "accuracy" in one)
    assert np.mean(first["accuracy"]) > 0.5
    assert run(cases[0])["accuracy"] == first["accuracy"]
    assert deep_sparse.main(["--table"]) == 0
    assert "ERK, signs" in (tmp_path / "page.md").read_text()

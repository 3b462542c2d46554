"""Oracles: a whole pass per unit, the rule's own count of products, known coefficients, scipy's paired t test."""

import itertools
import json

import numpy as np
import pytest
import torch
import unit_wise
from depth import accuracy, cost, growth, page, precision
from depth.accuracy import ARMS, EPOCHS, EQUAL_QUERIES, Cell, Piece, pieces
from depth.cost import Cost
from depth.networks import batch, incremental, network, queries, widths_of
from scipy import stats
from torch import nn

from sparsefire import masks
from sparsefire.rules import Backprop, UnitDifferences
from sparsefire.train.loop import loss_of

BY_ROW = loss_of("classification", per_row=True)


def shifted(net, x, layer, unit, size):
    """Return the outputs of a whole pass in which one unit's pre-activation is moved."""
    move = torch.zeros(layer.out_features, dtype=x.dtype)
    move[unit] = size
    handle = layer.register_forward_hook(lambda module, inputs, output: output + move)
    try:
        return net(x)
    finally:
        handle.remove()


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_the_estimate_is_that_of_a_whole_pass_for_each_unit(density):
    net = network("digits", 3, 12, density).double()
    x, y = batch("digits", 20)
    x, scale, seen = x.double(), 1e-3, {}
    UnitDifferences(scale=scale)(net, BY_ROW, x, y)
    for layer in masks.layers(net).values():
        layer.register_forward_pre_hook(lambda module, inputs: seen.update({module: inputs[0]}))
    with torch.no_grad():
        clean = BY_ROW(net(x), y)
        entering = dict(seen)
        for layer in masks.layers(net).values():
            units = range(layer.out_features)
            deltas = torch.stack([(BY_ROW(shifted(net, x, layer, j, scale), y) - clean) / scale for j in units])
            exists = layer.weight != 0 if density < 1 else 1.0
            torch.testing.assert_close(masks.own_parameter(layer).grad, deltas @ entering[layer] / len(x) * exists)
            torch.testing.assert_close(layer.bias.grad, deltas.mean(1))
            assert deltas.norm() > 0.01


@pytest.mark.parametrize("widths", [[64, 9, 10], [64, 9, 7, 10], [64, 5, 6, 7, 8, 10]])
def test_products_and_losses_are_those_that_the_rule_counts(widths):
    layers = [[nn.Linear(a, b), nn.Tanh()] for a, b in itertools.pairwise(widths)]  # tanh: every unit always moves
    net, rule = nn.Sequential(*itertools.chain(*layers)), UnitDifferences()
    x, y = batch("digits", 16)
    rule(net, BY_ROW, x, y)
    weights = sum(a * b for a, b in itertools.pairwise(widths))
    assert (rule.budget.forward_passes - 2) * weights == pytest.approx(incremental(widths), rel=1e-9)
    assert rule.budget.queries == 16 * queries(widths)


def test_products_grow_with_the_cube_of_the_width_from_three_layers_on():
    at = lambda depth, width: incremental([64, *[width] * depth, 10])  # noqa: E731
    for depth, power in ((1, 1), (2, 2), (3, 3), (6, 3)):
        assert np.log2(at(depth, 2**16) / at(depth, 2**15)) == pytest.approx(power, abs=0.01)
    assert at(9, 2**15) / (2.0**45 * 8 * 7 / 2) == pytest.approx(1, rel=1e-2)


def timed(depth, width, seconds, asked=None):
    asked = 11 + depth * width / 2 if asked is None else asked
    ms = {name: 1e3 * seconds for name in ("unit-differences", "backprop", "node-perturbation", "forward")}
    return {"place": "digits", "depth": depth, "width": width, "density": 1.0, "queries": asked, "milliseconds": ms,
            "ratio": 1.0 * depth * width, "products": 5.0, "weights": 100, "cosine": 1.0}  # fmt: skip


def test_times_of_parts_are_found_again():
    truth = {"call": 1e-3, "product": 2e-11, "activity": 1e-9, "loss": 1e-7}
    rows = [timed(depth, width, 0.0) for depth in (1, 2, 3, 6) for width in (32, 128, 512)]
    rows = [
        timed(row["depth"], row["width"], sum(truth[name] * n for name, n in growth.counts(row).items()))
        for row in rows
    ]
    found, error = growth.times(rows)
    assert found == pytest.approx(truth, rel=1e-5)
    assert error < 1e-6


def test_activities_are_counted_one_by_one():
    depth, width = 5, 8
    passed = sum(width * (depth - layer) * width for layer in range(1, depth + 1))  # units times what lies above
    assert growth.counts(timed(depth, width, 1.0, 11 + depth * width))["activity"] == cost.ROWS * passed


def test_the_depth_from_which_on_a_ratio_is_reached():
    rows = [{"width": 8, "depth": depth, "ratio": ratio} for depth, ratio in enumerate((5, 12, 9, 11, 40), start=1)]
    assert [growth.first(rows, 8, bar) for bar in (1, 10, 40, 41)] == [1, 4, 5, None]


def test_a_time_of_an_estimate_that_is_no_gradient_does_not_count(monkeypatch):
    monkeypatch.setattr(cost, "ROUNDS", 1)
    record = cost.run(Cost(2, 16, 1.0, "digits"))
    assert record["cosine"] > 0.999
    assert record["products"] == pytest.approx(
        incremental(widths_of("digits", 2, 16), growth.share(record)), rel=0.25
    )  # layers do not move equally often
    monkeypatch.setattr(cost, "UnitDifferences", lambda rng: UnitDifferences(scale=3.0))
    with pytest.raises(ArithmeticError, match="cosine"):
        cost.run(Cost(2, 16, 1.0, "digits"))


def test_the_error_falls_with_the_step_in_float64_and_rounding_stops_it_in_float32():
    found = precision.run(precision.Precision(2, 16, False, "digits"))["estimates"]
    error = {(one["bits"], one["scale"]): one["error"] for one in found if one["sided"] == "one"}
    assert error[64, 1e-6] < 1e-4 < error[64, 1e-1]
    assert error[32, 1e-6] > 100 * error[64, 1e-6]
    assert min(error[32, scale] for scale in (1e-2, 1e-3, 1e-4)) < 0.05


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_rules_of_a_replicate_start_alike_and_see_the_same_rows(density, monkeypatch):
    seen = {}

    class Spy(Backprop):
        def __call__(self, net, loss_fn, x, y):
            if name not in seen:
                seen[name] = torch.cat([p.detach().flatten() for p in net.parameters()]), x.clone()
            return super().__call__(net, nn.functional.cross_entropy, x, y)

    monkeypatch.setattr(accuracy, "rule_of", lambda rule, number: Spy())
    monkeypatch.setattr(accuracy, "warm", lambda: None)
    for name, arm, number in (("a", "backprop", 3), ("b", "unit-differences", 3), ("c", "backprop", 4)):  # noqa: B007
        accuracy.trained(Piece("digits", 1, 16, density, arm, 1), 0.01, number)
    assert all(torch.equal(one, other) for one, other in zip(seen["a"], seen["b"], strict=True))
    assert not torch.equal(seen["a"][0], seen["c"][0])


def test_unit_wise_differences_learn_what_backprop_learns():
    runs = [accuracy.trained(Piece("digits", 2, 16, 1.0, arm, 3), 0.01, 0) for arm in ("backprop", "unit-differences")]
    assert runs[0]["accuracy"] > 0.7
    assert runs[1]["accuracy"] == pytest.approx(runs[0]["accuracy"], abs=0.03)
    assert runs[1]["curve"][0][3] == pytest.approx(runs[0]["curve"][0][3], rel=0.02)  # mean loss of the first epoch
    assert runs[1]["queries"] > 11 * runs[1]["samples"] > 11 * runs[0]["queries"]


def test_the_choice_of_a_rate_goes_on_beyond_its_ends(monkeypatch):
    asked = []

    def trained(piece, rate, number, inner):
        asked.append(rate)
        return {"accuracy": -abs(np.log(rate / 3e-4)), "seconds": 1.0, "queries": 5}

    monkeypatch.setattr(accuracy, "trained", trained)
    found = accuracy.run(Piece("mnist10k", 1, 8, 1.0, "backprop", 3))
    assert found["best"] == 3e-4
    assert asked == [3e-3, 1e-2, 3e-2, 1e-3, 3e-4, 1e-4]
    assert found["seconds"] == 1.0


def test_lengths_follow_from_what_the_choices_took():
    cell = Cell("digits", 1, 32, 1.0, with_queries=True)
    first = pieces(cell, [])
    assert [(piece.arm, piece.rate) for piece in first] == [
        ("backprop", None), ("unit-differences", None), ("node-perturbation", None)
    ]  # fmt: skip
    epochs = EPOCHS["digits"]
    spent = {"backprop": (1.0, 10), "unit-differences": (6.0, 300), "node-perturbation": (2.0, 30)}
    chosen = [
        {**cell.key, "arm": arm, "epochs": epochs, "rate": None, "replicate": None, "best": 0.01, "seconds": s,
         "queries": q} for arm, (s, q) in spent.items()
    ]  # fmt: skip
    later = pieces(cell, chosen)
    lengths = {piece.arm: piece.epochs for piece in later if piece.rate is None}
    assert [lengths[arm] for arm in ARMS] == [epochs] * 3 + [epochs // 6, 3 * epochs, 10 * epochs]
    assert sum(piece.rate is not None for piece in later) == 3 * accuracy.REPLICATES
    assert all(piece.arm != EQUAL_QUERIES for piece in pieces(Cell("digits", 1, 32, 1.0), chosen))


def test_what_is_kept_is_not_done_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(unit_wise, "RESULTS", tmp_path)
    monkeypatch.setattr(unit_wise, "COSTS", [Cost(1, 8, 1.0, "digits")])
    monkeypatch.setattr(unit_wise, "PRECISIONS", [])
    monkeypatch.setattr(unit_wise, "CELLS", [Cell("digits", 1, 8, 1.0)])
    monkeypatch.setattr(accuracy, "EPOCHS", {"digits": 1})
    monkeypatch.setattr(accuracy, "REPLICATES", 2)
    monkeypatch.setattr(cost, "ROUNDS", 1)
    assert unit_wise.main(["--workers", "1", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"area", "job", "ours", "peer", "peer_name", "ratio", "unit"} <= set(listed[0])
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert len(kept["accuracy.jsonl"].splitlines()) == 5 * 3  # five arms: a choice, two replicates
    assert unit_wise.main(["--workers", "1"]) == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == kept


def test_the_page_pairs_replicates():
    rng = np.random.default_rng(0)
    means = {"backprop": 0.95, "unit-differences": 0.95, "node-perturbation": 0.9}
    values = {arm: mean + rng.normal(0, 0.01, 5) for arm, mean in means.items()}
    found = [
        {"place": "mnist10k", "depth": 2, "width": 32, "density": 1.0, "arm": arm, "epochs": 8, "rate": 0.01,
         "replicate": number, "accuracy": value, "seconds": 2.0, "queries": 30, "samples": 10}
        for arm, many in values.items() for number, value in reversed(list(enumerate(many)))
    ]  # fmt: skip
    low, high = stats.ttest_rel(values["unit-differences"], values["node-perturbation"]).confidence_interval()
    parts = {"cost": [timed(2, 32, 0.01), timed(3, 32, 0.01)], "precision": [], "accuracy": found}
    assert f"[{100 * low:+.2f}, {100 * high:+.2f}]" in page.markdown(parts)
    (_, node) = [one for one in page.records(parts) if one["job"].startswith("accuracy")]
    assert node["peer_name"] == "node-perturbation"
    assert node["difference"] == pytest.approx([100 * (low + high) / 2, 100 * low, 100 * high])

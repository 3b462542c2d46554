# Oracle: networks small enough to see by eye, and brute-force reachability by powers of the adjacency matrix.
import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.report import wiring_chart


def random_layers(widths, keep, rng):
    return [rng.normal(size=(b, a)) * (rng.random((b, a)) < keep) for a, b in itertools.pairwise(widths)]


@given(st.lists(st.integers(1, 6), min_size=3, max_size=5), st.floats(0.05, 0.9), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_units_in_use_are_those_on_a_path_from_an_input_to_an_output(widths, keep, number):
    weights = random_layers(widths, keep, np.random.default_rng(number))
    starts = np.concatenate([[0], np.cumsum(widths)])
    edges = np.zeros((starts[-1], starts[-1]), dtype=bool)
    for index, weight in enumerate(weights):
        edges[starts[index] : starts[index + 1], starts[index + 1] : starts[index + 2]] = weight.T != 0
    reach = np.eye(len(edges), dtype=bool)
    for _ in widths:
        reach = reach | (reach.astype(int) @ edges.astype(int) > 0)
    from_inputs = reach[: widths[0]].any(axis=0)
    to_outputs = reach[:, starts[-2] :].any(axis=1)
    used = wiring_chart.units_in_use(weights)
    for index in range(len(widths)):
        span = slice(starts[index], starts[index + 1])
        expected = to_outputs[span] if index == 0 else (from_inputs & to_outputs)[span]
        assert used[index].tolist() == expected.tolist()


def test_the_strongest_connections_are_drawn_and_every_output_gets_some():
    first = np.arange(1.0, 13.0).reshape(3, 4)
    last = np.array([[100.0, 90.0, 80.0], [0.3, 0.2, 0.1]])
    drawn = wiring_chart.strongest([first, last], 8)
    assert sorted(first[r, s] for r, s in drawn[0]) == [9, 10, 11, 12]
    assert sorted(last[r, s] for r, s in drawn[1]) == [0.2, 0.3, 90, 100]


@given(st.integers(2, 60), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_never_more_than_asked_and_nothing_absent(most, number):
    weights = random_layers([5, 7, 3], 0.4, np.random.default_rng(number))
    drawn = wiring_chart.strongest(weights, most)
    kept = sum(int(np.count_nonzero(weight)) for weight in weights)
    assert sum(len(layer) for layer in drawn) <= min(most, kept)
    if most >= kept:
        assert sum(len(layer) for layer in drawn) == kept
    for weight, layer in zip(weights, drawn, strict=True):
        assert all(weight[r, s] != 0 for r, s in layer)
        assert len({(int(r), int(s)) for r, s in layer}) == len(layer)


def test_hidden_units_stand_by_the_output_they_feed_and_dead_ones_last():
    first = np.ones((4, 2))
    last = np.array([[0, 0, 5.0, 0], [0, 0, 0, 1.0], [2.0, 0, 0, 0]])
    order = wiring_chart.order_units([first, last], wiring_chart.units_in_use([first, last]))[1]
    assert order.tolist() == [2, 3, 0, 1]


def test_counts_are_told():
    rng = np.random.default_rng(0)
    weights = random_layers([64, 256, 10], 0.05, rng)
    wiring = wiring_chart.draw([(weight, None) for weight in weights], (), tuple("0123456789"))
    kept = [int(np.count_nonzero(weight)) for weight in weights]
    used = wiring_chart.units_in_use(weights)
    assert wiring.kept == sum(kept)
    assert wiring.drawn <= 400
    assert wiring.drawn_phone <= 220
    assert f"hidden {int(used[1].sum())} of 256 in use" in wiring.summary
    assert wiring.summary.endswith(f"weights kept per layer {kept[0]:,}, {kept[1]:,}")
    assert wiring.wide.count("M") >= wiring.drawn
    assert f">{256 - int(used[1].sum())} dead<" in wiring.wide


def test_edges_are_blue_when_positive():
    wiring = wiring_chart.draw([(np.array([[2.0, -1.0]]), None), (np.array([[1.0]]), None)], ("a", "b"), target="y")
    curves = re.findall(r'd="([^"]+)" class="edge e\d (positive|negative)"', wiring.wide)
    count = {sign: sum(data.count("M") for data, s in curves if s == sign) for sign in ("positive", "negative")}
    assert count == {"positive": 2, "negative": 1}


@pytest.mark.parametrize(
    ("inputs", "shown", "words"), [(8, 8, "8 inputs"), (64, 64, "64 inputs"), (108, 60, "60 most used of 108 inputs")]
)
def test_many_inputs_are_cut_to_the_most_used(inputs, shown, words):
    weight = np.tile(np.arange(1.0, inputs + 1), (3, 1))
    names = tuple(f"column{i}" for i in range(inputs))
    wiring = wiring_chart.draw([(weight, None), (np.ones((1, 3)), None)], names, target="y")
    assert words in wiring.wide
    assert wiring.inputs_left_out == inputs - shown
    if inputs > 64:
        assert ">column107<" in wiring.wide
        assert ">column47<" not in wiring.wide


@pytest.mark.parametrize("widths", [(1, 1, 1), (3, 2, 40), (5, 3000, 2), (700, 4, 4, 1)])
def test_odd_shapes_are_drawn(widths):
    layers = [(weight, None) for weight in random_layers(list(widths), 0.5, np.random.default_rng(1))]
    wiring = wiring_chart.draw(layers, (), (), target="y")
    assert "nan" not in wiring.wide
    assert len(wiring.wide) < 200_000


def test_a_network_without_any_weight():
    wiring = wiring_chart.draw([(np.zeros((3, 2)), None), (np.zeros((1, 3)), None)], ("a", "b"), target="y")
    assert wiring.drawn == 0
    assert "inputs 0 of 2 in use · hidden 0 of 3 in use" in wiring.summary

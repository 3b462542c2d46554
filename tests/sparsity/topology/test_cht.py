"""Oracles: enumeration of all paths of length 3, probabilities of drawing worked by hand, exact counts, resumption."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_training import bakes_to_what_it_computes, drawn, network, resumes, step
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.recipes import Recipe
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.cht import CHTs, ch2_l3n, percolate_, removal_score

CHTS = Recipe("chts", "CHTs", "arXiv:2501.19107", topology=CHTs)


def by_paths(mask: Tensor) -> Tensor:
    """CH2-L3n by listing every path u – y – z – v of the graph whose nodes are all units, in any order of sides."""
    outputs, inputs = mask.shape
    nodes = [("out", o) for o in range(outputs)] + [("in", i) for i in range(inputs)]
    links = {(("out", o), ("in", i)) for o in range(outputs) for i in range(inputs) if mask[o, i]}
    near = {node: {b for a, b in links if a == node} | {a for a, b in links if b == node} for node in nodes}
    found = torch.zeros(outputs, inputs)
    for o, i in itertools.product(range(outputs), range(inputs)):
        u, v = ("out", o), ("in", i)
        if v in near[u]:
            continue
        paths = [(y, z) for y in near[u] for z in near[y] if z != u and v in near[z] and y != v]
        community = {node for path in paths for node in path}
        for node in community:
            internal = len(near[node] & community)
            external = len(near[node] - community - {u, v})
            found[o, i] += (1 + internal) / (1 + external)
    return found


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 7), st.integers(1, 7), st.floats(0.1, 0.9), st.integers(0, 10_000))
def test_scores_equal_the_enumeration_of_paths(outputs: int, inputs: int, density: float, rng: int) -> None:
    mask = torch.rand(outputs, inputs, generator=torch.Generator().manual_seed(rng)) < density
    torch.testing.assert_close(ch2_l3n(mask), by_paths(mask))


def test_scores_by_hand() -> None:
    # Outputs a, b, c; inputs 0 … 3: a–0, a–1, b–0, b–1, b–2, c–3.
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    # a to 2: paths a–0–b–2 and a–1–b–2. Inner nodes 0 and 1 have one link inside each, to b: 2 / 1 each; b has two: 3.
    assert ch2_l3n(mask).tolist() == [[0, 0, 7, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    mask[1, 3] = True  # b–3 is a link to the outside: 3 / 2; and c can now be reached, over 3 and b
    scores = ch2_l3n(mask)
    assert scores[0].tolist() == [0, 0, 2 + 2 + 1.5, 2 + 2 + 1.5 + 0]
    # a to 3: inner nodes 0, 1 and b; b's links to 0 and 1 are inside, that to 2 outside. c to 0: c–3–b–0, 3 has its
    # link to b inside: 2 / 1; b has 3 inside, 1 and 2 outside: 2 / 3.
    assert scores[2, 0].item() == pytest.approx(2 + 2 / 3)


def test_relative_importance_by_hand() -> None:
    weight = torch.tensor([[1.0, -3.0], [0.0, 2.0]])
    relative = torch.tensor([[1 / 4 + 1, 3 / 4 + 3 / 5], [0.0, 1 + 2 / 5]])
    torch.testing.assert_close(removal_score(weight, 0.0), relative)
    torch.testing.assert_close(removal_score(weight, 1.0), weight.abs())
    torch.testing.assert_close(removal_score(weight, 0.25), 0.25 * weight.abs() + 0.75 * relative)
    assert not removal_score(torch.zeros(2, 2), 0.0).any()


def layer(weight: list[list[float]], mask: list[list[int]], rng: int, **options: Any) -> tuple[nn.Linear, CHTs]:
    value = torch.tensor(weight)
    net = nn.Linear(value.shape[1], value.shape[0], bias=False)
    masks.write_weight_(net, value)
    masks.attach_(net, torch.tensor(mask, dtype=torch.bool))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    setting = Setting(net, optimizer=optimizer, steps=1000, rng=rng)
    return net, CHTs(setting, **{"every": 1, "cosine": False, **options})


def frequencies(draws: int, run: Any) -> dict[Any, float]:
    found: dict[Any, float] = {}
    for rng in range(draws):
        outcome = run(rng)
        found[outcome] = found.get(outcome, 0) + 1 / draws
    return found


def test_removal_is_drawn_in_proportion_to_size_to_the_power() -> None:
    draws, size = 3000, [1.0, 2.0, 5.0]

    def stays(rng: int) -> int:
        net, topology = layer([[*size, 0.0, 0.0, 0.0]], [[1, 1, 1, 0, 0, 0]], rng, share=2 / 3)
        topology.steps_done = 94  # T = 1 + 8 · 94 / 750
        mask = masks.masks(net)[""]
        return int(topology._stay("", net, mask).nonzero()[0, 1])

    found = frequencies(draws, stays)
    powers = [s ** (1 + 8 * 94 / 750) for s in size]
    for place, power in enumerate(powers):
        chance = power / sum(powers)
        assert abs(found.get(place, 0) - chance) < 4 * math.sqrt(chance * (1 - chance) / draws)


def test_growth_is_drawn_in_proportion_to_the_scores() -> None:
    draws = 2000
    links = [[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1]]
    mask = torch.tensor(links, dtype=torch.bool)

    def grown(rng: int) -> tuple[int, int]:
        net, topology = layer([[5.0] * 4] * 3, links, rng, share=0.1)  # round(0.1 · 7) = 1 moves
        topology.steps_done = 1
        topology._stay = lambda name, module, mask: torch.where(torch.tensor(stay), mask, False)  # type: ignore[method-assign]
        topology._move()
        new = masks.masks(net)[""] & ~torch.tensor(stay)
        return tuple(new.nonzero()[0].tolist())

    stay = mask.clone()
    stay[1, 1] = False
    scores, stay = by_paths(stay), stay.tolist()
    found = frequencies(draws, grown)
    for (row, column), score in ((place, float(scores[place])) for place in itertools.product(range(3), range(4))):
        chance = score / float(scores.sum())
        assert abs(found.get((row, column), 0) - chance) <= 4 * math.sqrt(chance * (1 - chance) / draws)


def test_links_without_a_path_grow_only_when_there_are_no_others() -> None:
    net, topology = layer([[1.0, 1.0, 0.0], [0.0, 1.0, 1e-9]], [[1, 1, 0], [0, 1, 1]], 0, share=0.25)
    for _ in range(300):
        topology.step()
        assert int(masks.masks(net)[""].sum()) == 4
    # Two links of one unit, no others: no path of length 3 anywhere.
    outcomes = set()
    for rng in range(100):
        net, topology = layer([[1.0, 1.0], [0.0, 0.0]], [[1, 1], [0, 0]], rng, share=0.5)
        topology.step()
        assert int(masks.masks(net)[""].sum()) == 2
        outcomes.add(str(masks.masks(net)[""].int().tolist()))
    assert len(outcomes) == 5  # either of the two left, any of the three others grown; both ways to come back agree


def test_the_exponent_follows_delta() -> None:
    _, topology = layer([[1.0, 1.0]], [[1, 0]], 0, delta=0.75)
    assert [topology.exponent(t) for t in (0, 375, 750, 1000)] == [1.0, 2.0, 3.0, 3.0]
    assert topology.exponent(750) == pytest.approx(0.75 / 0.25)


def test_percolation_removes_what_leads_nowhere() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        chain = [torch.rand(shape, generator=generator) < 0.25 for shape in [(6, 5), (7, 6), (4, 7)]]
        before = [mask.clone() for mask in chain]
        percolate_(chain)
        for mask, old in zip(chain, before, strict=True):
            assert not bool((mask & ~old).any())
        # A link that lies on a path from an input to an output stays, all others go.
        for place, old in enumerate(before):
            for unit, source in old.nonzero().tolist():
                reached, leads = torch.zeros(old.shape[1]), torch.zeros(old.shape[0])
                reached[source] = leads[unit] = 1
                for mask in reversed(before[:place]):
                    reached = reached @ mask.float()
                for mask in before[place + 1 :]:
                    leads = mask.float() @ leads
                assert bool(chain[place][unit, source]) == bool(reached.any() and leads.any())
    with pytest.raises(UserError, match="chain of linear layers"):
        started(0.2, percolate=True)


def chain() -> nn.Sequential:
    layers = [nn.Flatten(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)]
    return drawn(nn.Sequential(*layers), 1 / 3)


def started(density: float, conv: bool = True, rng: int | None = 0, **options: Any) -> tuple:
    net = network() if conv else chain()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    recipe = Recipe("chts", "", "", topology=CHTs, options=options)
    return net, optimizer, sparsify(net, density, recipe, optimizer=optimizer, steps=60, rng=rng)


@pytest.mark.parametrize("density", [0.07, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("options", [{}, {"alpha": 0.0}, {"percolate": True}], ids=str)
def test_each_layer_keeps_its_number_of_weights(density: float, options: dict[str, Any]) -> None:
    net, optimizer, topology = started(density, conv="percolate" not in options, **options)
    first = {name: mask.clone() for name, mask in masks.masks(net).items()}
    total = sum(mask.numel() for mask in first.values())
    assert sum(int(mask.sum()) for mask in first.values()) == round(density * total)
    for number in range(60):
        before = {name: mask.clone() for name, mask in masks.masks(net).items()}
        step(net, optimizer, topology, number)
        for name, mask in masks.masks(net).items():
            assert int(mask.sum()) == int(first[name].sum())
            value: Tensor = masks.layers(net)[name].weight
            state = optimizer.state[masks.layers(net)[name].parametrizations.weight.original]
            assert not value[~mask].any()
            assert not value[mask & ~before[name]].any()  # what has just grown is zero, and its moments are
            assert not state["exp_avg"][~(mask & before[name])].any()
    assert any(not torch.equal(first[name], mask) for name, mask in masks.masks(net).items()) == (density < 1)
    assert bakes_to_what_it_computes(net)


@pytest.mark.parametrize("stop", [1, 20, 33])
def test_resumption_is_bit_for_bit_even_with_fresh_randomness(stop: int) -> None:
    assert resumes(lambda: started(0.2, rng=None), stop, 60)


def test_no_gradient_of_absent_weights_is_ever_asked_for() -> None:
    net, optimizer, topology = started(0.2)
    assert "dense gradient" not in topology.needs
    for number in range(60):
        step(net, optimizer, topology, number)
        assert not any(masks.mask_of(layer).dense_gradient for layer in masks.layers(net).values())


@pytest.mark.parametrize("options", [{"alpha": -0.1}, {"alpha": 2}, {"delta": 0.4}, {"delta": 1.0}], ids=str)
def test_bad_options(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match="alpha mixes two measures"):
        started(0.2, **options)

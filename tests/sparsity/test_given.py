"""Oracles: the wiring itself, the law of draws without replacement, counts that add up."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given as example
from hypothesis import settings
from hypothesis import strategies as st
from torch import nn

import sparsefire as sf
from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import given, list_methods, recipe
from sparsefire.sparsity.steps import SAM
from sparsefire.wiring import Wiring, erdos_renyi, from_mask, to_mask

BOUNDED = [
    name
    for name in list_methods().method
    if recipe(name).moves.bounded and recipe(name).pattern is None and recipe(name).own_score != "fields"
]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3))


def support(shape: tuple[int, ...], share: float = 0.6) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.where(rng.random(shape) < share, rng.random(shape) + 0.1, 0.0)


def test_a_wiring_of_every_layer_is_taken_whole() -> None:
    net = network()
    first = Wiring.from_edges([0, 1, 5, 5], [3, 3, 19, 0], shape=(6, 20))
    second = from_mask(np.eye(3, 20, dtype=bool))
    sf.sparsify(net, 7 / 180, layout={"0": first, "2": second}, rng=0)
    found = sf.sparsity.masks(net)
    np.testing.assert_array_equal(found["0"], to_mask(first))
    np.testing.assert_array_equal(found["2"], np.eye(3, 20, dtype=bool))


def test_every_layer_keeps_the_same_share_of_what_it_may_have() -> None:
    net, matrix = network(), support((20, 6))
    sf.sparsify(net, 0.3, layout={"0": matrix}, rng=0)
    kept = {name: int(mask.sum()) for name, mask in sf.sparsity.masks(net).items()}
    allowed = {"0": int((matrix > 0).sum()), "2": 60}
    assert sum(kept.values()) == 54
    for name, count in kept.items():
        assert abs(count - 54 * allowed[name] / sum(allowed.values())) < 1


@pytest.mark.parametrize("name", BOUNDED)
def test_no_weight_exists_outside_at_any_step(name: str) -> None:
    net, matrix = network(), support((20, 6))
    x, y = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 3
    optimizer: torch.optim.Optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    if "closure" in recipe(name).needs:
        optimizer = SAM(optimizer)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    topology = sf.sparsify(
        net, 0.3, name, {"0": matrix}, optimizer, scheduler, 40, data=(x, y), loss=nn.functional.cross_entropy, rng=0
    )

    def loss() -> torch.Tensor:
        found = nn.functional.cross_entropy(net(x), y)
        found.backward()
        return found

    for _ in range(40):
        loss()
        optimizer.step(loss if isinstance(optimizer, SAM) else None)  # type: ignore[arg-type]
        scheduler.step()
        topology.step()
        optimizer.zero_grad()
        assert not (sf.sparsity.masks(net)["0"].numpy() & (matrix == 0)).any()
    assert masks.density(net) == pytest.approx(0.3)


def test_draws_have_the_law_of_one_after_the_other_without_replacement() -> None:
    chances, runs = np.array([1.0, 2.0, 3.0, 0.0]), 6000
    law: dict[frozenset[int], float] = {}
    for first, second in itertools.permutations(range(3), 2):
        p = chances[first] / 6 * chances[second] / (6 - chances[first])
        law[frozenset((first, second))] = law.get(frozenset((first, second)), 0.0) + p
    rng = np.random.default_rng(0)
    found = [given.draw(torch.from_numpy(chances).reshape(2, 2), 2, rng).flatten() for _ in range(runs)]
    assert not any(mask[3] for mask in found)
    for pair, p in law.items():
        share = np.mean([bool(mask[list(pair)].all()) for mask in found])
        assert abs(share - p) < 4 * np.sqrt(p * (1 - p) / runs)


@settings(max_examples=50, deadline=None)
@example(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.floats(0.01, 1.0))
def test_counts_add_up_and_fit(allowed: list[int], density: float) -> None:
    chances = {str(i): (torch.arange(50) < count).double().reshape(5, 10) for i, count in enumerate(allowed)}
    total = max(1, round(density * 50 * len(allowed)))
    if total > sum(allowed):
        with pytest.raises(UserError, match="allows"):
            given.counts(chances, density)
    elif total >= len(allowed):
        found = given.counts(chances, density)
        assert sum(found) == total
        assert all(1 <= count <= most for count, most in zip(found, allowed, strict=True))


def test_a_matrix_holds_for_all_taps_of_a_kernel() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3))
    sf.sparsify(net, 0.25, layout={"0": np.array([[1, 0], [0, 1], [1, 0]])}, rng=0)
    mask = sf.sparsity.masks(net)["0"]
    assert int(mask.sum()) == round(0.25 * 54)
    assert not mask[0, 1].any()
    assert not mask[1, 0].any()


def test_a_random_wiring_from_the_other_room_is_a_layout() -> None:
    net, wiring = nn.Linear(30, 30), erdos_renyi(30, 0.2, rng=0)
    sf.sparsify(net, wiring.arcs / 900, layout={"": wiring}, rng=0)
    np.testing.assert_array_equal(sf.sparsity.masks(net)[""], to_mask(wiring))


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ({"1": np.ones((20, 6))}, "'1'"),
        ({"0": np.ones((6, 20))}, "layer '0'"),
        ({"0": -np.ones((20, 6))}, "layer '0'"),
        ({"0": np.zeros((20, 6))}, "nothing but zeros"),
        ({"0": np.full((20, 6), np.nan)}, "NaN"),
        ({"0": "erk"}, "layer '0'"),
        ({"0": np.eye(20, 6), "2": np.eye(3, 20)}, "allows 9"),
    ],
)
def test_bad_layouts_are_named(layout: dict[str, object], text: str) -> None:
    net = network()
    with pytest.raises(UserError, match=text):
        sf.sparsify(net, 0.5, layout=layout, rng=0)
    assert not masks.masked(net)


@pytest.mark.parametrize("name", ["fields", "top-k", "chts", "srigl", "sculpt", "wanda"])
def test_methods_that_cannot_keep_to_it_say_so(name: str) -> None:
    with pytest.raises(UserError, match=f"method '{name}'"):
        sf.sparsify(network(), 0.3, name, {"0": np.ones((20, 6))}, rng=0)

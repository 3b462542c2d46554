"""Networks learn by every rule, within their budget, and the same numbers give the same risk."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from sparsefire import rules
from sparsefire.convergence.nonparametric.functions import linear, single_index
from sparsefire.convergence.nonparametric.networks import (
    GRID,
    Settings,
    network_risk,
    relu_net,
    tune,
)
from sparsefire.convergence.nonparametric.samples import Data, function_data
from sparsefire.errors import UserError

SERVED = (
    "backprop",
    "two-query",
    "forward-gradient",
    "node-perturbation",
    "unit-differences",
    "feedback-alignment",
)
EASY = linear(2, rng=0)


def easy(n: int, rng: int = 0, noise: float = 0.5) -> Data:
    return function_data(EASY, n, noise, rng, test=1000)


@pytest.mark.parametrize("rule", SERVED)
def test_every_rule_learns(rule: str) -> None:
    found = network_risk(easy(200), (8,), rule, steps=100, directions=16, settings=Settings(5e-2), rng=1)
    assert found.risk < 0.3  # the mean alone has risk 1
    assert found.steps == 100
    assert found.queries > 0
    assert not found.diverged


@pytest.mark.parametrize(("rule", "directions"), [("backprop", None), ("two-query", 32)])
def test_risk_falls_with_the_sample(rule: str, directions: int | None) -> None:
    def risks(n: int) -> list[float]:
        given = {"steps": 150, "settings": Settings(3e-2), "directions": directions}
        return [network_risk(easy(n, rng), (4,), rule, rng=rng, **given).risk for rng in range(4)]

    few, many = risks(15), risks(600)
    assert max(many) < np.median(few)
    assert np.mean(many) < 0.4 * np.mean(few)


@pytest.mark.parametrize("rule", ["backprop", "two-query", "node-perturbation"])
def test_the_same_rng_gives_the_same_path(rule: str) -> None:
    one, same, other = (network_risk(easy(100), (8,), rule, steps=40, batch=32, rng=rng) for rng in (5, 5, 6))
    assert np.array_equal(one.path, same.path)
    assert not np.array_equal(one.path, other.path)


def test_two_query_and_forward_gradient_walk_together() -> None:
    """Along the same directions a difference of two losses is the slope, up to O(c²)."""
    found = [
        network_risk(easy(100), (8,), rule, steps=30, rng=2).path[:, 4] for rule in ("two-query", "forward-gradient")
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=2e-2)


def test_all_unit_directions_are_back_propagation() -> None:
    """Queried along every coordinate, weights move as by the gradient."""
    net = relu_net(2, (4,), rng=0)
    weights = sum(p.numel() for p in net.parameters())

    class Coordinates(rules.ForwardGradient):
        def _blocks(self, batch):
            yield math.sqrt(weights) * torch.eye(weights)

    pair = (
        network_risk(easy(50), (4,), rule, steps=20, rng=0).path for rule in ("backprop", lambda rng: Coordinates())
    )
    exact, asked = pair
    np.testing.assert_allclose(exact[:, 3:], asked[:, 3:], rtol=1e-3)


def test_rules_begin_at_the_same_weights_and_hold_the_same_rows_out() -> None:
    slow = Settings(1e-9)
    found = {rule: network_risk(easy(60), (8,), rule, steps=1, settings=slow, rng=3).path[0, 3:] for rule in SERVED}
    for path in found.values():
        np.testing.assert_allclose(path, found["backprop"], rtol=1e-4)


def test_budget_of_queries_is_kept() -> None:
    found = network_risk(easy(100), (8,), "two-query", steps=1000, queries=1000, directions=16, rng=0)
    assert found.queries == 992  # 31 steps of 32 losses
    assert found.steps == 31
    assert found.path[-1, 0] == 31
    assert np.all(np.diff(found.path[:, 1]) > 0)
    by_rows = network_risk(easy(100), (8,), "node-perturbation", queries=1000, batch=None, rng=0)
    assert by_rows.queries == 960  # 80 rows, three losses each


def test_step_size_ends_at_zero_with_the_budget() -> None:
    """The last steps of a short budget change little, as those of a training that ends by itself."""
    short = network_risk(easy(200), (8,), "backprop", steps=10_000, queries=200, checks=10_000, rng=0)
    assert short.steps == 200
    moves = np.abs(np.diff(short.path[:, 4]))
    assert moves[-5:].max() < 0.05 * moves[:100].max()


def test_early_stopping_keeps_the_best_check() -> None:
    data = function_data(single_index(2.0, 3, rng=0), 100, 3.0, rng=0)
    found = network_risk(data, (64,), "backprop", steps=500, settings=Settings(3e-2), rng=0)
    best = int(np.argmin(found.path[:, 3]))
    assert found.kept == found.path[best, 0] < found.steps
    assert found.risk == found.path[best, 4]
    assert found.risk < 0.8 * found.path[-1, 4]  # with so much noise, to go on is to overfit


def test_without_stopping_all_rows_are_learnt() -> None:
    seen = []

    class Watched(rules.Backprop):
        def __call__(self, net, loss_fn, x, y):
            seen.append(len(x))
            return super().__call__(net, loss_fn, x, y)

    found = network_risk(easy(100), (4,), lambda rng: Watched(), steps=2, settings=Settings(stopping=False), rng=0)
    network_risk(easy(100), (4,), lambda rng: Watched(), steps=2, rng=0)
    network_risk(easy(100), (4,), lambda rng: Watched(), steps=3, batch=30, rng=0)
    assert seen == [100, 100, 80, 80, 30, 30, 30]
    assert np.isnan(found.path[:, 3]).all()
    assert found.kept == 2
    assert found.risk == found.path[-1, 4]


def test_weight_decay_shrinks() -> None:
    given = {"steps": 300, "rng": 0}
    plain, decayed = (
        network_risk(easy(50), (8,), "backprop", settings=Settings(1e-2, decay, False), **given).risk
        for decay in (0.0, 100.0)
    )
    assert decayed > 0.5 > plain  # weights near zero are the mean


@pytest.mark.parametrize("stopping", [True, False])
@pytest.mark.parametrize("rule", ["backprop", "two-query"])
def test_a_training_that_diverges_says_so(rule: str, stopping: bool) -> None:
    huge = Data(*(np.full_like(part, 1e30) for part in (easy(50).x, easy(50).y)), easy(50).test_x, easy(50).test_y)
    found = network_risk(huge, (4,), rule, steps=10, settings=Settings(stopping=stopping), rng=0)
    assert found.diverged
    assert found.risk == math.inf
    assert found.kept == found.steps == 0
    with pytest.raises(UserError, match="every setting"):
        tune(lambda rng: huge, (4,), rule, grid=(Settings(),), steps=10, rng=0)


def test_a_factory_gives_the_network() -> None:
    def factory(dimension: int, rng: int) -> nn.Module:
        net = nn.Linear(dimension, 1)
        nn.init.zeros_(net.weight)
        nn.init.zeros_(net.bias)
        return net

    found = network_risk(easy(2000, noise=0.1), factory, "backprop", steps=500, settings=Settings(3e-2), rng=0)
    assert found.risk < 1e-3


def test_kinks_are_spread_over_the_inputs() -> None:
    net = relu_net(1, (400,), rng=0)
    kinks = (-net[0].bias / net[0].weight[:, 0]).detach().numpy()
    np.testing.assert_allclose(np.abs(net[0].weight.detach().numpy()), 1.0, rtol=1e-6)
    assert np.abs(kinks).max() <= math.sqrt(3) + 1e-6
    assert abs(kinks.mean()) < 4 / 20
    assert abs(kinks.var() - 1) < 4 * math.sqrt(0.8 / 400)
    deep = relu_net(3, (300, 200), rng=1)
    assert abs(float(deep[2].weight.detach().var()) * 300 / 2 - 1) < 4 * math.sqrt(2 / 60_000)


def test_tune_takes_the_least_loss_on_rows_that_it_holds_out() -> None:
    asked = []

    def make(rng) -> Data:
        asked.append(rng)
        return easy(60, int(rng.integers(1000)))

    grid = (Settings(1e-4), Settings(3e-2), Settings(3e-2, stopping=False))
    found = tune(make, (8,), "backprop", grid=grid, replicates=3, steps=60, rng=0)
    assert found.losses.shape == (3, 3)
    assert len(asked) == 3
    assert found.settings == grid[int(found.losses.mean(1).argmin())]
    assert found.settings.step_size == 3e-2
    again = tune(make, (8,), "backprop", grid=grid, replicates=3, steps=60, rng=0)
    np.testing.assert_array_equal(found.losses, again.losses)


def test_tune_never_looks_at_the_test_rows() -> None:
    """Where the test rows say the opposite of the sample, the choice and its losses are what they were."""

    def lying(rng) -> Data:
        data = easy(60, int(rng.integers(1000)))
        return Data(data.x, data.y, data.test_x, -data.test_y)

    def honest(rng) -> Data:
        return easy(60, int(rng.integers(1000)))

    grid = (Settings(1e-4), Settings(3e-2))
    told, lied = (tune(make, (8,), "backprop", grid=grid, steps=60, rng=0) for make in (honest, lying))
    np.testing.assert_array_equal(told.losses, lied.losses)
    assert lied.settings.step_size == 3e-2  # which has the larger risk on those test rows


def test_losses_of_tune_are_risks_and_noise() -> None:
    """Held-out rows are rows like all others: the loss of a trained network is its risk and σ² in the mean."""

    def make(rng) -> Data:
        return easy(400, int(rng.integers(1000)))

    found = tune(make, (4,), "backprop", grid=(Settings(3e-2),), replicates=6, steps=100, rng=0)
    assert found.losses.mean() == pytest.approx(0.25 + 0.02, abs=4 * 0.25 * math.sqrt(2 / (6 * 80)))


def test_the_grid_is_the_same_for_all() -> None:
    assert len(set(GRID)) == len(GRID) == 12
    assert {one.stopping for one in GRID} == {True, False}


def test_wrong_input_is_named() -> None:
    data = easy(100)
    with pytest.raises(UserError, match="too few rows"):
        network_risk(easy(9), (4,), "backprop")
    with pytest.raises(UserError, match="no rule 'backpropagation'"):
        network_risk(data, (4,), "backpropagation")
    with pytest.raises(UserError, match="leaves no gradient"):
        network_risk(data, (4,), "mezo")
    with pytest.raises(UserError, match="a name or a factory"):
        network_risk(data, (4,), 3)
    with pytest.raises(UserError, match="below one step") as caught:
        network_risk(data, (4,), "two-query", queries=127)
    assert "128" in str(caught.value)
    for wrong in ({"steps": 0}, {"queries": 0}, {"batch": 0}, {"checks": 0}, {"directions": 0}):
        rule = "two-query" if "directions" in wrong else "backprop"
        with pytest.raises(UserError, match="number"):
            network_risk(data, (4,), rule, **wrong)
    for settings in (Settings(0.0), Settings(math.nan), Settings(weight_decay=-1.0), 3):
        with pytest.raises(UserError, match=r"no such number|no Settings"):
            network_risk(data, (4,), "backprop", settings=settings)
    with pytest.raises(UserError, match="width"):
        network_risk(data, (0,), "backprop")
    with pytest.raises(UserError, match="no network"):
        network_risk(data, lambda dimension, rng: 3, "backprop")
    with pytest.raises(UserError, match="nothing to tune"):
        tune(easy, (4,), "backprop", grid=())

"""Oracles: groups of equal inputs, inputs that never vary, and the law of the draws by enumeration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.sparsity.scores.fields import LEAST, POWER, fields
from sparsefire.sparsity.setting import Setting


def grouped(rows: int = 400, groups: int = 4, size: int = 5) -> torch.Tensor:
    return torch.randn(rows, groups, generator=torch.Generator().manual_seed(0)).repeat_interleave(size, 1)


def test_units_look_at_one_group_of_equal_inputs() -> None:
    net = nn.Sequential(nn.Linear(20, 50), nn.ReLU(), nn.Linear(50, 3))
    sf.sparsify(net, 0.2, "fields", data=(grouped(), None), rng=0)
    for row in sf.sparsity.masks(net)["0"]:
        assert len(set((row.nonzero().ravel() // 5).tolist())) <= 1 or int(row.sum()) > 5


def test_inputs_that_never_vary_are_not_drawn() -> None:
    x = torch.cat([grouped(), torch.full((400, 30), 7.0)], 1)
    net = nn.Sequential(nn.Linear(50, 40), nn.ReLU(), nn.Linear(40, 3))
    sf.sparsify(net, 0.15, "fields", data=(x, None), rng=0)
    assert not sf.sparsity.masks(net)["0"][:, 20:].any()


def test_an_input_is_drawn_first_with_the_chance_of_the_formula() -> None:
    x = torch.randn(300, 3, generator=torch.Generator().manual_seed(1)) @ torch.tensor(
        [[1.0, 0.8, 0.0], [0.0, 0.6, 0.3], [0.0, 0.0, 1.0]]
    )
    z = ((x - x.mean(0)) / x.std(0, correction=0)).double().numpy()
    gain = np.abs(z).mean(0)
    chances = np.abs(z.T @ z / len(z)) ** POWER * gain + LEAST
    wanted = (gain / gain.sum()) @ (chances / chances.sum(1, keepdims=True))  # over the centre
    units = 20_000
    score = fields(Setting(nn.Linear(3, units), data=(x, None), rng=0), 0)[""]
    share = np.bincount(score.argmax(1).numpy(), minlength=3) / units
    assert np.abs(share - wanted).max() < 4 * np.sqrt(0.25 / units)


def test_other_layers_are_uniform_and_the_network_is_left_alone() -> None:
    net = nn.Sequential(nn.Linear(20, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4000))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    score = fields(Setting(net, data=(grouped(), None), rng=0), 0)["3"]
    share = np.bincount(score.argmax(1).numpy(), minlength=8) / 4000
    assert np.abs(share - 1 / 8).max() < 4 * np.sqrt(7 / 64 / 4000)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_draws_among_the_places_of_its_kernel(groups: int) -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 3, groups=groups), nn.Flatten(), nn.Linear(4 * 36, 3))
    sf.sparsify(net, 0.1, "fields", data=(torch.randn(5, 2, 8, 8), None), rng=0)
    assert sf.density(net) == pytest.approx(0.1, abs=1e-3)


def test_draws_are_repeatable_and_differ_by_rng() -> None:
    def drawn(rng: int) -> torch.Tensor:
        net = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 2))
        sf.sparsify(net, 0.2, "fields", data=(grouped(), None), rng=rng)
        return sf.sparsity.masks(net)["0"]

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))


@pytest.mark.parametrize("method", ["rigl+fields", "set+fields", "sign-in+fields", "fields+ham"])
def test_it_is_the_start_of_other_methods(method: str) -> None:
    net = nn.Sequential(nn.Linear(20, 50), nn.ReLU(), nn.Linear(50, 3))
    optimizer = torch.optim.AdamW(net.parameters())
    sf.sparsify(net, 0.1, method, None, optimizer, steps=10, data=(grouped(), None), rng=0)
    lone = nn.Sequential(nn.Linear(20, 50), nn.ReLU(), nn.Linear(50, 3))
    sf.sparsify(lone, 0.1, "fields", data=(grouped(), None), rng=0)
    for mine, theirs in zip(sf.sparsity.masks(net).values(), sf.sparsity.masks(lone).values(), strict=True):
        assert torch.equal(mine, theirs)


def test_it_needs_inputs_alone() -> None:
    with pytest.raises(UserError, match="data"):
        sf.sparsify(nn.Linear(20, 3), 0.2, "fields")

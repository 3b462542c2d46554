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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [7.0, 0.1, 0.0])
def test_inputs_that_never_vary_are_not_drawn(value: float, dtype: torch.dtype) -> None:
    x = torch.cat([grouped(), torch.full((400, 30), value)], 1).to(dtype)
    net = nn.Sequential(nn.Linear(50, 40), nn.ReLU(), nn.Linear(40, 3)).to(dtype)
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


def test_a_convolution_draws_where_its_inputs_vary() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 3))
    x = torch.randn(50, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 0.3
    sf.sparsify(net, 0.05, "fields", data=(x, None), rng=0)
    mask = sf.sparsity.masks(net)["0"]
    assert mask[:, 0].any()
    assert not mask[:, 1].any()


def test_groups_of_a_convolution_have_inputs_of_their_own() -> None:
    net = nn.Sequential(nn.Conv1d(4, 6, 1, groups=2), nn.Flatten(), nn.Linear(6 * 5, 2))
    x = torch.randn(90, 4, 5, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 0.3  # of the first group
    x[:, 2] = 0.3  # of the second
    score = fields(Setting(net, data=(x, None), rng=0), 0)["0"][:, :, 0]
    assert (score[:3].argmax(1) == 0).all()
    assert (score[3:].argmax(1) == 1).all()


def test_what_the_data_do_not_pass_is_drawn_uniformly() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.spare, self.first, self.last = nn.Linear(5, 5), nn.Linear(20, 8), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(x).relu())

    net = Twice()
    sf.sparsify(net, 0.2, "fields", data=(grouped(), None), rng=0)
    assert sf.density(net) == pytest.approx(0.2, abs=5e-3)


@pytest.mark.parametrize("method", ["gmp+fields", "one-shot+fields", "lrr+fields"])
def test_methods_that_begin_with_all_weights_refuse_it(method: str) -> None:
    net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 3))
    with pytest.raises(UserError, match="begins with all weights"):
        sf.sparsify(net, 0.2, method, data=(grouped(), None), steps=10)


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

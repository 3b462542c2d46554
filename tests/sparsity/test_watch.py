"""Oracles: tables worked out by hand, NumPy, and the masks themselves."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation import product_balance
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.watch import Watch, mask_overlap, sign_agreement


def layer(rows: list[list[float]], mask: list[list[int]] | None = None) -> nn.Linear:
    weight = torch.tensor(rows)
    net = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    masks.write_weight_(net, weight)
    if mask is not None:
        masks.attach_(net, torch.tensor(mask).bool())
    return net


def test_a_look_by_hand() -> None:
    net = layer([[1.0, -2.0, 3.0, 4.0]], [[1, 1, 1, 0]])
    watch = Watch(net)
    masks.write_weight_(net, torch.tensor([[-1.0, -2.0, 3.0, 0.0]]))
    row = watch.look().loc[""]
    assert row[["weights", "active", "flips", "all_flips", "shared"]].tolist() == [4, 3, 1, 1, 3]
    assert row[["density", "jaccard", "explored"]].tolist() == [0.75, 1.0, 0.75]
    assert row[["balance_05", "balance_50", "balance_95"]].isna().all()
    masks.write_mask_(net, torch.tensor([[True, False, True, True]]))
    masks.write_weight_(net, torch.tensor([[1.0, 0.0, -3.0, -4.0]]))
    row = watch.look().loc[""]  # the fourth weight is new: no flip
    assert row[["active", "flips", "all_flips", "shared"]].tolist() == [3, 2, 3, 2]
    assert row[["density", "jaccard", "explored"]].tolist() == [0.75, 0.5, 1.0]
    assert watch.look().loc[""][["flips", "all_flips", "jaccard"]].tolist() == [0, 3, 1.0]
    assert watch.looks == 3


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 4))
def test_looks_agree_with_numpy(rng: int, looks: int) -> None:
    draws = np.random.default_rng(rng)
    net = layer([[0.0] * 6] * 5, draws.integers(0, 2, (5, 6)).tolist())
    watch, ever = Watch(net), masks.masks(net)[""].numpy().copy()
    sign, mask, total = np.sign(net.weight.detach().numpy()), ever.copy(), 0
    for _ in range(looks):
        masks.write_mask_(net, torch.from_numpy(draws.random((5, 6)) < 0.4))
        masks.write_weight_(net, torch.from_numpy(draws.normal(size=(5, 6)).astype("float32")))
        now, live = np.sign(net.weight.detach().numpy()), masks.masks(net)[""].numpy().copy()
        ever, total = ever | live, total + int((now * sign < 0).sum())
        row = watch.look().loc[""]
        assert row["active"] == live.sum()
        assert row["all_flips"] == total
        assert row["explored"] == pytest.approx(ever.mean())
        assert row["jaccard"] == ((live & mask).sum() / (live | mask).sum() if (live | mask).any() else 1.0)
        sign, mask = now, live


def test_exploration_of_rigl_grows_and_that_of_a_static_mask_does_not() -> None:
    explored = {}
    for method in ("static", "rigl"):
        net = nn.Sequential(nn.Linear(10, 12), nn.Tanh(), nn.Linear(12, 4))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        topology = sparsify(net, 0.2, method, optimizer=optimizer, steps=40, rng=0)
        watch, ever = Watch(net), {name: mask.clone() for name, mask in masks.masks(net).items()}
        for number in range(40):
            x = torch.randn(8, 10, generator=torch.Generator().manual_seed(number))
            net(x).square().sum().backward()
            optimizer.step(), topology.step(), optimizer.zero_grad()
            table = watch.look()
            ever = {name: ever[name] | mask for name, mask in masks.masks(net).items()}
        assert list(table.index) == ["0", "2"]
        assert table.explored.tolist() == pytest.approx([float(m.float().mean()) for m in ever.values()])
        assert int(table.active.sum()) == round(0.2 * 168)
        assert table.active.sum() / table.weights.sum() == masks.density(net)
        explored[method] = (table.explored * table.weights).sum() / 168
    assert explored["static"] == pytest.approx(34 / 168)
    assert explored["rigl"] > 0.25


def test_balance_of_products() -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sparsify(net, 0.5, "sign-in", optimizer=optimizer, steps=20, rng=0)
    table = Watch(net).look()
    for name, values in product_balance(net).items():
        expected = np.quantile(values, [0.05, 0.5, 0.95])
        assert table.loc[name, ["balance_05", "balance_50", "balance_95"]].tolist() == pytest.approx(list(expected))
    assert table.balance_50.tolist() == pytest.approx([1.0, 1.0], rel=1e-5)


def test_a_watch_goes_on_from_its_state() -> None:
    net = layer([[1.0, -2.0], [3.0, 4.0]], [[1, 1], [1, 0]])
    whole, first = Watch(net), Watch(net)
    masks.write_weight_(net, -net.weight.detach())
    whole.look(), first.look()
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    masks.write_mask_(net, torch.tensor([[True, False], [True, True]]))
    masks.write_weight_(net, torch.tensor([[1.0, 0.0], [3.0, 4.0]]))
    again = Watch(net)
    again.load_state_dict(torch.load(file, weights_only=True))
    assert again.look().equals(whole.look())
    assert again.looks == 2
    with pytest.raises(UserError, match="no layer '0'"):
        Watch(nn.Sequential(nn.Linear(2, 2))).load_state_dict(first.state_dict())


def test_looking_leaves_everything_as_it_was() -> None:
    net = layer([[1.0, -2.0]], [[1, 0]])
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    net.train()
    Watch(net).look()
    assert masks.mask_of(net).training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_a_layer_masked_after_the_watch_began_is_seen() -> None:
    net = nn.ModuleDict({"words": nn.Embedding(5, 3), "look": nn.MultiheadAttention(4, 2), "out": nn.Linear(3, 2)})
    watch = Watch(net)
    assert list(watch.look().index) == ["look.in_proj", "look.out_proj", "out"]
    masks.attach_(net["words"], torch.ones(5, 3, dtype=torch.bool))
    row = watch.look().loc["words"]
    assert row[["active", "flips", "jaccard", "explored"]].tolist() == [15, 0, 1.0, 1.0]


def test_signs_against_a_twin_by_hand() -> None:
    net = layer([[1.0, -2.0, 3.0, 4.0]], [[1, 1, 1, 0]])
    twin = layer([[5.0, 5.0, 0.0, 5.0]])
    for other in (twin, twin.state_dict()):
        row = sign_agreement(net, other).loc[""]
        assert row.tolist() == [2, 0.5]
    empty = layer([[0.0, 0.0, 0.0, 0.0]])
    assert sign_agreement(net, empty).agreement.isna().all()


def test_signs_of_attention_against_a_state() -> None:
    net = nn.MultiheadAttention(4, 2)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    for part in masks.maskable(net).values():
        masks.attach_(part, torch.rand(part.weight.shape) < 0.5)
    found = sign_agreement(net, state)
    assert list(found.index) == ["in_proj", "out_proj"]
    assert found.agreement.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("other", [{"": torch.tensor([[True, False, True, False]])}, None])
def test_overlap_by_hand(other: dict[str, Tensor] | None) -> None:
    net = layer([[1.0, 1.0, 1.0, 1.0]], [[1, 1, 0, 0]])
    second = layer([[1.0, 1.0, 1.0, 1.0]], [[1, 0, 1, 0]]) if other is None else other
    row = mask_overlap(net, second).loc[""]
    assert row["shared"] == 1
    assert row["jaccard"] == pytest.approx(1 / 3)
    assert row["chance"] == pytest.approx(1 / 3)  # 2 · 2 / 4 shared of 3


def test_overlap_of_random_masks_is_that_of_chance() -> None:
    nets = [nn.Linear(60, 50), nn.Linear(60, 50)]
    for rng, net in enumerate(nets):
        sparsify(net, 0.3, rng=rng)
    row = mask_overlap(*nets).loc[""]
    n, k = 3000, 900
    spread = (k * k / n * (1 - k / n) * (n - k) / (n - 1)) ** 0.5  # hypergeometric
    assert abs(row["shared"] - k * k / n) < 4 * spread
    assert row["chance"] == pytest.approx((k * k / n) / (2 * k - k * k / n))


def test_empty_masks_are_equal() -> None:
    net = layer([[1.0, 1.0]], [[0, 0]])
    assert mask_overlap(net, net).loc[""].tolist() == [0, 1.0, 1.0]


def test_what_does_not_fit_is_told() -> None:
    net = layer([[1.0, 1.0]])
    with pytest.raises(UserError, match="layer ''"):
        mask_overlap(net, {})
    with pytest.raises(UserError, match="shape"):
        sign_agreement(net, {"weight": torch.ones(3, 3)})
    with pytest.raises(UserError, match="no weights to watch"):
        Watch(nn.ReLU())

from __future__ import annotations

import copy
import time

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.propagation import diagnose, init
from sparsefire.propagation.diagnosis import LEVELS
from sparsefire.propagation.measures import MEASURES


def _mlp(depth: int, width: int, density: float | None, norm: type[nn.Module] | None = None) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(depth):
        parts += [nn.Linear(width, width), *([norm(width)] if norm else []), nn.ReLU()]
    net = nn.Sequential(*parts, nn.Linear(width, 10))
    if density is not None:
        sf.sparsify(net, density, layout="uniform", rng=0)
    return init.in_degree_(net, rng=0)


def test_table_of_a_masked_network() -> None:
    net = _mlp(4, 60, 0.1)
    d = diagnose(net)
    assert list(d.layers["layer"]) == ["0", "2", "4", "6", "8"]
    masks = sf.masks.masks(net)
    assert list(d.layers["weights"]) == [int(mask.sum()) for mask in masks.values()]
    assert np.allclose(d.layers["fan_in_mean"], [float(mask.sum(1).double().mean()) for mask in masks.values()])
    assert list(d.layers["fan_out_max"]) == [int(mask.sum(0).max()) for mask in masks.values()]
    assert list(d.layers["dead_outputs"]) == [int((mask.sum(1) == 0).sum()) for mask in masks.values()]
    for key in MEASURES:
        low, middle, high = (d.layers[f"{key}_{level:.0%}"] for level in LEVELS)
        assert (low <= middle).all()
        assert (middle <= high).all()
    product = np.ones(60, dtype=object)
    for mask in masks.values():
        product = mask.numpy().astype(object) @ product
    assert d.paths == sum(product)
    assert d.singular_values.shape == (10,)
    assert str(d) == d.verdict


def test_measured_values_lie_among_redraws() -> None:
    inside = []
    for number in range(10):
        net = nn.Sequential(*(m for _ in range(6) for m in (nn.Linear(80, 80), nn.ReLU())), nn.Linear(80, 10))
        sf.sparsify(net, 0.1, layout="uniform", rng=number)
        rows = diagnose(init.in_degree_(net, rng=number), redraws=64, rng=number).layers
        inside += list((rows["variance"] >= rows["variance_5%"]) & (rows["variance"] <= rows["variance_95%"]))
    assert 0.75 < np.mean(inside) <= 1  # 90% of 70, correlated within a network


def test_starved_layers_are_named_with_the_mend() -> None:
    net = nn.Sequential(*(m for _ in range(5) for m in (nn.Linear(200, 200), nn.ReLU())), nn.Linear(200, 10))
    sf.sparsify(net, 0.3, layout="uniform", rng=0)
    mask = torch.rand(200, 200, generator=torch.Generator().manual_seed(0)) < 0.005
    sf.masks.write_mask_(net[4], mask)
    init.in_degree_(net, rng=0)
    text = diagnose(net).verdict
    assert "layer '4' has mean fan-in 1." in text.replace("Layer", "layer")
    assert "raise its density to 0.02" in text
    assert "layout='critical'" in text


def test_fading_and_chaos_are_told_apart() -> None:
    faint = _mlp(20, 64, None)
    with torch.no_grad():
        for layer in sf.masks.layers(faint).values():
            layer.weight.mul_(0.3)
    found = diagnose(faint)
    assert found.probability_of_learning < 0.2
    assert "The signal fades" in found.verdict
    found = diagnose(_mlp(70, 48, None, nn.BatchNorm1d))
    assert found.probability_of_learning < 0.2
    assert "radients grow" in found.verdict
    assert "residual" in found.verdict


def test_a_sound_network_is_called_sound() -> None:
    d = diagnose(_mlp(3, 64, 0.3))
    assert d.probability_of_learning > 0.9
    assert "nothing stands in its way" in d.verdict
    assert not d.findings


def test_a_cut_network() -> None:
    net = _mlp(3, 30, 0.3)
    sf.masks.write_mask_(net[2], torch.zeros(30, 30, dtype=torch.bool))
    d = diagnose(net)
    assert d.probability_of_learning == 0
    assert d.paths == 0
    assert "all 30 units of layer '2' are without a weight" in d.verdict


def test_any_network() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 8, 3, padding=1)
            self.block = nn.Conv2d(8, 8, 3, padding=1)
            self.last = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.first(x).relu()
            return self.last((h + self.block(h).relu()).mean((2, 3)))

    d = diagnose(Residual(), torch.randn(8, 1, 9, 9))
    assert list(d.layers["kind"]) == ["conv2d", "conv2d", "linear"]
    assert d.probability_of_learning > 0.5
    attention = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
    assert len(diagnose(nn.Sequential(attention, nn.Flatten(), nn.Linear(80, 3)), torch.randn(6, 5, 16)).layers) == 3


def test_one_layer_and_no_redraws() -> None:
    d = diagnose(nn.Linear(3, 2), redraws=0)
    assert len(d.layers) == 1
    assert "variance_5%" not in d.layers


def test_the_network_is_left_as_it_is() -> None:
    net = _mlp(3, 20, 0.3)
    before = copy.deepcopy(net.state_dict())
    diagnose(net)
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())
    assert len(sf.masks.masks(net)) == 4
    assert net.training


@pytest.mark.parametrize("redraws", [1, -1, 2.5, True])
def test_wrong_redraws(redraws: object) -> None:
    with pytest.raises(UserError, match="redraws"):
        diagnose(nn.Linear(3, 2), redraws=redraws)  # type: ignore[arg-type]


@pytest.mark.slow
def test_fifty_layers_take_two_seconds() -> None:
    net = _mlp(50, 512, 0.01)
    diagnose(net)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        spent = []
        for _ in range(3):
            began = time.process_time()
            diagnose(net)
            spent.append(time.process_time() - began)
    finally:
        torch.set_num_threads(threads)
    assert min(spent) < 2


class _Blocks(nn.Module):
    def __init__(self, depth: int, *, zero: bool) -> None:
        super().__init__()
        self.first = nn.Linear(16, 32)
        self.inner = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
        self.outer = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
        self.head = nn.Linear(32, 4)
        self.spare = nn.Linear(32, 7)
        if zero:
            for layer in self.outer:
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            h = h + outer(inner(h).relu())
        self.spare(h)
        return self.head(h)


@pytest.mark.parametrize("zero", [False, True])
def test_branches_are_no_chain(zero: bool) -> None:
    torch.manual_seed(0)
    d = diagnose(_Blocks(4, zero=zero), torch.randn(32, 16))
    assert d.paths is None
    assert d.probability_of_learning > 0.8
    assert ("start at zero" in d.verdict) is zero
    assert "no path" not in d.verdict


def test_a_head_that_starts_at_zero_learns() -> None:
    net = _mlp(3, 40, None)
    nn.init.zeros_(net[-1].weight)
    d = diagnose(net)
    assert d.probability_of_learning > 0.8
    assert d.paths == 40**4 * 10


def test_order_of_registration_is_not_the_order_of_use() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.late, self.early = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.late(self.early(x).relu())

    d = diagnose(Turned())
    assert d.paths is None
    assert list(d.layers["layer"]) == ["early", "late"]


def test_weights_that_something_else_makes() -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 12)
    plain = nn.Sequential(nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 3))
    normed = copy.deepcopy(plain)
    for at in (0, 2):
        nn.utils.parametrizations.weight_norm(normed[at])
    expected = diagnose(plain, x).layers
    assert np.allclose(diagnose(normed, x).layers["variance"], expected["variance"], rtol=1e-5)
    old = copy.deepcopy(plain)
    nn.utils.weight_norm(old[0])
    old(x)
    assert np.allclose(diagnose(old, x).layers["variance"], expected["variance"], rtol=1e-5)
    pruned = copy.deepcopy(plain)
    prune.l1_unstructured(pruned[0], "weight", 0.75)
    pruned(x).sum().backward()
    found = diagnose(pruned, x).layers
    assert found["weights"][0] == 90
    assert hasattr(pruned[0], "weight_orig")


def test_what_changes_sizes_between_layers_has_no_path_count() -> None:
    d = diagnose(nn.Sequential(nn.Linear(8, 16), nn.GLU(), nn.Linear(8, 4)))
    assert d.paths is None
    assert len(d.layers) == 2


def test_kinds_of_inputs() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 20), nn.ReLU(), nn.Linear(20, 2)).half()
    table = pd.DataFrame(np.arange(12).reshape(4, 3) % 5, columns=list("abc"))
    assert len(diagnose(net, table).layers) == 2
    assert len(diagnose(net, table.to_numpy().tolist()).layers) == 2
    words = nn.Sequential(nn.Embedding(10, 6), nn.Flatten(), nn.Linear(24, 3))
    d = diagnose(words, torch.randint(10, (8, 4)))
    assert len(d.layers) == 1
    assert d.singular_values.shape == (0,)
    images = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)).to(memory_format=torch.channels_last)
    assert len(diagnose(images, torch.randn(4, 3, 9, 9)).layers) == 2
    with pytest.raises(UserError, match="numbers"):
        diagnose(net, pd.DataFrame({"a": ["x", "y"], "b": [1, 2], "c": [1, 2]}))


def test_what_is_no_number_cannot_learn() -> None:
    net = _mlp(3, 20, None)
    with torch.no_grad():
        net[2].weight[0, 0] = torch.nan
    d = diagnose(net, redraws=0)
    assert d.probability_of_learning == 0
    assert "not finite" in d.verdict
    assert "layer '2'" in d.verdict


def test_groups_have_fans_of_their_own() -> None:
    net = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Conv2d(8, 2, 1))
    with torch.no_grad():
        net[0].weight[3] = 0
    rows = diagnose(net, torch.randn(4, 8, 6, 6)).layers
    assert rows["fan_out_max"][0] == 9
    assert rows["dead_inputs"][0] == 1


def test_redraws_keep_the_law_of_the_weights() -> None:
    for number, weights in enumerate(("normal", "uniform", "sign")):
        net = nn.Linear(300, 3000)
        sf.masks.attach_(net, torch.rand(3000, 300, generator=torch.Generator().manual_seed(number)) < 0.01)
        init.in_degree_(net, weights=weights, rng=number)
        x = torch.randn(64, 300, generator=torch.Generator().manual_seed(9)).relu()
        row = diagnose(net, x, redraws=64).layers.iloc[0]
        assert row["kurtosis_5%"] * 0.95 < row["kurtosis"] < row["kurtosis_95%"] * 1.05

"""Oracles: autograd through the whole network; hooks and modes as they were before."""

from __future__ import annotations

import pytest
import torch
from small_rules import generator, same_weights  # noqa: F401
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsefire.errors import UserError
from sparsefire.rules.units import credit_, disturbed, record, trainable, unit_layers
from sparsefire.sparsity import sparsify


def networks() -> dict[str, tuple[nn.Module, Tensor, int]]:
    dense = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    masked = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    sparsify(masked, 0.5, rng=0)
    product = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    sparsify(product, 0.5, "sign-in", optimizer=torch.optim.SGD(product.parameters(), lr=0.1), steps=10, rng=0)
    conv = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Conv2d(3, 2, 3, bias=False),
        nn.GroupNorm(1, 2), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 3),
    )  # fmt: skip
    words = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.PReLU(), nn.Linear(20, 3))
    flat = torch.randn(7, 6, generator=generator(1), dtype=torch.float64)
    pictures = torch.randn(7, 1, 6, 6, generator=generator(2), dtype=torch.float64)
    return {
        "dense": (dense.double(), flat, 2),
        "masked": (masked.double(), flat, 2),
        "product": (product.double(), flat, 2),
        "conv": (conv.double(), pictures, 6),
        "words": (words.double(), torch.randint(0, 9, (7, 5), generator=generator(3)), 3),
    }


def sensitivities(net: nn.Module, x: Tensor, y: Tensor, layers: dict[str, nn.Module]) -> tuple[dict, list]:
    """dL/da of each layer's outputs and dL/dθ, by autograd through everything."""
    outputs: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _m, _i, output, name=name: (outputs.update({name: output}), output * 1)[1])
        for name, module in layers.items()
    ]
    loss = nn.functional.cross_entropy(net(x), y)
    for hook in hooks:
        hook.remove()
    parameters = [p for p in net.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, [*outputs.values(), *parameters])
    return dict(zip(outputs, found[: len(outputs)], strict=True)), list(found[len(outputs) :])


@pytest.mark.parametrize("kind", sorted(networks()))
def test_right_sensitivities_give_the_gradient(kind: str) -> None:
    net, x, count = networks()[kind]
    y = torch.randint(0, 3, (7,), generator=generator(4))
    layers = unit_layers(net, "a rule")
    assert len(layers) == count
    deltas, slopes = sensitivities(net, x, y, layers)
    output, given = record(net, x, layers, "a rule")
    assert not output.requires_grad
    assert torch.is_grad_enabled()
    credit_(layers, given, deltas)
    for parameter, slope in zip((p for p in net.parameters() if p.requires_grad), slopes, strict=True):
        torch.testing.assert_close(parameter.grad, slope, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(output, net(x))


def test_graphs_end_at_their_own_layer() -> None:
    net, x, _ = networks()["dense"]
    _, given = record(net, x, unit_layers(net, "a rule"), "a rule")
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(given["2"].sum(), [net[0].weight])


def test_noise_is_added_where_it_is_given_and_copies_survive_in_place_activations() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)).double()
    x = torch.randn(5, 3, generator=generator(), dtype=torch.float64)
    layers = unit_layers(net, "a rule")
    noise = {"0": torch.randn(5, 4, generator=generator(1), dtype=torch.float64)}
    seen: dict[str, Tensor] = {}
    _, given = record(net, x, layers, "a rule", copies=True)
    output = disturbed(net, x, layers, noise, seen)
    before = nn.functional.linear(x, net[0].weight, net[0].bias)
    torch.testing.assert_close(given["0"], before)
    torch.testing.assert_close(seen["0"], before + noise["0"])
    torch.testing.assert_close(output, net[2](torch.relu(before + noise["0"])))
    assert list(seen) == ["0"]


def test_frozen_parameters_and_frozen_layers_are_left_out() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    net[1].bias.requires_grad_(False)
    layers = unit_layers(net, "a rule")
    assert list(layers) == ["1"]
    _, given = record(net, torch.ones(5, 3), layers, "a rule")
    credit_(layers, given, {"1": torch.ones(5, 2)})
    assert net[1].weight.grad is not None
    assert net[1].bias.grad is None
    assert net[0].weight.grad is None


def test_parameters_inside_parametrisations_belong_to_the_layer() -> None:
    net = nn.Linear(3, 2)
    nn.utils.parametrizations.weight_norm(net)
    assert parametrize.is_parametrized(net)
    assert list(unit_layers(net, "a rule")) == [""]
    assert sorted(tuple(p.shape) for p in trainable(net)) == [(2,), (2, 1), (2, 3)]


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.layer(x))


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.other = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.other.weight.sum()


class Merged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.reshape(-1, 3)).reshape(len(x), -1)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * self.weight, x


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Twice(), r"layer 'layer' \(Linear\) is called more than once"),
        (Unused(), r"layer 'other' \(Linear\) has trainable parameters and is not called"),
        (Merged(), r"layer 'layer' \(Linear\) does not return a tensor with one row per input"),
        (nn.Sequential(Pair()), r"layer '0' \(Pair\) does not return a tensor"),
        (nn.Sequential(nn.GRU(3, 3)), r"cannot perturb layer '0' \(GRU\)"),
        (nn.TransformerEncoderLayer(4, 2), r"cannot perturb layer 'self_attn' \(MultiheadAttention\)"),
        (nn.Sequential(nn.Embedding(3, 2, sparse=True)), r"cannot perturb layer '0' \(Embedding\)"),
        (nn.Sequential(nn.ReLU()), "nothing that a rule could train"),
    ],
)
def test_what_cannot_be_served_is_named_and_nothing_stays_behind(net: nn.Module, message: str) -> None:
    with pytest.raises(UserError, match=message):
        record(net, torch.ones(4, 2, 3), unit_layers(net, "a rule"), "a rule")
    assert torch.is_grad_enabled()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_hooks_go_when_the_network_fails() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(3, 2))
    layers = unit_layers(net, "a rule")
    for run in (
        lambda: record(net, torch.ones(4, 3), layers, "a rule"),
        lambda: disturbed(net, torch.ones(4, 3), layers, {"0": torch.zeros(4, 2)}),
    ):
        with pytest.raises(RuntimeError):
            run()
        assert torch.is_grad_enabled()
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in net)

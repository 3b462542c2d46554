"""Oracles: counting parameters of the built network, exhaustive search for the narrow rival, the He-normal law."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from sparsefire.errors import UserError
from sparsefire.train.networks import build, can_be_narrow, initialise_, narrow, weight_count

CNN = {"kind": "cnn", "shape": [1, 12, 10], "channels": [4, 8], "hidden": 16, "outputs": 3}


def counted(net: nn.Module) -> int:
    return sum(p.numel() for name, p in net.named_parameters() if name.endswith("weight"))


def test_an_mlp_has_the_widths_given() -> None:
    net = build({"kind": "mlp", "widths": [6, 5, 4, 3]})
    assert [tuple(p.shape) for p in net.parameters()] == [(5, 6), (5,), (4, 5), (4,), (3, 4), (3,)]
    x = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0))  # flattened inside
    a, b, c = (m for m in net if isinstance(m, nn.Linear))
    expected = c(torch.relu(b(torch.relu(a(x.reshape(7, 6))))))
    assert torch.equal(net(x), expected)


def test_no_hidden_layer_is_a_linear_model() -> None:
    net = build({"kind": "mlp", "widths": [6, 1]})
    assert [type(m) for m in net] == [nn.Flatten, nn.Linear]


def test_a_cnn_has_the_shape_given() -> None:
    net = build(CNN)
    assert net(torch.zeros(2, 1, 12, 10)).shape == (2, 3)
    shapes = [tuple(p.shape) for name, p in net.named_parameters() if name.endswith("weight")]
    assert shapes == [(4, 1, 3, 3), (8, 4, 3, 3), (16, 8 * 3 * 2), (3, 16)]


@pytest.mark.parametrize("description", [{"kind": "mlp", "widths": [9, 7, 5]}, {"kind": "mlp", "widths": [9, 2]}, CNN])
def test_weights_are_counted_as_built(description: dict) -> None:
    assert weight_count(description) == counted(build(description))


def test_weights_are_he_normal_and_biases_zero() -> None:
    net = build({"kind": "mlp", "widths": [50, 200, 80]}, rng=1)
    for layer in (m for m in net if isinstance(m, nn.Linear)):
        scaled = layer.weight.detach().flatten() * math.sqrt(layer.in_features / 2)
        assert stats.kstest(scaled.numpy(), "norm").pvalue > 1e-4
        assert not layer.bias.any()
    convolution = build({**CNN, "channels": [64, 64]}, rng=1)[3].weight.detach()
    assert stats.kstest((convolution.flatten() * math.sqrt(9 * 64 / 2)).numpy(), "norm").pvalue > 1e-4


class Own(nn.Module):
    """A user's network that draws from torch's global generator and scales its hidden layer."""

    def __init__(self, shape: tuple[int, ...], outputs: int, width: float = 1.0) -> None:
        super().__init__()
        hidden = max(1, int(20 * width))
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), hidden), nn.Linear(hidden, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


FACTORY = {"kind": "factory", "name": "mine:Own", "shape": [2, 3], "outputs": 4}


@pytest.mark.parametrize(
    ("description", "factory"),
    [
        ({"kind": "mlp", "widths": [6, 5, 3]}, None),
        (CNN, None),
        (FACTORY, Own),
        (FACTORY, nn.Sequential(nn.Flatten(), nn.Linear(6, 4))),
    ],
)
def test_weights_are_a_function_of_rng_and_the_global_generator_rests(description: dict, factory: object) -> None:
    before = torch.get_rng_state()
    one, same, other = (build(description, rng, factory).state_dict() for rng in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_module_is_copied_and_initialised_afresh() -> None:
    template = nn.Sequential(nn.Flatten(), nn.Linear(6, 4))
    before = template[1].weight.detach().clone()
    net = build(FACTORY, 0, template)
    assert net is not template
    assert not torch.equal(net[1].weight, before)
    assert torch.equal(template[1].weight, before)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 60), min_size=3, max_size=5), st.floats(0.01, 1.3))
def test_narrow_is_the_largest_common_scaling_that_fits(widths: list[int], share: float) -> None:
    description = {"kind": "mlp", "widths": widths}
    asked = max(1, int(share * weight_count(description)))
    first, *hidden, last = widths
    # every scaling there is: the hidden widths change only where factor · width is whole
    factors = sorted({(0, 1), *((k, width) for width in hidden for k in range(width + 1))}, key=lambda f: f[0] / f[1])
    rivals = [[first, *(max(1, w * k // width) for w in hidden), last] for k, width in factors]
    fitting = [r for r in rivals if sum(a * b for a, b in pairwise(r)) <= asked]
    found = narrow(description, asked)
    assert found["widths"] == (max(fitting) if fitting else rivals[0])
    if fitting:
        assert weight_count(found) <= asked


@pytest.mark.parametrize("asked", [30, 100, 500, 1000])
def test_a_narrow_cnn_fits_and_no_larger_scaling_does(asked: int) -> None:
    found = narrow(CNN, asked)
    fits = weight_count(found) <= asked
    smallest = {**CNN, "channels": [1, 1], "hidden": 1}
    assert fits or found == smallest
    for units in range(17):  # factors of sixteenths: 4 and 8 divide 16
        rival = {**CNN, "channels": [max(1, c * units // 16) for c in (4, 8)], "hidden": max(1, units)}
        assert weight_count(rival) > asked or weight_count(rival) <= weight_count(found)


def test_as_many_weights_as_dense_is_the_dense_network() -> None:
    for asked in (84_480, 10**9):
        assert narrow({"kind": "mlp", "widths": [64, 256, 256, 10]}, asked)["widths"] == [64, 256, 256, 10]
    assert narrow(CNN, weight_count(CNN)) == CNN


def test_a_factory_with_width_can_be_narrow() -> None:
    assert can_be_narrow(FACTORY, Own)
    assert not can_be_narrow(FACTORY, lambda shape, outputs: Own(shape, outputs))
    assert not can_be_narrow(FACTORY, Own((2, 3), 4))
    found = narrow(FACTORY, 75, Own)  # 6 · h + 4 · h <= 75: seven hidden units
    assert counted(build(found, factory=Own)) == 70
    assert counted(build(narrow(FACTORY, 200, Own), factory=Own)) == 200
    with pytest.raises(UserError, match="widths to scale"):
        narrow(FACTORY, 75, Own((2, 3), 4))


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"kind": "transformer"}, "no network of kind"),
        ({}, "no network of kind"),
        ({"kind": "mlp", "widths": [5]}, "widths"),
        ({"kind": "mlp", "widths": [5, 0, 2]}, "widths"),
        ({"kind": "mlp", "widths": [5, 2.5]}, "widths"),
        ({"kind": "mlp", "widths": [5, True]}, "widths"),
        ({"kind": "mlp"}, "widths"),
        ({**CNN, "shape": [1, 3, 12]}, "too small"),
        ({**CNN, "shape": [12, 12]}, "shape"),
        ({**CNN, "channels": []}, "channels"),
        ({**CNN, "hidden": None}, "hidden"),
        (FACTORY, "not run because a file says so"),
    ],
)
def test_impossible_descriptions_are_told(description: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        build(description)


def test_a_factory_must_return_a_network() -> None:
    with pytest.raises(UserError, match="did not return a network"):
        build(FACTORY, 0, lambda shape, outputs: None)


def test_initialise_reaches_nested_layers() -> None:
    net = Own((2, 3), 4)
    initialise_(net, 0)
    again = Own((2, 3), 4)
    initialise_(again, 0)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def flat(*parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), *parts, nn.Linear(8, 4))


class Attention(nn.Module):
    """Self-attention over one token, whose own method of initialisation is private."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.MultiheadAttention(8, 2, add_bias_kv=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inside(x, x, x)[0]


class Scaled(nn.Module):
    """A bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


class Forgetful(Scaled):
    """A method that covers a part of the parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.ones(8))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.scale)


class Covering(nn.Module):
    """A method that covers a parameter of its part."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Scaled()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.part.scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.part(x)


@pytest.mark.parametrize(
    "part",
    [nn.BatchNorm1d(8), nn.LayerNorm(8), nn.PReLU(), Attention(), nn.TransformerEncoderLayer(8, 2, 16), Covering()],
    ids=lambda part: type(part).__name__,
)
@torch.no_grad()
def test_a_copy_of_a_pretrained_module_remembers_nothing(part: nn.Module) -> None:
    template = flat(part)
    pretrained = flat(part)
    for value in [*pretrained.parameters(), *pretrained.buffers()]:
        value.fill_(77)
    one, other = build(FACTORY, 0, template).state_dict(), build(FACTORY, 0, pretrained).state_dict()
    for name in one:
        assert torch.equal(one[name], other[name])
        assert not (one[name] == 77).any()
    assert all((value == 77).all() for value in pretrained.state_dict().values())


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (Scaled(), "2.scale"),
        (Forgetful(), "2.shift"),
        (nn.ParameterList([torch.ones(8)]), "2.0"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)), "2.parametrizations.weight.original0"),
    ],
    ids=["bare", "forgotten", "list", "weight norm"],
)
def test_a_parameter_that_copies_would_share_is_named(part: nn.Module, name: str) -> None:
    with pytest.raises(UserError, match=name) as caught:
        build(FACTORY, 0, flat(part))
    assert "pass a function" in caught.value.attempt


def raises(shape: tuple[int, ...], outputs: int) -> nn.Module:
    raise ZeroDivisionError("by zero\nand more")


@pytest.mark.parametrize(
    ("factory", "words", "came"),
    [
        (lambda: nn.Linear(6, 4), "cannot be made", "TypeError"),
        (raises, "cannot be made", "ZeroDivisionError: by zero"),
        (nn.Identity(), "no weights that could be left out", "Identity"),
        (lambda shape, outputs: nn.Embedding(6, 4), "no weights that could be left out", "Embedding"),
    ],
)
def test_a_factory_that_fails_is_told(factory: object, words: str, came: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        build(FACTORY, 0, factory)
    assert caught.value.came.startswith(came)
    assert "\n" not in caught.value.came


def test_what_a_factory_says_itself_is_told_as_it_is() -> None:
    def refusing(shape: tuple[int, ...], outputs: int) -> nn.Module:
        raise UserError("three channels only.")

    with pytest.raises(UserError, match="three channels only"):
        build(FACTORY, 0, refusing)

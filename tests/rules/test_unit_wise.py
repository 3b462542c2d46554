"""Oracles: autograd; a full forward pass for every unit that moves; hand-counted budgets."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_rules import entropy, flat, generator, normal, same_weights, squared  # noqa: F401
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.rules import _unit_wise_sweep
from sparsefire.rules import unit_wise as room
from sparsefire.rules.unit_wise import UnitDifferences
from sparsefire.sparsity import sparsify


def chain(sizes: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU, number: int = 0) -> nn.Sequential:
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        parts += [nn.Linear(inputs, outputs), activation()]
    net = nn.Sequential(*parts[:-1]).double()
    for place, parameter in enumerate(net.parameters()):
        scale = 1 / math.sqrt(parameter.shape[-1]) if parameter.ndim == 2 else 0.3
        parameter.data = normal(*parameter.shape, number=100 * number + place) * scale
    return net


def exact(net: nn.Module, loss_fn: Any, x: Tensor, y: Any) -> Tensor:
    net.zero_grad()
    loss_fn(net(x), y).mean().backward()
    found = flat(net).clone()
    net.zero_grad()
    return found


def force(patch: pytest.MonkeyPatch, path: str) -> None:
    patch.setattr(room, "_work", lambda *_: (0.0, 1.0) if path == "cone" else (1.0, 0.0))
    patch.setattr(room, "_WIDE", 1 if path == "sweep" else 10**9)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "leaky": lambda: nn.LeakyReLU(0.2), "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU,
    "gelu tanh": lambda: nn.GELU(approximate="tanh"), "silu": nn.SiLU, "identity": nn.Identity,
    "two": lambda: nn.Sequential(nn.Tanh(), nn.SiLU()), "in place": lambda: nn.ReLU(inplace=True),
}  # fmt: skip


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("density", [1.0, 0.3])
@pytest.mark.parametrize("path", ["cone", "dense", "sweep"])
def test_the_gradient_at_every_depth(monkeypatch: pytest.MonkeyPatch, depth: int, density: float, path: str) -> None:
    force(monkeypatch, path)
    net = chain([6, 9, 8, 7, 4][: depth + 1])
    if density < 1:
        sparsify(net, density, rng=0)
    x, y = normal(11, 6, number=1), torch.randint(0, 4, (11,), generator=generator(2))
    gradient = exact(net, entropy, x, y)
    loss = UnitDifferences(1e-7)(net, entropy, x, y)
    torch.testing.assert_close(flat(net), gradient, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(loss, entropy(net(x), y).mean().detach())
    assert not loss.requires_grad


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("path", ["cone", "dense", "sweep"])
@pytest.mark.parametrize("sided", ["one", "two"])
def test_every_query_is_a_full_forward_pass(monkeypatch: pytest.MonkeyPatch, name: str, path: str, sided: str) -> None:
    """At a coarse scale, so that nothing but the right differences can agree."""
    force(monkeypatch, path)
    net, scale = chain([5, 6, 7, 6, 3], ACTIVATIONS[name]), 0.3
    sparsify(net, 0.5, rng=0)
    x, y = normal(4, 5, number=1), torch.randint(0, 3, (4,), generator=generator(2))
    UnitDifferences(scale, sided=sided)(net, entropy, x, y)

    def losses(layer: nn.Module, unit: int, size: float) -> Tensor:
        def move(_: nn.Module, __: Any, output: Tensor) -> Tensor:
            return output + size * nn.functional.one_hot(torch.tensor(unit), output.shape[1]).to(output)

        hook = layer.register_forward_hook(move)
        with torch.no_grad():
            found = entropy(net(x.clone()), y)
        hook.remove()
        return found

    for layer in (module for module in net.modules() if isinstance(module, nn.Linear)):
        for unit in range(layer.out_features):
            below = losses(layer, unit, -scale if sided == "two" else 0.0)
            width = scale * (2 if sided == "two" else 1)
            expected = ((losses(layer, unit, scale) - below) / width).mean()
            torch.testing.assert_close(layer.bias.grad[unit], expected, rtol=1e-9, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    rows=st.integers(1, 5),
    density=st.sampled_from([1.0, 0.5, 0.2]),
    name=st.sampled_from(sorted(ACTIVATIONS)),
    path=st.sampled_from(["cone", "dense", "sweep", "either"]),
    memory=st.sampled_from([1, 300, 2**24]),
)
def test_any_small_chain(sizes: list[int], rows: int, density: float, name: str, path: str, memory: int) -> None:
    net = chain(sizes, ACTIVATIONS[name], number=sum(sizes))
    for layer in masks.layers(net).values():
        keep = torch.rand(layer.weight.shape, generator=generator(rows)) < density
        masks.attach_(layer, keep)
    x, y = normal(rows, sizes[0], number=1), normal(rows, sizes[-1], number=2)
    gradient = exact(net, squared, x, y)
    with pytest.MonkeyPatch.context() as patch:
        if path != "either":
            force(patch, path)
        UnitDifferences(1e-4, sided="two", memory=memory)(net, squared, x.clone(), y)
    kinks = 1e-4 if name not in ("relu", "leaky", "in place") else 0.05 * float(gradient.norm()) + 1e-4
    torch.testing.assert_close(flat(net), gradient, rtol=1e-4, atol=kinks)


def test_orders_of_the_bias() -> None:
    net = chain([5, 8, 6, 3], nn.Tanh)
    x, y = normal(9, 5, number=1), torch.randint(0, 3, (9,), generator=generator(2))
    gradient = exact(net, entropy, x, y)
    for sided, order in (("one", 1), ("two", 2)):
        errors = []
        for scale in (2e-2, 1e-2):
            net.zero_grad()
            UnitDifferences(scale, sided=sided)(net, entropy, x, y)
            errors.append(float((flat(net) - gradient).norm()))
        assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.1)


def test_an_mnist_sized_network_agrees_with_the_gradient() -> None:
    for density, least in ((1.0, 0.9999), (0.1, 0.9999)):
        net = chain([784, 256, 10])
        if density < 1:
            sparsify(net, density, rng=0)
        x, y = normal(128, 784, number=1), torch.randint(0, 10, (128,), generator=generator(2))
        gradient = exact(net, entropy, x, y)
        UnitDifferences(1e-4)(net, entropy, x, y)
        assert float(nn.functional.cosine_similarity(flat(net), gradient, dim=0)) > least
        net = net.float()
        net.zero_grad()
        UnitDifferences()(net, entropy, x.float(), y)
        assert float(nn.functional.cosine_similarity(flat(net).double(), gradient, dim=0)) > 0.999


def test_without_the_compiled_kernels_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    net = chain([5, 8, 6, 3])
    sparsify(net, 0.4, rng=0)
    x, y = normal(9, 5, number=1), torch.randint(0, 3, (9,), generator=generator(2))
    found = []
    for dtypes in (room._COMPILED, ()):
        monkeypatch.setattr(room, "_COMPILED", dtypes)
        net.zero_grad()
        rule = UnitDifferences()
        rule(net, entropy, x, y)
        found.append((flat(net).clone(), rule.budget.queries))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-9, atol=1e-10)
    assert found[0][1] == found[1][1]
    half = copy.deepcopy(net).bfloat16()
    half.zero_grad()
    UnitDifferences(0.25)(half, entropy, x.bfloat16(), y)
    assert float(nn.functional.cosine_similarity(flat(half).double(), found[0][0], dim=0)) > 0.5


@pytest.mark.parametrize("units", [None, 40])
def test_levels_swept_together_are_as_one_by_one(monkeypatch: pytest.MonkeyPatch, units: int | None) -> None:
    """Wide layers are swept by default; little memory, or a layer that is not wide, forbids it."""
    net, swept = chain([5, 70, 64, 66, 3]), []
    sparsify(net, 0.5, rng=0)
    x, y = normal(9, 5, number=1), torch.randint(0, 3, (9,), generator=generator(2))
    monkeypatch.setattr(_unit_wise_sweep.Sweep, "blocks", spied(_unit_wise_sweep.Sweep.blocks, swept))
    found = []
    for memory, wide in ((2**24, 64), (10_000, 64), (2**24, 67)):
        monkeypatch.setattr(room, "_WIDE", wide)
        net.zero_grad()
        rule = UnitDifferences(0.1, memory=memory, units=units, rng=0)
        rule(net, entropy, x, y)
        found.append((flat(net).clone(), rule.budget.queries, rule.budget.forward_passes))
    assert len(swept) == 1
    for gradient, asked, passes in found[1:]:
        torch.testing.assert_close(gradient, found[0][0], rtol=1e-9, atol=1e-12)
        assert (asked, passes) == (found[0][1], pytest.approx(found[0][2], rel=1e-12))


def spied(method: Callable[..., Any], calls: list[Any]) -> Callable[..., Any]:
    def again(*given: Any) -> Any:
        calls.append(given)
        return method(*given)

    return again


def test_units_drawn_at_random_are_right_on_average() -> None:
    net = chain([5, 6, 4, 3], nn.Tanh)
    x, y = normal(9, 5, number=1), torch.randint(0, 3, (9,), generator=generator(2))
    UnitDifferences(1e-4)(net, entropy, x, y)
    whole = flat(net).clone()
    rule, found = UnitDifferences(1e-4, units=3, rng=generator(3)), []
    for _ in range(400):
        net.zero_grad()
        rule(net, entropy, x, y)
        found.append(flat(net).clone())
        bias = torch.cat([net[0].bias.grad, net[2].bias.grad])
        assert int((bias != 0).sum()) == 3
        assert net[4].bias.grad.all()
    draws = torch.stack(found)
    error = draws.std(0) / math.sqrt(len(draws))
    score = (draws.mean(0) - whole)[error > 0] / error[error > 0]
    assert float(score.abs().max()) < 4.5
    assert float(score.square().mean()) < 1.8
    torch.testing.assert_close(draws.mean(0)[error == 0], whole[error == 0])
    assert rule.budget.random_bits == 400 * 3 * 4  # ⌈log₂ 10⌉


@pytest.mark.parametrize("method", ["static", "sign-in"])
def test_masks_and_products(method: str) -> None:
    net = chain([6, 8, 5, 3])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sparsify(net, 0.4, method, optimizer=optimizer, steps=10, rng=0)
    x, y = normal(7, 6, number=1), torch.randint(0, 3, (7,), generator=generator(2))
    gradient = exact(net, entropy, x, y)
    UnitDifferences(1e-7)(net, entropy, x, y)
    torch.testing.assert_close(flat(net), gradient, rtol=1e-5, atol=1e-7)
    for parameter, mask in masks.active(net).items():
        assert parameter.grad.abs().sum() > 0
        if mask is not None:
            assert not parameter.grad[~mask].any()


def test_dropout_keeps_the_mask_of_the_clean_pass_and_generators_move_as_in_one() -> None:
    net = nn.Sequential(
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(6, 20), nn.Tanh(), nn.Dropout(0.5), nn.Linear(20, 9), nn.ReLU(),
        nn.Sequential(nn.Dropout(0.3), nn.Linear(9, 3)),
    ).double()  # fmt: skip
    x, y = normal(7, 2, 3, number=1), torch.randint(0, 3, (7,), generator=generator(2))
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(4)
        gradient = exact(net, entropy, x, y)
        after = torch.get_rng_state()
        torch.random.default_generator.manual_seed(4)
        UnitDifferences(1e-6)(net, entropy, x, y)
        assert torch.equal(torch.get_rng_state(), after)
    torch.testing.assert_close(flat(net), gradient, rtol=1e-4, atol=1e-6)
    net.eval()
    gradient = exact(net, entropy, x, y)
    UnitDifferences(1e-6)(net, entropy, x, y)
    torch.testing.assert_close(flat(net), gradient, rtol=1e-4, atol=1e-6)


def test_a_softmax_at_the_end_and_a_single_layer() -> None:
    x, y = normal(7, 4, number=1), torch.randint(0, 3, (7,), generator=generator(2))

    def picked(output: Tensor, y: Tensor) -> Tensor:
        return nn.functional.nll_loss(output, y, reduction="none")

    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.LogSoftmax(1)).double()
    single = nn.Linear(4, 3).double()
    for one, loss_fn in ((net, picked), (single, entropy)):
        gradient = exact(one, loss_fn, x, y)
        UnitDifferences(1e-6)(one, loss_fn, x, y)
        torch.testing.assert_close(flat(one), gradient, rtol=1e-4, atol=1e-6)


def test_targets_are_tensors_tuples_or_mappings() -> None:
    net, x = chain([4, 5, 3]), normal(7, 4, number=1)
    y, weight = normal(7, 3, number=2), normal(7, number=3).abs()
    plain: Any = lambda output, both: weight_of(both) * squared(output, target_of(both))  # noqa: E731
    found = []
    for both in ((y, weight), [y, weight], {"y": y, "w": weight}):
        weight_of = (lambda t: t["w"]) if isinstance(both, dict) else (lambda t: t[1])
        target_of = (lambda t: t["y"]) if isinstance(both, dict) else (lambda t: t[0])
        net.zero_grad()
        UnitDifferences(1e-7)(net, plain, x, both)
        found.append(flat(net).clone())
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    net.zero_grad()
    (weight * squared(net(x), y)).mean().backward()
    torch.testing.assert_close(flat(net), found[0], rtol=1e-5, atol=1e-6)
    for wrong in (normal(6, 3), 3, (y, "no"), torch.tensor(1.0)):
        with pytest.raises(UserError, match="repeat the rows"):
            UnitDifferences()(net, squared, x, wrong)


def test_resting_units_are_not_asked_about_and_the_budget_is_as_by_hand() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    for layer in (net[0], net[2], net[4]):
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    net[0].bias.data = torch.tensor([0.0, 0.0, -99.0]).double()  # at rest for all
    net[2].bias.data = torch.tensor([0.0, -4.5]).double()  # moves for the second example alone
    x = torch.tensor([[1.0, 1.0], [2.0, 2.0]], dtype=torch.float64)
    seen = []

    def counted(output: Tensor, y: Tensor) -> Tensor:
        seen.append(len(output))
        return squared(output, y)

    rule = UnitDifferences(1e-3)
    rule(net, counted, x, torch.zeros(2, 2, dtype=torch.float64))
    # clean 2; first layer: 2 units × 2 examples; second: 2 + 1; outputs: 2 × 2
    assert sum(seen) == rule.budget.queries == 2 + 4 + 3 + 4
    assert rule.budget.samples == 2
    # 4 pairs take 2 + 4 products each, 3 pairs take 2; a pass takes 2 · (6 + 6 + 4)
    assert rule.budget.forward_passes == pytest.approx(2 + (4 * 6 + 3 * 2) / 32)
    assert rule.budget.random_bits == 0


def test_the_cone_counts_its_products(monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, "cone")
    net = nn.Sequential(nn.Linear(1, 2), nn.Tanh(), nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 3)).double()
    net[2].weight.data = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    net[4].weight.data = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    rule = UnitDifferences(1e-3)
    rule(net, squared, normal(5, 1), torch.zeros(5, 3, dtype=torch.float64))
    # first layer: unit 0 reaches one unit and by it 2 outputs, unit 1 two and by them 4; second layer: 2 and 2
    assert rule.budget.forward_passes == pytest.approx(2 + ((1 + 2) + (2 + 4) + 4) / (2 + 3 + 4))


def test_frozen_layers_are_left_out_and_estimates_accumulate() -> None:
    net = chain([4, 5, 6, 3])
    net[2].requires_grad_(False)
    net[0].bias.requires_grad_(False)
    x, y = normal(7, 4, number=1), torch.randint(0, 3, (7,), generator=generator(2))
    gradient = exact(net, entropy, x, y)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for _ in range(2):
        UnitDifferences(1e-7)(net, entropy, x, y)
    torch.testing.assert_close(flat(net), 2 * gradient, rtol=1e-5, atol=1e-6)
    assert net[2].weight.grad is None
    assert net[0].bias.grad is None
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_states_are_taken_and_put_back() -> None:
    net, x, y = chain([4, 9, 3]), normal(7, 4, number=1), normal(7, 3, number=2)
    rule = UnitDifferences(units=2, rng=0)
    rule(net, squared, x, y)
    state, found = copy.deepcopy(rule.state_dict()), []
    for again in (rule, UnitDifferences(units=2, rng=5)):
        again.load_state_dict(state)
        net.zero_grad()
        again(net, squared, x, y)
        found.append(flat(net).clone())
        assert again.budget.calls == 2
    assert torch.equal(*found)


@pytest.mark.parametrize("when", [0, 1, 2])
def test_losses_that_are_no_numbers_leave_everything_as_it_was(when: int) -> None:
    net, count = chain([4, 5, 3]), iter(range(9))
    before = {name: value.clone() for name, value in net.state_dict().items()}

    def loss_fn(output: Tensor, y: Tensor) -> Tensor:
        return squared(output, y) * (float("inf") if next(count) == when else 1.0)

    with pytest.raises(UserError, match="not a number at call 1"):
        UnitDifferences()(net, loss_fn, normal(7, 4), normal(7, 3))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_losses_of_another_shape_are_refused() -> None:
    net = chain([4, 5, 3])
    for wrong in (lambda out, y: squared(out, y).mean(), lambda out, y: out - y):
        with pytest.raises(UserError, match="one loss per row"):
            UnitDifferences()(net, wrong, normal(7, 4), normal(7, 3))
    assert net[0].weight.grad is None


SHARED = nn.Linear(4, 4)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)), r"layer '1' \(BatchNorm1d\)"),
        (nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 2)), r"layer '1' \(Softmax\)"),
        (nn.Sequential(nn.Sequential(nn.Conv1d(4, 4, 1)), nn.Linear(4, 2)), r"layer '0.0' \(Conv1d\)"),
        (nn.Sequential(nn.Linear(4, 4), nn.AlphaDropout(0.5), nn.Linear(4, 2)), r"layer '1' \(AlphaDropout\)"),
        (nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2)), r"layer '0' \(LayerNorm\)"),
        (nn.Sequential(SHARED, nn.ReLU(), SHARED), r"layer '0' \(Linear\) stands more than once"),
        (nn.TransformerEncoderLayer(4, 2), "TransformerEncoderLayer"),
        (nn.Sequential(nn.Linear(4, 2)).requires_grad_(False), "nothing that unit-wise"),
    ],
)
def test_structures_it_cannot_serve_are_named(net: nn.Module, message: str) -> None:
    with pytest.raises(UserError) as caught:
        UnitDifferences()(net, squared, torch.ones(7, 4), torch.zeros(7, 2))
    assert re.search(message, str(caught.value))
    assert all(p.grad is None for p in net.parameters())


def test_sequences_of_vectors_are_refused_by_the_layer_that_gets_them() -> None:
    with pytest.raises(UserError, match=r"layer '0' \(Linear\) does not get one vector per example"):
        UnitDifferences()(nn.Sequential(nn.Linear(4, 2)), squared, torch.ones(7, 3, 4), torch.zeros(7, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": -1.0}, "size"),
        ({"sided": "three"}, "one side"),
        ({"units": 0}, "at least one"),
        ({"memory": 0}, "memory"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        UnitDifferences(**options)


def test_targets_in_double_precision_as_numpy_gives_them() -> None:
    net = nn.Sequential(
        nn.Linear(3, 80), nn.ReLU(), nn.Linear(80, 80), nn.ReLU(), nn.Linear(80, 80), nn.ReLU(), nn.Linear(80, 1)
    )
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    y = x.sum(1, keepdim=True)

    def losses(output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().flatten(1).sum(1)

    found = []
    for target in (y, y.double()):
        net.zero_grad()
        UnitDifferences()(net, losses, x, target)
        found.append(net[0].weight.grad.clone())
    torch.testing.assert_close(found[1], found[0], rtol=1e-2, atol=1e-3)

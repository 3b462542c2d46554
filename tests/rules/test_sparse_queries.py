"""Oracle: the same queries by dense weights and vmap, which serve any network."""

import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_rules import generator
from torch import nn
from torch.nn.utils import parametrize

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.masks import attach_
from sparsefire.masks.writing import write_mask_
from sparsefire.rules import (
    SPSA,
    CoordinateDifferences,
    ForwardGradient,
    Hebbian,
    OneQuery,
    TwoQuery,
    WeightPerturbation,
    _sparse_chain,
    _sparse_queries,
    asking,
)
from sparsefire.rules.active import Active
from sparsefire.rules.asking import Batch, fitting, losses_at, slopes_along
from sparsefire.rules.directions import draw
from sparsefire.sparsity import sparsify

CLOSE = {torch.float64: 1e-12, torch.float32: 1e-5}


def chain(widths, density=0.15, activation=nn.ReLU, dtype=torch.float64, bias=True, number=0):
    """Return a masked perceptron with normal weights."""
    layers, source = [], generator(number)
    for inputs, outputs in pairwise(widths):
        layer = nn.Linear(inputs, outputs, bias=bias, dtype=dtype)
        for parameter in layer.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=source, dtype=dtype))
        if density < 1:
            attach_(layer, torch.rand(outputs, inputs, generator=source) < density)
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1])


def problem(net, rows=9, classes=None, dtype=torch.float64, inputs=None):
    """Return a batch for a perceptron with a loss of classes, or of regression."""
    layers = list(masks.reading.layers(net).values())
    x = torch.randn(rows, inputs or layers[0].in_features, generator=generator(5), dtype=dtype)
    outputs = layers[-1].out_features
    if classes:
        return nn.functional.cross_entropy, x, torch.randint(0, outputs, (rows,), generator=generator(6))
    return nn.functional.mse_loss, x, torch.randn(rows, outputs, generator=generator(6), dtype=dtype)


def both(monkeypatch, ask):
    """Return what is found by compiled queries, by dense ones, and how often the former answered."""
    answers = []
    for name in ("outputs", "slopes"):
        own = getattr(_sparse_queries.SparseQueries, name)
        monkeypatch.setattr(
            _sparse_queries.SparseQueries, name, lambda *given, own=own: answers.append(own(*given)) or answers[-1]
        )
    monkeypatch.setattr(_sparse_chain, "_pays", lambda *_: True)
    fast, count = ask(), len(answers)
    monkeypatch.setattr(_sparse_chain, "_pays", lambda *_: False)
    return fast, ask(), count


def check(monkeypatch, net, loss_fn, x, y, scales=(0.3, -0.3), served=True, count=5):
    """Losses and slopes along the same directions are the same, by compiled queries if they serve the network."""
    active = Active(net)
    directions = draw("normal", count, active.size, generator(7), active.dtype)

    def ask():
        active = Active(net)
        batch = Batch(net, loss_fn, x, y, active)
        with torch.no_grad():
            return losses_at(batch, directions, scales), *slopes_along(batch, directions)

    fast, dense, answered = both(monkeypatch, ask)
    assert answered == (2 if served else 0)
    for ours, theirs in zip(fast, dense, strict=True):
        assert ours.shape == theirs.shape
        tolerance = CLOSE[active.dtype]
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance * float(1 + theirs.abs().max()))
    assert fast[0].std() > 0
    return fast


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("rows", [1, 9, 300])
@pytest.mark.parametrize("widths", [(20, 3), (12, 9, 4), (30, 17, 11, 5)])
def test_losses_and_slopes_are_those_of_dense_weights(monkeypatch, widths, rows, dtype):
    net = chain(widths, dtype=dtype)
    check(monkeypatch, net, *problem(net, rows, classes=True, dtype=dtype))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Identity])
def test_activations(monkeypatch, activation):
    net = chain((12, 9, 8, 4), 0.3, activation)
    check(monkeypatch, net, *problem(net))
    ends = nn.Sequential(*net, activation())
    check(monkeypatch, ends, *problem(net))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.SiLU])
def test_activations_in_place(monkeypatch, activation):
    net = chain((12, 9, 8, 4), 0.3, lambda: activation(inplace=True))
    check(monkeypatch, net, *problem(net))


@pytest.mark.parametrize("scales", [(1.0,), (0.5, -0.5), (0.1, 0.2, 0.3)])
def test_any_number_of_scales(monkeypatch, scales):
    net = chain((12, 9, 4))
    check(monkeypatch, net, *problem(net), scales=scales)


def test_without_biases_with_one_output_dense_layers_and_activations_in_a_row(monkeypatch):
    net = chain((12, 9, 4), bias=False)
    check(monkeypatch, net, *problem(net))
    net = chain((12, 9, 1))
    check(monkeypatch, net, *problem(net))
    net = chain((12, 9, 4), 1.0)
    check(monkeypatch, net, *problem(net))
    net = nn.Sequential(*chain((12, 9, 6)), nn.ReLU(), nn.Tanh(), nn.Identity(), nn.Linear(6, 2).double())
    check(monkeypatch, net, *problem(net))
    check(monkeypatch, chain((12, 3)), *problem(chain((12, 3))), count=1)


def test_a_layer_alone_nested_chains_flattened_images_and_what_does_nothing(monkeypatch):
    net = chain((12, 3))[0]
    check(monkeypatch, net, *problem(net))
    parts = chain((12, 9, 4))
    net = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Identity(), parts[0], nn.ReLU(inplace=True)), parts[2]).eval()
    net.append(nn.Dropout(0.5).eval())
    loss_fn, x, y = problem(parts)
    held = x.clone()
    check(monkeypatch, net, loss_fn, x.view(9, 3, 2, 2), y)
    assert torch.equal(x, held)


@pytest.mark.parametrize(
    "frozen", [("0",), ("2",), ("0", "2"), ("4",), ("0.bias",), ("2.bias", "4.bias"), ("0.parametrizations",)]
)
def test_frozen_layers_are_evaluated_but_not_moved(monkeypatch, frozen):
    net = chain((12, 9, 8, 4), 0.3)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen))
    check(monkeypatch, net, *problem(net))


def test_layers_units_and_inputs_without_weights(monkeypatch):
    net = chain((12, 9, 8, 4), 0.3)
    write_mask_(net[2], torch.zeros(8, 9, dtype=torch.bool))
    check(monkeypatch, net, *problem(net))
    write_mask_(net[0], torch.zeros(9, 12, dtype=torch.bool))
    check(monkeypatch, net, *problem(net))


def test_inputs_that_are_silent(monkeypatch):
    net = chain((12, 9, 4), 0.5)
    loss_fn, x, y = problem(net)
    x[:, ::2] = 0
    check(monkeypatch, net, loss_fn, x, y)
    check(monkeypatch, net, loss_fn, torch.zeros_like(x), y)


def test_a_mask_that_moves_and_weights_that_change(monkeypatch):
    net = chain((12, 9, 4))
    loss_fn, x, y = problem(net)
    first = check(monkeypatch, net, loss_fn, x, y)
    net[0].parametrizations["weight"].original.data.mul_(2)
    assert not torch.equal(first[1], check(monkeypatch, net, loss_fn, x, y)[1])
    write_mask_(net[0], torch.rand(9, 12, generator=generator(8)) < 0.4)
    check(monkeypatch, net, loss_fn, x, y)
    clone = copy.deepcopy(net)
    check(monkeypatch, clone, loss_fn, x, y)


def test_weights_that_stay_behind_a_mask_have_no_say(monkeypatch):
    net = chain((12, 9, 4))
    net[0].parametrizations["weight"].original.data.add_(1.0)  # the mask still takes them out
    check(monkeypatch, net, *problem(net))


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 12), min_size=2, max_size=5),
    density=st.floats(0, 1),
    rows=st.integers(1, 140),
    number=st.integers(0, 100),
    activation=st.sampled_from([nn.ReLU, nn.Tanh, nn.Sigmoid]),
    bias=st.booleans(),
)
def test_any_small_network(widths, density, rows, number, activation, bias):
    net = chain(widths, density, activation, bias=bias, number=number)
    if not any(parameter.numel() for parameter in net.parameters()) or not (bias or any(map(_any, net))):
        return
    loss_fn, x, y = problem(net, rows)
    active = Active(net)
    directions = draw("normal", 3, active.size, generator(7), active.dtype)
    with pytest.MonkeyPatch.context() as patch:
        batch = Batch(net, loss_fn, x, y, active)
        ask = lambda: torch.cat([losses_at(batch, directions, (0.2, -0.2)), slopes_along(batch, directions)[1][None]])  # noqa: E731
        patch.setattr(_sparse_chain, "_pays", lambda *_: True)
        fast = ask()
        patch.setattr(asking, "read", lambda *_: None)
        torch.testing.assert_close(fast, ask(), rtol=1e-11, atol=1e-11)


def _any(module):
    own = masks.parametrisation.mask_of(module) if isinstance(module, nn.Linear) else None
    return isinstance(module, nn.Linear) and (own is None or bool(own.mask.any()))


RULES = [
    TwoQuery(directions=7),
    SPSA(directions=7),
    OneQuery(directions=6, antithetic=True),
    OneQuery(directions=3, trace=0.5, baseline="none"),
    WeightPerturbation(directions=7),
    Hebbian(directions=7, amplitude=0.1),
    ForwardGradient(directions=7),
    CoordinateDifferences(two_sided=True),
]


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{type(rule).__name__}-{rule.directions}")
def test_rules_estimate_the_same_whatever_the_chunk(monkeypatch, rule, chunk):
    net = chain((12, 9, 4))
    loss_fn, x, y = problem(net, classes=True)

    def ask():
        own = copy.deepcopy(rule)
        own.chunk, own._generator = chunk, generator(3)
        net.zero_grad()
        losses = [own(net, loss_fn, x, y) for _ in range(2)]
        gradients = [parameter.grad.flatten() for parameter in net.parameters()]
        return torch.cat([*gradients, torch.stack(losses)]), own.budget.state_dict()

    (fast, spent), (dense, also), answered = both(monkeypatch, ask)
    assert answered > 0
    torch.testing.assert_close(fast, dense, rtol=1e-8, atol=1e-8)  # differences over small scales
    assert spent == also


class Twice(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x) + 1


class Louder(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def _unservable():
    one = lambda: chain((8, 8, 3), 0.3)  # noqa: E731
    hooked, before = one(), one()
    hooked[0].register_forward_hook(lambda module, inputs, output: output * 2)
    before[1].register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))
    shared = nn.Linear(8, 8).double()
    tied = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)).double()
    tied[2].weight = tied[0].weight
    doubled = one()
    parametrize.register_parametrization(doubled[0], "weight", Doubled())
    own_bias = one()
    parametrize.register_parametrization(own_bias[0], "bias", Doubled())
    product = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    sparsify(product, 0.3, "spred", optimizer=torch.optim.SGD(product.parameters(), 0.1), steps=10, rng=0)
    patched = one()
    patched[0].forward = lambda x: nn.functional.linear(x, patched[0].weight, patched[0].bias) * 2
    return {
        "hook": hooked,
        "pre-hook": before,
        "called twice": nn.Sequential(shared, nn.Tanh(), shared),
        "tied": tied,
        "own module": nn.Sequential(Twice(nn.Linear(8, 8)), nn.Linear(8, 3)).double(),
        "own forward": nn.Sequential(Louder(8, 8), nn.ReLU(), nn.Linear(8, 3)).double(),
        "patched": patched,
        "two parametrisations": doubled,
        "bias": own_bias,
        "product": product.double(),
        "norm": nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).double(),
        "dropout": nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 3)).double(),
        "softmax": nn.Sequential(nn.Linear(8, 8), nn.Softmax(1), nn.Linear(8, 3)).double(),
        "activation first": nn.Sequential(nn.Tanh(), nn.Linear(8, 3)).double(),
    }


@pytest.mark.parametrize("name", list(_unservable()))
def test_other_networks_are_asked_as_before(monkeypatch, name):
    net = _unservable()[name]
    loss_fn, x, y = problem(net, inputs=8)
    with torch.random.fork_rng(devices=[]):
        if name == "dropout":
            active = Active(net)
            batch = Batch(net, loss_fn, x, y, active)
            monkeypatch.setattr(_sparse_chain, "_pays", lambda *_: True)
            assert _sparse_queries.read(active, x) is None
            losses = losses_at(batch, torch.zeros(2, active.size).double(), (1.0, -1.0))
            assert float(losses.std()) < 1e-12  # the same noise
            return
        before = [*net.parameters()]
        check(monkeypatch, net, loss_fn, x, y, served=False)
        assert all(one is other for one, other in zip(before, net.parameters(), strict=True))


def test_other_inputs_are_asked_as_before(monkeypatch):
    net = chain((12, 9, 4))
    loss_fn, x, y = problem(net)
    check(monkeypatch, net, loss_fn, (x,), y, served=False)
    check(monkeypatch, net, loss_fn, {"input": x}, y, served=False)
    check(monkeypatch, net, loss_fn, x[0], y[0], served=False)
    check(monkeypatch, net, loss_fn, x[None], y[None], served=False)
    with pytest.raises(RuntimeError, match=r"multiplied|size"):
        check(monkeypatch, net, loss_fn, x[:, :5], y, served=False)


def test_other_precision_and_hooks_on_all_modules_are_left_to_torch(monkeypatch):
    net = chain((12, 9, 4))
    _, x, _ = problem(net)
    monkeypatch.setattr(_sparse_chain, "_pays", lambda *_: True)
    assert _sparse_queries.read(Active(net), x) is not None
    assert _sparse_queries.read(Active(net), x.float()) is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert _sparse_queries.read(Active(net), x) is None
    handle = nn.modules.module.register_module_forward_hook(lambda module, inputs, output: output * 2)
    try:
        assert _sparse_queries.read(Active(net), x) is None
    finally:
        handle.remove()


def test_a_part_of_the_weights_is_moved_as_before(monkeypatch):
    net = chain((12, 9, 4))
    _, x, _ = problem(net)
    monkeypatch.setattr(_sparse_chain, "_pays", lambda *_: True)
    keep = {"0.bias": torch.arange(9) < 3}
    assert _sparse_queries.read(Active(net, keep), x) is None
    assert _sparse_queries.read(Active(net), x) is not None


def test_it_is_chosen_where_it_pays(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    sparse, dense = chain((784, 300, 10), 0.02), chain((784, 300, 10), 0.9)
    x = torch.randn(128, 784).double()
    assert _sparse_queries.read(Active(sparse), x) is not None
    assert _sparse_queries.read(Active(dense), x) is None
    assert fitting(Active(sparse), x) > 4 * fitting(Active(dense), x)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 100)
    assert _sparse_queries.read(Active(sparse), x) is None


@pytest.mark.parametrize("kind", [TwoQuery, ForwardGradient])
def test_losses_that_are_none_stop_the_rule_and_change_nothing(monkeypatch, kind):
    net = chain((12, 9, 4))
    loss_fn, x, y = problem(net)
    monkeypatch.setattr(_sparse_chain, "_pays", lambda *_: True)
    rule = kind(directions=3, rng=0)
    state = copy.deepcopy(net.state_dict())
    for where in (x, y):
        held = where[0, 1].clone()
        where[0, 1] = float("nan")
        with pytest.raises(UserError, match="call 1"):
            rule(net, loss_fn, x, y)
        where[0, 1] = held
    with pytest.raises(UserError, match="one loss"):
        rule(net, lambda output, y: (output - y).square().mean(1), x, y)
    write_mask_(net[0], torch.zeros(9, 12, dtype=torch.bool))
    x[0, 0] = float("inf")  # no weight reads it, but a dense product would
    with pytest.raises(UserError, match="call 1"):
        rule(net, loss_fn, x, y)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert rule.budget.calls == 0
    assert all(torch.equal(state[name], value) for name, value in net.state_dict().items() if "0." not in name)


def test_a_loss_that_cannot_be_batched_is_reported_as_before(monkeypatch):
    net = chain((12, 9, 4))
    _, x, y = problem(net)

    def by_value(output, y):
        return output.square().mean() if float(output.sum()) > 0 else output.mean()

    messages = []
    for pays in (True, False):
        monkeypatch.setattr(_sparse_chain, "_pays", lambda *_, pays=pays: pays)
        with pytest.raises(UserError) as caught:
            TwoQuery(rng=0)(net, by_value, x, y)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_noise_of_the_loss_is_the_same_in_all_queries_and_leaves_generators_as_one_pass(monkeypatch):
    net = chain((12, 9, 4))
    _, x, y = problem(net)

    def noisy(output, y):
        return (output + torch.randn_like(output) - y).square().mean()

    def ask():
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(1)
            active = Active(net)
            directions = draw("normal", 3, active.size, generator(7), active.dtype)
            found = losses_at(Batch(net, noisy, x, y, active), directions, (0.1, -0.1))
            return found, torch.rand(3)

    (fast, next_fast), (dense, next_dense), answered = both(monkeypatch, ask)
    assert answered == 1
    torch.testing.assert_close(fast, dense, rtol=1e-12, atol=1e-12)
    assert torch.equal(next_fast, next_dense)

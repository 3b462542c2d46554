from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from sparsefire import masks, sparsify
from sparsefire.errors import UserError
from sparsefire.randomness import integer, stream
from sparsefire.rules import NodePerturbation, TwoQuery
from sparsefire.spiking import (
    LI,
    LIF,
    SRM0,
    Adaptation,
    Chip,
    CobaLIF,
    CubaLIF,
    Sequential,
    StructuralPlasticity,
    age,
    constrain,
)
from sparsefire.spiking.chips._device import mismatched


def linear(outputs=6, inputs=10, rng=0):
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(stream(rng, "weights").standard_normal((outputs, inputs))))
        layer.bias.zero_()
    return layer


def network(rng=0):
    return Sequential(linear(rng=rng), LIF(6, tau=10e-3), linear(4, 6, rng + 1), LIF(4))


def stored(layer):
    return masks.own_parameter(layer).detach()


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 8), st.sampled_from(["neuron", "layer", 0.05]), st.integers(0, 99))
def test_weights_are_the_nearest_levels(bits, scale, rng):
    layer = constrain(linear(rng=rng), weight_bits=bits, scale=scale)
    levels, weight = 2 ** (bits - 1) - 1, stored(layer).double().numpy()
    if scale == "neuron":
        step = np.abs(weight).max(1, keepdims=True) / levels
    else:
        step = np.abs(weight).max() / levels if scale == "layer" else scale
    grid = np.arange(-levels, levels + 1)
    nearest = np.abs(weight[..., None] / np.broadcast_to(step, weight.shape)[..., None] - grid).min(-1)
    got = layer.weight.detach().double().numpy() / step
    assert np.allclose(got, np.round(got), atol=1e-4)
    assert np.abs(got).max() <= levels + 1e-4
    assert np.allclose(np.abs(weight / step - got), nearest, atol=1e-4)


def test_rounding_at_random_is_right_on_average():
    layer = linear()
    weight = layer.weight.detach().clone()
    constrain(layer, weight_bits=4, stochastic_rounding=True, rng=0)
    parameter, found = masks.own_parameter(layer), []
    for _ in range(4000):
        with torch.no_grad():
            parameter.add_(0.0)  # weights are written, to the same numbers
        found.append(layer.weight.detach().double())
    found = torch.stack(found)
    error = found.std(0) / len(found) ** 0.5
    assert ((found.mean(0) - weight).abs() <= 4.5 * error + 1e-6).all()
    assert (found.std(0) > 0).float().mean() > 0.7
    step = weight.abs().amax(1, keepdim=True) / 7
    assert ((found - weight).abs() < step * 1.0001).all()


def test_a_weight_is_rounded_once_each_time_it_is_written():
    layer = constrain(linear(), weight_bits=3, stochastic_rounding=True, rng=0)
    first = layer.weight.detach().clone()
    assert torch.equal(first, layer.weight)
    again = constrain(linear(), weight_bits=3, stochastic_rounding=True, rng=0)
    assert torch.equal(first, again.weight)
    other = constrain(linear(), weight_bits=3, stochastic_rounding=True, rng=1)
    assert not torch.equal(first, other.weight)
    with torch.no_grad():
        masks.own_parameter(layer).add_(0.0)
    assert not torch.equal(first, layer.weight)


def test_masked_layers_are_rounded_once_per_writing_too_and_stay_masked():
    layer = linear(40, 50)
    mask = torch.from_numpy(stream(0, "mask").random((40, 50)) < 0.2)
    masks.attach_(layer, mask)
    constrain(layer, weight_bits=3, stochastic_rounding=True, mismatch=0.1, rng=0)
    assert torch.equal(layer.weight, layer.weight)
    assert (layer.weight[~mask] == 0).all()
    first = layer.weight.detach().clone()
    with torch.no_grad():
        masks.own_parameter(layer).mul_(1.0)
    assert not torch.equal(first, layer.weight)
    layer(torch.ones(3, 50)).square().sum().backward()
    assert (masks.own_parameter(layer).grad[~mask] == 0).all()


def test_gradients_pass_straight_through_rounding_and_through_the_factors_of_devices():
    layer, x = constrain(linear(), weight_bits=4, mismatch=0.2, rng=0), torch.randn(5, 10, generator=_generator())
    layer(x).sum().backward()
    device = layer.parametrizations.weight[0]
    assert torch.allclose(masks.own_parameter(layer).grad, x.sum(0) * device.factor, atol=1e-5)
    assert device.factor.std() > 0.05


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_training_through_the_devices_beats_moving_onto_them_afterwards():
    teacher, x = linear(3, 12, 5), torch.randn(400, 12, generator=_generator())
    y = teacher(x).detach()

    def fitted(net):
        optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
        for _ in range(200):
            optimizer.zero_grad()
            functional.mse_loss(net(x), y).backward()
            optimizer.step()
        return net

    chip = Chip(weight_bits=6, mismatch=0.3)
    within = fitted(constrain(linear(3, 12, 1), chip, rng=0))
    after = constrain(fitted(linear(3, 12, 1)), chip, rng=0)
    assert functional.mse_loss(within(x), y) < 0.1 * functional.mse_loss(after(x), y)


def test_fan_in_is_exact_and_keeps_the_largest():
    net, before = network(), network()
    constrain(net, weight_bits=None, fan_in=3)
    for name in (0, 2):
        weight, old = net[name].weight.detach(), before[name].weight.detach()
        assert ((weight != 0).sum(1) == 3).all()
        for row, whole in zip(weight, old, strict=True):
            assert set(row.nonzero().flatten().tolist()) == set(whole.abs().topk(3).indices.tolist())
    masks.keep_zero(net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9))


def test_fan_in_respects_a_mask_and_leaves_narrow_neurons_alone():
    layer, mask = linear(4, 10), torch.zeros(4, 10, dtype=torch.bool)
    mask[0, :2], mask[1, :5], mask[2, 9], mask[3] = True, True, True, True
    masks.attach_(layer, mask)
    constrain(layer, weight_bits=None, fan_in=3)
    assert masks.mask_of(layer).mask.sum(1).tolist() == [2, 3, 1, 3]
    assert not (masks.mask_of(layer).mask & ~mask).any()
    loose = linear(4, 10)
    constrain(loose, weight_bits=None, fan_in=10)
    assert masks.mask_of(loose) is None


def test_devices_differ_by_factors_of_mean_one_and_the_given_deviation():
    for mismatch in (0.1, 0.5):
        found = mismatched(torch.zeros(200_000, dtype=torch.float64), mismatch, 0, "test").numpy()
        assert abs(found.mean() - 1) < 4 * mismatch / len(found) ** 0.5
        assert abs(found.std() / mismatch - 1) < 0.02
        assert (found > 0).all()
    layer = linear(100, 100)
    before = layer.weight.detach().clone()
    constrain(layer, weight_bits=None, mismatch=0.2, rng=3)
    shares = (layer.weight.detach() / before).numpy()
    assert abs(shares.std() - 0.2) < 0.01
    assert torch.equal(layer.weight, layer.weight)


def test_neurons_differ_in_time_constants_and_thresholds():
    net = constrain(Sequential(linear(500, 3), LIF(500, tau=20e-3, v_threshold=2.0)), mismatch=0.1, rng=0)
    cells = net[1]
    for value, middle in ((cells.tau, 20e-3), (cells.v_threshold, 2.0)):
        assert value.shape == (500,)
        assert abs(float(value.mean()) / middle - 1) < 0.02
        assert abs(float(value.std()) / middle - 0.1) < 0.015
    plain = constrain(Sequential(linear(500, 3), LIF(500)), rng=0)
    assert plain[1].tau.ndim == 0


def test_drift_follows_its_power_law_with_an_exponent_for_each_device():
    layer = linear(50, 40)
    before = layer.weight.detach().clone()
    constrain(layer, weight_bits=None, drift=0.06, rng=0)
    assert torch.allclose(layer.weight, before)
    assert torch.allclose(age(layer, 1e4).weight, before * 1e4**-0.06)
    assert torch.allclose(age(layer, 1.0).weight, before)
    other = linear(50, 40)
    constrain(other, weight_bits=None, drift=0.06, mismatch=0.2, rng=0)
    fresh = other.weight.detach().clone()
    exponents = -(age(other, 1e4).weight.detach() / fresh).log() / np.log(1e4)
    assert abs(float(exponents.mean()) - 0.06) < 0.001
    assert abs(float(exponents.std()) - 0.012) < 0.001


def test_no_derivative_passes_a_chip_without_a_backward_pass():
    x = (torch.rand(20, 3, 10, generator=_generator()) < 0.3).float()
    net = constrain(network(), weight_bits=4, backward=False, rng=0)
    spikes, state = net(x)
    for value in (spikes, state[0].v):
        with pytest.raises(UserError, match="no backward pass") as caught:
            value.sum().backward(retain_graph=True)
        assert "NodePerturbation" in caught.value.expected
    with pytest.raises(UserError, match="no backward pass"):
        net[2](net[1](net[0](x))[0]).sum().backward()  # around the whole, through the parts
    assert all(parameter.grad is None for parameter in net[:2].parameters())
    with torch.no_grad():
        net(x)
    free = constrain(network(), weight_bits=4, backward=True, rng=0)
    free(x)[0].sum().backward()
    assert torch.equal(free(x)[0], spikes)


class Rates(nn.Module):
    """Constant currents in, accumulators of spikes out; a row for each sample."""

    def __init__(self):
        super().__init__()
        self.hidden, self.cells, self.readout = linear(12, 10), LIF(12, tau=5e-3), linear(3, 12, 1)

    def forward(self, x):
        current = self.hidden(x)
        return self.readout(self.cells(current.expand(15, *current.shape))[0].mean(0))


@pytest.mark.parametrize("name", ["node perturbation", "two queries"])
def test_rules_without_derivatives_train_such_a_chip(name):
    draws = stream(0, "task")
    x = torch.from_numpy(draws.normal(0, 1, (60, 10)).astype(np.float32))
    y = (x @ torch.from_numpy(draws.normal(0, 1, (10, 3)).astype(np.float32))).argmax(1)
    net = constrain(Rates(), weight_bits=4, mismatch=0.2, stochastic_rounding=True, backward=False, rng=0)
    if name == "node perturbation":
        rule, loss = NodePerturbation(scale=0.3, directions=4, rng=0), _by_row
    else:
        rule, loss = TwoQuery(scale=0.1, directions=16, rng=0), functional.cross_entropy
    optimizer, before = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), _loss(net, x, y)
    for _ in range(40):
        optimizer.zero_grad()
        rule(net, loss, x, y)
        optimizer.step()
    assert _loss(net, x, y) < 0.75 * before


def _by_row(output, y):
    return functional.cross_entropy(output, y, reduction="none")


def _loss(net, x, y):
    with torch.no_grad():
        return float(functional.cross_entropy(net(x), y))


def test_without_a_backward_pass_a_synapse_is_credited_as_if_its_device_were_nominal():
    net, x = constrain(linear(), weight_bits=4, mismatch=0.3, backward=False, rng=0), torch.ones(2, 10)
    (slope,) = torch.autograd.grad(functional.linear(x, net.weight).sum(), masks.own_parameter(net))
    assert torch.equal(slope, torch.full_like(slope, 2.0))


def test_a_constrained_network_can_be_copied_and_stored():
    net = constrain(network(), weight_bits=4, stochastic_rounding=True, mismatch=0.1, rng=0)
    twin, x = copy.deepcopy(net), torch.ones(10, 2, 10)
    assert torch.equal(net(x)[0], twin(x)[0])
    with torch.no_grad():
        masks.own_parameter(twin[0]).mul_(0.5)
    assert not torch.equal(net[0].weight, twin[0].weight)
    other = constrain(network(7), weight_bits=4, mismatch=0.1, rng=9)
    plain = constrain(network(), weight_bits=4, mismatch=0.1, rng=0)
    other.load_state_dict(plain.state_dict(), assign=True)
    assert torch.equal(other[0].weight, plain[0].weight)


def test_what_cannot_be_is_told_and_nothing_is_changed():
    for bad in (
        {"weight_bits": 1}, {"weight_bits": 2.5}, {"weight_bits": True}, {"scale": "row"}, {"scale": 0.0},
        {"fan_in": 0}, {"mismatch": -0.1}, {"mismatch": "much"}, {"drift": 2.0}, {"backward": 1},
        {"synapses_per_core": 0}, {"colour": "blue"},
    ):  # fmt: skip
        with pytest.raises(UserError):
            constrain(network(), **bad)
    with pytest.raises(UserError, match="Chip"):
        constrain(network(), {"weight_bits": 4})
    with pytest.raises(UserError, match="nothing to constrain"):
        constrain(nn.Sequential(nn.Tanh()))
    net = constrain(network(), rng=0)
    with pytest.raises(UserError, match="already"):
        constrain(net)
    for late in (network(), constrain(network())):
        with pytest.raises(UserError):
            age(late, 0.5)
    with pytest.raises(UserError, match="no devices"):
        age(network(), 10.0)
    fragile = Sequential(linear(), LIF(6, tau=1.01e-3))
    with pytest.raises(UserError, match="time constant"):
        constrain(fragile, mismatch=0.5, rng=0)
    with pytest.raises(UserError, match="does not fit into a core"):
        constrain(fragile, synapses_per_core=9)
    assert not hasattr(fragile[0], "parametrizations")
    assert fragile[1].tau.ndim == 0
    assert constrain(fragile, synapses_per_core=9, fan_in=9) is fragile


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_mismatch_of_a_threshold_is_that_of_its_distance(reset):
    cells = LIF(2000, v_threshold=-52.0, v_reset=-65.0, v_leak=-70.0, reset=reset)
    constrain(Sequential(linear(2000, 3), cells), weight_bits=None, mismatch=0.2, rng=0)
    foot = -65.0 if reset == "hard" else -70.0
    factor = (cells.v_threshold - foot) / (-52.0 - foot)
    like = torch.zeros(2000, dtype=torch.float64)
    assert torch.allclose(factor, mismatched(like, 0.2, integer(0, "chip"), "1", "v_threshold"))
    assert (cells.v_threshold > foot).all()


def test_a_threshold_that_rounding_takes_down_to_the_reset_is_told():
    near = torch.nextafter(torch.tensor(-65.0), torch.tensor(0.0))
    net = Sequential(linear(50, 3), LIF(50, v_threshold=near, v_reset=torch.tensor(-65.0), v_leak=-65.0))
    with pytest.raises(UserError, match="fire for ever"):
        constrain(net, mismatch=0.5, rng=0)
    assert not hasattr(net[0], "parametrizations")
    assert net[1].v_threshold.ndim == 0


def test_every_time_constant_has_its_devices():
    kinds = {
        CobaLIF: ("tau", "tau_e", "tau_i"), CubaLIF: ("tau_syn", "tau_mem"), SRM0: ("tau", "tau_after"), LI: ("tau",),
    }  # fmt: skip
    for kind, names in kinds.items():
        cells = constrain(Sequential(linear(300, 3), kind(300)), mismatch=0.1, rng=0)[1]
        for name in names:
            value = getattr(cells, name)
            assert value.shape == (300,)
            assert abs(float(value.std() / value.mean()) - 0.1) < 0.02
    adaptive = LIF(300, adaptation=Adaptation(tau=0.1, step=0.2))
    constrain(Sequential(linear(300, 3), adaptive), mismatch=0.1, rng=0)
    assert adaptive.adaptation == Adaptation(tau=0.1, step=0.2)


def test_an_optimizer_goes_on_with_constants_that_are_learned():
    tau = nn.Parameter(torch.full((6,), 10e-3))
    net = Sequential(linear(), LIF(6, tau=tau))
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)
    constrain(net, weight_bits=None, mismatch=0.2, rng=0)
    assert net[1].tau is tau
    assert tau.requires_grad
    assert len(tau.unique()) == 6
    before = tau.detach().clone()
    net(torch.ones(30, 2, 10))[1][0].v.sum().backward()
    optimizer.step()
    assert not torch.equal(net[1].tau, before)
    shared = Sequential(linear(), LIF(6, tau=nn.Parameter(torch.tensor(10e-3))))
    with pytest.raises(UserError, match="learned number"):
        constrain(shared, mismatch=0.2)
    assert not hasattr(shared[0], "parametrizations")
    assert constrain(shared) is shared


def test_masks_come_before_the_constraints_of_a_chip():
    net = constrain(network(), rng=0)
    for make in (lambda: sparsify(net, 0.5, rng=0), lambda: StructuralPlasticity(net, 0.5, rng=0)):
        with pytest.raises(UserError, match="chip") as caught:
            make()
        assert "sparsify first" in caught.value.attempt
        assert not masks.masks(net)
    net(torch.ones(3, 2, 10))


def test_what_is_no_network():
    for call in (lambda: constrain("x"), lambda: age("x", 2.0)):
        with pytest.raises(UserError, match="no network"):
            call()

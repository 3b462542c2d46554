"""Oracle: the formula of one call, and closed loops that must end at the target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sparsefire import masks, sparsify
from sparsefire.errors import UserError
from sparsefire.spiking import LI, LIF, STDP, Homeostasis, Plastic, Spikes, constrain


def made() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(6, 3, bias=False)


def test_one_call_is_the_formula() -> None:
    layer, neuron = made(), LIF(3)
    before = layer.weight.detach().clone()
    care = Homeostasis(layer, 20.0, neuron=neuron, tau=2.0, scaling=0.3, threshold=0.1)
    spikes = (torch.rand(500, 4, 3, generator=torch.Generator().manual_seed(1)) < 0.05).float()
    care.step(spikes)
    rates = 20.0 + (1 - np.exp(-0.5 / 2.0)) * (spikes.mean((0, 1)).numpy() / 1e-3 - 20.0)
    np.testing.assert_allclose(care.firing_rates, rates, rtol=1e-6)
    factor = np.exp(-0.3 * 0.5 * (rates / 20.0 - 1))
    np.testing.assert_allclose(layer.weight.detach(), before.numpy() * factor[:, None], rtol=1e-5)
    np.testing.assert_allclose(neuron.v_threshold, 1 + 0.1 * 0.5 * (rates / 20.0 - 1), rtol=1e-5)


def test_events_and_dense_spikes_agree() -> None:
    spikes = (np.random.default_rng(0).random((500, 3)) < 0.05).astype(float)
    first, second = Homeostasis(made(), [10.0, 20.0, 30.0]), Homeostasis(made(), [10.0, 20.0, 30.0])
    first.step(spikes)
    second.step(Spikes.from_dense(spikes, 1e-3))
    np.testing.assert_allclose(first.firing_rates, second.firing_rates, rtol=1e-12)
    torch.testing.assert_close(first.layer.weight, second.layer.weight)


@pytest.mark.parametrize("way", ["scaling", "threshold"])
def test_neurons_come_to_fire_at_the_target(way: str) -> None:
    layer, neuron = made(), LIF(3, tau=20e-3, r=4.0)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.2], [0.5], [1.5]]).expand(3, 6))
    plastic = Plastic(layer, STDP())
    options = {"scaling": 1.5} if way == "scaling" else {"scaling": 0.0, "threshold": 3.0}
    care = Homeostasis(plastic, 25.0, neuron=neuron, tau=0.5, **options)
    generator, state, counted = torch.Generator().manual_seed(0), None, torch.zeros(3)
    before = layer.weight.detach().clone()
    for turn in range(60):
        x = (torch.rand(250, 1, 6, generator=generator) < 0.1).float()
        spikes, state = neuron(plastic(x), state)
        care.step(spikes)
        counted += spikes.sum((0, 1)) if turn >= 30 else 0
    rates = counted / (30 * 0.25)
    assert ((rates - 25.0).abs() < 3).all(), rates
    assert torch.equal(layer.weight, before) == (way == "threshold")


def test_masked_weights_stay_zero() -> None:
    layer = made()
    sparsify(layer, 0.5, rng=0)
    mask = masks.masks(layer)[""]
    Homeostasis(layer, 5.0, scaling=5.0).step(torch.zeros(100, 3))
    assert bool((layer.weight[~mask] == 0).all())
    assert bool((layer.weight[mask] != 0).all())


def test_bad_input() -> None:
    for make, words in (
        (lambda: Homeostasis(nn.ReLU(), 5.0), "no layer"),
        (lambda: Homeostasis(made(), 0.0), "target"),
        (lambda: Homeostasis(made(), [5.0, 5.0]), "target"),
        (lambda: Homeostasis(made(), 5.0, tau=0.0), "tau"),
        (lambda: Homeostasis(made(), 5.0, scaling=-1.0), "scaling"),
        (lambda: Homeostasis(made(), 5.0, threshold=1.0), "no thresholds"),
        (lambda: Homeostasis(made(), 5.0, neuron=LIF(4)), "do not fit"),
        (lambda: Homeostasis(made(), 5.0).step(torch.zeros(5, 4)), "do not fit"),
        (lambda: Homeostasis(made(), 5.0).step(torch.zeros(0, 3)), "do not fit"),
        (lambda: Homeostasis(made(), 5.0).step(torch.full((5, 3), 0.5)), "zeros and ones"),
        (lambda: Homeostasis(made(), 5.0).step(torch.zeros(3)), "no array of spikes"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            make()


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_silence_takes_no_threshold_down_to_the_reset(reset: str) -> None:
    neuron = LIF(3, v_threshold=-52.0, v_reset=-65.0, v_leak=-70.0, reset=reset)
    care = Homeostasis(made(), 5.0, neuron=neuron, tau=0.1, scaling=0.0, threshold=100.0)
    for _ in range(20):
        care.step(torch.zeros(100, 3))
    foot = -65.0 if reset == "hard" else -70.0
    np.testing.assert_allclose(neuron.v_threshold, foot + 0.01 * (-52.0 - foot))
    spikes, _ = neuron(torch.zeros(50, 1, 3))
    assert spikes.sum() == 0  # v rests at the leak, below


def test_thresholds_that_are_learned_stay_parameters() -> None:
    held = nn.Parameter(torch.ones(3))
    neuron = LIF(3, v_threshold=held)
    Homeostasis(made(), 5.0, neuron=neuron, threshold=1.0).step(torch.ones(10, 3))
    assert neuron.v_threshold is held
    assert bool((held > 1).all())
    with pytest.raises(UserError, match="learned"):
        Homeostasis(made(), 5.0, neuron=LIF(3, v_threshold=nn.Parameter(torch.tensor(1.0))))


def test_it_resumes() -> None:
    spikes = (torch.rand(4, 200, 3, generator=torch.Generator().manual_seed(2)) < 0.02).float()
    nets = [(made(), LIF(3)) for _ in range(2)]
    cares = [Homeostasis(layer, 20.0, neuron=cells, tau=0.5, threshold=9.0) for layer, cells in nets]
    for part in spikes[:2]:
        cares[0].step(part)
    for one, other in zip(*nets, strict=True):
        other.load_state_dict(one.state_dict())
    cares[1].load_state_dict(cares[0].state_dict())
    for part in spikes[2:]:
        for care in cares:
            care.step(part)
    np.testing.assert_array_equal(cares[0].firing_rates, cares[1].firing_rates)
    assert torch.equal(nets[0][0].weight, nets[1][0].weight)
    assert torch.equal(nets[0][1].v_threshold, nets[1][1].v_threshold)
    for bad in (3, {}, {"firing_rates": torch.zeros(4)}, Homeostasis(made(), 5.0).state_dict()):
        with pytest.raises(UserError, match="something else"):
            cares[1].load_state_dict(bad)


def test_the_stored_numbers_of_a_chip_are_scaled() -> None:
    layer, free = made(), made()
    constrain(layer, weight_bits=4, mismatch=0.2, rng=0)
    for one in (layer, free):
        Homeostasis(one, 5.0, scaling=2.0).step(torch.zeros(500, 3))
    assert torch.equal(masks.own_parameter(layer), free.weight)


def test_bad_types() -> None:
    for make, words in (
        (lambda: Homeostasis(made(), "x"), "target"),
        (lambda: Homeostasis(made(), 5.0, neuron="x"), "no neurons"),
        (lambda: Homeostasis(made(), 5.0, neuron=LI(3)), "no neurons"),
    ):
        with pytest.raises(UserError, match=words):
            make()


def test_what_is_wrong_with_spikes_is_said() -> None:
    care = Homeostasis(made(), 5.0)
    for value in (0.5, -1.0, float("nan")):
        spikes = torch.zeros(5, 1, 3)
        spikes[2, 0, 1] = value
        with pytest.raises(UserError, match="zeros and ones") as caught:
            care.step(spikes)
        assert caught.value.came == f"{value:g}"
    for bad in (torch.zeros(3), "spikes", torch.zeros(1, 5, 1, 3)):
        with pytest.raises(UserError, match="no array of spikes") as caught:
            care.step(bad)
        assert "shape" in caught.value.came


def test_neurons_with_other_steps_are_refused() -> None:
    with pytest.raises(UserError, match="other steps"):
        Homeostasis(nn.Linear(3, 2), 5.0, neuron=LIF(2, dt=5e-4), threshold=0.1)

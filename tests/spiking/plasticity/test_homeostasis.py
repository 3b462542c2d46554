"""Oracle: the formula of one call, and closed loops that must end at the target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sparsefire import masks, sparsify
from sparsefire.errors import UserError
from sparsefire.spiking import LIF, STDP, Homeostasis, Plastic, Spikes


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
        (lambda: Homeostasis(made(), 5.0).step(torch.full((5, 3), 0.5)), "no spikes"),
        (lambda: Homeostasis(made(), 5.0).step(torch.zeros(3)), "no spikes"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            make()

"""Oracle: back-propagation through time with the recurrent spikes detached, and eligibilities summed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.masks import attach_
from sparsefire.spiking import LI, LIF, Adaptation, EProp, Escape, Recurrent, Sequential
from sparsefire.spiking.learning.eprop import _Layers, _Synapses

STEPS, BATCH, INPUTS, UNITS = 30, 3, 4, 6
CELLS: dict[str, dict[str, Any]] = {
    "hard reset": {"reset": "hard"},
    "soft reset": {"reset": "soft"},
    "refractory": {"reset": "hard", "refractory": 2e-3},
    "adaptive": {"reset": "hard", "adaptation": Adaptation(tau=30e-3, step=0.2)},
    "adaptive, soft reset": {"reset": "soft", "adaptation": Adaptation(tau=30e-3, step=0.2), "refractory": 1e-3},
    "other slope": {"reset": "soft", "surrogate": "triangle", "steepness": 1.5, "v_leak": 0.1, "r": 1.5},
}


def made(recurrent: bool = True, leak: bool = True, **cell: Any) -> Sequential:
    torch.manual_seed(2)
    neurons = LIF(UNITS, tau=8e-3, v_threshold=0.3, **cell)
    hidden = Recurrent(neurons) if recurrent else neurons
    readout = [LI(2, tau=12e-3, r=2.0)] if leak else []
    return Sequential(nn.Linear(INPUTS, UNITS), hidden, nn.Linear(UNITS, 2), *readout).double()


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = 2.5 * torch.rand(STEPS, BATCH, INPUTS, dtype=torch.float64, generator=generator)
    return x, torch.randn(STEPS, BATCH, 2, dtype=torch.float64, generator=generator)


def gradients(net: nn.Module) -> dict[str, Tensor]:
    found = {}
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        found[name], parameter.grad = parameter.grad.clone(), None
    return found


def truncated(net: Sequential, x: Tensor, y: Tensor, detach: bool = True) -> Tensor:
    """Return the loss of a pass in which a spike reaches the other neurons without its gradient."""
    spikes, state, outputs = torch.zeros(BATCH, UNITS, dtype=torch.float64), None, []
    hidden = net[1]
    neurons = hidden.neurons if isinstance(hidden, Recurrent) else hidden
    for x_t in x:
        current = net[0](x_t)
        if isinstance(hidden, Recurrent):
            current = current + hidden.weights(spikes.detach() if detach else spikes)
        fired, state = neurons(current.unsqueeze(0), state)
        spikes = fired[0]
        outputs.append(net[2](spikes))
    outputs = torch.stack(outputs)
    if len(net) == 4:
        outputs, _ = net[3](outputs)
    return sum(nn.functional.mse_loss(out, y[t]) for t, out in enumerate(outputs)) / len(x)


@pytest.mark.parametrize("leak", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_the_gradient_without_future_spikes_of_others(name: str, leak: bool) -> None:
    net = made(leak=leak, **CELLS[name])
    x, y = data()
    loss = EProp(each_step=True)(net, nn.functional.mse_loss, x, y)
    ours = gradients(net)
    exact = truncated(net, x, y)
    exact.backward()
    assert float(loss) == pytest.approx(exact.item(), abs=1e-12)
    assert net[:2](x)[0].sum().item() > 20  # spikes
    for key, theirs in gradients(net).items():
        assert float(theirs.abs().max()) > 1e-5, key
        torch.testing.assert_close(ours[key], theirs, rtol=0, atol=1e-12)


def test_something_is_left_out_of_a_recurrent_layer() -> None:
    net = made(**CELLS["soft reset"])
    x, y = data()
    EProp(each_step=True)(net, nn.functional.mse_loss, x, y)
    ours = gradients(net)
    truncated(net, x, y, detach=False).backward()
    whole = gradients(net)
    assert float((ours["0.weight"] - whole["0.weight"]).abs().max()) > 1e-4
    torch.testing.assert_close(ours["2.weight"], whole["2.weight"])  # the readout's own gradient is exact


@pytest.mark.parametrize("name", CELLS)
def test_a_layer_without_recurrence_is_back_propagation_through_time(name: str) -> None:
    net = made(recurrent=False, **CELLS[name])
    x, y = data()
    EProp(each_step=True)(net, nn.functional.mse_loss, x, y)
    ours = gradients(net)
    outputs, _ = net(x)
    (sum(nn.functional.mse_loss(out, y[t]) for t, out in enumerate(outputs)) / len(x)).backward()
    for key, theirs in gradients(net).items():
        torch.testing.assert_close(ours[key], theirs, rtol=0, atol=1e-12)


def test_eligibilities_are_sums_over_the_past() -> None:
    """Soft reset, no adaptation: e_ji,t = ψ_j,t (1 − a) Σ_{u ≤ t} a^(t−u) x_i,u, written out."""
    net = made(recurrent=False, leak=False, **CELLS["soft reset"])
    rng = np.random.default_rng(0)
    x = torch.from_numpy((rng.random((12, 1, INPUTS)) < 0.4).astype(float))
    synapses, a = _Synapses(_Layers(net), x), float(net[1].decay)
    psi = torch.from_numpy(rng.random((12, 1, UNITS)))
    for t in range(12):
        found = synapses.advance([x[t]], torch.from_numpy((rng.random((1, UNITS)) < 0.3).astype(float)), psi[t])
        kernel = (1 - a) * sum(a ** (t - u) * np.append(x[u, 0].numpy(), 1.0) for u in range(t + 1))
        np.testing.assert_allclose(found[0].numpy(), psi[t, 0].numpy()[:, None] * kernel, atol=1e-13)


def test_escape_noise_has_the_slope_of_its_probability() -> None:
    net = made(reset="soft", escape=Escape(200.0, 0.2), rng=0)
    again = made(reset="soft", escape=Escape(200.0, 0.2), rng=0)
    x, y = data()
    EProp(each_step=True)(net, nn.functional.mse_loss, x, y)
    ours = gradients(net)
    truncated(again, x, y).backward()
    for key, theirs in gradients(again).items():
        torch.testing.assert_close(ours[key], theirs, rtol=0, atol=1e-12)


def test_random_feedback_is_other_output_weights() -> None:
    net = made(**CELLS["hard reset"])
    x, y = data()
    rule = EProp(symmetry="random", each_step=True, rng=0)
    rule(net, nn.functional.mse_loss, x, y)
    ours = gradients(net)
    assert rule.budget.random_bits == 32 * 2 * UNITS
    EProp(each_step=True)(net, nn.functional.mse_loss, x, y)
    own = gradients(net)
    torch.testing.assert_close(ours["2.weight"], own["2.weight"])
    assert float((ours["0.weight"] - own["0.weight"]).abs().max()) > 1e-5
    rule.feedback["readout"] = net[2].weight.detach().clone()  # random numbers that happen to be the weights
    rule(net, nn.functional.mse_loss, x, y)
    for key, theirs in gradients(net).items():
        torch.testing.assert_close(theirs, own[key], rtol=0, atol=1e-15)


def test_masked_recurrent_weights() -> None:
    net = made(**CELLS["soft reset"])
    mask = torch.rand(UNITS, UNITS) < 0.5
    attach_(net[1].weights, mask)
    x, y = data()
    EProp(each_step=True)(net, nn.functional.mse_loss, x, y)
    ours = gradients(net)
    truncated(net, x, y).backward()
    for key, theirs in gradients(net).items():
        torch.testing.assert_close(ours[key], theirs, rtol=0, atol=1e-12)
        if theirs.shape == mask.shape:
            assert bool((ours[key][~mask] == 0).all())
            assert bool((ours[key][mask] != 0).any())


def test_frozen_parameters_and_accumulation() -> None:
    net = made(**CELLS["hard reset"])
    net[0].weight.requires_grad_(False)
    x, y = data()
    rule = EProp(each_step=True)
    rule(net, nn.functional.mse_loss, x, y)
    assert net[0].weight.grad is None
    once = net[1].weights.weight.grad.clone()
    rule(net, nn.functional.mse_loss, x, y)
    torch.testing.assert_close(net[1].weights.weight.grad, 2 * once)


def test_memory_does_not_grow_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a step is held: all tensors that e-prop keeps have sizes without time."""
    kept: list[list[int]] = []
    learn = _Synapses.learn

    def spy(self: _Synapses, *given: Tensor) -> None:
        learn(self, *given)
        kept.append([part.numel() for part in vars(self).values() if isinstance(part, Tensor)])

    monkeypatch.setattr(_Synapses, "learn", spy)
    alive, most = 0, 0

    class Held:
        def __init__(self, tensor: Tensor) -> None:
            nonlocal alive, most
            self.tensor = tensor
            alive += tensor.numel()
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= self.tensor.numel()

    found = []
    for steps in (5, 100):
        most = 0
        x, y = data()
        x = x[:1].expand(steps, -1, -1)
        with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
            EProp()(made(**CELLS["adaptive"]), nn.functional.mse_loss, x, y[0])
        found.append(most)
    assert 0 < found[1] <= found[0]
    assert all(sizes == kept[0] for sizes in kept)


def test_it_learns_to_remember() -> None:
    """Which of two inputs fired at first is asked for after a silence: only a layer that remembers can tell."""
    torch.manual_seed(0)
    cell = LIF(20, tau=20e-3, v_threshold=0.2, adaptation=Adaptation(60e-3, 0.2))
    net = Sequential(nn.Linear(2, 20), Recurrent(cell), nn.Linear(20, 2), LI(2))
    x = 0.3 * torch.rand(24, 8, 2)
    y = torch.arange(8) % 2
    x[:10, torch.arange(8), y] += 2.0
    optimiser, rule = torch.optim.Adam(net.parameters(), 2e-2), EProp()
    for _ in range(25):
        optimiser.zero_grad()
        loss = rule(net, nn.functional.cross_entropy, x, y)
        optimiser.step()
    outputs, _ = net(x)
    assert float(loss) < 0.6
    assert float((outputs[-1].argmax(dim=1) == y).float().mean()) > 0.8


def test_bad_input() -> None:
    x, y = data()
    loss = nn.functional.mse_loss
    linear = nn.Linear(INPUTS, UNITS).double()
    for net, words in (
        (linear, "chain"), (Sequential(linear, LIF(UNITS)), "one layer of neurons"),
        (Sequential(linear, LI(UNITS), nn.Linear(UNITS, 2)), "one layer of neurons"),
        (Sequential(linear, Recurrent(LI(UNITS)), nn.Linear(UNITS, 2)), "LIF neurons"),
        (made(reset_gradient=True), "reset"), (made(r=nn.Parameter(torch.tensor(1.0))), "not parameters of neurons"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            EProp(each_step=True)(net, loss, x, y)
    with pytest.raises(UserError, match="sequence"):
        EProp()(made(), loss, x[0], y)
    with pytest.raises(UserError, match="no such feedback"):
        EProp(symmetry="no")
    with pytest.raises(UserError, match="not a number"):
        EProp()(made(), lambda out, y: out.sum() / 0 * 0, x, y)

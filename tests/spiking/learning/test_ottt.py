"""Oracle: reverse-mode differentiation of what the rule truncates, and of the whole where nothing is left out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.masks import attach_
from sparsefire.spiking import IF, LI, LIF, OTTT, Adaptation, CubaLIF, Recurrent, Sequential, surrogate_slope

STEPS, BATCH = 25, 3


def inputs(width: int = 4, steps: int = STEPS) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.rand(steps, BATCH, width, dtype=torch.float64, generator=generator)
    return x, torch.randn(BATCH, 2, dtype=torch.float64, generator=generator)


def gradients(net: nn.Module) -> list[Tensor]:
    found = []
    for parameter in net.parameters():
        assert parameter.grad is not None
        found.append(parameter.grad.clone())
        parameter.grad = None
    return found


def chain(*parts: nn.Module) -> Sequential:
    torch.manual_seed(1)
    return Sequential(*(part for part in parts)).double()


def every_step(net: nn.Module, x: Tensor, y: Tensor, wanted: bool = False) -> Tensor:
    outputs, _ = net(x)
    return sum(nn.functional.mse_loss(out, y[t] if wanted else y) for t, out in enumerate(outputs)) / len(x)


@pytest.mark.parametrize("leaky", [False, True])
def test_one_layer_is_back_propagation_through_time(leaky: bool) -> None:
    """With soft reset, detached, a potential is linear in the weights between spikes: the trace leaves nothing out."""
    torch.manual_seed(1)
    cell = LIF(6, tau=8e-3, v_threshold=0.4, reset="soft")
    net = chain(nn.Linear(4, 6), cell) if leaky else chain(nn.Linear(4, 6), cell, nn.Linear(6, 2))
    x, y = inputs()
    y = torch.rand(BATCH, 6, dtype=torch.float64) if leaky else y
    loss = OTTT()(net, nn.functional.mse_loss, x, y)
    found = gradients(net)
    whole = every_step(net, x, y)
    whole.backward()
    assert float(loss) == pytest.approx(whole.item(), abs=1e-12)
    assert net[:2](x)[0].sum().item() > 10  # spikes
    for ours, exact in zip(found, gradients(net), strict=True):
        torch.testing.assert_close(ours, exact, rtol=0, atol=1e-12)


def truncated(net: Sequential, x: Tensor, y: Tensor) -> Tensor:
    """Return the loss whose graph is that of the rule, in plain torch for Linear, LIF, Linear, LIF, Linear, soft reset.

    The potential of every step is W â + b c in the eyes of differentiation, with the â of earlier steps detached.
    """
    first, one, second, two, last = net
    keep = [float(cell.decay) for cell in (one, two)]
    v = [torch.zeros(BATCH, cell.units, dtype=torch.float64) for cell in (one, two)]
    past, loss = [torch.zeros(BATCH, 4).double(), torch.zeros(BATCH, one.units).double()], 0.0
    constant = [0.0, 0.0]
    for x_t in x:
        s = x_t
        for place, (layer, cell) in enumerate(((first, one), (second, two))):
            a = keep[place]
            trace = a * past[place].detach() + s
            constant[place] = a * constant[place] + 1
            seen = (1 - a) * (trace @ layer.weight.T + constant[place] * layer.bias)
            with torch.no_grad():
                value = a * v[place] + (1 - a) * (s @ layer.weight.T + layer.bias)
            distance = value - cell.v_threshold + (seen - seen.detach())
            psi = surrogate_slope(distance.detach(), cell.surrogate, cell.steepness)
            fired = (distance > 0).double()
            past[place], v[place] = trace, value - fired * cell.v_threshold
            s = fired + psi * (distance - distance.detach())
        loss = loss + nn.functional.mse_loss(s @ last.weight.T + last.bias, y)
    return loss / len(x)


def test_two_layers_are_the_truncated_computation() -> None:
    net = chain(
        nn.Linear(4, 7), LIF(7, tau=9e-3, v_threshold=0.4, reset="soft"),
        nn.Linear(7, 6), LIF(6, tau=5e-3, v_threshold=0.1, reset="soft"), nn.Linear(6, 2),
    )  # fmt: skip
    x, y = inputs()
    loss = OTTT()(net, nn.functional.mse_loss, x, y)
    found = gradients(net)
    exact = truncated(net, x, y)
    exact.backward()
    assert float(loss) == pytest.approx(exact.item(), abs=1e-12)
    oracle = gradients(net)
    for ours, theirs in zip(found, oracle, strict=True):
        assert float(theirs.abs().max()) > 1e-4
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    every_step(net, x, y).backward()
    whole = gradients(net)
    assert float((whole[0] - found[0]).abs().max()) > 1e-4  # something is left out
    torch.testing.assert_close(whole[2], found[2])  # not for the last layer of neurons


def test_a_readout_that_leaks_and_neurons_that_do_not() -> None:
    x, _ = inputs()
    y = torch.rand(STEPS, BATCH, 2, dtype=torch.float64)
    net = chain(nn.Linear(4, 2), LI(2, tau=8e-3))
    OTTT(each_step=True)(net, nn.functional.mse_loss, x, y)
    found = gradients(net)
    every_step(net, x, y, wanted=True).backward()
    for ours, exact in zip(found, gradients(net), strict=True):
        torch.testing.assert_close(ours, exact, rtol=0, atol=1e-12)
    net = chain(nn.Linear(4, 2), IF(2, r=100.0, reset="soft"))
    OTTT(each_step=True)(net, nn.functional.mse_loss, x, y)
    found = gradients(net)
    every_step(net, x, y, wanted=True).backward()
    for ours, exact in zip(found, gradients(net), strict=True):
        torch.testing.assert_close(ours, exact, rtol=0, atol=1e-12)


def test_a_convolution() -> None:
    net = chain(nn.Conv2d(1, 3, 3), LIF((3, 3, 3), reset="soft", v_threshold=0.3), nn.Flatten(), nn.Linear(27, 2))
    x = 3 * torch.rand(STEPS, BATCH, 1, 5, 5, dtype=torch.float64)
    _, y = inputs()
    OTTT()(net, nn.functional.mse_loss, x, y)
    found = gradients(net)
    every_step(net, x, y).backward()
    for ours, exact in zip(found, gradients(net), strict=True):
        torch.testing.assert_close(ours, exact, rtol=0, atol=1e-12)


def test_masked_weights_get_no_gradient_where_there_is_none() -> None:
    net = chain(nn.Linear(4, 6), LIF(6, v_threshold=0.4, reset="soft"), nn.Linear(6, 2))
    mask = torch.rand(6, 4) < 0.5
    attach_(net[0], mask)
    x, y = inputs()
    OTTT()(net, nn.functional.mse_loss, x, y)
    grads = [p.grad for p in net[0].parameters() if p.ndim == 2]
    assert bool((grads[0][~mask] == 0).all())
    assert bool((grads[0][mask] != 0).any())


def most_alive(rule: Any, net: nn.Module, steps: int) -> int:
    """Return the largest number of bytes of saved tensors that are alive at one time."""
    alive, most = 0, 0

    class Held:
        def __init__(self, tensor: Tensor) -> None:
            nonlocal alive, most
            self.tensor, self.size = tensor, tensor.numel() * tensor.element_size()
            alive += self.size
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= self.size

    x, y = inputs(steps=steps)
    with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
        rule(net, nn.functional.mse_loss, x, y)
    return most


def test_memory_does_not_grow_with_time() -> None:
    net = chain(nn.Linear(4, 6), LIF(6, reset="soft"), nn.Linear(6, 6), LIF(6, reset="soft"), nn.Linear(6, 2))
    short, long = (most_alive(OTTT(), net, steps) for steps in (5, 200))
    assert 0 < long <= short
    whole = [most_alive(lambda net, loss, x, y: every_step(net, x, y).backward(), net, steps) for steps in (5, 200)]
    assert whole[1] > 20 * whole[0]  # what is measured does grow


def test_it_learns() -> None:
    torch.manual_seed(0)
    net = Sequential(nn.Linear(6, 40), LIF(40, tau=5e-3, v_threshold=0.3, reset="soft"), nn.Linear(40, 3))
    rows = torch.rand(60, 6)
    y = rows[:, :3].argmax(dim=1)
    x = (torch.rand(15, 60, 6) < rows).float()
    optimiser, rule = torch.optim.Adam(net.parameters(), 1e-2), OTTT()
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        losses.append(float(rule(net, nn.functional.cross_entropy, x, y)))
        optimiser.step()
    assert losses[-1] < 0.8 * losses[0]
    assert rule.budget.calls == 40


def test_bad_input() -> None:
    x, y = inputs()
    loss = nn.functional.mse_loss
    for net, words in (
        (nn.Linear(4, 2), "chain"), (chain(nn.Linear(4, 2), nn.ReLU()), "linear layers"),
        (chain(nn.Linear(4, 2), CubaLIF(2)), "no trace"), (chain(nn.Linear(4, 2), Recurrent(LIF(2))), "no trace"),
        (chain(nn.Linear(4, 2), LIF(2, tau=torch.tensor([0.02, 0.03]))), "one trace"),
        (chain(nn.Linear(4, 2), LIF(2, tau=nn.Parameter(torch.tensor(0.02)))), "not parameters of neurons"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            OTTT()(net, loss, x, y)
    net = chain(nn.Linear(4, 2), LIF(2, adaptation=Adaptation(0.1, 0.1)))
    for bad, words in ((x[0], "sequence"), (x.long(), "sequence"), (x[:0], "sequence"), (None, "sequence")):
        with pytest.raises(UserError, match=words):
            OTTT()(net, loss, bad, y)
    with pytest.raises(UserError, match="for each step"):
        OTTT(each_step=True)(net, loss, x, y)
    with pytest.raises(UserError, match="not a number"):
        OTTT()(net, lambda out, y: out.sum() * float("nan"), x, y)
    assert all(parameter.grad is None for parameter in net.parameters())

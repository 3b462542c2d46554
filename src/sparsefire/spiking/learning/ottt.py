"""Online training through time: spatial back-propagation in each step, traces for what came before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.budget import Budget
from sparsefire.rules.call import LossFunction
from sparsefire.spiking.learning._steps import (
    add_gradients,
    loss_of,
    parts_of,
    refuse_learned_neurons,
    sequence,
    target,
)
from sparsefire.spiking.neurons.integrate_and_fire import IF
from sparsefire.spiking.neurons.lif import LIF
from sparsefire.spiking.neurons.neuron import Neuron
from sparsefire.spiking.neurons.readout import LI

AFFINE = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Flatten, nn.Unflatten, nn.Identity,
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
)  # fmt: skip


@dataclass(eq=False)
class OTTT:
    """Online training through time (Xiao et al. 2022, arXiv:2210.04195): no step is ever looked back at.

    The loss is the mean over time of ``loss_fn(output_t, y)``. Each layer keeps a trace of its input, which decays as
    the membrane of the neurons behind it does, and in each step errors go back through the layers but not through time:

        â_t = a â_{t−1} + s_t,    ∂L/∂W ≈ Σ_t g_t â_tᵀ,    g_t = ∂L_t/∂u_t within step t

    a = exp(−dt/τ) of the next neurons, 1 for ``IF``, 0 where none follow; the bias has the trace of a constant 1. For
    one layer of neurons with soft reset and a readout without memory that is the gradient of back-propagation through
    time (with the reset detached, as is the default of neurons); with more layers, a hard reset or a refractory time it
    leaves terms out. Memory does not grow with time.

    Called as any rule, ``loss = rule(net, loss_fn, x, y)``, it adds to ``.grad``; ``loss_fn`` gets the output of one
    step, [batch, …].

    Args:
        each_step: whether y has a target for each step, [time, …], rather than one for all.

    Raises:
        UserError: a network that is no chain of linear layers and LIF, IF or LI neurons, a time constant for each
            unit, neurons whose parameters are learned, x without time and batch, a loss that is no finite number.

    >>> from sparsefire.spiking import LIF, Sequential
    >>> net = Sequential(nn.Linear(3, 8), LIF(8, reset="soft"), nn.Linear(8, 2))
    >>> loss = OTTT()(net, nn.functional.cross_entropy, torch.ones(20, 4, 3), torch.tensor([0, 1, 0, 1]))
    >>> net[0].weight.grad.shape
    torch.Size([8, 3])
    """

    each_step: bool = False
    budget: Budget = field(default_factory=Budget, init=False, repr=False)
    dense_gradients: ClassVar[bool] = True
    per_example: ClassVar[bool] = False

    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        chain, x = _chain(net), sequence(x, "OTTT")
        parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
        total = x.new_zeros(())
        gradients: list[Tensor | None] = [None] * len(parameters)
        for step in range(len(x)):
            with torch.enable_grad():
                output = x[step]
                for layer in chain:
                    output = layer.advance(output)
                loss = loss_of(loss_fn, output, target(y, step, len(x), self.each_step), step) / len(x)
                found = torch.autograd.grad(loss, parameters, allow_unused=True)
            total += loss.detach()
            for place, new in enumerate(found):
                if new is not None:
                    old = gradients[place]
                    gradients[place] = new if old is None else old.add_(new)
        add_gradients(parameters, gradients)
        self.budget.add(samples=x.shape[1], queries=len(x), forward_passes=4)
        return total


class _Layer:
    """Affine parts and the neurons behind them, with the trace of the input and the state of the neurons."""

    def __init__(self, parts: list[nn.Module], neurons: Neuron | None) -> None:
        self.parts, self.neurons, self.keep = nn.Sequential(*parts), neurons, _keep(neurons)
        self.trace: Tensor | None = None
        self.bias = 0.0
        self.state: Any = None

    def advance(self, x: Tensor) -> Tensor:
        """Return what comes out of a step, with the gradients of the rule."""
        if self.neurons is None:
            return self.parts(x)
        trace = x if self.trace is None else self.keep * self.trace + x
        self.bias = self.keep * self.bias + 1
        gathered = self.parts(trace) + (self.bias - 1) * self.parts(torch.zeros_like(trace[:1]))  # W â + b Σ aᵏ
        with torch.no_grad():
            current = self.parts(x)
        current = current + (gathered - gathered.detach())
        spikes, state = self.neurons(current.unsqueeze(0), self.state)
        self.trace = trace.detach()
        self.state = type(state)(*(part if part is None else part.detach() for part in state))
        return spikes[0]


def _keep(neurons: Neuron | None) -> float:
    """Return what is left of a trace after a step."""
    if neurons is None:
        return 0.0
    if isinstance(neurons, IF):
        return 1.0
    if not isinstance(neurons, LIF | LI):
        raise UserError("OTTT has no trace for these neurons.", came=type(neurons).__name__, expected="LIF, IF or LI")
    if neurons.tau.ndim:
        raise UserError("OTTT has one trace per input.", came="a time constant for each unit", expected="one number")
    return float(neurons.decay)


def _chain(net: Any) -> list[_Layer]:
    found: list[_Layer] = []
    parts: list[nn.Module] = []
    for part in parts_of(net, "OTTT"):
        if isinstance(part, Neuron):
            refuse_learned_neurons(part, "OTTT")
            found.append(_Layer(parts, part))
            parts = []
        elif isinstance(part, AFFINE):
            parts.append(part)
        else:
            raise UserError(
                "OTTT reads linear layers.", came=type(part).__name__, expected="Linear, Conv, Flatten, AvgPool"
            )
    return [*found, _Layer(parts, None)] if parts else found

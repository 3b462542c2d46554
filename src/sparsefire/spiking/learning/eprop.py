"""e-prop: every synapse keeps an eligibility, and one learning signal per neuron turns it into a gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.call import LossFunction
from sparsefire.rules.local.feedback import FeedbackRule
from sparsefire.spiking._numbers import choice
from sparsefire.spiking.learning._steps import (
    add_gradients,
    loss_of,
    parts_of,
    refuse_learned_neurons,
    sequence,
    target,
)
from sparsefire.spiking.neurons.lif import LIF
from sparsefire.spiking.neurons.readout import LI
from sparsefire.spiking.recurrent import Recurrent

FEEDBACK = ("symmetric", "random")


@dataclass(eq=False)
class EProp(FeedbackRule):
    """e-prop (Bellec et al. 2020, doi:10.1038/s41467-020-17236-y) for one layer of LIF neurons, recurrent or not.

    The loss is the mean over time of ``loss_fn(output_t, y)``. The eligibility e_ji = dz_j/dW_ji is carried forwards
    through the neuron's own state alone: potential, raised threshold, hard or soft reset, refractory time,

        ε_v ← a ε_v + (1 − a) R x_i,    e = ψ_j (ε_v − ε_a),    then ε_v through the reset,    ε_a ← ρ ε_a + β e
        ∂L/∂W_ji ≈ Σ_t L_j,t ē_ji,t,    ē = e filtered as the readout filters,    L_j,t = Σ_k B_kj ∂L_t/∂y_k,t

    ψ is the derivative that the neurons use for a spike. B are the output weights (``"symmetric"``) or fixed random
    numbers (``"random"``). For a layer without recurrence the symmetric form is the gradient of back-propagation
    through time; with recurrence it is that gradient with the recurrent spikes detached: how a spike changes later
    spikes of other neurons is left out. The gradient of the readout is exact. Memory is batch × units × (inputs +
    units) numbers and does not grow with time.

    Called as any rule, ``loss = rule(net, loss_fn, x, y)``, it adds to ``.grad``; ``loss_fn`` gets the output of one
    step, [batch, outputs].

    Args:
        scale: standard deviation of random feedback; None takes 1/√units, about that of output weights.
        rng: draws random feedback, once, at the first call; it is kept in ``feedback["readout"]``, [outputs, units].
        symmetry: ``"symmetric"`` or ``"random"``.
        each_step: whether y has a target for each step, [time, …], rather than one for all.

    Raises:
        UserError: a network that is not Linear, LIF or Recurrent(LIF), Linear, and perhaps LI; neurons whose parameters
            are learned or that pass gradients through the reset; x without time and batch; a loss that is no finite
            number.

    >>> from sparsefire.spiking import LI, LIF, Recurrent, Sequential
    >>> net = Sequential(nn.Linear(3, 8), Recurrent(LIF(8)), nn.Linear(8, 2), LI(2))
    >>> loss = EProp()(net, nn.functional.mse_loss, torch.ones(20, 4, 3), torch.zeros(4, 2))
    >>> net[1].weights.weight.grad.shape
    torch.Size([8, 8])
    """

    symmetry: str = "symmetric"
    each_step: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("feedback", self.symmetry, FEEDBACK)

    @torch.no_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        layers = _Layers(net)
        x = sequence(x, "e-prop")
        synapses, readout = _Synapses(layers, x), _Readout(layers)
        recurrent = layers.recurrent
        back = layers.output.weight.detach()
        if self.symmetry == "random":
            back = self.fixed("readout", tuple(back.shape), 1 / math.sqrt(back.shape[1]), back)
        total, state, spikes = x.new_zeros(()), None, x.new_zeros((x.shape[1], layers.neurons.units))
        for step, given in enumerate(x):
            current = layers.input(given)
            if recurrent is not None:
                current = current + recurrent(spikes)
            before = [given] if recurrent is None else [given, spikes]
            spikes, psi, state = _fire(layers.neurons, current, state)
            eligibility = synapses.advance(before, spikes, psi)
            output = readout.advance(spikes)
            with torch.enable_grad():
                output.requires_grad_()
                loss = loss_of(loss_fn, output, target(y, step, len(x), self.each_step), step) / len(x)
                (error,) = torch.autograd.grad(loss, output)
            total += loss.detach()
            synapses.learn(error @ back, eligibility)
            readout.learn(error)
        with torch.enable_grad():
            add_gradients(*layers.gradients(synapses.gradient, readout.gradient))
        self.budget.add(samples=x.shape[1], queries=len(x), forward_passes=3, random_bits=self.drawn_bits())
        return total


class _Layers:
    """The parts of a network that e-prop reads."""

    input: nn.Linear
    output: nn.Linear
    neurons: LIF
    recurrent: nn.Linear | None
    leak: LI | None

    def __init__(self, net: Any) -> None:
        parts: list[Any] = parts_of(net, "e-prop")
        kinds = (nn.Linear, LIF | Recurrent, nn.Linear, LI)
        if len(parts) not in (3, 4) or not all(map(isinstance, parts, kinds)):
            raise UserError(
                "e-prop reads one layer of neurons and a readout.",
                came=", ".join(type(part).__name__ for part in parts),
                expected="Linear, LIF or Recurrent(LIF), Linear, and perhaps LI",
            )
        hidden: Any
        self.input, hidden, self.output, self.leak = parts[0], parts[1], parts[2], parts[3] if parts[3:] else None
        self.recurrent = hidden.weights if isinstance(hidden, Recurrent) else None
        neurons = hidden.neurons if isinstance(hidden, Recurrent) else hidden
        if not isinstance(neurons, LIF):
            raise UserError("e-prop knows LIF neurons.", came=type(neurons).__name__, expected="LIF")
        self.neurons = neurons
        if self.neurons.reset_gradient:
            raise UserError("e-prop detaches the reset.", came="reset_gradient=True", expected="reset_gradient=False")
        for part in (self.neurons, self.leak):
            if part is not None:
                refuse_learned_neurons(part, "e-prop")

    def gradients(self, inner: Tensor, outer: Tensor) -> tuple[list[nn.Parameter], list[Tensor | None]]:
        """Return parameters and their gradients, from those of [inputs, units, bias] and of the readout."""
        inputs = self.input.in_features
        pairs = [(self.input.weight, inner[:, :inputs]), (self.input.bias, inner[:, -1])]
        if self.recurrent is not None:
            pairs.append((self.recurrent.weight, inner[:, inputs:-1]))
        pairs += [(self.output.weight, outer[:, :-1]), (self.output.bias, outer[:, -1])]
        pairs = [(weight, gradient) for weight, gradient in pairs if weight is not None and weight.requires_grad]
        owned = [
            p for layer in (self.input, self.recurrent, self.output) if layer is not None for p in layer.parameters()
        ]
        parameters = [p for p in owned if p.requires_grad]
        if not pairs:
            return [], []
        weights, found = zip(*pairs, strict=True)  # a masked weight is not a parameter: the mask passes it on
        return parameters, list(torch.autograd.grad(weights, parameters, found, allow_unused=True))


class _Synapses:
    """Eligibilities [batch, unit, source] of all synapses of a layer; the last source is the constant 1 of the bias."""

    def __init__(self, layers: _Layers, x: Tensor) -> None:
        neurons = layers.neurons
        self.soft, self.adaptation = neurons.reset == "soft", neurons.adaptation
        self.refractory = neurons.refractory_steps
        left = neurons.decay.to(x)
        self.keep, self.gain = _column(left), _column((1 - left) * neurons.r.to(x))
        if self.adaptation is not None:
            self.fall, self.step = math.exp(-neurons.dt / self.adaptation.tau), self.adaptation.step
        self.readout = _filter(layers.leak)
        sources = layers.input.in_features + (0 if layers.recurrent is None else neurons.units) + 1
        zero = x.new_zeros((x.shape[1], neurons.units, sources))
        self.v, self.raised, self.filtered = zero, zero.clone(), zero.clone()
        self.rest = x.new_zeros((x.shape[1], neurons.units, 1))
        self.one = x.new_ones((x.shape[1], 1))
        self.gradient = x.new_zeros((neurons.units, sources))

    def advance(self, before: list[Tensor], spikes: Tensor, psi: Tensor) -> Tensor:
        """Return the eligibilities after a step, as the readout filters them.

        Args:
            before: what arrived, [batch, source] each.
            spikes: of the layer. psi: ∂spike/∂potential, zero where refractory.
        """
        source, z = torch.cat([*before, self.one], dim=1).unsqueeze(1), spikes.unsqueeze(2)
        moved = self.keep * self.v + self.gain * source
        if self.refractory:
            moved = torch.where(self.rest <= 0, moved, self.v)
            self.rest = torch.where(z > 0, torch.full_like(self.rest, self.refractory), (self.rest - 1).clamp(min=0))
        eligibility = psi.unsqueeze(2) * (moved - self.raised)
        self.v = moved - z * self.raised if self.soft else moved * (1 - z)
        if self.adaptation is not None:
            self.raised = self.fall * self.raised + self.step * eligibility
        keep, gain = self.readout
        self.filtered = keep * self.filtered + gain * eligibility
        return self.filtered

    def learn(self, signal: Tensor, eligibility: Tensor) -> None:
        """Add the learning signal [batch, unit] times the eligibilities."""
        self.gradient += torch.einsum("bj,bji->ji", signal, eligibility)


class _Readout:
    """Output weights, with or without a leaky integrator behind them."""

    def __init__(self, layers: _Layers) -> None:
        self.layer, self.leak, self.state = layers.output, layers.leak, None
        self.keep, self.gain = _filter(layers.leak)
        self.trace: Any = 0.0
        self.gradient = torch.zeros(())

    def advance(self, spikes: Tensor) -> Tensor:
        """Return the output of a step."""
        one = spikes.new_ones((len(spikes), 1))
        self.trace = self.keep * self.trace + self.gain * torch.cat([spikes, one], dim=1)
        output = self.layer(spikes)
        if self.leak is not None:
            v, self.state = self.leak(output.unsqueeze(0), self.state)
            output = v[0]
        return output.detach().clone()

    def learn(self, error: Tensor) -> None:
        """Add the error [batch, output] times the filtered spikes."""
        self.gradient = self.gradient + error.T @ self.trace


def _filter(leak: LI | None) -> tuple[float, float]:
    """Return what a readout keeps of its potential after a step, and what it makes of a current."""
    if leak is None:
        return 0.0, 1.0
    if leak.tau.ndim or leak.r.ndim:
        raise UserError("e-prop filters all outputs alike.", came="tau or r for each unit of LI", expected="one number")
    keep = float(leak.decay)
    return keep, (1 - keep) * float(leak.r)


def _column(value: Tensor) -> Tensor:
    return value.reshape(-1, 1)


def _fire(neurons: LIF, current: Tensor, state: Any) -> tuple[Tensor, Tensor, Any]:
    """Return spikes, their derivative by the potential, and the state after a step."""
    with torch.enable_grad():
        given = current.detach().requires_grad_()
        spikes, after = neurons(given.unsqueeze(0), state)
        (slope,) = torch.autograd.grad(spikes.sum(), given)
    after = type(after)(*(part if part is None else part.detach() for part in after))
    gain = (1 - neurons.decay.to(current)) * neurons.r.to(current)
    return spikes[0].detach(), slope / gain, after

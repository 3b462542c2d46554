"""Neurons that hear one another: a layer whose spikes come back to it a step later."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.spiking.neurons.neuron import Neuron, stacked


class RecurrentState(NamedTuple):
    """State of :class:`Recurrent`: the last spikes [batch, unit], and the state of the neurons."""

    spikes: Tensor
    neurons: Any


class Recurrent(Neuron):
    """Neurons with connections among themselves: the current of a step is the input plus W s of the step before.

        s_t, state ← neurons(I_t + W s_{t−1}, state)

    A layer of neurons like any other, in a :class:`~sparsefire.spiking.Sequential` too. W is an ordinary ``nn.Linear``,
    so that masks, sparse methods and rules apply to it; it is drawn as torch draws it. Steps run one after another.

    Args:
        neurons: flat, such as ``LIF(100)``.
        weights: ``nn.Linear(units, units, bias=False)``; None makes one.

    Raises:
        UserError: neurons that are not flat, weights of another shape or with a bias.

    >>> import torch
    >>> from sparsefire.spiking import LIF, Sequential
    >>> net = Sequential(nn.Linear(5, 20), Recurrent(LIF(20)), nn.Linear(20, 2))
    >>> y, state = net(torch.rand(30, 4, 5))
    >>> y.shape, state[0].spikes.shape
    (torch.Size([30, 4, 2]), torch.Size([4, 20]))
    """

    neurons: Neuron
    weights: nn.Linear

    def __init__(self, neurons: Neuron, weights: nn.Linear | None = None) -> None:
        if not isinstance(neurons, Neuron) or isinstance(neurons, Recurrent) or len(neurons.shape) != 1:
            raise UserError("these are no flat neurons.", came=repr(neurons), expected="a layer such as LIF(100)")
        super().__init__(neurons.units, neurons.dt)
        weights = nn.Linear(self.units, self.units, bias=False) if weights is None else weights
        square = isinstance(weights, nn.Linear) and weights.in_features == weights.out_features == self.units
        if not square or weights.bias is not None:
            raise UserError(
                "recurrent weights go from these neurons to themselves.", came=repr(weights),
                expected=f"nn.Linear({self.units}, {self.units}, bias=False)",
            )  # fmt: skip
        self.neurons, self.weights = neurons, weights

    def initial_state(self, batch: int, like: Tensor | None = None) -> RecurrentState:
        """Return no spikes, and neurons at rest."""
        return RecurrentState(self.zeros(batch, like), self.neurons.initial_state(batch, like))

    def potential(self, state: Any) -> Tensor | None:
        """Return that of the neurons."""
        return self.neurons.potential(state[1])

    def run(self, current: Tensor, state: Any) -> tuple[Tensor, RecurrentState]:
        """Return spikes and the state after the last step."""
        spikes, inner = state
        found = []
        for drive in current:
            fired, inner = self.neurons.run((drive + self.weights(spikes)).unsqueeze(0), inner)
            spikes = fired[0]
            found.append(spikes)
        return stacked(found, current), RecurrentState(spikes, inner)

    def _checked(self, state: Any, current: Tensor) -> RecurrentState:
        if not isinstance(state, RecurrentState):
            raise UserError(
                "this is no state of these neurons.", came=type(state).__name__, expected="RecurrentState",
                attempt="state=None begins at rest",
            )  # fmt: skip
        spikes, inner = state
        if not isinstance(spikes, Tensor) or spikes.shape != current.shape[1:]:
            came = f"shape {list(spikes.shape)}" if isinstance(spikes, Tensor) else type(spikes).__name__
            raise UserError(
                "the state is of another batch or layer.",
                came=f"spikes: {came}",
                expected=f"{list(current.shape[1:])}",
                attempt="state=None begins at rest",
            )
        return RecurrentState(spikes, self.neurons._checked(inner, current))

"""Neurons that hear one another: a layer whose spikes come back to it a step later."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.spiking._numbers import finite_array
from sparsefire.spiking.engine._cells import cells
from sparsefire.spiking.neurons.cuba import CubaLIF
from sparsefire.spiking.neurons.integrate_and_fire import IF
from sparsefire.spiking.neurons.lif import LIF
from sparsefire.spiking.neurons.neuron import Neuron, stacked, unknown
from sparsefire.spiking.neurons.srm import SRM0
from sparsefire.wiring.graph import Wiring


class RecurrentState(NamedTuple):
    """State of :class:`Recurrent`: the last spikes [batch, unit], and the state of the neurons."""

    spikes: Tensor
    neurons: Any


class Recurrent(Neuron):
    """Neurons with connections among themselves: the current of a step is the input plus W s of the step before.

        s_t, state ← neurons(I_t + W s_{t−1}, state)

    A layer of neurons like any other, in a :class:`~sparsefire.spiking.Sequential` too. W is an ordinary ``nn.Linear``,
    so that masks, sparse methods and rules apply to it; it is drawn as torch draws it, or comes from a wiring, by
    :meth:`from_wiring`. Steps run one after another.

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

    @classmethod
    def from_wiring(
        cls, neurons: Neuron, wiring: Wiring, weights: Any = None, *, dtype: torch.dtype | None = None
    ) -> Recurrent:
        """Make the layer that :func:`~sparsefire.spiking.simulate` runs on a wiring, with weights in its meaning.

        There a spike adds w to what it reaches; here it is a current for one step, which adds k w, so W = w/k:

            LIF, SRM0  k = (1 − a) R, to v or h     IF  k = dt R, to v     CubaLIF  k = (1 − α) w_in, to i

        with dt, a and α of the neurons. With their dt as its step and as the delay, from rest and in double precision,
        ``simulate`` then gives the same spikes one for one; with escape noise the same law, as draws differ. k is
        that of the moment of this call. W is dense, units² numbers; parallel arcs add up.

        Args:
            neurons: flat, a LIF, CubaLIF, IF or SRM0.
            wiring: square, of as many units; an arc (u, v) means that u acts on v.
            weights: in place of ``wiring.weights`` and in that order, [arcs]; one number for all.
            dtype: of W, which is that of the currents; None is torch's default.

        Raises:
            UserError: neurons of another kind; neurons that no current moves; no wiring, one between two layers or of
                another size; weights of another shape or not finite; no such dtype.

        >>> import sparsefire as sf
        >>> ring = sf.Wiring.from_edges([0, 1, 2], [1, 2, 0], [1.5, 1.5, 1.5])
        >>> net = Recurrent.from_wiring(LIF(3, tau=20e-3, dt=1e-3), ring)
        >>> [round(w, 3) for w in net.weights.weight[1].tolist()], net.wiring().weights.round(6).tolist()
        ([30.756, 0.0, 0.0], [1.5, 1.5, 1.5])
        """
        per_current = _per_current(neurons)
        if not isinstance(wiring, Wiring):
            raise UserError("a network is wired by a wiring.", came=type(wiring).__name__, expected="sf.Wiring")
        if not wiring.square or wiring.units != neurons.units:
            came = f"{wiring.shape[0]:,} → {wiring.shape[1]:,} units, {'square' if wiring.square else 'two layers'}"
            raise UserError("the wiring is not among these neurons.", came=came, expected=f"{neurons.units:,}, square")
        given = finite_array("weights", wiring.weights if weights is None else weights)
        if given.shape not in ((), (wiring.arcs,)):
            raise UserError(
                "weights are one number, or one for each arc.", came=f"shape {given.shape}",
                expected=f"[{wiring.arcs:,}]",
            )  # fmt: skip
        if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise UserError("weights are floating-point numbers.", came=repr(dtype)[:60], expected="torch.float64")
        matrix = np.zeros((neurons.units, neurons.units))
        np.add.at(matrix, (wiring.receivers, wiring.senders), given)
        linear = nn.utils.skip_init(
            nn.Linear, neurons.units, neurons.units, bias=False, dtype=dtype, device=neurons.v_threshold.device
        )
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(matrix / per_current[:, None]))
        if not bool(linear.weight.isfinite().all()):
            raise UserError("weights do not fit into the type.", came=f"{dtype}", expected="torch.float64")
        return cls(neurons, linear)

    def wiring(self) -> Wiring:
        """Return the weights that are not zero as a wiring, in the meaning of :func:`~sparsefire.spiking.simulate`.

        The way back from :meth:`from_wiring`: w = k W. ``simulate(layer.wiring(), layer.neurons, …, dt=layer.dt)``
        runs the same network.

        Raises:
            UserError: neurons other than those of :meth:`from_wiring`, weights that are not finite.
        """
        matrix = self.weights.weight.detach().cpu().double().numpy() * _per_current(self.neurons)[:, None]
        to, start = np.nonzero(matrix)
        return Wiring.from_edges(start, to, matrix[to, start], units=self.units)

    def initial_state(self, batch: int, like: Tensor | None = None) -> RecurrentState:
        """Return no spikes, and neurons at rest."""
        return RecurrentState(self.zeros(batch, like), self.neurons.initial_state(batch, like))

    def potential(self, state: Any) -> None:
        """Return None: what is unknown has been told to the neighbours step by step."""

    def run(self, current: Tensor, state: Any) -> tuple[Tensor, RecurrentState]:
        """Return spikes and the state after the last step."""
        spikes, inner = state
        found = []
        for drive in current:
            whole = (drive + self.weights(spikes)).unsqueeze(0)
            fired, inner = self.neurons.run(whole, inner)
            spikes = unknown(fired, self.neurons.potential(inner), whole)[0]
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


def _per_current(neurons: Any) -> np.ndarray:
    """Return what a current of 1 for one step adds where ``simulate`` adds a weight, float64 [units]."""
    if type(neurons) not in (LIF, CubaLIF, IF, SRM0):
        raise UserError(
            "weights of a wiring have no meaning for these neurons.", came=type(neurons).__name__,
            expected="LIF, CubaLIF, IF, SRM0",
        )  # fmt: skip
    found = cells(neurons, np.zeros(neurons.units), neurons.dt).feed
    if not found.all():
        name = "w_in" if isinstance(neurons, CubaLIF) else "r"
        raise UserError("no current moves these neurons.", came=f"{name} = 0", expected=f"{name} other than 0")
    return found

"""A multilayer perceptron of spiking neurons, with the interface of any other network: rows in, outputs out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.spiking.neurons.lif import LIF
from sparsefire.spiking.sequential import Sequential


class SpikingPerceptron(nn.Module):
    """Rows [batch, inputs] are currents for ``steps`` steps; outputs [batch, outputs] are means over time.

    The first layer turns a row into a constant current, hidden layers are leaky integrate-and-fire neurons that tell
    each other nothing but spikes, and the last layer sums the spikes of the last hidden one:

        output = mean over t of (W s_t + b)

    So between layers there is no multiplication, only additions of weights where a spike arrives. Time constants and
    thresholds are those of :class:`~sparsefire.spiking.LIF` with R = 1/(1 − a): a spike over a weight w moves v by w.

    Args:
        widths: inputs, hidden units of each layer, outputs; at least one hidden layer.
        steps: time steps per row.
        tau: membrane time constant, seconds.
        dt: seconds per step.

    Attributes:
        net: the :class:`~sparsefire.spiking.Sequential` of layers and neurons, for NIR, constraints and energy.

    Raises:
        UserError: no hidden layer, steps below 1.

    >>> import torch
    >>> network = SpikingPerceptron([4, 16, 3])
    >>> network(torch.randn(5, 4)).shape
    torch.Size([5, 3])
    """

    def __init__(self, widths: Sequence[int], steps: int = 8, tau: float = 8e-3, dt: float = 1e-3) -> None:
        super().__init__()
        if not isinstance(widths, Sequence) or isinstance(widths, str) or len(widths) < 3:
            raise UserError(
                "a spiking perceptron needs a hidden layer.", came=f"widths {widths!r}"[:80],
                expected="inputs, hidden units, outputs",
            )  # fmt: skip
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise UserError("steps is a number of time steps.", came=repr(steps), expected="1 or more")
        self.steps = steps
        parts: list[nn.Module] = []
        for inputs, outputs in pairwise(widths[:-1]):
            cell = LIF(outputs, tau=tau, dt=dt)
            cell.r.copy_(1 / (1 - cell.decay))
            parts += [nn.Linear(inputs, outputs), cell]
        self.net = Sequential(*parts, nn.Linear(widths[-2], widths[-1]))

    def forward(self, rows: Tensor) -> Tensor:
        """Return the outputs [batch, outputs] for rows [batch, …], flattened."""
        readout: nn.Module = self.net[-1]
        return readout(self.spikes(rows)[-1].mean(dim=0))

    def spikes(self, rows: Tensor) -> list[Tensor]:
        """Return the spikes of every hidden layer for rows [batch, …], each [time, batch, unit]."""
        first, *rest = list(self.net)[:-1]
        x: Tensor = first(rows.flatten(1)).expand(self.steps, -1, -1)
        found = []
        for part in rest:
            if isinstance(part, LIF):
                x = part(x)[0]
                found.append(x)
            else:  # which sees rows first, as rules that perturb activities expect
                x = part(x.transpose(0, 1)).transpose(0, 1)
        return found

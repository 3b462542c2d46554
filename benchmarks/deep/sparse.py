"""A ReLU network as the list of its existing weights, which trains in the time that these take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sparsefire import masks


@dataclass(frozen=True, eq=False)
class Net:
    """A chain of linear layers with ReLUs between them; units are numbered from the inputs to the outputs.

    Attributes:
        widths: of the inputs, the hidden layers and the outputs.
        ends: edges into unit u, counted from the first hidden one, are ``ends[u]`` to ``ends[u + 1]``.
        source: unit that each edge comes from.
        values: weights of the edges, then the biases of all units but the inputs; float32, changed by training.
    """

    widths: tuple[int, ...]
    ends: np.ndarray
    source: np.ndarray
    values: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """Weights of the edges, a view."""
        return self.values[: len(self.source)]

    @property
    def biases(self) -> np.ndarray:
        """Biases of all units but the inputs, a view."""
        return self.values[len(self.source) :]

    def new(self, rows: int) -> np.ndarray:
        """Return room for the activations of all units, float32 [units, rows]."""
        return np.zeros((sum(self.widths), rows), dtype=np.float32)


def from_torch(net: nn.Module) -> Net:
    """Return the existing weights of a masked (or dense) chain of ``nn.Linear`` and ReLUs."""
    widths: list[int] = []
    sources, degrees, weights, biases = [], [], [], []
    start = 0
    for layer in masks.layers(net).values():
        weight = layer.weight.detach().numpy()  # type: ignore[union-attr, operator]
        masked = masks.mask_of(layer)
        exists = np.ones(weight.shape, dtype=bool) if masked is None else masked.mask.numpy()
        row, column = np.nonzero(exists)
        widths = widths or [weight.shape[1]]
        sources.append(column + start)
        degrees.append(exists.sum(1))
        weights.append(weight[row, column])
        biases.append(layer.bias.detach().numpy())  # type: ignore[union-attr, operator]
        start += weight.shape[1]
        widths.append(weight.shape[0])
    ends = np.concatenate([[0], np.concatenate(degrees).cumsum()])
    values = np.concatenate([*weights, *biases]).astype(np.float32)
    return Net(tuple(widths), ends, np.concatenate(sources), values)


def to_torch(net: Net) -> nn.Sequential:
    """Return the dense network with zeros where nothing exists."""
    parts: list[nn.Module] = []
    unit = start = 0
    for inputs, outputs in zip(net.widths, net.widths[1:], strict=False):
        layer = nn.Linear(inputs, outputs)
        edges = slice(net.ends[unit], net.ends[unit + outputs])
        row = np.repeat(np.arange(outputs), np.diff(net.ends[unit : unit + outputs + 1]))
        weight = np.zeros((outputs, inputs), dtype=np.float32)
        weight[row, net.source[edges] - start] = net.weights[edges]
        layer.weight.data = torch.from_numpy(weight)
        layer.bias.data = torch.from_numpy(net.biases[unit : unit + outputs].copy())
        parts += [layer, nn.ReLU()]
        unit, start = unit + outputs, start + inputs
    return nn.Sequential(*parts[:-1])


def gather(net: Net, slopes: list[np.ndarray]) -> np.ndarray:
    """Return the entries [edges] that dense matrices, one per layer, have where weights exist."""
    found = []
    unit = start = 0
    for inputs, outputs, slope in zip(net.widths, net.widths[1:], slopes, strict=False):
        edges = slice(net.ends[unit], net.ends[unit + outputs])
        row = np.repeat(np.arange(outputs), np.diff(net.ends[unit : unit + outputs + 1]))
        found.append(slope[row, net.source[edges] - start])
        unit, start = unit + outputs, start + inputs
    return np.concatenate(found)

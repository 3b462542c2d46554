"""Taking dead units out of a multilayer perceptron, exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray]]

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda z: np.maximum(z, 0.0),
    "tanh": np.tanh,
    "none": lambda z: z,
}


def compact(layers: Sequence[tuple[np.ndarray, np.ndarray]], activation: str = "relu") -> Layers:
    """Return the same function without the hidden units that carry nothing.

    A hidden unit with no outgoing weight is dropped. One with no incoming weight is constant at activation(bias): what
    it sends is added to the biases behind it, and it is dropped. Taking one out can leave others without weights, so
    this goes on until nothing changes. Inputs and outputs stay as they are.

    Args:
        layers: (weight [out, in], bias [out]) from input to output, finite; not changed.
        activation: "relu", "tanh" or "none", after every layer but the last.

    Returns:
        New (weight, bias) float32. A hidden layer may end up with no unit at all: the network is constant.

    Biases are folded in float64, so outputs agree to the rounding of float32 (tested to 10⁻⁶).

    >>> layers = [(np.array([[1.0], [0.0]]), np.array([0.0, 3.0])), (np.array([[2.0, 5.0]]), np.array([1.0]))]
    >>> [(weight.tolist(), bias.tolist()) for weight, bias in compact(layers)]
    [([[1.0]], [0.0]), ([[2.0]], [16.0])]
    """
    activate = ACTIVATIONS[activation]
    weights = [np.asarray(weight, dtype=np.float64) for weight, _ in layers]
    biases = [np.asarray(bias, dtype=np.float64) for _, bias in layers]
    changed = True
    while changed:
        changed = False
        for here in range(len(layers) - 1):
            silent = ~weights[here].any(axis=1)
            dead = silent | ~weights[here + 1].any(axis=0)
            if not dead.any():
                continue
            constant = np.where(silent, activate(biases[here]), 0.0)
            biases[here + 1] = biases[here + 1] + weights[here + 1] @ constant
            weights[here], biases[here] = weights[here][~dead], biases[here][~dead]
            weights[here + 1] = weights[here + 1][:, ~dead]
            changed = True
    return [(w.astype(np.float32), b.astype(np.float32)) for w, b in zip(weights, biases, strict=True)]

"""The fast way to run a small network: compacted, one compiled call, each layer in the form measured fastest here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sparsefire.deploy.compact import ACTIVATIONS, compact


@dataclass(frozen=True)
class Runner:
    """A network as a function of prepared rows; see :func:`fastest`.

    Attributes:
        widths: units per layer after compaction, inputs and outputs included; () when the network is no perceptron.
        forms: how each layer is stored, "dense …" or "sparse …"; () likewise.
        timings: per layer, form → microseconds for one row on this machine.
        function: features [n, inputs] float32 → outputs [n, outputs] float32.
    """

    widths: tuple[int, ...]
    forms: tuple[str, ...]
    timings: tuple[dict[str, float], ...]
    function: Callable[[np.ndarray], np.ndarray]

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the outputs [n, outputs] float32 for prepared features [n, inputs]."""
        return self.function(features)


def fastest(
    layers: Sequence[tuple[np.ndarray, np.ndarray]], activation: str = "relu", *, seconds: float = 0.02
) -> Runner:
    """Compact a multilayer perceptron, time every form of every layer for one row, and keep the fastest ones.

    Args:
        layers: (weight [out, in], bias [out]) from input to output.
        activation: "relu", "tanh" or "none", after every layer but the last.
        seconds: time spent on each form of each layer (four forms).

    A layer is sparse only if that was measured faster here. What is timed is one row of typical size: standard normal
    inputs, as the preparation makes them, passed on from layer to layer.

    >>> runner = fastest([(np.eye(3), np.zeros(3)), (np.ones((1, 3)), np.zeros(1))], seconds=0.001)
    >>> runner(np.array([[1.0, 2.0, -4.0]]))
    array([[3.]], dtype=float32)
    """
    from sparsefire.kernels.layers import FORMS, forward, plan
    from sparsefire.kernels.timing import time_call
    from sparsefire.randomness import stream

    small = compact(layers, activation)
    row = stream(0, "row to time").standard_normal((1, small[0][0].shape[1])).astype(np.float32)
    forms, timings = [], []
    for number, layer in enumerate(small):
        # The bare layer keeps the time of the call small; its activation is the same whatever the form.
        one = {form: plan([layer], [form]) for form in FORMS}
        times = {form: time_call(partial(forward, one[form], row), seconds)[0] for form in FORMS}
        timings.append(times)
        forms.append(min(FORMS, key=times.__getitem__))
        row = forward(one[forms[-1]], row)
        if number < len(small) - 1:
            row = ACTIVATIONS[activation](row)
    packed = plan(small, forms, activation)
    return Runner(
        widths=(packed.inputs, *(weight.shape[0] for weight, _ in small)),
        forms=tuple(forms),
        timings=tuple(timings),
        function=partial(forward, packed),
    )

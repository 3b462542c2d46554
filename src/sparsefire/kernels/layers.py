"""A whole small network in one compiled call, each layer dense or sparse, by outputs or by inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from sparsefire.kernels.csr import to_csr

FORMS = ("dense by output", "dense by input", "sparse by output", "sparse by input")
"""How a layer can be stored. By output: a dot product per unit. By input: silent inputs (exact zeros) are skipped."""

_ACTIVATIONS = {"none": 0, "relu": 1, "tanh": 2}
_HEAD, _PER_LAYER = 2, 8
_FEW = 8  # from so many rows on, one layer at a time for a block of rows is faster than one row at a time
_BLOCK = 256  # rows in a block: activations of a few hundred units stay in the cache


@dataclass(frozen=True)
class Plan:
    """A network packed into two arrays, see :func:`plan`.

    Attributes:
        ints: int32; number of layers and largest width, eight numbers per layer (inputs, outputs, form, activation, and
            where weights, biases, indices and starts begin), then the indices and starts of the sparse layers.
        floats: float32; weights and biases.
        inputs, outputs: widths of the network. forms: one of :data:`FORMS` per layer.
    """

    ints: np.ndarray
    floats: np.ndarray
    inputs: int
    outputs: int
    forms: tuple[str, ...]


def plan(
    layers: Sequence[tuple[np.ndarray, np.ndarray]], forms: Sequence[str] | None = None, activation: str = "relu"
) -> Plan:
    """Pack the layers of a multilayer perceptron for :func:`forward`.

    Args:
        layers: (weight [out, in], bias [out]) from input to output; computed in float32.
        forms: one of :data:`FORMS` per layer; default "dense by output".
        activation: "relu", "tanh" or "none", after every layer but the last.

    Raises:
        ValueError: no layers, shapes that do not fit each other, an unknown form or activation, 2³¹ numbers or more.

    >>> p = plan([(np.array([[2.0, 0.0]]), np.array([1.0]))], forms=["sparse by output"])
    >>> forward(p, np.array([[3.0, 9.0]]))
    array([[7.]], dtype=float32)
    """
    forms = tuple(forms) if forms is not None else ("dense by output",) * len(layers)
    _check(layers, forms, activation)
    floats: list[np.ndarray] = []
    indices: list[np.ndarray] = []
    header = [len(layers), max(max(weight.shape) for weight, _ in layers)]
    next_float, next_int = 0, _HEAD + _PER_LAYER * len(layers)
    for number, ((weight, bias), form) in enumerate(zip(layers, forms, strict=True)):
        weight = np.asarray(weight, dtype=np.float32)
        stored = weight.T if form.endswith("by input") else weight
        if form.startswith("sparse"):
            values, columns, starts = to_csr(stored)
        else:
            values, columns, starts = stored.ravel(), np.empty(0, np.int32), np.empty(0, np.int32)
        code = _ACTIVATIONS[activation] if number < len(layers) - 1 else 0
        outputs, inputs = weight.shape
        header += [inputs, outputs, FORMS.index(form), code]
        header += [next_float, next_float + len(values), next_int, next_int + len(columns)]
        floats += [values, np.asarray(bias, dtype=np.float32)]
        indices += [columns, starts]
        next_float += len(values) + outputs
        next_int += len(columns) + len(starts)
    if max(next_float, next_int) >= 2**31:
        raise ValueError("the network has 2³¹ numbers or more, too many for 32-bit offsets")
    return Plan(
        ints=np.concatenate([np.array(header, dtype=np.int32), *indices]),
        floats=np.concatenate(floats),
        inputs=layers[0][0].shape[1],
        outputs=layers[-1][0].shape[0],
        forms=forms,
    )


def _check(layers: Sequence[tuple[np.ndarray, np.ndarray]], forms: tuple[str, ...], activation: str) -> None:
    if not layers or len(forms) != len(layers):
        raise ValueError(
            f"need at least one layer and a form for each, got {len(layers)} layers and {len(forms)} forms"
        )
    if activation not in _ACTIVATIONS:
        raise ValueError(f"activation is one of {', '.join(_ACTIVATIONS)}, got {activation!r}")
    width = layers[0][0].shape[-1]
    for number, ((weight, bias), form) in enumerate(zip(layers, forms, strict=True)):
        if form not in FORMS:
            raise ValueError(f"form is one of {', '.join(FORMS)}, got {form!r}")
        if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
            raise ValueError(
                f"layer {number} has weights {weight.shape} and biases {bias.shape}; expected (out, {width}) and (out,)"
            )
        width = weight.shape[0]


def forward(plan: Plan, x: np.ndarray) -> np.ndarray:
    """Return the outputs [n, outputs] float32 of a packed network for the rows of x [n, inputs].

    Up to seven rows take one compiled call, with the interpreter lock released and one thread; more rows go layer by
    layer in blocks, dense layers through BLAS. Sums are in another order than in a plain matrix product, so the last
    bits differ.

    Raises:
        ValueError: x has another shape.
    """
    x = np.ascontiguousarray(x, dtype=np.float32)
    if x.ndim != 2 or x.shape[1] != plan.inputs:
        raise ValueError(f"need rows of {plan.inputs} inputs, got an array of shape {x.shape}")
    out = np.empty((x.shape[0], plan.outputs), dtype=np.float32)
    if len(x) < _FEW:
        _forward(plan.ints, plan.floats, x, out)
    else:
        for first in range(0, len(x), _BLOCK):
            out[first : first + _BLOCK] = _forward_block(plan, x[first : first + _BLOCK])
    return out


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    # Reassociation lets sums run in vector lanes; NaN and infinity keep their meaning.
    flags = {"reassoc", "contract", "nsz"}
    try:
        return njit(nogil=True, cache=True, fastmath=flags)(function)
    except RuntimeError:  # Numba found no folder to write to: compile again in every process
        return njit(nogil=True, fastmath=flags)(function)


@_compiled
def _activate(code, values):
    if code == 1:
        for i in range(values.shape[0]):
            if values[i] < 0:
                values[i] = 0
    elif code == 2:
        for i in range(values.shape[0]):
            values[i] = np.tanh(values[i])


@_compiled
def _row_layer(ints, floats, at, x, y):
    """One layer for one row: x [inputs] to y [outputs]."""
    inputs, outputs, form = ints[at], ints[at + 1], ints[at + 2]
    w, b, columns, starts = ints[at + 4], ints[at + 5], ints[at + 6], ints[at + 7]
    if form == 0:
        for o in range(outputs):
            row = floats[w + o * inputs : w + (o + 1) * inputs]
            total = np.float32(0)
            for i in range(inputs):
                total += row[i] * x[i]
            y[o] = total + floats[b + o]
    elif form == 1:
        y[:outputs] = floats[b : b + outputs]
        for i in range(inputs):
            value = x[i]
            if value != 0:
                row = floats[w + i * outputs : w + (i + 1) * outputs]
                for o in range(outputs):
                    y[o] += value * row[o]
    elif form == 2:
        for o in range(outputs):
            total = floats[b + o]
            for k in range(ints[starts + o], ints[starts + o + 1]):
                total += floats[w + k] * x[ints[columns + k]]
            y[o] = total
    else:
        y[:outputs] = floats[b : b + outputs]
        for i in range(inputs):
            value = x[i]
            if value != 0:
                for k in range(ints[starts + i], ints[starts + i + 1]):
                    y[ints[columns + k]] += floats[w + k] * value
    _activate(ints[at + 3], y[:outputs])


@_compiled
def _forward(ints, floats, x, out):
    layers, widest = ints[0], ints[1]
    a, b = np.empty(widest, np.float32), np.empty(widest, np.float32)
    for row in range(x.shape[0]):
        a[: x.shape[1]] = x[row]
        for layer in range(layers):
            _row_layer(ints, floats, 2 + 8 * layer, a, b)
            a, b = b, a
        out[row] = a[: out.shape[1]]


@_compiled
def _sparse_by_output(values, columns, starts, x, y):
    """Add the sparse matrix times x [inputs, n] to y [outputs, n], four entries of a row at a time."""
    n = x.shape[1]
    for o in range(y.shape[0]):
        k, end = starts[o], starts[o + 1]
        while k + 4 <= end:
            a, b, c, d = values[k], values[k + 1], values[k + 2], values[k + 3]
            i, j, m, p = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
            for r in range(n):
                y[o, r] += a * x[i, r] + b * x[j, r] + c * x[m, r] + d * x[p, r]
            k += 4
        while k < end:
            a, i = values[k], columns[k]
            for r in range(n):
                y[o, r] += a * x[i, r]
            k += 1


@_compiled
def _sparse_by_input(values, columns, starts, x, y):
    n = x.shape[1]
    for i in range(x.shape[0]):
        for k in range(starts[i], starts[i + 1]):
            a, o = values[k], columns[k]
            for r in range(n):
                y[o, r] += a * x[i, r]


def _forward_block(plan: Plan, x: np.ndarray) -> np.ndarray:
    """The same for many rows: features first, dense layers by BLAS, so that an index is read once per block."""
    x = np.ascontiguousarray(x.T)
    for layer in range(len(plan.forms)):
        at = _HEAD + _PER_LAYER * layer
        inputs, outputs, form, code, w, b, columns, starts = plan.ints[at : at + _PER_LAYER].tolist()
        weights, bias = plan.floats[w:b], plan.floats[b : b + outputs, None]
        if form == 0:
            y = weights.reshape(outputs, inputs) @ x
            y += bias
        elif form == 1:
            y = weights.reshape(inputs, outputs).T @ x
            y += bias
        else:
            y = np.repeat(bias, x.shape[1], axis=1)
            kernel, rows = (_sparse_by_output, outputs) if form == 2 else (_sparse_by_input, inputs)
            kernel(weights, plan.ints[columns:starts], plan.ints[starts : starts + rows + 1], x, y)
        if code == 1:
            np.maximum(y, 0, out=y)
        elif code == 2:
            np.tanh(y, out=y)
        x = y
    return np.ascontiguousarray(x.T)

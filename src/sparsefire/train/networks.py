"""The networks `fit` trains: perceptrons, also of spiking neurons, a small convolutional network, the user's own.

A network is described by a plain dictionary, so that a stored model can be rebuilt without pickle:

    {"kind": "mlp", "widths": [64, 256, 256, 10]}
    {"kind": "spiking", "widths": [64, 256, 256, 10], "steps": 8}
    {"kind": "cnn", "shape": [1, 28, 28], "channels": [16, 32], "hidden": 128, "outputs": 10}
    {"kind": "factory", "name": "package.module:factory", "shape": [64], "outputs": 10}
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_right
from collections.abc import Callable
from fractions import Fraction
from inspect import signature
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn.utils import skip_init

from sparsefire import masks, randomness
from sparsefire.errors import UserError

Description = dict[str, Any]
Factory = Callable[..., nn.Module]
PERCEPTRONS = ("mlp", "spiking")
"""Kinds that ``widths`` describe."""
NAMES = (*PERCEPTRONS, "cnn")
"""Networks to be had by name; any other name is a factory."""


def build(description: Description, rng: Any = 0, factory: Factory | nn.Module | None = None) -> nn.Module:
    """Return a freshly initialised network for a description.

    Weights are He normal (doi:10.1109/ICCV.2015.123), biases zero; torch's global generator is left as it was.

    Args:
        description: see the module docstring.
        rng: see :func:`sparsefire.randomness.entropy`; decides the initial weights.
        factory: for ``kind: "factory"``: a callable ``factory(shape, outputs)``
            (with ``width=1.0`` if it can be scaled), or an ``nn.Module`` whose copy is
            initialised afresh by the ``reset_parameters`` of its parts. It must be given by the caller; a description
            never causes an import.

    Raises:
        UserError: unknown kind, impossible sizes, a factory that is missing, fails or returns no module, a network
            without linear and convolutional layers, or a module with a parameter that nothing initialises afresh.

    >>> build({"kind": "mlp", "widths": [4, 8, 3]})
    Sequential(
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): Linear(in_features=4, out_features=8, bias=True)
      (2): ReLU()
      (3): Linear(in_features=8, out_features=3, bias=True)
    )
    """
    kind = description.get("kind")
    if kind == "factory":
        return _from_factory(description, rng, factory)
    if kind == "mlp":
        net: nn.Module = _mlp(_positive(description.get("widths"), "widths", at_least=2))
    elif kind == "spiking":
        from sparsefire.spiking.perceptron import SpikingPerceptron

        net = SpikingPerceptron(_positive(description.get("widths"), "widths", at_least=3), description.get("steps", 8))
    elif kind == "cnn":
        net = _cnn(description)
    else:
        raise UserError(f"there is no network of kind {kind!r}.", expected="mlp, spiking, cnn or factory")
    initialise_(net, rng)
    return net


@torch.no_grad()
def initialise_(net: nn.Module, rng: Any) -> None:
    """Draw He-normal weights and zero biases for every linear and convolutional layer, in place.

    >>> net = nn.Linear(3, 2); initialise_(net, 0); net.bias.tolist()
    [0.0, 0.0]
    """
    generator = torch.Generator().manual_seed(randomness.integer(rng, "initial weights"))
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def narrow(description: Description, weights: int, factory: Factory | nn.Module | None = None) -> Description:
    """Return the same kind of network, dense, with its hidden widths scaled so that it has at most ``weights`` weights.

    Biases are not counted. The smallest network has one unit per hidden layer; then the result may exceed ``weights``.
    A factory takes part when it has a parameter ``width``, the factor by which it scales its hidden layers.

    Raises:
        UserError: a factory without ``width`` (see :func:`can_be_narrow`).

    >>> narrow({"kind": "mlp", "widths": [64, 256, 256, 10]}, 16_896)["widths"]
    [64, 98, 98, 10]
    >>> narrow({"kind": "mlp", "widths": [64, 10]}, 100)
    {'kind': 'mlp', 'widths': [64, 10]}
    """
    if not can_be_narrow(description, factory):
        raise UserError(
            "a narrow version needs widths to scale, and this factory has none.",
            came=str(description.get("name")),
            expected="a factory with a parameter width=1.0, the factor of its hidden widths",
        )
    if weight_count(description, factory) <= weights:
        return _scaled(description, 1.0)
    if description["kind"] != "factory":
        factors = _factors(description)
        fitting = bisect_right(factors, weights, key=lambda factor: weight_count(_scaled(description, factor)))
        return _scaled(description, factors[max(0, fitting - 1)])
    low, high = 0.0, 1.0
    for _ in range(20):  # how a factory rounds is its own affair: each trial builds it
        middle = (low + high) / 2
        if weight_count(_scaled(description, middle), factory) <= weights:
            low = middle
        else:
            high = middle
    return _scaled(description, low)


def can_be_narrow(description: Description, factory: Factory | nn.Module | None = None) -> bool:
    """Say whether :func:`narrow` can make a rival.

    >>> can_be_narrow({"kind": "mlp", "widths": [4, 3]})
    True
    """
    if description["kind"] != "factory":
        return True
    return callable(factory) and not isinstance(factory, nn.Module) and "width" in signature(factory).parameters


def weight_count(description: Description, factory: Factory | nn.Module | None = None) -> int:
    """Return the number of weights of linear and convolutional layers (without biases) of a described network.

    >>> weight_count({"kind": "mlp", "widths": [64, 256, 256, 10]})
    84480
    """
    if description["kind"] == "factory":
        weights: list[Any] = [m.weight for m in masks.maskable(build(description, factory=factory)).values()]
        return sum(weight.numel() for weight in weights)
    if description["kind"] in PERCEPTRONS:
        widths = description["widths"]
        return sum(a * b for a, b in pairwise(widths))
    channels = [description["shape"][0], *description["channels"]]
    convolutions = sum(9 * a * b for a, b in pairwise(channels))
    return (
        convolutions + _flat_size(description) * description["hidden"] + description["hidden"] * description["outputs"]
    )


def _factors(description: Description) -> list[Fraction]:
    """Return every common factor at which a hidden width changes, in order; exact, since floor is not continuous."""
    if description["kind"] in PERCEPTRONS:
        hidden = description["widths"][1:-1]
    else:
        hidden = [*description["channels"], description["hidden"]]
    return sorted({Fraction(0)} | {Fraction(units, width) for width in hidden for units in range(1, width + 1)})


def _scaled(description: Description, factor: float | Fraction) -> Description:
    if description["kind"] == "factory":
        return {**description, "width": factor}

    def shrink(width: int) -> int:
        return max(1, math.floor(width * factor))

    if description["kind"] in PERCEPTRONS:
        first, *hidden, last = description["widths"]
        return {**description, "widths": [first, *map(shrink, hidden), last]}
    return {
        **description,
        "channels": [shrink(c) for c in description["channels"]],
        "hidden": shrink(description["hidden"]),
    }


def _mlp(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for position, (inputs, outputs) in enumerate(pairwise(widths)):
        if position:
            layers.append(nn.ReLU())
        layers.append(skip_init(nn.Linear, inputs, outputs))
    return nn.Sequential(*layers)


def _cnn(description: Description) -> nn.Sequential:
    shape = _positive(description.get("shape"), "shape", at_least=3)
    channels = _positive(description.get("channels"), "channels", at_least=1)
    hidden, outputs = _positive([description.get("hidden"), description.get("outputs")], "hidden, outputs", at_least=2)
    layers: list[nn.Module] = []
    for inputs, out in zip([shape[0], *channels], channels, strict=False):
        layers += [skip_init(nn.Conv2d, inputs, out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    flat = _flat_size(description)
    if flat < 1:
        raise UserError(
            "the images are too small for this network.",
            came=f"images of {shape[1]} × {shape[2]} pixels",
            expected=f"at least {2 ** len(channels)} pixels a side",
        )
    layers += [nn.Flatten(), skip_init(nn.Linear, flat, hidden), nn.ReLU(), skip_init(nn.Linear, hidden, outputs)]
    return nn.Sequential(*layers)


def _flat_size(description: Description) -> int:
    _, height, width = description["shape"]
    halvings = 2 ** len(description["channels"])
    return (height // halvings) * (width // halvings) * description["channels"][-1]


def _positive(values: Any, name: str, *, at_least: int) -> list[int]:
    values = list(values) if isinstance(values, list | tuple) else []
    if len(values) < at_least or not all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values):
        raise UserError(f"{name} must be positive integers.", came=f"{name}={values!r}", expected=f"{at_least} or more")
    return values


def _from_factory(description: Description, rng: Any, factory: Factory | nn.Module | None) -> nn.Module:
    if factory is None:
        raise UserError(
            f"this network is made by {description.get('name')!r}, which is not run because a file says so.",
            expected="the factory, named again by you",
            attempt="pass --model package.module:factory, or factory= in Python",
        )
    try:
        with torch.random.fork_rng(devices=[]):  # layers of the user draw from the global generator: lend them a copy
            torch.random.default_generator.manual_seed(randomness.integer(rng, "initial weights"))
            if isinstance(factory, nn.Module):
                net = _fresh(factory)
            else:
                width = {"width": float(description["width"])} if "width" in description else {}
                net = factory(tuple(description["shape"]), int(description["outputs"]), **width)
    except UserError:
        raise
    except Exception as error:  # whatever the user's own code does
        raise UserError(
            f"the network {description.get('name')!r} cannot be made.",
            came=first_line(error),
            expected="a torch.nn.Module from factory(shape, outputs), or one that can be copied",
        ) from error
    if not isinstance(net, nn.Module):
        raise UserError(
            "the factory did not return a network.",
            came=type(net).__name__,
            expected="a torch.nn.Module from factory(shape, outputs)",
        )
    if not masks.maskable(net):
        raise UserError(
            "the network has no weights that could be left out.",
            came=type(net).__name__,
            expected="at least one linear or convolutional layer",
        )
    return net


@torch.no_grad()
def _fresh(template: nn.Module) -> nn.Module:
    """Return a copy initialised afresh, or raise where a parameter would keep the value it came with."""
    net = copy.deepcopy(template)
    for parameter in net.parameters():
        parameter.fill_(torch.nan)  # until something else is written
    for module in reversed(list(net.modules())):  # parts first, as when they are made
        reset = getattr(module, "reset_parameters", getattr(module, "_reset_parameters", None))
        if callable(reset):
            reset()
    for name, parameter in net.named_parameters():
        if parameter.isnan().any():
            raise UserError(
                f"the parameter {name!r} would be the same in every copy: nothing initialises it afresh.",
                came=type(template).__name__,
                expected="modules with a method reset_parameters() that covers all their parameters",
                attempt="pass a function factory(shape, outputs) that makes the network",
            )
    return net


def first_line(error: BaseException) -> str:
    """Return the kind of an error and the first line of what it says.

    >>> first_line(ValueError("two\\nlines"))
    'ValueError: two'
    """
    return f"{type(error).__name__}: {error}".splitlines()[0]

"""Networks as NIR graphs, the interchange format of neuromorphic simulators and chips (doi:10.1038/s41467-024-52259-9).

A graph states equations in continuous time. It carries neither noise, plasticity, refractory periods, adaptation nor
resets by subtraction, and no time step: dt, units and discretisation are written beside each neuron, as metadata.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from itertools import chain, count, pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from sparsefire.deploy._nir_file import check_path, library, read_graph, write_graph
from sparsefire.deploy._nir_nodes import LOST, SUPPORTED, losses, module_of, node_of, plain, unsupported
from sparsefire.errors import UserError
from sparsefire.spiking import Sequential, SpikingPerceptron
from sparsefire.spiking._numbers import choice, number
from sparsefire.spiking.neurons.neuron import DISCRETISATIONS, Neuron

Path = str | os.PathLike[str]


def to_nir(
    net: nn.Module, path: Path, *, input_shape: tuple[int, ...] | None = None, discretisation: str | None = None,
    drop: Sequence[str] = (),
) -> None:  # fmt: skip
    """Write a network as a NIR file.

    Weights are those that layers compute with: masked ones with their zeros, those of a chip rounded and mismatched.
    Every neuron parameter becomes an array with a number for each unit. ``Identity`` and ``Dropout`` are left out. The
    file appears whole or not at all.

    Args:
        net: a :class:`~sparsefire.spiking.Sequential` (others may stand inside it) of ``Linear``, ``Conv1d``,
            ``Conv2d``, ``AvgPool2d``, ``LPPool2d(1, …)`` (a sum), ``Flatten`` and ``LIF``, ``CubaLIF``, ``IF``, ``LI``.
        path: of the file.
        input_shape: of one sample at one step, where the first module does not say it: convolutions, pools.
        discretisation: ``"euler"`` writes the time constants τ′ with 1 − dt/τ′ = exp(−dt/τ), so that a simulator that
            takes Euler steps of the same dt computes the same steps. In continuous time they are another network, which
            the metadata say. None writes τ as it is.
        drop: what may get lost: ``"noise"``, ``"refractory"``, ``"adaptation"``, ``"soft reset"``, ``"plasticity"``.

    Raises:
        UserError: a module that NIR has no node for (one with a ``forward`` of its own among them), something that
            would get lost, by name, or neurons of different dt; nothing is written.

    >>> import tempfile, torch
    >>> from sparsefire.spiking import LIF
    >>> net = Sequential(nn.Linear(3, 2), LIF(2, tau=20e-3, dt=1e-3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_nir(net, f"{folder}/net.nir")
    ...     again = from_nir(f"{folder}/net.nir")
    >>> x = 40 * torch.rand(50, 1, 3, generator=torch.Generator().manual_seed(0))
    >>> bool((net(x)[0] == again(x)[0]).all()), again[1].dt
    (True, 0.001)
    """
    nir = library()
    check_path(path)
    if not isinstance(net, nn.Sequential):
        raise UserError(
            "NIR files are written of chains.", came=type(net).__name__, expected="sf.spiking.Sequential",
            attempt="to_nir(net.net, path)" if isinstance(net, SpikingPerceptron) else "",
        )  # fmt: skip
    if not (discretisation is None or (isinstance(discretisation, str) and discretisation == "euler")):
        raise UserError("no such discretisation to write for.", came=repr(discretisation), expected='"euler" or None')
    listed = isinstance(drop, Sequence | set | frozenset) and not isinstance(drop, str)
    if not listed or any(not isinstance(name, str) or name not in LOST for name in drop):
        raise UserError(
            "drop= lists what may get lost.", came=repr(drop), expected=f"some of {', '.join(map(repr, LOST))}"
        )
    if input_shape is not None and not _sizes(input_shape):
        raise UserError(
            "input_shape is that of one sample at one step.", came=repr(input_shape)[:60],
            expected="whole numbers of 1 or more, such as (2, 34, 34)",
        )  # fmt: skip
    nodes: dict[str, Any] = {}
    steps: dict[float, str] = {}
    shape, first, dropped = input_shape, input_shape, set[str]()
    for name, module in _chain(net):
        for lost in losses(module):
            if lost not in drop:
                raise UserError(
                    f"NIR cannot say {LOST[lost].split(':')[0]} of {name!r}.", came=type(module).__name__,
                    expected="deterministic neurons with a hard reset, weights that stay", attempt=f"drop=({lost!r},)",
                )  # fmt: skip
            dropped.add(lost)
        if isinstance(module, Neuron) and not any(math.isclose(module.dt, dt, rel_tol=1e-6) for dt in steps):
            steps[module.dt] = name
        if len(steps) > 1:
            raise UserError(
                "these neurons do not have one time step, which a simulator has.",
                came=" and ".join(f"dt = {dt:g} s of {where!r}" for dt, where in steps.items()), expected="one dt",
            )  # fmt: skip
        inner = module.layer if "plasticity" in losses(module) else module
        node, shape = node_of(name, inner, shape, discretisation)  # type: ignore[arg-type]
        if first is None:
            first = tuple(int(n) for n in node.input_type["input"])
        nodes[_unused(f"{type(node).__name__.lower()}_{name.replace('.', '_').replace('/', '_')}", nodes)] = node
    if not nodes:
        raise UserError("there is nothing to write.", came="an empty network", expected="layers and neurons")
    whole = {
        "input": nir.Input({"input": np.array(first)}), **nodes, "output": nir.Output({"output": np.array(shape)}),
    }  # fmt: skip
    names = list(whole)
    metadata = {"dropped": ", ".join(LOST[name] for name in sorted(dropped))} if dropped else {}
    try:
        graph = nir.NIRGraph(whole, list(pairwise(names)), metadata=metadata)
    except (ValueError, AssertionError) as error:
        raise UserError("the package nir refuses this network.", came=str(error), expected="shapes that fit") from error
    write_graph(path, graph)


def from_nir(path: Path, *, dt: float | None = None, discretisation: str | None = None) -> Sequential:
    """Return the network of a NIR file, in which every node has one before and one after it.

    Args:
        path: of the file.
        dt: seconds per step; None takes what the file says.
        discretisation: ``"exponential"`` or ``"euler"``; None takes what the file says, or ``"exponential"``.

    Returns:
        Layers and neurons, weights in the type of the file, nothing in training beyond that.

    Raises:
        UserError: a file that is not there or not NIR; a node of another type, by its name; a graph that is no chain; a
            file without dt where none is given. Nothing is half-built.
    """
    check_path(path)
    if dt is not None:
        number("dt", dt)
    if discretisation is not None:
        choice("discretisation", discretisation, DISCRETISATIONS)
    graph = read_graph(path, SUPPORTED)
    modules = []
    for name in _order(graph):
        try:
            modules.append(module_of(name, graph.nodes[name], dt, discretisation))
        except UserError:
            raise
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise UserError(
                f"the node {name!r} ({type(graph.nodes[name]).__name__}) of this NIR graph is not one we can run.",
                came=str(error).splitlines()[0] if str(error) else type(error).__name__,
            ) from error
    return Sequential(*modules)


def _chain(net: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    if not plain(net, nn.Sequential, Sequential):
        unsupported(prefix.rstrip("."), net, "a forward of its own")
    for name, module in net._modules.items():  # a module that comes again runs again: named_children leaves it out
        if isinstance(module, nn.Sequential):
            yield from _chain(module, f"{prefix}{name}.")
        elif module is not None and not plain(module, nn.Identity, nn.Dropout):
            yield f"{prefix}{name}", module


def _unused(name: str, taken: dict[str, Any]) -> str:
    """Return the name, with a number if it is taken: ``a.b`` and ``a_b`` look the same."""
    return next(one for one in chain([name], (f"{name}_again{n}" for n in count(1))) if one not in taken)


def _sizes(shape: Any) -> bool:
    good = isinstance(shape, tuple | list | torch.Size) and len(shape) > 0
    return good and all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 1 for n in shape)


def _order(graph: Any) -> list[str]:
    """Return the nodes between input and output in order."""
    after: dict[str, str] = {}
    into: set[str] = set()
    for one, other in graph.edges:
        if one in after or other in into or one not in graph.nodes or other not in graph.nodes:
            raise UserError(
                "this NIR graph is no chain.", came=f"the edge {one!r} → {other!r}: it branches, joins or returns",
                expected="one node after another, from an Input to an Output",
            )  # fmt: skip
        after[one] = other
        into.add(other)
    start = [name for name in graph.nodes if name not in into]
    order = start[:1]
    while order and order[-1] in after:
        order.append(after[order[-1]])
    kinds = [type(graph.nodes[name]).__name__ for name in order]
    if len(order) != len(graph.nodes) or kinds[:1] != ["Input"] or kinds[-1:] != ["Output"]:
        raise UserError(
            "this NIR graph is no chain.", came=" → ".join(kinds) or "a circle",
            expected="one node after another, from an Input to an Output",
        )  # fmt: skip
    return order[1:-1]

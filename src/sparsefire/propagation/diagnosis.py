"""Tell the fate of a network before it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from sparsefire.errors import UserError
from sparsefire.propagation.findings import Finding, findings, verdict
from sparsefire.propagation.learning import Signs, chance, signs_of
from sparsefire.propagation.measures import MEASURES, measure
from sparsefire.propagation.paths import PathCounts, path_counts
from sparsefire.propagation.redraws import redraw
from sparsefire.propagation.trace import Passage, Trace, trace

LEVELS = (0.05, 0.5, 0.95)
_NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.instancenorm._InstanceNorm,
)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What a network does with signals before training.

    Attributes:
        layers: one row per layer, in the order in which signals meet them. ``layer``, ``kind``, ``inputs`` of
            a unit, ``outputs``, ``weights``, ``density``; ``fan_in_min``, ``_median``, ``_mean`` and ``_max``, the same
            of ``fan_out``; ``dead_inputs``, ``dead_outputs``: without any weight; ``disconnected``: units without a
            path from an input or to an output (None where layers do not follow each other); ``dead_units``: share of
            units that no live input ever reaches (their output is their bias); ``gradient``: norm, for an error of
            size 1 at the outputs;
            then ``variance``,
            ``kurtosis``, ``correlation`` and ``dead_share`` as measured
            (:func:`~sparsefire.propagation.measures.measure`) and as predicted for weights drawn afresh, each with
            ``_5%``, ``_50%`` and ``_95%`` (:func:`~sparsefire.propagation.redraws.redraw`).
        probability_of_learning: see :mod:`~sparsefire.propagation.learning`.
        verdict: the findings in one text.
        findings: what stands in the way, worst first.
        signs: what the probability follows from.
        paths: number of paths from inputs to outputs, exact; None where layers do not follow each other.
        singular_values: of the Jacobian of the outputs with respect to the first input, float64 [min(inputs,
            outputs)]; empty for more than 100 outputs.
        redraws: how many the predicted quantiles are from.
    """

    layers: pd.DataFrame
    probability_of_learning: float
    verdict: str
    findings: tuple[Finding, ...]
    signs: Signs
    paths: int | None
    singular_values: np.ndarray
    redraws: int

    def __str__(self) -> str:
        return self.verdict


def diagnose(net: nn.Module, x: Any = None, *, redraws: int = 32, rng: Any = 0) -> Diagnosis:
    """Return what a network does with signals before training, the chance that it learns, and what to mend.

    Works on any network with linear or convolutional layers, masked or not; it is left as it is. What is measured is of
    these very weights, on inputs sent through a copy in float64. What is predicted are quantiles over other weights of
    the same law on the same connections. The chance was calibrated on networks with ReLUs, with and without norm
    layers, trained by Adam; elsewhere it is a hint.

    Args:
        net: a network before training.
        x: inputs [rows, ...], 2 rows or more, as prepared for training; None draws 64 rows of normal numbers where the
            first layer is linear.
        redraws: of all weights for the predicted quantiles, 2 or more; 0 leaves them out.
        rng: see :func:`sparsefire.randomness.entropy`.

    Raises:
        UserError: no layers, inputs that are needed and not given, or that do not fit.

    >>> import sparsefire as sf
    >>> net = nn.Sequential(*(m for _ in range(20) for m in (nn.Linear(100, 100), nn.ReLU())), nn.Linear(100, 10))
    >>> topology = sf.sparsify(net, 0.015, layout="uniform", rng=0)
    >>> d = diagnose(net)
    >>> d.probability_of_learning < 0.1
    True
    >>> len(d.layers)
    21
    """
    if isinstance(redraws, bool) or not isinstance(redraws, int | np.integer) or redraws < 0 or redraws == 1:
        raise UserError("redraws are counted.", came=f"redraws={redraws!r}", expected="0, or 2 or more")
    found = trace(net, x, rng=rng)
    if not found.passages:
        raise UserError(
            "no layer of this network is reached.", came=type(net).__name__, expected="layers that its forward calls"
        )
    predicted = redraw(net, found.inputs, int(redraws), rng) if redraws else {}
    paths = _paths(found)
    rows = [
        {**_row(passage, predicted.get(passage.layer.name)), "disconnected": _disconnected(paths, at)}
        for at, passage in enumerate(found.passages)
    ]
    signs = signs_of(found)
    likely = chance(signs)
    normed = any(isinstance(module, _NORMS) for module in net.modules())
    total = None if paths is None else paths.total
    masked = any(row["density"] < 1 for row in rows)
    listed = tuple(findings(rows, signs, total, normed=normed, masked=masked, idle=found.idle))
    table = pd.DataFrame(rows).drop(columns=["name", "mute"])
    return Diagnosis(table, likely, verdict(listed, likely), listed, signs, total, found.singular_values, int(redraws))


def _paths(found: Trace) -> PathCounts | None:
    if not found.chain:
        return None
    try:
        return path_counts([passage.exists.numpy() for passage in found.passages])
    except UserError:  # something between two layers changes their sizes, as a gated unit does
        return None


def _disconnected(paths: PathCounts | None, at: int) -> int | None:
    return None if paths is None else int(paths.disconnected[at])


def _row(passage: Passage, predicted: np.ndarray | None) -> dict[str, Any]:
    layer = passage.layer
    bias: Any = layer.module.bias
    exists = passage.exists
    fan_in = exists.flatten(1).sum(1).double()
    groups = int(getattr(layer.module, "groups", 1))
    fan_out = exists.reshape(groups, -1, *exists.shape[1:]).transpose(1, 2).flatten(2).sum(2).flatten().double()
    level = 0.0 if bias is None else bias.detach().reshape(-1, *[1] * (passage.given.ndim - 2))
    reached = (passage.given != level).any(0).reshape(layer.shape[0], -1).any(1)
    row: dict[str, Any] = {
        "layer": layer.name,
        "name": f"layer {layer.name!r}" if layer.name else "the layer",
        "kind": type(layer.module).__name__.removeprefix("Parametrized").lower(),
        "inputs": exists[0].numel(),
        "outputs": layer.shape[0],
        "weights": int(exists.sum()),
        "density": float(exists.double().mean()),
        **_spread("fan_in", fan_in),
        **_spread("fan_out", fan_out),
        "dead_inputs": int((fan_out == 0).sum()),
        "dead_outputs": int((fan_in == 0).sum()),
        "disconnected": None,  # here so that it stands beside the others
        "dead_units": 1 - float(reached.double().mean()),
        "mute": bias is None or not bool((bias > 0).any()),
        "gradient": passage.gradient,
        **measure(passage.given, None if bias is None else bias.detach()),
    }
    if predicted is not None:
        for key, values in zip(MEASURES, predicted.T, strict=True):
            known = values[~np.isnan(values)]
            for level in LEVELS:
                row[f"{key}_{level:.0%}"] = float(np.quantile(known, level)) if len(known) else float("nan")
    return row


def _spread(name: str, degrees: torch.Tensor) -> dict[str, float]:
    return {
        f"{name}_min": int(degrees.min()),
        f"{name}_median": float(degrees.quantile(0.5)),
        f"{name}_mean": round(float(degrees.mean()), 6),
        f"{name}_max": int(degrees.max()),
    }

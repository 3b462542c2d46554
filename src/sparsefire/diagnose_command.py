"""What ``sparsefire diagnose`` does: find the network, diagnose it, print and keep the table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sparsefire import masks, randomness
from sparsefire.deploy import load_model
from sparsefire.errors import UserError
from sparsefire.estimators import resolve_factory
from sparsefire.propagation import diagnose
from sparsefire.report.diagnosis_terminal import diagnosis_block
from sparsefire.sparsity import sparsify
from sparsefire.studies.files import replace_file
from sparsefire.studies.parquet import write_parquet
from sparsefire.train import build
from sparsefire.train.loop import INITIALISERS
from sparsefire.train.networks import first_line


@dataclass(frozen=True)
class DiagnoseRequest:
    """What a person asks for; None leaves it as it is.

    Attributes:
        model: ``"mlp"``, a folder that ``sparsefire fit`` wrote, or ``package.module:factory``.
        shape: of one prepared row; for mlp and factories that take it.
        outputs: of the network, for the same.
        hidden: widths of the hidden layers of an mlp.
        inputs: file of prepared rows, ``.npy`` [rows, ...]; None draws normal numbers.
        density, layout: of a static mask, drawn first.
        init: first weights, a name in :data:`sparsefire.train.loop.INITIALISERS`; None keeps the network's own.
        redraws: of the weights, for the predicted quantiles.
        rng: decides all random choices.
    """

    model: str
    shape: Sequence[int] | None = None
    outputs: int | None = None
    hidden: Sequence[int] | None = None
    inputs: Path | None = None
    density: float | None = None
    layout: str | None = None
    init: str | None = None
    redraws: int = 32
    rng: int = 0


def run(request: DiagnoseRequest, out: Path | None, say: Callable[[str], None], *, colour: bool = False) -> None:
    """Diagnose a network, print what was found, and write the table of layers to ``out`` (CSV or Parquet) if asked.

    Raises:
        UserError: a network that cannot be found or made, inputs that do not fit, a table of another kind.
    """
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise UserError("the table of layers is CSV or Parquet.", came=str(out), expected=".csv or .parquet")
    net = network_of(request)
    d = diagnose(net, _inputs(request), redraws=request.redraws, rng=request.rng)
    say(diagnosis_block(d, request.model, colour=colour))
    if out is not None:
        try:
            if out.suffix == ".csv":
                replace_file(out, d.layers.to_csv(index=False).encode())
            else:
                write_parquet(out, d.layers.to_dict("records"))
        except OSError as error:
            raise UserError("the table cannot be written.", came=str(error), expected="a folder that exists") from error
        say(f"  table  {out}")


def network_of(request: DiagnoseRequest) -> nn.Module:
    """Return the network of a request: made or loaded, masked and initialised as asked.

    >>> net = network_of(DiagnoseRequest("mlp", [8], 2, [16], density=0.5, layout="erk", init="signs"))
    >>> masks.density(net)
    0.5
    """
    if request.init is not None and request.init not in INITIALISERS:
        raise UserError(
            f"there is no initialiser {request.init!r}.", came=request.init, expected=", ".join(INITIALISERS)
        )
    if request.layout is not None and request.density is None:
        raise UserError("a layout shares out a density.", came=f"--layout {request.layout}", expected="--density too")
    net = _found(request)
    if request.density is not None:
        if masks.density(net) < 1 and Path(request.model).is_dir():
            raise UserError(
                "this network is sparse already.", came=f"--density {request.density:g}", expected="no --density"
            )
        sparsify(net, request.density, "static", request.layout, rng=request.rng)
    if request.init is not None:
        INITIALISERS[request.init](net, rng=randomness.integer(request.rng, "initial weights"))
    return net


def _found(request: DiagnoseRequest) -> nn.Module:
    model = request.model
    if model == "mlp":
        shape, outputs = _sizes(request)
        widths = [int(np.prod(shape)), *(request.hidden or (128, 128)), outputs]
        return build({"kind": "mlp", "widths": widths}, request.rng)
    if Path(model).is_dir():
        return load_model(model).network
    if ":" not in model:
        raise UserError(
            f"there is no model {model!r}.",
            came=model,
            expected="mlp, a folder that sparsefire fit wrote, or package.module:factory",
        )
    factory = resolve_factory(model)
    if isinstance(factory, nn.Module):
        return factory
    try:
        needed = [p for p in inspect.signature(factory).parameters.values() if p.default is p.empty]
        if not needed:
            with torch.random.fork_rng(devices=[]):  # layers draw from the global generator: lend them a copy
                torch.random.default_generator.manual_seed(randomness.integer(request.rng, "initial weights"))
                net = factory()
        else:
            shape, outputs = _sizes(request)
            return build(
                {"kind": "factory", "name": model, "shape": list(shape), "outputs": outputs}, request.rng, factory
            )
    except UserError:
        raise
    except Exception as error:  # whatever the user's own code does
        raise UserError(
            f"the network {model!r} cannot be made.", came=first_line(error), expected="a function that returns one"
        ) from error
    if not isinstance(net, nn.Module):
        raise UserError(f"{model!r} returned no network.", came=type(net).__name__, expected="a torch.nn.Module")
    return net


def _sizes(request: DiagnoseRequest) -> tuple[Sequence[int], int]:
    if not request.shape or request.outputs is None:
        raise UserError(
            "the sizes of this network are not known.",
            came=f"the model {request.model!r} alone",
            expected="the shape of a row and the number of outputs",
            attempt="--shape 784 --outputs 10",
        )
    if min(*request.shape, request.outputs, *(request.hidden or (1,))) < 1:
        raise UserError("sizes are whole numbers from 1.", came=f"{list(request.shape)}, {request.outputs}")
    return request.shape, request.outputs


def _inputs(request: DiagnoseRequest) -> np.ndarray | None:
    if request.inputs is None:
        return None
    try:
        rows = np.load(request.inputs, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(
            "the inputs cannot be read.", came=first_line(error), expected="an .npy file of numbers [rows, ...]"
        ) from error
    if not isinstance(rows, np.ndarray) or not np.issubdtype(rows.dtype, np.number):
        raise UserError("the inputs are no numbers.", came=str(request.inputs), expected="an .npy file [rows, ...]")
    return rows.astype(np.float64)

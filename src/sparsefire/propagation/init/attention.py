"""Graph attention layers in balance: what gradient flow conserves is zero for every unit, so all of them can move."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.errors import UserError
from sparsefire.propagation.init.looks_linear import mirrored_matrix
from sparsefire.propagation.init.rotations import semi_orthogonal

_MOST_SWEEPS = 10_000


@torch.no_grad()
def balance_attention_(layers: Any, *, weights: str = "looks-linear", rng: Any = None) -> Any:
    """Start graph attention layers so that ‖W_in,i‖² − ‖a_i‖² − ‖W_out,i‖² = 0 for every hidden unit i.

    Gradient flow conserves that difference (:func:`~sparsefire.propagation.attention_balance`); where it is large, as
    under the usual initialisers, the larger side can hardly change. Mustafa, Bojchevski & Burkholz, arXiv:2310.07235:
    attention vectors start at zero, so that every neighbour counts alike; weights are looks-linear orthogonal, so that
    the features are kept. Then units are rescaled: incoming weights by c_i, attention and outgoing weights by 1/c_i,
    which leaves the network as it is. Its balanced rescaling is where the sum of all squares is least; that is convex
    in log c, and each unit in turn has c_i⁴ = (‖a_i‖² + ‖W_out,i‖²) / ‖W_in,i‖² (this scheme is derived here; cf.
    equi-normalisation, arXiv:1902.10416).

    Args:
        layers: in order, two or more: modules in the manner of PyTorch Geometric (``lin``, ``lin_src`` or ``lin_l``
            and ``lin_r``, or a ``weight``; ``att`` or ``att_src`` and ``att_dst``; ``bias``), or tuples (weight,
            attention) or (weight, attention, bias) of tensors, weight and attention one each or a list, None for no
            attention. A network: all its modules that have attention vectors. Weights are [out, in].
        weights: ``"looks-linear"``, or ``"keep"`` to rescale the network that is there, attention and all.
        rng: see :func:`sparsefire.randomness.entropy`.

    Returns:
        What was given; with looks-linear weights the biases are zero.

    Raises:
        UserError: fewer than two layers, layers that do not fit together, an odd hidden width or a mask for
            looks-linear, a unit with weights on one side only. The layers are left as they were.

    >>> from sparsefire.propagation import attention_balance
    >>> one, two = torch.zeros(8, 4, dtype=torch.float64), torch.zeros(3, 8, dtype=torch.float64)
    >>> given = balance_attention_([(one, torch.ones(8)), (two, torch.ones(3))], rng=0)
    >>> bool(abs(attention_balance(given)[0]).max() < 1e-9)
    True
    """
    if weights not in ("looks-linear", "keep"):
        raise UserError(f"there are no weights {weights!r}.", came=repr(weights), expected="'looks-linear' or 'keep'")
    read = attention_layers(layers)
    norms = unit_norms(read)
    widths = [len(enter) for enter, _, _ in norms]
    if weights == "keep":
        matrices = [layer.matrices() for layer in read]
        squares = [sum(matrix**2 for matrix in own) for own in matrices]
        others = [array(layer.bias) ** 2 if layer.bias is not None else None for layer in read]
        attends = [attend for _, attend, _ in norms]
    else:
        matrices = _looks_linear(read, widths, rng)
        squares = [sum(matrix**2 for matrix in own) for own in matrices]
        others, attends = [None] * len(read), [np.zeros(width) for width in widths]
    scales = _balance(read, squares, others, attends)
    for i, (layer, own) in enumerate(zip(read, matrices, strict=True)):
        grow = scales[i] if i < len(scales) else np.ones(1)
        rows = np.resize(grow, len(own[0]))  # averaged heads share the scales of their units
        for holder, matrix in zip(layer.weights, own, strict=True):
            _write_(holder, rows[:, None] * matrix / (scales[i - 1] if i else 1.0))
        for vector in layer.attention:
            vector.copy_(_like(vector, array(vector).ravel() / rows)) if weights == "keep" else vector.zero_()
        if layer.bias is not None:
            bias = array(layer.bias)
            layer.bias.copy_(_like(layer.bias, bias * np.resize(grow, len(bias)) * (weights == "keep")))
    return layers


@dataclass(frozen=True, eq=False)
class AttentionLayer:
    """What matters of a graph attention layer.

    Attributes:
        label: as errors show it.
        weights: modules with a ``weight``, or tensors, [out, in]: one, or two for GATv2 with a matrix per side.
        attention: tensors with one entry per output unit in all (heads times channels): none, one, or one per side.
        bias: tensor [out] or [out / heads], or None.
    """

    label: str
    weights: tuple[Any, ...]
    attention: tuple[Tensor, ...]
    bias: Tensor | None

    def matrices(self) -> list[np.ndarray]:
        """Return the weights as float64 [out, in]."""
        return [array(_tensor(weight)) for weight in self.weights]


def attention_layers(given: Any) -> list[AttentionLayer]:
    """Return the layers of a network, or of a sequence as :func:`balance_attention_` takes it."""
    named = enumerate(given) if isinstance(given, list | tuple) else ()
    if isinstance(given, nn.Module):
        named = [  # type: ignore[assignment]
            (repr(name), module)
            for name, module in given.named_modules()
            if any(isinstance(getattr(module, key, None), Tensor) for key in ("att", "att_src", "att_dst"))
        ]
    found = [_read(layer, f"layer {name}") for name, layer in named]
    if len(found) < 2:
        raise UserError(
            "balance is between attention layers that follow one another.",
            came=f"{len(found)} in {type(given).__name__}",
            expected="two or more, as modules or as tuples (weight, attention)",
        )
    return found


def unit_norms(layers: Sequence[AttentionLayer]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return (‖W_in‖² with the bias, ‖a‖², ‖W_out‖²) per unit of every layer but the last.

    Where heads are averaged, the unit is what they share: its rows are those of all heads.
    """
    found = []
    for one, other in itertools.pairwise(layers):
        leave = sum((matrix**2).sum(0) for matrix in other.matrices())
        units, rows = len(leave), len(_tensor(one.weights[0]))
        if rows % units or (one.bias is not None and one.bias.numel() != units):
            raise UserError(
                f"{other.label} does not take what {one.label} gives.",
                came=f"{units} inputs after {rows} outputs",
                expected=f"{rows}, or that over the number of heads",
            )
        enter = sum((matrix**2).sum(1) for matrix in one.matrices()).reshape(-1, units).sum(0)
        if one.bias is not None:
            enter = enter + array(one.bias) ** 2
        attend = sum((array(a).ravel() ** 2 for a in one.attention), np.zeros(rows)).reshape(-1, units).sum(0)
        found.append((enter, attend, leave))
    return found


def array(values: Any) -> np.ndarray:
    """Return numbers as float64 NumPy."""
    if isinstance(values, Tensor):
        return values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def _read(given: Any, label: str) -> AttentionLayer:
    if isinstance(given, nn.Module):
        if getattr(given, "lin_edge", None) is not None:
            raise UserError(f"{label} uses features of edges.", came="lin_edge", expected="attention on units alone")
        sides = [("lin_l", "lin_r"), ("lin_src", "lin_dst"), ("lin",)]
        named = [[getattr(given, name, None) for name in names] for names in sides]
        weights = next((found for found in named if found[0] is not None), [given] if hasattr(given, "weight") else [])
        attention = [getattr(given, name, None) for name in ("att", "att_src", "att_dst")]
        bias = getattr(given, "bias", None)
    else:
        parts = [*given, None, None] if isinstance(given, tuple | list) else [given, None, None]
        weights = list(parts[0]) if isinstance(parts[0], tuple | list) else [parts[0]]
        attention = list(parts[1]) if isinstance(parts[1], tuple | list) else [parts[1]]
        bias = parts[2]
    weights = list({id(weight): weight for weight in weights if weight is not None}.values())  # sides may share one
    layer = AttentionLayer(label, tuple(weights), tuple(a for a in attention if a is not None), bias)
    shapes = [tuple(getattr(_tensor(weight), "shape", ())) for weight in weights]
    if not shapes or len(shapes[0]) != 2 or len(set(shapes)) != 1:
        raise UserError(
            f"{label} has no weight matrix.",
            came=f"shapes {shapes}" if shapes else "nothing named weight, lin, lin_src or lin_l",
            expected="[out, in], or (weight [out, in], attention)",
        )
    wrong = [tuple(a.shape) for a in layer.attention if a.numel() != shapes[0][0]]
    if wrong:
        raise UserError(
            f"the attention vector of {label} does not fit its units.",
            came=f"shape {wrong[0]}",
            expected=f"{shapes[0][0]} entries, one per output unit",
        )
    return layer


def _looks_linear(layers: Sequence[AttentionLayer], widths: list[int], rng: Any) -> list[list[np.ndarray]]:
    """Return looks-linear orthogonal weights, one block of units per averaged head."""
    entropies = randomness.stream(rng, "attention weights").integers(2**63, size=len(layers))
    found = []
    for i, layer in enumerate(layers):
        rows, columns = _tensor(layer.weights[0]).shape
        last = i == len(layers) - 1
        units = rows if last else widths[i]
        if not last and units % 2:
            raise UserError(
                f"{layer.label} has an odd width.",
                came=f"{units} units",
                expected="an even number: looks-linear units come in pairs",
                attempt="weights='keep'",
            )
        if any(isinstance(weight, nn.Module) and masks.mask_of(weight) is not None for weight in layer.weights):
            raise UserError(
                f"{layer.label} is masked.",
                came="a mask",
                expected="all weights, for orthogonal ones",
                attempt="weights='keep'",
            )
        draws = randomness.stream(int(entropies[i]), "matrix")
        paired = not last, i > 0

        def head(paired: tuple[bool, bool] = paired, n: int = units, m: int = columns, draws: Any = draws) -> Any:
            block = semi_orthogonal(n // (1 + paired[0]), m // (1 + paired[1]), None, "givens", draws).copy()
            return mirrored_matrix(torch.from_numpy(block), *paired).numpy()

        found.append([np.concatenate([head() for _ in range(rows // units)]) for _ in layer.weights])
    return found


def _balance(
    layers: Sequence[AttentionLayer], squares: list[Any], biases: list[Any], attends: list[np.ndarray]
) -> list[np.ndarray]:
    """Return c per unit of every layer but the last."""
    folded = [square.reshape(-1, len(a), square.shape[1]).sum(0) for square, a in zip(squares, attends, strict=False)]
    folded.append(squares[-1])
    extra = [np.zeros(len(a)) if bias is None else bias for bias, a in zip(biases, attends, strict=False)]
    for i, layer in enumerate(layers[:-1]):
        enter, leave = folded[i].sum(1) + extra[i], attends[i] + folded[i + 1].sum(0)
        alone = np.flatnonzero((enter == 0) != (leave == 0))
        if len(alone):
            side = "outgoing weights" if leave[alone[0]] == 0 else "incoming weights"
            raise UserError(
                f"unit {alone[0]} of {layer.label} cannot be balanced.",
                came=f"no {side}",
                expected="weights on both sides of every unit, or on none",
            )
    totals = np.log([square.sum() or 1.0 for square in folded])
    steps = np.cumsum((totals.mean() - totals) / 2)[:-1]  # all layers alike first: single sweeps even that out slowly
    scales = [np.full(len(a), np.exp(step)) for a, step in zip(attends, steps, strict=True)]
    for _ in range(_MOST_SWEEPS):
        worst = 0.0
        for i in range(len(scales)):
            before = folded[i] @ scales[i - 1] ** -2.0 if i else folded[i].sum(1)
            after = scales[i + 1] ** 2 @ folded[i + 1] if i + 1 < len(scales) else folded[i + 1].sum(0)
            enter, leave = before + extra[i], attends[i] + after
            used = enter > 0
            best = np.where(used, np.divide(leave, enter, out=np.ones_like(enter), where=used), 1.0) ** 0.25
            worst = max(worst, float(np.abs(np.log(best / scales[i])).max()))
            scales[i] = best
        if worst <= 1e-13:
            return scales
    raise UserError(
        "these layers cannot be balanced.",
        came=f"scales that still move by a factor {1 + worst:.2g} after {_MOST_SWEEPS} rounds",
        expected="weights that connect the units of neighbouring layers well enough",
    )


def _tensor(weight: Any) -> Any:
    return weight.weight if isinstance(weight, nn.Module) else weight


def _write_(holder: Any, values: np.ndarray) -> None:
    own = _tensor(holder)
    if isinstance(holder, nn.Module):
        masks.write_weight_(holder, _like(own, values))
    else:
        own.copy_(_like(own, values))


def _like(tensor: Tensor, values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(tensor.device, tensor.dtype).reshape(tensor.shape)

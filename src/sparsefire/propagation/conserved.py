"""What gradient flow or a homogeneous network conserves: SynFlow's flow, products m · w, and graph attention."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.init.attention import array, attention_layers, unit_norms

# Logarithms of the flows that float64 holds with room for the factors of a product.
_SMALLEST, _LARGEST = -600.0, 700.0


def synflow_scores(net: nn.Module, shape: Sequence[int] | None = None) -> dict[str, Tensor]:
    """Return |w| · ∂R/∂|w| of every weight, for R the output summed over all paths.

    R = 1ᵀ (∏_l |W_l|) 1 on an input of ones, with absolute weights and no biases (SynFlow, Tanaka et al.,
    arXiv:2006.05467). The score of a weight is the part of R that passes through it: every layer of a chain has the
    total R, and what enters a unit leaves it. Batch normalisation counts as its factor |γ|/√(σ² + ε).

    Args:
        net: positively homogeneous: linear, convolutional, pooling, ReLU layers and batch normalisation.
        shape: of one input without the batch; None takes the width of the first layer if that is linear.

    Returns:
        layer name → float64 of the weight's shape; zero where masked.

    Raises:
        UserError: no layers, an unknown shape, a network that is not homogeneous, or a flow beyond float64.

    >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    >>> _ = net[0].weight.data.copy_(torch.tensor([[1.0, -2.0], [0.0, 3.0]])); _ = net[1].weight.data.fill_(1.0)
    >>> {name: score.tolist() for name, score in synflow_scores(net).items()}
    {'0': [[1.0, 2.0], [0.0, 3.0]], '1': [[3.0, 3.0]]}
    """
    shares, size = _flow(net, shape)
    if size > math.log(np.finfo(np.float64).max):
        raise UserError(
            "the flow of this network is beyond float64.", came=f"log R = {size:.0f}", attempt="flow_balance(net)"
        )
    return {name: share * math.exp(size) for name, share in shares.items()}


def synflow_shares(net: nn.Module, shape: Sequence[int] | None = None) -> dict[str, Tensor]:
    """Return :func:`synflow_scores` as shares of the whole flow R, which ranks alike, and for deep networks too.

    Args:
        net, shape: as of :func:`synflow_scores`.

    Raises:
        UserError: as :func:`synflow_scores`; a flow beyond float64 only in a network that is no chain.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> [round(float(share.sum()), 9) for share in synflow_shares(net).values()]
    [1.0, 1.0]
    """
    return _flow(net, shape)[0]


def synflow_masks(
    net: nn.Module, density: float, *, rounds: int = 100, shape: Sequence[int] | None = None
) -> dict[str, Tensor]:
    """Return masks that keep the weights with the largest flow, thinned in rounds; the network stays as it is.

    After round r of n the share ρ^(r/n) of the weights is left (arXiv:2006.05467, algorithm 1); the iteration keeps
    layers from collapsing, as the total flow of every layer is the same. Ties go to the earlier weight.

    Args:
        net, shape: as of :func:`synflow_scores`; masks the network has are thinned further.
        density: ρ, share of all weights kept at the end, in (0, 1].
        rounds: n, 1 or more.

    Returns:
        layer name → bool mask; together ⌊density · weights⌋ of them, at least one, at most those that exist.

    >>> found = synflow_masks(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)), 0.1, rounds=20)
    >>> sum(int(mask.sum()) for mask in found.values())
    4
    """
    fraction = isinstance(density, int | float | np.number) and not isinstance(density, bool) and 0 < density <= 1
    if not fraction or not isinstance(rounds, int | np.integer) or isinstance(rounds, bool) or rounds < 1:
        raise UserError(
            "density is a fraction and rounds are counted.",
            came=f"density={density!r}, rounds={rounds!r}",
            expected="density in (0, 1], rounds of 1 or more",
        )
    work = _plain(net)
    layers: dict[str, Any] = masks.layers(work)
    sizes = [layer.weight.numel() for layer in layers.values()]
    left = torch.cat([layer.weight.detach().ne(0).flatten() for layer in layers.values()])
    for part in range(1, rounds + 1):
        shares, _ = _flow(work, shape, plain=True)
        flat = torch.cat([share.flatten() for share in shares.values()]).masked_fill(~left, -1.0)
        keep = max(1, math.floor(sum(sizes) * density ** (part / rounds) + 1e-9))
        left[flat.sort(descending=True, stable=True).indices[keep:]] = False
        for layer, kept in zip(layers.values(), left.split(sizes), strict=True):
            with torch.no_grad():
                layer.weight.mul_(kept.view_as(layer.weight))
    return {name: kept.view_as(layers[name].weight) for name, kept in zip(layers, left.split(sizes), strict=True)}


@dataclass(frozen=True, eq=False)
class FlowBalance:
    """Flow through a chain of layers, as a share of the whole flow R.

    Attributes:
        names: of the layers.
        totals: float64 [layers], the flow through all weights of a layer; 1 everywhere.
        inflow, outflow: one float64 [units] per pair of neighbouring layers: what enters a unit (or channel) of the
            first, and what leaves it into the second; equal.
        log_flow: log R.
    """

    names: tuple[str, ...]
    totals: np.ndarray
    inflow: tuple[np.ndarray, ...]
    outflow: tuple[np.ndarray, ...]
    log_flow: float

    @property
    def worst(self) -> float:
        """Largest relative difference, of a total from 1 or of what enters a unit from what leaves it."""
        gaps = [np.abs(self.totals - 1.0).max()]
        for one, other in zip(self.inflow, self.outflow, strict=True):
            largest = np.maximum(one, other)
            gaps.append((np.abs(one - other)[largest > 0] / largest[largest > 0]).max(initial=0.0))
        return float(max(gaps))


def flow_balance(net: nn.Module, shape: Sequence[int] | None = None) -> FlowBalance:
    """Return the flow of SynFlow scores layer by layer and unit by unit, for a chain of layers.

    Scaling a unit's incoming weights by c and its outgoing ones by 1/c leaves R as it is, so that the scores of both
    sides have the same sum; any mask.

    Args:
        net, shape: as of :func:`synflow_scores`.

    Raises:
        UserError: as :func:`synflow_scores`; no path from input to output; layers that do not form a chain.

    >>> balance = flow_balance(nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)))
    >>> balance.worst < 1e-12, balance.totals.round(9).tolist()
    (True, [1.0, 1.0])
    """
    shares, size = _flow(net, shape)
    if size == -math.inf:
        raise UserError("nothing flows through this network.", came="no path from input to output", expected="one path")
    names, layers = tuple(shares), masks.layers(net)
    outflow = []
    for before, after in itertools.pairwise(names):
        units = len(shares[before])
        groups = int(getattr(layers[after], "groups", 1))
        share = shares[after].flatten(2).sum(2) if shares[after].ndim > 2 else shares[after]
        leaves = share.reshape(groups, -1, share.shape[1]).sum(1).flatten()
        if len(leaves) % units:
            raise UserError(
                f"layer {after!r} does not take what layer {before!r} gives.",
                came=f"{len(leaves)} inputs after {units} outputs",
                expected="a chain of layers",
            )
        outflow.append(leaves.reshape(units, -1).sum(1).numpy())
    return FlowBalance(
        names,
        np.array([float(share.sum()) for share in shares.values()]),
        tuple(shares[name].flatten(1).sum(1).numpy() for name in names[:-1]),
        tuple(outflow),
        size,
    )


def product_balance(given: nn.Module | tuple[Any, Any]) -> Any:
    """Return m² − w² of every weight that is a product m · w; gradient flow on both factors conserves it.

    From ṁ = −w g and ẇ = −m g, with g the gradient of the loss with respect to m · w: d(m² − w²)/dt = 0
    (arXiv:2504.12801; penalty α(m² + w²): it shrinks as exp(−4∫α)).

    Args:
        given: a network some of whose layers are products (``sparsify`` with ``method="sign-in"``), or a pair (m, w)
            of arrays or tensors of one shape.

    Returns:
        float64 NumPy: layer name → the values of its kept weights [kept]; for a pair, of its shape.

    Raises:
        UserError: a network without products, factors of different shapes.

    >>> product_balance((np.array([1.0, 2.0]), np.array([0.5, -2.0]))).tolist()
    [0.75, 0.0]
    """
    if isinstance(given, nn.Module):
        found = {}
        for name, module in masks.masked(given).items():
            masked = masks.mask_of(module)
            for factor in masked.factors() if masked is not None else ():
                original: Any = masks.own_parameter(module)
                found[name] = product_balance((factor, original))[masked.mask.cpu().numpy()]  # type: ignore[union-attr]
        if not found:
            raise UserError(
                "this network has no weights that are products.",
                came=type(given).__name__,
                expected="sf.sparsify(net, …, method='sign-in')",
            )
        return found
    one, other = (array(factor) for factor in given)
    if one.shape != other.shape:
        raise UserError("factors have one shape.", came=f"{one.shape} and {other.shape}", expected="equal shapes")
    return one**2 - other**2


def attention_balance(layers: nn.Module | Sequence[Any]) -> list[np.ndarray]:
    """Return ‖W_in,i‖² − ‖a_i‖² − ‖W_out,i‖² of every unit between graph attention layers; gradient flow conserves it.

    Scaling the incoming weights of unit i (and its bias) by c, its entries of the attention vector and its outgoing
    weights by 1/c leaves the network as it is, if its activation is positively homogeneous; the gradient is therefore
    orthogonal to that direction, and the difference of squares stays. Mustafa, Bojchevski & Burkholz, arXiv:2310.07235
    (for GAT, arXiv:1710.10903, and GATv2, arXiv:2105.14491).

    Args:
        layers: in order, as of :func:`~sparsefire.propagation.init.balance_attention_`.

    Returns:
        One float64 [units] per layer but the last.

    >>> one, two = (torch.eye(2), torch.tensor([0.5, 0.0])), (torch.ones(1, 2), None)
    >>> attention_balance([one, two])[0].tolist()
    [-0.25, 0.0]
    """
    return [enter - attend - leave for enter, attend, leave in unit_norms(attention_layers(layers))]


def _flow(net: nn.Module, shape: Sequence[int] | None, plain: bool = False) -> tuple[dict[str, Tensor], float]:
    """Return the share of the flow through every weight, and log R."""
    work = net if plain else _plain(net)
    layers = masks.layers(work)
    weights: dict[str, Tensor] = {name: layer.weight.detach() for name, layer in layers.items()}  # type: ignore[operator]
    ones = torch.ones((1, *_input_shape(layers, shape)), dtype=torch.float64)
    shares, size = _shares(work, weights, ones)
    if _SMALLEST < size < _LARGEST:
        return shares, size
    # Beyond float64, or none. Layers of size one keep the shares where all of the flow passes through every layer.
    sizes = {name: float(weight.sum()) / len(weight) for name, weight in weights.items()}
    scaled = {name: weight / sizes[name] if sizes[name] else weight for name, weight in weights.items()}
    shares, size = _shares(work, scaled, ones)
    if size == -math.inf:
        return shares, size
    if not math.isfinite(size) or any(abs(float(share.sum()) - 1.0) > 1e-6 for share in shares.values()):
        raise UserError(
            "the flow of this network is beyond float64.",
            came="weights that are not finite, or too large for a network whose layers do not form one chain",
            expected="finite weights of a moderate size",
        )
    return shares, size + sum(math.log(one) for one in sizes.values())


def _shares(net: nn.Module, weights: dict[str, Tensor], ones: Tensor) -> tuple[dict[str, Tensor], float]:
    """Return shares and log R for weights by layer; log R = inf where it is not finite, −inf where nothing arrives."""
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    given = {f"{name}.weight" if name else "weight": leaf for name, leaf in leaves.items()}
    total, double = (_run(net, given, scale * ones) for scale in (1.0, 2.0))
    once, twice = float(total.detach()), float(double.detach())
    if not (math.isfinite(once) and math.isfinite(twice)):
        return {}, math.inf
    if abs(twice - 2 * once) > 1e-6 * abs(once):
        raise UserError(
            "the flow is that of a positively homogeneous network.",
            came=f"R = {once:.6g} on ones, {twice:.6g} on twos",
            expected="linear and convolutional layers, ReLU, pooling, batch normalisation",
        )
    if not once > 0:
        return {name: torch.zeros_like(weight) for name, weight in weights.items()}, -math.inf
    slopes = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    shares = {
        name: torch.zeros_like(weight) if slope is None else slope * weight / once
        for (name, weight), slope in zip(weights.items(), slopes, strict=True)
    }
    return shares, math.log(once) if all(bool(share.isfinite().all()) for share in shares.values()) else math.inf


def _run(net: nn.Module, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    outputs = torch.func.functional_call(net, weights, (x,))
    if not isinstance(outputs, Tensor):
        raise UserError("a flow ends in one output.", came=type(outputs).__name__, expected="a tensor")
    return outputs.sum()


def _plain(net: nn.Module) -> nn.Module:
    """Return a float64 copy with absolute weights, without masks, biases and running means."""
    if not isinstance(net, nn.Module) or not masks.layers(net):
        raise UserError(
            "a flow passes through linear or convolutional layers.", came=type(net).__name__, expected="such a network"
        )
    work = copy.deepcopy(net).cpu().double().eval()
    masks.bake(work)
    with torch.no_grad():
        for name, parameter in work.named_parameters():
            parameter.abs_()
            if name.rpartition(".")[2] == "bias":
                parameter.zero_()
        for name, buffer in work.named_buffers():
            if name.rpartition(".")[2] == "running_mean":
                buffer.zero_()
    return work


def _input_shape(layers: dict[str, nn.Module], shape: Sequence[int] | None) -> tuple[int, ...]:
    if shape is not None:
        return tuple(int(size) for size in shape)
    first = next(iter(layers.values()))
    if not isinstance(first, nn.Linear):
        raise UserError(
            "the flow of a convolutional network needs the shape of an input.",
            came="shape=None",
            expected="shape=(channels, …) of one input, without the batch",
        )
    return (first.in_features,)

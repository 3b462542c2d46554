"""How far the layers of a network are from criticality, as a loss term with a gradient.

All parts are functions of the squared effective weights S = W² (mask and parametrisation included). A kernel [out, in,
*kernel] counts with the sum of its squared taps. In layer l, with n_l outputs,

    branching      (log χ_l)²,   χ_l = mean_i Σ_j S_ij / gain²
    flow           f_0 = 1,  f_l = S_l f_(l−1) / gain²: what reaches each unit in squared signal along all paths
      paths        (log ψ_l)²,   ψ_l = mean f_l / mean f_(l−1), the branching number of the paths that carry signal
      participation log(n_l Σ f_l² / (Σ f_l)²) ≥ 0: 0 if the flow is shared by all units, log n_l on one unit alone
    balance        mean_j (p_j − q_j)²,   p_j = Σ_i S_ji / mean over j,  q_j = Σ_i S_ij of the layer after, likewise

and each part is the mean over its layers. gain = √2 is the ReLU: χ = 1 is the variance of He et al. 2015
(arXiv:1502.01852), for dense and masked layers alike. Participation is that of localisation, for squared signals that
add up without interference. Σ_i S_ji − Σ_i S_ij is what gradient flow conserves in a unit of a ReLU network without
norm layers (Du et al. 2018, arXiv:1806.00900): a unit that starts unbalanced stays so. The two means take out what the
widths alone ask for. That these make one penalty is derived here.

A part is 0 where all is critical: every unit has weights with Σ_j S_ij = gain² into it, and the same sum as its
neighbours out of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.propagation.init.walk import Layer, gain_of, layers_of

PARTS = ("branching", "paths", "participation", "balance")
_NOTHING = 1e-12  # beside sums of squares of order 1: keeps logarithms of dead layers finite


def penalty(
    net: nn.Module,
    *,
    branching: float = 1.0,
    participation: float = 1.0,
    balance: float = 1.0,
    paths: float = 0.0,
    gain: Any = "relu",
) -> Tensor:
    """Return the weighted sum of :func:`penalty_parts`: a scalar tensor with gradient, to be added to a loss.

    Args:
        net: a network of linear and convolutional layers, masked or not, that follow each other; see
            :func:`penalty_parts` for those that do not.
        branching, participation, balance, paths: weight of each part, 0 or more.
        gain: root mean square of what enters an activation over that of what leaves it: a number above 0, 1 without
            activations; or an activation that ``torch.nn.init.calculate_gain`` knows, ``"relu"`` is √2.

    Raises:
        UserError: no layers, a weight or gain out of range.

    >>> net = nn.Linear(2, 2, bias=False); _ = net.weight.data.copy_(torch.eye(2) * 2)
    >>> loss = penalty(net); loss.backward(); round(loss.item(), 4), net.weight.grad.diag().tolist()
    (0.4805, [0.6931..., 0.6931...])
    """
    wanted = {"branching": branching, "paths": paths, "participation": participation, "balance": balance}
    _check(wanted)
    square = gain_of(gain) ** 2
    found = layers_of(net)
    return _total(_parts(found, _weights(found), square), wanted)


def penalty_parts(net: nn.Module, *, gain: Any = "relu") -> dict[str, Tensor]:
    """Return each part of the penalty: ``"branching"``, ``"paths"``, ``"participation"`` and ``"balance"``.

    Args:
        net: see :func:`penalty`. Layers are taken in the order of the modules. Between two that do not fit each other
            (a side branch, say) flow starts anew, and there is no balance.
        gain: see :func:`penalty`.

    Returns:
        Name → scalar tensor with gradient, float32 for half precision; formulas are at the head of this module.

    >>> net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    >>> for layer in (net[0], net[2]): _ = nn.init.eye_(layer.weight).data.mul_(2**0.5)
    >>> {name: round(abs(part.item()), 5) for name, part in penalty_parts(net).items()}
    {'branching': 0.0, 'paths': 0.0, 'participation': 0.0, 'balance': 0.0}
    """
    square = gain_of(gain) ** 2
    found = layers_of(net)
    return _parts(found, _weights(found), square)


def growth_scores(
    net: nn.Module,
    *,
    branching: float = 1.0,
    participation: float = 1.0,
    balance: float = 1.0,
    paths: float = 0.0,
    gain: Any = "relu",
) -> dict[str, Tensor]:
    """Return how much each missing weight would lower the penalty if it came: −∂ penalty / ∂ w², at w = 0.

    The penalty depends on squares, so that its gradient in a missing weight is 0 while that in its square is not. A
    topology that grows takes the largest scores; a score below 0 would raise the penalty.

    Args:
        net, branching, participation, balance, paths, gain: see :func:`penalty`.

    Returns:
        Layer name → tensor of the shape of its weight: the score where the mask is False (where the weight is exactly
        0, if there is no mask), −∞ at weights that exist.

    >>> net = nn.Linear(3, 2, bias=False); _ = net.weight.data.copy_(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    >>> growth_scores(net, branching=0, balance=0)[""]
    tensor([[   -inf,    -inf, -0.1333],
            [ 0.2667,  0.2667,    -inf]])
    """
    wanted = {"branching": branching, "paths": paths, "participation": participation, "balance": balance}
    _check(wanted)
    square_of_gain = gain_of(gain) ** 2
    found = layers_of(net)
    with torch.enable_grad():
        squares = [weight.detach().square().requires_grad_() for weight in _weights(found)]
        total = _total(_parts(found, squares, square_of_gain, squared=True), wanted)
        if total.requires_grad:
            slopes = torch.autograd.grad(total, squares, materialize_grads=True)
        else:  # nothing is asked for, or only a balance that one layer does not have
            slopes = tuple(torch.zeros_like(square) for square in squares)
    scores = {}
    for layer, square, slope in zip(found, squares, slopes, strict=True):
        exists = layer.mask if layer.mask is not None else square.detach() != 0
        scores[layer.name] = torch.where(exists, -math.inf, 0.0 - slope)
    return scores


def _weights(found: Sequence[Layer]) -> list[Tensor]:
    weights: list[Any] = [layer.module.weight for layer in found]
    return [weight.float() if weight.dtype in (torch.float16, torch.bfloat16) else weight for weight in weights]


def _parts(found: Sequence[Layer], weights: Sequence[Tensor], gain2: float, squared: bool = False) -> dict[str, Tensor]:
    parts: dict[str, list[Tensor]] = {name: [] for name in PARTS}
    before: tuple[Layer, Tensor, Tensor] | None = None  # with the flow out of its units, and the sums into them
    for layer, weight in zip(found, weights, strict=True):
        groups = getattr(layer.module, "groups", 1)
        places = _places(before, layer, groups)
        blocks = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1] // max(places, 1), -1)
        flow = weight.new_ones(groups * blocks.shape[2])
        if before is not None and places:  # only the shape of the flow goes on: means would overflow in deep networks
            flow = _relative(before[1])
        into, flow, out_of = _Sums.apply(blocks, flow, squared)
        flow = flow / gain2
        parts["branching"].append(_log(into.mean() / gain2).square())
        parts["paths"].append(_log(flow.mean()).square())
        parts["participation"].append(_localisation(flow))
        if before is not None and places:
            parts["balance"].append((_relative(before[2]) - _relative(out_of)).square().mean())
        before = (layer, flow, into)
    zero = weights[0].new_zeros(())
    return {name: torch.stack(values).mean() if values else zero for name, values in parts.items()}


class _Sums(torch.autograd.Function):
    """Return Σ_j S_ij, Σ_j S_ij f_j and Σ_i S_ij with S = Σ_taps W², keeping no S between forward and backward.

    Weights come as [groups, out / groups, in / groups, taps], the flow as [in]. The gradient of all three in S is the
    product of an [out, 3] and a [3, in] matrix. With ``squared`` the weights are squares already. Autocast is off for
    both: it would round sums of squares to half precision, and gradients would not fit the weights.
    """

    @staticmethod
    def forward(ctx: Any, blocks: Tensor, flow: Tensor, squared: bool) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(blocks, flow)
        ctx.squared = squared
        sums = _over_taps(blocks, squared)
        flow = flow.view(sums.shape[0], -1, 1)
        with torch.autocast(blocks.device.type, enabled=False):
            both = sums @ torch.cat([torch.ones_like(flow), flow], 2)
            out_of = sums.new_ones(sums.shape[0], 1, sums.shape[1]) @ sums
        return both[..., 0].flatten(), both[..., 1].flatten(), out_of.flatten()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        blocks, flow = ctx.saved_tensors
        groups = blocks.shape[0]
        into, through, out_of = (slope.view(groups, -1) for slope in slopes)
        of_blocks = of_flow = None
        if ctx.needs_input_grad[0]:
            ahead = torch.stack([into, through, torch.ones_like(into)], 2) * (1 if ctx.squared else 2)
            back = torch.stack([torch.ones_like(out_of), flow.view(groups, -1), out_of], 1)
            with torch.autocast(blocks.device.type, enabled=False):
                of_blocks = (ahead @ back).unsqueeze(3)
            if ctx.squared:
                of_blocks = of_blocks.expand_as(blocks)
            else:
                of_blocks = of_blocks.mul_(blocks) if blocks.shape[3] == 1 else of_blocks * blocks
        if ctx.needs_input_grad[1]:
            with torch.autocast(blocks.device.type, enabled=False):
                of_flow = (through.unsqueeze(1) @ _over_taps(blocks, ctx.squared)).flatten()
        return of_blocks, of_flow, None


def _over_taps(blocks: Tensor, squared: bool) -> Tensor:
    squares = blocks if squared else blocks.square()
    return squares.squeeze(3) if squares.shape[3] == 1 else squares.sum(3)


def _places(before: tuple[Layer, Tensor, Tensor] | None, layer: Layer, groups: int) -> int:
    """Return how many inputs of a layer each unit before it feeds: 1, more behind a flattened image, 0 if none fits."""
    ins = layer.shape[1] * groups
    if before is None or ins == before[0].shape[0]:
        return 1
    flattened = len(before[0].shape) > 2 and len(layer.shape) == 2 and ins % before[0].shape[0] == 0
    return ins // before[0].shape[0] if flattened else 0


def _log(value: Tensor) -> Tensor:
    return torch.log(value + _NOTHING)


def _localisation(flow: Tensor) -> Tensor:
    """Return log(n Σ f² / (Σ f)²), and log n where nothing flows."""
    n = len(flow)
    return torch.log((flow.square().sum() + _NOTHING) * n) - torch.log(flow.sum().square() + _NOTHING)


def _relative(sums: Tensor) -> Tensor:
    return sums / (sums.mean() + _NOTHING)


def _total(parts: dict[str, Tensor], wanted: dict[str, float]) -> Tensor:
    total = parts["branching"].new_zeros(())
    for name, weight in wanted.items():
        if weight:
            total = total + weight * parts[name]
    return total


def _check(wanted: dict[str, float]) -> None:
    for name, value in wanted.items():
        number: Any = value
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < math.inf:
            raise UserError(f"{name} is out of range.", came=f"{name}={value!r}", expected="a number of 0 or more")

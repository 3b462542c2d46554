"""Feedback alignment: the error comes back through fixed random weights.

T. P. Lillicrap, D. Cownden, D. B. Tweed, C. J. Akerman. Random synaptic feedback weights support error backpropagation
for deep learning. Nature Communications 7, 13276, 2016. doi:10.1038/ncomms13276
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv1d_input, conv2d_input, conv3d_input

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.rules.call import LossFunction, call, finite, rows_of, scalar
from sparsefire.rules.local.chain import LAYERS, backward, unmoved_on_error
from sparsefire.rules.local.feedback import FeedbackRule

# Layers whose weights are no matrix that an error would have to pass backwards.
_PASSED = (
    nn.Embedding,
    nn.EmbeddingBag,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.modules.batchnorm._NormBase,
)
_OWN_MATRICES = (nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)


@dataclass(eq=False)
class FeedbackAlignment(FeedbackRule):
    """Back-propagate with fixed random B_l in place of the weights W_l of linear and convolutional layers.

        δ_{l−1} = (B_lᵀ δ_l) ⊙ φ'(a_{l−1}),   ∂W_l = δ_l h_{l−1}ᵀ

    The outputs are those of the true weights, and so are the gradients of each layer given its δ; only the way of δ
    to the layer below is another. In a linear network the weights turn until W and B agree so far that the update
    points downhill. Works on any network, chain or not, whose only matrices are those of linear and convolutional
    layers; a layer that calls no ``forward``, its weight read directly, is not seen. A layer that hands on its positive
    and its negative contributions apart (:class:`~sparsefire.spiking.Sequential`) gets an error for each: that of
    either sum comes back through those entries of B_l that would have contributed to it.

    Args:
        scale: standard deviation of the entries of B_l; None takes 1/√(entries that each input unit acts on), so that
            an error keeps its size.
        rng: draws B_l, once, when an error first passes the layer: the layers at the input need none.
        masked: let B_l be zero where W_l is absent, whatever the mask is at the time.

    One call is one forward and one backward pass: 3 in ``budget.forward_passes``. After it ``feedback`` holds B_l by
    layer name, in the shape of the weight; entries may be replaced.

    Raises:
        UserError: a layer with weight matrices of another kind (attention, recurrent, transposed convolution) or a
            parameter that is a matrix, by name; a loss that is no finite number.

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> rule = FeedbackAlignment(rng=0)
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> {name: tuple(matrix.shape) for name, matrix in rule.feedback.items()}
    {'2': (1, 4)}
    """

    masked: bool = True

    @torch.enable_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        _refuse_other_matrices(net)
        with unmoved_on_error(net):
            with self._carried(net):
                loss = scalar(loss_fn(call(net, x), y))
            finite(loss.detach(), self.budget)
        backward([loss], [None])
        self.budget.add(samples=rows_of(x), queries=1, forward_passes=3, random_bits=self.drawn_bits())
        return loss.detach()

    @contextmanager
    def _carried(self, net: nn.Module) -> Iterator[None]:
        """Let errors pass each layer through its B: the input is detached, and an identity around it brings it back."""
        hooks = []
        for name, layer in masks.layers(net).items():
            carrier = _Carrier(layer, partial(self._of, name, layer))
            hooks.append(layer.register_forward_pre_hook(carrier.before, with_kwargs=True))
            hooks.append(layer.register_forward_hook(carrier.after))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def _of(self, name: str, layer: nn.Module) -> Tensor:
        own, weight = masks.mask_of(layer), masks.own_parameter(layer)
        channels = weight.shape[1] * int(getattr(layer, "groups", 1))
        entries = weight.numel() if own is None or not self.masked else int(own.mask.sum())
        found = self.fixed(name, tuple(weight.shape), 1 / math.sqrt(max(1.0, entries / channels)), weight)
        return found if own is None or not self.masked else found * own.mask


class _Carrier:
    """The two hooks of one layer: what enters is detached, what leaves carries its error to what entered."""

    def __init__(self, layer: nn.Module, feedback: Callable[[], Tensor]) -> None:
        self.layer, self.feedback = layer, feedback
        self.entered: Tensor | None = None

    def before(
        self, _layer: nn.Module, args: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self.entered = args[0] if args else named["input"]
        return (self.entered.detach(),), {}

    def after(self, _layer: nn.Module, _args: Any, output: Tensor) -> Tensor:
        entered, self.entered = self.entered, None
        if entered is None or not entered.requires_grad:
            return output
        carried: Tensor = _Carry.apply(output, entered, self.feedback(), self.layer)
        return carried


class _Carry(torch.autograd.Function):
    """The identity on a layer's output; its error goes on to the layer's input through the feedback weights."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, entered: Tensor, feedback: Tensor, layer: nn.Module) -> Tensor:
        ctx.mark_dirty(output)  # the same tensor and no view of it, which a later in-place ReLU could not write to
        apart = output.ndim > entered.ndim  # [rows, 2, …]: positive and negative contributions
        ctx.save_for_backward(feedback, entered if apart else None)
        ctx.layer, ctx.shape = layer, entered.shape
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, error: Tensor) -> tuple[Tensor, Tensor, None, None]:
        feedback, entered = ctx.saved_tensors
        feedback = feedback.to(error.dtype)

        def back(part: Tensor, matrix: Tensor) -> Tensor:
            if isinstance(ctx.layer, nn.Linear):
                return part @ matrix
            return _through_convolution(ctx.layer, matrix, part, ctx.shape)

        found = back(error, feedback) if entered is None else _through_both(back, feedback, error, entered)
        return error, found, None, None


def _through_both(back: Callable[[Tensor, Tensor], Tensor], feedback: Tensor, error: Tensor, entered: Tensor) -> Tensor:
    """Return the error by what entered, from those by the sums of positive and negative contributions [rows, 2, …]."""
    up, down = feedback.clamp(min=0), torch.relu(-feedback)
    excite, inhibit = error.unbind(1)
    above = back(excite, up) + back(inhibit, down)
    negative = entered < 0
    if not bool(negative.any()):
        return above
    return torch.where(negative, -back(excite, down) - back(inhibit, up), above)  # there a positive weight inhibits


def _through_convolution(layer: Any, feedback: Tensor, error: Tensor, shape: torch.Size) -> Tensor:
    plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str) and len(shape) == feedback.ndim
    if plain:
        back = {3: conv1d_input, 4: conv2d_input, 5: conv3d_input}[feedback.ndim]
        return back(shape, feedback, error, layer.stride, layer.padding, layer.dilation, layer.groups)
    with torch.enable_grad():  # other paddings: the derivative of the layer itself, which is linear, at zero
        entered = error.new_zeros(shape).requires_grad_()
        output = layer._conv_forward(entered, feedback, None)
    return torch.autograd.grad(output, entered, error)[0]


def _refuse_other_matrices(net: nn.Module) -> None:
    for name, module in net.named_modules():
        if isinstance(module, (*LAYERS, *_PASSED)) or "parametrizations" in name.split("."):
            continue
        own = any(parameter.ndim > 1 for parameter in module.parameters(recurse=False))
        if own or isinstance(module, _OWN_MATRICES):
            raise UserError(
                f"feedback alignment cannot serve layer {name!r} ({type(module).__name__}).",
                came="weight matrices through which an error would come back exactly",
                expected="a network whose matrices are those of Linear and Conv1d-3d layers",
            )

"""A linear layer that learns from its own spikes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.masks import Masked
from sparsefire.spiking._numbers import choice
from sparsefire.spiking.plasticity._inputs import finite, on_wirings
from sparsefire.spiking.plasticity._touched import Touched, touched
from sparsefire.spiking.plasticity.modulated import ThreeFactor
from sparsefire.spiking.plasticity.rule import TraceRule
from sparsefire.spiking.plasticity.simplex import SimplexSTDP
from sparsefire.spiking.plasticity.synapses import Synapses

PLACES = ("weight", "grad")


class Plastic(nn.Module):
    """A linear layer, masked or not, and the rule by which its weights learn. Forward is the layer's.

    Without a backward pass: :meth:`learn` takes the spikes on both sides of the synapses and changes the weights in
    place. With ``into="grad"`` it leaves −change in the gradient instead, added to what is there, so that any optimiser
    of torch takes the step (one of ``SGD(lr=1)`` is the change itself); call :meth:`bound_` after it.

    Only the weights of neurons that fired are read, changed and bounded where these are few, and with ``normalise``
    the rows that change; a silent call costs nothing but its traces. This holds on the CPU for rules of two factors
    that learn in place; a :class:`~sparsefire.spiking.ThreeFactor`, which turns what past spikes have left into changes
    at any time, goes through all weights. Weights that were set from outside are bounded and normalised with the next
    call, all of them; but torch does not count writes through ``weight.data``: call :meth:`bound_` after these. With
    neither bounds nor ``normalise``, a weight that was set to NaN raises only with a call that reads it.

    Under the constraints of a chip (:func:`~sparsefire.spiking.constrain`) the rule reads, changes, normalises and
    bounds the stored numbers; what devices make of them stays theirs.

    Args:
        layer: ``nn.Linear``; of a masked one (:func:`~sparsefire.sparsify`) only weights that exist learn, and only
            they cost time.
        stdp: a rule: :class:`~sparsefire.spiking.STDP` and its siblings, :class:`~sparsefire.spiking.ThreeFactor`.
        w_min, w_max: bounds that hold after each call; none by default.
        normalise: sum of absolute weights that reach each neuron, held by scaling; above 0, None to let it be.
            Normalised first, then bounded, which may move the sum; the next call that changes a weight of the neuron
            scales anew, then bounds.
        into: ``"weight"`` or ``"grad"``.

    Raises:
        UserError: for another layer, a rule that is none, bounds that cross.

    >>> from sparsefire import spiking
    >>> layer = nn.Linear(30, 10, bias=False); _ = nn.init.constant_(layer.weight, 0.2)
    >>> net = spiking.Sequential(Plastic(layer, spiking.STDP(), w_min=0.0, w_max=1.0), spiking.LIF(10))
    >>> x = torch.zeros(100, 4, 30); x[::3] = 1
    >>> spikes, _ = net(x)
    >>> state = net[0].learn(x, spikes)  # or into="grad", and optimiser.step()
    >>> bool((layer.weight > 0.2).all()), bool(layer.weight.max() <= 1)
    (True, True)
    """

    def __init__(
        self, layer: nn.Module, stdp: Any, *, w_min: float | None = None, w_max: float | None = None,
        normalise: float | None = None, into: str = "weight",
    ) -> None:  # fmt: skip
        super().__init__()
        if not isinstance(layer, nn.Linear):
            raise UserError(
                "spikes teach linear layers.", came=type(layer).__name__, expected="nn.Linear",
                attempt=on_wirings(layer),
            )  # fmt: skip
        if not callable(stdp) or not hasattr(stdp, "run"):
            raise UserError("this is no rule.", came=type(stdp).__name__, expected="STDP(…) or another of its kind")
        self.layer, self.stdp, self.into = layer, stdp, choice("place", into, PLACES)
        self.w_min = -math.inf if w_min is None else finite("w_min", w_min)
        self.w_max = math.inf if w_max is None else finite("w_max", w_max)
        if self.w_min > self.w_max:
            raise UserError("the bounds cross.", came=f"{w_min} and {w_max}", expected="w_min of at most w_max")
        self.normalise = None if normalise is None else finite("normalise", normalise, 0.0, least=False)
        self._known: tuple[Seen | None, Synapses] | None = None
        self._held: tuple[Seen | None, tuple[Any, ...]] | None = None  # when all weights were within which bounds

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None, "_held": None}  # versions are those of these tensors, not of copies

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer makes of x [..., in]."""
        return self.layer(x)

    @torch.no_grad()
    def learn(self, pre: Any, post: Any, reward: Any = None, state: Any = None) -> Any:
        """Change the weights by what the spikes of both sides say.

        Args:
            pre: spikes [time, batch, in] that went into the layer; or Spikes.
            post: spikes [time, batch, out] of the neurons behind it.
            reward: for a rule of three factors, see :class:`~sparsefire.spiking.ThreeFactor`.
            state: what an earlier call returned, to go on in time; None begins anew.

        Returns:
            The state at the end.

        Raises:
            UserError: as of the rule; a reward that the rule has no use for; outside ``torch.inference_mode``, weights
                that were made under it.
        """
        if self.into == "weight":
            self._check_writable()
        options: dict[str, Any] = {"mask": self._synapses()}
        if isinstance(self.stdp, ThreeFactor):
            options["reward"] = reward
        elif reward is not None:
            raise UserError(
                "this rule has no use for a reward.", came=type(self.stdp).__name__, expected="RewardSTDP(…)"
            )
        few = self._touched(pre, post, options["mask"])
        if few is not None:
            change, after = self.stdp.run(pre, post, few, state=state)
            self._write_touched(few, torch.from_numpy(few.weights + change))
            return after
        weight = masks.stored_weight(self.layer)
        change, after = self.stdp.run(pre, post, weight, state=state, **options)
        if self.into == "weight":
            bounded = self._bounded()
            if not bounded or bool(torch.as_tensor(change).any()):
                values = weight + change
                rows = None
                if bounded and self.normalise is not None:
                    rows = (values - weight).abs_().amax(dim=1, keepdim=True) > 0  # faster than != and any
                self._write(values, rows)
            return after
        own: Any = masks.mask_of(self.layer)
        if own is not None and type(own) is not Masked:
            raise UserError(
                "the weight is made of other parameters.", came=type(own).__name__, expected='into="weight"'
            )
        parameter = masks.own_parameter(self.layer)
        parameter.grad = -change if parameter.grad is None else parameter.grad - change
        return after

    @torch.no_grad()
    def bound_(self) -> None:
        """Normalise and bound the weights as they are, all of them."""
        self._check_writable()
        self._write(masks.stored_weight(self.layer).clone())

    def _write(self, weight: Tensor, rows: Tensor | None = None) -> None:
        """Set all weights, of which ``rows`` [out, 1] are normalised, None for all; ``weight`` is changed in place.

        Where a bound holds, a row need not add up, and rests until one of its weights changes, however few spikes came.
        """
        masks.write_weight_(self.layer, self._within(weight, self.normalise, rows))
        self._held = self._now()

    def _within(self, weight: Tensor, normalise: float | None, rows: Tensor | None = None) -> Tensor:
        """Normalise rows, and bound, in place."""
        if normalise is not None:
            total = weight.abs().sum(dim=1, keepdim=True)
            scaled = total > 0 if rows is None else rows & (total > 0)
            weight *= torch.where(scaled, normalise / total, torch.ones_like(total))
        if self.w_min > -math.inf or self.w_max < math.inf:
            weight.clamp_(self.w_min, self.w_max)  # weights that do not exist become zero again where they are written
        return weight

    def _touched(self, pre: Any, post: Any, synapses: Synapses | None) -> Touched | None:
        """Return the weights that spikes touch where they are few and can be changed by themselves, else None."""
        weight = masks.own_parameter(self.layer).detach()
        if (
            self.into != "weight" or not isinstance(self.stdp, TraceRule | SimplexSTDP) or not self._bounded()
            or weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.float64)
            or not all(_plain(part) for part in self._parts())
        ):  # fmt: skip
            return None
        return touched(pre, post, weight.numpy(), synapses)

    def _write_touched(self, few: Touched, values: Tensor) -> None:
        """Set the weights that spikes have touched, and what has to move with them."""
        weight, own = masks.own_parameter(self.layer), masks.mask_of(self.layer)
        moved = values.numpy() != few.weights
        if not moved.any():
            return
        ends = torch.from_numpy(few.receivers), torch.from_numpy(few.senders)
        weight[ends] = values if self.normalise is not None else self._within(values, None)
        if self.normalise is not None:
            rows = torch.from_numpy(np.unique(few.receivers[moved]))
            kept = self._within(weight[rows], self.normalise)
            weight[rows] = kept if own is None else kept * own.kept[rows]
        self._held = self._now()

    def _bounded(self) -> bool:
        """Whether all weights are as the last call left them, or may be anything."""
        if self.normalise is None and self.w_min == -math.inf and self.w_max == math.inf:
            return True
        now = self._now()
        return self._held is not None and now[1] == self._held[1] and _same(now[0], self._held[0])

    def _now(self) -> tuple[Seen | None, tuple[Any, ...]]:
        """Return what tells whether somebody else has written to the weights, or has moved the mask or the bounds."""
        own = masks.mask_of(self.layer)
        others = [tensor for part in self._parts() if not _plain(part) for tensor in part.parameters()]
        tensors = (masks.own_parameter(self.layer), *(() if own is None else (own.mask,)), *others)
        return _see(tensors), (self.w_min, self.w_max, self.normalise)

    def _check_writable(self) -> None:
        if masks.own_parameter(self.layer).is_inference() and not torch.is_inference_mode_enabled():
            raise UserError(
                "torch lets nobody change this weight here.", came="a weight made under torch.inference_mode",
                expected="to learn there too", attempt="copy.deepcopy(…) outside inference_mode",
            )  # fmt: skip

    def _parts(self) -> Any:
        return self.layer.parametrizations["weight"] if parametrize.is_parametrized(self.layer, "weight") else ()  # type: ignore[index]

    def _synapses(self) -> Synapses | None:
        """Return where weights exist, None for everywhere; found anew only when the mask has changed."""
        own = masks.mask_of(self.layer)
        if own is None:
            return None
        now = _see((own.mask,))
        if self._known is None or not _same(now, self._known[0]):
            self._known = (now, Synapses.from_mask(own.mask))
        return self._known[1]

    def extra_repr(self) -> str:
        """Return the rule."""
        return f"stdp={self.stdp!r}"


class Seen(NamedTuple):
    """Tensors at one time.

    Attributes:
        tensors: which.
        memory: theirs, held so that no other tensor comes to lie at their addresses.
        marks: of each its address and how often it was written to.
    """

    tensors: tuple[Tensor, ...]
    memory: tuple[Tensor, ...]
    marks: tuple[tuple[int, int], ...]


def _see(tensors: tuple[Tensor, ...]) -> Seen | None:
    """Return what tells tensors from what becomes of them; None for those of inference mode, which count no writes."""
    if any(one.is_inference() for one in tensors):
        return None
    marks = tuple((one.data_ptr(), one._version) for one in tensors)
    return Seen(tensors, tuple(one.detach() for one in tensors), marks)


def _same(now: Seen | None, then: Seen | None) -> bool:
    """Whether these are the same tensors, and nobody has replaced their memory or written to it since."""
    if now is None or then is None or now.marks != then.marks:
        return False
    return all(one is other for one, other in zip(now.tensors, then.tensors, strict=True))


def _plain(part: Any) -> bool:
    """Whether a parametrisation leaves the stored numbers as they are, where they exist."""
    return type(part) is Masked or getattr(part, "stores", False)

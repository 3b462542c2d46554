"""A linear layer that learns from its own spikes."""

from __future__ import annotations

import math
from typing import Any

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
    call, all of them.

    Under the constraints of a chip (:func:`~sparsefire.spiking.constrain`) the rule reads, changes, normalises and
    bounds the stored numbers; what devices make of them stays theirs.

    Args:
        layer: ``nn.Linear``; of a masked one (:func:`~sparsefire.sparsify`) only weights that exist learn, and only
            they cost time.
        stdp: a rule: :class:`~sparsefire.spiking.STDP` and its siblings, :class:`~sparsefire.spiking.ThreeFactor`.
        w_min, w_max: bounds that hold after each call; none by default.
        normalise: sum of absolute weights that reach each neuron, held by scaling; above 0, None to let it be.
            Normalised first, then bounded, which may move the sum; the next call that changes the row mends it.
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
        self._known: tuple[Any, Synapses] | None = None
        self._held: tuple[Any, ...] | None = None  # the weights, as they were when all were within their bounds

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
            UserError: as of the rule; a reward that the rule has no use for.
        """
        options: dict[str, Any] = {"mask": self._synapses()}
        if isinstance(self.stdp, ThreeFactor):
            options["reward"] = reward
        elif reward is not None:
            raise UserError(
                "this rule has no use for a reward.", came=type(self.stdp).__name__, expected="RewardSTDP(…)"
            )
        few = self._touched(pre, post)
        if few is not None:
            change, after = self.stdp.run(pre, post, few, state=state)
            self._write_touched(few, torch.from_numpy(few.weights + change))
            return after
        weight = masks.stored_weight(self.layer)
        change, after = self.stdp.run(pre, post, weight, state=state, **options)
        if self.into == "weight":
            if not self._bounded() or bool(torch.as_tensor(change).any()):
                self._write(weight + change)
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
        """Normalise and bound the weights as they are."""
        self._write(masks.stored_weight(self.layer).clone())

    def _write(self, weight: Tensor) -> None:
        """Set all weights; ``weight`` is changed in place."""
        masks.write_weight_(self.layer, self._within(weight, self.normalise))
        self._held = self._now()

    def _within(self, weight: Tensor, normalise: float | None) -> Tensor:
        """Normalise rows, and bound, in place."""
        if normalise is not None:
            total = weight.abs().sum(dim=1, keepdim=True)
            weight *= torch.where(total > 0, normalise / total, torch.ones_like(total))
        if self.w_min > -math.inf or self.w_max < math.inf:
            weight.clamp_(self.w_min, self.w_max)  # weights that do not exist become zero again where they are written
        return weight

    def _touched(self, pre: Any, post: Any) -> Touched | None:
        """Return the weights that spikes touch where they are few and can be changed by themselves, else None."""
        weight = masks.own_parameter(self.layer).detach()
        if (
            self.into != "weight" or not isinstance(self.stdp, TraceRule | SimplexSTDP) or not self._bounded()
            or weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.float64)
            or not all(type(part) is Masked or getattr(part, "stores", False) for part in self._parts())
        ):  # fmt: skip
            return None
        return touched(pre, post, weight.numpy(), self._synapses())

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
        free = self.normalise is None and self.w_min == -math.inf and self.w_max == math.inf
        now, held = self._now(), self._held
        return free or (held is not None and now[0] is held[0] and now[1] is held[1] and now[2:] == held[2:])

    def _now(self) -> tuple[Any, ...]:
        """Return what tells whether somebody else has written to the weights, or has moved the mask or the bounds."""
        weight, own = masks.own_parameter(self.layer), masks.mask_of(self.layer)
        moved = None if own is None else own.mask._version
        return weight, own, weight._version, moved, self.w_min, self.w_max, self.normalise

    def _parts(self) -> Any:
        return self.layer.parametrizations["weight"] if parametrize.is_parametrized(self.layer, "weight") else ()  # type: ignore[index]

    def _synapses(self) -> Synapses | None:
        """Return where weights exist, None for everywhere; found anew only when the mask has changed."""
        own = masks.mask_of(self.layer)
        if own is None:
            return None
        now = (own.mask, own.mask._version)
        if self._known is None or self._known[0][0] is not now[0] or self._known[0][1] != now[1]:
            self._known = (now, Synapses.from_mask(own.mask))
        return self._known[1]

    def extra_repr(self) -> str:
        """Return the rule."""
        return f"stdp={self.stdp!r}"

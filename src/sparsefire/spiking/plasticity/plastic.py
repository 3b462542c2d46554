"""A linear layer that learns from its own spikes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.masks import Masked
from sparsefire.spiking._numbers import choice
from sparsefire.spiking.plasticity._inputs import finite
from sparsefire.spiking.plasticity.modulated import ThreeFactor
from sparsefire.spiking.plasticity.synapses import Synapses

PLACES = ("weight", "grad")


class Plastic(nn.Module):
    """A linear layer, masked or not, and the rule by which its weights learn. Forward is the layer's.

    Without a backward pass: :meth:`learn` takes the spikes on both sides of the synapses and changes the weights in
    place. With ``into="grad"`` it leaves −change in the gradient instead, added to what is there, so that any optimiser
    of torch takes the step (one of ``SGD(lr=1)`` is the change itself); call :meth:`bound_` after it.

    Under the constraints of a chip (:func:`~sparsefire.spiking.constrain`) the rule reads, changes, normalises and
    bounds the stored numbers; what devices make of them stays theirs.

    Args:
        layer: ``nn.Linear``; of a masked one (:func:`~sparsefire.sparsify`) only weights that exist learn, and only
            they cost time.
        stdp: a rule: :class:`~sparsefire.spiking.STDP` and its siblings, :class:`~sparsefire.spiking.ThreeFactor`.
        w_min, w_max: bounds that hold after each call; none by default.
        normalise: sum of absolute weights that reach each neuron, held by scaling; above 0, None to let it be.
            Normalised first, then bounded.
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
            raise UserError("spikes teach linear layers.", came=type(layer).__name__, expected="nn.Linear")
        if not callable(stdp) or not hasattr(stdp, "run"):
            raise UserError("this is no rule.", came=type(stdp).__name__, expected="STDP(…) or another of its kind")
        self.layer, self.stdp, self.into = layer, stdp, choice("place", into, PLACES)
        self.w_min = -math.inf if w_min is None else finite("w_min", w_min)
        self.w_max = math.inf if w_max is None else finite("w_max", w_max)
        if self.w_min > self.w_max:
            raise UserError("the bounds cross.", came=f"{w_min} and {w_max}", expected="w_min of at most w_max")
        self.normalise = None if normalise is None else finite("normalise", normalise, 0.0, least=False)
        self._known: tuple[Any, Synapses] | None = None

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
        weight = masks.stored_weight(self.layer)
        change, after = self.stdp.run(pre, post, weight, state=state, **options)
        if self.into == "weight":
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
        """Set the weights; ``weight`` is changed in place."""
        if self.normalise is not None:
            total = weight.abs().sum(dim=1, keepdim=True)
            weight *= torch.where(total > 0, self.normalise / total, torch.ones_like(total))
        if self.w_min > -math.inf or self.w_max < math.inf:
            weight.clamp_(self.w_min, self.w_max)  # weights that do not exist become zero again where they are written
        masks.write_weight_(self.layer, weight)

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

"""Methods that only have a penalty or a threshold, steered so that they reach a density, and cut to it exactly.

The controllers are this package's own: the papers tune a strength until the density fits.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.masks import Masked
from sparsefire.sparsity.parameterisation.penalised import Gated, Penalised
from sparsefire.sparsity.parameterisation.soft import SoftThreshold
from sparsefire.sparsity.parameterisation.straight import StraightThrough
from sparsefire.sparsity.patterns import choose
from sparsefire.sparsity.prune import prune
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.base import Topology
from sparsefire.sparsity.topology.gradual import Gradual

FIRST, LOWEST, HIGHEST = -2.5, math.log(1e-6), 0.0  # log strength, in units of balance
GAIN, RESET, LEAP = 3.0, 0.004, 0.25  # of the controller: proportional, integral, largest move


class Led(Gradual):
    """Start dense, lead a parametrisation along the cubic schedule, cut at the end of it, train on with that mask.

    The share of weights that are alive, by the method's own rule, is led along

        d_t = d_f + (1 - d_f) · (1 - (t - t₀) / (t₁ - t₀))³

    At t₁ gates and thresholds settle, and the mask is cut to the exact top-k of |effective weight|, in the layout of
    the setting.

    Args:
        setting: a network whose layers carry the method's parametrisation, density, layout, optimizer and steps.
        begin, end: t₀ and t₁ as fractions of the steps of the training.
        every: steps between two looks; by default a two-hundredth of ``steps``.
    """

    kind: ClassVar[type[Masked]] = Penalised

    def __init__(self, setting: Setting, begin: float = 0.1, end: float = 0.75, every: int | None = None) -> None:
        super().__init__(setting, begin, end, every if every is not None else max(1, (setting.steps or 1) // 200))
        found = ((name, layer, masks.mask_of(layer)) for name, layer in masks.masked(setting.net).items())
        self.parts: list[tuple[str, Any, Any]] = [(n, part, layer) for n, layer, part in found if self._leads(part)]
        if not self.parts:
            raise UserError(
                f"method {setting.method!r} has nothing to steer.",
                came="layers that carry a plain mask",
                expected=f"a parameterisation of kind {self.kind.__name__}",
            )

    @classmethod
    def _leads(cls, part: Masked | None) -> bool:
        return isinstance(part, cls.kind)

    def alive(self) -> float:
        """Return the share of weights that are alive, over the layers that carry the parametrisation."""
        kept = sum(part.alive(masks.own_parameter(layer)) for _, part, layer in self.parts)
        return kept / sum(part.mask.numel() for _, part, _ in self.parts)

    def steer(self, wanted: float) -> None:
        """Move what leads the parametrisation towards a share of weights."""
        raise NotImplementedError

    def update(self) -> None:
        if self.steps_done < self.last and self.steps_done % self.every == 0:
            self.steer(self.density_at(self.steps_done))
        elif self.steps_done == self.last:
            self.cut()

    def cut(self) -> None:
        """Let gates settle and keep the exact number of weights."""
        for _, part, layer in self.parts:
            part.settle_(masks.own_parameter(layer))
        prune(self.setting, self.setting.density)


class Steered(Led):
    """Steer the strength of a penalty.

    The gradient of strength · penalty is added to the gradients before each step of the optimizer, which equals a term
    in the loss, once per step: gradient accumulation is right, and so is mixed precision, also where a fused optimizer
    divides by the scale of the gradients within its step; clipping by the caller does not see it. With
    e = log(alive / wanted) the log strength moves by

        3 (e − e_before) + 0.004 e,    at most 1/4 at a time,

    from e^−2.5 units, between 10⁻⁶ and 1; at one unit the penalty has the gradient norm that the loss had at the first
    step, and beyond it a network collapses. A count of weights beyond a threshold answers too late to be steered:
    the strength overshoots while they are on their way. So the count is a smooth one: the expected number of open
    gates, or the effective number π/2 · (Σ|θ|)² / Σθ² of normal weights, layer by layer.

    Args:
        setting, begin, end, every: see :class:`Led`.
        keep: whether factors keep the penalty, at its last strength, after the cut. By default it is switched off:
            what stays is no longer shrunk.

    >>> from torch import nn
    >>> from sparsefire.sparsity import sparsify
    >>> from sparsefire.sparsity.parameterisation import Parameterisation
    >>> from sparsefire.sparsity.parameterisation.spred import Spred
    >>> from sparsefire.sparsity.recipes import Recipe
    >>> spred = Parameterisation("spred", Spred, decay="none")
    >>> recipe = Recipe("spred", "spred", "arXiv:2210.01212", topology=Steered, parameterisation=spred)
    >>> net = nn.Linear(10, 10); optimizer = torch.optim.SGD(net.parameters(), 0.1)
    >>> steered = sparsify(net, 0.2, recipe, optimizer=optimizer, steps=4)
    >>> for _ in range(4):
    ...     net(torch.ones(1, 10)).sum().backward(); optimizer.step(); steered.step(); optimizer.zero_grad()
    >>> masks.density(net), steered.strength
    (0.2, 0.0)
    """

    def __init__(self, setting: Setting, keep: bool = False, **options: Any) -> None:
        super().__init__(setting, **options)
        self.keep = keep
        self.unit, self.level, self.error = 0.0, FIRST, 0.0
        optimizer: Any = setting.optimizer
        optimizer.register_step_pre_hook(self._before_step)

    @classmethod
    def _leads(cls, part: Masked | None) -> bool:
        return isinstance(part, Penalised) and not isinstance(part, SoftThreshold)

    @property
    def strength(self) -> float:
        """Return the strength in force."""
        off = self.steps_done >= self.last and not self.keep
        return 0.0 if off else self.unit * math.exp(self.level)

    def penalty(self) -> float:
        """Return strength · penalty as it stands: what the loss reported by the caller lacks."""
        strength = self.strength
        with torch.no_grad():
            return strength * sum(float(part.penalty(masks.own_parameter(layer))) for _, part, layer in self._pulled())

    def steer(self, wanted: float) -> None:
        least = 1 / sum(part.mask.numel() for _, part, _ in self.parts)
        error = math.log(max(self.alive(), least) / wanted)
        move = GAIN * (error - self.error) + RESET * error
        self.level = min(HIGHEST, max(LOWEST, self.level + min(LEAP, max(-LEAP, move))))
        self.error = error

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "unit": self.unit, "level": self.level, "error": self.error}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.unit, self.level, self.error = (float(state[key]) for key in ("unit", "level", "error"))

    def _before_step(self, optimizer: Any, *_: Any) -> None:
        scale = _scale_of(optimizer)
        if not self.unit:
            self.unit = self._balance() / scale
        strength = self.strength * scale
        if strength:
            for _name, part, layer in self._pulled():
                part.pull_(masks.own_parameter(layer), strength)

    def _pulled(self) -> list[tuple[str, Any, Any]]:
        """Return the parts whose penalty is in force: those that have not settled or been baked."""
        return [
            (name, part, layer)
            for name, part, layer in self.parts
            if masks.mask_of(layer) is part and not (isinstance(part, Gated) and part.settled)
        ]

    def _balance(self) -> float:
        """Return the strength at which penalty and loss pull alike, by the norms of their gradients."""
        loss = pull = 0.0
        for _, part, layer in self.parts:
            held = [masks.own_parameter(layer), *part.parameters()]
            before = [None if p.grad is None else p.grad.clone() for p in held]
            loss += sum(float(g.double().square().sum()) for g in before if g is not None)
            for parameter in held:
                parameter.grad = None
            part.pull_(masks.own_parameter(layer), 1.0)
            pull += sum(float(p.grad.double().square().sum()) for p in held if p.grad is not None)
            for parameter, gradient in zip(held, before, strict=True):
                parameter.grad = gradient
        return math.sqrt(loss / pull) if loss > 0 and pull > 0 and math.isfinite(loss) else 0.0


class Selecting(Steered):
    """Steer gates on inputs, and prune weights along the same schedule.

    A density d_t leaves a share √d_t of the inputs and then as much of the weights of the first layer; over all layers
    the smallest |effective weight|, without noise, goes, as in gradual pruning. The paper has no pruning of weights.
    """

    def steer(self, wanted: float) -> None:
        super().steer(math.sqrt(wanted))
        noisy = [part for _, part, _ in self.parts if part.training]
        for part in noisy:
            part.eval()
        prune(self.setting, wanted)
        for part in noisy:
            part.train()


class Raised(Led):
    """Raise the soft thresholds of all layers by one shift, so that the density follows its schedule.

    The shift at which an entry of size |v| becomes zero is logit |v| − s of its layer: the k-th largest of these
    numbers keeps k entries.
    """

    kind = SoftThreshold

    @torch.no_grad()
    def steer(self, wanted: float) -> None:
        critical = torch.cat([part.critical(masks.own_parameter(layer)).flatten() for _, part, layer in self.parts])
        count = round(wanted * critical.numel())
        if count < critical.numel():
            shift = critical.kthvalue(critical.numel() - count)[0].item()  # the largest of those that go
            for _, part, _ in self.parts:
                part.shift.fill_(max(shift, -1e4))


class TopK(Topology):
    """After every step keep the exact k largest of all weights, those out of use included.

    Lin et al. (arXiv:2006.07253) choose anew every 16 steps and lower the density along the cubic schedule; here the
    density is the final one at all times, and ``every`` is 1 by default.

    Args:
        setting: a network whose layers carry
            :class:`~sparsefire.sparsity.parameterisation.straight.StraightThrough`.
        every: steps between two choices.
    """

    needs = frozenset({"optimizer"})
    bounded = False

    def __init__(self, setting: Setting, every: int = 1) -> None:
        super().__init__(setting)
        self.every = every
        self.parts: list[Any] = [masks.mask_of(layer) for layer in masks.masked(setting.net).values()]
        if not all(isinstance(part, StraightThrough) for part in self.parts):
            raise UserError(
                f"method {setting.method!r} ranks weights that are out of use, and plain masks keep none.",
                came="layers without a reserve",
                expected="the parameterisation of top-k",
            )

    @torch.no_grad()
    def update(self) -> None:
        if self.steps_done % self.every == 0:
            scores = [part.reserve.abs() for part in self.parts]
            chosen = choose(scores, self.setting.density, self.setting.layout, self.setting.pattern)
            for part, mask in zip(self.parts, chosen, strict=True):
                part.write_(mask)
            masks.zero_masked_(self.net, self.setting.optimizer)


def _scale_of(optimizer: Any) -> float:
    """Return what the gradients are still multiplied by: GradScaler leaves it to a fused optimizer to divide."""
    scale = getattr(optimizer, "grad_scale", None)
    return 1.0 if scale is None else float(scale)

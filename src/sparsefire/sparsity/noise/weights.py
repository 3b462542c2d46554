"""Weights with noise on them: what is perturbed, when, and by which signs."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.sparsity.parameterisation.penalised import Penalised
from sparsefire.sparsity.parameterisation.product import Product
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.base import Control

ETA, BETA = 0.1, 0.09  # first noise; first balance: m is 0.3 where θ is 0
WIDTH = 0.01  # of the rounding of |θ| at zero, in root mean squares of the layer's first weights
HELD = ("key", "clock", "eta", "width")  # by a checkpoint, of every parametrisation that takes noise


class Shaken(Penalised):
    """A parametrisation perturbed within the forward pass of its layer while training, and nowhere else.

    Weights that are read, scored, exported or evaluated are the mean ones. The signs are a function of the key and the
    number of optimizer steps: micro-batches of one step share them, and checkpointed activations see them again.

    Attributes:
        eta: size of the noise.
        key, clock: which stream of signs, and which step.
        side: 1, or -1 for the mirror image.
        loud: whether the layer is computing its forward pass in training.
    """

    share: ClassVar[float] = 1.0  # of η² in λ

    def quiet_(self, rng: int, eta: float) -> None:
        """Start without noise: :class:`Shaking` lets it in."""
        self.key, self.eta, self.clock, self.side, self.loud = int(rng), eta, 0, 1.0, False

    @property
    def lasso(self) -> float:
        """Return λ, the weight of |θ_j| in the penalty where G_jj = 1."""
        return self.share * self.eta**2

    def signs(self, like: Tensor, count: int = 1) -> Tensor:
        """Return the independent signs of this step, [count, *shape], in {-1, 1}."""
        total = count * like.numel()
        raw = np.frombuffer(randomness.stream(self.key, self.clock).bytes((total + 7) // 8), dtype=np.uint8)
        bits = torch.from_numpy(np.unpackbits(raw, count=total).reshape(count, *like.shape))
        return bits.to(like).mul_(2 * self.side).sub_(self.side)


class NoisyProduct(Shaken, Product):
    """Parametrisation θ = (m + η z) · (w + η z') with independent signs z, z'.

    Args:
        mask: bool, of the weight's shape.
        theta: the weight to start from.
        beta: the balance m² - w² to start with, at least 0; noise lets it decay.
        eta: size of the noise, at least 0, in units of the factors.
        rng: int, the key of the signs.

    >>> layer = nn.Linear(3, 1, bias=False)
    >>> masks.attach_(layer, NoisyProduct(torch.ones(1, 3, dtype=torch.bool), layer.weight, eta=0.5))
    >>> bool(layer(torch.eye(3)).flatten().allclose(layer.weight))  # no Shaking has been set up
    True
    """

    def __init__(self, mask: Tensor, theta: Tensor, beta: float = BETA, eta: float = ETA, rng: int = 0) -> None:
        super().__init__(mask, theta, beta)
        self.quiet_(rng, eta)

    def value(self, weight: Tensor) -> Tensor:
        if not self.loud:
            return self.factor * weight
        first, second = self.signs(weight, 2).mul_(self.eta)
        return (self.factor + first) * (weight + second)

    def slope(self, weight: Tensor) -> Tensor:
        """Return ∂θ/∂w, in training at the noise of the last forward pass."""
        return self.factor + self.eta * self.signs(weight, 2)[0] if self.training else self.factor


class NoisyWeight(Shaken):
    """Parametrisation θ + e · s(θ) · z with a sign z and s(θ)² = √(θ² + δ²) - δ, which is |θ| for |θ| far above δ.

    The penalty is (e² / 2) Σ G_jj s(θ_j)². It comes from the dependence of s on θ through the gradient; at zero, where
    the root of |θ| has none, δ rounds it off. No experience with learning under such noise is published.

    Args:
        mask: bool, of the weight's shape.
        theta: the weight to start from.
        eta: e, at least 0.
        width: δ > 0; by default a hundredth of the root mean square of ``theta``.
        rng: int, the key of the signs.
    """

    share = 0.5

    def __init__(self, mask: Tensor, theta: Tensor, eta: float = ETA, width: float | None = None, rng: int = 0) -> None:
        super().__init__(mask)
        self.width = width if width is not None else WIDTH * _rms(theta) or WIDTH
        self.quiet_(rng, eta)

    def value(self, weight: Tensor) -> Tensor:
        return weight * (1 + self._share(weight)) if self.loud else weight

    def slope(self, weight: Tensor) -> Tensor | float:
        if not self.training:
            return 1.0
        with torch.enable_grad():
            held = weight.detach().requires_grad_()
            return torch.autograd.grad((held * (1 + self._share(held))).sum(), held)[0]

    def _share(self, weight: Tensor) -> Tensor:
        """Return the noise as a share of the weight: s(θ) = |θ| / √(√(θ² + δ²) + δ), without 0 / 0."""
        size = ((weight**2 + self.width**2).sqrt() + self.width).rsqrt()
        return size * self.signs(weight)[0].mul_(self.eta)  # z and z · sign(θ) are alike


class Shaking(Control):
    """Let noise into the forward passes of the layers, and draw other signs after every step of the optimizer."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        for layer in masks.masked(setting.net).values():
            if isinstance(masks.mask_of(layer), Shaken):
                layer.register_forward_pre_hook(_begin)
                layer.register_forward_hook(_end, always_call=True)

    def update(self, step: int) -> None:
        for part in shaken(self.setting.net):
            part.clock = step

    def state_dict(self) -> dict[str, Any]:
        parts = shaken(self.setting.net)
        return {name: [getattr(part, name, None) for part in parts] for name in HELD}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in HELD:
            for part, value in zip(shaken(self.setting.net), state[name], strict=True):
                if value is not None:
                    setattr(part, name, value)


def shaken(net: nn.Module) -> list[Shaken]:
    """Return the parametrisations that take noise, in order.

    >>> shaken(nn.Linear(2, 2))
    []
    """
    found = (masks.mask_of(layer) for layer in masks.masked(net).values())
    return [part for part in found if isinstance(part, Shaken)]


def _begin(layer: nn.Module, *_: Any) -> None:
    part = masks.mask_of(layer)
    if isinstance(part, Shaken):
        part.loud = part.training and part.eta > 0
    else:  # baked: nothing of it stays
        for hooks, hook in ((layer._forward_pre_hooks, _begin), (layer._forward_hooks, _end)):
            for key in [key for key, value in hooks.items() if value is hook]:
                del hooks[key]


def _end(layer: nn.Module, *_: Any) -> None:
    part = masks.mask_of(layer)
    if isinstance(part, Shaken):
        part.loud = False


def _rms(weight: Tensor) -> float:
    return float(weight.detach().double().square().mean().sqrt())

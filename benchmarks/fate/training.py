"""Train several copies of one network at once, one per learning rate, and see whether any of them learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import masks

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
"""Highest learning rates tried; the best counts."""


@dataclass(frozen=True)
class Outcome:
    """What became of the copies.

    Attributes:
        accuracy: on the test rows at the last look, one per rate.
        best: the highest accuracy that any copy had at a look.
        learned: whether ``best`` beats the largest class by five standard errors.
        steps: made.
    """

    accuracy: tuple[float, ...]
    best: float
    learned: bool
    steps: int


def learns(
    net: nn.Sequential,
    data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    *,
    steps: int = 300,
    batch: int = 64,
    look: int = 50,
    rates: tuple[float, ...] = RATES,
    rng: int = 0,
    stop: bool = True,
) -> Outcome:
    """Train copies of a network with Adam, each at its own rate (warm-up, then half a cosine), on the same batches.

    Gradients are clipped at norm 1.

    Args:
        net: ``nn.Sequential`` of ``Linear``, ``ReLU`` and, at will, ``BatchNorm1d`` or ``LayerNorm``; masked or not.
        data: rows and class codes to train on, rows and class codes to look at; float32 and int64.
        steps, batch, look: of the training; accuracy on the test rows is looked at every ``look`` steps.
        stop: stop at the first look at which a copy beats chance.
    """
    x, y, test, truth = (torch.from_numpy(part) for part in data)
    copies = _Copies(net, len(rates))
    chance = float(truth.bincount().max()) / len(truth)
    bar = chance + 5 * (chance * (1 - chance) / len(truth)) ** 0.5
    order = np.random.default_rng(rng)
    values, top = copies.values, torch.tensor(rates).unsqueeze(1)
    mean, square = torch.zeros_like(values), torch.zeros_like(values)
    warm, best, accuracy = max(1, steps // 20), 0.0, torch.zeros(len(rates))
    for step in range(1, steps + 1):
        pick = torch.from_numpy(order.integers(len(x), size=batch))
        loss = nn.functional.cross_entropy(copies(x[pick]).flatten(0, 1), y[pick].repeat(len(rates)), reduction="sum")
        (slope,) = torch.autograd.grad(loss / batch, values)
        rise = step / warm if step <= warm else 0.5 * (1 + np.cos(np.pi * (step - warm) / (steps - warm)))
        with torch.no_grad():
            slope.nan_to_num_(0.0, 0.0, 0.0).div_(slope.norm(dim=1, keepdim=True).clamp_min(1.0))
            mean.lerp_(slope, 0.1)
            square.mul_(0.999).addcmul_(slope, slope, value=0.001)
            size = (square / (1 - 0.999**step)).sqrt_().add_(1e-8)
            values.sub_(mean.div(size).mul_(top * (float(rise) / (1 - 0.9**step))))
        if step % look == 0 or step == steps:
            with torch.no_grad():
                accuracy = (copies(test).argmax(2) == truth).double().mean(1)
            best = max(best, float(accuracy.max()))
            if stop and best > bar:
                break
    return Outcome(tuple(accuracy.tolist()), best, best > bar, step)


class _Copies:
    """R copies of a sequential network whose existing weights stand in one tensor [R, weights]."""

    def __init__(self, net: nn.Sequential, copies: int) -> None:
        self.plan: list[tuple[str, tuple[int, ...]]] = []
        flat: list[Tensor] = []
        kept: list[Tensor] = []
        for module in net:
            if isinstance(module, nn.Linear):
                masked = masks.mask_of(module)
                weight = module.weight.detach()
                exists = torch.ones_like(weight, dtype=torch.bool) if masked is None else masked.mask
                self.plan.append(("linear", tuple(weight.shape)))
                flat += [weight.flatten(), module.bias.detach()]
                kept += [exists.flatten(), torch.ones(len(module.bias), dtype=torch.bool)]
            elif isinstance(module, nn.BatchNorm1d | nn.LayerNorm):
                self.plan.append(
                    ("batch" if isinstance(module, nn.BatchNorm1d) else "layer", tuple(module.weight.shape))
                )
                flat += [module.weight.detach(), module.bias.detach()]
                kept += [torch.ones(module.weight.numel(), dtype=torch.bool)] * 2
            elif isinstance(module, nn.ReLU):
                self.plan.append(("relu", ()))
            elif not isinstance(module, nn.Flatten):
                raise TypeError(f"{type(module).__name__} is not trained here")
        everything = torch.cat(flat)
        self.where = torch.cat(kept).nonzero().squeeze(1)
        self.sizes = [part.numel() for part in flat]
        self.values = everything[self.where].expand(copies, -1).clone().requires_grad_()

    def __call__(self, x: Tensor) -> Tensor:
        copies = len(self.values)
        dense = self.values.new_zeros(copies, sum(self.sizes)).index_copy(1, self.where, self.values)
        parts = iter(dense.split(self.sizes, dim=1))
        h = x.expand(copies, *x.shape)
        for kind, shape in self.plan:
            if kind == "relu":
                h = h.relu()
                continue
            first, second = next(parts), next(parts).unsqueeze(1)
            if kind == "linear":
                h = torch.baddbmm(second, h, first.view(copies, *shape).mT)
            else:
                h = torch.addcmul(second, _normal(h, kind), first.unsqueeze(1))
        return h


def _normal(h: Tensor, kind: str) -> Tensor:
    """Normalise by the rows at hand, also when looking: the test rows are many."""
    if kind == "layer":
        return nn.functional.layer_norm(h, h.shape[-1:])
    return (h - h.mean(1, keepdim=True)) * (h.var(1, unbiased=False, keepdim=True) + 1e-5).rsqrt()

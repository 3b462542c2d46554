"""Receptive fields: a random mask whose units look at inputs that go together."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.errors import UserError
from sparsefire.sparsity.scores import passes
from sparsefire.sparsity.setting import Setting

POWER = 4
"""Of the correlation. Chosen by accuracy on held-out training rows of MNIST among 0, 2, 4, 6 and 8."""
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
LEAST = 1e-12  # chance of an input that never varies, relative to one that does: drawn last


def fields(setting: Setting, key: Any) -> dict[str, Tensor]:
    """Return scores by layer whose highest are a random mask with receptive fields in the first layer.

    In the first linear layer or convolution that the data enter each unit u draws a centre c_u among the inputs, with
    chance ∝ g_i. The weights of the layer are then drawn one after the other without replacement with chance

        P(u, i) ∝ |ρ(c_u, i)|⁴ g_i,    g_i = E|x_i − E x_i| / sd(x_i),

    ρ the correlations of the inputs. g is 1 for two equally frequent values, 0.8 for a normal law and near 0 for an
    input that seldom differs from one value: such inputs are seldom drawn. Units whose centre goes with many inputs
    get many weights, those whose centre goes with none may get none: on MNIST at density 0.1 units of 62 weights on
    average have 7 to 124. Other layers are drawn uniformly. No label and no weight is looked at, so the mask is random
    and fixed before training, like that of ``"static"``. The draw is Gumbel noise on log P, whose largest entries are a
    sample without replacement (Yellott 1977, doi:10.1016/0022-2496(77)90026-8).

    This package's own. Fields of neighbouring pixels are old (LeCun et al. 1989, doi:10.1162/neco.1989.1.4.541); here
    the correlation stands for the neighbourhood, so that tables have fields too.

    Args:
        setting: with data; targets and loss are not looked at.
        key: tells draws apart.

    Raises:
        UserError: no data, inputs that are not finite, no linear layer or convolution that they enter.

    >>> rows = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    >>> data = (rows.repeat_interleave(3, 1), None)  # two groups of three equal inputs
    >>> score = fields(Setting(nn.Linear(6, 2), data=data), 0)[""]
    >>> sorted({tuple(row) for row in (score.topk(3).indices // 3).tolist()} - {(0, 0, 0), (1, 1, 1)})
    []
    """
    entered: dict[str, Tensor] = {}

    def take(name: str, module: nn.Module, x: Tensor) -> None:
        if not entered:
            weight: Any = module.weight
            rows = max(2, passes.CHUNK // (x[0].numel() * weight[0, 0].numel()))
            entered[name] = passes.patches(module, x[:rows])

    passes.watch_inputs(setting, take, LAYERS, all_of_them=False)
    if not entered:
        raise UserError(
            "receptive fields are drawn for the layer that the data enter, and there is none.",
            came="data that pass no layer that is made sparse and is linear or a convolution",
            expected="a network that begins with one",
        )
    scores = {}
    for name, module in masks.maskable(setting.net, setting.layers).items():
        weight: Any = module.weight
        generator = randomness.stream(setting.rng, f"receptive fields {key} {name}")
        noise = generator.gumbel(size=(len(weight), weight[0].numel()))
        if name in entered:
            units = np.array_split(noise, len(entered[name]))  # by group of a convolution
            noise = np.concatenate(
                [
                    one + _log_chances(x.cpu().numpy(), len(one), generator)
                    for one, x in zip(units, entered[name], strict=True)
                ]
            )
        scores[name] = torch.from_numpy(noise.reshape(tuple(weight.shape))).to(weight)
    return scores


def _log_chances(x: np.ndarray, units: int, generator: np.random.Generator) -> np.ndarray:
    """Return log P(u, i) up to a constant, float64 [units, inputs], for rows [examples, inputs]."""
    spread = x.std(0)
    varies = spread > 1e-6 * np.abs(x).max(0)  # the rest is rounding
    z = np.where(varies, x - x.mean(0), 0.0) / np.where(varies, spread, 1.0)
    gain = np.abs(z).mean(0)
    if not gain.any():
        return np.zeros((units, x.shape[1]))
    centres = generator.choice(len(gain), size=units, p=gain / gain.sum())
    correlation = z[:, centres].T @ z / len(z)
    return np.log(np.abs(correlation) ** POWER * gain + LEAST)

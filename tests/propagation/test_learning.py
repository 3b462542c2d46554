from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sparsefire import masks
from sparsefire.propagation import init
from sparsefire.propagation.learning import Signs, chance, signs_of
from sparsefire.propagation.trace import trace

GOOD = Signs(silence=-1.0, chaos=0.0, sameness=-0.5, bottleneck=40, outputs=10)


def _mlp(depth: int, norm: type[nn.Module] | None = None) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(depth):
        parts += [nn.Linear(64, 64), *([norm(64)] if norm else []), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(64, 10))


@given(st.floats(-300, 5), st.floats(-20, 20), st.floats(-12, 0), st.integers(1, 100))
def test_worse_signs_never_raise_the_chance(silence: float, chaos: float, sameness: float, bottleneck: int) -> None:
    found = chance(Signs(silence, chaos, sameness, bottleneck, 2))
    assert 0 < found < 1
    assert chance(Signs(silence - 1, chaos, sameness, bottleneck, 2)) <= found
    assert chance(Signs(silence, chaos + 1, sameness, bottleneck, 2)) <= found
    assert chance(Signs(silence, chaos, sameness - 1, bottleneck, 2)) <= found
    assert chance(Signs(silence, chaos, sameness, bottleneck // 2, 2)) <= found


def test_ends_of_the_scale() -> None:
    assert chance(GOOD) > 0.95
    assert chance(Signs(-math.inf, 0.0, -math.inf, 0, 0)) == 0.0
    assert chance(Signs(-12.0, 0.0, -0.5, 40, 10)) < 0.1
    assert chance(Signs(-1.0, 7.0, -0.5, 40, 10)) < 0.2  # one in five such networks did learn


def test_scale_of_weights_is_silence() -> None:
    net = init.in_degree_(_mlp(10), rng=0)
    before = signs_of(trace(net))
    with torch.no_grad():
        for layer in net:
            if isinstance(layer, nn.Linear):
                layer.weight.mul_(0.1)
    after = signs_of(trace(net))
    assert math.isclose(after.silence, before.silence - 10, abs_tol=1e-6)  # ten other layers
    assert math.isclose(after.chaos, before.chaos, abs_tol=1e-6)
    assert chance(after) < 0.2 < 0.9 < chance(before)


def test_batch_norm_in_depth_is_chaos() -> None:
    shallow, deep = (signs_of(trace(init.in_degree_(_mlp(depth, nn.BatchNorm1d), rng=0))) for depth in (3, 60))
    assert deep.chaos > shallow.chaos + 3


def test_a_cut_network_has_no_chance() -> None:
    net = _mlp(3)
    masks.attach_(net[2], torch.zeros(64, 64, dtype=torch.bool))
    with torch.no_grad():
        net[2].bias.fill_(1.0)
    signs = signs_of(trace(net))
    assert signs.outputs == 0
    assert chance(signs) == 0.0
    assert signs.silence == -math.inf


@pytest.mark.slow
def test_the_order_of_depths_is_foretold() -> None:
    found = [chance(signs_of(trace(init.in_degree_(_mlp(depth, nn.BatchNorm1d), rng=0)))) for depth in (5, 20, 40, 80)]
    assert np.all(np.diff(found) < 0)

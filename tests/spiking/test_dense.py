"""The dense product by a convolution is that of torch, with its gradients, transforms and odd numbers of rows."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from sparsefire.spiking import _dense


@pytest.fixture(autouse=True)
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dense, "_blas_is_slow", lambda: True)
    monkeypatch.setattr(_dense, "_LEAST_WORK", 0)


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 64, 100, 640])
@pytest.mark.parametrize("bias", [False, True])
def test_is_linear(rows: int, bias: bool) -> None:
    torch.manual_seed(0)
    x, weight, shift, by = torch.randn(rows, 30), torch.randn(5, 30), torch.randn(5), torch.randn(rows, 5)
    results = []
    for product in (_dense.dense, functional.linear):
        parts = [part.clone().requires_grad_() for part in (x, weight, shift)][: 3 if bias else 2]
        out = product(*parts, *([] if bias else [None]))
        results.append((out.detach(), *torch.autograd.grad((out * by).sum(), parts)))
    for a, b in zip(*results, strict=True):
        assert a.shape == b.shape
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)


def test_is_a_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    original = functional.conv2d
    monkeypatch.setattr(functional, "conv2d", lambda *a: called.append(1) or original(*a))
    weight = torch.randn(5, 30)
    _dense.dense(torch.randn(8, 30), weight, None)
    assert called == [1]
    for other in (torch.randn(7, 30), torch.randn(30, 8).t()):
        assert torch.allclose(_dense.dense(other, weight, None), functional.linear(other, weight), atol=1e-4)
    _dense.dense(torch.randn(8, 30, dtype=torch.float64), weight.double(), None)
    assert called == [1]


def test_second_derivatives() -> None:
    x, weight = torch.randn(8, 6), torch.randn(3, 6, requires_grad=True)
    (slope,) = torch.autograd.grad(_dense.dense(x, weight, None).pow(3).sum(), weight, create_graph=True)
    (found,) = torch.autograd.grad(slope.square().sum(), weight)
    (slope,) = torch.autograd.grad(functional.linear(x, weight).pow(3).sum(), weight, create_graph=True)
    (expected,) = torch.autograd.grad(slope.square().sum(), weight)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-2)

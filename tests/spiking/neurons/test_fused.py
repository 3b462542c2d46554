"""Compiled code against the loop in torch: spikes, state, gradients; and where the loop must be taken."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.autograd import forward_ad

from sparsefire.spiking import IF, LI, LIF, CubaLIF
from sparsefire.spiking.neurons import _fused, firing
from sparsefire.spiking.neurons.surrogates import SHAPES

CASES = [
    {"reset": reset, "refractory": refractory, "reset_gradient": through, "surrogate": shape}
    for reset, refractory, through, shape in itertools.product(("hard", "soft"), (0.0, 3e-3), (False, True), SHAPES)
]


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes neurons take the loop."""

    def switch() -> None:
        monkeypatch.setattr(firing, "plain", lambda *_: False)
        monkeypatch.setattr(_fused, "plain", lambda *_: False)

    return switch


def run(cell, dtype: torch.dtype, batch: int = 3):
    draw = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(60, batch, *cell.shape, generator=draw, dtype=dtype) + 1).requires_grad_()
    start = cell.initial_state(batch, x)
    first = torch.randn(start[0].shape, generator=draw, dtype=dtype).requires_grad_()
    start = start._replace(**{start._fields[0]: first})
    spikes, end = cell(x, start)
    by = torch.randn(spikes.shape, generator=draw, dtype=dtype)
    loss = (spikes * by).sum() + (end.v**2).sum()
    return (spikes.detach(), *(part.detach() for part in end)), torch.autograd.grad(loss, (x, first))


def same(cell, slowly, dtype: torch.dtype, tolerance: float) -> None:
    called = []
    original = firing.fused
    try:
        firing.fused = lambda *a: called.append(1) or original(*a)
        fast, fast_slopes = run(cell, dtype)
    finally:
        firing.fused = original
    assert called or isinstance(cell, LI)
    slowly()
    slow, slow_slopes = run(cell, dtype)
    for a, b in zip(fast, slow, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(fast_slopes, slow_slopes, strict=True):
        assert b.abs().max() > 0
        assert torch.allclose(a, b, rtol=tolerance, atol=tolerance * float(b.abs().max()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_lif_is_the_loop(case: dict, slowly) -> None:
    same(LIF(7, 10e-3, v_leak=0.1, r=1.3, **case), slowly, torch.float64, 1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "make",
    [
        lambda: LIF(7, 10e-3), lambda: LIF(7, torch.linspace(5e-3, 50e-3, 7), v_threshold=torch.linspace(0.5, 1.5, 7)),
        lambda: LIF((2, 3), torch.linspace(5e-3, 50e-3, 6).view(2, 3), refractory=2e-3, reset="soft"),
        lambda: LIF(1100, 10e-3), lambda: IF(7, r=50.0, v_reset=0.3), lambda: LIF(7, 10e-3, v_reset=-0.7),
        lambda: LIF(7, 10e-3, v_reset=0.3, reset_gradient=True), lambda: CubaLIF(7, 5e-3, 10e-3, w_in=2.0),
        lambda: CubaLIF(7, torch.linspace(2e-3, 9e-3, 7), 10e-3, refractory=2e-3), lambda: LI(7, 10e-3, v_leak=0.5),
    ],
)  # fmt: skip
def test_models_are_the_loop(make, dtype: torch.dtype, slowly) -> None:
    same(make(), slowly, dtype, 1e-5 if dtype == torch.float32 else 1e-10)


def test_states_of_other_neurons(slowly) -> None:
    # Without a refractory period nothing rests, whatever the state says; a raised threshold stays.
    cell, x = LIF(4, 10e-3), torch.full((6, 2, 4), 30.0)
    state = cell.initial_state(2, x)
    resting = state._replace(rest=torch.full((2, 4), 2.0))
    raised = state._replace(raised=torch.full((2, 4), 4.0))
    plain, rested, higher = (cell(x, part)[0] for part in (state, resting, raised))
    assert torch.equal(rested, plain)
    assert higher.sum() < plain.sum()
    slowly()
    assert torch.equal(cell(x, resting)[0], plain)
    assert torch.equal(cell(x, raised)[0], higher)


def test_a_state_takes_the_type_of_the_current() -> None:
    cell, x = LIF(4, 10e-3), torch.full((6, 2, 4), 30.0)
    _, state = cell(x.double())
    spikes, state = cell(x, state)
    assert spikes.dtype == state.v.dtype == torch.float32


def test_the_input_and_the_state_stay_as_they_are() -> None:
    cell, x = LIF(4, 10e-3, refractory=2e-3), torch.full((6, 2, 4), 30.0)
    state = cell(x)[1]
    before = [x.clone(), *(part.clone() for part in state)]
    cell(x, state)
    assert all(torch.equal(a, b) for a, b in zip(before, (x, *state), strict=True))


def test_strides_do_not_matter() -> None:
    x = torch.randn(4, 2, 50).permute(2, 1, 0) * 5
    assert torch.equal(LIF(4)(x)[0], LIF(4)(x.contiguous())[0])
    spikes, _ = LIF(4)(torch.ones(1, 1, 4).expand(50, 2, 4) * 3)
    assert spikes.sum() > 0


@pytest.mark.parametrize("make", [lambda: LIF(3, 10e-3), lambda: CubaLIF(3, 5e-3, 10e-3)])
def test_functional_transforms(make) -> None:
    cell = make()
    x = 3 * torch.randn(20, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def loss(current: torch.Tensor) -> torch.Tensor:
        return (cell(current)[0] * torch.arange(20.0)[:, None, None]).sum()

    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    assert expected.abs().sum() > 0
    assert torch.allclose(torch.func.grad(loss)(x), expected)
    assert torch.allclose(torch.func.jacrev(loss)(x), expected)
    assert torch.allclose(torch.func.jacfwd(loss)(x), expected)
    many = torch.stack([x, 2 * x])
    each = torch.func.vmap(torch.func.grad(loss))(many)
    assert torch.allclose(each[0], expected)
    assert torch.equal(torch.func.vmap(lambda part: cell(part)[0])(many)[1], cell(2 * x)[0])
    with forward_ad.dual_level():
        along = forward_ad.unpack_dual(loss(forward_ad.make_dual(x, torch.ones_like(x)))).tangent
    assert float(along) == pytest.approx(float(expected.sum()))


@pytest.mark.parametrize("make", [lambda: LIF(3, 10e-3, reset="soft", reset_gradient=True), lambda: LI(3, 10e-3)])
def test_gradients_of_gradients(make, slowly) -> None:
    cell = make()
    x = 3 * torch.randn(20, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def second() -> torch.Tensor:
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad((cell(leaf)[0] ** 2).sum(), leaf, create_graph=True)
        return torch.autograd.grad((slope**2).sum(), leaf)[0]

    fast = second()
    slowly()
    slow = second()
    assert slow.abs().sum() > 0
    assert torch.allclose(fast, slow, atol=1e-10)


@pytest.mark.parametrize("through", [False, True])
def test_a_reset_is_to_the_bit(through: bool, slowly) -> None:
    cell = LIF(50, v_reset=0.3, reset_gradient=through)
    x = torch.full((1, 1, 50), 1.0) + 100 * torch.rand(1, 1, 50, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    for _ in range(2):
        spikes, state = cell(x)
        assert torch.equal(state.v[spikes[0] > 0], torch.full_like(state.v, 0.3)[spikes[0] > 0])
        assert 0 < spikes.sum() < 50
        slowly()

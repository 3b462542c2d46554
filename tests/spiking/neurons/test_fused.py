"""Compiled code against the loop in torch: spikes, state, gradients; and where the loop must be taken."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.autograd import forward_ad

from sparsefire.spiking import IF, LI, LIF, Adaptation, CubaLIF, Escape
from sparsefire.spiking.neurons import _escape_kernels, _fused, firing
from sparsefire.spiking.neurons.escape import FORMS
from sparsefire.spiking.neurons.surrogates import SHAPES

CASES = [
    {"reset": reset, "refractory": refractory, "reset_gradient": through, "surrogate": shape}
    for reset, refractory, through, shape in itertools.product(("hard", "soft"), (0.0, 3e-3), (False, True), SHAPES)
]
ADAPTATION = Adaptation(15e-3, 0.3)
LIVELY = [  # the noise or the surrogate, and the adaptation
    *({"escape": Escape(200.0, 0.3, form), "adaptation": part} for form in FORMS for part in (None, ADAPTATION)),
    *({"surrogate": shape, "adaptation": ADAPTATION} for shape in SHAPES),
]


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes neurons take the loop."""

    def switch() -> None:
        monkeypatch.setattr(firing, "plain", lambda *_: False)
        monkeypatch.setattr(_fused, "plain", lambda *_: False)

    return switch


def run(cell, dtype: torch.dtype, batch: int = 3):
    if cell.noisy:
        cell.begun = 5
    draw = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(60, batch, *cell.shape, generator=draw, dtype=dtype) + 1).requires_grad_()
    start = cell.initial_state(batch, x)
    leaves = [x]
    if isinstance(cell, LIF) and cell.adaptation is not None:
        leaves.append(torch.rand(start.raised.shape, generator=draw, dtype=dtype).requires_grad_())
        start = start._replace(raised=leaves[1])
    first = torch.randn(start[0].shape, generator=draw, dtype=dtype).requires_grad_()
    start = start._replace(**{start._fields[0]: first})
    spikes, end = cell(x, start)
    by = torch.randn(spikes.shape, generator=draw, dtype=dtype)
    loss = (spikes * by).sum() + (end.v**2).sum() + (0 if isinstance(cell, LI) else (end.raised**2).sum())
    return (spikes.detach(), *(part.detach() for part in end)), torch.autograd.grad(loss, (*leaves, first))


def same(cell, slowly, dtype: torch.dtype, tolerance: float) -> None:
    called = []
    name = "fused_escape" if isinstance(cell, firing.Firing) and (cell.noisy or cell.adaptation) else "fused"
    original = getattr(firing, name)
    try:
        setattr(firing, name, lambda *a: called.append(1) or original(*a))
        fast, fast_slopes = run(cell, dtype)
    finally:
        setattr(firing, name, original)
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


@pytest.mark.parametrize("case", CASES[:: len(SHAPES)], ids=lambda case: "-".join(map(str, case.values())))
@pytest.mark.parametrize("lively", LIVELY, ids=lambda part: "-".join(map(str, part.values())))
def test_noise_and_adaptation_are_the_loop(case: dict, lively: dict, slowly) -> None:
    same(LIF(7, 10e-3, v_leak=0.1, r=1.3, rng=0, **case | lively), slowly, torch.float64, 1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "make",
    [
        lambda: LIF(7, 10e-3), lambda: LIF(7, torch.linspace(5e-3, 50e-3, 7), v_threshold=torch.linspace(0.5, 1.5, 7)),
        lambda: LIF((2, 3), torch.linspace(5e-3, 50e-3, 6).view(2, 3), refractory=2e-3, reset="soft"),
        lambda: LIF(1100, 10e-3), lambda: IF(7, r=50.0, v_reset=0.3), lambda: LIF(7, 10e-3, v_reset=-0.7),
        lambda: LIF(7, 10e-3, v_reset=0.3, reset_gradient=True), lambda: CubaLIF(7, 5e-3, 10e-3, w_in=2.0),
        lambda: CubaLIF(7, torch.linspace(2e-3, 9e-3, 7), 10e-3, refractory=2e-3), lambda: LI(7, 10e-3, v_leak=0.5),
        lambda: LIF(7, torch.linspace(5e-3, 50e-3, 7), v_threshold=torch.linspace(0.5, 1.5, 7), **LIVELY[1], rng=0),
        lambda: LIF((2, 3), 10e-3, reset="soft", reset_gradient=True, refractory=2e-3, **LIVELY[3], rng=0),
        lambda: LIF(1100, 10e-3, **LIVELY[5], rng=0), lambda: IF(7, r=50.0, **LIVELY[0], rng=0),
        lambda: CubaLIF(7, torch.linspace(2e-3, 9e-3, 7), 10e-3, refractory=2e-3, **LIVELY[1], rng=0),
        lambda: CubaLIF(7, 5e-3, 10e-3, w_in=2.0, **LIVELY[-1]),
    ],
)  # fmt: skip
def test_models_are_the_loop(make, dtype: torch.dtype, slowly) -> None:
    same(make(), slowly, dtype, 1e-5 if dtype == torch.float32 else 1e-10)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_lively_neuron_is_the_loop(data: st.DataObject) -> None:
    number = lambda low, high: data.draw(st.floats(low, high))  # noqa: E731
    sizes = ((1, 6), (1, 4), (1, 40), (0, 4))
    units, batch, steps, refractory = (data.draw(st.integers(low, high)) for low, high in sizes)
    each = torch.linspace(0.8, 1.2, units, dtype=torch.float64) if data.draw(st.booleans()) else 1.0
    noise = Escape(number(1, 2000), number(0.01, 3), data.draw(st.sampled_from(FORMS)))
    cell = LIF(
        units, number(2e-3, 50e-3) * each, number(0.3, 2) * each, number(-1, 0.2), r=number(0.5, 4),
        v_leak=number(-1, 1), reset=data.draw(st.sampled_from(firing.RESETS)), refractory=refractory * 1e-3,
        adaptation=data.draw(st.sampled_from([None, Adaptation(number(2e-3, 0.1), number(0, 1))])),
        escape=data.draw(st.sampled_from([None, noise])), surrogate=data.draw(st.sampled_from(SHAPES)),
        steepness=number(1, 20), reset_gradient=data.draw(st.booleans()), rng=data.draw(st.integers(0, 99)),
    )  # fmt: skip
    draw = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    inputs = [
        (spread * torch.randn(*size, batch, units, generator=draw, dtype=torch.float64) + shift).requires_grad_()
        for spread, size, shift in ((3.0, (steps,), 1.0), (1.0, (), 0.0), (0.3, (), 0.2))
    ]
    rest = torch.randint(0, 3, (batch, units), generator=draw).double()
    by = torch.randn(steps, batch, units, generator=draw, dtype=torch.float64)
    found = []
    for fast in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not fast:
                patch.setattr(firing, "plain", lambda *_: False)
            state = cell.initial_state(batch, inputs[0])._replace(v=inputs[1], raised=inputs[2], rest=rest)
            state = state._replace(drawn=torch.tensor([[7, 3]]).repeat(batch, 1))
            spikes, end = cell(inputs[0], state)
        loss = (spikes * by).sum() + (end.v**2).sum() + (end.raised**2).sum()
        found.append(((spikes.detach(), *(part.detach() for part in end)), torch.autograd.grad(loss, inputs)))
    for a, b in zip(*(parts for parts, _ in found), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(*(slopes for _, slopes in found), strict=True):
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-10 * float(b.abs().max()))


@pytest.mark.parametrize("form", FORMS)
def test_probabilities_are_those_of_the_noise(form: str) -> None:
    rare = torch.tensor([0.0, 1e3, -1e3, 1e300, torch.inf, -torch.inf, torch.nan], dtype=torch.float64)
    x = torch.cat([torch.linspace(-40, 40, 40001, dtype=torch.float64), rare]).requires_grad_()
    noise, dt = Escape(150.0, 0.25, form), 2e-3
    expected = noise.probability(x, dt)
    (slopes,) = torch.autograd.grad(expected[:-4].sum(), x)
    chance, slope = np.empty(len(x)), np.empty(len(x))
    _escape_kernels._chances(x.detach().numpy(), FORMS.index(form), noise.rate * dt, noise.width, chance, slope)
    assert np.allclose(chance, expected.detach(), rtol=0, atol=4e-16, equal_nan=True)
    assert np.allclose(slope[:-4], slopes[:-4], rtol=0, atol=1e-13)


def test_the_exponential_is_exact_to_an_ulp() -> None:
    x = np.random.default_rng(0).uniform(-700, 60, 5000)
    found = np.array([_escape_kernels._exp(part) for part in x])
    assert np.all(np.abs(found - np.exp(x)) <= np.spacing(np.exp(x)))


@pytest.mark.parametrize("form", FORMS)
def test_a_million_draws_are_the_loop_s(form: str, slowly) -> None:
    found = {}
    for fast in (True, False):
        if not fast:
            slowly()
        for dtype in (torch.float64, torch.float32):
            x = 8 * torch.randn(100, 100, 100, generator=torch.Generator().manual_seed(0), dtype=dtype)
            found[fast, dtype], _ = LIF(100, escape=Escape(100.0, 0.3, form), rng=0)(x)
    assert torch.equal(found[True, torch.float64], found[False, torch.float64])
    assert 0.005 < float(found[True, torch.float64].mean()) < 0.3
    # In single precision a number may fall between two probabilities that differ by rounding.
    assert int((found[True, torch.float32] != found[False, torch.float32]).any(0).sum()) <= 3


def test_a_nan_is_that_of_the_loop(slowly) -> None:
    found = []
    x = torch.full((8, 2, 3), 2.0)
    x[3, 1, 2] = torch.nan
    for _ in range(2):
        for case in ({"escape": Escape()}, {"escape": Escape(form="linear"), "refractory": 2e-3}, {}):
            found.append(LIF(3, adaptation=ADAPTATION, rng=0, **case)(x))
            assert bool(found[-1][0][3:, 1, 2].isnan().all())
            assert int(found[-1][0].isnan().sum()) == 5
        slowly()
    for (fast, state), (slow, expected) in zip(found[:3], found[3:], strict=True):
        for a, b in zip((fast, *state), (slow, *expected), strict=True):
            assert torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def test_a_hazard_of_ones_own_is_used() -> None:
    class Always(Escape):
        def probability(self, distance, dt):
            return torch.ones_like(distance)

    assert bool(LIF(3, escape=Always(), rng=0)(torch.zeros(5, 2, 3))[0].all())


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


@pytest.mark.parametrize(
    "make", [lambda: LIF(3, 10e-3), lambda: CubaLIF(3, 5e-3, 10e-3), lambda: LIF(3, 10e-3, adaptation=ADAPTATION)]
)
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


@pytest.mark.parametrize(
    "make",
    [
        lambda: LIF(3, 10e-3, reset="soft", reset_gradient=True), lambda: LI(3, 10e-3),
        *(lambda lively=lively: LIF(3, 10e-3, reset="soft", reset_gradient=True, rng=0, **lively) for lively in LIVELY),
    ],
)  # fmt: skip
def test_gradients_of_gradients(make, slowly) -> None:
    cell = make()
    x = 3 * torch.randn(20, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def second() -> torch.Tensor:
        if cell.noisy:
            cell.begun = 0
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

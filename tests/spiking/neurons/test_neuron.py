"""What all neurons share: shapes, state, types, copies, noise by sequence."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import forward_ad

from sparsefire.errors import UserError
from sparsefire.spiking import (
    IF,
    LI,
    LIF,
    SRM0,
    Adaptation,
    Bernoulli,
    CobaLIF,
    CubaLIF,
    Escape,
    Neuron,
    Poisson,
    Recurrent,
)

NOISE = Escape(rate=50.0, width=0.3)
MAKE = {
    "LIF": lambda units: LIF(units, 10e-3, refractory=2e-3),
    "LIF soft": lambda units: LIF(units, 10e-3, reset="soft"),
    "LIF adaptive": lambda units: LIF(units, 10e-3, adaptation=Adaptation(50e-3, 0.2)),
    "LIF noisy": lambda units: LIF(units, 10e-3, refractory=2e-3, escape=NOISE, rng=3),
    "CubaLIF": lambda units: CubaLIF(units, 5e-3, 10e-3),
    "CubaLIF noisy": lambda units: CubaLIF(units, 5e-3, 10e-3, escape=NOISE, rng=3),
    "CobaLIF": lambda units: CobaLIF(units, 10e-3),
    "IF": lambda units: IF(units, r=50.0),
    "LI": lambda units: LI(units, 10e-3),
    "SRM0": lambda units: SRM0(units, 10e-3, refractory=2e-3, rng=3),
    "Bernoulli": lambda units: Bernoulli(units, rng=3),
    "Poisson": lambda units: Poisson(units, rng=3),
}  # fmt: skip
every = pytest.mark.parametrize("name", MAKE)


def current(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return currents that let neurons fire now and then."""
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(5), dtype=dtype) + 1


@every
@given(cuts=st.lists(st.integers(0, 30), max_size=4))
@settings(max_examples=10, deadline=None)
def test_time_in_pieces_is_the_same(name: str, cuts: list[int]) -> None:
    x = current(30, 3, 4)
    whole, end = MAKE[name](4)(x)
    cell, state, found = MAKE[name](4), None, []
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), 30], strict=True):
        part, state = cell(x[low:high], state)
        found.append(part)
    assert torch.equal(torch.cat(found), whole)
    assert all(torch.equal(a, b) for a, b in zip(state, end, strict=True))


@every
def test_a_batch_in_pieces_is_the_same(name: str) -> None:
    x = current(20, 5, 4)
    whole, _ = MAKE[name](4)(x)
    cell = MAKE[name](4)
    assert torch.equal(torch.cat([cell(x[:, :2])[0], cell(x[:, 2:])[0]], dim=1), whole)


@every
def test_a_layer_that_is_not_flat(name: str) -> None:
    x = current(20, 2, 12)
    flat, _ = MAKE[name](12)(x)
    spikes, state = MAKE[name]((3, 2, 2))(x.view(20, 2, 3, 2, 2))
    assert torch.equal(spikes.flatten(2), flat)
    assert all(part.shape in {(2, 3, 2, 2), (2, 2)} for part in state)


@every
def test_values_types_and_gradients(name: str) -> None:
    for dtype in (torch.float32, torch.float64):
        x = current(40, 8, 4, dtype=dtype).requires_grad_()
        spikes, state = MAKE[name](4)(x)
        assert spikes.dtype == dtype
        assert all(part.dtype in {dtype, torch.int64} for part in state)
        if name != "LI":
            assert set(spikes.unique().tolist()) == {0.0, 1.0}
        spikes.sum().backward()
        assert torch.isfinite(x.grad).all()
        assert x.grad.abs().sum() > 0


@every
def test_half_precision_and_conversion(name: str) -> None:
    cell = MAKE[name](4).to(torch.float32)
    assert all(not part.is_floating_point() or part.dtype == torch.float32 for part in cell.buffers())
    spikes, _ = cell(current(10, 2, 4).to(torch.bfloat16))
    assert spikes.dtype == torch.bfloat16


@every
def test_copies_fire_alike(name: str) -> None:
    cell, x = MAKE[name](4), current(20, 3, 4)
    cell(x)  # noise has begun
    twins = [copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))]
    expected, _ = cell(x)
    assert all(torch.equal(twin(x)[0], expected) for twin in twins)


@every
def test_no_steps_and_no_batch(name: str) -> None:
    spikes, state = MAKE[name](4)(torch.zeros(0, 3, 4))
    assert spikes.shape == (0, 3, 4)
    assert state[0].shape[0] == 3
    spikes, _ = MAKE[name](4)(torch.zeros(5, 0, 4))
    assert spikes.shape == (5, 0, 4)


@every
def test_bad_currents_and_states(name: str) -> None:
    cell = MAKE[name](4)
    _, state = cell(current(5, 2, 4))
    for bad in (torch.zeros(5, 2, 3), torch.zeros(5, 4), torch.zeros(5, 2, 4, dtype=torch.int64), [[[0.0] * 4]]):
        with pytest.raises(UserError):
            cell(bad)
    with pytest.raises(UserError, match="another batch"):
        cell(current(5, 3, 4), state)
    with pytest.raises(UserError, match="no state"):
        cell(current(5, 2, 4), torch.zeros(2, 4))


def test_parameters_are_in_the_state_dict() -> None:
    one = CubaLIF(2, tau_syn=[3e-3, 4e-3], tau_mem=[20e-3, 30e-3], v_threshold=[1.0, 2.0], w_in=[1.0, 3.0])
    other = CubaLIF(2, tau_syn=[1.0, 1.0], tau_mem=[1.0, 1.0], v_threshold=[9.0, 9.0], w_in=[0.0, 0.0])
    other.load_state_dict(one.state_dict())
    x = current(50, 2, 2)
    assert torch.equal(one(x)[0], other(x)[0])  # what is left after a step follows the time constants that were read
    assert float(one.tau_mem[0]) == 20e-3  # in double precision


def test_parameters_can_be_learned() -> None:
    tau = nn.Parameter(torch.tensor([10e-3, 20e-3]))
    cell = LIF(2, tau=tau, v_threshold=nn.Parameter(torch.tensor(1.0)))
    assert {name for name, _ in cell.named_parameters()} == {"tau", "v_threshold"}
    spikes, _ = cell(current(50, 4, 2))
    spikes.sum().backward()
    assert all(part.grad is not None and part.grad.abs().sum() > 0 for part in cell.parameters())
    readout = LI(2, tau=nn.Parameter(torch.tensor(10e-3, dtype=torch.float64)))
    x = torch.ones(5, 1, 2, dtype=torch.float64)
    readout(x)[0][-1].sum().backward()
    # d/dτ of 2 (1 − exp(−t/τ))
    assert float(readout.tau.grad) == pytest.approx(-2 * torch.tensor(-0.5).exp().item() * 5e-3 / 10e-3**2, rel=1e-6)


def test_noise_is_of_the_sequence() -> None:
    x = torch.full((50, 4, 4), 0.9)
    cell = LIF(4, escape=NOISE, rng=7)
    first, state = cell(x)
    again, _ = cell(x)
    assert not torch.equal(first, again)  # new sequences draw anew
    assert not torch.equal(first[:, 0], first[:, 1])
    assert torch.equal(LIF(4, escape=NOISE, rng=7)(x)[0], first)
    assert not torch.equal(LIF(4, escape=NOISE, rng=8)(x)[0], first)
    without, _ = cell(x, tuple(state)[:-1])  # a state without its noise draws anew too
    assert without.shape == x.shape


def test_noise_off_is_the_deterministic_neuron() -> None:
    x = current(50, 3, 4)
    still = LIF(4, 10e-3, escape=NOISE, stochastic=False)
    assert torch.equal(still(x)[0], LIF(4, 10e-3)(x)[0])
    still.stochastic = True
    assert not torch.equal(still(x)[0], LIF(4, 10e-3)(x)[0])


def test_the_count_of_sequences_is_kept_and_can_be_set() -> None:
    x = torch.full((50, 4, 4), 0.9)
    one, other = (LIF(4, escape=NOISE, rng=7) for _ in range(2))
    one(x)
    assert one.begun == 4
    other.load_state_dict(one.state_dict())
    assert torch.equal(other(x)[0], one(x)[0])
    one.begun = other.begun = 2
    assert torch.equal(other(x)[0], one(x)[0])
    plain = LIF(4)
    plain.load_state_dict(one.state_dict())
    assert "begun" not in plain.state_dict()
    one.load_state_dict(plain.state_dict())  # says nothing of noise
    assert one.begun == 6
    net = nn.Sequential(nn.Linear(4, 4), one)
    assert int(net.state_dict()["1.begun"]) == 6
    for cell, number in ((plain, 3), (one, -1), (one, 0.5)):
        with pytest.raises(UserError):
            cell.begun = number


@pytest.mark.parametrize("name", ["LIF", "LI", "CubaLIF", "CobaLIF", "SRM0"])
@pytest.mark.parametrize("tau", [-1e-3, 0.5e-3, float("nan")])
def test_a_learned_time_constant_stays_above_a_step(name: str, tau: float) -> None:
    made = {"LIF": LIF, "LI": LI, "CubaLIF": CubaLIF, "CobaLIF": CobaLIF, "SRM0": SRM0}[name]
    which = {"CubaLIF": "tau_syn", "CobaLIF": "tau_e", "SRM0": "tau_after"}.get(name, "tau")
    cell = made(2, **{which: nn.Parameter(torch.tensor(5e-3))})
    cell(current(5, 1, 2))
    with torch.no_grad():
        getattr(cell, which).fill_(tau)
    with pytest.raises(UserError, match="longer than a time constant"):
        cell(current(5, 1, 2))


@pytest.mark.parametrize("units", [None, "ab", 0, (), (2, 0), 1.5, torch.tensor(3)])
def test_units_are_numbers(units: object) -> None:
    with pytest.raises(UserError, match="units is a number"):
        LIF(units)


def test_a_step_is_not_longer_than_the_adaptation() -> None:
    with pytest.raises(UserError, match="longer than a time constant"):
        LIF(2, adaptation=Adaptation(tau=1e-6, step=0.1))


@pytest.mark.parametrize("kind", [LIF, CubaLIF, CobaLIF, IF, SRM0])
def test_whether_a_neuron_fires_on_a_current_that_is_no_number_is_unknown(kind: type) -> None:
    cell = kind(3, stochastic=False)
    current = torch.full((20, 2, 3), 5.0)
    current[4, 0, 1] = torch.nan
    spikes, state = cell(current)
    assert spikes[4:, 0, 1].isnan().all()
    assert spikes.isnan().sum() == 16  # the rest is known
    again, _ = cell(torch.ones(20, 2, 3), state)
    assert again[:, 0, 1].isnan().all()
    first, state = cell(current[:10])
    second, _ = cell(current[10:], state)
    torch.testing.assert_close(torch.cat([first, second]), spikes, equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("kind", [Bernoulli, Poisson])
def test_chances_that_are_no_number_are_unknown(kind: type) -> None:
    current = torch.zeros(5, 2, 3)
    current[1, 0, 2] = torch.nan
    spikes, _ = kind(3, rng=0)(current)
    assert spikes.isnan().nonzero().tolist() == [[1, 0, 2]]


def test_a_recurrent_layer_passes_what_is_unknown_on() -> None:
    weights = nn.Linear(3, 3, bias=False)
    nn.init.ones_(weights.weight)
    current = torch.ones(10, 1, 3)
    current[4, 0, 1] = torch.nan
    spikes, _ = Recurrent(LIF(3), weights)(current)
    assert spikes[:4].isfinite().all()
    assert spikes[4, 0].isnan().tolist() == [False, True, False]
    assert spikes[5:].isnan().all()


def test_neurons_without_numbers_are_asked_nothing() -> None:
    spikes, _ = LIF(2)(torch.ones(3, 1, 2, device="meta"))
    assert spikes.shape == (3, 1, 2)


def test_noise_cannot_have_begun_less_than_never() -> None:
    cell = Bernoulli(3, rng=0)
    with pytest.raises(UserError, match="counted"):
        cell.load_state_dict({**cell.state_dict(), "begun": torch.tensor(-5)})


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_a_trace_gives_the_same_spikes() -> None:
    cell, x = LIF(4, r=5.0).requires_grad_(False), 2 * torch.rand(12, 2, 4, generator=torch.Generator().manual_seed(0))
    traced = torch.jit.trace(cell, (x,), check_trace=False, strict=False)
    assert torch.equal(traced(x)[0], cell(x)[0])


@pytest.mark.parametrize(
    ("name", "value"), [("tau", -1.0), ("tau", 1e-4), ("tau", float("nan")), ("v_threshold", float("nan"))]
)
def test_a_state_dict_is_checked_as_arguments_are(name: str, value: float) -> None:
    cell = LIF(5)
    state = cell.state_dict()
    state[name] = torch.tensor(value, dtype=torch.float64)
    fresh = LIF(5)
    with pytest.raises(UserError, match=name):
        fresh.load_state_dict(state)
    assert torch.equal(fresh.tau, cell.tau)


def differentiable() -> dict[str, Callable[[], nn.Module]]:
    """Return layers of four units that fire now and then, in double precision."""
    noisy = {"escape": NOISE, "rng": 3}
    soft = {"reset": "soft", "reset_gradient": True, "refractory": 2e-3, "adaptation": Adaptation(50e-3, 0.2)}
    more = {
        "LIF soft noisy": lambda: LIF(4, 10e-3, **soft, **noisy),
        "LIF reset gradient": lambda: LIF(4, 10e-3, reset_gradient=True),
        "IF noisy": lambda: IF(4, r=50.0, **noisy),
        "CobaLIF noisy": lambda: CobaLIF(4, 10e-3, **noisy),
        "SRM0 deterministic": lambda: SRM0(4, 10e-3, stochastic=False),
        "Bernoulli deterministic": lambda: Bernoulli(4, stochastic=False),
        "Poisson linear": lambda: Poisson(4, 0.1, link="linear", rng=3),
        "Recurrent": lambda: Recurrent(LIF(4, 10e-3)),
        "Recurrent noisy": lambda: Recurrent(SRM0(4, 10e-3, rng=3)),
    }
    return {name: lambda make=make: make(4) for name, make in MAKE.items()} | more


@pytest.mark.parametrize("name", differentiable())
def test_forward_differentiation_and_vmap_are_what_backward_and_one_by_one_are(name: str) -> None:
    torch.manual_seed(0)
    cell = differentiable()[name]().double()
    x, along, by = (current(12, 3, 4, dtype=torch.float64), *torch.randn(2, 12, 3, 4, dtype=torch.float64))
    drawing = [part for part in cell.modules() if isinstance(part, Neuron) and part.noise is not None]

    def ask(x: torch.Tensor) -> torch.Tensor:
        for part in drawing:
            part.begun = 0
        return cell(x)[0]

    spikes, slopes = torch.func.jvp(ask, (x,), (along,))
    assert torch.equal(spikes, ask(x))
    forward = float((slopes * by).sum().detach())
    assert abs(forward) > 1e-3
    (backward,) = torch.autograd.grad((ask(x.requires_grad_()) * by).sum(), x)
    assert forward == pytest.approx(float((backward * along).sum().detach()), rel=1e-9)
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(ask(forward_ad.make_dual(x.detach(), along))).tangent
    assert torch.allclose(dual, slopes)

    x = x.detach()
    together = torch.func.vmap(ask)(torch.stack([x, x + along]))  # all with one noise
    assert torch.equal(together, torch.stack([ask(x), ask(x + along)]))
    many = torch.func.vmap(lambda along: torch.func.jvp(ask, (x,), (along,))[1])(torch.stack([along, by]))
    assert torch.allclose(many[0], slopes)
    inside = torch.func.grad(lambda x: (torch.func.vmap(ask)(x[None]) * by).sum())(x)
    assert torch.allclose(inside, backward)

"""Oracles: the wrapped optimizer itself, stepped by hand in the same way."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.steps import HAM, SAM, needs_closure

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
}


def network() -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net


def train(net: nn.Module, optimizer: torch.optim.Optimizer, numbers: range, scheduler: object = None) -> None:
    for number in numbers:
        generator = torch.Generator().manual_seed(number)
        x, y = torch.randn(8, 4, generator=generator), torch.randn(8, 2, generator=generator)

        def closure(x: torch.Tensor = x, y: torch.Tensor = y) -> torch.Tensor:
            loss = (net(x) - y).square().mean()
            loss.backward()
            return loss

        optimizer.zero_grad()
        closure()
        optimizer.step(closure) if needs_closure(optimizer) else optimizer.step()
        if scheduler is not None:
            scheduler.step()


def same(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("wrap", [lambda o: HAM(o, alpha=0, beta=0), lambda o: SAM(o, rho=0)], ids=["ham", "sam"])
def test_a_wrapper_that_does_nothing_is_the_optimizer(name: str, wrap: object) -> None:
    one, two = network(), network()
    plain, wrapped = OPTIMIZERS[name](one.parameters()), wrap(OPTIMIZERS[name](two.parameters()))
    schedules = [torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=12) for o in (plain, wrapped)]
    train(one, plain, range(10), schedules[0])
    train(two, wrapped, range(10), schedules[1])
    assert same(one, two)
    assert plain.param_groups[0]["lr"] == wrapped.param_groups[0]["lr"] != 0.1


@pytest.mark.parametrize("wrap", [HAM, SAM])
def test_what_belongs_to_the_optimizer_stays_there(wrap: type) -> None:
    net = network()
    plain = torch.optim.AdamW(net[0].parameters(), lr=0.01)
    wrapped = wrap(plain)
    assert isinstance(wrapped, torch.optim.Optimizer)
    wrapped.add_param_group({"params": list(net[2].parameters()), "lr": 0.5})
    assert plain.param_groups[1]["lr"] == 0.5
    assert wrapped.param_groups is plain.param_groups
    assert wrapped.defaults is plain.defaults
    train(net, wrapped, range(2))
    assert set(plain.state) == set(net.parameters())
    assert wrapped.state is plain.state
    wrapped.zero_grad()
    assert all(parameter.grad is None for parameter in net.parameters())
    assert "AdamW" in repr(wrapped)
    wrapped.defaults, wrapped.state, wrapped.param_groups = {"lr": 1.0}, {}, []
    assert (plain.defaults, plain.state, plain.param_groups) == ({"lr": 1.0}, {}, [])


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("wrap", [HAM, SAM])
def test_training_goes_on_from_a_checkpoint_bit_for_bit(name: str, wrap: type, tmp_path: object) -> None:
    one = network()
    optimizer = wrap(OPTIMIZERS[name](one.parameters()))
    train(one, optimizer, range(5))
    torch.save({"net": one.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "c.pt")
    train(one, optimizer, range(5, 10))
    held = torch.load(tmp_path / "c.pt", weights_only=True)
    two = network()
    two.load_state_dict(held["net"])
    resumed = wrap(OPTIMIZERS[name](two.parameters()))
    resumed.load_state_dict(held["optimizer"])
    train(two, resumed, range(5, 10))
    assert same(one, two)


@pytest.mark.parametrize("wrap", [lambda o, n: HAM(o, alpha=5.0), lambda o, n: SAM(o, 0.2, n)], ids=["ham", "sam"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_copies_go_their_own_way_and_the_same_way(wrap: object, copied: object) -> None:
    net = network()
    optimizer = wrap(torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), net)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)  # patches optimizer.step
    train(net, optimizer, range(5), scheduler)
    other_net, other = copied((net, optimizer))
    assert type(other) is type(optimizer)
    train(net, optimizer, range(5, 9))
    assert not same(net, other_net)
    train(other_net, other, range(5, 9))
    assert same(net, other_net)


@pytest.mark.parametrize("wrap", [HAM, SAM])
def test_hooks_run_once_a_step_and_masked_weights_stay_zero(wrap: type) -> None:
    net = network()
    optimizer = wrap(torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1))
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    topology = sparsify(net, 0.3, "set", optimizer=optimizer, steps=20, rng=0)
    topology.every = 4
    for number in range(20):
        train(net, optimizer, range(number, number + 1))
        topology.step()
        for layer in masks.layers(net).values():
            mask, original = masks.mask_of(layer).mask, layer.parametrizations.weight.original
            assert not original[~mask].any()
            assert not optimizer.state[original]["momentum_buffer"][~mask].any()
    assert seen == ["before", "after"] * 20
    assert masks.density(net) == pytest.approx(0.3, abs=0.5 / 36)


@pytest.mark.parametrize("wrap", [HAM, SAM])
def test_hooks_of_checkpoints(wrap: type) -> None:
    optimizer = wrap(torch.optim.SGD(network().parameters(), lr=0.1))
    seen: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda *_: seen.append("a"))
    optimizer.register_state_dict_post_hook(lambda *_: seen.append("b"))
    optimizer.register_load_state_dict_pre_hook(lambda *_: seen.append("c"))
    optimizer.register_load_state_dict_post_hook(lambda *_: seen.append("d"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["a", "b", "c", "d"]


@pytest.mark.parametrize("fused", [False, True])
def test_a_gradient_scaler_skips_the_whole_step(fused: bool) -> None:
    net = network()
    optimizer = HAM(torch.optim.AdamW(net.parameters(), lr=0.1, fused=fused), beta=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    before = copy.deepcopy(net)
    scaler.scale(net(torch.ones(1, 4)).mul(1e30).square().sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert same(net, before)
    optimizer.zero_grad()
    scaler.scale(net(torch.ones(1, 4)).square().sum()).backward()
    scaler.step(optimizer)
    plain = HAM(torch.optim.AdamW(before.parameters(), lr=0.1, fused=fused), beta=1.0)
    before(torch.ones(1, 4)).square().sum().backward()
    plain.step()
    for one, two in zip(net.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_wrappers_wrap_each_other() -> None:
    nets = network(), network()
    first = HAM(SAM(torch.optim.SGD(nets[0].parameters(), lr=0.1)), alpha=3.0)
    second = SAM(HAM(torch.optim.SGD(nets[1].parameters(), lr=0.1), alpha=3.0))
    assert needs_closure(first)
    assert needs_closure(second)
    assert not needs_closure(second.optimizer)
    for net, optimizer in zip(nets, (first, second), strict=True):
        train(net, optimizer, range(6))
    assert same(*nets)


@pytest.mark.parametrize("wrap", [HAM, SAM])
def test_something_else_to_wrap(wrap: type) -> None:
    with pytest.raises(UserError, match=r"torch\.optim\.SGD"):
        wrap(network().parameters())

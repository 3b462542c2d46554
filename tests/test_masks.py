"""Oracles: the masks contract (exact zeros, plain torch twins that never saw a mask), and hand-written matrices."""

from __future__ import annotations

import copy
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import METHODS, Topology, recipe, sparsify
from sparsefire.sparsity.steps.sam import SAM
from sparsefire.sparsity.steps.wrapper import needs_closure

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, foreach=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "adamw fused": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, fused=True),
    "sgd fused": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=0.1, fused=True),
}


def plain(rng: int = 0) -> nn.Sequential:
    """A network with every kind of layer that has weights, and some that stay dense."""
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 12), nn.ReLU(),
        nn.Linear(12, 3),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(rng)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return net


def batch(number: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1000 + number)
    return torch.randn(8, 1, 4, 4, generator=generator), torch.randint(0, 3, (8,), generator=generator)


def made(method: str, kind: str = "adamw", density: float = 0.3, steps: int = 40, net: Any = None) -> tuple:
    net = plain() if net is None else net
    optimizer = OPTIMIZERS[kind](net.parameters())
    if "closure" in recipe(method).needs:
        optimizer = SAM(optimizer)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    topology = sparsify(
        net, density, method, optimizer=optimizer, scheduler=scheduler, steps=steps, data=batch(900),
        loss=nn.functional.cross_entropy, rng=0,
    )  # fmt: skip
    return net, optimizer, scheduler, topology


def train(net: nn.Module, optimizer: torch.optim.Optimizer, topology: Topology, numbers: range) -> Iterator[int]:
    for number in numbers:
        x, y = batch(number)

        def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            return loss

        closure()
        optimizer.step(closure) if needs_closure(optimizer) else optimizer.step()
        yield number
        topology.step()
        optimizer.zero_grad()


def own_parameters(net: nn.Module) -> list[nn.Parameter]:
    """Return what parametrisations have added."""
    return [p for layer in masks.masked(net).values() for p in masks.mask_of(layer).parameters()]


def nonzero_outside(net: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Count entries outside the masks that are not exactly zero, in weights and in all per-weight state."""
    count = 0
    for parameter, mask in masks.active(net).items():
        if mask is not None:
            state = optimizer.state.get(parameter, {}).values()
            held = [parameter, *(v for v in state if isinstance(v, Tensor) and v.shape == parameter.shape)]
            count += sum(int((value[~mask] != 0).sum()) for value in held)
    return count


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("method", METHODS)
def test_weights_and_moments_outside_the_mask_are_zero_after_every_step(method: str, kind: str) -> None:
    net, optimizer, _, topology = made(method, kind)
    for _ in train(net, optimizer, topology, range(40)):
        assert nonzero_outside(net, optimizer) == 0
    assert nonzero_outside(net, optimizer) == 0  # and after the last move of the masks
    assert any(mask is not None and not mask.all() for mask in masks.active(net).values())
    total = 36 + 64 * 12 + 36
    count = sum(int(mask.sum()) for mask in masks.masks(net).values())
    slack = 0 if topology.setting.pattern == "unstructured" else 1  # half of the three units of the smallest layer
    assert abs(count - round(0.3 * total)) <= slack


def test_the_hook_is_what_keeps_them_zero() -> None:
    """A dense gradient without the hook does move absent weights, so the test above can fail."""
    net = plain()
    sparsify(net, 0.3, rng=0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    masks.mask_of(net[4]).dense_gradient = True
    x, y = batch(0)
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
    assert nonzero_outside(net, optimizer) > 0
    masks.zero_masked_(net, optimizer)
    assert nonzero_outside(net, optimizer) == 0


def test_moments_from_before_the_masks_do_not_survive() -> None:
    net = plain()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    x, y = batch(0)
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
    topology = sparsify(net, 0.3, optimizer=optimizer, rng=0)
    for _ in train(net, optimizer, topology, range(3)):
        assert nonzero_outside(net, optimizer) == 0


def test_grown_weights_start_at_zero_with_zero_moments() -> None:
    net, optimizer, _, topology = made("rigl", "adam", steps=40)
    topology.every, grown = 4, 0
    topology._ask_for_gradient()
    for number in range(20):
        before = {name: mask.clone() for name, mask in masks.masks(net).items()}
        list(train(net, optimizer, topology, range(number, number + 1)))
        for name, mask in masks.masks(net).items():
            new = mask & ~before[name]
            parameter = masks.layers(net)[name].parametrizations["weight"].original
            grown += int(new.sum())
            assert not parameter[new].any()
            assert not optimizer.state[parameter]["exp_avg"][new].any()
            assert not optimizer.state[parameter]["exp_avg_sq"][new].any()
    assert grown > 0


@pytest.mark.parametrize("method", METHODS)
def test_the_optimizer_keeps_the_very_same_parameters(method: str) -> None:
    net = plain()
    before = list(net.parameters())
    _, optimizer, _, topology = made(method, "adam", 0.5, steps=30, net=net)
    list(train(net, optimizer, topology, range(30)))
    held = [p for group in optimizer.param_groups for p in group["params"]]
    now = list(net.parameters())
    assert all(any(a is b for b in now) for a in before)
    assert all(any(a is b for b in held) for a in now)
    assert len(now) == len(held) == len(before) + len(own_parameters(net))
    assert (method == "sign-in") <= (len(own_parameters(net)) == 3)
    masks.bake(net)
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))


def test_a_masked_layer_computes_with_mask_times_weight_and_so_does_its_gradient() -> None:
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
        layer.bias.zero_()
    mask = torch.tensor([[True, False, True], [False, True, False]])
    masks.attach_(layer, mask)
    out = layer(torch.tensor([[1.0, 10.0, 100.0]]))
    assert out.tolist() == [[301.0, 50.0]]
    out.sum().backward()
    assert layer.parametrizations.weight.original.grad.tolist() == [[1.0, 0.0, 100.0], [0.0, 10.0, 0.0]]


# --- states -----------------------------------------------------------------------------------------------------------


def test_a_dense_checkpoint_loads_strictly_and_keeps_the_mask() -> None:
    dense, net = plain(1), plain(2)
    sparsify(net, 0.3, rng=0)
    before = {name: mask.clone() for name, mask in masks.masks(net).items()}
    state = dense.state_dict()
    kept = {name: value.clone() for name, value in state.items()}
    assert str(net.load_state_dict(state, strict=True)) == "<All keys matched successfully>"
    for name, layer in masks.layers(net).items():
        assert torch.equal(masks.masks(net)[name], before[name])
        assert torch.equal(layer.weight, dense.get_submodule(name).weight * before[name])
        assert torch.equal(layer.parametrizations.weight.original, layer.weight)
    assert all(torch.equal(state[name], kept[name]) for name in kept)  # the caller's dictionary is untouched
    assert set(state) == set(kept)


def test_a_dense_checkpoint_loads_into_products_with_their_balance() -> None:
    dense, net = plain(1), plain(2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sparsify(net, 0.3, "sign-in", optimizer=optimizer, steps=10, rng=0)
    net.load_state_dict(dense.state_dict(), strict=True)
    for name, layer in masks.layers(net).items():
        mask = masks.masks(net)[name]
        torch.testing.assert_close(layer.weight, dense.get_submodule(name).weight * mask, rtol=1e-6, atol=1e-7)


def test_a_dense_checkpoint_of_another_shape_is_refused() -> None:
    net = nn.Sequential(nn.Linear(4, 3))
    sparsify(net, 0.5, rng=0)
    with pytest.raises(RuntimeError, match="weight"):
        net.load_state_dict({"0.weight": torch.zeros(3, 5), "0.bias": torch.zeros(3)})


@pytest.mark.parametrize("method", METHODS)
def test_the_dense_state_loads_strictly_into_the_dense_twin(method: str) -> None:
    net, optimizer, _, topology = made(method)
    list(train(net, optimizer, topology, range(40)))
    twin = plain(5)
    twin.load_state_dict(masks.dense_state_dict(net), strict=True)
    x, _ = batch(77)
    net.eval(), twin.eval()
    torch.testing.assert_close(twin(x), net(x), rtol=1e-6, atol=1e-6)
    for name, mask in masks.masks(net).items():
        assert not twin.get_submodule(name).weight[~mask].any()


def test_the_dense_state_of_other_parametrised_modules_is_kept() -> None:
    net = nn.ModuleDict({"e": torch.nn.utils.parametrizations.weight_norm(nn.Embedding(5, 4)), "l": nn.Linear(4, 2)})
    twin = copy.deepcopy(net)
    sparsify(net, 0.5, rng=0)
    twin.load_state_dict(masks.dense_state_dict(net), strict=True)
    assert torch.equal(twin["e"].weight, net["e"].weight)
    assert torch.equal(twin["l"].weight, net["l"].weight)


@pytest.mark.parametrize("method", METHODS)
def test_a_masked_state_survives_the_disk_and_brings_its_masks(method: str, tmp_path: Path) -> None:
    net, optimizer, scheduler, topology = made(method)
    list(train(net, optimizer, topology, range(17)))
    state = {
        "net": net.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
        "topology": topology.state_dict(),
    }  # fmt: skip
    torch.save(state, tmp_path / "run.pt")
    again, optimizer2, scheduler2, topology2 = made(method)
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.add_(1.0)
    stored = torch.load(tmp_path / "run.pt", weights_only=True)
    again.load_state_dict(stored["net"], strict=True)
    optimizer2.load_state_dict(stored["optimizer"])
    scheduler2.load_state_dict(stored["scheduler"])
    topology2.load_state_dict(stored["topology"])
    list(train(net, optimizer, topology, range(17, 40)))
    list(train(again, optimizer2, topology2, range(17, 40)))  # resumed: the same run to the last bit
    for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_stored_masks_are_bool_and_stored_once() -> None:
    net = plain()
    dense = {name: value.dtype for name, value in net.state_dict().items()}
    sparsify(net, 0.3, rng=0)
    state = net.state_dict()
    assert [v.dtype for k, v in state.items() if "parametrizations" in k and not k.endswith("original")] == (
        [torch.bool] * 3
    )
    assert len(state) == len(dense) + 3


@pytest.mark.parametrize("method", METHODS)
def test_deepcopy_after_a_forward_is_independent(method: str) -> None:
    net, optimizer, _, topology = made(method)
    list(train(net, optimizer, topology, range(3)))
    net.eval()
    x, y = batch(9)
    nn.functional.cross_entropy(net(x), y).backward()
    other = copy.deepcopy(net)
    expected = net(x).detach().clone()
    assert torch.equal(other(x), expected)
    before = {name: mask.clone() for name, mask in masks.masks(net).items()}
    for layer in masks.layers(other).values():
        masks.write_mask_(layer, torch.zeros_like(masks.mask_of(layer).mask))
    assert torch.equal(net(x), expected)
    assert all(torch.equal(mask, before[name]) for name, mask in masks.masks(net).items())
    other.load_state_dict(plain(3).state_dict(), strict=True)  # the loading hook belongs to the copy
    assert masks.density(other) == 0.0
    assert torch.equal(net(x), expected)


def test_functional_call_sees_other_values_through_the_mask() -> None:
    net = nn.Sequential(nn.Linear(4, 3, bias=False))
    sparsify(net, 0.5, rng=0)
    mask = masks.masks(net)["0"]
    other = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(1))
    (name,) = dict(net.named_parameters())
    before = net[0].weight.clone()
    out = torch.func.functional_call(net, {name: other}, (x,))
    assert torch.equal(out, x @ (other * mask).T)
    assert torch.equal(net[0].weight, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_stay_what_they_are(dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Linear(6, 5)).to(dtype)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    topology = sparsify(net, 0.5, "rigl", optimizer=optimizer, steps=10, rng=0)
    for _ in range(5):
        out = net(torch.ones(2, 6, dtype=dtype))
        assert out.dtype is dtype
        out.square().sum().backward()
        optimizer.step(), topology.step(), optimizer.zero_grad()
        assert nonzero_outside(net, optimizer) == 0
    net.to(torch.float32)  # a later change of precision takes the mask along
    assert net(torch.ones(2, 6)).dtype is torch.float32


# --- writing ----------------------------------------------------------------------------------------------------------

MASK = torch.tensor([[True, False, True, False], [False, True, False, True]])
OTHER = torch.tensor([[True, True, False, False], [False, False, True, True]])


def test_write_weight_passes_through_the_mask() -> None:
    layer = nn.Linear(4, 2, bias=False)
    before = layer.weight
    masks.write_weight_(layer, torch.arange(8.0).view(2, 4))
    assert layer.weight.tolist() == [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]
    masks.attach_(layer, MASK)
    masks.write_weight_(layer, torch.arange(8.0).view(2, 4) + 1)
    expected = [[1.0, 0.0, 3.0, 0.0], [0.0, 6.0, 0.0, 8.0]]
    assert layer.weight.tolist() == expected
    assert layer.parametrizations.weight.original is before
    assert before.tolist() == expected


def test_write_mask_empties_what_leaves_and_what_comes() -> None:
    layer = nn.Linear(4, 2, bias=False)
    masks.write_weight_(layer, torch.arange(8.0).view(2, 4) + 1)
    masks.attach_(layer, MASK)
    masks.write_mask_(layer, OTHER)
    assert layer.weight.tolist() == [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 8.0]]
    assert torch.equal(masks.mask_of(layer).mask, OTHER)
    assert torch.equal(MASK, torch.tensor([[True, False, True, False], [False, True, False, True]]))  # not aliased
    layer(torch.ones(1, 4)).sum().backward()
    assert torch.equal(layer.parametrizations.weight.original.grad, OTHER.float())


def test_write_mask_and_attach_say_what_is_wrong() -> None:
    layer = nn.Linear(4, 2)
    with pytest.raises(UserError, match="no mask"):
        masks.write_mask_(layer, MASK)
    with pytest.raises(UserError, match="shape"):
        masks.attach_(layer, MASK.T)
    with pytest.raises(TypeError, match="bool"):
        masks.attach_(layer, MASK.float())
    assert type(layer) is nn.Linear
    masks.attach_(layer, MASK)
    with pytest.raises(UserError, match="masked already"):
        masks.attach_(layer, MASK)


def test_clear_moments_touches_only_what_is_new() -> None:
    layer = nn.Linear(4, 2, bias=False)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    masks.attach_(layer, torch.ones(2, 4, dtype=torch.bool))
    layer(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    state = optimizer.state[layer.parametrizations.weight.original]
    before = {name: value.clone() for name, value in state.items()}
    masks.clear_moments_(layer, optimizer, {"": MASK})
    for name in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(state[name], torch.where(MASK, 0.0, before[name]))
        assert before[name].all()
    assert state["step"] == before["step"]


def test_bake_gives_a_plain_module_with_exact_positive_zeros() -> None:
    net, optimizer, _, topology = made("gmp")
    list(train(net, optimizer, topology, range(40)))
    x, _ = batch(5)
    net.eval()
    expected = net(x).detach()
    found = {name: mask.clone() for name, mask in masks.masks(net).items()}
    assert masks.bake(net) is net
    assert [type(m) for m in net] == [type(m) for m in plain()]
    assert set(net.state_dict()) == set(plain().state_dict())
    assert torch.equal(net(x), expected)
    assert masks.masks(net) == {}
    for name, mask in found.items():
        weight = net.get_submodule(name).weight
        assert torch.equal(weight != 0, mask)
        assert not torch.signbit(weight[~mask]).any()
    net.load_state_dict(plain(3).state_dict())
    assert torch.equal(net[4].weight, plain(3)[4].weight)


def test_bake_turns_the_zeros_of_a_diverged_network_into_zeros() -> None:
    layer = nn.Linear(4, 2, bias=False)
    masks.attach_(layer, MASK)
    with torch.no_grad():
        layer.parametrizations.weight.original.fill_(float("nan"))
    masks.bake(layer)
    assert torch.equal(layer.weight.isnan(), MASK)
    assert not layer.weight[~MASK].any()


def test_after_bake_the_optimizer_trains_a_dense_network() -> None:
    net = nn.Sequential(nn.Linear(6, 5, bias=False))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sparsify(net, 0.2, optimizer=optimizer, rng=0)
    masks.bake(net)
    x = torch.ones(3, 6)
    expected = net[0].weight.detach() - 0.1 * torch.full((5, 6), 3.0)
    net(x).sum().backward()
    optimizer.step()
    torch.testing.assert_close(net[0].weight, expected)
    assert masks.density(net) == 1.0


@pytest.mark.parametrize("method", ["static", "sign-in", "spred", "powerprop"])
def test_gradients_arrive_where_they_did(method: str) -> None:
    """What DistributedDataParallel listens to is the very node that adds up the gradient of a Parameter."""
    net = plain()
    held = dict(net.named_parameters())
    nodes = {name: p.view_as(p).grad_fn.next_functions[0][0] for name, p in held.items()}
    heard: list[str] = []
    for name, node in nodes.items():
        node.register_hook(lambda *_, name=name: heard.append(name))
    net, optimizer, _, topology = made(method, net=net, steps=40)
    for _ in train(net, optimizer, topology, range(3)):
        assert sorted(heard) == sorted(held)
        heard.clear()
        masks.write_weight_(net[4], net[4].weight.detach() * 0.5)  # as Sign-In does
    masks.bake(net)
    net(batch(0)[0]).sum().backward()
    assert sorted(heard) == sorted(held)


def test_after_bake_another_mask_rules_alone() -> None:
    net = nn.Sequential(nn.Linear(20, 20))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sparsify(net, 0.2, optimizer=optimizer, rng=0)
    masks.bake(net)
    sparsify(net, 0.2, optimizer=optimizer, rng=1)
    net(torch.ones(3, 20)).square().sum().backward()
    optimizer.step()
    assert torch.equal(net[0].weight != 0, masks.masks(net)["0"])


def test_density_counts_masks_where_there_are_some_and_values_elsewhere() -> None:
    net = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    with torch.no_grad():
        net[2].weight.copy_(torch.tensor([[0.0, 1.0], [2.0, 0.0]]))
    masks.attach_(net[0], torch.zeros(2, 4, dtype=torch.bool))
    assert masks.density(net) == 2 / 12
    with pytest.raises(UserError, match="no linear"):
        masks.density(nn.ReLU())


def test_active_lists_every_parameter_once() -> None:
    net = plain()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sparsify(net, 0.3, "sign-in", optimizer=optimizer, steps=10, rng=0)
    found = masks.active(net)
    assert {id(p) for p in found} == {id(p) for p in net.parameters()}
    assert sum(mask is not None for mask in found.values()) == 6  # three weights, three factors
    assert all(mask is None or mask.shape == p.shape for p, mask in found.items())


# --- attention and embeddings -----------------------------------------------------------------------------------------


def thin_(net: nn.Module, names: list[str] | None = None, density: float = 0.5) -> dict[str, Tensor]:
    """Mask the maskable layers at random."""
    generator = torch.Generator().manual_seed(7)
    for layer in masks.maskable(net, names).values():
        masks.attach_(layer, torch.rand(layer.weight.shape, generator=generator) < density)
    return masks.masks(net)


def encoder(rng: int = 0) -> nn.TransformerEncoderLayer:
    torch_layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
    generator = torch.Generator().manual_seed(rng)
    with torch.no_grad():
        for parameter in torch_layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return torch_layer


SEQUENCE = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(2))


def zeroed_twin(net: nn.Module) -> nn.Module:
    """A copy of a plain network whose weights are multiplied by what `thin_` draws, without any mask."""
    twin, masked = copy.deepcopy(net), copy.deepcopy(net)
    found = thin_(masked)
    with torch.no_grad():
        for name, layer in masks.maskable(twin).items():
            layer.weight.mul_(found[name])
    return twin


def test_what_can_be_masked_and_what_must_be_named() -> None:
    net = nn.ModuleDict(
        {
            "words": nn.Embedding(9, 8), "bags": nn.EmbeddingBag(9, 8), "look": encoder(),
            "up": nn.ConvTranspose2d(2, 3, 2), "norm": nn.LayerNorm(8), "out": nn.Linear(8, 9),
            "cross": nn.MultiheadAttention(8, 2, kdim=6, vdim=4),
        }
    )  # fmt: skip
    usual = ["look.self_attn.in_proj", "look.self_attn.out_proj", "look.linear1", "look.linear2", "out"]
    cross = ["cross.q_proj", "cross.k_proj", "cross.v_proj", "cross.out_proj"]
    assert list(masks.maskable(net)) == [*usual, *cross]
    assert list(masks.layers(net)) == [*usual[1:], cross[-1]]  # as ever: what is a linear or convolutional module
    assert list(masks.maskable(net, ["up", "bags", "words", "out"])) == ["words", "bags", "up", "out"]
    assert [tuple(masks.maskable(net)[name].weight.shape) for name in cross] == [(8, 8), (8, 6), (8, 4), (8, 8)]
    before = list(masks.maskable(net))
    thin_(net)
    assert list(masks.maskable(net)) == list(masks.masked(net)) == before  # attaching changes no order
    assert list(masks.layers(net)) == [*usual[1:], cross[-1]]


def test_names_that_are_wrong_are_told() -> None:
    net = nn.ModuleDict({"words": nn.Embedding(9, 8), "out": nn.Linear(8, 9), "norm": nn.LayerNorm(8)})
    with pytest.raises(UserError, match="no layer 'norm'"):
        masks.maskable(net, ["out", "norm"])
    with pytest.raises(UserError, match="no layer is named"):
        masks.maskable(net, [])
    with pytest.raises(UserError, match="by their names"):
        masks.maskable(net, "out")
    for option in ({"sparse": True}, {"max_norm": 1.0}):
        other = nn.ModuleDict({"words": nn.Embedding(9, 8, **option), "out": nn.Linear(8, 9)})
        assert list(masks.maskable(other)) == ["out"]
        with pytest.raises(UserError, match=f"does not go with {next(iter(option))}= of the embedding 'words'"):
            masks.maskable(other, ["words"])


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_masked_attention_computes_what_plain_torch_does_with_zeros(training: bool, grad: bool) -> None:
    net = encoder()
    twin = zeroed_twin(net)
    thin_(net)
    net.train(training), twin.train(training)
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(net(SEQUENCE), twin(SEQUENCE))


def test_the_fast_path_is_taken_and_sees_the_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    net = encoder().eval()
    thin_(net)
    called = []
    real = torch._transformer_encoder_layer_fwd
    monkeypatch.setattr(torch, "_transformer_encoder_layer_fwd", lambda *a: called.append(a) or real(*a))
    with torch.no_grad():
        fast = net(SEQUENCE)
        assert len(called) == 1
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            slow = net(SEQUENCE)
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
    assert len(called) == 1
    torch.testing.assert_close(fast, slow)


def test_attention_trains_on_its_mask_as_a_twin_with_masked_gradients() -> None:
    net = encoder()
    twin = zeroed_twin(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    found = thin_(net)
    masks.keep_zero(net, optimizer)
    plain_optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    for _ in range(5):
        for one, steps in ((net, optimizer), (twin, plain_optimizer)):
            one(SEQUENCE).square().sum().backward()
            if one is twin:
                for name, layer in masks.maskable(twin).items():
                    layer.weight.grad.mul_(found[name])
            steps.step(), steps.zero_grad()
        assert nonzero_outside(net, optimizer) == 0
    masks.bake(net)
    for one, two in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("options", [{}, {"kdim": 6, "vdim": 4}, {"bias": False}, {"add_bias_kv": True}])
def test_attention_with_its_own_widths(options: dict) -> None:
    net = nn.MultiheadAttention(8, 2, batch_first=True, **options)
    twin = zeroed_twin(net)
    key, value = SEQUENCE[..., : net.kdim], SEQUENCE[..., : net.vdim]
    before, names = list(net.parameters()), list(net.state_dict())
    found = thin_(net)
    assert masks.density(net) == sum(int(m.sum()) for m in found.values()) / sum(m.numel() for m in found.values())
    expected = twin(SEQUENCE, key, value)[0]
    torch.testing.assert_close(net(SEQUENCE, key, value)[0], expected)
    density = masks.density(net)
    masks.bake(net)
    assert masks.density(net) == density
    assert type(net) is nn.MultiheadAttention
    assert list(net.state_dict()) == names
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    torch.testing.assert_close(net(SEQUENCE, key, value)[0], expected)
    net.load_state_dict(twin.state_dict(), strict=True)
    thin_(net)  # and again


@pytest.mark.parametrize("made", [encoder, lambda: nn.MultiheadAttention(8, 2, kdim=6, vdim=4)])
def test_dense_checkpoints_of_attention_load_through_the_masks_and_back(made: Callable[[], nn.Module]) -> None:
    net, dense = made(), made()
    found = {name: mask.clone() for name, mask in thin_(net).items()}
    state = dense.state_dict()
    kept = {name: value.clone() for name, value in state.items()}
    assert str(net.load_state_dict(state, strict=True)) == "<All keys matched successfully>"
    assert set(state) == set(kept)
    layers = masks.maskable(dense)
    for name, layer in masks.masked(net).items():
        assert torch.equal(masks.masks(net)[name], found[name])
        assert torch.equal(layer.weight, layers[name].weight * found[name])
    stored = masks.dense_state_dict(net)
    assert set(stored) == set(kept)
    dense.load_state_dict(stored, strict=True)
    assert torch.equal(layers[next(iter(layers))].weight, next(iter(masks.masked(net).values())).weight)
    outer, other = nn.Sequential(nn.Linear(8, 8), net), nn.Sequential(nn.Linear(8, 8), made())
    outer.load_state_dict(other.state_dict(), strict=True)  # at any depth
    masked = outer.state_dict()
    fresh = nn.Sequential(nn.Linear(8, 8), made())
    thin_(fresh[1], density=0.1)
    fresh.load_state_dict(masked, strict=True)  # and the masked form brings its masks
    assert all(torch.equal(a, b) for a, b in zip(masks.masks(fresh).values(), masks.masks(outer).values(), strict=True))
    with pytest.raises(RuntimeError, match=r"in_proj|q_proj"):
        net.load_state_dict({name: value[..., :1] for name, value in kept.items()})


def test_a_copy_of_masked_attention_is_independent() -> None:
    net = encoder().eval()
    thin_(net)
    with torch.no_grad():
        expected = net(SEQUENCE)
        other = copy.deepcopy(net)
        for layer in masks.masked(other).values():
            masks.write_mask_(layer, torch.zeros_like(masks.mask_of(layer).mask))
        other.load_state_dict(encoder(3).state_dict(), strict=True)
        assert torch.equal(net(SEQUENCE), expected)
        assert not other.self_attn.in_proj_weight.any()
        masks.bake(other)
        assert type(other.self_attn) is nn.MultiheadAttention
        assert torch.equal(net(SEQUENCE), expected)
    assert "self_attn.in_proj" in masks.masks(net)


def test_a_whole_encoder_with_padding_and_a_decoder() -> None:
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [False] * 4 + [True]])
    inside = nn.TransformerEncoder(encoder(), 2)
    net = nn.ModuleDict(
        {"in": inside, "out": nn.TransformerDecoderLayer(8, 2, 12, dropout=0.0, batch_first=True)}
    ).eval()
    twin = zeroed_twin(net)
    thin_(net)
    with torch.no_grad():
        for one in (inside, twin["in"]):
            assert one.layers[0].self_attn.batch_first
        memory, plain_memory = (one["in"](SEQUENCE, src_key_padding_mask=padding) for one in (net, twin))
        torch.testing.assert_close(memory, plain_memory)
        torch.testing.assert_close(net["out"](SEQUENCE, memory), twin["out"](SEQUENCE, memory))


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_an_embedding_is_masked_when_named(kind: type) -> None:
    net = nn.Sequential(kind(9, 4, padding_idx=0), nn.Linear(4, 2))
    words = torch.tensor([[0, 1, 2], [3, 3, 8]])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    found = thin_(net, ["0", "1"])
    masks.keep_zero(net, optimizer)
    assert masks.density(net) == sum(int(m.sum()) for m in found.values()) / 44
    for _ in range(3):
        net(words).square().sum().backward()
        optimizer.step(), optimizer.zero_grad()
        assert nonzero_outside(net, optimizer) == 0
    before = net(words)
    masks.bake(net)
    assert torch.equal(net(words), before)
    assert not net[0].weight[0].any()  # the padding row has no gradient
    assert not net[0].weight[~found["0"]].any()
    assert masks.density(net) == int((net[1].weight != 0).sum()) / 8  # an embedding counts while it is masked


def test_transposed_convolutions_are_masked_when_named() -> None:
    net = nn.Sequential(nn.ConvTranspose1d(2, 3, 2), nn.Conv1d(3, 2, 2))
    x = torch.randn(2, 2, 4)
    mask = thin_(net, ["0"])["0"]
    weight = net[0].weight.detach().clone()
    assert not weight[~mask].any()
    torch.testing.assert_close(net[0](x), nn.functional.conv_transpose1d(x, weight, net[0].bias))
    assert masks.density(net) == (int(mask.sum()) + 12) / 24


def test_attention_compiles_and_takes_other_values() -> None:
    net = encoder()
    thin_(net)
    names = dict(net.named_parameters())
    doubled = {name: 2 * value.detach() for name, value in names.items()}
    out = torch.func.functional_call(net, doubled, (SEQUENCE,))
    twin = encoder()
    twin.load_state_dict({name: 2 * value for name, value in masks.dense_state_dict(net).items()})
    torch.testing.assert_close(out, twin(SEQUENCE))
    compiled = torch.compile(net, backend="eager")
    torch.testing.assert_close(compiled(SEQUENCE), net(SEQUENCE))


# --- two processes ----------------------------------------------------------------------------------------------------

WORKER = """
import sys
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from sparsefire import masks
from sparsefire.sparsity import sparsify

rank, method, place = int(sys.argv[1]), "rigl", sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{place}/meet", rank=rank, world_size=2)
generator = torch.Generator().manual_seed(0)
net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))
with torch.no_grad():
    for p in net.parameters():
        p.copy_(torch.randn(p.shape, generator=generator) * 0.3)
optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
topology = sparsify(net, 0.25, method, optimizer=optimizer, steps=40, rng=0)
topology.every = 3
topology._ask_for_gradient()
start = {k: v.clone() for k, v in masks.masks(net).items()}
parallel = DistributedDataParallel(net)
data = torch.Generator().manual_seed(100 + rank)
local = 0.0
for _ in range(30):
    x, y = torch.randn(16, 12, generator=data), torch.randint(0, 3, (16,), generator=data)
    local += float(x.sum())
    nn.functional.cross_entropy(parallel(x), y).backward()
    optimizer.step(), topology.step(), optimizer.zero_grad()
torch.save({"net": net.state_dict(), "start": start, "local": local}, f"{place}/rank{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed")
def test_two_processes_keep_identical_masks_while_their_data_differ(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(textwrap.dedent(WORKER))
    surroundings = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PATH": "", "HOME": str(tmp_path)}
    running = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(tmp_path)],
            env=surroundings, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    try:
        errors = [process.communicate(timeout=120)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], "\n".join(errors)
    one, two = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert one["local"] != two["local"]
    for name, value in one["net"].items():
        assert torch.equal(value, two["net"][name]), name
    assert any(not torch.equal(one["net"][f"{k}.parametrizations.weight.0.mask"], v) for k, v in one["start"].items())


def test_baking_a_copy_leaves_the_original_masked() -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
    sparsify(net, 0.5, rng=0)
    twin = masks.bake(copy.deepcopy(net))
    assert masks.masks(twin) == {}
    x = torch.randn(3, 6)
    assert torch.equal(net(x), twin(x))
    assert len(masks.masks(net)) == 2
    assert isinstance(net[0].weight, torch.Tensor)

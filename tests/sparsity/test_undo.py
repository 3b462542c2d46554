"""Nothing is touched by a call that fails, and what came before or after a method stays its own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import HAM, METHODS, bake, recipe, sparsify
from sparsefire.train import Training, build, train


def network(convolution: bool = False) -> nn.Sequential:
    first = [nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 8)] if convolution else [nn.Linear(8, 8)]
    return nn.Sequential(*first, nn.ReLU(), nn.Linear(8, 3))


def given(net: nn.Module, kind: Any = torch.optim.Adam) -> dict[str, Any]:
    optimizer = kind(net.parameters(), lr=0.01)
    return {"optimizer": optimizer, "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 5), "steps": 40}


def picture(net: nn.Module, around: dict[str, Any]) -> Any:
    optimizer = around["optimizer"]
    return (
        [type(module) for module in net.modules()],
        [(name, id(p), p.tolist()) for name, p in net.named_parameters()],
        [{**group, "params": [id(p) for p in group["params"]]} for group in optimizer.param_groups],
        (len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)),
        list(around["scheduler"].base_lrs),
    )


BAD = torch.full((6, 8), torch.nan)
ROWS, CLASSES = torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1, 2])
MISTAKES: dict[str, tuple[bool, Any, dict[str, Any]]] = {
    "synflow without the shape of an image": (True, "synflow", {}),
    "rows that are no numbers": (False, "snip", {"data": (BAD, CLASSES), "loss": nn.functional.cross_entropy}),
    "a misspelt option": (False, recipe("rigl+sign-in", shrae=0.5), {}),
    "an option of another topology": (False, recipe("chts+powerprop", alpha=3), {}),
    "a share above one": (False, recipe("rigl", share=3.0), {}),
    "moves after no step": (False, recipe("rigl", every=0), {}),
    "an end after the end": (False, recipe("gmp", end=1.5), {}),
    "levels that remove nothing": (False, recipe("lrr", prune_rate=0.0), {}),
    "a late early": (False, recipe("wr", early=3), {}),
    "phases that do not fit": (False, recipe("ac-dc", warm=0.9, last=0.1), {}),
    "two that decide": (False, "gmp+spred", {}),
    "inputs that are not shown": (
        False, "wanda", {"data": (ROWS, CLASSES), "loss": nn.functional.cross_entropy, "layers": ["word"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_error_leaves_everything_as_it_was(mistake: str) -> None:
    convolution, method, changes = MISTAKES[mistake]
    net = network(convolution)
    if "layers" in changes:
        net.add_module("word", nn.Embedding(10, 20))
    around = given(net)
    before = copy.deepcopy(picture(net, around))
    with pytest.raises(UserError):
        sparsify(net, 0.5, method, **around, **changes, rng=0)
    assert picture(net, around) == before
    sparsify(net, 0.5, "gmp", **around, rng=0)  # and can be used


def split(net: nn.Module) -> tuple[torch.optim.Optimizer, Any]:
    """Biases between the weights of one group, the last layer in another, warm-up before a cosine."""
    groups = [
        {"params": [*net[0].parameters(), net[2].bias], "weight_decay": 0.1},
        {"params": [net[2].weight], "lr": 0.03, "weight_decay": 0.2},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.01)
    parts = [
        torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=3),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20),
    ]
    return optimizer, torch.optim.lr_scheduler.SequentialLR(optimizer, parts, [3])


ADDING = [name for name, one in METHODS.items() if one.parameterisation is not None]


@pytest.mark.parametrize("method", ADDING)
def test_what_a_method_adds_leaves_the_optimizer_when_the_network_is_baked(method: str) -> None:
    net = network()
    optimizer, scheduler = split(net)
    twin = copy.deepcopy(net)
    plain, plain_scheduler = split(twin)
    topology = sparsify(net, 0.5, method, optimizer=optimizer, scheduler=scheduler, steps=8, rng=0)
    for _ in range(8):
        nn.functional.cross_entropy(net(ROWS), CLASSES).backward()
        optimizer.step(), scheduler.step(), topology.step(), optimizer.zero_grad()
        plain.step(), plain_scheduler.step()
    moments = {p: optimizer.state[p]["exp_avg"].clone() for p in (net[0].bias, net[2].bias)}
    assert bake(net, optimizer=optimizer, scheduler=scheduler) is net
    assert [[id(p) for p in group["params"]] for group in optimizer.param_groups] == [
        [id(p) for p in (net[0].weight, net[0].bias, net[2].bias)], [id(net[2].weight)]
    ]  # fmt: skip
    assert {id(p) for p in optimizer.state} <= {id(p) for p in net.parameters()}
    for parameter, moment in moments.items():
        assert torch.equal(optimizer.state[parameter]["exp_avg"], moment)
    # From here on it is the plain twin, one that begins with these weights and these moments.
    twin.load_state_dict(net.state_dict())
    plain.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    plain_scheduler.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    for group, other in zip(optimizer.param_groups, plain.param_groups, strict=True):
        assert {k: v for k, v in group.items() if k != "params"} == {k: v for k, v in other.items() if k != "params"}
    for _ in range(4):
        for one, stepped, rates in ((net, optimizer, scheduler), (twin, plain, plain_scheduler)):
            nn.functional.cross_entropy(one(ROWS), CLASSES).backward()
            stepped.step(), rates.step(), stepped.zero_grad()
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert masks.density(net) > 0.5  # nothing keeps the zeros


def test_rates_and_decays_are_those_of_before() -> None:
    net = network()
    optimizer, _ = split(net)
    before = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    for method in ("spred", "sign-in", "pilot"):
        sparsify(net, 0.5, method, optimizer=optimizer, steps=8, rng=0)
        assert len(optimizer.param_groups) == 4
        bake(net, optimizer)
        assert [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups] == before


def test_a_part_can_be_baked_before_the_rest() -> None:
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    before = [id(p) for p in optimizer.param_groups[0]["params"]]
    sparsify(net, 0.5, "spred", optimizer=optimizer, steps=8, rng=0)
    factor = masks.mask_of(net[0]).factor
    bake(net[2], optimizer)
    assert [id(p) for p in optimizer.param_groups[1]["params"]] == [before[0], id(factor)]
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == before[1:]
    bake(net[0], optimizer)
    assert [[id(p) for p in group["params"]] for group in optimizer.param_groups] == [before]


def test_a_weight_that_was_a_factor_forgets_its_moments_and_a_plain_one_does_not() -> None:
    for method, forgotten in (("sign-in", True), ("static", False)):
        net = network()
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
        sparsify(net, 0.5, method, optimizer=optimizer, steps=8, rng=0)
        nn.functional.cross_entropy(net(ROWS), CLASSES).backward()
        optimizer.step()
        bake(net, optimizer)
        assert (net[0].weight not in optimizer.state) == forgotten
        assert net[0].bias in optimizer.state


def test_an_optimizer_without_decay_is_left_alone() -> None:
    net = network()
    around = given(net, torch.optim.Rprop)
    before = copy.deepcopy(picture(net, around))
    with pytest.raises(UserError):
        sparsify(net, 0.5, "decay-off", **around)
    assert picture(net, around) == before


def test_rewinding_goes_back_to_the_weights_that_an_initialiser_drew(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = []
    from sparsefire.sparsity.topology.levels import Levels

    kept = Levels._save
    monkeypatch.setattr(Levels, "_save", lambda self: (kept(self), saved.append(dict(self._saved)))[0])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 6)).astype("float32"), rng.integers(2, size=60)
    net = build({"kind": "mlp", "widths": [6, 20, 2]}, rng=0)
    train(net, x, y, Training("imp", 0.5, epochs=5, batch=20, init="signs"), task="classification", rng=0)
    weight = next(value for name, value in saved[-1].items() if "original" in name)
    assert len(weight.abs().unique()) == 1  # signs: one magnitude


def test_scores_look_at_rows_of_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    import sparsefire.train.loop as loop

    kept = loop.sparsify
    monkeypatch.setattr(loop, "sparsify", lambda *a, **k: (seen.append(k["data"][1]), kept(*a, **k))[1])
    y = np.repeat(np.arange(4), 300)
    x = np.random.default_rng(0).normal(size=(1200, 5)).astype("float32")
    net = build({"kind": "mlp", "widths": [5, 12, 4]}, rng=0)
    train(net, x, y, Training("snip", 0.5, epochs=1), task="classification", rng=0)
    assert set(seen[0].tolist()) == {0, 1, 2, 3}


def test_a_hyperbolic_step_ends_with_its_method() -> None:
    net = network()
    twin = copy.deepcopy(net)
    around = given(net, torch.optim.SGD)
    for _ in range(3):
        sparsify(net, 1.0, "ham", **around)
        bake(net)
    plain = torch.optim.SGD(twin.parameters(), lr=0.01)
    for _ in range(2):
        for one, optimizer in ((net, around["optimizer"]), (twin, plain)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(one(ROWS), CLASSES).backward()
            optimizer.step()
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert isinstance(HAM(plain), torch.optim.Optimizer)


def test_a_checkpoint_of_noisy_gates_holds_no_noise() -> None:
    net = network()
    sparsify(net, 0.5, "l0", **given(net), rng=0)
    net.train()
    stored = masks.dense_state_dict(net)
    net.eval()
    for name, layer in masks.masked(net).items():
        torch.testing.assert_close(stored[f"{name}.weight"], layer.weight.detach())


def test_new_weights_of_a_power_have_both_signs() -> None:
    net = network()
    around = given(net)
    topology = sparsify(net, 0.3, recipe("set+powerprop", every=1), **around, rng=0)
    before = {name: mask.clone() for name, mask in masks.masks(net).items()}
    nn.functional.cross_entropy(net(ROWS), CLASSES).backward()
    around["optimizer"].step()
    topology.step()
    fresh = torch.cat([masks.masked(net)[n].weight[m & ~before[n]] for n, m in masks.masks(net).items()])
    assert len(fresh) > 3
    assert bool((fresh > 0).any())
    assert bool((fresh < 0).any())

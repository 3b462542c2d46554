"""Oracles: the promises of the signature (names, exact counts, errors that leave everything as it was)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import METHODS, bake, list_methods, sparsify
from sparsefire.sparsity.steps import SAM, needs_closure
from sparsefire.wiring import layer_counts
from sparsefire.wiring.layouts import PROPORTIONS as LAYOUTS


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(2, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(30, 7), nn.ReLU(), nn.Linear(7, 3))


SHAPES = [(5, 2, 3), (7, 30), (3, 7)]
SIZE = 30 + 210 + 21


def given(net: nn.Module, steps: int | None = 60, method: str = "static") -> dict[str, Any]:
    optimizer: torch.optim.Optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    if "closure" in METHODS[method].needs:
        optimizer = SAM(optimizer)
    return {
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0),
        "steps": steps,
        "data": (torch.randn(6, 2, 8, generator=torch.Generator().manual_seed(9)), torch.tensor([0, 1, 2, 0, 1, 2])),
        "loss": nn.functional.cross_entropy,
    }


def trained(net: nn.Module, topology: Any, surroundings: dict[str, Any]) -> None:
    for number in range(surroundings["steps"]):
        rows = torch.randn(4, 2, 8, generator=torch.Generator().manual_seed(number))

        def closure(rows: torch.Tensor = rows) -> None:
            net(rows).square().mean().backward()

        closure()
        optimizer = surroundings["optimizer"]
        optimizer.step(closure) if needs_closure(optimizer) else optimizer.step()
        surroundings["scheduler"].step(), topology.step()
        surroundings["optimizer"].zero_grad()


def combinations() -> list[tuple[str, str]]:
    """All but those of a structured pattern, whose counts are rounded: the tests of patterns count them."""
    plain = [m for m in METHODS.values() if m.pattern is None]
    layouts = {m.name: (*LAYOUTS, "global") if m.name == "gmp" else (m.own_layout, "uniform") for m in plain}
    return [(m.name, layout) for m in plain for layout in (LAYOUTS if m.name == "static" else layouts[m.name])]


@pytest.mark.parametrize(("method", "layout"), combinations())
@pytest.mark.parametrize("density", [0.07, 0.2, 0.5, 1.0])
def test_every_method_ends_at_its_exact_density_and_layout(method: str, layout: str, density: float) -> None:
    net = network()
    surroundings = given(net, method=method)
    topology = sparsify(net, density, method, layout, **surroundings, rng=0)
    trained(net, topology, surroundings)
    counts = [int(mask.sum()) for mask in masks.masks(net).values()]
    assert sum(counts) == round(density * SIZE)
    if layout != "global":
        assert counts == layer_counts(SHAPES, density, layout)
    assert masks.density(net) == round(density * SIZE) / SIZE


def test_random_masks_are_a_function_of_rng() -> None:
    drawn = []
    for rng in (0, 0, 1):
        net = network()
        sparsify(net, 0.3, rng=rng)
        drawn.append(torch.cat([mask.flatten() for mask in masks.masks(net).values()]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_random_masks_are_uniform_over_positions() -> None:
    hits = torch.zeros(4, 5)
    for rng in range(400):
        net = nn.Linear(5, 4)
        sparsify(net, 0.5, rng=rng)
        hits += masks.masks(net)[""]
    # binomial(400, 1/2): sd 10; five sd hold all twenty with overwhelming probability
    assert (hits - 200).abs().max() < 50


@pytest.mark.parametrize("method", METHODS)
def test_the_global_generators_are_not_touched(method: str) -> None:
    net = network()
    surroundings = given(net, method=method)
    before = torch.get_rng_state()
    sparsify(net, 0.3, method, **surroundings, rng=0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "method", sorted(set(METHODS) - {"l0", "gates"})
)  # which begin behind gates that are half open
def test_present_weights_keep_their_values_at_the_start(method: str) -> None:
    net = network()
    before = {name: layer.weight.detach().clone() for name, layer in masks.layers(net).items()}
    sparsify(net, 0.3, method, **given(net, method=method), rng=0)
    for name, mask in masks.masks(net).items():
        torch.testing.assert_close(net.get_submodule(name).weight, before[name] * mask, rtol=1e-6, atol=1e-7)


def frozen(net: nn.Module) -> None:
    net[3].weight.requires_grad_(False)


def masked(net: nn.Module) -> None:
    sparsify(net, 0.5, rng=0)


def normed(net: nn.Module) -> None:
    torch.nn.utils.parametrizations.weight_norm(net[3])


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(5, 5), nn.Linear(5, 5)
        self.two.weight = self.one.weight


class TiedEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(9, 5), nn.Linear(5, 9)
        self.out.weight = self.words.weight


def picture(net: nn.Module, surroundings: dict[str, Any]) -> Any:
    """All that may not change: types, parameters by identity, values, groups, hooks."""
    optimizer = surroundings.get("optimizer")
    return (
        [type(module) for module in net.modules()],
        [(name, id(p)) for name, p in net.named_parameters(remove_duplicate=False)],
        {name: value.tolist() for name, value in net.state_dict().items()},
        [[id(p) for p in group["params"]] for group in optimizer.param_groups] if optimizer is not None else None,
        len(optimizer._optimizer_step_post_hooks) if optimizer is not None else None,
    )


MISTAKES: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], None] | None, dict[str, Any], str]] = {
    "density 0": (network, None, {"density": 0}, "density"),
    "density 2": (network, None, {"density": 2}, "density"),
    "density NaN": (network, None, {"density": float("nan")}, "density"),
    "density text": (network, None, {"density": "0.1"}, "density"),
    "too few for the layout": (network, None, {"density": 0.004, "layout": "erk"}, "layers"),
    "unknown layout": (network, None, {"layout": "pyramid"}, "layout"),
    "nothing to mask": (lambda: nn.Sequential(nn.BatchNorm1d(3)), None, {}, "no weights"),
    "frozen": (network, frozen, {}, "frozen"),
    "masked": (network, masked, {}, "masked already"),
    "parametrised": (network, normed, {}, "parametrisation"),
    "tied layers": (Tied, None, {}, "more than one owner"),
    "tied to an embedding": (TiedEmbedding, None, {}, "more than one owner"),
    "another optimizer": (
        network, None, {"optimizer": torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1), "scheduler": None},
        "does not hold|needs the scheduler",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("method", METHODS)
def test_a_mistake_is_told_and_nothing_changes(method: str, mistake: str) -> None:
    make, spoil, changes, words = MISTAKES[mistake]
    net = make()
    if spoil is not None:
        spoil(net)
    surroundings = {"density": 0.3, **given(net), **changes}
    before = picture(net, surroundings)
    with pytest.raises(UserError, match=words):
        sparsify(net, method=method, rng=0, **surroundings)
    assert picture(net, surroundings) == before


@pytest.mark.parametrize(
    ("method", "missing", "words"),
    [(m.name, need, need) for m in METHODS.values() for need in ("optimizer", "scheduler", "steps") if need in m.needs],
)
def test_what_a_method_needs_it_asks_for(method: str, missing: str, words: str) -> None:
    net = network()
    surroundings = given(net)
    surroundings[missing] = None
    if missing == "optimizer":
        surroundings["scheduler"] = None
    before = picture(net, surroundings)
    with pytest.raises(UserError, match=words):
        sparsify(net, 0.3, method, **surroundings)
    assert picture(net, surroundings) == before


@pytest.mark.parametrize("method", ["sign-in", "lrr"])
def test_a_scheduler_of_another_optimizer_is_an_error(method: str) -> None:
    net = network()
    surroundings = {**given(net), "scheduler": given(network())["scheduler"]}
    before = picture(net, surroundings)
    with pytest.raises(UserError, match="another optimizer"):
        sparsify(net, 0.3, method, **surroundings)
    assert picture(net, surroundings) == before


@pytest.mark.parametrize("steps", [0, -3])
def test_steps_are_positive(steps: int) -> None:
    net = network()
    with pytest.raises(UserError, match="number of training steps"):
        sparsify(net, 0.3, "gmp", **given(net, steps))


def test_an_unknown_method_names_those_there_are() -> None:
    with pytest.raises(UserError, match="'sett'") as caught:
        sparsify(network(), 0.3, "sett")
    assert all(name in caught.value.expected for name in METHODS)


def test_random_methods_know_no_global_layout() -> None:
    net = network()
    with pytest.raises(UserError, match="layout 'global'"):
        sparsify(net, 0.3, "rigl", "global", **given(net))


def test_a_layer_used_twice_is_one_layer() -> None:
    layer = nn.Linear(6, 6)
    net = nn.Sequential(layer, nn.Tanh(), layer)
    sparsify(net, 0.5, rng=0)
    assert masks.density(net) == 0.5
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(net(x), layer(torch.tanh(layer(x))))


def test_the_way_out_of_a_second_call_is_the_one_the_error_names() -> None:
    net = network()
    sparsify(net, 0.5, rng=0)
    with pytest.raises(UserError) as caught:
        sparsify(net, 0.5, rng=1)
    assert "bake" in caught.value.attempt
    sparsify(bake(net), 0.5, rng=1)
    twin = network()
    sparsify(twin, 0.5, rng=1)
    assert all(torch.equal(a, b) for a, b in zip(masks.masks(net).values(), masks.masks(twin).values(), strict=True))


def test_the_table_lists_every_method_with_its_source() -> None:
    table = list_methods()
    assert list(table["method"]) == list(METHODS)
    assert table["source"].str.fullmatch(r"arXiv:\d{4}\.\d{5}|this package").all()
    assert table.set_index("method").loc["lrr", "needs"] == "optimizer, scheduler, steps"
    assert not table.isna().any().any()


@pytest.mark.parametrize("method", METHODS)
def test_a_state_is_plain_numbers_and_tensors(method: str) -> None:
    net = network()
    topology = sparsify(net, 0.3, method, **given(net, method=method), rng=0)
    state = copy.deepcopy(topology.state_dict())
    assert all(isinstance(value, int | float | str | list | torch.Tensor | None) for value in state.values())
    topology.load_state_dict(state)
    torch.testing.assert_close(topology.state_dict(), state, rtol=0, atol=0)

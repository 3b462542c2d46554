"""Oracles: the network before and after, layers without dropout, batches with faults, masks of the exact size."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.prune import first_masks, prune
from sparsefire.sparsity.recipes import BEFORE, Recipe
from sparsefire.sparsity.scores import SCORES
from sparsefire.sparsity.scores.passes import quiet
from sparsefire.sparsity.setting import Setting
from sparsefire.spiking import Bernoulli
from sparsefire.wiring.layouts import keep_count

cross_entropy = nn.functional.cross_entropy
LOOKING = [name for name, score in SCORES.items() if "data" in score.needs]
BY_GRADIENT = ["snip", "grasp", "taylor"]
BY_INPUT = ["wanda", "obc"]


def network(p: float = 0.5) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(p), nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.ReLU(), nn.Flatten(), nn.Dropout(p), nn.Linear(24, 5),
    )  # fmt: skip


def batch(count: int = 20) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 2, 8, 8, generator=generator), torch.randint(0, 5, (count,), generator=generator)


def setting(net: nn.Module, **changed: Any) -> Setting:
    return Setting(net, **{"data": batch(), "loss": cross_entropy, "rng": 0, **changed})


def masked(net: nn.Module) -> nn.Module:
    for module in masks.layers(net).values():
        masks.attach_(module, torch.arange(module.weight.numel()).reshape(module.weight.shape) % 3 > 0)
    return net


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.idle = nn.Linear(6, 5), nn.Linear(5, 3), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x)))


@pytest.mark.parametrize("name", SCORES)
def test_a_score_leaves_everything_as_it_was(name: str) -> None:
    net = masked(network())
    net[1].eval()  # modes are kept module by module
    cross_entropy(net(batch()[0]), batch()[1]).backward()
    state, modes = copy.deepcopy(net.state_dict()), [module.training for module in net.modules()]
    gradients = [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]
    hooks = [len(module._forward_pre_hooks) for module in net.modules()]
    noise = torch.get_rng_state()
    first, second = (SCORES[name].of(setting(net), 0) for _ in range(2))
    assert torch.equal(noise, torch.get_rng_state())
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in state.items())
    after = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    assert len(gradients) == len(after) == 7
    assert all(torch.equal(*pair) for pair in zip(gradients, after, strict=True))
    assert modes == [module.training for module in net.modules()]
    assert hooks == [len(module._forward_pre_hooks) for module in net.modules()]
    for key, module in masks.layers(net).items():
        assert torch.equal(first[key], second[key])
        assert first[key].shape == module.weight.shape
        assert not first[key].requires_grad


@pytest.mark.parametrize("name", LOOKING)
def test_a_loss_or_a_layer_that_fails_leaves_everything_as_it_was(name: str) -> None:
    net = network()

    def fail(*_: Any) -> Any:
        raise RuntimeError("on purpose")

    net[-1].register_forward_hook(fail)
    state, noise = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    with pytest.raises(RuntimeError, match="on purpose"):
        SCORES[name].of(setting(net), 0)
    assert net.training
    assert all(module.training for module in net.modules())
    assert not net[0]._forward_pre_hooks
    assert torch.equal(noise, torch.get_rng_state())
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in state.items())


@pytest.mark.parametrize("name", LOOKING)
def test_dropout_is_off(name: str) -> None:
    with_noise, without = (SCORES[name].of(setting(network(p)), 0) for p in (0.5, 0.0))
    assert all(torch.equal(with_noise[key], without[key]) for key in without)


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_noise_that_is_no_layer_is_shared_by_all_passes(name: str) -> None:
    class Noisy(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(nn.functional.dropout(x, 0.5))

    net = nn.Sequential(Noisy(8, 6), nn.Tanh(), Noisy(6, 5))
    x, y = torch.randn(20, 8), batch()[1]
    torch.manual_seed(1)
    first = SCORES[name].of(setting(net, data=(x, y)), 0)
    torch.manual_seed(2)
    second = SCORES[name].of(setting(net, data=(x, y)), 0)
    other = SCORES[name].of(setting(net, data=(x, y), rng=1), 0)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("form", ["tuple", "mapping"])
@pytest.mark.parametrize("name", LOOKING)
def test_inputs_of_any_form(name: str, form: str) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, one: Tensor, other: Tensor) -> Tensor:
            return self.layer(input=one + other)

    net, y = Two(), torch.arange(10) % 3
    one, other = torch.randn(10, 4), torch.randn(10, 4)
    x: Any = (one, other) if form == "tuple" else {"other": other, "one": one}
    plain = nn.Sequential()
    plain.add_module("layer", net.layer)
    found = SCORES[name].of(setting(net, data=(x, y)), 0)["layer"]
    torch.testing.assert_close(found, SCORES[name].of(setting(plain, data=(one + other, y)), 0)["layer"])


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_weights_that_no_loss_depends_on_score_zero(name: str) -> None:
    scores = SCORES[name].of(setting(TwoHeads(), data=(torch.randn(9, 6), torch.arange(9) % 3)), 0)
    assert not scores["idle"].any()
    assert scores["head"].any()


@pytest.mark.parametrize("name", BY_INPUT)
def test_a_layer_without_input_is_named(name: str) -> None:
    with pytest.raises(UserError, match="no input arrives at layer 'idle'"):
        SCORES[name].of(setting(TwoHeads(), data=(torch.randn(9, 6), torch.arange(9) % 3)), 0)


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_a_frozen_layer_is_named(name: str) -> None:
    net = network()
    net[5].weight.requires_grad_(False)
    with pytest.raises(UserError, match="layer '5' is frozen"):
        SCORES[name].of(setting(net), 0)


@pytest.mark.parametrize("name", BY_INPUT)
def test_a_frozen_layer_is_scored_by_its_inputs(name: str) -> None:
    net = network()
    before = SCORES[name].of(setting(net), 0)["5"]
    net[5].weight.requires_grad_(False)
    assert torch.equal(SCORES[name].of(setting(net), 0)["5"], before)


@pytest.mark.parametrize("name", LOOKING)
def test_bad_batches(name: str) -> None:
    x, y = batch()
    with pytest.raises(UserError, match="needs one batch"):
        SCORES[name].of(setting(network(), data=None), 0)
    with pytest.raises(UserError, match="inputs and targets"):
        SCORES[name].of(setting(network(), data=x), 0)
    with pytest.raises(UserError, match=r"the inputs of the batch .* not finite"):
        SCORES[name].of(setting(network(), data=(x.log(), y)), 0)


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_what_a_gradient_needs_is_asked_for(name: str) -> None:
    assert SCORES[name].needs == {"data", "loss"}
    with pytest.raises(UserError, match=r"the targets of the batch .* not finite"):
        SCORES[name].of(setting(network(), data=(batch()[0], torch.tensor([0.0, torch.inf]))), 0)
    with pytest.raises(UserError, match="needs the loss"):
        SCORES[name].of(setting(network(), loss=None), 0)
    with pytest.raises(UserError, match="needs the loss"):
        sparsify(network(), 0.5, Recipe(name, name, "", BEFORE, score=name), data=batch())


@pytest.mark.parametrize("name", [name for name in LOOKING if name not in BY_GRADIENT])
def test_what_looks_at_inputs_asks_for_nothing_else(name: str) -> None:
    assert SCORES[name].needs == {"data"}
    recipe = Recipe(name, name, "", BEFORE, score=name)
    expected = first_masks(setting(network(), score=name, layout=recipe.own_layout), 0.3)
    net = network()
    sparsify(net, 0.3, recipe, data=(batch()[0], None), rng=0)
    for key, mask in masks.masks(net).items():
        assert torch.equal(mask, expected[key])


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_bad_losses(name: str) -> None:
    with pytest.raises(UserError, match="one loss for the batch"):
        SCORES[name].of(setting(network(), loss=nn.CrossEntropyLoss(reduction="none")), 0)
    with pytest.raises(UserError, match="one loss for the batch"):
        SCORES[name].of(setting(network(), loss=lambda output, target: 1.0), 0)
    with pytest.raises(UserError, match="depends on the weights"):
        SCORES[name].of(setting(network(), loss=lambda output, target: torch.tensor(1.0)), 0)


@pytest.mark.parametrize("name", [name for name in SCORES if name not in ("random", "synflow")])
def test_a_training_that_diverged_still_has_the_exact_number_of_weights(name: str) -> None:
    net = masked(network())
    with torch.no_grad():
        masks.write_weight_(net[5], torch.full_like(net[5].weight, torch.nan))
    total = sum(mask.numel() for mask in masks.masks(net).values())
    before = {key: mask.clone() for key, mask in masks.masks(net).items()}
    prune(setting(net, score=name), 0.5)
    after = masks.masks(net)
    assert sum(int(mask.sum()) for mask in after.values()) == keep_count(total, 0.5)
    assert not any(bool((after[key] & ~mask).any()) for key, mask in before.items())


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("layout", ["global", "erk"])
def test_first_masks_have_the_exact_size_and_leave_the_network(name: str, layout: str) -> None:
    for density in (0.2, 0.5, 1.0, 0.07):
        net = network()
        state = copy.deepcopy(net.state_dict())
        layout = "erk" if name == "random" else layout
        found = first_masks(setting(net, score=name, layout=layout), density)
        assert sum(int(mask.sum()) for mask in found.values()) == keep_count(
            sum(mask.numel() for mask in found.values()), density
        )
        assert all(torch.equal(value, net.state_dict()[key]) for key, value in state.items())
    again = first_masks(setting(net, score=name, layout=layout), density)
    assert all(torch.equal(found[key], again[key]) for key in found)


@pytest.mark.parametrize("name", SCORES)
def test_scored_starts_in_a_training(name: str) -> None:
    net, chosen = network(), Recipe(name, name, SCORES[name].source, BEFORE, score=name)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    topology = sparsify(net, 0.2, chosen, optimizer=optimizer, data=batch(), loss=cross_entropy, rng=0)
    start = {key: mask.clone() for key, mask in masks.masks(net).items()}
    for _ in range(3):
        optimizer.zero_grad()
        cross_entropy(net(batch()[0]), batch()[1]).backward()
        optimizer.step()
        topology.step()
    weights = {key: module.weight.detach().clone() for key, module in masks.layers(net).items()}
    total = sum(weight.numel() for weight in weights.values())
    assert sum(int(mask.sum()) for mask in masks.masks(net).values()) == keep_count(total, 0.2)
    assert all(torch.equal(start[key], weight != 0) for key, weight in weights.items())
    masks.bake(copy.deepcopy(net))
    baked = masks.layers(masks.bake(net))
    assert all(torch.equal(baked[key].weight, weight) for key, weight in weights.items())


def test_noisy_neurons_are_left_where_they_were() -> None:
    net = nn.Sequential(nn.Linear(3, 4), Bernoulli(4, rng=0))
    with quiet(net):
        net(torch.zeros(2, 5, 3))
    assert net[1].begun == 0


def test_a_parameter_called_noise_is_nobodys_business() -> None:
    class Own(nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 4)
            self.noise = nn.Parameter(torch.ones(8))

    net = Own()
    with quiet(net):
        net(torch.zeros(2, 3))

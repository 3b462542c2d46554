"""What all local rules keep to, one test for each promise: oracles are plain forward passes and the rule's own twin."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.rules.local import (
    DirectFeedbackAlignment,
    EquilibriumPropagation,
    FeedbackAlignment,
    ForwardForward,
    LocalLosses,
    PredictiveCoding,
)
from sparsefire.sparsity import sparsify

RULES: dict[str, Callable[..., Any]] = {
    "feedback alignment": lambda **options: FeedbackAlignment(**{"rng": 0, **options}),
    "direct": lambda **options: DirectFeedbackAlignment(**{"rng": 0, **options}),
    "local losses": lambda **options: LocalLosses(**{"rng": 0, **options}),
    "forward-forward": lambda **options: ForwardForward(**{"classes": 3, "rng": 0, **options}),
    "equilibrium": lambda **options: EquilibriumPropagation(),
    "one-sided": lambda **options: EquilibriumPropagation(nudging="one-sided"),
    "predictive": lambda **options: PredictiveCoding(),
    "fixed predictions": lambda **options: PredictiveCoding(variant="fixed-prediction"),
    "z-il": lambda **options: PredictiveCoding(variant="z-il"),
}
DRAWING = ["feedback alignment", "direct", "local losses", "forward-forward"]
LINEAR_ONLY = {"forward-forward", "equilibrium", "one-sided"}
CHAINS = [name for name in RULES if name != "feedback alignment"]
ANY_LAYER = [name for name in RULES if name not in LINEAR_ONLY]
cross_entropy = nn.functional.cross_entropy


def draw(*shape: int, number: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


def problem() -> tuple[nn.Sequential, Tensor, Tensor]:
    parts = nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)
    net = nn.Sequential(*parts).double()
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            parameter.copy_(0.3 * draw(*parameter.shape, number=number) + (0.3 if parameter.ndim == 1 else 0))
    return net, draw(7, 6, number=20), torch.tensor([0, 1, 2, 0, 1, 2, 0])


def noisy() -> tuple[nn.Sequential, Tensor, Tensor]:
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.3),
        nn.Conv2d(3, 3, 1), nn.InstanceNorm2d(3, track_running_stats=True), nn.Flatten(), nn.Linear(12, 3),
    )  # fmt: skip
    return net.double(), draw(7, 1, 6, 6), torch.tensor([0, 1, 2, 0, 1, 2, 0])


def gradients(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", RULES)
def test_every_parameter_gets_an_estimate_and_none_moves(name: str) -> None:
    net, x, y = problem()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    loss = RULES[name]()(net, cross_entropy, x, y)
    assert loss.shape == ()
    assert not loss.requires_grad
    assert all(gradient.abs().sum() > 0 for gradient in gradients(net).values())
    assert len(gradients(net)) == 6
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", RULES)
def test_estimates_accumulate(name: str) -> None:
    net, x, y = problem()
    rule, parts = RULES[name](), []
    for _ in range(2):
        net.zero_grad()
        rule(net, cross_entropy, x, y)
        parts.append(gradients(net))
    net.zero_grad()
    rule = RULES[name]()
    for _ in range(2):
        rule(net, cross_entropy, x, y)
    for key, both in gradients(net).items():
        torch.testing.assert_close(both, parts[0][key] + parts[1][key])


@pytest.mark.parametrize("name", RULES)
def test_frozen_parameters_are_left_out_and_change_nothing_else(name: str) -> None:
    net, x, y = problem()
    RULES[name]()(net, cross_entropy, x, y)
    whole = gradients(net)
    for frozen in (["2.weight"], ["0.weight", "0.bias"], ["4.weight", "4.bias"], list(whole)):
        net.zero_grad()
        for key, parameter in net.named_parameters():
            parameter.requires_grad_(key not in frozen)
        RULES[name]()(net, cross_entropy, x, y)
        left = {key: value for key, value in whole.items() if key not in frozen}
        torch.testing.assert_close(gradients(net), left)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("method", ["static", "sign-in"])
def test_absent_weights_get_exactly_zero(name: str, method: str) -> None:
    net, x, y = problem()
    sparsify(net, 0.6, method, optimizer=torch.optim.SGD(net.parameters(), lr=0.1), steps=10, rng=1)
    RULES[name]()(net, cross_entropy, x, y)
    for parameter, mask in masks.active(net).items():
        assert parameter.grad is not None
        if mask is not None:
            assert parameter.grad.abs().sum() > 0
            assert not parameter.grad[~mask].any()


@pytest.mark.parametrize("name", RULES)
def test_a_topology_that_asks_gets_the_gradient_of_absent_weights(name: str) -> None:
    net, x, y = problem()
    sparsify(net, 0.6, "static", rng=1)
    rule = RULES[name]()
    assert rule.dense_gradients
    assert not rule.per_example
    rule(net, cross_entropy, x, y)
    plain = gradients(net)
    net.zero_grad()
    for layer in masks.masked(net).values():
        masks.mask_of(layer).dense_gradient = True
    RULES[name]()(net, cross_entropy, x, y)
    for parameter, mask in masks.active(net).items():
        if mask is not None and mask.logical_not().any():
            assert parameter.grad[~mask].any()
    for key, gradient in gradients(net).items():
        kept = plain[key] != 0
        torch.testing.assert_close(gradient[kept], plain[key][kept])


@pytest.mark.parametrize("name", ANY_LAYER)
def test_dropout_and_statistics_are_those_of_one_forward_pass(name: str) -> None:
    net, x, y = noisy()
    twin, rule = copy.deepcopy(net), RULES[name]()
    for _ in range(2):
        noise = torch.get_rng_state()
        loss = rule(net, cross_entropy, x, y)
        after = torch.get_rng_state()
        torch.set_rng_state(noise)
        torch.testing.assert_close(loss, cross_entropy(twin(x), y).detach())
        assert torch.equal(after, torch.get_rng_state())
        assert all(torch.equal(a, b) for a, b in zip(net.buffers(), twin.buffers(), strict=True))
    assert len(gradients(net)) == len(list(net.parameters()))


@pytest.mark.parametrize("name", [name for name in RULES if name in LINEAR_ONLY])
def test_rules_without_dropout_leave_the_global_generator_alone(name: str) -> None:
    net, x, y = problem()
    before = torch.get_rng_state()
    RULES[name]()(net, cross_entropy, x, y)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", RULES)
def test_what_is_no_number_is_refused_and_leaves_no_trace(name: str) -> None:
    net, x, y = problem() if name in LINEAR_ONLY else noisy()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    rule = RULES[name]()
    with pytest.raises(UserError, match="not a number at call 1"):
        rule(net, lambda out, target: cross_entropy(out, target) * float("nan"), x * float("nan"), y)
    if name != "forward-forward":
        with pytest.raises(UserError, match="one loss"):
            rule(net, lambda out, target: cross_entropy(out, target, reduction="none"), x, y)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert all(m.track_running_stats for m in net.modules() if hasattr(m, "track_running_stats"))
    assert not gradients(net)
    assert rule.budget.calls == 0


@pytest.mark.parametrize("name", CHAINS)
def test_one_tensor_may_come_in_a_tuple_or_a_mapping(name: str) -> None:
    net, x, y = problem()
    found = []
    for given in (x, (x,), {"input": x}):
        net.zero_grad()
        RULES[name]()(net, cross_entropy, given, y)
        found.append(gradients(net))
    assert all(torch.equal(found[0][key], other[key]) for other in found[1:] for key in other)
    with pytest.raises(UserError, match="one input tensor"):
        RULES[name]()(net, cross_entropy, (x, x), y)


@pytest.mark.parametrize("name", CHAINS)
def test_structures_are_refused_by_the_name_of_the_layer(name: str) -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.Sequential(nn.ReLU(), nn.GRU(5, 3)))
    with pytest.raises(UserError, match=r"'1\.1' \(GRU\)"):
        RULES[name]()(net, cross_entropy, torch.ones(2, 6), torch.tensor([0, 1]))
    with pytest.raises(UserError, match="chain"):
        RULES[name]()(nn.Linear(6, 3), cross_entropy, torch.ones(2, 6), torch.tensor([0, 1]))
    if name in LINEAR_ONLY:
        with pytest.raises(UserError, match=r"'1' \(Dropout\)"):
            RULES[name]()(nn.Sequential(nn.Linear(6, 3), nn.Dropout()), cross_entropy, torch.ones(2, 6), None)


@pytest.mark.parametrize("name", RULES)
def test_a_saved_rule_goes_on_where_it_was(name: str, tmp_path) -> None:
    net, x, y = problem()
    rule, other = RULES[name](), RULES[name](rng=7)
    for _ in range(2):
        rule(net, cross_entropy, x, y)
    torch.save(rule.state_dict(), tmp_path / "rule.pt")
    other.load_state_dict(torch.load(tmp_path / "rule.pt", weights_only=True))
    found = []
    for one in (rule, other):
        for _ in range(2):  # the second call needs what the first has changed
            net.zero_grad()
            one(net, cross_entropy, x, y)
        found.append(gradients(net))
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])
    assert other.budget == rule.budget
    assert rule.budget.calls == 4


@pytest.mark.parametrize("name", DRAWING)
def test_rng_decides_the_result(name: str) -> None:
    net, x, y = problem()
    found = []
    for rng in (1, 1, 2, torch.Generator().manual_seed(1)):
        net.zero_grad()
        rule = RULES[name](rng=rng)
        for _ in range(3):
            rule(net, cross_entropy, x, y)
        found.append(gradients(net)["0.weight"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[3])


@pytest.mark.parametrize("name", RULES)
def test_batches_may_change_in_size_and_numbers_in_width(name: str) -> None:
    net, x, y = problem()
    rule = RULES[name]()
    rule(net, cross_entropy, x, y)
    rule(net, cross_entropy, x[:3], y[:3])
    wide = gradients(net)["0.weight"]
    other = copy.deepcopy(net).float()
    other.zero_grad()
    rule = RULES[name]()
    rule(other, cross_entropy, x.float(), y)
    rule(other, cross_entropy, x[:3].float(), y[:3])
    torch.testing.assert_close(gradients(other)["0.weight"].double(), wide, rtol=1e-3, atol=1e-4)

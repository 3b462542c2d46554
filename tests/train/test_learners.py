"""Oracles: the table of rules itself; back-propagation on the same network and rows."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from sparsefire.errors import UserError
from sparsefire.rules import RULES, MeZO, TwoQuery
from sparsefire.train import Training, build, outputs_of, train
from sparsefire.train.learners import LEARNERS, learner
from sparsefire.train.loop import rule_of, serves


def test_names_are_those_of_the_rules() -> None:
    assert set(LEARNERS) == set(RULES)
    for name, one in LEARNERS.items():
        made = one.make(0, 2)
        assert type(made) is RULES[name]
        assert isinstance(made.dense_gradients, bool)
        assert one.longer >= 1
        assert one.cost >= 1


@pytest.mark.parametrize("name", [name for name, one in LEARNERS.items() if one.refused])
def test_rules_without_a_plain_network_are_refused_with_a_way_out(name: str) -> None:
    with pytest.raises(UserError, match="cannot be had by name") as caught:
        learner(name)
    assert RULES[name].__name__ in caught.value.attempt
    assert name not in caught.value.expected


def test_an_unknown_rule_is_told_the_names() -> None:
    with pytest.raises(UserError, match="no rule 'magic'") as caught:
        learner("magic")
    assert "unit-differences" in caught.value.expected


def test_rules_that_replay_go_with_plain_weights_alone() -> None:
    assert serves("mezo", "static")
    assert serves("mezo", "gmp")
    for method in ("sign-in", "spred", "ham", "sam", "rigl"):
        assert not serves("mezo", method)
        assert not serves(MeZO(), method)
    with pytest.raises(UserError, match="leaves no gradient"):
        rule_of(Training("ham", 0.5, rule="mezo"), 0)


@pytest.mark.parametrize("method", ["l0", "gates", "synaptic-noise", "poisson-noise"])
def test_methods_that_draw_noise_want_rules_of_one_pass(method: str) -> None:
    able = {name for name, one in LEARNERS.items() if not one.refused and serves(name, method)}
    assert able == {"backprop", "feedback-alignment", "direct-feedback-alignment", "local-losses"}
    x, y = torch.randn(8, 3).numpy(), (torch.arange(8) % 2).numpy()
    with pytest.raises(UserError, match="draws noise in every pass"):
        train(nn.Sequential(nn.Linear(3, 2)), x, y, Training(method, 0.5), task="classification", rule=TwoQuery())


ACCURACY = {
    "node-perturbation": 0.90, "activity-forward-gradient": 0.90, "unit-differences": 0.93,
    "feedback-alignment": 0.92, "direct-feedback-alignment": 0.92,
    "local-losses": 0.93, "predictive-coding": 0.93, "zero-order-sam": 0.93, "two-query": 0.85, "one-query": 0.75,
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "two-query" else name for name in ACCURACY]
)
def test_rules_learn_digits(name: str) -> None:
    data = load_digits()
    x = ((data.data - 8) / 8).astype("float32")
    one = LEARNERS[name]
    widths = [64, 32, 10] if one.perturbs_weights else [64, 64, 10]
    epochs = 30 if one.perturbs_weights else 15
    settings = Training(
        "static", 0.5, rate=one.rate or 1e-2, epochs=epochs, batch=32, rule=name, directions=one.directions
    )
    net = build({"kind": "mlp", "widths": widths}, rng=0)
    train(net, x[:1400], data.target[:1400], settings, task="classification", rng=0)
    assert (outputs_of(net, x[1400:]).argmax(1) == data.target[1400:]).mean() > ACCURACY[name] - 0.05
    assert float((net[1].weight == 0).double().mean()) > 0.3


def test_a_rule_of_ones_own_is_used_and_its_budget_can_be_read() -> None:
    x, y = torch.randn(40, 3).numpy(), (torch.arange(40) % 2).numpy()
    rule, seen = TwoQuery(directions=3, rng=0), []
    train(
        nn.Sequential(nn.Linear(3, 2)), x, y, Training(epochs=2, batch=20), task="classification", rng=0, rule=rule,
        watch=lambda epoch, net, loss: seen.append(rule.budget.queries),
    )  # fmt: skip
    assert seen == [12, 24]

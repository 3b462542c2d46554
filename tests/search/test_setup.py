"""What can be known before training is told before training."""

from __future__ import annotations

import pytest
import torch

from sparsefire.errors import UserError
from sparsefire.search.setup import _try_rule
from sparsefire.train import build
from sparsefire.train.learners import LEARNERS

OFFERED = [name for name, one in LEARNERS.items() if not one.refused]
CNN = {"kind": "cnn", "channels": [2, 3], "hidden": 5, "shape": [1, 8, 8], "outputs": 3}


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", OFFERED)
def test_every_rule_serves_a_perceptron_and_leaves_it_alone(name: str, task: str) -> None:
    net = build({"kind": "mlp", "widths": [5, 4, 3 if task == "classification" else 1]}, rng=0)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    noise = torch.get_rng_state()
    _try_rule(name, net, (5,), task)
    assert torch.equal(torch.get_rng_state(), noise)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_structure_that_a_rule_cannot_serve_is_told_by_its_layer() -> None:
    net = build(CNN, rng=0)
    _try_rule("node-perturbation", net, (1, 8, 8), "classification")
    with pytest.raises(UserError, match=r"'unit-differences' cannot train this network.*Conv2d"):
        _try_rule("unit-differences", net, (1, 8, 8), "classification")

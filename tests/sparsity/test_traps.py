"""What has gone wrong in other packages for sparse training, one defect per test."""

from __future__ import annotations

import copy
import io
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import sparsefire as sf
from sparsefire import masks

MOVING = ["static", "gmp", "rigl", "set"]
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 60), nn.ReLU(), nn.Linear(60, 3))


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(300, 20, generator=torch.Generator().manual_seed(0))
    return x, (x[:, :3].argmax(1))


def steps(net: nn.Module, optimizer: torch.optim.Optimizer, topology: object, count: int) -> float:
    x, y = rows()
    for _ in range(count):
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        if topology is not None:
            topology.step()  # type: ignore[attr-defined]
        optimizer.zero_grad()
    return float(loss.detach())


@pytest.mark.parametrize("method", MOVING)
def test_training_that_goes_on_keeps_the_mask_until_it_is_baked(method: str) -> None:
    net = network()
    optimizer = OPTIMIZERS["adamw"](net.parameters())
    topology = sf.sparsify(net, 0.1, method, None, optimizer, steps=40, rng=0)
    steps(net, optimizer, topology, 40)
    topology.step()
    steps(net, optimizer, None, 20)  # the topology has done its part, or was forgotten
    own = [masks.own_parameter(layer) for layer in (net[0], net[2])]
    assert sum(int(weight.count_nonzero()) for weight in own) <= round(0.1 * 1380)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_made_before_goes_on_training(name: str) -> None:
    net = network()
    optimizer = OPTIMIZERS[name](net.parameters())
    before = steps(net, optimizer, None, 1)
    sf.sparsify(net, 0.3, "static", None, optimizer, rng=0)
    assert steps(net, optimizer, None, 150) < 0.6 * before


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("method", MOVING)
def test_momentum_and_decay_revive_nothing_at_any_step(method: str, name: str) -> None:
    net = network()
    optimizer = OPTIMIZERS[name](net.parameters())
    steps(net, optimizer, None, 5)  # moments everywhere
    topology = sf.sparsify(net, 0.2, method, None, optimizer, steps=30, rng=0)
    for _ in range(30):
        steps(net, optimizer, topology, 1)
        for layer, mask in zip(masks.masked(net).values(), sf.sparsity.masks(net).values(), strict=True):
            own = masks.own_parameter(layer)
            assert own[~mask].abs().sum() == 0
            for value in optimizer.state[own].values():
                assert value.shape != own.shape or value[~mask].abs().sum() == 0


def test_a_weight_that_is_grown_starts_at_zero_with_zero_moments() -> None:
    net = network()
    optimizer = OPTIMIZERS["adamw"](net.parameters())
    topology = sf.sparsify(net, 0.2, "rigl", None, optimizer, steps=100, rng=0)  # what was dropped may return
    exchange, seen = topology._exchange, 0

    def watched(stays: dict[str, torch.Tensor], grows: dict[str, torch.Tensor]) -> None:
        nonlocal seen
        exchange(stays, grows)
        for name, layer in masks.masked(net).items():
            own = masks.own_parameter(layer)
            seen += int(grows[name].sum())
            assert own[grows[name]].abs().sum() == 0
            assert optimizer.state[own]["exp_avg"][grows[name]].abs().sum() == 0

    topology._exchange = watched  # type: ignore[attr-defined]
    steps(net, optimizer, topology, 10)
    assert seen > 0


def test_the_state_is_plain_and_small() -> None:
    net = network()
    optimizer = OPTIMIZERS["adamw"](net.parameters())
    dense = sum(value.numel() * value.element_size() for value in net.state_dict().values())
    topology = sf.sparsify(net, 0.02, "rigl", None, optimizer, steps=50, rng=0)
    steps(net, optimizer, topology, 5)
    sparse = sum(value.numel() * value.element_size() for value in net.state_dict().values())
    assert sparse <= 1.3 * dense  # one byte beside four, no copy of gradients
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "topology": topology.state_dict(), "opt": optimizer.state_dict()}, file)
    file.seek(0)
    torch.load(file, weights_only=True)


def test_a_network_can_be_copied_after_a_pass() -> None:
    net = network()
    sf.sparsify(net, 0.2, "static", rng=0)
    out = net(rows()[0])
    other = copy.deepcopy(net)
    assert torch.equal(other(rows()[0]), out)
    sf.bake(net)
    assert torch.equal(pickle.loads(pickle.dumps(net))(rows()[0]), out)


@pytest.mark.parametrize("density", [0.003, 0.1234, 0.5, 0.999])
def test_density_is_absolute_and_counted_exactly_with_ties(density: float) -> None:
    net = network()
    optimizer = OPTIMIZERS["sgd"](net.parameters())
    with torch.no_grad():
        net[0].weight.fill_(0.5)
        net[2].weight.fill_(-0.5)
    topology = sf.sparsify(net, density, "one-shot", None, optimizer, steps=2, rng=0)
    for _ in range(2):
        optimizer.step()
        topology.step()
    kept = sum(int(mask.sum()) for mask in sf.sparsity.masks(net).values())
    assert kept == round(density * 1380)


@pytest.mark.parametrize("method", ["static", "gmp", "rigl", "set", "sign-in", "synaptic-noise", "fields"])
def test_the_global_random_states_are_left_alone(method: str) -> None:
    net = network()
    optimizer = OPTIMIZERS["adamw"](net.parameters())
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index] # noqa: NPY002
    topology = sf.sparsify(net, 0.2, method, None, optimizer, steps=30, data=rows(), rng=0)
    steps(net, optimizer, topology, 30)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # type: ignore[index] # noqa: NPY002


def test_the_room_imports_no_framework_but_torch_and_not_what_that_is_giving_up() -> None:
    code = (
        "import sys, sparsefire.sparsity; "
        "names = ('lightning', 'transformers', 'torchvision', 'sklearn', 'onnx', 'ray', 'torch.ao.pruning'); "
        "print([n for n in sys.modules if n.startswith(names)])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

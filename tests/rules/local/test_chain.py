"""Oracles: what PyTorch's own Sequential computes; names counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sparsefire.errors import UserError
from sparsefire.rules.local.chain import apart, blocks, linear_blocks, one_input, unmoved_on_error, weights_of
from sparsefire.sparsity import sparsify


def generator(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def nested() -> nn.Sequential:
    relu = nn.ReLU()  # one module in two places
    return nn.Sequential(
        nn.BatchNorm2d(2),
        nn.Sequential(nn.Conv2d(2, 3, 3), relu, nn.MaxPool2d(2)),
        nn.Flatten(),
        nn.Sequential(nn.Sequential(nn.Linear(12, 5), relu), nn.Dropout(0.5)),
        nn.Linear(5, 2),
    )


def test_nested_chains_are_read_in_order_and_compute_the_same() -> None:
    net = nested()
    chain = blocks(net, "a rule")
    assert [block.name for block in chain] == ["1.0", "3.0.0", "4"]
    assert [len(block.after) for block in chain] == [3, 2, 0]
    assert [len(block.before) for block in chain] == [1, 0, 0]
    assert all(net.get_submodule(block.name) is block.layer for block in chain)
    assert weights_of(chain) == [54, 60, 10]
    x = torch.randn(4, 2, 6, 6, generator=generator())
    noise = torch.get_rng_state()
    outputs = apart(chain, x)
    torch.set_rng_state(noise)
    assert torch.equal(outputs[-1], net(x))


@pytest.mark.parametrize("method", ["static", "sign-in"])
def test_masked_and_product_layers_are_layers(method: str) -> None:
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    sparsify(net, 0.4, method, optimizer=torch.optim.SGD(net.parameters(), lr=0.1), steps=10, rng=0)
    assert [block.name for block in blocks(net, "a rule")] == ["0", "2"]


def test_no_gradient_passes_between_blocks() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x = torch.ones(2, 3, requires_grad=True)
    apart(blocks(net, "a rule"), x)[-1].sum().backward()
    assert net[0].weight.grad is None
    assert x.grad is None
    assert net[2].weight.grad is not None


class Own(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + super().forward(x)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.LSTM(2, 2)), ["'1'", "LSTM"]),
        (nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.MultiheadAttention(2, 1))), ["'1.0'", "MultiheadAttention"]),
        (nn.Sequential(nn.Linear(2, 2), Own(nn.Linear(2, 2))), ["'1'", "Own"]),
        (nn.Sequential(nn.ConvTranspose1d(2, 2, 1), nn.Linear(2, 2)), ["'0'", "ConvTranspose1d"]),
        (nn.Sequential(nn.ReLU()), ["layer with weights"]),
        (nn.Linear(2, 2), ["chain", "Linear"]),
        (Own(nn.Linear(2, 2)), ["chain", "Own"]),
    ],
)
def test_what_is_no_chain_is_refused_by_name(net: nn.Module, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        blocks(net, "a rule")
    assert "a rule" in str(caught.value)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("net", "name"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Conv1d(2, 2, 1)), "'1' (Conv1d)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(2, 2)), "'0' (Flatten)"),
        (nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Linear(2, 2)), "'1' (Dropout)"),
        (nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Tanh()), "'2' (Tanh)"),
        (nn.Sequential(nn.Linear(2, 2), nn.Softmax(1)), "'1' (Softmax)"),
    ],
)
def test_linear_chains_take_one_activation_that_never_falls(net: nn.Module, name: str) -> None:
    with pytest.raises(UserError, match=r"layer '\d'") as caught:
        linear_blocks(net, "a rule")
    assert name in str(caught.value)


def test_one_tensor_enters() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    for given in (x, (x,), {"input": x}):
        assert torch.equal(one_input(given, "a rule"), x)
        assert not one_input(given, "a rule").requires_grad
    for given in ((x, x), {}, [x], torch.ones(3), 1.0):
        with pytest.raises(UserError, match="one input tensor"):
            one_input(given, "a rule")


def test_running_statistics_come_back_after_an_error() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = {name: value.clone() for name, value in net.named_buffers()}

    def fail() -> None:
        net(torch.randn(5, 3, generator=generator()))
        assert not torch.equal(net[1].running_mean, before["1.running_mean"])
        raise KeyError

    with pytest.raises(KeyError), unmoved_on_error(net):
        fail()
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())
    with unmoved_on_error(net):
        net(torch.randn(5, 3, generator=generator()))
    assert int(net[1].num_batches_tracked) == 1

"""Oracles: exact counts over the layers asked for, and plain torch on the exported weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import METHODS, recipe, sparsify
from sparsefire.sparsity.steps.sam import SAM
from sparsefire.sparsity.steps.wrapper import needs_closure

STEPS, DENSITY = 28, 0.3


class Reader(nn.Module):
    """Words, attention, a verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 8, padding_idx=0)
        self.look = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.look(self.words(x)).mean(1))


USUAL = ["look.self_attn.in_proj", "look.self_attn.out_proj", "look.linear1", "look.linear2", "out"]
SIZE = 24 * 8 + 8 * 8 + 2 * 96 + 24


def batch(number: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(number)
    return torch.randint(0, 11, (8, 5), generator=generator), torch.randint(0, 3, (8,), generator=generator)


def trained(method: str, layers: list[str] | None) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Reader()
    optimizer: Any = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.01)
    if "closure" in recipe(method).needs:
        optimizer = SAM(optimizer)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    topology = sparsify(
        net, DENSITY, method, optimizer=optimizer, scheduler=scheduler, steps=STEPS, data=batch(999),
        loss=nn.functional.cross_entropy, layers=layers, rng=0,
    )  # fmt: skip
    for number in range(STEPS):
        x, y = batch(number)

        def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            return loss

        closure()
        optimizer.step(closure) if needs_closure(optimizer) else optimizer.step()
        scheduler.step(), topology.step(), optimizer.zero_grad()
    return net.eval()


@pytest.mark.parametrize(
    "layers", [None, ["words", *USUAL], USUAL[:-1]], ids=["usual", "words too", "without the last"]
)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_attention_and_what_is_named(method: str, layers: list[str] | None) -> None:
    if recipe(method).own_score in ("wanda", "obc", "synflow"):
        pytest.skip("this score is for networks that call all their layers, or for homogeneous ones")
    net = trained(method, layers)
    found = masks.masks(net)
    assert list(found) == (layers or USUAL)
    size = sum(mask.numel() for mask in found.values())
    count = sum(int(mask.sum()) for mask in found.values())
    half = min(map(len, found.values())) // 2  # fan-ins balance each other up to the smallest layer's units
    assert abs(count - round(DENSITY * size)) <= (0 if recipe(method).pattern is None else half)
    kept = {name: mask.clone() for name, mask in found.items()}
    x, _ = batch(100)
    expected = net(x).detach()
    masks.bake(net)
    assert type(net.look.self_attn) is nn.MultiheadAttention
    assert list(net.state_dict()) == list(Reader().state_dict())
    assert torch.equal(net(x), expected)
    for name, mask in kept.items():
        assert not masks.maskable(net, [name])[name].weight[~mask].any()
    if layers is None:
        assert masks.density(net) <= count / size


def test_wrong_layers_are_told_before_anything_is_touched() -> None:
    net = Reader()
    for layers, message in ((["look.norm1"], "no layer 'look.norm1'"), ([], "no layer is named"), ("out", "names")):
        with pytest.raises(UserError, match=message):
            sparsify(net, 0.5, layers=layers)
    assert masks.masks(net) == {}

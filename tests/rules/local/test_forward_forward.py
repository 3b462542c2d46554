"""Oracles: autograd of the stated loss, written out; accuracy on digits."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.local import ForwardForward


def draw(*shape: int, number: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


@pytest.mark.parametrize("goodness", ["mean", "sum"])
def test_every_block_follows_its_own_loss(goodness: str) -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 7), nn.ReLU()), nn.Linear(7, 4)).double()
    x, y = draw(9, 6), torch.tensor([0, 1, 0, 1, 0, 1, 1, 1, 0])
    rule = ForwardForward(classes=2, threshold=0.7, goodness=goodness, amplitude=1.5, rng=0)
    loss = rule(net, None, x, y)
    right, wrong = x.clone(), x.clone()
    right[:, :2] = 1.5 * torch.eye(2)[y]
    wrong[:, :2] = 1.5 * torch.eye(2)[1 - y]  # with two classes the wrong label is the other one
    losses, h = [], torch.cat([right, wrong])
    for number, (block, layer) in enumerate(((net[:2], net[0]), (net[2], net[2][0]), (net[3], net[3]))):
        entering = h.detach()
        if number:
            entering = nn.functional.normalize(entering, dim=1) * entering.shape[1] ** 0.5
        h = block(entering)
        total = h.square().mean(1) if goodness == "mean" else h.square().sum(1)
        probability = torch.sigmoid(total - 0.7)
        losses.append(-(probability[:9].log().mean() + torch.sigmoid(0.7 - total[9:]).log().mean()) / 2)
        for parameter in (layer.weight, layer.bias):
            expected = torch.autograd.grad(losses[-1], parameter, retain_graph=True)[0]
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(loss, torch.stack(losses).mean().detach())


def test_wrong_labels_are_uniform_over_the_others() -> None:
    seen = []

    class Spy(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach())
            return super().forward(x)

    y = torch.arange(4).repeat(2000)
    rule = ForwardForward(classes=4, rng=0)
    rule(nn.Sequential(Spy(5, 3), nn.ReLU()), None, torch.ones(8000, 5), y)
    right, wrong = seen[0][:8000, :4].argmax(1), seen[0][8000:, :4].argmax(1)
    assert torch.equal(right, y)
    assert not (wrong == y).any()
    for label in range(4):
        shares = torch.bincount(wrong[y == label], minlength=4) / 2000
        assert (shares[[k for k in range(4) if k != label]] - 1 / 3).abs().max() < 4 * (2 / 9 / 2000) ** 0.5
    assert torch.equal(seen[0][:, 4], torch.ones(16000))


def test_the_prediction_is_the_label_of_largest_goodness_above_the_first_block() -> None:
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU()).double()
    x, rule = draw(6, 5), ForwardForward(classes=3, rng=0)
    found = rule.predict(net, x)
    for row, label in zip(x, found.tolist(), strict=True):
        best = []
        for k in range(3):
            h = net[:2](torch.cat([torch.eye(3, dtype=torch.float64)[k], row[3:]])).detach()
            best.append(float(net[2:](h / h.square().mean().sqrt()).detach().square().mean()))
        assert label == best.index(max(best))
    single = nn.Sequential(nn.Linear(5, 8), nn.ReLU()).double()
    assert rule.predict(single, x).shape == (6,)  # a single block predicts by itself


def test_it_learns_digits() -> None:
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    x = torch.cat([torch.zeros(len(x), 10), x], 1)  # room for the label beside the pixels
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, test = order[:1437], order[1437:]
    net = nn.Sequential(nn.Linear(74, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU())
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.uniform_(-(parameter.shape[-1] ** -0.5), parameter.shape[-1] ** -0.5, generator=draws)
    rule, optimizer = ForwardForward(classes=10, rng=0), torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(20):
        for rows in train[torch.randperm(1437, generator=draws)].split(128):
            rule(net, None, x[rows], y[rows])
            optimizer.step(), optimizer.zero_grad()
    assert (rule.predict(net, x[test]) == y[test]).float().mean() >= 0.9


def test_the_budget_by_hand() -> None:
    net = nn.Sequential(nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 4))
    rule = ForwardForward(classes=10, rng=0)
    for _ in range(2):
        rule(net, None, torch.ones(7, 12), torch.arange(7))
    budget = rule.budget
    assert (budget.calls, budget.samples, budget.queries, budget.forward_passes) == (2, 14, 4, 12)
    assert budget.random_bits == 2 * 7 * 4  # one of nine wrong labels


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (torch.ones(4, 2), torch.zeros(4, dtype=torch.int64), "first 3 entries"),
        (torch.ones(4, 2, 5), torch.zeros(4, dtype=torch.int64), "first 3 entries"),
        (torch.ones(4, 5), torch.zeros(4), "class codes"),
        (torch.ones(4, 5), torch.full((4,), 3), "class codes"),
        (torch.ones(4, 5), torch.full((4,), -1), "class codes"),
        (torch.ones(4, 5), torch.zeros(4, 1, dtype=torch.int64), "class codes"),
        (torch.ones(4, 5), [0, 1, 2, 0], "class codes"),
    ],
)
def test_other_data_are_refused(x: Tensor, y, words: str) -> None:
    with pytest.raises(UserError, match=words):
        ForwardForward(classes=3)(nn.Sequential(nn.Linear(5, 4), nn.ReLU()), None, x, y)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": 1}, "labels"),
        ({"classes": 3, "threshold": 0}, "threshold"),
        ({"classes": 3, "amplitude": -1.0}, "amplitude"),
        ({"classes": 3, "goodness": "max"}, "'max'"),
    ],
)
def test_options_are_checked(options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        ForwardForward(**options)

"""Oracles: a training loop written out in plain torch, scores on real digits, exact densities, global state at rest."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from sparsefire import masks, randomness
from sparsefire.errors import UserError
from sparsefire.sparsity import METHODS
from sparsefire.sparsity.topology.moving import Moving
from sparsefire.train import Training, build, outputs_of, train
from sparsefire.train.learners import LEARNERS
from sparsefire.train.loop import check_rule, loss_of, serves

MLP = {"kind": "mlp", "widths": [64, 48, 32, 10]}
WEIGHTS = 64 * 48 + 48 * 32 + 320


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    x = ((x - 5) / 6).astype("float32")
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order].astype("int64")
    return x[:1200], y[:1200], x[1200:], y[1200:]


def accuracy(net: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    return float((outputs_of(net, x).argmax(1) == y).mean())


def small() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(70, 6)).astype("float32")
    return x, (x[:, 0] + x[:, 1] > 0).astype("int64")


def test_a_dense_training_is_the_loop_written_out() -> None:
    """AdamW, decay on weights only, warm-up over 5% and half a cosine, rows in the order of the stream."""
    x, y = small()
    net = build({"kind": "mlp", "widths": [6, 12, 2]}, rng=0)
    twin = copy.deepcopy(net)
    train(net, x, y, Training(rate=0.02, epochs=10, batch=16, weight_decay=0.3), task="classification", rng=5)
    linear = [m for m in twin if isinstance(m, nn.Linear)]
    optimizer = torch.optim.AdamW(
        [
            {"params": [m.weight for m in linear], "weight_decay": 0.3},
            {"params": [m.bias for m in linear], "weight_decay": 0.0},
        ],
        lr=0.02,
    )
    steps, order, done = 10 * 5, randomness.stream(5, "batches"), 0  # 70 rows: four batches of 16, one of 6
    warm = round(0.05 * steps)
    for _ in range(10):
        for block in np.split(order.permutation(70), [16, 32, 48, 64]):
            rising = (done + 1) / (warm + 1)
            rate = rising if done < warm else 0.5 * (1 + math.cos(math.pi * (done - warm) / (steps - warm)))
            for group in optimizer.param_groups:
                group["lr"] = 0.02 * rate
            optimizer.zero_grad()
            nn.functional.cross_entropy(twin(torch.from_numpy(x[block])), torch.from_numpy(y[block])).backward()
            optimizer.step()
            done += 1
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def weights_in(net: nn.Module) -> int:
    """Return how many weights there are: in the masks, or all that are not zero."""
    found = masks.masks(net)
    return sum(int(mask.sum()) for mask in found.values()) if found else round(masks.density(net) * size(net))


def size(net: nn.Module) -> int:
    return sum(layer.weight.numel() for layer in masks.layers(net).values())


def reached(method: str) -> bool:
    """Say whether all weights that exist have moved from zero; what has just grown may not have been, by any row."""
    return method == "dense" or not issubclass(METHODS[method].moves, Moving)


@pytest.mark.parametrize("method", ["dense", *METHODS])
def test_few_epochs_of_every_method_leave_a_plain_network_at_its_exact_density(method: str) -> None:
    x, y = small()
    net = build({"kind": "mlp", "widths": [6, 20, 2]}, rng=0)
    plain = [type(m) for m in net]
    density = 1.0 if method == "dense" else 0.2
    counts: list[int] = []
    found = train(
        net, x, y, Training(method, density, epochs=9, batch=70), task="classification", rng=0,
        watch=lambda *_: counts.append(weights_in(net)),
    )  # fmt: skip
    assert found is net
    assert [type(m) for m in net] == plain
    assert not net.training
    assert masks.masks(net) == {}
    present = sum(int(m.weight.count_nonzero()) for m in net if isinstance(m, nn.Linear))
    assert counts[-1] == round(density * 160)  # fan-ins too: layers of 20 and 2 units balance each other
    assert present == counts[-1] if reached(method) else 0.75 * counts[-1] <= present <= counts[-1]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_the_digits_at_density_a_fifth(method: str, digits: tuple) -> None:
    x, y, x_test, y_test = digits
    epochs = 40 if METHODS[method].moves.schedules(0.2) > 1 else 15  # which are divided among its levels
    counts: list[int] = []
    net = train(
        build(MLP, rng=0), x, y, Training(method, 0.2, rate=0.01, epochs=epochs), task="classification", rng=0,
        watch=lambda _, watched, __: counts.append(weights_in(watched)),
    )  # fmt: skip
    assert accuracy(net, x_test, y_test) > (0.85 if method == "l0" else 0.9)
    present = sum(int(m.weight.count_nonzero()) for m in net if isinstance(m, nn.Linear))
    assert counts[-1] == round(0.2 * WEIGHTS)
    assert present == counts[-1] if reached(method) else 0.95 * counts[-1] <= present <= counts[-1]


def test_a_forward_gradient_learns_without_a_backward_pass(digits: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, x_test, y_test = digits
    monkeypatch.setattr(torch.Tensor, "backward", None)
    settings = Training("static", 0.3, rate=0.01, epochs=12, rule="forward-gradient", directions=16)
    net = train(build({"kind": "mlp", "widths": [64, 10]}, rng=0), x, y, settings, task="classification", rng=0)
    assert accuracy(net, x_test, y_test) > 0.7
    assert masks.density(net) == 192 / 640


OFFERED = [name for name, one in LEARNERS.items() if not one.refused]
PAIRS = [(m, r) for m in ("dense", *METHODS) for r in ("backprop", "forward-gradient") if serves(r, m)]
PAIRS += [(m, r) for m in ("dense", "static", "sign-in", "set", "rigl") for r in OFFERED[2:] if serves(r, m)]


@pytest.mark.parametrize(("method", "rule"), PAIRS)
def test_the_same_rng_gives_the_same_network_to_the_last_bit(method: str, rule: str) -> None:
    x, y = small()
    found = []
    for rng in (0, 0, 1):
        net = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Dropout(0.2), nn.Linear(20, 2))
        generator = torch.Generator().manual_seed(0)
        for parameter in net.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
        settings = Training(method, 0.3 if method != "dense" else 1.0, epochs=2, batch=16, rule=rule, directions=2)
        train(net, x, y, settings, task="classification", rng=rng)
        torch.rand(17)  # whoever draws in between changes nothing
        found.append(outputs_of(net, x))
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()


@pytest.mark.parametrize("rule", OFFERED)
def test_global_generators_are_left_as_they_were(rule: str) -> None:
    x, y = small()
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    net = build({"kind": "mlp", "widths": [6, 20, 2]}, rng=0)
    net.insert(1, nn.Dropout(0.5))
    train(net, x, y, Training("static", 0.5, epochs=2, rule=rule), task="classification", rng=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002


def test_regression_reaches_a_linear_truth() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 5)).astype("float32")
    y = x @ np.array([1.0, -2.0, 0.0, 0.5, 0.0])
    net = train(
        build({"kind": "mlp", "widths": [5, 1]}), x, y, Training("gmp", 0.6, rate=0.05, epochs=60, weight_decay=0.0),
        task="regression", rng=0,
    )  # fmt: skip
    assert net[1].weight.detach().numpy()[0] == pytest.approx([1, -2, 0, 0.5, 0], abs=0.01)
    assert (net[1].weight[0] == 0).tolist() == [False, False, True, False, True]


def test_watch_sees_each_epoch_and_the_mean_loss_of_the_rows_seen() -> None:
    x, y = np.zeros((65, 3), "float32"), np.zeros(65, "int64")  # one row is left over, and left out
    net = build({"kind": "mlp", "widths": [3, 4]})
    seen = []
    settings = Training(rate=0.0, epochs=3, batch=64)
    train(net, x, y, settings, task="classification", rng=0, watch=lambda e, n, loss: seen.append((e, n is net, loss)))
    assert [(epoch, same) for epoch, same, _ in seen] == [(1, True), (2, True), (3, True)]
    assert [loss for *_, loss in seen] == pytest.approx([math.log(4)] * 3)


@pytest.mark.parametrize("classes", [2, 10, 15, 16, 40])
def test_losses_by_row_are_cross_entropies_with_their_gradient(classes: int) -> None:
    output = 30 * torch.randn(33, classes, generator=torch.Generator().manual_seed(0))
    target = torch.arange(33) % classes
    losses, slopes = [], []
    for loss_fn in (loss_of("classification", per_row=True), nn.CrossEntropyLoss(reduction="none")):
        leaf = output.clone().requires_grad_()
        losses.append(loss_fn(leaf, target))
        slopes += torch.autograd.grad(losses[-1].square().sum(), leaf)
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*slopes)
    assert losses[0].shape == (33,)


def test_rewinding_divides_its_epochs_among_its_levels() -> None:
    x, y = small()
    epochs = []
    train(
        build({"kind": "mlp", "widths": [6, 20, 2]}), x, y, Training("lrr", 0.5, epochs=10, batch=70),
        task="classification", rng=0, watch=lambda e, n, _: epochs.append((e, masks.density(n))),
    )  # fmt: skip
    levels = [1.0, 0.8, 0.64, 0.512, 0.5]  # pruned at the end of the second epoch of each level
    counts = [round(160 * d) / 160 for d in levels]
    assert [density for _, density in epochs] == [1.0, *(d for d in counts[1:] for _ in range(2)), counts[-1]]


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_few_rows_are_enough(rows: int) -> None:
    x, y = small()
    net = build({"kind": "mlp", "widths": [6, 4, 2]})
    train(net, x[:rows], y[:rows], Training("gmp", 0.5, epochs=2, batch=2), task="classification", rng=0)
    assert all(p.isfinite().all() for p in net.parameters())


def test_no_rows_and_wrong_pairs_are_errors() -> None:
    x, y = small()
    net = build({"kind": "mlp", "widths": [6, 4, 2]})
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(UserError, match="no rows"):
        train(net, x[:0], y[:0], Training(), task="classification")
    with pytest.raises(UserError, match="forward-gradient") as caught:
        train(net, x, y, Training("rigl", 0.5, rule="forward-gradient"), task="classification")
    assert "gmp" in caught.value.expected
    assert "rigl" not in caught.value.expected
    with pytest.raises(UserError, match="no rule 'evolution'"):
        check_rule("evolution", "gmp")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_outputs_are_those_of_evaluation_in_any_chunking(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    x, _ = small()
    net.train()
    with torch.no_grad():
        expected = copy.deepcopy(net).eval()(torch.from_numpy(x)).double().numpy()
    monkeypatch.setattr("sparsefire.train.loop.CHUNK", 16)
    found = outputs_of(net, x)
    assert net.training
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_outputs_of_a_diverged_network_are_finite() -> None:
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[float("nan"), 0.0], [float("inf"), 0.0]]))
        net.bias.zero_()
    assert np.isfinite(outputs_of(net, np.ones((3, 2), "float32"))).all()
    assert outputs_of(net, np.ones((3, 2), "float32"))[0, 0] == 0.0

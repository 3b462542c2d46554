"""Oracle: the published algorithms: Zhu and Gupta 2017, Evci 2020 (RigL, ERK), Renda 2020 (LRR), Sign-In's reset."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import sparsefire as sf
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.gradual import Gradual
from sparsefire.wiring import layer_counts

X = torch.randn(64, 12, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * X[:, 1] > 0).long() + (X[:, 2] > 0.8).long()  # three classes: with two, |gradients| come in pairs


def small(seed: int = 0) -> nn.Sequential:
    """A network with two hidden layers and a batch norm."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(12, 30), nn.BatchNorm1d(30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 3)
    )


def linear_layers(net: nn.Module) -> list[nn.Linear]:
    """Layers with weights."""
    return [layer for layer in net if isinstance(layer, nn.Linear)]


def backward(net: nn.Module) -> None:
    """One exact gradient on the fixed batch."""
    nn.functional.cross_entropy(net(X), Y).backward()


def effective(net: nn.Module) -> list[torch.Tensor]:
    """Weights as the network uses them."""
    return [layer.weight.detach().clone() for layer in linear_layers(net)]


# ---------------------------------------------------------------- gradual magnitude pruning


def cubic(step: int, final: float, begin: float, end: float) -> float:
    """Density of Zhu and Gupta: s_t = s_f + (s_i − s_f)(1 − (t − t0)/(nΔt))³, s_i = 0."""
    if step <= begin:
        return 1.0
    if step >= end:
        return final
    sparsity = (1 - final) + (0 - (1 - final)) * (1 - (step - begin) / (end - begin)) ** 3
    return 1 - sparsity


@pytest.mark.parametrize("final", [0.5, 0.1, 0.03])
def test_gmp_follows_the_cubic_schedule_at_every_step(final: float) -> None:
    net = small()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    steps, total = 40, sum(layer.weight.numel() for layer in linear_layers(net))
    topology = sf.sparsify(net, final, "gmp", optimizer=optimizer, steps=steps, rng=0)  # a fiftieth: every step
    before = [torch.ones_like(w, dtype=torch.bool) for w in effective(net)]
    for step in range(1, steps + 1):
        backward(net)
        optimizer.step()
        weights = effective(net)
        topology.step()
        optimizer.zero_grad()
        masks = [mask.clone() for mask in sf.masks.masks(net).values()]
        kept = sum(int(mask.sum()) for mask in masks)
        expected = cubic(step, final, 0.1 * steps, 0.75 * steps)
        assert abs(kept - expected * total) <= 0.5 + 1e-6, (step, kept / total, expected)
        # the survivors are the largest of those that were there, over all layers together
        sizes = torch.cat([w.abs()[m] for w, m in zip(weights, before, strict=True)])
        threshold = sizes.sort(descending=True).values[kept - 1]
        for w, old, new in zip(weights, before, masks, strict=True):
            assert not (new & ~old).any()
            assert (w.abs()[new] >= threshold).all()
            assert (w.abs()[old & ~new] <= threshold).all()
        before = masks
    assert sum(int((w != 0).sum()) for w in effective(net)) == round(final * total)


def test_gmp_prunes_every_fiftieth_of_a_longer_training() -> None:
    net = small()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    topology = sf.sparsify(net, 0.1, "gmp", optimizer=optimizer, steps=200, rng=0)
    total, moved, last = sum(layer.weight.numel() for layer in linear_layers(net)), [], None
    for step in range(1, 201):
        backward(net)
        optimizer.step()
        topology.step()
        optimizer.zero_grad()
        kept = sum(int(mask.sum()) for mask in sf.masks.masks(net).values())
        if last is not None and kept != last:
            moved.append(step)
            assert abs(kept - cubic(step, 0.1, 20, 150) * total) <= 0.5 + 1e-6
        last = kept
    assert moved[0] > 20
    assert moved[-1] <= 154
    assert set(np.diff(moved).tolist()) <= {2, 4}  # 200 / 50, and perhaps a last shorter one at the end
    assert last == round(0.1 * total)


def test_gmp_schedule_is_a_function_of_the_step() -> None:
    net = small()
    masked = copy.deepcopy(net)
    for layer in linear_layers(masked):
        sf.masks.attach_(layer, torch.ones_like(layer.weight, dtype=torch.bool))
    optimizer = torch.optim.SGD(masked.parameters(), lr=0.1)
    topology = Gradual(Setting(masked, 0.07, optimizer=optimizer, steps=1000), begin=0.2, end=0.6)
    for step in range(0, 1001, 37):
        assert topology.density_at(step) == pytest.approx(cubic(step, 0.07, 200, 600), abs=1e-12)


# ---------------------------------------------------------------- layouts


def by_bisection(shapes: list[tuple[int, ...]], raw: list[float], total: int) -> list[float]:
    """Amounts min(N_l, ε · raw_l · N_l) with ε from bisection, so that they sum to the total."""
    sizes = [math.prod(shape) for shape in shapes]
    low, high = 0.0, 1e9
    for _ in range(300):
        middle = (low + high) / 2
        amount = sum(min(n, middle * r * n) for n, r in zip(sizes, raw, strict=True))
        low, high = (middle, high) if amount < total else (low, middle)
    return [min(n, high * r * n) for n, r in zip(sizes, raw, strict=True)]


SHAPE = st.one_of(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 5), st.integers(1, 5)),
)


@settings(max_examples=150, deadline=None)
@given(shapes=st.lists(SHAPE, min_size=1, max_size=6), density=st.floats(0.01, 1.0))
@pytest.mark.parametrize("layout", ["erk", "balanced", "uniform"])
def test_layer_counts_solve_the_closed_form(layout: str, shapes: list[tuple[int, ...]], density: float) -> None:
    sizes = [math.prod(shape) for shape in shapes]
    total = max(1, round(density * sum(sizes)))
    if total < len(shapes):
        return
    if layout == "erk":  # (n_in + n_out + w + h) / (n_in · n_out · w · h), Evci et al. 2020
        raw = [sum(shape) / math.prod(shape) for shape in shapes]
    elif layout == "balanced":
        raw = [1 / size for size in sizes]
    else:
        raw = [1.0] * len(shapes)
    found = layer_counts(shapes, density, layout)
    assert sum(found) == total
    assert all(1 <= count <= size for count, size in zip(found, sizes, strict=True))
    wanted = by_bisection(shapes, raw, total)
    if min(wanted) >= 1:  # else the floor of one weight per layer moves the others
        for count, amount in zip(found, wanted, strict=True):
            assert abs(count - amount) < 1 + 1e-6, (found, wanted)


@pytest.mark.parametrize("method", ["static", "rigl", "sign-in"])
@pytest.mark.parametrize("layout", ["erk", "balanced", "uniform"])
def test_masks_have_the_counts_of_the_layout(method: str, layout: str) -> None:
    net = small()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sf.sparsify(net, 0.15, method, layout=layout, optimizer=optimizer, steps=100, rng=0)
    shapes = [tuple(layer.weight.shape) for layer in linear_layers(net)]
    assert [int(mask.sum()) for mask in sf.masks.masks(net).values()] == layer_counts(shapes, 0.15, layout)


# ---------------------------------------------------------------- RigL


def optimizer_of(name: str, net: nn.Module) -> torch.optim.Optimizer:
    """Optimizers of the masks contract."""
    if name == "sgd":
        return torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    if name == "adam":
        return torch.optim.Adam(net.parameters(), lr=5e-3)
    return torch.optim.AdamW(net.parameters(), lr=5e-3, weight_decay=0.1)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_rigl_moves_what_the_paper_says(kind: str) -> None:
    net = small()
    optimizer = optimizer_of(kind, net)
    steps, end = 200, 150
    topology = sf.sparsify(net, 0.2, "rigl", optimizer=optimizer, steps=steps, rng=0)
    counts = [int(mask.sum()) for mask in sf.masks.masks(net).values()]
    moves = 0
    for step in range(1, steps + 1):
        twin = small()
        twin.load_state_dict(sf.masks.dense_state_dict(net))
        backward(twin)
        dense_gradient = [layer.weight.grad.clone() for layer in linear_layers(twin)]
        backward(net)
        optimizer.step()
        weights = effective(net)
        old = [mask.clone() for mask in sf.masks.masks(net).values()]
        topology.step()
        new = [mask.clone() for mask in sf.masks.masks(net).values()]
        after = effective(net)
        optimizer.zero_grad()
        assert [int(mask.sum()) for mask in new] == counts, "the number of weights of a layer changed"
        if all(torch.equal(a, b) for a, b in zip(old, new, strict=True)):
            continue
        moves += 1
        assert step % 4 == 0, "a fiftieth of the training lies between two moves"
        assert step <= end
        share = 0.3 / 2 * (1 + math.cos(math.pi * step / end))
        for w, g, was, now, then, layer in zip(
            weights, dense_gradient, old, new, after, linear_layers(net), strict=True
        ):
            k = round(share * int(was.sum()))
            order = w.abs().masked_fill(~was, math.inf).flatten().argsort()
            dropped = torch.zeros_like(was).flatten()
            dropped[order[:k]] = True
            stayed = was & ~dropped.view_as(was)
            assert now[stayed].all(), "only the smallest leave"
            grown = now & ~stayed
            assert int(grown.sum()) == k, (step, k)
            if k:  # equal gradients (units that are off) leave the choice open
                assert g.abs()[grown].min() >= g.abs()[~now].max() - 1e-7, (step, k)
            assert (then[grown] == 0).all(), "what enters starts at zero"
            assert torch.equal(then[stayed], w[stayed]), "what stays is left alone"
            for moment in optimizer.state[layer.parametrizations.weight.original].values():
                if torch.is_tensor(moment) and moment.shape == was.shape:
                    assert (moment[grown] == 0).all()
                    assert (moment[~now] == 0).all()
    assert moves > 20


# ---------------------------------------------------------------- Sign-In


def test_sign_in_resets_the_balance_and_keeps_the_product() -> None:
    net = small()
    initial = effective(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    topology = sf.sparsify(net, 0.3, "sign-in", optimizer=optimizer, steps=200, rng=0)
    masks = list(sf.masks.masks(net).values())
    for start, now, mask in zip(initial, effective(net), masks, strict=True):
        torch.testing.assert_close(now[mask], start[mask], rtol=1e-5, atol=1e-6)
        assert (now[~mask] == 0).all()

    def factors() -> list[tuple[torch.Tensor, torch.Tensor]]:
        out = []
        for layer in linear_layers(net):
            (m,) = list(layer.parametrizations.weight[0].factors())
            out.append((m.detach().clone(), layer.parametrizations.weight.original.detach().clone()))
        return out

    for (m, w), mask in zip(factors(), masks, strict=True):
        torch.testing.assert_close((m**2 - w**2)[mask], torch.ones(int(mask.sum())), rtol=1e-4, atol=1e-4)
    resets, drifted = 0, 0.0
    for _ in range(200):
        backward(net)
        optimizer.step()
        before, theta = factors(), effective(net)
        topology.step()
        optimizer.zero_grad()
        for start, now in zip(theta, effective(net), strict=True):
            torch.testing.assert_close(now, start, rtol=1e-5, atol=1e-6)
        changed = any(not torch.equal(a[0], b[0]) for a, b in zip(before, factors(), strict=True))
        if changed:
            resets += 1
            for (m, w), (m0, w0), mask in zip(factors(), before, masks, strict=True):
                drifted = max(drifted, float(((m0**2 - w0**2)[mask] - 1).abs().max()))
                torch.testing.assert_close((m**2 - w**2)[mask], torch.ones(int(mask.sum())), rtol=1e-3, atol=1e-3)
                torch.testing.assert_close(m * w * mask, m0 * w0 * mask, rtol=1e-4, atol=1e-6)
    assert resets >= 2
    assert drifted > 1e-3, "a finite step moves the balance; the reset must have had something to do"
    for mask, again in zip(masks, sf.masks.masks(net).values(), strict=True):
        assert torch.equal(mask, again), "the mask is fixed"


# ---------------------------------------------------------------- learning-rate rewinding


def test_lrr_rewinds_the_rate_and_not_the_weights() -> None:
    net = small()
    total = sum(layer.weight.numel() for layer in linear_layers(net))
    levels = math.ceil(math.log(0.2) / math.log(0.8) - 1e-9)
    steps = 10 * (levels + 1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 10)
    topology = sf.sparsify(net, 0.2, "lrr", optimizer=optimizer, scheduler=scheduler, steps=steps, rng=0)
    assert topology.level_steps == 10
    level, rates = 0, []
    for step in range(1, steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        backward(net)
        optimizer.step()
        scheduler.step()
        old = torch.cat([mask.flatten() for mask in sf.masks.masks(net).values()])
        weights = torch.cat([w.flatten() for w in effective(net)])
        topology.step()
        optimizer.zero_grad()
        new = torch.cat([mask.flatten() for mask in sf.masks.masks(net).values()])
        after = torch.cat([w.flatten() for w in effective(net)])
        if step % 10 == 0 and level < levels:
            level += 1
            density = 0.2 if level == levels else 0.8**level
            assert int(new.sum()) == round(density * total)
            assert torch.equal(after[new], weights[new]), "the weights that stay are kept, not rewound"
            assert weights.abs()[new].min() >= weights.abs()[old & ~new].max()
            assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-2)
            for state in optimizer.state.values():
                for moment in state.values():
                    if torch.is_tensor(moment) and moment.numel() > 1:
                        assert (moment == 0).all(), "moments start anew, as those of a new optimizer"
        else:
            assert torch.equal(old, new)
            assert torch.equal(after, weights)
    np.testing.assert_allclose(rates, np.tile(1e-2 * (1 - np.arange(10) / 10), levels + 1), rtol=1e-9)
    assert level == levels


# ---------------------------------------------------------------- zeros


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("method", ["static", "sign-in", "gmp", "rigl", "lrr"])
def test_masked_weights_and_moments_are_exactly_zero_after_every_step(method: str, kind: str) -> None:
    net = small()
    optimizer = optimizer_of(kind, net)
    steps = 60
    options: dict[str, Any] = {"optimizer": optimizer, "steps": steps, "rng": 0}
    if method == "lrr":
        options["scheduler"] = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
    topology = sf.sparsify(net, 0.3, method, **options)

    def check() -> None:
        for layer, mask in zip(linear_layers(net), sf.masks.masks(net).values(), strict=True):
            assert (layer.weight[~mask] == 0).all()
            entries = [layer.parametrizations.weight.original]
            entries += [p for p in layer.parametrizations.weight[0].parameters() if p is not entries[0]]
            for number, entry in enumerate(entries):
                if number == 0 and len(entries) == 1:
                    assert (entry[~mask] == 0).all()
                for moment in optimizer.state.get(entry, {}).values():
                    if torch.is_tensor(moment) and moment.shape == mask.shape:
                        assert (moment[~mask] == 0).all()

    for _ in range(steps):
        backward(net)
        optimizer.step()
        check()
        if "scheduler" in options:
            options["scheduler"].step()
        topology.step()
        check()
        optimizer.zero_grad()
    plain = sf.bake(net)
    assert sf.density(plain) == pytest.approx(0.3, abs=1e-3)
    assert all(type(layer) is nn.Linear for layer in linear_layers(plain))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), density=st.floats(0.02, 1.0), method=st.sampled_from(["static", "rigl", "sign-in"]))
def test_masks_depend_on_rng_alone(seed: int, density: float, method: str) -> None:
    found = []
    for noise in (1, 2):
        net = small(noise)
        torch.rand(noise)
        np.random.default_rng(noise).random(3)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        sf.sparsify(net, density, method, optimizer=optimizer, steps=100, rng=seed)
        found.append([mask.clone() for mask in sf.masks.masks(net).values()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    total = sum(mask.numel() for mask in found[0])
    assert sum(int(mask.sum()) for mask in found[0]) == round(density * total)


def test_forward_gradients_are_unbiased_on_active_weights_and_as_noisy_as_the_formula() -> None:
    net = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sf.sparsify(net, 0.25, "static", optimizer=optimizer, rng=0)
    x = X.double()

    def gradient(rule: Callable[..., Any]) -> torch.Tensor:
        net.zero_grad()
        rule(net, nn.functional.cross_entropy, x, Y)
        return torch.cat([p.grad.flatten() for p in net.parameters()])

    exact = gradient(sf.rules.Backprop())
    active = sum(int(mask.sum()) for mask in sf.masks.masks(net).values()) + 11  # and the biases
    rule = sf.rules.ForwardGradient(directions=4, rng=0)
    drawn = torch.stack([gradient(rule) for _ in range(700)])
    assert ((drawn != 0).any(dim=0).sum()) <= active
    error = (drawn - exact).square().sum(dim=1).mean() / exact.square().sum()
    assert float(error) == pytest.approx((active - 1) / 4, rel=0.12)
    bias = (drawn.mean(dim=0) - exact).norm() / exact.norm()
    assert float(bias) < 2 * math.sqrt((active - 1) / 4 / 700)

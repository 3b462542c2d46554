"""Oracles: the package's own rules, sums over all signs, Gauss–Hermite quadrature, curves made to fall together."""

import itertools
import json

import numpy as np
import price
import pytest
import torch
from dimension import collapse, laws, page, variance
from dimension.arms import NARROW, ORACLE, Student
from dimension.cases import Case
from dimension.engine import Nets, Shape, backprop, node_perturbation, train, two_query
from dimension.structures import STRUCTURES, made, masks_of
from dimension.teacher import FAN_IN, INPUTS, curvature, mask_of, rows, spectrum, students, teacher
from torch import nn

import sparsefire as sf
from sparsefire import masks
from sparsefire.rules.active import Active
from sparsefire.rules.directions import draw

KEPT = 40


def generator(number):
    return torch.Generator().manual_seed(number)


def small(relu, classes, replicates=2, rates=(0.1, 0.2), adam=False):
    """Networks 12-9-3 with a mask of 40 weights, and a batch."""
    stream, outputs = generator(0), 3
    mask = torch.rand(replicates, 9 * 12, generator=stream).argsort(1).argsort(1).view(replicates, 9, 12) < KEPT
    shapes = ((9,), (9, 12), (outputs,), (outputs, 9))
    first = [torch.randn(replicates, *shape, generator=stream) for shape in shapes]
    x = torch.randn(replicates, 16, 12, generator=stream)
    y = torch.randint(0, outputs, (replicates, 16), generator=stream)
    y = y if classes else torch.randn(replicates, 16, outputs, generator=stream)
    shape = Shape(mask, torch.ones(replicates, outputs, 9, dtype=torch.bool), relu, classes)
    return Nets(shape, first, rates, adam), first, x, y


def package(nets, first, r):
    """The same network as the package makes it, and its losses, of a batch and of a row."""
    shape = nets.shape
    net = nn.Sequential(nn.Linear(12, 9), nn.ReLU() if shape.relu else nn.Tanh(), nn.Linear(9, 3))
    layout = {"0": shape.mask[r].double().numpy(), "2": np.ones((3, 9))}
    sf.sparsify(net, (KEPT + 27) / (9 * 12 + 27), layout=layout, rng=0)
    with torch.no_grad():
        for layer, (b, w), mask in ((net[0], first[:2], shape.mask), (net[2], first[2:], shape.readout)):
            masks.write_weight_(layer, w[r] * mask[r])
            layer.bias.copy_(b[r])
    name = nn.functional.cross_entropy if shape.classes else nn.functional.mse_loss
    per_row = name if shape.classes else (lambda a, b, reduction: (a - b).square().mean(1))
    return net, name, lambda a, b: per_row(a, b, reduction="none")


@pytest.mark.parametrize(("relu", "classes"), [(False, False), (True, True)])
def test_the_estimates_are_those_of_the_package(relu, classes):
    nets, first, x, y = small(relu, classes)
    pairs = torch.stack([draw("rademacher", 6, nets.shape.active, generator(5 + r)) for r in range(2)])
    noise = torch.stack([draw("rademacher", 16, nets.shape.units, generator(5 + r)) for r in range(2)])
    mine = {
        "pairs": two_query(nets, x, y, 0.01, pairs),
        "nodes": node_perturbation(nets, x, y, 0.01, noise),
        "gradient": backprop(nets, x, y),
    }
    for r in range(2):
        for name, found in mine.items():
            net, batch, row = package(nets, first, r)
            rule = {
                "pairs": sf.rules.TwoQuery(scale=0.01, directions=6, rng=generator(5 + r)),
                "nodes": sf.rules.NodePerturbation(scale=0.01, rng=generator(5 + r)),
                "gradient": sf.rules.Backprop(),
            }[name]
            rule(net, row if name == "nodes" else batch, x[r], y[r])
            theirs = Active(net).gradient()
            for rate in range(2):
                torch.testing.assert_close(found[r, rate], theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("adam", [False, True])
@pytest.mark.parametrize("rule", ["two-query", "node-perturbation", "backprop"])
def test_a_network_learns_alike_alone_and_in_company(rule, adam):
    together, first, x, y = small(True, True, rates=(0.01, 0.05), adam=adam)
    train(together, rule, itertools.repeat((x, y)), 5, [3, 4], directions=4)
    shape = together.shape
    for r, rate in itertools.product(range(2), range(2)):
        own = Shape(shape.mask[r : r + 1], shape.readout[r : r + 1], True, True)
        alone = Nets(own, [part[r : r + 1] for part in first], [(0.01, 0.05)[rate]], adam)
        train(alone, rule, itertools.repeat((x[r : r + 1], y[r : r + 1])), 5, [3 + r], directions=4)
        torch.testing.assert_close(alone.theta[0, 0], together.theta[r, rate], rtol=1e-3, atol=1e-3)


def test_absent_and_fixed_weights_stay():
    nets, first, x, y = small(True, True)
    nets.theta += 1.0
    assert bool((nets.weights()[1][:, 0][~nets.shape.mask] == 0).all())
    shape = Shape(nets.shape.mask, nets.shape.readout, True, True, hidden=False)
    fixed = Nets(shape, first, [0.5], False)
    train(fixed, "two-query", itertools.repeat((x, y)), 3, [0, 1], directions=4)
    assert shape.active == 3 + 27
    assert shape.units == 3
    torch.testing.assert_close(fixed.weights()[1][:, 0], first[1] * nets.shape.mask)


def test_the_law_of_two_queries_is_the_sum_over_all_signs():
    q, a, rate = np.array([1.0, 0.5, 0.2]), np.array([1.0, 2.0, 0.5]), 0.3
    found = []
    for u, s in itertools.product(itertools.product((-1, 1), repeat=3), repeat=2):
        delta = np.array(s) * np.sqrt(a)
        found.append((delta - rate * np.array(u) * (np.array(u) @ (q * delta))) ** 2)
    np.testing.assert_allclose(laws.step(a, q, np.array(rate), "two-query"), np.mean(found, 0), rtol=1e-12)


def test_the_law_of_rows_is_that_of_quadrature():
    q, a, rate = np.array([1.0, 0.4]), np.array([1.0, 2.0]), 0.1
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    weights = weights / weights.sum()
    found = np.zeros(2)
    for (i, j), u, s in itertools.product(
        itertools.product(range(6), repeat=2),
        itertools.product((-1, 1), repeat=2),
        itertools.product((-1, 1), repeat=2),
    ):
        x, delta = np.array([nodes[i], nodes[j]]) * np.sqrt(q), np.array(s) * np.sqrt(a)
        moved = delta - rate * np.array(u) * (np.array(u) @ x) * (x @ delta)
        found += weights[i] * weights[j] / 16 * moved**2
    np.testing.assert_allclose(laws.step(a, q, np.array(rate), "two-query, row"), found, rtol=1e-12)


def test_steps_follow_the_rank_and_not_the_inputs():
    few, many = (laws.steps_to(0.1, laws.geometric(8, inputs), "two-query")[0] for inputs in (128, 1024))
    assert few == many
    assert 1.8 < laws.steps_to(0.1, laws.geometric(16, 1024), "two-query")[0] / many < 2.3


def test_the_variance_of_node_perturbation_is_that_of_many_draws():
    if not price.HERE.parents[1].joinpath("shared", "data").is_dir():
        pytest.skip("needs the data sets beside the checkout")
    net, x, y = variance.network("digits", 8, 0.5, 0)
    view = Active(net)
    gradient = variance._estimate(sf.rules.Backprop(), net, view, x, y)
    rule = sf.rules.NodePerturbation(scale=1e-2, rng=0)
    errors = np.array(
        [float((variance._estimate(rule, net, view, x, y) - gradient).square().sum()) for _ in range(400)]
    ) / float(gradient.square().sum())
    law = variance._law(net, x, y, gradient)
    assert abs(errors.mean() - law) < 4 * errors.std() / 20 + 0.01 * law


def test_the_spectrum_is_that_of_automatic_derivatives():
    nets = students([mask_of("oracle", teacher(0).seen, 8, 4, np.random.default_rng(0))], [0], [1.0])
    x = torch.randn(30, INPUTS, generator=generator(1))
    slopes = []
    for row in x:
        theta = nets.theta.clone().requires_grad_()
        nets.theta = theta
        slopes.append(torch.autograd.grad(nets.forward(row[None, None])[2].sum(), theta)[0].flatten())
        nets.theta = theta.detach()
    every = torch.stack(slopes).double()
    expected = torch.linalg.eigvalsh(every @ every.T * (2 / 30))
    np.testing.assert_allclose(spectrum(nets, x, 0), expected.numpy(), atol=1e-5)
    assert curvature(nets, x) == pytest.approx((float(expected.sum()), float(expected[-1])), rel=1e-4)


def test_an_oracle_mask_can_be_the_teacher():
    one = teacher(3)
    mask = mask_of("oracle", one.seen, 16, 8, np.random.default_rng(0))
    nets = students([mask], [3], [1.0])
    hidden = one.weights.repeat(2, 1)
    parts = [torch.zeros(1, 16), hidden[None], torch.zeros(1, 1), one.readout.repeat(2)[None, None] / 2]
    same = Nets(nets.shape, parts, [1.0], False)
    batches = list(itertools.islice(rows([one], [3], 64), 300))
    x, y = (torch.cat([batch[i] for batch in batches], 1) for i in (0, 1))
    assert float(same.losses(same.forward(x)[2], y[:, None]).mean()) == pytest.approx(0.01, rel=0.05)
    assert float(y.var()) == pytest.approx(1.01, abs=0.05)


def test_controls_have_as_many_weights():
    for one in ORACLE:
        nearest = min(NARROW, key=lambda other: abs(other.active - one.active))
        assert abs(nearest.active - one.active) <= (INPUTS + 2) / 2
    assert Student("oracle", 16, FAN_IN).active == 16 * FAN_IN + 16 + 16 + 1


@pytest.mark.parametrize("one", [one for one in STRUCTURES if one.mask not in ("gmp", "synaptic-noise")], ids=str)
def test_structures_perturb_as_many_weights(one):
    found = [masks_of("digits", one.name, 760, number, False) for number in (0, 1)]
    nets = made("digits", one, 760, found, [0, 1], [0.1])
    if one.wide or one.width:
        wanted = {"wide dense": 64 * 75 + 10, "dense, 34 units": 34 * 75 + 10}.get(one.name, 257 * 10)
        assert nets.shape.active == wanted
    else:
        assert abs(nets.shape.active - 760) <= 16
    if one.mask not in ("none",):
        assert not torch.equal(nets.shape.mask[0], nets.shape.mask[1])


def test_curves_that_fall_together_have_exponent_one():
    risk = np.geomspace(1, 0.01, 30)
    arms = [
        {"queries": (size * np.geomspace(100, 10_000, 30)).tolist(), "risks": [risk.tolist(), (risk * 0.9).tolist()]}
        for size in (10, 20, 40)
    ]
    logs = np.array([collapse.reached(one, 0.1) for one in arms])
    np.testing.assert_allclose(collapse.exponent(logs, (10, 20, 40)), 1.0)
    np.testing.assert_allclose(collapse.apart(logs, (10, 20, 40), 1.0), 0.0, atol=1e-12)
    np.testing.assert_allclose(collapse.apart(logs, (10, 20, 40), 0.0), np.log(2))
    np.testing.assert_allclose(collapse.spread(arms, (10, 20, 40), 1.0), 0.0, atol=1e-12)
    assert collapse.spread(arms, (10, 20, 40), 0.0).min() > 0.5


def test_work_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(price, "STORE", tmp_path / "cases.jsonl")
    wanted = [Case("rank", "two-query", "", size=64, amount=amount) for amount in (4, 8)]
    price.work(wanted[:1], 1, keep=True)
    found = price.work(wanted, 1, keep=True)
    kept = [json.loads(line) for line in price.STORE.read_text().splitlines()]
    assert [record["case"]["amount"] for record in kept] == [4, 8]
    assert found == kept


def test_the_page_from_made_up_records():
    rng = np.random.default_rng(0)
    arms = {"narrow dense": 0.93, "wide, random": 0.9, "fixed neighbours": 0.95}
    found = [
        {"case": {"part": "images"}, "part": "images", "rule": "two-query", "place": "digits", "arm": name,
         "budget": 80_000, "rate": 0.02, "active": 760, "units": 20, "seconds": 1.0,
         "accuracy": (mean + rng.normal(0, 3e-3, 6)).tolist()}
        for name, mean in arms.items()
    ]  # fmt: skip
    text = page.markdown(found)
    assert "| fixed neighbours | where pixels lie | 760 |" in text
    assert text.index("| fixed neighbours |") < text.index("| wide, random |")
    signs = {record["job"].split(": ")[1]: record["difference"] for record in page.records(found)}
    assert signs["fixed neighbours"][1] > 0 > signs["wide, random"][2]

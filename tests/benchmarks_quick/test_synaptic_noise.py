"""Oracles: the package's rules given the same signs, torch's own derivatives, lassos, least squares, laws of noise."""

import json

import numpy as np
import pytest
import synaptic_noise
import torch
from noise import cases, digits, kernels, laws, page, queries, regression, tables
from noise.arms import ARMS, BY_NAME, PLAIN, SPRED
from noise.digits import Digits, Setting
from noise.networks import curvatures, forward, layers, step, train
from noise.regression import Problem
from sklearn.metrics import f1_score
from torch import nn

from sparsefire import masks
from sparsefire.rules import TwoQuery
from sparsefire.sparsity.noise import NoisyProduct, NoisyWeight, two_queries

KEY = 12345


def signs_of(step_, size):
    out = np.empty(size)
    kernels._signs(np.uint64(KEY), step_, out)
    return out


@pytest.fixture
def data(request):
    n, d = request.param
    source = np.random.default_rng(0)
    x = source.normal(size=(n, d))
    return x, x[:, 0] - x[:, 1] + source.normal(size=n)


def linear(d):
    layer = nn.Linear(d, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(layer.weight)
    return layer


@pytest.mark.parametrize("data", [(7, 10), (30, 10)], indirect=True, ids=["wide", "triangular"])
def test_a_step_on_products_is_that_of_the_package(data):
    x, y = data
    d, eta, rate, steps = x.shape[1], 0.4, 0.02, 6
    layer = linear(d)
    part = NoisyProduct(torch.ones(1, d, dtype=torch.bool), layer.weight, beta=regression.START**2, eta=eta).double()
    masks.attach_(layer, part)
    part.loud = True
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate)
    inputs, outputs, seen = torch.from_numpy(x), torch.from_numpy(y)[:, None], []
    for number in range(steps):
        drawn = torch.from_numpy(signs_of(number, 2 * d)).view(2, 1, d)
        part.signs = lambda like, count=1, drawn=drawn: drawn * part.side
        optimizer.zero_grad()
        two_queries(layer, lambda: (layer(inputs) - outputs).square().mean() / 2)
        optimizer.step()
        seen.append((part.factor * masks.own_parameter(layer)).detach().numpy()[0])
    loss, marks = regression.squares(x, y, float), np.arange(1, steps + 1)
    _, found = regression.learned(loss, "product", eta**2, rate, 10, KEY, marks)
    np.testing.assert_allclose(found, seen, atol=1e-12)
    assert np.abs(found[-1]).max() > 0.01


@pytest.mark.parametrize("data", [(7, 10), (30, 10)], indirect=True, ids=["wide", "triangular"])
def test_a_step_on_plain_weights_is_two_query_and_a_soft_threshold(data):
    x, y = data
    d, lasso, rate = x.shape[1], 0.1, 0.02
    layer, rule, seen = linear(d), TwoQuery(scale=0.3, rng=0), []
    half = lambda out, wanted: (out - wanted).square().mean() / 2  # noqa: E731
    for number in range(6):
        rule._blocks = lambda batch, number=number: iter([torch.from_numpy(signs_of(number, d))[None]])
        layer.zero_grad()
        rule(layer, half, torch.from_numpy(x), torch.from_numpy(y)[:, None])
        with torch.no_grad():
            layer.weight.copy_(nn.functional.softshrink(layer.weight - rate * layer.weight.grad, rate * lasso))
        seen.append(layer.weight.detach().numpy()[0].copy())
    _, found = regression.learned(regression.squares(x, y, float), "plain", lasso, rate, 10, KEY, np.arange(1, 7))
    np.testing.assert_allclose(found, seen, atol=1e-12)
    assert (found[-1] != 0).any()


def test_signs_are_fair_and_of_their_step():
    drawn = np.stack([signs_of(k, 130) for k in range(400)])
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    assert np.abs(drawn.mean(0)).max() < 4.5 / 20
    assert np.abs((drawn[:, :-1] * drawn[:, 1:]).mean(0)).max() < 4.5 / 20
    assert np.abs((drawn[:-1] * drawn[1:]).mean(0)).max() < 4.5 / 20


@pytest.mark.parametrize("n", [100, 400])
def test_two_queries_on_products_learn_the_lasso_and_then_least_squares(n):
    problem = Problem(200, n, 0)
    loss, lasso = regression.squares(*problem.drawn[:2]), problem.lasso
    steps = regression.steps_of(problem, lasso)
    theta, _ = regression.learned(loss, "product", lasso, 0.5 * problem.limit(lasso), steps, 1)
    exact = regression.lasso_at(problem, lasso)
    assert ((theta - exact) ** 2).sum() < 0.03 * (exact**2).sum()
    end = regression.refitted_by_queries(problem, theta, lasso, steps // 10, 2)
    np.testing.assert_allclose(end, regression.refitted(problem, theta, lasso), atol=5e-3)
    single = regression.learned(loss, "product", lasso, 0.5 * problem.limit(lasso), 2000, 1)[0]
    double = regression.squares(*problem.drawn[:2], float)
    twice = regression.learned(double, "product", lasso, 0.5 * problem.limit(lasso), 2000, 1)[0]
    np.testing.assert_allclose(single, twice, atol=1e-4)


def test_scores_and_the_best_ridge():
    problem = Problem(30, 60, 3)
    x, y, truth = problem.drawn
    theta = truth + 0.3 * np.random.default_rng(0).normal(size=30)
    found = problem.score(theta, 0.2)
    assert found["f1"] == pytest.approx(f1_score(truth != 0, np.abs(theta) > 0.2))
    assert found["risk"] == pytest.approx(((theta - truth) ** 2).sum())
    best = problem.score(regression.best_ridge(problem), 0)["risk"]
    others = [np.linalg.solve(x.T @ x / 60 + k * np.eye(30), x.T @ y / 60) for k in (0.003, 0.03, 0.3)]
    assert best <= min(problem.score(one, 0)["risk"] for one in others)
    np.testing.assert_allclose((x**2).mean(0), 1)


def test_noises_have_the_penalties_of_their_laws():
    found = laws._table(1, 3000)
    assert laws.check(found) < 4
    assert len({one["noise"] for one in found}) == len(laws.noises(0))
    for one in laws._exponents(1):
        assert one["penalty"] == pytest.approx(one["size"] ** one["q"], rel=0.06)


def test_losses_under_poisson_noise_alone_do_not_shrink():
    x, y, _ = laws.rows(0, n=100)
    found = laws.poisson_queries(x, y, 0)
    np.testing.assert_allclose(found, np.linalg.lstsq(x, y, rcond=None)[0], atol=0.01)
    assert np.abs(found - laws.lasso(x, y, laws.LAM * (x**2).mean(0))).max() > 0.3


def small(name, strengths, widths=(5, 6, 3), floor=0.1):
    arm, some = BY_NAME[name], torch.tensor(strengths)
    net = layers(arm, list(widths), some, torch.full_like(some, floor), [3] * len(strengths))
    source = torch.Generator().manual_seed(0)
    x = torch.randn(1, 40, widths[0], generator=source).repeat(len(strengths), 1, 1)
    return net, x, torch.randint(0, widths[-1], (1, 40), generator=source).repeat(len(strengths), 1)


@pytest.mark.parametrize(("name", "kind"), [("product", NoisyProduct), ("Poisson", NoisyWeight)])
def test_noisy_weights_are_those_of_the_package(name, kind):
    net, _, _ = small(name, [0.2, 0.5])
    for layer in net:
        for number in range(2):
            own = layer.theta[number].detach()
            part = kind(torch.ones_like(own, dtype=torch.bool), own, eta=float(layer.strength[number, 0, 0]), rng=1)
            part.loud = True
            drawn = part.signs(own, 2 if name == "product" else 1)
            mine = layer.noisy(drawn[:, None])[number]
            torch.testing.assert_close(mine, part.value(part.right_inverse(own)), rtol=1e-5, atol=1e-6)
            assert (mine - own).abs().max() > 0.01


def test_the_penalty_of_spred_is_that_of_the_package():
    net, x, y = small(SPRED, [0.0, 0.1])
    step(net, x, y, 0, torch.Generator())
    for layer in net:
        slope = 2 * 0.1 * layer.weight[1].detach()
        torch.testing.assert_close(layer.weight.grad[1] - layer.weight.grad[0], slope)
        total = (layer.factor[1] ** 2 + layer.weight[1] ** 2).sum()
        torch.testing.assert_close(total, 2 * layer.theta[1].abs().sum())


def test_curvature_is_the_diagonal_of_the_gauss_newton_matrix():
    net, x, _ = small(PLAIN, [0.0])
    weights, biases = [layer.theta.detach() for layer in net], [layer.bias.detach() for layer in net]
    found = forward(weights, biases, x)
    p = found[-1][0].softmax(1)
    middle = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    for index, mine in enumerate(curvatures(weights, found)):

        def logits(w, index=index):
            return forward([w if i == index else v for i, v in enumerate(weights)], biases, x)[-1]

        slopes = torch.autograd.functional.jacobian(logits, weights[index])[0].flatten(2)  # [rows, classes, weights]
        exact = torch.einsum("nkj,nkl,nlj->j", slopes, middle, slopes) / x.shape[1]
        torch.testing.assert_close(mine.flatten(), exact, rtol=1e-4, atol=1e-7)


def test_noise_by_row_has_the_penalty_of_its_variance():
    """For squared loss and one layer, ½ Σ G_jj Var_j, exactly."""
    source = torch.Generator().manual_seed(0)
    x, theta = torch.randn(1, 50, 4, generator=source), torch.randn(1, 1, 4, generator=source)
    variance, bias = 0.2 * theta.abs(), torch.zeros(1, 1)
    clean, excess = forward([theta], [bias], x)[-1], []
    for _ in range(4000):
        noisy = forward([theta], [bias], x, [variance], source)[-1]
        excess.append(float(((noisy - 1) ** 2 - (clean - 1) ** 2).mean() / 2))
    wanted = float((x.square().mean(1) * variance[0]).sum() / 2)
    assert abs(np.mean(excess) - wanted) < 4 * np.std(excess) / np.sqrt(4000)


def test_curved_noise_has_the_same_penalty_everywhere():
    net, x, y = small("Poisson, curved", [1e-3], floor=0.0)
    step(net, x, y, 0, torch.Generator().manual_seed(0))
    for layer in net:
        alive = layer.curvature > 1e-6
        assert alive.any()
        torch.testing.assert_close(
            (layer.square() * layer.curvature / 2)[alive],
            torch.full_like(layer.curvature, 1e-3)[alive],
            rtol=1e-2,
            atol=0,
        )


@pytest.mark.parametrize("name", [PLAIN, SPRED, "its average, without noise"])
def test_networks_that_are_trained_together_are_their_own(name):
    strengths = [1e-3, 3e-3]
    ends = []
    for some in (strengths, strengths[1:]):
        net, x, y = small(name, some)
        orders = [torch.Generator().manual_seed(1)]
        train(net, x[:1], y[:1], how="sgd", rate=0.1, epochs=3, batch=8, orders=orders, numbers=torch.Generator())
        ends.append(net[0].theta[-1].detach())
    torch.testing.assert_close(*ends)
    again, _, _ = small(name, strengths)
    assert not torch.equal(ends[0], again[0].theta[-1])


def test_two_losses_are_two_query_of_the_package():
    net, x, y = small(PLAIN, [0.0])
    plain = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        for layer, mine in zip((plain[0], plain[2]), net, strict=True):
            layer.weight.copy_(mine.weight[0])
            layer.bias.copy_(mine.bias[0])
    source = torch.Generator().manual_seed(4)
    queries.two_losses(net, x, y, torch.tensor([0.05]), source)
    source.manual_seed(4)
    directions = torch.cat([queries._signs(part, source).flatten() for layer in net for part in layer.trained])[None]
    rule = TwoQuery(scale=0.05, rng=0)
    rule._blocks = lambda batch: iter([directions])
    rule(plain, nn.functional.cross_entropy, x[0], y[0])
    for layer, mine in zip((plain[0], plain[2]), net, strict=True):
        torch.testing.assert_close(layer.weight.grad, mine.weight.grad[0], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(layer.bias.grad, mine.bias.grad[0], rtol=1e-3, atol=1e-5)


def made_up(arm, strength, replicate, inner, accuracy, density):
    one = Setting(arm, strength, 0.1 if BY_NAME[arm].curved else 0.0, "adam", 0.003)
    kept = {f"kept {share:g}": accuracy for share in digits.KEPT}
    return {"piece": "digits", **vars(one), "replicate": replicate, "inner": inner, "accuracy": accuracy, "l1": 1.0,
            "density 0.01": density, "density 0.001": density, **kept}  # fmt: skip


def test_settings_are_chosen_on_inner_splits_alone():
    found = [made_up(PLAIN, 0.0, r, True, 0.97, 1.0) for r in digits.INNER]
    for strength, accuracy, density in ((1e-4, 0.97, 0.5), (1e-3, 0.961, 0.2), (4e-3, 0.93, 0.05)):
        found += [made_up(SPRED, strength, r, True, accuracy, density) for r in digits.INNER]
        found += [made_up("product", 100 * strength, r, True, accuracy - 0.005, 2 * density) for r in digits.INNER]
        found += [made_up(SPRED, strength, r, False, 0.5, 0.0) for r in range(3)]  # luckier, and no matter
    aims = digits.chosen(found)
    assert aims["points 0.01"][SPRED].strength == 1e-3
    assert aims["points 0.01"]["product"].strength == pytest.approx(0.1)  # 0.956, within one point of 0.961
    assert aims["kept 0.1"][SPRED].strength == 1e-4
    assert {one.strength for one in digits.frontier(found) if one.arm == SPRED} == {1e-4, 1e-3, 4e-3}


def test_verdicts_have_the_sign_of_paired_intervals():
    rng = np.random.default_rng(0)
    found = [made_up(PLAIN, 0.0, r, True, 0.97, 1.0) for r in digits.INNER]
    for arm, density in ((SPRED, 0.2), ("product", 0.8), ("Poisson, curved", 0.2)):
        strength = 1e-3 if arm != "product" else 0.1
        found += [made_up(arm, strength, r, True, 0.965, density) for r in digits.INNER]
        found += [
            made_up(arm, strength, r, False, 0.96 + 0.001 * rng.normal(), density * np.exp(0.05 * rng.normal()))
            for r in range(10)
        ]
    for r in (*digits.INNER, *range(10)):  # products without noise: six points worse where only the largest are left
        found.append(made_up("product, no noise", 0.0, r, r in digits.INNER, 0.9 + 1e-4 * rng.normal(), 0.9))
    (gain,) = [line for line in tables.gain_table(found).splitlines() if line.startswith("| product |")]
    assert gain.count("better") == 3
    assert "+6.0 [+" in gain
    text = tables.matched_table(found, 0.01)
    (product,) = [line for line in text.splitlines() if line.startswith("| product |")]
    (curved,) = [line for line in text.splitlines() if line.startswith("| Poisson, curved |")]
    assert "no: denser; accuracy level" in product
    assert "no difference seen; accuracy level" in curved
    low, high = (float(v) for v in product.split("times")[0].split("|")[6].split("[")[1].rstrip("] ").split(","))
    assert 3.5 < low < 4.1 < high < 4.5


def test_arms_are_tried_at_as_many_strengths():
    assert {len(arm.strengths) for arm in ARMS if arm.noise != "none" or arm.penalty != "none"} == {7}
    for arm in ARMS:
        assert len(set(digits.grid(arm.name))) == len(digits.RATES) * len(arm.strengths) * len(arm.floors)


def test_rows_are_those_of_the_replicate_and_inner_ones_lie_within():
    (x, y, tx, _), (ix, _, jx, _) = digits.rows_of(3, False), digits.rows_of(3, True)
    assert len(x) == len(y) == 1347
    assert len(ix) + len(jx) == len(x)
    outer = {row.numpy().tobytes() for row in x}
    assert all(row.numpy().tobytes() in outer for row in jx)
    assert not torch.equal(digits.rows_of(4, False)[2], tx)


def test_work_is_kept_and_not_done_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(digits, "EPOCHS", 2)
    first = [made_up(PLAIN, 0.0, r, True, 0.97, 1.0) for r in digits.INNER]
    settings = [Setting(SPRED, 1e-3, 0.0, "sgd", 0.1), Setting(SPRED, 2e-3, 0.0, "sgd", 0.1)]
    pieces = [Digits(tuple(settings), (0, 1), False), cases.Regression(200, 100, 0, 0.5, 0.25),
              queries.Queries("product", 0.003, (0.1,), (0,), False, steps=20),
              queries.Queries(PLAIN, 0.003, (0.0,), (0,), False, steps=20)]  # fmt: skip
    path = tmp_path / "cases.jsonl"
    monkeypatch.setattr(synaptic_noise, "STORE", path)
    monkeypatch.setattr(synaptic_noise, "DOCS", tmp_path)
    monkeypatch.setattr(cases, "first", lambda: pieces[:1])
    monkeypatch.setattr(cases, "second", lambda found: pieces[1:])
    assert synaptic_noise.main(["--workers", "1"]) == 0
    kept = path.read_text()
    assert len(kept.splitlines()) == 4 + len(regression.run(200, 100, 0, 0.5, 0.25)) + 2
    assert all(cases.done(piece, [json.loads(line) for line in kept.splitlines()]) for piece in pieces)
    assert synaptic_noise.main(["--workers", "1"]) == 0
    assert path.read_text() == kept
    found = [*first, *map(json.loads, kept.splitlines())]
    (again,) = [
        one
        for one in digits.run(Digits(tuple(settings), (0, 1), False))
        if (one["strength"], one["replicate"]) == (2e-3, 1)
    ]
    assert again in found
    capsys.readouterr()
    text = page.markdown(found)
    assert tables.SHORT[regression.PRODUCT_REFIT] not in text  # one replicate is too few
    assert "### Only the largest weights" in text
    json.dumps(page.records(found))

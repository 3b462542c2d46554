"""Exact risks against enumeration of every outcome, published constants, and a plain simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from sparsefire.convergence.exact._dynamics import Dynamics
from sparsefire.convergence.exact.risk import decompose, exact_covariance, exact_risk, expected_error
from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.update import Update
from sparsefire.errors import UserError

KURTOSIS = {
    "normal": 3.0,
    "rademacher": 1.0,
    "uniform": float(stats.uniform.stats(moments="k")) + 3.0,
    "student": float(stats.t(5).stats(moments="k")) + 3.0,
    "sparse": 3.0 / 0.1,
}
FULL = [[2.0, 0.6], [0.6, 0.5]]
SLOWING = [0.11, 0.07]


def points(law, size):
    """Points [n, size] and weights [n] with the moments of the law up to the fifth."""
    if law == "coordinates":
        return np.sqrt(size) * np.concatenate([np.eye(size), -np.eye(size)]), np.full(2 * size, 0.5 / size)
    if law == "sphere":
        if size == 1:
            found = np.array([[1.0], [-1.0]])
        elif size == 2:
            turns = np.arange(6) * np.pi / 3
            found = np.sqrt(2) * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        else:  # the 24-cell, a spherical 5-design
            assert size == 4
            found = np.array([p for p in itertools.product((-1, 0, 1), repeat=4) if np.abs(p).sum() == 2]) * np.sqrt(2)
        return found, np.full(len(found), 1 / len(found))
    far, chance = np.sqrt(KURTOSIS[law]), 0.5 / KURTOSIS[law]
    one = [(far, chance), (-far, chance)] + ([(0.0, 1 - 2 * chance)] if far > 1 else [])
    pairs = list(itertools.product(one, repeat=size))
    return np.array([[x for x, _ in p] for p in pairs]), np.array([np.prod([w for _, w in p]) for p in pairs])


def enumerated(problem, update, alphas):
    """E δδ′ after each step from every path of inputs, noise and directions; no algebra but the rule itself."""
    d, m, s = problem.dimension, problem.outputs, update.mask or problem.dimension
    values, vectors = np.linalg.eigh(problem.matrix)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    size = {"sgd": 0, "node-perturbation": m, "weight-perturbation": s * m}.get(update.rule, s)
    parts = [points(problem.design, d), points("rademacher", m)]
    parts += [points(update.law, size)] * update.directions if size else []
    outcomes = []
    for chosen in itertools.product(*(range(len(w)) for _, w in parts)):
        weight = np.prod([w[i] for (_, w), i in zip(parts, chosen, strict=True)])
        picked = [p[i] for (p, _), i in zip(parts, chosen, strict=True)]
        outcomes.append((weight, root @ picked[0], problem.noise * picked[1], picked[2:]))
    paths, weights = problem.error.reshape(1, d, m), np.ones(1)
    found = [problem.error.reshape(d, m) @ problem.error.reshape(d, m).T]
    for alpha in alphas:
        after, chances = [], []
        for weight, x, noise, directions in outcomes:
            residual = np.einsum("d,ndm->nm", x, paths) - noise
            gradient = x[:s, None] * residual[:, None, :]
            if update.rule == "node-perturbation":
                moved = sum(x[:s, None] * ((residual @ xi)[:, None] * xi)[:, None, :] for xi in directions)
            elif directions:
                flat = gradient.reshape(len(gradient), -1)
                moved = sum((flat @ xi)[:, None] * xi for xi in directions).reshape(gradient.shape)
            else:
                moved = gradient
            moved = moved / max(len(directions), 1)
            after.append(paths.copy())
            after[-1][:, :s] -= alpha * moved
            chances.append(weights * weight)
        paths, weights = np.concatenate(after), np.concatenate(chances)
        found.append(np.einsum("n,nim,njm->ij", weights, paths, paths))
    return np.array(found)


def check(problem, update, alphas, rtol=1e-12):
    truth = enumerated(problem, update, alphas)
    given = dict(steps=len(alphas), step_size=alphas)
    risk = exact_risk(update, problem, **given)
    np.testing.assert_allclose(risk, np.trace(truth, axis1=1, axis2=2), rtol=rtol)
    seen = exact_risk(update, problem, of="prediction", **given)
    np.testing.assert_allclose(seen, (problem.matrix * truth).sum(axis=(1, 2)), rtol=rtol)
    all_steps = exact_covariance(update, problem, at=range(len(alphas) + 1), **given)
    np.testing.assert_allclose(all_steps, truth, rtol=rtol, atol=1e-12 * truth.max())
    stepped = Dynamics(problem, update).start
    for k, alpha in enumerate(alphas):
        stepped = Dynamics(problem, update).step(stepped, alpha)
        np.testing.assert_allclose(stepped, truth[k + 1], rtol=rtol, atol=1e-12 * truth.max())


@pytest.mark.filterwarnings("ignore:.*beyond the stability limit")
@pytest.mark.parametrize("covariance", [None, [2.0, 0.5], FULL], ids=["identity", "diagonal", "full"])
@pytest.mark.parametrize("design", ["normal", "rademacher", "student", "sparse", "sphere"])
@pytest.mark.parametrize("law", ["normal", "rademacher", "sphere", "uniform", "coordinates"])
def test_one_output_is_what_all_outcomes_say(design, law, covariance):
    problem = LinearRegression(2, covariance=covariance, design=design, noise=0.6, start=[0.8, -0.3])
    check(problem, Update("forward-gradient", law=law), SLOWING)


@pytest.mark.filterwarnings("ignore:.*beyond the stability limit")
@pytest.mark.parametrize("covariance", [None, FULL], ids=["identity", "full"])
@pytest.mark.parametrize("mask", [None, 1])
@pytest.mark.parametrize("rule", ["sgd", "two-query"])
def test_masks_and_many_directions_are_what_all_outcomes_say(rule, mask, covariance):
    problem = LinearRegression(2, covariance=covariance, design="rademacher", noise=0.6, start=[0.8, -0.3])
    options = {} if rule == "sgd" else {"law": "coordinates", "directions": 3}
    check(problem, Update(rule, mask=mask, **options), SLOWING)
    check(LinearRegression(2, covariance=covariance, start=[0.8, -0.3]), Update(rule, mask=mask), SLOWING)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("mask", [1, 2])
@pytest.mark.parametrize("design", ["normal", "sphere"])
def test_low_rank_is_what_all_outcomes_say(rank, mask, design):
    problem = LinearRegression(2, rank=rank, design=design, start=[0.8, -0.3])
    check(problem, Update("forward-gradient", law="normal", mask=mask, directions=2), [0.11])


@pytest.mark.filterwarnings("ignore:.*beyond the stability limit")
@pytest.mark.parametrize("covariance", [None, FULL], ids=["identity", "full"])
@pytest.mark.parametrize("law", ["normal", "rademacher", "sphere", "coordinates"])
@pytest.mark.parametrize("rule", ["sgd", "node-perturbation", "weight-perturbation"])
def test_two_outputs_are_what_all_outcomes_say(rule, law, covariance):
    problem = LinearRegression(
        2, covariance=covariance, outputs=2, design="rademacher", noise=0.6, start=[[0.8, -0.3], [0.1, 0.5]]
    )
    options = {} if rule == "sgd" else {"law": law}
    check(problem, Update(rule, mask=None if rule != "node-perturbation" else 1, **options), [0.08])
    check(problem, Update(rule, **options), [0.08])


def test_gaussian_matrix_recursion_and_a_simulation_agree():
    """The recursion of arXiv 2309.15001 as it is printed, and every entry of A within four standard errors."""
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    q = basis @ np.diag([2.0, 1.0, 0.5, 0.25]) @ basis.T
    sigma, steps, runs, start = 0.7, 200, 20_000, np.full(4, 0.5)
    alphas = 1 / (np.arange(1, steps + 1) + 72)
    a = np.outer(start, start)
    for alpha in alphas:
        qa = q @ a
        f = 2 * (2 * q @ a @ q + np.trace(qa) * q) + 2 * sigma**2 * q
        f += (2 * np.trace(q @ a @ q) + np.trace(q) * np.trace(qa) + sigma**2 * np.trace(q)) * np.eye(4)
        a = a - alpha * (qa + qa.T) + alpha**2 * f
    given = dict(dimension=4, covariance=q, noise=sigma, start=start, steps=steps, step_size=alphas)
    found = exact_covariance("forward-gradient", **given)
    np.testing.assert_allclose(found, a, rtol=1e-10, atol=1e-13)
    assert exact_risk("two-query", **given)[-1] == pytest.approx(np.trace(a), rel=1e-12)
    delta, root = np.tile(start, (runs, 1)), np.linalg.cholesky(q)
    for alpha in alphas:
        x, xi = rng.normal(size=(runs, 4)) @ root.T, rng.normal(size=(runs, 4))
        residual = (x * delta).sum(axis=1) - sigma * rng.normal(size=runs)
        delta -= alpha * (residual * (x * xi).sum(axis=1))[:, None] * xi
    products = delta[:, :, None] * delta[:, None, :]
    error = products.std(axis=0) / np.sqrt(runs)
    assert np.all(np.abs(products.mean(axis=0) - found) < 4 * error)


def test_scalar_laws_at_step_300():
    given = dict(dimension=10, steps=300, noise=1.0, start=1.0)
    for rule, law, directions, c, expected in (
        ("sgd", "normal", 1, 12, 0.0375),
        ("forward-gradient", "normal", 1, 144, 0.4362),
        ("forward-gradient", "rademacher", 1, 120, 0.3804),
        ("forward-gradient", "sphere", 1, 120, 0.3804),
        ("forward-gradient", "normal", 5, 12 * 16 / 5, 0.1311),
    ):
        risk = exact_risk(rule, law=law, directions=directions, step_size=lambda k, c=c: 1 / (k + c), **given)
        assert risk[0] == pytest.approx(1.0, rel=1e-15)
        assert risk[-1] == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize(
    ("d", "slope", "early", "late", "ratio"),
    [
        (10, -1.004, 1.255, 1.0015, 12.015),
        (20, -1.010, 1.179, 1.0044, 22.08),
        (50, -1.034, 1.131, 1.0197, 52.86),
        (100, -1.054, 1.112, 1.0605, 106.96),
    ],
)
def test_risk_of_the_forward_gradient_over_six_decades(d, slope, early, late, ratio):
    c, steps = (d + 2) ** 2, 10**6
    risk = exact_risk("forward-gradient", dimension=d, steps=steps, step_size=lambda k: 1 / (k + c))
    other = exact_risk("sgd", dimension=d, steps=steps, step_size=lambda k: 1 / (k + d + 2))
    scaled = (np.arange(steps + 1) + c) * risk / (d * (d + 2))
    assert np.log10(risk[10**6] / risk[10**5]) == pytest.approx(slope, abs=1e-3)
    assert scaled[round(10 * d**2 * np.log(d))] == pytest.approx(early, abs=1e-3)
    assert scaled[-1] == pytest.approx(late, abs=1e-3)
    assert risk[-1] / other[-1] == pytest.approx(ratio, abs=6e-3)


@pytest.mark.parametrize(
    ("factor", "first", "second", "level"),
    [
        (0.25, -0.495, -0.499, None),
        (0.4, -0.763, -0.780, None),
        (0.5, -0.901, -0.922, None),
        (0.75, -1.033, -1.014, 137.1),
        (1.0, -1.025, -1.004, 120.2),
        (2.0, -1.000, -1.000, 160.0),
    ],
)
def test_exponents_change_at_one_half(factor, first, second, level):
    given = dict(dimension=10, steps=10**6, step_size=lambda k: factor / (k + factor * 144))
    risk = exact_risk("forward-gradient", **given)
    assert np.log10(risk[10**5] / risk[10**4]) == pytest.approx(first, abs=0.002)
    assert np.log10(risk[10**6] / risk[10**5]) == pytest.approx(second, abs=0.002)
    if level is not None:
        assert 10**6 * risk[-1] == pytest.approx(level, abs=0.06)


def test_inputs_on_few_dimensions():
    given = dict(dimension=20, rank=3, active=3, steps=400, step_size=lambda k: 1 / (k + 25))
    seen = exact_risk("forward-gradient", of="prediction", **given)
    drift = exact_risk("forward-gradient", **given) - seen
    assert seen[-1] == pytest.approx(0.04639, abs=6e-6)
    assert drift[-1] == pytest.approx(3.720, abs=6e-4)
    alone = exact_risk("forward-gradient", dimension=3, steps=400, step_size=given["step_size"])
    np.testing.assert_allclose(seen, alone, rtol=1e-12)
    step, before = given["step_size"](np.arange(1, 401)), seen[:-1]
    np.testing.assert_allclose(drift[1:], np.cumsum(step**2 * 17 * (5 * before + 3)), rtol=1e-10)


def test_noise_on_outputs_and_on_weights():
    for rule, factor, expected in (
        ("sgd", 1, 0.0298),
        ("node-perturbation", 5, 0.1810),
        ("weight-perturbation", 17, 0.5045),
    ):
        given = dict(dimension=5, outputs=3, noise=0.5, step_size=lambda k, f=factor: 1 / (k + 7 * f))
        assert exact_risk(rule, steps=150, **given)[-1] == pytest.approx(expected, abs=6e-5)
        late = exact_risk(rule, steps=10**6, **given)
        assert 10**6 * late[-1] == pytest.approx(factor * 15 * 0.25, rel=2e-3)  # m + 2 and nm + 2 times sgd


def test_a_mask_on_a_sparse_truth_costs_what_few_dimensions_cost():
    given = dict(steps=10**5, step_size=lambda k: 1 / (k + 144))
    masked = exact_risk("forward-gradient", dimension=1000, active=10, mask=10, **given)
    np.testing.assert_allclose(masked, exact_risk("forward-gradient", dimension=10, **given), rtol=1e-10)
    given = dict(steps=10**7, step_size=lambda k: 1 / (k + 1002**2))
    full = exact_risk("forward-gradient", dimension=1000, active=10, **given)
    assert 10**7 * full[-1] == pytest.approx(1000 * 1002, rel=0.2)  # still on its way after 10⁷ samples


def test_a_million_steps_take_no_time_in_any_dimension():
    for dimension in (1, 100_000):
        risk = exact_risk("forward-gradient", dimension=dimension, steps=10**6, step_size=1e-13)
        assert len(risk) == 10**6 + 1
        assert 0.99 < risk[-1] < 1.1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["sgd", "forward-gradient"]), st.sampled_from(["normal", "sphere"]))
def test_laws_without_axes_do_not_see_a_rotation(seed, rule, law):
    rng = np.random.default_rng(seed)
    basis, values = np.linalg.qr(rng.normal(size=(5, 5)))[0], rng.uniform(0.2, 2.0, 5)
    start, alphas = rng.normal(size=5), rng.uniform(0, 0.02, 30)
    given = dict(dimension=5, design=law, steps=30, step_size=alphas, **({} if rule == "sgd" else {"law": law}))
    turned = basis @ np.diag(values) @ basis.T
    straight = exact_risk(rule, covariance=values, start=start, **given)
    np.testing.assert_allclose(exact_risk(rule, covariance=turned, start=basis @ start, **given), straight, rtol=1e-10)
    update = Update(rule) if rule == "sgd" else Update(rule, law=law)
    dynamics = Dynamics(LinearRegression(5, covariance=turned, design=law), update)
    assert dynamics.groups() is not None
    a = exact_covariance(rule, covariance=turned, start=basis @ start, **given)
    np.testing.assert_allclose(
        basis.T @ a @ basis, exact_covariance(rule, covariance=values, start=start, **given), rtol=1e-9, atol=1e-12
    )


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_splits_sum_to_the_risk_and_more_noise_is_worse(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    d = data.draw(st.integers(1, 5))
    rule = data.draw(st.sampled_from(["sgd", "forward-gradient", "node-perturbation", "weight-perturbation"]))
    kind = data.draw(st.sampled_from(["identity", "full", "rank"]))
    root = rng.normal(size=(d, d + 1))
    outputs = data.draw(st.integers(1, 3)) if rule.endswith("perturbation") else 1
    repeats = data.draw(st.integers(1, 3)) if rule != "sgd" and kind != "full" else 1
    given = dict(
        dimension=d,
        covariance=root @ root.T / d + 0.1 * np.eye(d) if kind == "full" else None,
        rank=data.draw(st.integers(1, d)) if kind == "rank" else None,
        outputs=outputs,
        mask=data.draw(st.integers(1, d)),
        start=rng.normal(size=(d, outputs) if outputs > 1 else d),
        law="normal" if rule == "sgd" else data.draw(st.sampled_from(["normal", "sphere"])),
        repeats=repeats,
        design=data.draw(st.sampled_from(["normal", "rademacher", "sphere"])),
        of=data.draw(st.sampled_from(["parameters", "prediction"])),
        steps=20,
        step_size=rng.uniform(0, 0.01, 20),
    )
    parts = decompose(rule, noise=0.7, **given)
    risk = exact_risk(rule, noise=0.7, **given)
    np.testing.assert_allclose(parts.bias + parts.variance, risk, rtol=1e-10)
    # coordinates outside the mask are noise of their own, present with σ = 0 too: both parts are linear
    np.testing.assert_allclose(parts.initial + parts.noise, risk, rtol=1e-10)
    np.testing.assert_allclose(parts.risk, risk, rtol=1e-10)
    assert np.all(parts.variance > -1e-12 * risk)
    assert np.all(exact_risk(rule, noise=0.8, **given)[1:] >= risk[1:])
    mean = expected_error(rule, noise=0.7, at=range(21), **{k: v for k, v in given.items() if k != "of"})
    mean = mean.reshape(21, d, outputs)
    q = LinearRegression(d, covariance=given["covariance"], rank=given["rank"]).matrix
    if given["of"] == "parameters":
        q = np.eye(d)
    np.testing.assert_allclose(parts.bias, np.einsum("kim,ij,kjm->k", mean, q, mean), rtol=1e-10, atol=1e-14)


def test_mean_path_is_a_product():
    q, start = np.array(FULL), np.array([1.0, -2.0])
    alphas = np.array([0.3, 0.2, 0.1])
    widths = {0.1: 0.0066733357, 0.5: 0.1708707084, 1.0: 0.7357588823, 2.0: 3.8975309743}
    for width, kappa in [*widths.items(), (None, 0.7357588823)]:
        mean = start.copy()
        for alpha in alphas:
            mean = mean - alpha * kappa * q @ mean
        given = dict(dimension=2, covariance=q, start=start, steps=3, step_size=alphas)
        assert expected_error("hebbian", radius=width, **given) == pytest.approx(mean, rel=1e-8)
    for rule in ("sgd", "forward-gradient", "one-query"):
        mean = expected_error(rule, at=[0, 1, 3], **given)
        assert mean[0] == pytest.approx(start, rel=1e-14)
        assert mean[1] == pytest.approx(start - 0.3 * q @ start, rel=1e-12)
        masked = expected_error(rule, mask=1, at=[1], **given)[0]
        assert masked == pytest.approx([(start - 0.3 * q @ start)[0], -2.0], rel=1e-12)


def test_bad_input_is_named():
    given = dict(dimension=3, steps=10, step_size=0.01)
    for rule in ("one-query", "hebbian"):
        with pytest.raises(UserError, match="simulate_risk"):
            exact_risk(rule, **given)
    with pytest.raises(UserError, match="there is no of 'everything'"):
        exact_risk("sgd", of="everything", **given)
    with pytest.raises(UserError, match="no steps"):
        exact_risk("sgd", dimension=3, steps=0, step_size=0.1)
    with pytest.raises(UserError, match="nan at step 2"):
        exact_risk("sgd", dimension=3, steps=3, step_size=lambda k: np.where(k == 2, np.nan, 0.1))
    with pytest.raises(UserError, match="at tells no steps"):
        exact_covariance("sgd", at=[11], **given)
    with pytest.raises(UserError, match="risk only"):
        exact_covariance("forward-gradient", repeats=2, **given)
    with pytest.raises(UserError, match="linear mean path"):
        expected_error("one-query", reward=(np.arange(3.0), np.arange(3.0)), **given)
    with pytest.warns(UserWarning, match=r"^4 of 10 steps are beyond the stability limit 0\.4 of sgd") as caught:
        exact_risk("sgd", dimension=3, steps=10, step_size=np.repeat([0.5, 0.1], [4, 6]))
    assert caught[0].filename == __file__


@pytest.mark.filterwarnings("ignore:.*beyond the stability limit")
@pytest.mark.parametrize("covariance", [None, FULL], ids=["identity", "full"])
@pytest.mark.parametrize("repeats", [1, 2])
def test_far_beyond_the_limit_the_risk_is_infinite_and_no_error(covariance, repeats):
    given = dict(dimension=2, covariance=covariance if repeats == 1 else None, repeats=repeats, mask=1)
    risk = exact_risk("forward-gradient", steps=10_000, step_size=10.0, **given)
    assert risk[1] > 10
    assert np.isinf(risk[-1])
    assert np.all(np.diff(risk[np.isfinite(risk)]) > 0)
    assert not np.isnan(risk).any()


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 5), st.integers(0, 10**6))
def test_whole_matrix_and_groups_agree(d, seed):
    """A covariance that is diagonal but for a hair goes through the matrix and not through groups."""
    rng = np.random.default_rng(seed)
    values, hair = rng.uniform(0.5, 1.5, d), np.zeros((d, d))
    hair[0, 1] = hair[1, 0] = 1e-13
    assume(np.unique(values).size == d)
    given = dict(dimension=d, start=rng.normal(size=d), law="rademacher", steps=40, step_size=0.02)
    for of in ("parameters", "prediction"):
        one = exact_risk("forward-gradient", covariance=values, of=of, **given)
        other = exact_risk("forward-gradient", covariance=np.diag(values) + hair, of=of, **given)
        np.testing.assert_allclose(one, other, rtol=1e-10)


@pytest.mark.parametrize("baseline", ["previous", "mean"])
@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("one-query", {}),
        ("one-query", {"directions": 3}),
        ("one-query", {"repeats": 3}),
        ("hebbian", {"directions": 3, "radius": 0.8}),
        ("hebbian", {"radius": 0.8}),
    ],
)
def test_the_first_loss_is_its_own_baseline(rule, options, baseline):
    """The distance of the mean of many runs from the formula, by the rule written out."""
    rng, runs, alpha, sigma, memory = np.random.default_rng(5), 100_000, 0.06, 0.3, 0.4
    start, directions, repeats = np.array([0.6, -0.4]), options.get("directions", 1), options.get("repeats", 1)
    c = options.get("radius", 0.5)
    delta, kept, first = np.tile(start, (runs, 1)), None, None
    for _ in range(2):
        x, noise = rng.standard_normal((runs, 2)), sigma * rng.standard_normal(runs)
        for _ in range(repeats):
            moves = np.zeros((runs, 2))
            for _ in range(directions):
                u = rng.uniform(-c, c, (runs, 2)) if rule == "hebbian" else c * rng.standard_normal((runs, 2))
                loss = 0.5 * (noise - ((delta + u) * x).sum(axis=1)) ** 2
                kept = loss if kept is None else kept
                move = 2 * np.sinh(u) if rule == "hebbian" else u / c**2
                moves += (loss - kept)[:, None] * move / directions
                kept = loss if baseline == "previous" else kept + memory * (loss - kept)
            delta = delta - alpha * moves
        first = delta if first is None else first
    given = dict(dimension=2, start=start, noise=sigma, steps=2, step_size=alpha, baseline=baseline, memory=memory)
    expected = expected_error(rule, at=[1, 2], **given, **{"radius": 0.5, **options})
    if directions * repeats == 1:
        np.testing.assert_array_equal(expected[0], start)
    for found, mean in zip((first, delta), expected, strict=True):
        error = found.std(axis=0) / np.sqrt(runs) + 1e-12
        assert np.all(np.abs(found.mean(axis=0) - mean) < 4 * error)
    plain = expected_error(rule, at=[1, 2], **{**given, "baseline": "none"}, **{"radius": 0.5, **options})
    assert np.all(np.abs(expected[0] - start) < 0.75 * np.abs(plain[0] - start))

"""Fisher information of queries: closed forms, two independent ways, Monte Carlo, the rule that reaches the bound."""

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from sparsefire.convergence.bounds import _residuals, fisher
from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.simulation.simulate import simulate_risk
from sparsefire.errors import UserError
from sparsefire.randomness import stream

SERVED = [
    (design, noise)
    for design in ("normal", "rademacher", "student", "sparse")
    for noise in ("normal", "laplace", "two-point")
    if (design, noise) != ("rademacher", "two-point")
]


def draw_inputs(rng: np.random.Generator, design: str, size: tuple[int, int]) -> np.ndarray:
    if design == "student":
        return rng.standard_t(5, size) * np.sqrt(3 / 5)
    if design == "rademacher":
        return rng.choice([-1.0, 1.0], size)
    drawn = rng.standard_normal(size)
    return drawn * (rng.random(size) < 0.1) / np.sqrt(0.1) if design == "sparse" else drawn


def draw_noise(rng: np.random.Generator, law: str, size: int) -> np.ndarray:
    if law == "laplace":
        return rng.laplace(scale=np.sqrt(0.5), size=size)
    return rng.choice([-1.0, 1.0], size) if law == "two-point" else rng.standard_normal(size)


@pytest.mark.parametrize("ratio", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("law", ["rademacher", "coordinates", "sphere"])
def test_normal_inputs_and_noise_have_the_closed_form(ratio: float, law: str) -> None:
    d, sigma = 7, 1.6
    found = fisher.fisher_information(LinearRegression(d, noise=sigma), ratio * sigma / np.sqrt(d), law)
    assert found == pytest.approx(2 * ratio**2 / (1 + ratio**2) ** 2 / sigma**2 / d, rel=1e-10)


def test_the_bound_of_the_normal_case() -> None:
    assert fisher.query_bound(LinearRegression(12, noise=0.5)) == pytest.approx(2 * 0.25 * 144, rel=1e-10)


def test_normal_directions_average_over_their_length() -> None:
    d, c = 3, 0.8
    exact = integrate.quad(lambda q: stats.chi2.pdf(q, d) * 2 * c**2 * q / (1 + c**2 * q) ** 2, 0, np.inf)[0] / d
    assert fisher.fisher_information(LinearRegression(d), c, "normal") == pytest.approx(exact, rel=1e-4)
    drawn = fisher.fisher_information(LinearRegression(40), None, "uniform")  # lengths hardly vary
    assert drawn == pytest.approx(0.5 / 40, rel=0.01)


@pytest.mark.parametrize("norm", [0.4, 1.1])
@pytest.mark.parametrize(
    ("design", "noise_law"),
    [
        ("normal", "normal"),
        ("normal", "laplace"),
        ("normal", "two-point"),
        ("sparse", "normal"),
        ("sparse", "laplace"),
        ("rademacher", "normal"),
    ],
)
def test_mixtures_and_characteristic_functions_agree(design: str, noise_law: str, norm: float) -> None:
    problem = LinearRegression(6, design=design, noise_law=noise_law, noise=1.2, filled=0.3)
    mixture = _residuals.mixture(problem, norm, 6)
    points, density, slopes = _residuals.by_fourier_along(problem, norm, 6)
    near = points < 6
    exact, moving = _residuals.at(problem, mixture, points[near])
    # the atom of sparse inputs under Laplace noise leaves a kink at 0
    bound = 2e-3 if (design, noise_law) == ("sparse", "laplace") else 1e-9
    assert np.abs(exact - density[near]).max() < bound
    assert np.abs(moving - slopes[0, near]).max() < bound
    nodes, weights = _residuals.panels(problem, mixture)
    assert 2 * weights @ _residuals.at(problem, mixture, nodes)[0] == pytest.approx(1, abs=1e-12)


def test_laplace_plus_normal_is_the_convolution() -> None:
    problem = LinearRegression(1, noise_law="laplace", noise=1.3)
    at = np.array([0.0, 0.3, 2.0, -9.0])
    for spread in (0.05, 0.9, 4.0):
        found, _ = _residuals.component(problem, at, 0.0, spread)
        for e, value in zip(at, found, strict=True):
            exact = integrate.quad(
                lambda x, e=e, s=spread: stats.laplace.pdf(e - x, scale=1.3 / np.sqrt(2)) * stats.norm.pdf(x, scale=s),
                -12 * spread,
                12 * spread,
                points=[np.clip(e, -11 * spread, 11 * spread)],
                epsabs=1e-13,
            )[0]
            assert value == pytest.approx(exact, rel=1e-7)


def test_a_student_input_plus_noise_is_the_convolution() -> None:
    problem = LinearRegression(1, design="student", noise=0.5)
    points, density, _ = _residuals.by_fourier_along(problem, 0.8, 1)
    scale = 0.8 * np.sqrt(3 / 5)
    for e in (0.0, 1.0, 7.0):
        exact = integrate.quad(
            lambda x, e=e: stats.norm.pdf(x, scale=0.5) * stats.t.pdf((e - x) / scale, 5) / scale, -6, 6, epsabs=1e-14
        )[0]
        assert np.interp(e, points, density) == pytest.approx(exact, rel=1e-5)


def test_a_sphere_in_three_dimensions_is_uniform_along_any_direction() -> None:
    """X′v is uniform on [−a, a], a = √3 |v|, so that f(e) = (Φ((e + a)/σ) − Φ((e − a)/σ))/2a."""
    problem, norm, sigma = LinearRegression(3, design="sphere", noise=0.6), 0.9, 0.6
    points, density, slopes = _residuals.by_fourier_along(problem, norm, 3)
    a = np.sqrt(3) * norm
    exact = (stats.norm.cdf((points + a) / sigma) - stats.norm.cdf((points - a) / sigma)) / (2 * a)
    edges = (stats.norm.pdf((points + a) / sigma) + stats.norm.pdf((points - a) / sigma)) / (2 * sigma)
    assert np.abs(density - exact).max() < 1e-10
    assert np.abs(slopes[0] - (edges - exact)).max() < 1e-10


@pytest.mark.parametrize(("design", "noise_law"), [*SERVED, ("sphere", "laplace")])
def test_slopes_are_numerical_derivatives(design: str, noise_law: str) -> None:
    problem, h, e = LinearRegression(5, design=design, noise_law=noise_law), 1e-5, np.array([0.11, 0.7, 1.9, 4.1])

    def density(norm: float) -> tuple[np.ndarray, np.ndarray]:
        mixture = _residuals.mixture(problem, norm, 5)
        if mixture is not None:
            return _residuals.at(problem, mixture, e)
        points, found, slopes = _residuals.by_fourier_along(problem, norm, 5)
        return np.interp(e, points, found), np.interp(e, points, slopes[0])

    numerical = (density(1.1 * (1 + h))[0] - density(1.1 * (1 - h))[0]) / (2 * h)
    assert density(1.1)[1] == pytest.approx(numerical, abs=2e-4 if design in ("student", "sphere") else 1e-8)


@pytest.mark.parametrize(("noise_law", "tolerance"), [("normal", 1e-6), ("laplace", 0.02)])
def test_uneven_directions_by_enumeration(noise_law: str, tolerance: float) -> None:
    """±1 inputs, d = 3: all 8 inputs, any v."""
    problem, v = LinearRegression(3, design="rademacher", noise_law=noise_law), np.array([0.7, -0.2, 0.45])
    inputs = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
    mixture = _residuals.Mixture(np.full(8, 1 / 8), inputs @ v, np.zeros(8))
    points, weights = _residuals.panels(problem, mixture)
    density, gradient = np.zeros_like(points), np.zeros((3, len(points)))
    for x in inputs:
        here, moving = _residuals.component(problem, points, float(x @ v), 0.0)
        density += here / 8
        gradient += np.outer(x / (x @ v), moving) / 8  # moving = (x′v) ∂f/∂(x′v)
    exact = 2 * weights @ ((gradient**2).sum(axis=0) / density)
    assert fisher._trace(problem, v) == pytest.approx(exact, rel=tolerance)


@pytest.mark.parametrize("design", ["normal", "student"])
def test_uneven_directions_agree_with_even_ones_where_they_meet(design: str) -> None:
    problem, v = LinearRegression(4, design=design, noise_law="laplace"), np.array([0.3, -0.3, 0.3, 0.3])
    assert fisher._trace(problem, v) == pytest.approx(fisher._along(problem, 0.6, 4), rel=1e-5)


@pytest.mark.parametrize(("design", "noise_law"), SERVED)
def test_the_information_identity_by_monte_carlo(design: str, noise_law: str) -> None:
    """E h = 0 and E h² = |v|⁴/J = |v|²/(d i) for the reward h = |v|²ψ/J, over fresh residuals."""
    d, runs = 5, 200_000
    problem, rng = LinearRegression(d, design=design, noise_law=noise_law), stream(0, design, noise_law)
    grid, reward = fisher.score_reward(problem)
    e = draw_noise(rng, noise_law, runs) - draw_inputs(rng, design, (runs, d)) @ rng.choice([-1.0, 1.0], d) / np.sqrt(d)
    h = np.interp(np.abs(e), grid, reward)
    assert abs(h.mean()) < 4 * h.std() / np.sqrt(runs)
    expected = 1.0 / (d * fisher.fisher_information(problem))
    assert abs(np.mean(h**2) - expected) < 4 * np.std(h**2) / np.sqrt(runs) + 1e-3 * expected


@pytest.mark.parametrize(
    ("design", "noise_law"), [("normal", "laplace"), ("student", "normal"), ("sparse", "two-point")]
)
def test_the_reward_has_the_mean_step_of_the_loss(design: str, noise_law: str) -> None:
    """∂ E h/∂ log |v| = E hψ = |v|², as for e²/2: by the derivative of the density."""
    problem = LinearRegression(8, design=design, noise_law=noise_law)
    grid, reward = fisher.score_reward(problem, 0.5)
    mixture, norm = _residuals.mixture(problem, 0.5 * np.sqrt(8), 8), 0.5 * np.sqrt(8)
    if mixture is None:
        points, _, slopes = _residuals.by_fourier_along(problem, norm, 8)
        found = 2 * np.trapezoid(slopes[0] * np.interp(points, grid, reward), points)
    else:
        points, weights = _residuals.panels(problem, mixture)
        found = 2 * weights @ (_residuals.at(problem, mixture, points)[1] * np.interp(points, grid, reward))
    assert found == pytest.approx(norm**2, rel=2e-3)


def test_the_reward_of_the_normal_case_is_the_loss_less_its_mean() -> None:
    problem = LinearRegression(6, noise=1.4)
    grid, reward = fisher.score_reward(problem)
    assert grid[0] == 0
    assert np.all(np.diff(grid) > 0)
    assert np.allclose(reward, grid**2 / 2 - 1.4**2, atol=1e-9)
    assert np.allclose(fisher.score_reward(problem, law="sphere")[1], reward)


def test_inputs_that_are_all_zero_tell_nothing() -> None:
    grid, reward = fisher.score_reward(LinearRegression(4, design="sparse", noise_law="two-point", noise=0.7))
    assert reward[grid == 0.7].tolist() == [0.0]
    assert np.count_nonzero(reward == 0.0) == 1


@pytest.mark.parametrize(("design", "noise_law"), [("sparse", "laplace"), ("normal", "two-point")])
def test_the_rule_reaches_the_bound_with_the_reward_and_not_with_the_loss(design: str, noise_law: str) -> None:
    problem, k0 = LinearRegression(5, design=design, noise_law=noise_law, start=0.0), 400.0
    bound, steps, found = fisher.query_bound(problem), 20_000, {}
    for name, options in {"score": {"reward": fisher.score_reward(problem)}, "none": {}}.items():
        estimate = simulate_risk(
            "one-query",
            problem,
            law="rademacher",
            steps=steps,
            step_size=lambda k: 1 / (k + k0),
            runs=512,
            rng=0,
            record=[steps],
            workers=1,
            **options,
        )
        scaled = estimate.values[:, -1] * (steps + k0) ** 2 / steps / bound
        found[name] = scaled.mean(), scaled.std() / np.sqrt(len(scaled))
    assert found["score"][0] == pytest.approx(1, abs=0.08 + 4 * found["score"][1])
    assert found["none"][0] > 1.25


def test_far_queries_of_plus_minus_one_inputs_tell_a_noisy_sum_of_them() -> None:
    """|v|/√d ≫ σ: which X′v it was can be told, so tr I = 1/σ² (2/σ² for Laplace noise) instead of 1/(2σ²)."""
    for noise_law, expected in (("normal", 1.0), ("laplace", 2.0)):
        problem = LinearRegression(4, design="rademacher", noise_law=noise_law, noise=0.5)
        assert 4 * fisher.fisher_information(problem, 30 * 0.5) == pytest.approx(expected / 0.25, rel=1e-6)


def test_the_best_radius() -> None:
    assert fisher.best_radius(LinearRegression(9, noise=2.0)) == pytest.approx(2 / 3, rel=1e-4)
    for problem in (LinearRegression(9, noise_law="laplace"), LinearRegression(9, design="sparse")):
        best = fisher.best_radius(problem)
        peak = fisher.fisher_information(problem, best)
        for other in (0.9, 1.1):
            assert fisher.fisher_information(problem, other * best) < peak
    capped = fisher.best_radius(LinearRegression(4, design="rademacher", noise_law="laplace"), most=1.5)
    assert capped == pytest.approx(0.75)
    with pytest.raises(UserError, match="without bound"):
        fisher.best_radius(LinearRegression(9, noise_law="two-point"))


def test_first_order_bounds() -> None:
    for law, dist in (("normal", stats.norm(scale=1.3)), ("laplace", stats.laplace(scale=1.3 / np.sqrt(2)))):

        def score_square(x: float, dist=dist) -> float:
            return ((dist.logpdf(x + 1e-5) - dist.logpdf(x - 1e-5)) / 2e-5) ** 2 * dist.pdf(x)

        information = 2 * integrate.quad(score_square, 1e-5, 40, limit=200)[0]
        problem = LinearRegression(3, covariance=[1.0, 2.0, 4.0], noise=1.3, noise_law=law)
        assert fisher.first_order_bound(problem) == pytest.approx(1.75 / information, rel=1e-4)
    assert fisher.first_order_bound(LinearRegression(3, noise_law="two-point")) == 0.0
    assert fisher.first_order_bound(LinearRegression(3, outputs=2)) == 6.0


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"noise": 0.0}, "without noise"),
        ({"covariance": [1.0, 2.0, 3.0]}, "isotropic"),
        ({"outputs": 2}, "isotropic"),
        ({"design": "rademacher", "noise_law": "two-point"}, "infinite"),
        ({"design": "sphere", "noise_law": "two-point"}, "peaked"),
    ],
)
def test_what_has_no_information_is_told(given: dict, match: str) -> None:
    problem = LinearRegression(3, **given)
    for wrong in (fisher.fisher_information, fisher.query_bound, fisher.best_radius, fisher.score_reward):
        with pytest.raises(UserError, match=match):
            wrong(problem)


def test_wrong_input_is_told() -> None:
    problem = LinearRegression(3)
    for radius in (0.0, -1.0, np.inf, "wide"):
        with pytest.raises(UserError, match="radius"):
            fisher.query_bound(problem, radius)
    with pytest.raises(UserError, match="law"):
        fisher.query_bound(problem, law="cauchy")
    with pytest.raises(UserError, match="more than the residual"):
        fisher.score_reward(problem, law="normal")
    with pytest.raises(UserError, match="peaked"):
        fisher.query_bound(LinearRegression(3, design="sparse", noise_law="two-point"), law="normal")
    with pytest.raises(UserError, match="most"):
        fisher.best_radius(problem, most=0.0)
    with pytest.raises(UserError, match="some coordinates"):
        fisher.first_order_bound(LinearRegression(3, rank=2))

"""The arithmetic of the pages on repeats, rough functions and the conjecture, on records made by hand."""

from __future__ import annotations

import conjecture
import nonparametric
import numpy as np
import pytest
import repeats
from conjectured import linear
from conjectured import page as conjectured
from repeated import cases as repeated_cases
from repeated import page as repeated
from repeated.two_layer import Problem, path
from smooth import page as smooth
from smooth.cases import FUNCTIONS, Piece, noise_of, run


def test_the_gradient_path_is_closed_form_gradient_flow():
    problem = linear.Problem("dense", 40, 0)
    x, y, _, _ = problem.split
    thetas, names = linear.gradient(problem)
    for at in (200, 430, 799):
        time, decay = names[at]
        gram, moment = x.T @ x / len(x), x.T @ y / len(x)
        values, vectors = np.linalg.eigh(gram)
        wanted = vectors @ ((1 - np.exp(-time * (values + decay))) / (values + decay + 1e-300) * (vectors.T @ moment))
        np.testing.assert_allclose(thetas[at], wanted, atol=1e-8)


@pytest.mark.parametrize("arm", ["two", "one"])
def test_rules_that_read_losses_end_at_least_squares(arm):
    problem = linear.Problem("sparse", 800, 0)
    x, y, _, _ = problem.split
    least = np.linalg.lstsq(x, y, rcond=None)[0]
    if arm == "two":
        seen = linear.two(problem, 30_000)
    else:
        seen = linear.one(problem, 0.01, 0.3 / (linear.DIMENSION * linear.steepest(problem)), 60_000)
    assert np.linalg.norm(seen[-1] - least) < 0.05 * np.linalg.norm(least)


def test_noise_on_products_ends_at_the_lasso():
    from sklearn.linear_model import Lasso

    problem = linear.Problem("sparse", 800, 1)
    x, y, _, _ = problem.split
    wanted = Lasso(0.1, fit_intercept=False).fit(x, y).coef_
    found = linear.products(problem, 0.1, 60_000)[-1]
    assert np.linalg.norm(found - wanted) < 0.1 * np.linalg.norm(wanted)


def test_verdicts_are_paired_and_signed():
    ours = {r: {"risk": 2.0 * 3.0**r} for r in range(4)}
    theirs = {r: {"risk": 3.0**r} for r in range(1, 5)}
    assert conjectured.against(ours, theirs) == pytest.approx((2.0, 2.0, 2.0))
    assert conjectured.verdict(conjectured.against(ours, theirs)) == "worse"
    assert conjectured.verdict(conjectured.against(theirs, ours)) == "better"
    assert conjectured.against({0: {"risk": 1.0}}, theirs) is None


def test_what_was_had_after_a_number_of_losses():
    cell = {0: {"risk": 1.0, "curve": [[10, 4.0], [100, 2.0]]}, 1: {"risk": 1.0, "curve": [[50, 3.0]]}}
    assert conjectured.after(cell, 60) == {0: {"risk": 4.0}, 1: {"risk": 3.0}}
    assert conjectured.after(cell, 20) == {0: {"risk": 4.0}}


def test_slopes_draw_whole_replicates_and_are_paired():
    rows = (256, 512, 1024, 2048, 4096)
    level = (1.0, 2.0, 5.0)
    base = {n: {r: level[r] * n**-0.5 for r in range(3)} for n in rows}
    ours = {n: {r: level[r] * n**-0.75 for r in range(3)} for n in rows}
    fit = smooth.fitted(base)
    assert fit.exponent == pytest.approx(0.5)
    assert fit.interval() == pytest.approx((0.5, 0.5))
    assert smooth.steeper(ours, base) == pytest.approx((0.25, 0.25, 0.25))


def test_a_small_training_beats_a_constant():
    assert {noise_of(name) for name in FUNCTIONS} == {1.0, 0.4}
    found = run(Piece("single index, β = 2, d = 5", "backprop", 1024, 0, 0.2))[0]
    assert found["risk"] < 0.6
    assert found == run(Piece("single index, β = 2, d = 5", "backprop", 1024, 0, 0.2))[0]


def test_the_law_of_repeats_is_fitted_and_edges_are_told():
    assert repeated.dimension({1: 11.0, 5: 3.0, 10: 2.0}) == pytest.approx(10.0, rel=1e-4)
    record = {"factor": repeated_cases.FACTORS[1], "offset": repeated_cases.OFFSETS[1]}
    assert not repeated_cases.edge(record)
    assert repeated_cases.edge({**record, "offset": repeated_cases.OFFSETS[-1]})


@pytest.mark.parametrize("repeats_", [0, 1, 20])
def test_the_linear_control_is_the_exact_risk(repeats_):
    """The gradient is served by the recursion; signs as directions by enumeration-free fourth moments for l = 1."""
    from sparsefire.convergence import exact_risk

    problem = Problem(6, 0, "near", noise=0.5)
    alphas = 0.5 / (np.arange(1, 201) + 60)
    ends = [path(problem, repeats_, alphas, np.array([200]), run)[0] for run in range(400)]
    if repeats_ == 20:  # no closed form with signs: between one repeat and the gradient
        low = exact_risk("sgd", dimension=6, steps=200, step_size=alphas, noise=0.5)[-1]
        assert 0.9 * low < np.mean(ends) < 2 * low
        return
    rule = {"law": "rademacher"} if repeats_ else {}
    name = "forward-gradient" if repeats_ else "sgd"
    wanted = exact_risk(name, dimension=6, steps=200, step_size=alphas, noise=0.5, **rule)[-1]
    assert abs(np.mean(ends) - wanted) < 4 * np.std(ends, ddof=1) / 20 + 0.02 * wanted  # fixed inputs read the risk


@pytest.mark.parametrize("study", [repeats, nonparametric, conjecture])
def test_a_page_without_records_is_a_page(study):
    assert study.page.markdown([]).startswith("# ")
    assert study.page.records([]) == []

"""Oracles: autograd, weight by weight; GraSP's own score where losses give gradients exactly."""

import pytest
import torch
from small_rules import estimate, exact, linear, small
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.rules import CoordinateDifferences
from sparsefire.rules.active import Active
from sparsefire.rules.asking import Batch
from sparsefire.rules.deep_zero import GUIDE, _in_proportion
from sparsefire.sparsity import sparsify


@pytest.mark.parametrize(("two_sided", "order"), [(False, 1), (True, 2)])
def test_every_coordinate_is_the_derivative(two_sided, order):
    net, x, y = small()
    gradient, errors = exact(net, x, y), []
    for scale in (1e-2, 1e-3):
        found = estimate(CoordinateDifferences(scale=scale, two_sided=two_sided), net, x, y)
        errors.append(float((found - gradient).norm()))
    assert errors[0] / errors[1] == pytest.approx(10**order, rel=0.2)
    assert errors[1] < 1e-2


@pytest.mark.parametrize("chunk", [1, 4, None])
def test_blocks_do_not_matter_and_queries_are_counted(chunk):
    net, x, y = small()
    rule = CoordinateDifferences(scale=1e-4, chunk=chunk)
    found = estimate(rule, net, x, y)
    torch.testing.assert_close(found, exact(net, x, y), atol=1e-3, rtol=1e-3)
    assert (rule.budget.queries, rule.budget.random_bits, rule.budget.forward_passes) == (10, 0, 10)


def test_a_share_of_the_active_weights_is_asked_about_and_drawn_anew():
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    sparsify(net, 0.5, rng=0)
    x, y = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    rule = CoordinateDifferences(scale=1e-6, share=0.4, two_sided=True, rng=0)
    gradient, seen = exact(net, x, y), torch.zeros(47, dtype=torch.bool)
    size = 20 + 7
    for _ in range(40):
        found = estimate(rule, net, x, y)
        chosen = found != 0
        assert int(chosen.sum()) <= round(0.4 * size)
        torch.testing.assert_close(found[chosen], gradient[chosen], rtol=1e-3, atol=1e-6)
        seen |= chosen
    kept = torch.cat([(torch.ones_like(p, dtype=torch.bool) if m is None else m).flatten()
                      for p, m in masks.active(net).items()])  # fmt: skip
    assert torch.equal(seen, kept & (gradient != 0))
    assert rule.budget.queries == 40 * (1 + 2 * 11)


def test_guided_shares_follow_the_grasp_score():
    net, x, y = linear(6)
    rule = CoordinateDifferences(share=0.5, shares="zo-grasp", rng=0)
    with torch.no_grad():
        batch = Batch(net, nn.functional.mse_loss, x, y, Active(net))
        scores = torch.stack([rule._scores(batch) for _ in range(300)]).mean(0)
    gradient = exact(net, x, y)
    hessian = 2 * x.T @ x / len(x)
    expected = -net.weight[0].detach() * (hessian @ gradient)
    assert float(nn.functional.cosine_similarity(scores, expected, dim=0)) > 0.98


def test_guided_counts_are_kept():
    net, x, y = small()
    rule = CoordinateDifferences(share=0.5, shares="zo-grasp", rng=0)
    estimate(rule, net, x, y)
    counts = rule._counts
    assert rule.budget.queries == 2 * (GUIDE + 1) + 1 + sum(counts)
    estimate(rule, net, x, y)
    assert rule._counts == counts
    other = CoordinateDifferences(share=0.5, shares="zo-grasp", rng=1)
    other.load_state_dict(rule.state_dict())
    assert other._counts == counts
    assert torch.equal(estimate(rule, net, x, y), estimate(other, net, x, y))


def test_proportions_are_exact():
    assert _in_proportion([6, 3, 1], 5) == [3, 2, 0]
    assert sum(_in_proportion([7, 11, 13], 17)) == 17


def test_options_are_checked():
    with pytest.raises(UserError, match="share"):
        CoordinateDifferences(share=0)
    with pytest.raises(UserError, match="no such shares"):
        CoordinateDifferences(shares="best")

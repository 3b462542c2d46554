"""The compiled training of the studies of small networks, held against autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from smooth import kernels
from smooth.learners import UNITS, Setting, initial, predict, train

ROWS, INPUTS = 12, 3


@pytest.fixture(scope="module")
def step():
    rng = np.random.default_rng(0)
    theta, back = initial(INPUTS, ("test",))
    x = rng.standard_normal((ROWS, INPUTS)).astype(np.float32)
    return theta, back, x, rng.standard_normal(ROWS).astype(np.float32), np.arange(ROWS)


def outputs(theta, x, back=None):
    """f(x) in torch; with ``back`` its backward pass replaces the output weights."""
    first, last = theta[: INPUTS * UNITS].view(INPUTS, UNITS), theta[(INPUTS + 1) * UNITS : -1]
    hidden = torch.relu(x @ first + theta[INPUTS * UNITS : (INPUTS + 1) * UNITS])
    if back is None:
        return hidden @ last + theta[-1]
    return hidden.detach() @ last + (hidden - hidden.detach()) @ back + theta[-1]


def autograd(theta, x, y, back=None):
    """The gradient of half the mean squared error."""
    numbers = torch.from_numpy(theta).clone().requires_grad_()
    given = None if back is None else torch.from_numpy(back)
    (0.5 * (outputs(numbers, torch.from_numpy(x), given) - torch.from_numpy(y)) ** 2).mean().backward()
    return numbers.grad.numpy()


def test_the_answer_is_the_network(step):
    theta, _, x, _, _ = step
    field = np.empty(UNITS, np.float32)
    found = [kernels.answer(theta, row, UNITS, field) for row in x]
    wanted = outputs(torch.from_numpy(theta), torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(predict(theta, x), wanted, atol=1e-5)


@pytest.mark.parametrize("feedback", [False, True])
def test_errors_go_back_as_in_autograd(step, feedback):
    theta, back, x, y, rows = step
    slope = np.empty_like(theta)
    through = back if feedback else theta[(INPUTS + 1) * UNITS :]
    kernels.backward(theta, through, x, y, rows, UNITS, np.empty(UNITS, np.float32), slope)
    np.testing.assert_allclose(slope, autograd(theta, x, y, back if feedback else None), atol=1e-5)


def test_two_queries_are_a_slope_along_signs(step):
    theta, _, x, y, rows = step
    slope, noise = np.empty_like(theta), np.empty_like(theta)
    kernels.by_queries(
        theta, x, y, rows, UNITS, np.float32(1e-2), np.uint64(5), 3, np.empty(UNITS, np.float32), noise, slope
    )
    assert set(np.unique(noise)) == {-1.0, 1.0}
    double = torch.from_numpy(theta).double(), torch.from_numpy(x).double(), torch.from_numpy(y).double()
    losses = [
        float((0.5 * (outputs(double[0] + side * 1e-2 * torch.from_numpy(noise), double[1]) - double[2]) ** 2).mean())
        for side in (1, -1)
    ]
    np.testing.assert_allclose(slope, (losses[0] - losses[1]) / 2e-2 * noise, rtol=2e-3)


def test_node_perturbation_has_the_gradient_as_its_mean(step):
    theta, _, x, y, rows = step
    field, noise, slope = np.empty(UNITS, np.float32), np.empty(UNITS + 1, np.float32), np.empty_like(theta)
    found = []
    for place in range(4000):
        kernels.by_nodes(theta, x, y, rows, UNITS, np.float32(1e-3), np.uint64(1), place * ROWS, field, noise, slope)
        found.append(slope.copy())
    found = np.array(found, dtype=np.float64)
    z = (found.mean(0) - autograd(theta, x, y)) / (found.std(0, ddof=1) / np.sqrt(len(found)) + 1e-12)
    assert np.abs(z).max() < 4.8  # 321 numbers: beyond it in 5 of 10,000 tests
    assert 0.8 < z.std() < 1.2


@pytest.mark.parametrize("rule", list(kernels.RULES))
def test_every_rule_learns_and_the_best_weights_so_far_are_kept(rule):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 2)).astype(np.float32)
    y = x[:, 0] - 0.5 * x[:, 1] ** 2
    rates = {"two queries": 1e-3}
    found = train(rule, x, y, [Setting(rates.get(rule, 3e-3))], 6000, ("test", rule))
    risks = [float(((predict(theta, x) - y) ** 2).mean()) for theta in found.thetas]
    assert risks[-1] < 0.5 * risks[0]
    again = train(rule, x, y, [Setting(rates.get(rule, 3e-3))], 6000, ("test", rule))
    np.testing.assert_array_equal(found.thetas, again.thetas)

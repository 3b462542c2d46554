"""The excess risk of a network that a rule has trained on n samples, at a budget of losses read.

Every rule meets the same samples, first weights, optimizer, schedule and grid of settings, so that what differs is the
rule.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from torch import nn

from sparsefire import randomness
from sparsefire.convergence._inputs import a_function, above, entropy, from_zero, instance, row, whole
from sparsefire.convergence.nonparametric.samples import Data
from sparsefire.errors import Diverged, UserError
from sparsefire.rules import Rule
from sparsefire.train.learners import learner
from sparsefire.train.loop import loss_of, schedule

Network = Sequence[int] | Callable[[int, Any], nn.Module]

DIRECTIONS = 64
"""Queried per step by rules that perturb weights."""

BATCH = 128
"""Rows per step: with fewer, the overhead of a step outweighs its work."""

_HELD = 0.2  # share of the sample that early stopping, or a choice of settings, looks at
_FEWEST = 10


@dataclass(frozen=True)
class Settings:
    """What is tuned.

    Attributes:
        step_size: highest of AdamW; warm-up over 5% of the budget, then half a cosine to zero.
        weight_decay: decoupled, on weights and not on biases.
        stopping: hold a fifth of the sample out, and return the weights that do best on it; else the last ones, from
            the whole sample.
    """

    step_size: float = 1e-2
    weight_decay: float = 0.0
    stopping: bool = True


GRID = tuple(Settings(*chosen) for chosen in product((3e-3, 1e-2, 3e-2), (0.0, 0.1), (True, False)))
"""The settings that :func:`tune` tries with every rule."""


@dataclass(frozen=True, eq=False)
class NetworkRisk:
    """One trained network.

    Attributes:
        risk: mean squared difference from ``test_y``; infinite where training diverged and nothing was kept.
        queries: losses that the rule has read, :attr:`sparsefire.rules.Budget.queries` (those of held-out rows are not
            counted).
        passes: of a batch through the network, :attr:`sparsefire.rules.Budget.forward_passes`.
        steps: taken.
        kept: the step after which the weights were kept.
        diverged: whether a loss was not finite.
        seconds: that the training took.
        path: float64 [checks, 5]: step, queries, passes, mean squared error on held-out rows (NaN without), risk.
    """

    risk: float
    queries: int
    passes: float
    steps: int
    kept: int
    diverged: bool
    seconds: float
    path: np.ndarray


@dataclass(frozen=True, eq=False)
class Tuned:
    """What :func:`tune` has found.

    Attributes:
        settings: those of least mean loss.
        grid: all that were tried.
        losses: mean squared error of each on rows held out for this, [len(grid), replicates].
    """

    settings: Settings
    grid: tuple[Settings, ...]
    losses: np.ndarray


def relu_net(dimension: int, widths: Sequence[int] = (64,), rng: Any = None) -> nn.Sequential:
    """Return a ReLU network with one output, whose first kinks are spread over a cube of unit variance.

    The first layer has unit directions w and biases −w · c with c uniform on [−√3, √3]^d; the others are He normal
    (doi:10.1109/ICCV.2015.123) with zero biases, the last smaller by √2.

    Args:
        dimension: of the inputs.
        widths: of the hidden layers.
        rng: see :func:`sparsefire.randomness.entropy`; the same numbers give the same weights.

    >>> [tuple(p.shape) for p in relu_net(2, (8,), rng=0).parameters()]
    [(8, 2), (8,), (1, 8), (1,)]
    """
    generator = randomness.stream(entropy(rng), "first weights")
    sizes = [
        whole(dimension, "dimension", 1),
        *(whole(width, "width", 1) for width in row(widths, "widths", "whole numbers")),
        1,
    ]
    layers: list[nn.Module] = []
    for depth, (before, after) in enumerate(pairwise(sizes)):
        weight, bias = generator.standard_normal((after, before)), np.zeros(after)
        if depth == 0:
            weight /= np.linalg.norm(weight, axis=1, keepdims=True)
            bias = -(weight * generator.uniform(-math.sqrt(3.0), math.sqrt(3.0), weight.shape)).sum(1)
        else:
            weight *= math.sqrt((1.0 if depth == len(sizes) - 2 else 2.0) / before)
        layer = nn.utils.skip_init(nn.Linear, before, after)
        layer.load_state_dict(
            {"weight": torch.from_numpy(weight).float(), "bias": torch.from_numpy(bias).float()}, strict=True
        )
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def network_risk(
    data: Data,
    net: Network,
    rule: str | Callable[[Any], Rule],
    *,
    steps: int = 2000,
    queries: int | None = None,
    settings: Settings | None = None,
    batch: int | None = BATCH,
    directions: int | None = None,
    checks: int = 40,
    rng: Any = None,
) -> NetworkRisk:
    """Train one network and return its risk.

    AdamW on the squared error, with the gradient that the rule estimates; it ends after ``steps``, or before the step
    that would read more than ``queries`` losses, and the step size follows what is nearer to its end.

    Args:
        data: from :mod:`sparsefire.convergence.nonparametric.samples`.
        net: hidden widths of :func:`relu_net`, or ``factory(dimension, rng)`` that returns a module with one output.
        rule: a name (``"backprop"``, ``"two-query"``, ``"forward-gradient"``, ``"node-perturbation"``,
            ``"unit-differences"``, ``"feedback-alignment"``, …: :data:`sparsefire.train.learners.LEARNERS`), or
            ``factory(rng)`` that returns a rule.
        steps: at most.
        queries: losses that the rule may read; None for no limit.
        settings: step size, weight decay, stopping; default ``Settings()``.
        batch: rows per step, 128 or all of a smaller sample; None takes all.
        directions: for rules that draw some; None takes 64 for those that perturb weights, 1 otherwise.
        checks: how often held-out rows and the risk are looked at.
        rng: first weights, held-out rows, batches, directions, each from its own stream.

    Raises:
        UserError: fewer than 10 rows, an unknown rule, a budget below one step.

    >>> from sparsefire.convergence.nonparametric.functions import linear
    >>> from sparsefire.convergence.nonparametric.samples import function_data
    >>> data = function_data(linear(2, rng=0), 200, 0.1, rng=0)
    >>> found = network_risk(data, (8,), "backprop", steps=200, rng=0)
    >>> found.risk < 0.1, found.queries
    (True, 200)
    """
    chosen = _checked(Settings() if settings is None else settings)
    most, looks = whole(steps, "number of steps", 1), whole(checks, "number of checks", 1)
    limit = math.inf if queries is None else whole(queries, "number of queries", 1)
    rows = len(instance(data, "data", Data).x)
    if rows < _FEWEST:
        raise UserError("there are too few rows to train on.", came=str(rows), expected=f"{_FEWEST} or more")
    learnt, held = _divided(rows, chosen.stopping, rng)
    size = len(learnt) if batch is None else min(whole(batch, "batch", 1), len(learnt))
    asked = _rule(rule, directions, rng)
    module = _network(net, data.x.shape[1], rng)
    loss_fn = loss_of("regression", asked.per_example)
    optimizer = _optimizer(module, chosen)
    factor, batches = schedule(most), _batches(learnt, size, randomness.stream(rng, "batches"))
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    began, path, diverged, step, place, seen = time.perf_counter(), [], False, 0, 0, 0
    spent = asked.budget.state_dict()

    def look() -> None:
        on_held = _error(module, data.x[held], data.y[held]) if len(held) else math.nan
        on_test = _error(module, data.test_x, data.test_y)
        path.append((step, spent["queries"], spent["forward_passes"], on_held, on_test))

    while step < most:
        block = next(batches)
        try:
            diverged = not math.isfinite(float(asked(module, loss_fn, x[block], y[block])))
        except Diverged:
            diverged = True
        if diverged:
            break
        if asked.budget.queries > limit:
            if step == 0:
                raise UserError(
                    "the budget is below one step.",
                    came=f"{queries} queries",
                    expected=f"{asked.budget.queries} or more",
                )
            break
        for group in optimizer.param_groups:
            group["lr"] = chosen.step_size * factor(place)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step, spent = step + 1, asked.budget.state_dict()
        place = max(step, int(most * min(1.0, spent["queries"] / limit)))
        if place * looks // most > seen:
            seen = place * looks // most
            look()
    if not path or path[-1][0] < step:
        look()
    table = np.array(path, dtype=np.float64).reshape(-1, 5)
    row = _kept(table, chosen.stopping, diverged)
    return NetworkRisk(
        risk=math.inf if row is None else float(table[row, 4]),
        queries=int(spent["queries"]),
        passes=float(spent["forward_passes"]),
        steps=step,
        kept=0 if row is None else int(table[row, 0]),
        diverged=diverged,
        seconds=time.perf_counter() - began,
        path=table,
    )


def tune(
    make_data: Callable[[Any], Data],
    net: Network,
    rule: str | Callable[[Any], Rule],
    *,
    grid: Sequence[Settings] = GRID,
    replicates: int = 2,
    rng: Any = None,
    **given: Any,
) -> Tuned:
    """Return the settings of least loss on held-out rows, in the mean over replicates; the same grid for every rule.

    What a learner could do itself: a fifth of every sample is held out for the choice, and training (with its own rows
    for early stopping) has the rest; the test rows are never looked at. The loss holds the noise of the held-out rows,
    the same for all settings, so choose among few settings, or over many replicates where samples are small. They are
    for tuning only: take another ``rng`` for the risks that are reported. All settings and, with the same ``rng``, all
    rules see the same samples, held-out rows and first weights.

    Args:
        make_data: ``make_data(rng)`` returns a fresh sample; for a table one of rows that no reported risk is taken on.
        net, rule, given: as of :func:`network_risk`.
        grid: settings to try.
        replicates: samples, 1 or more, each of 12 rows or more.
        rng: see :func:`sparsefire.randomness.entropy`.

    >>> from sparsefire.convergence.nonparametric.functions import linear
    >>> from sparsefire.convergence.nonparametric.samples import function_data
    >>> make = lambda rng: function_data(linear(2, rng=0), 50, 0.1, rng)
    >>> tune(make, (4,), "backprop", grid=(Settings(1e-4), Settings(1e-1)), steps=50, rng=0).settings.step_size
    0.1
    """
    settings, root = tuple(_checked(one) for one in row(grid, "grid", "Settings")), entropy(rng)
    if not settings:
        raise UserError("there is nothing to tune.", came="an empty grid", expected="one Settings or more")
    a_function(make_data, "make_data", "make_data(rng)")
    losses = np.empty((len(settings), whole(replicates, "number of replicates", 1)))
    for replicate in range(losses.shape[1]):
        own = randomness.integer(root, "tuning", replicate)
        judged = _judged(make_data(randomness.stream(root, "tuning sample", replicate)), own)
        for i, one in enumerate(settings):
            losses[i, replicate] = network_risk(judged, net, rule, settings=one, rng=own, **given).risk
    if not np.isfinite(losses.mean(1)).any():
        raise UserError("training diverged with every setting.", attempt="a grid of smaller step sizes")
    return Tuned(settings[int(np.argmin(losses.mean(1)))], settings, losses)


def _judged(data: Data, rng: Any) -> Data:
    """Return the sample without a fifth of its rows, which stand where the risk is taken."""
    instance(data, "what make_data returns", Data)
    order = randomness.stream(rng, "rows that judge").permutation(len(data.x))
    judges = round(_HELD * len(data.x))
    learnt, held = order[judges:], order[:judges]
    return Data(data.x[learnt], data.y[learnt], data.x[held], data.y[held].astype(np.float64))


def _kept(path: np.ndarray, stopping: bool, diverged: bool) -> int | None:
    """Return the line of the path whose weights are kept: finite ones after a step, if any."""
    judged = path[:, 3] if stopping else -path[:, 0]  # the last, where none are held out
    able = np.flatnonzero((path[:, 0] > 0) & np.isfinite(judged) & np.isfinite(path[:, 4]))
    if not len(able) or (diverged and not stopping):
        return None
    return int(able[judged[able].argmin()])


def _divided(rows: int, stopping: bool, rng: Any) -> tuple[np.ndarray, np.ndarray]:
    order = randomness.stream(entropy(rng), "held-out rows").permutation(rows)
    held = round(_HELD * rows) if stopping else 0
    return order[held:], order[:held]


def _batches(rows: np.ndarray, size: int, order: np.random.Generator) -> Iterator[torch.Tensor]:
    """Yield rows for ever, each once before any comes again; what does not fill a batch is left for another time."""
    while True:
        if size == len(rows):
            yield torch.from_numpy(rows)
            continue
        shuffled = torch.from_numpy(order.permutation(rows))
        yield from shuffled.split(size)[: len(rows) // size]


def _rule(rule: str | Callable[[Any], Rule], directions: int | None, rng: Any) -> Rule:
    number = randomness.integer(rng, "directions")
    if isinstance(rule, str):
        way = learner(rule)
        usual = DIRECTIONS if way.perturbs_weights else 1
        made = way.make(number, usual if directions is None else whole(directions, "number of directions", 1))
    elif callable(rule):
        made = rule(number)
    else:
        raise UserError("a rule is a name or a factory.", came=type(rule).__name__, expected='"backprop", …')
    if not hasattr(made, "per_example"):
        raise UserError("the factory returned no rule.", came=type(made).__name__, expected="a Rule")
    if getattr(made, "replays", False):
        raise UserError("this rule leaves no gradient for the optimizer.", came=str(rule), expected='"two-query"')
    return made


def _network(net: Network, dimension: int, rng: Any) -> nn.Module:
    number = randomness.integer(rng, "network")
    module = net(dimension, number) if callable(net) else relu_net(dimension, net, number)
    if not isinstance(module, nn.Module):
        raise UserError("the factory returned no network.", came=type(module).__name__, expected="an nn.Module")
    return module.train()


def _optimizer(module: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in module.parameters() if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in module.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.step_size, fused=True)


@torch.no_grad()
def _error(module: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    module.eval()
    outputs = module(torch.from_numpy(x)).reshape(-1).double().numpy()
    module.train()
    return float(np.mean((outputs - y) ** 2))


def _checked(settings: Settings) -> Settings:
    instance(settings, "settings", Settings)
    above(settings.step_size, "step_size")
    from_zero(settings.weight_decay, "weight_decay")
    return settings

"""Unit-wise differences: move one unit after the other, and compute again only what changes.

Node perturbation without its noise: each unit is moved alone, so that nothing else hides what it does. Coordinate-wise
differences with reused activities, on weights, are in A. Chen et al., DeepZero, ICLR 2024, arXiv:2310.02025; there are
far fewer units than weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsefire.errors import UserError
from sparsefire.rules._unit_wise_chain import RULE, Level, read, run_clean, simple
from sparsefire.rules._unit_wise_cones import Cones
from sparsefire.rules.budget import Budget
from sparsefire.rules.call import LossFunction, finite, per_row
from sparsefire.rules.directions import generator_of
from sparsefire.rules.drawn import Drawn, undone_on_failure
from sparsefire.rules.local.chain import one_input
from sparsefire.rules.node_perturbation import check_sided
from sparsefire.rules.units import credit_, trainable
from sparsefire.rules.weights import check_scale

_ROWS = 8192  # queries whose losses are asked for together: larger blocks leave the cache
# Times in products of a dense matrix product, measured: what is done for one unit above, entry by entry.
_CONE = {"product": 12.0, "simple": 15.0, "call": 400.0}
_DENSE = {"product": 1.0, "simple": 30.0, "call": 140.0}
_SWEPT = 0.6  # of the work of dense products, where rows at rest are left out
_WIDE = 64  # units from which on that pays
_SIMPLE = ("identity", "relu", "leaky")  # activations that need no library function
_COMPILED = (torch.float32, torch.float64)


@dataclass(eq=False)
class UnitDifferences(Drawn):
    """Estimate dL/da of every unit and example by moving the unit's pre-activation a, then differentiate each layer.

        δ_bj = [L_b(a_bj + c) − L_b(a_bj)] / c          (two-sided: [L_b(a_bj + c) − L_b(a_bj − c)] / (2c))
        ∂L/∂w_ji ≈ mean over b of δ_bj x_bi

    This is the gradient up to O(c), two-sided O(c²); rounding adds about 10⁻⁷ L/c in float32. A unit that moves is
    followed through what it reaches and nothing else: one of the last hidden layer adds a multiple of a column of
    weights to the outputs; one of an earlier layer has a fan-out cone, which a compiled kernel walks where weights are
    sparse. Where that takes more work, blocked matrix products evaluate it, or, below two wide layers and more, a
    kernel that takes the moves of all layers up together, example by example, without ReLU units that stay at rest.
    Examples for which the unit's activity does not change, such as those of a ReLU unit at rest, are not asked about.

    The network is an ``nn.Sequential`` (nested ones too) of Linear layers, masked or not, with ReLU, LeakyReLU, Tanh,
    Sigmoid, GELU, SiLU, Identity or Dropout between them; Flatten may stand in front, a softmax at the end. Dropout
    keeps the mask of the clean pass. The losses are one per row, ``reduction="none"``, and must not depend on other
    rows: queries are handed to ``loss_fn`` in blocks that repeat the rows of y, a tensor or a tuple or mapping of
    tensors with rows first. ``.grad`` is that of the mean loss, which is returned.

    The budget counts a loss per query, the products of a non-zero weight and an activity that queries take as a part of
    a pass, and the derivatives of the layers as one further pass.

    Args:
        scale: c, in units of the pre-activation.
        sided: ``"one"`` or ``"two"``.
        units: how many hidden units are moved per call, drawn without replacement; their estimates are scaled up so
            that the mean over draws is right. None moves all. Units of the last layer are always moved.
        memory: bytes that the activities of one block of queries may take.
        rng: draws the units; None, an integer, or a NumPy or torch generator.

    Raises:
        UserError: when called with another structure, by the name of the layer; with a loss that is not one number per
            row, or not finite.

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    >>> squared = lambda out, y: (out - y).square().sum(1)
    >>> x, y = torch.ones(5, 3).double(), torch.zeros(5, 2).double()
    >>> loss = UnitDifferences(scale=1e-6)(net, squared, x, y)
    >>> slope, = torch.autograd.grad(squared(net(x), y).mean(), net[0].weight)
    >>> bool(torch.allclose(net[0].weight.grad, slope, atol=1e-5))
    True
    """

    scale: float = 1e-3
    sided: str = "one"
    units: int | None = None
    memory: int = 2**24
    rng: Any = None
    dense_gradients: ClassVar[bool] = True  # the derivative of a layer by its weights reaches absent ones too
    per_example: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_scale(self.scale)
        check_sided(self.sided)
        if self.units is not None and (isinstance(self.units, bool) or self.units < 1):
            raise UserError(
                "at least one hidden unit moves.", came=f"units={self.units!r}", expected="1 or more, or None"
            )
        if self.memory < 1:
            raise UserError(
                "a block of queries needs memory.", came=f"memory={self.memory!r}", expected="bytes, above 0"
            )
        self._generator = generator_of(self.rng)

    @undone_on_failure
    @torch.no_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        chain, inputs = read(net), one_input(x, RULE)
        rows = len(inputs)
        levels, given = run_clean(chain, inputs)
        queries = _Queries(levels, loss_fn, _checked(y, rows), self.budget, self.memory)
        clean = queries.losses(levels[-1].value, None)
        chosen, share, random_bits = self._choose(levels)
        moving = {number: chosen[level.name] for number, level in enumerate(levels) if len(chosen.get(level.name, ()))}
        above = queries.moved(moving, self.scale, clean)
        below = queries.moved(moving, -self.scale, clean) if self.sided == "two" else dict.fromkeys(moving, clean)
        deltas = {level.name: torch.zeros_like(level.before) for level in levels if level.name in chosen}
        for number, units in moving.items():
            slopes = (above[number] - below[number]) / (self.scale * (2 if self.sided == "two" else 1) * rows)
            if number < len(levels) - 1 and share < 1:
                slopes /= share
            deltas[levels[number].name].index_copy_(1, units, slopes.T.to(deltas[levels[number].name]))
        credit_({level.name: level.layer for level in levels}, given, deltas)
        products = rows * sum(queries.products)
        self.budget.add(rows, queries.asked, 2 + queries.work / max(products, 1), random_bits)
        return clean.mean()

    def _choose(self, levels: list[Level]) -> tuple[dict[str, Tensor], float, int]:
        """Return the units that move by layer, the share of hidden ones, and the random bits that took."""
        sizes = [level.before.shape[1] if trainable(level.layer) else 0 for level in levels]
        total, device = sum(sizes[:-1]), levels[0].before.device
        picked, share, random_bits = torch.ones(total, dtype=torch.bool), 1.0, 0
        if self.units is not None and self.units < total:
            picked, share = torch.zeros(total, dtype=torch.bool), self.units / total
            order = torch.randperm(total, generator=self._generator, device=self._generator.device)
            picked[order[: self.units].cpu()] = True
            random_bits = self.units * math.ceil(math.log2(total))
        pieces = [*picked.split(sizes[:-1]), torch.ones(sizes[-1], dtype=torch.bool)]
        found = {level.name: piece.nonzero()[:, 0].to(device) for level, piece in zip(levels, pieces, strict=True)}
        return {level.name: found[level.name] for level in levels if trainable(level.layer)}, share, random_bits


class _Queries:
    """The losses of one batch when single units move."""

    def __init__(self, levels: list[Level], loss_fn: LossFunction, y: Any, budget: Budget, memory: int) -> None:
        self.levels, self.loss_fn, self.y, self.budget, self.memory = levels, loss_fn, y, budget, memory
        self.asked, self.work = 0, 0.0
        self.fans = [(level.weight != 0).sum(0) for level in levels[1:]]  # products of one unit's move, level by level
        self.products = [int(levels[0].weight.count_nonzero()), *[int(fan.sum()) for fan in self.fans]]
        first = levels[0].before
        self.compiled = first.device.type == "cpu" and first.dtype in _COMPILED

    def losses(self, output: Tensor, examples: Tensor | None) -> Tensor:
        """Return the losses of outputs [n, ...] that belong to these examples, [n]."""
        self.asked += len(output)
        y = self.y if examples is None else _at(self.y, examples)
        return finite(per_row(self.loss_fn(output, y), len(output), RULE), self.budget)

    def moved(self, chosen: Mapping[int, Tensor], size: float, clean: Tensor) -> dict[int, Tensor]:
        """Return the losses [units, rows] by level when each of these units of a level alone moves by ``size``."""
        found: dict[int, Tensor] = {}
        together: dict[int, Tensor] = {}
        last = len(self.levels) - 1
        if last in chosen:
            moves = self.levels[last].before.new_full((len(chosen[last]), len(clean)), size)
            found[last] = self._level(last, chosen[last], moves, None, clean)
        for number in sorted(chosen.keys() - {last}):
            level, units = self.levels[number], chosen[number]
            moves = (level.activate(level.before + size) - level.value).T[units]
            moving = moves.count_nonzero(1)
            walk = self._walker(number, float(moving.sum()) / moves.numel())
            if walk is None:
                taken = self.fans[number][units] + sum(self.products[number + 2 :])
                self.work += float(moving.double() @ taken.double())
            if walk is None and (together or self._sweepable(number)):
                together[number] = moves
            else:
                found[number] = self._level(number, units, moves, walk, clean)
        return {**found, **self._swept(chosen, together, clean)}

    def _level(self, number: int, units: Tensor, moves: Tensor, walk: Any, clean: Tensor) -> Tensor:
        """Return the losses when these units of one level move, by a walk through cones or by blocks of pairs."""
        rows, found = len(clean), clean.repeat(len(units), 1)
        if number == len(self.levels) - 1:
            fans = torch.eye(self.levels[-1].before.shape[1], dtype=moves.dtype, device=moves.device)[units]
        else:
            fans = self.levels[number + 1].weight.T[units].contiguous()
        for block in self._blocks(number, len(units), rows, walk is not None):
            part = moves[block].contiguous()
            output, who = walk(units[block], part) if walk else self._evaluate(number, fans[block], part)
            self._ask(output, who, found[block])
        return found

    def _swept(self, chosen: Mapping[int, Tensor], moves: dict[int, Tensor], clean: Tensor) -> dict[int, Tensor]:
        """Return the losses when units of several levels move, all levels together."""
        if not moves:
            return {}
        from sparsefire.rules._unit_wise_sweep import Sweep

        first, rows = min(moves), len(clean)
        widths = [level.before.shape[1] for level in self.levels[first:-1]]
        places = dict(zip(range(first, len(self.levels)), accumulate(widths, initial=0), strict=True))
        all_moves = torch.zeros(rows, sum(widths), dtype=self.levels[0].before.dtype)
        for number, part in moves.items():
            all_moves[:, places[number] + chosen[number]] = part.T
        sweep = Sweep(self.levels[first:], all_moves)
        bytes_ = clean.element_size()
        if sweep.room * bytes_ > self.memory:
            return {number: self._level(number, chosen[number], part, None, clean) for number, part in moves.items()}
        found = clean.repeat(sum(widths), 1)
        for output, who in sweep.blocks(max(1, min(_ROWS, self.memory // (bytes_ * self.levels[-1].before.shape[1])))):
            self._ask(output, who, found)
        return {number: found[places[number] + chosen[number]] for number in moves}

    def _ask(self, output: Tensor, who: Tensor, found: Tensor) -> None:
        """Write the losses of outputs before their activation into found [units, rows], at unit · rows + example."""
        if len(who):
            examples = who % found.shape[1]
            found.view(-1)[who] = self.losses(self.levels[-1].activate(output, examples), examples)

    def _sweepable(self, number: int) -> bool:
        """Return whether a compiled kernel knows the layers above a level's units, and they are many and wide enough.

        Then units of all levels from here on that are not walked through cones are swept together.
        """
        above = self.levels[number + 1 : -1]
        wide = len(above) > 1 and max(level.before.shape[1] for level in above) >= _WIDE
        return self.compiled and wide and all(simple(level.after) is not None for level in above)

    def _blocks(self, number: int, units: int, rows: int, walked: bool) -> Iterator[slice]:
        above = self.levels[-1:] if walked else self.levels[min(number + 1, len(self.levels) - 1) :]
        widest = max(level.before.shape[1] for level in above)
        fitting = min(self.memory // (widest * self.levels[0].before.element_size()), _ROWS)
        size = max(1, fitting // max(rows, 1))
        return (slice(first, first + size) for first in range(0, units, size))

    def _evaluate(self, number: int, fans: Tensor, moves: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs before their activation [n, outputs] of all pairs that move, and unit · rows + example."""
        above = self.levels[number + 1 :] or self.levels[-1:]
        values, who = self._spread(above[0].before, moves, fans)
        for below, level in pairwise(above):
            values = functional.linear(below.activate(values, who % moves.shape[1]), level.weight, level.bias)
        return values, who

    def _spread(self, base: Tensor, moves: Tensor, fans: Tensor) -> tuple[Tensor, Tensor]:
        rows = moves.shape[1]
        if not self.compiled:
            unit, example = moves.nonzero(as_tuple=True)
            return base[example] + moves[unit, example][:, None] * fans[unit], unit * rows + example
        from sparsefire.rules._unit_wise_kernels import spread

        found = torch.empty(moves.numel(), base.shape[1], dtype=base.dtype)
        who = torch.empty(moves.numel(), dtype=torch.int64)
        count = spread(base.contiguous().numpy(), moves.numpy(), fans.numpy(), found.numpy(), who.numpy())
        return found[:count], who[:count]

    def _walker(self, number: int, share: float) -> Any:
        """Return a function that follows units through their cones, or None where that is not worth it.

        The kernel takes all examples of a unit along; matrix products only the share of pairs that move.
        """
        above = self.levels[number + 1 :]
        known = [one for level in above[:-1] if (one := simple(level.after)) is not None]
        if not self.compiled or len(above) < 2 or len(known) < len(above) - 1:
            return None
        cone, dense = _work(above, self.products[number + 1 :], [code for code, _ in known])
        swept = _SWEPT if self._sweepable(number) else 1.0
        return Cones(self, above, known) if cone < share * dense * swept else None


def _work(above: list[Level], products: list[int], codes: list[str]) -> tuple[float, float]:
    """Return what one pair of a unit and an example costs in its cone, and by matrix products."""
    changed, cone, dense = 1.0, 0.0, 0.0
    for place, level in enumerate(above):
        outputs, inputs = level.weight.shape
        density = products[place] / level.weight.numel()
        cone += _CONE["product"] * changed * density * outputs
        dense += _DENSE["product"] * outputs * (inputs if place else 1)
        if place < len(above) - 1:
            changed = outputs * (1 - (1 - density) ** changed)
            kind = "simple" if codes[place] in _SIMPLE else "call"
            cone, dense = cone + _CONE[kind] * changed, dense + _DENSE[kind] * outputs
    return cone, dense


def _checked(y: Any, rows: int) -> Any:
    """Return the targets, or raise when their rows cannot be repeated."""
    parts = y.values() if isinstance(y, Mapping) else y if isinstance(y, tuple | list) else (y,)
    for part in parts:
        if part is not None and (not isinstance(part, Tensor) or part.ndim < 1 or len(part) != rows):
            shape = f"a tensor of shape {tuple(part.shape)}" if isinstance(part, Tensor) else type(part).__name__
            raise UserError(
                f"{RULE} repeat the rows of the targets.",
                came=shape,
                expected=f"a tensor with {rows} rows, or a tuple or mapping of such",
            )
    return y


def _at(y: Any, examples: Tensor) -> Any:
    """Return the rows of the targets that belong to these examples."""
    if isinstance(y, Tensor):
        return y[examples]
    if isinstance(y, Mapping):
        return {name: _at(part, examples) for name, part in y.items()}
    return type(y)(_at(part, examples) for part in y) if isinstance(y, tuple | list) else y

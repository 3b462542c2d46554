"""Cannistraci–Hebb training, soft rule (CHTs): links grow where the wiring itself foretells them, without a gradient.

Y. Zhang, D. Cerretti, J. Zhao, W. Wu, Z. Liao, U. Michieli, C. V. Cannistraci. Brain network science modelling of
sparse neural networks enables transformers and LLMs to perform as fully connected, NeurIPS 2025. arXiv:2501.19107
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.errors import UserError
from sparsefire.sparsity.ranking import keep_largest
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.moving import Moving

_SMALLEST = 1e-12  # stands for a weight or a score of zero, which is drawn only when all others are


class CHTs(Moving):
    """Draw the weights that stay by their size, and those that grow by the paths of length 3 that they would close.

    Of the nₗ weights of a layer, nₗ − kₗ (kₗ as of :class:`Moving`) are drawn without replacement with probabilities
    in proportion to

        (α |w_ij| + (1 − α) R_ij)^T,    R_ij = |w_ij| / Σ_k |w_ik| + |w_ij| / Σ_k |w_kj|,    T = δ / (1 − δ)

    and the others leave. T rises linearly from 1 (δ = 0.5) until the masks rest. Then as many enter, drawn in
    proportion to their score by :func:`ch2_l3n`; those just dropped may. Absent weights without such a path enter, all
    with the same chance, only when no others are left. What enters starts at zero, also what has just left; in the
    published code that goes on from its old value.

    A convolution counts as a bipartite graph between its outputs and input · kernel positions; the paper has linear
    layers only. A move costs 2 · out · in · (out + in) multiplications per layer.

    Args:
        setting: see :class:`Moving`; masks start at random.
        alpha: α in [0, 1]: 1 draws by magnitude, 0 by relative importance R; the paper takes either.
        delta: δ at the end, in [0.5, 1). The paper's text and its code for perceptrons have 0.75, its code for
            language models 0.9.
        percolate: whether units without inputs or without outputs lose the rest of their links after each removal,
            which grow elsewhere; for plain chains of linear layers.
        options: of :class:`Moving`.

    Raises:
        UserError: ``alpha`` or ``delta`` out of range, or ``percolate`` in a network that is no chain.
    """

    bounded = False

    def __init__(
        self, setting: Setting, alpha: float = 1.0, delta: float = 0.9, percolate: bool = False, **options: Any
    ) -> None:
        super().__init__(setting, **options)
        if not (0 <= alpha <= 1 and 0.5 <= delta < 1):
            raise UserError(
                "alpha mixes two measures, delta sets how soft the drawing is.",
                came=f"alpha={alpha!r}, delta={delta!r}",
                expected="alpha in [0, 1], delta in [0.5, 1)",
            )
        if percolate:
            _check_chain(self.net)
        self.alpha, self.delta, self.percolate = alpha, delta, percolate

    def exponent(self, step: int) -> float:
        """Return T, by which sizes are raised to a power before they are drawn.

        >>> net = nn.Linear(10, 10)
        >>> chts = CHTs(Setting(net, optimizer=torch.optim.SGD(net.parameters(), 0.1), steps=400))
        >>> [round(chts.exponent(t), 3) for t in (0, 150, 300)]
        [1.0, 5.0, 9.0]
        """
        return 1.0 + (self.delta / (1 - self.delta) - 1.0) * min(step, self.last) / max(1, self.last)

    @torch.no_grad()
    def _move(self) -> None:
        found = masks.masked(self.net)
        present = masks.masks(self.net)
        stay = {name: self._stay(name, module, present[name]) for name, module in found.items()}
        if self.percolate:
            percolate_(list(stay.values()))
        foretold = self.growth(self.net) if self.growth is not None else None
        grows: dict[str, Tensor] = {}
        for name in found:
            count = int(present[name].sum()) - int(stay[name].sum())
            grown = torch.zeros_like(stay[name])
            if count:
                score = ch2_l3n(stay[name].flatten(1)).view_as(grown) if foretold is None else foretold[name]
                grown = self._draw("growth", name, score, ~stay[name], count)
            grows[name] = grown
        self._exchange(stay, grows)

    def _stay(self, name: str, module: nn.Module, mask: Tensor) -> Tensor:
        count = int(mask.sum())
        moved = min(round(self.moves(self.steps_done) * count), mask.numel() - count)
        weight: Any = module.weight
        size = removal_score(weight.flatten(1), self.alpha).view_as(mask)
        return self._draw("removal", name, size, mask, count - moved, self.exponent(self.steps_done))

    def _draw(self, what: str, name: str, size: Tensor, allowed: Tensor, count: int, exponent: float = 1.0) -> Tensor:
        """Draw without replacement in proportion to size^exponent, as the first arrivals at those rates."""
        generator = randomness.stream(self.rng, f"{what} {self.steps_done} {name}")
        rates = size[allowed].double().clamp_min(_SMALLEST)
        waits = torch.from_numpy(generator.standard_exponential(len(rates))).to(size.device)
        keys = torch.full(size.shape, -torch.inf, dtype=torch.float64, device=size.device)
        keys[allowed] = exponent * rates.log() - waits.log()
        return keep_largest([keys], count)[0]


def ch2_l3n(mask: Tensor) -> Tensor:
    """Score absent links of a bipartite graph by CH2-L3n: paths of length 3 in a community closed to the outside.

        CH2-L3n(u, v) = Σ_z (1 + i_z) / (1 + e_z)

    over the nodes z inside the paths u – y – z – v. i_z counts links of z to other such nodes, e_z its links to the
    rest but for u and v. With the adjacency A, for the z beside v, i_z = (A Aᵀ)_uz and e_z = deg z − i_z − 1, hence two
    products of matrices for either side.

    Args:
        mask: bool, ``[outputs, inputs]``, the links.

    Returns:
        float32, of the same shape; 0 where there is a link already, or no such path.

    >>> ch2_l3n(torch.tensor([[True, True, False], [False, True, True]]))[0, 2].item()  # both inner nodes: 2 / 1
    4.0
    """
    links = mask.to(torch.float32)
    score = _inner(links) + _inner(links.T).T
    return score.masked_fill(mask, 0.0)


def _inner(links: Tensor) -> Tensor:
    """Return the part of the sum that comes from inner nodes on the side of the rows."""
    shared = links @ links.T
    outside = (links.sum(1) - shared - 1).clamp_min(0)  # below 0 only where z has no link to v
    return ((1 + shared) / (1 + outside) * (shared > 0)) @ links


def removal_score(weight: Tensor, alpha: float) -> Tensor:
    """Return α |w| + (1 − α) R, by which weights stay; see :class:`CHTs`.

    >>> removal_score(torch.tensor([[1.0, -3.0], [0.0, 1.0]]), 0.0).tolist()
    [[1.25, 1.5], [0.0, 1.25]]
    """
    size = weight.abs()
    if alpha == 1:
        return size
    tiny = torch.finfo(size.dtype).tiny
    relative = size / size.sum(1, keepdim=True).clamp_min(tiny) + size / size.sum(0, keepdim=True).clamp_min(tiny)
    return alpha * size + (1 - alpha) * relative


def percolate_(chain: list[Tensor]) -> None:
    """Remove, in place, links from units that nothing reads and of units that read nothing, layer after layer.

    Args:
        chain: bool masks ``[outputs, inputs]``, first layer first; the outputs of one are the inputs of the next.

    >>> first, second = torch.eye(3, dtype=torch.bool), torch.tensor([[True, False, False], [True, True, False]])
    >>> first[1, 1] = False; percolate_([first, second]); first.int().tolist(), second.int().tolist()
    ([[1, 0, 0], [0, 0, 0], [0, 0, 0]], [[1, 0, 0], [1, 0, 0]])
    """
    for layer in reversed(range(len(chain) - 1)):
        chain[layer] &= chain[layer + 1].any(0)[:, None]
    for layer in range(1, len(chain)):
        chain[layer] &= chain[layer - 1].any(1)[None, :]


def _check_chain(net: nn.Module) -> None:
    found = list(masks.masked(net).items())
    for (name, module), (_, before) in zip(found, [found[0], *found[:-1]], strict=True):
        fits = module is before or (
            isinstance(before, nn.Linear)
            and isinstance(module, nn.Linear)
            and before.out_features == module.in_features
        )
        if not (isinstance(module, nn.Linear) and fits):
            raise UserError(
                f"layer {name!r} does not continue a chain of linear layers.",
                came="percolate=True",
                expected="linear layers, the outputs of each the inputs of the next",
                attempt="percolate=False",
            )

"""Random wirings: Erdős–Rényi, fixed and lognormal fan-in, small worlds, preferential attachment, trees.

``units`` is a number, or (senders, receivers) for two layers where a generator allows it. No generator here makes loops
or parallel arcs. Degree sequences are in :mod:`sparsefire.wiring.degrees`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.wiring.draw import Units, distinct, ends, key, layers, pairs, share, whole
from sparsefire.wiring.graph import Wiring


def erdos_renyi(
    units: Units,
    density: float | None = None,
    *,
    mean_degree: float | None = None,
    directed: bool = True,
    rng: Any = None,
) -> Wiring:
    """Return a random wiring in which every pair is joined with the same probability, independently (Gilbert 1959).

    Args:
        units: how many, or (senders, receivers).
        density: that probability, in [0, 1].
        mean_degree: expected number of receivers per sender, in place of the density.
        directed: False joins unordered pairs, each by two arcs.
        rng: see :func:`sparsefire.randomness.stream`.

    The number of edges is binomial, their places a uniform set: time and memory go with the edges, not the pairs.

    >>> erdos_renyi(1000, mean_degree=3, rng=0).arcs
    2995
    """
    senders, receivers, square = layers(units)
    most = receivers - square
    if (density is None) == (mean_degree is None):
        raise UserError("density and mean_degree are two ways to say one thing.", expected="one of them")
    if mean_degree is not None:
        if not isinstance(mean_degree, int | float | np.number) or not 0 <= mean_degree <= most:
            raise UserError("mean_degree does not fit.", came=f"{mean_degree!r}", expected=f"a number in [0, {most:,}]")
        density = float(mean_degree) / most if most else 0.0
    generator = stream(rng, "erdos_renyi")
    population = pairs(senders, receivers, square, directed)
    count = int(generator.binomial(population, share(density, "density")))
    return _placed(count, senders, receivers, square, directed, generator)


def fixed_arcs(units: Units, edges: int, *, directed: bool = True, rng: Any = None) -> Wiring:
    """Return a wiring with a given number of edges, every such wiring equally likely (Erdős and Rényi 1959).

    >>> fixed_arcs((30, 20), 100, rng=0)
    Wiring(30 → 20 units, 100 arcs)
    """
    senders, receivers, square = layers(units)
    count = whole(edges, "edges", 0, pairs(senders, receivers, square, directed))
    return _placed(count, senders, receivers, square, directed, stream(rng, "fixed_arcs"))


def _placed(
    count: int, senders: int, receivers: int, square: bool, directed: bool, generator: np.random.Generator
) -> Wiring:
    if not square and not directed:
        raise UserError("two layers are directed.", came="directed=False")
    places = distinct(pairs(senders, receivers, square, directed), count, generator)
    tails, heads = ends(places, senders, receivers, square, directed)
    if square:
        return Wiring.from_edges(tails, heads, units=senders, directed=directed)
    return Wiring.from_edges(tails, heads, shape=(senders, receivers))


def fixed_fan_in(units: Units, fan_in: Any, *, rng: Any = None) -> Wiring:
    """Return a wiring in which each receiver has a given number of different senders, chosen uniformly.

    Args:
        units: how many (then no unit is its own sender), or (senders, receivers).
        fan_in: a whole number, or one per receiver.
        rng: see :func:`sparsefire.randomness.stream`.

    >>> set(fixed_fan_in((784, 100), 8, rng=0).in_degrees.tolist())
    {8}
    """
    senders, receivers, square = layers(units)
    wanted = np.asarray(fan_in)
    if wanted.ndim == 0:
        wanted = np.full(receivers, whole(fan_in, "fan_in", 0, senders - square))
    if wanted.shape != (receivers,) or wanted.dtype.kind not in "iu":
        raise UserError(
            "fan_in must be a whole number, or one per receiver.",
            came=f"{wanted.dtype} of shape {wanted.shape}",
            expected=f"[{receivers:,}]",
        )
    wrong = np.flatnonzero((wanted < 0) | (wanted > senders - square))
    if len(wrong):
        at = int(wrong[0])
        raise UserError(
            "a fan-in does not fit.", came=f"{wanted[at]} of receiver {at}", expected=f"0 to {senders - square:,}"
        )
    from sparsefire.wiring import compiled  # late: it loads numba

    wanted = wanted.astype(np.int64)
    tails = compiled.choose(senders, wanted, square, key(rng, "fixed_fan_in"))
    heads = np.repeat(np.arange(receivers), wanted)
    if square:
        return Wiring.from_edges(tails, heads, units=senders)
    return Wiring.from_edges(tails, heads, shape=(senders, receivers))


def lognormal_fan_in(units: Units, mean: float, sigma: float = 1.0, *, rng: Any = None) -> Wiring:
    """Return a wiring whose fan-ins follow a lognormal law (Buzsáki and Mizuseki 2014, doi:10.1038/nrn3687).

    A fan-in is exp(N(ln mean − σ²/2, σ²)), rounded up or down at random so that its mean stays, and cut at the number
    of possible senders (which lowers the mean where it bites). Senders are chosen uniformly.

    Args:
        units: how many, or (senders, receivers).
        mean: of the law before it is cut, above 0.
        sigma: standard deviation of the logarithm, 0 or more.
        rng: see :func:`sparsefire.randomness.stream`.

    >>> lognormal_fan_in(1000, 20, 0.8, rng=0)
    Wiring(1,000 units, 18,873 arcs)
    """
    senders, receivers, square = layers(units)
    if not 0 < mean < np.inf or not 0 <= sigma < np.inf:
        raise UserError(
            "a lognormal law has a positive mean and a spread.",
            came=f"mean={mean!r}, sigma={sigma!r}",
            expected="mean above 0, sigma 0 or more",
        )
    generator = stream(rng, "lognormal_fan_in")
    drawn = generator.lognormal(np.log(mean) - sigma**2 / 2, sigma, receivers)
    wanted = np.minimum(np.floor(drawn + generator.random(receivers)), senders - square).astype(np.int64)
    return fixed_fan_in(units, wanted, rng=generator)


def small_world(units: int, neighbours: int, rewired: float, *, rng: Any = None) -> Wiring:
    """Return a ring lattice in which a share of edges leads elsewhere (Watts and Strogatz 1998, doi:10.1038/30918).

    Args:
        units: how many, 3 or more.
        neighbours: of each unit on the ring, even, below ``units``.
        rewired: probability that an edge gets a new end, uniform among units that are not yet joined.
        rng: see :func:`sparsefire.randomness.stream`.

    Returns:
        An undirected wiring (two arcs per edge) with units · neighbours / 2 edges.

    >>> small_world(100, 4, 0.1, rng=0).edges
    200
    """
    units = whole(units, "units", 3)
    neighbours = whole(neighbours, "neighbours", 2, units - 1)
    if neighbours % 2:
        raise UserError("half of the neighbours stand on each side.", came=f"{neighbours}", expected="an even number")
    from sparsefire.wiring import compiled  # late: it loads numba

    generator = stream(rng, "small_world")
    moved = generator.random(units * neighbours // 2) < share(rewired, "rewired")
    tails, heads = compiled.small_world(units, neighbours // 2, moved, key(generator))
    return Wiring.from_edges(tails, heads, units=units, directed=False)


def preferential_attachment(units: int, links: int, *, directed: bool = False, rng: Any = None) -> Wiring:
    """Return a wiring grown by joining each new unit to popular ones.

    Barabási and Albert 1999, doi:10.1126/science.286.5439.509. It starts from a star of ``links`` + 1 units; each
    further unit is joined to ``links`` different earlier ones, drawn one after the other in proportion to their
    degrees, those already taken left out.

    Args:
        units: how many, above ``links``.
        links: of each new unit, 1 or more.
        directed: True leads arcs from new units to old ones only.
        rng: see :func:`sparsefire.randomness.stream`.

    >>> preferential_attachment(1000, 2, rng=0).edges
    1996
    """
    links = whole(links, "links", 1)
    units = whole(units, "units", links + 1)
    from sparsefire.wiring import compiled  # late: it loads numba

    tails, heads = compiled.attach(units, links, key(rng, "preferential_attachment"))
    return Wiring.from_edges(tails, heads, units=units, directed=directed)


def random_tree(units: int, kind: str = "uniform", *, directed: bool = False, rng: Any = None) -> Wiring:
    """Return a random tree.

    Args:
        units: how many.
        kind: ``"uniform"``: each of the nⁿ⁻² labelled trees equally likely (by its Prüfer sequence, 1918);
            ``"recursive"``: the parent of unit i is uniform among 0 … i − 1.
        directed: True leads arcs from parent to child, away from unit 0, False both ways.
        rng: see :func:`sparsefire.randomness.stream`.

    >>> random_tree(5, "recursive", directed=True, rng=0).in_degrees.tolist()
    [0, 1, 1, 1, 1]
    """
    units = whole(units, "units", 1)
    generator = stream(rng, "random_tree")
    if kind == "recursive":
        children = np.arange(1, units)
        parents = generator.integers(0, children)
    elif kind == "uniform":
        from sparsefire.wiring import compiled  # late: it loads numba

        sequence = generator.integers(0, units, max(units - 2, 0))
        found = compiled.from_pruefer(sequence, units) if units > 1 else np.full(1, -1)
        children = np.arange(1, units)  # turned round: the root is the last unit of the sequence's tree
        parents = units - 1 - found[::-1][1:]
    else:
        raise UserError(f"there is no kind of random tree {kind!r}.", came=repr(kind), expected="uniform or recursive")
    return Wiring.from_edges(parents, children, units=units, directed=directed)

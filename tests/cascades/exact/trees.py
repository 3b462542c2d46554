"""Trees and weights drawn at random, and what is active on small ones, by plain enumeration."""

from __future__ import annotations

import itertools

import numpy as np

from sparsefire.cascades.approximate.cavity import checked_influence
from sparsefire.wiring.graph import Wiring


def random_tree(n, rng, *, both=True, forest=False):
    """Units in any order; with arcs in both directions, or in at least one; a forest lacks some."""
    parents = [int(rng.integers(i)) for i in range(1, n)]
    keep = rng.random(n - 1) < (0.7 if forest else 2)
    senders, receivers = [], []
    names = rng.permutation(n)
    for i, parent in enumerate(parents, start=1):
        if not keep[i - 1]:
            continue
        ends = [(names[i], names[parent]), (names[parent], names[i])]
        for sender, receiver in ends if both else ends[: rng.integers(1, 3)]:
            senders.append(sender)
            receivers.append(receiver)
    return Wiring.from_edges(np.array(senders, dtype=int), np.array(receivers, dtype=int), units=n)


def oriented_tree(n, rng, kind="both"):
    """Arcs up or down; ``both``: back too, ``some``: half of them back, ``one``: none."""
    parents, children = np.array([int(rng.integers(i)) for i in range(1, n)], dtype=int), np.arange(1, n)
    turned = rng.random(n - 1) < 0.5
    senders, receivers = np.where(turned, children, parents), np.where(turned, parents, children)
    back = rng.random(n - 1) < {"both": 2, "some": 0.5, "one": -1}[kind]
    return Wiring.from_edges(np.append(senders, receivers[back]), np.append(receivers, senders[back]), units=n)


def random_weights(wiring, rng, full=0.3):
    """Positive weights whose sum into a unit is below 1, or 1 with chance ``full``."""
    w = rng.random(wiring.arcs) + 0.05
    total = np.bincount(wiring.receivers, w, wiring.units)
    scale = np.where(rng.random(wiring.units) < full, 1.0, rng.random(wiring.units)) / np.maximum(total, 1e-9)
    w *= scale[wiring.receivers]
    given_order = np.empty(wiring.edges)
    given_order[wiring.given] = w
    return given_order


def live_joint(wiring, w, p):
    """The law and P(size, unit active) [n + 1, n] of linear thresholds, from all choices of whom to follow times all
    source sets, in sums of positive terms."""
    n = wiring.units
    arcs, rest = checked_influence(wiring, w)
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    chance = np.prod(np.where(bits, p, 1 - p), axis=1)
    options = []
    for i in range(n):
        into = np.flatnonzero(wiring.receivers == i)
        options.append([(rest[i], -1), *((arcs[e], int(wiring.senders[e])) for e in into)])
    law, joint = np.zeros(n + 1), np.zeros((n + 1, n))
    for pattern in itertools.product(*options):
        weight = np.prod([x for x, _ in pattern])
        if weight == 0:
            continue
        reach = np.eye(n, dtype=int)
        for i, (_, j) in enumerate(pattern):
            if j >= 0:
                reach[j, i] = 1
        for _ in range(3):
            reach = (reach @ reach > 0).astype(int)
        on = bits @ reach > 0
        sizes = on.sum(axis=1)
        law += weight * np.bincount(sizes, chance, n + 1)
        np.add.at(joint, sizes, weight * chance[:, None] * on)
    return law, joint


def threshold_joint(wiring, responses):
    """The same of a threshold cascade, from all numbers of active in-neighbours that units may need."""
    n = wiring.units
    law, joint = np.zeros(n + 1), np.zeros((n + 1, n))
    into = [wiring.senders[wiring.receivers == i] for i in range(n)]
    classes = [[*np.diff(np.append(0.0, r)), 1.0 - r[-1]] for r in responses]
    for needs in itertools.product(*(range(len(c)) for c in classes)):
        chance = np.prod([classes[i][t] for i, t in enumerate(needs)])
        active = np.zeros(n, bool)
        for _ in range(n):
            active = np.array([active[into[i]].sum() >= needs[i] and needs[i] <= len(into[i]) for i in range(n)])
        law[active.sum()] += chance
        joint[active.sum()] += chance * active
    return law, joint


def open_arcs_joint(wiring, w, p):
    """The same of the independent cascade, from all open arcs and source sets that are possible."""
    n = wiring.units
    law, joint = np.zeros(n + 1), np.zeros((n + 1, n))
    arcs = wiring.per_arc(w)
    chances = np.append(p, arcs)
    for bits in itertools.product(*[(0, 1) if 0 < c < 1 else (int(c),) for c in chances]):
        chance = np.prod(np.where(bits, chances, 1 - chances))
        active, is_open = np.array(bits[:n], bool), np.array(bits[n:], bool)
        for _ in range(n):
            active[wiring.receivers[is_open & active[wiring.senders]]] = True
        law[active.sum()] += chance
        joint[active.sum()] += chance * active
    return law, joint

"""Oracle: sampled cascades against the whole chain of synchronous steps, enumerated with its probabilities.

The chain carries (what is active, what has just become so, what every unit bears) and splits over everything that may
happen next, so the joint law of final set and number of steps is exact for every model, wiring and kind of source.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from scipy import special, stats

import sparsefire as sf
from sparsefire import cascades
from sparsefire.cascades import avalanches, infer, influence

Joint = dict[tuple[int, int], float]  # (final set as a bit mask, steps) → probability
Arc = tuple[int, int, float]


# ---------------------------------------------------------------- the chain


def subsets(chances: dict[int, float]) -> Iterable[tuple[int, float]]:
    """All outcomes of independent events, as bit masks."""
    sure = sum(1 << i for i, p in chances.items() if p >= 1)
    open_ = [(i, p) for i, p in chances.items() if 0 < p < 1]
    for outcome in itertools.product((False, True), repeat=len(open_)):
        mask, weight = sure, 1.0
        for (i, p), hit in zip(open_, outcome, strict=True):
            weight *= p if hit else 1 - p
            mask |= hit << i
        yield mask, weight


def inside(mask: int, n: int) -> list[int]:
    return [i for i in range(n) if mask >> i & 1]


def chain(
    n: int, start: list[float], step: Callable[[int, int, tuple], tuple[dict[int, float], tuple]], memory: tuple
) -> Joint:
    """Run all synchronous histories; ``step(active, new, memory)`` returns chances of the next ones, and memory."""
    out: Joint = defaultdict(float)
    now: dict = defaultdict(float)
    for mask, weight in subsets(dict(enumerate(start))):
        now[mask, mask, memory] += weight
    t = 0
    while now:
        after: dict = defaultdict(float)
        for (active, new, kept), weight in now.items():
            if new == 0:
                out[active, max(t - 1, 0)] += weight
                continue
            chances, carried = step(active, new, kept)
            for mask, part in subsets(chances):
                after[active | mask, mask, carried] += weight * part
        now, t = after, t + 1
    return out


def independent(n: int, arcs: list[Arc], start: list[float]) -> Joint:
    def step(active: int, new: int, kept: tuple) -> tuple[dict[int, float], tuple]:
        missed = {v: 1.0 for v in range(n) if not active >> v & 1}
        for u, v, p in arcs:
            if new >> u & 1 and v in missed:
                missed[v] *= 1 - p
        return {v: 1 - x for v, x in missed.items()}, kept

    return chain(n, start, step, ())


def thresholds(n: int, arcs: list[Arc], cdf: list[Callable[[float], float]], start: list[float]) -> Joint:
    def load(v: int, active: int) -> float:
        return sum(w for u, x, w in arcs if x == v and active >> u & 1)

    def step(active: int, new: int, kept: tuple) -> tuple[dict[int, float], tuple]:
        chances = {}
        for v in range(n):
            if not active >> v & 1:
                before, now = cdf[v](load(v, active & ~new)), cdf[v](load(v, active) + 1e-13)
                chances[v] = 0.0 if before >= 1 else min(max((now - before) / (1 - before), 0.0), 1.0)
                chances[v] = 0.0 if chances[v] < 1e-12 else chances[v]
        return chances, kept

    return chain(n, [1 - (1 - p) * (1 - cdf[i](0.0)) for i, p in enumerate(start)], step, ())


def redistribution(
    n: int,
    pairs: list[tuple[int, int]],
    load: list[float],
    cdf: list[Callable[[float], float]],
    start: list[float],
    sharing: str,
) -> Joint:
    """Broken units hand on all they carry at once, in equal shares; a capacity known to exceed x is drawn beyond x."""

    def step(broken: int, new: int, kept: tuple) -> tuple[dict[int, float], tuple]:
        bears = list(kept)
        for u in inside(new, n):
            if sharing == "global":
                takers = [v for v in range(n) if not broken >> v & 1]
            else:
                takers = [v for a, v in pairs if a == u and not broken >> v & 1]
            for v in takers:
                bears[v] += kept[u] / len(takers)
            bears[u] = 0.0
        chances = {}
        for v in range(n):
            if not broken >> v & 1:
                before, now = cdf[v](kept[v]), cdf[v](bears[v])
                chances[v] = 0.0 if before >= 1 else min(max((now - before) / (1 - before), 0.0), 1.0)
        return chances, tuple(bears)

    return chain(n, [1 - (1 - p) * (1 - cdf[i](load[i])) for i, p in enumerate(start)], step, tuple(load))


# ---------------------------------------------------------------- comparisons


def sizes_of(n: int, joint: Joint) -> np.ndarray:
    out = np.zeros(n + 1)
    for (mask, _), weight in joint.items():
        out[mask.bit_count()] += weight
    return out


def members(n: int, joint: Joint, size: int | None = None) -> np.ndarray:
    out, total = np.zeros(n), 0.0
    for (mask, _), weight in joint.items():
        if size is None or mask.bit_count() == size:
            total += weight
            out[inside(mask, n)] += weight
    return out / total


def fits(observed: dict, expected: dict, runs: int) -> None:
    """Chi-square over all outcomes, rare ones pooled; what is impossible is never seen."""
    assert sum(expected.values()) == pytest.approx(1, abs=1e-9)
    assert {key for key, count in observed.items() if count} <= {key for key, weight in expected.items() if weight > 0}
    often = [key for key, weight in expected.items() if weight * runs >= 8]
    seen = [observed.get(key, 0) for key in often]
    due = [expected[key] * runs for key in often]
    rest = runs - sum(due)
    if rest > 8:
        seen.append(runs - sum(seen))
        due.append(rest)
    if len(due) > 1:
        assert stats.chi2.sf(sum((a - b) ** 2 / b for a, b in zip(seen, due, strict=True)), len(due) - 1) > 1e-5
    assert abs(runs - sum(seen)) <= 8 + 6 * math.sqrt(max(rest, 1))


def joint_sizes(joint: Joint) -> dict[tuple[int, int], float]:
    out: dict[tuple[int, int], float] = defaultdict(float)
    for (mask, steps), weight in joint.items():
        out[mask.bit_count(), steps] += weight
    return out


def counted(sample: cascades.Sample) -> dict[tuple[int, int], int]:
    pairs, count = np.unique(np.stack([sample.sizes, sample.durations]), axis=1, return_counts=True)
    return {(int(a), int(b)): int(c) for (a, b), c in zip(pairs.T, count, strict=True)}


def final_sets(sample: cascades.Sample, runs: int) -> np.ndarray:
    masks = np.zeros(runs, dtype=np.int64)
    np.bitwise_or.at(masks, sample.activations.run, 1 << sample.activations.unit.astype(np.int64))
    return masks


def wired(n: int, pairs: list[tuple[int, int]]) -> sf.Wiring:
    return sf.Wiring.from_edges([u for u, _ in pairs], [v for _, v in pairs], units=n)


def exposures(n: int, pairs: list[tuple[int, int]]) -> list[Arc]:
    return [(u, v, 1 / sum(b == v for _, b in pairs)) for u, v in pairs]


def damages(n: int, pairs: list[tuple[int, int]]) -> list[Arc]:
    return [(u, v, 1 / sum(a == u for a, _ in pairs)) for u, v in pairs]


def both(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [arc for u, v in pairs for arc in ((u, v), (v, u))]


RING = both([(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2)])
TREE = both([(0, 1), (1, 2), (1, 3), (3, 4)])
ODD = [(0, 1), (0, 1), (1, 1), (1, 2), (2, 0), (3, 2), (2, 3), (0, 3), (3, 0)]  # parallel arcs, a loop, cycles; 4 alone
COMPLETE = both(list(itertools.combinations(range(5), 2)))
MIXED = [1.0, 0.0, 0.2, 0.0, 0.35]
Case = tuple[cascades.CascadeModel, object, Joint]


def case(name: str) -> Case:
    """Model, sources, and the exact joint law."""
    kind, _, detail = name.partition(" ")
    if kind == "independent":
        pairs = {"ring": RING, "tree": TREE, "odd": ODD}[detail.split()[0]]
        p = np.linspace(0.05, 0.95, len(pairs))[np.random.default_rng(1).permutation(len(pairs))]
        p[0], p[1] = (0.0, 1.0) if "sure" in detail else (p[0], p[1])
        p = np.full(len(pairs), 0.3) if "one" in detail else p
        arcs = [(u, v, float(x)) for (u, v), x in zip(pairs, p, strict=True)]
        model = cascades.IndependentCascade(wired(5, pairs), 0.3 if "one" in detail else p)
        sources: object = np.array(MIXED) if "mixed" in detail else [0, 3]
        return model, sources, independent(5, arcs, MIXED if "mixed" in detail else [1.0, 0, 0, 1.0, 0])
    if kind == "threshold":
        pairs = {"ring": RING, "tree": TREE, "odd": ODD}[detail.split()[0]]
        law = stats.norm(0.45, 0.25) if "normal" in detail else stats.uniform(0.02, 1.1)
        if "counts" in detail:
            whole = stats.randint(0, 4) if "zero" in detail else stats.randint(1, 4)
            ones = [(u, v, 1.0) for u, v in pairs]
            start = MIXED if "mixed" in detail else [0.0] * 5
            model = cascades.Threshold(wired(5, pairs), whole, load=1.0)
            return model, np.array(start), thresholds(5, ones, [lambda x: float(whole.cdf(x + 1e-9))] * 5, start)
        start = MIXED if "mixed" in detail else [1.0, 0, 0, 0, 0]
        sources = np.array(MIXED) if "mixed" in detail else np.array([True, False, False, False, False])
        if "damage" in detail:
            arcs, load = damages(5, pairs), "damage"
        elif "numbers" in detail:
            given = np.random.default_rng(2).choice([0.0, 0.2, 0.3, 0.7], len(pairs))
            arcs, load = [(u, v, float(x)) for (u, v), x in zip(pairs, given, strict=True)], given
        else:
            arcs, load = exposures(5, pairs), "exposure"
        if "own" in detail:
            mean = np.array([0.2, 0.9, 0.5, 0.35, 0.6])
            laws = stats.norm(mean, 0.2)
            cdf = [stats.norm(m, 0.2).cdf for m in mean]
            return cascades.Threshold(wired(5, pairs), laws, load=load), sources, thresholds(5, arcs, cdf, start)
        return cascades.Threshold(wired(5, pairs), law, load=load), sources, thresholds(5, arcs, [law.cdf] * 5, start)
    if kind == "linear":
        pairs = {"ring": RING, "tree": TREE, "odd": ODD}[detail.split()[0]]
        arcs, given = exposures(5, pairs), None
        if "less" in detail:
            share = np.random.default_rng(3).uniform(0.3, 1, len(pairs))
            arcs = [(u, v, w * float(x)) for (u, v, w), x in zip(arcs, share, strict=True)]
            given = [w for *_, w in arcs]
        uniform = [lambda x: min(max(float(x), 0.0), 1.0)] * 5
        return cascades.LinearThreshold(wired(5, pairs), given), np.array(MIXED), thresholds(5, arcs, uniform, MIXED)
    pairs = {
        "ring": RING,
        "tree": TREE,
        "odd": ODD,
        "directed": [(0, 1), (1, 2), (2, 3), (0, 4), (4, 2)],
        "complete": COMPLETE,
    }[detail.split()[0]]
    sharing = "global" if "global" in detail else "local"
    load = [0.21, 0.4, 0.13, 0.52, 0.33] if "loads" in detail else [0.3] * 5
    law = stats.norm(0.9, 0.3) if "normal" in detail else stats.uniform(0.1, 0.9)
    cdf = [law.cdf] * 5
    capacity: object = law
    if "own" in detail:
        low = np.array([0.1, 0.35, 0.2, 0.6, 0.25])
        capacity, cdf = stats.uniform(low, 0.7), [stats.uniform(x, 0.7).cdf for x in low]
    start = MIXED if "mixed" in detail else [1.0, 0, 0, 0, 0]
    sources = np.array(MIXED) if "mixed" in detail else [0]
    model = cascades.LoadRedistribution(wired(5, pairs), load if "loads" in detail else 0.3, capacity, sharing=sharing)
    return model, sources, redistribution(5, pairs, load, cdf, start, sharing)


CASES = [
    "independent ring",
    "independent ring one mixed",
    "independent tree mixed",
    "independent odd mixed",
    "independent odd sure",
    "threshold ring normal",
    "threshold ring mixed",
    "threshold odd mixed",
    "threshold odd damage",
    "threshold tree damage normal mixed",
    "threshold ring numbers mixed",
    "threshold odd numbers normal",
    "threshold tree own",
    "threshold odd own damage mixed",
    "threshold ring counts mixed",
    "threshold odd counts zero",
    "threshold tree counts zero mixed",
    "linear ring",
    "linear ring less",
    "linear odd",
    "linear odd less",
    "linear tree less",
    "redistribution ring",
    "redistribution ring loads mixed",
    "redistribution odd normal",
    "redistribution odd loads own mixed",
    "redistribution directed loads normal",
    "redistribution ring global",
    "redistribution ring global loads mixed",
    "redistribution tree global own",
    "redistribution complete",
    "redistribution complete loads mixed",
]


@pytest.mark.parametrize("name", CASES)
def test_sizes_and_durations_together(name: str) -> None:
    model, sources, joint = case(name)
    runs = 40_000
    sample = model.sample(sources, runs=runs, rng=11)
    assert sample.sizes.shape == sample.durations.shape == (runs,)
    fits(counted(sample), joint_sizes(joint), runs)


@pytest.mark.parametrize("name", CASES)
def test_whole_final_sets(name: str) -> None:
    """Which units, not only how many; and the step of the last one is the duration."""
    model, sources, joint = case(name)
    runs = 30_000
    sample = model.sample(sources, runs=runs, rng=12, who=True)
    masks, seen = np.unique(final_sets(sample, runs), return_counts=True)
    expected: dict[int, float] = defaultdict(float)
    for (mask, _), weight in joint.items():
        expected[mask] += weight
    fits(dict(zip(masks.tolist(), seen.tolist(), strict=True)), expected, runs)
    last = np.zeros(runs, dtype=np.int64)
    np.maximum.at(last, sample.activations.run, sample.activations.step)
    assert (last == sample.durations).all()
    assert (np.bincount(sample.activations.run, minlength=runs) == sample.sizes).all()


@pytest.mark.parametrize("name", CASES)
def test_laws_and_marginals_by_any_way_that_is_offered(name: str) -> None:
    model, sources, joint = case(name)
    exact = sizes_of(5, joint)
    for method in ("exact", "tree"):
        try:
            law = model.size_distribution(sources, method=method)
        except ValueError:
            continue
        assert np.abs(law.pmf - exact).max() < 1e-11
    for method in ("exact", "tree"):
        try:
            found = model.marginals(sources, method=method)
        except ValueError:
            continue
        assert np.abs(np.asarray(found) - members(5, joint)).max() < 1e-11
    sampled = model.marginals(sources, method="monte-carlo", runs=30_000, rng=1)
    assert sampled.samples == 30_000
    assert np.abs(np.asarray(sampled) - members(5, joint)).max() < 4.5 * math.sqrt(0.25 / 30_000)
    for size in (2, 3, 5):
        if exact[size] < 0.01:
            continue
        given = model.marginals_given_size(size, sources, method="monte-carlo", runs=30_000, rng=2)
        assert abs(given.samples - 30_000 * exact[size]) < 5 * math.sqrt(30_000 * exact[size])
        assert np.abs(np.asarray(given) - members(5, joint, size)).max() < 5 * math.sqrt(0.25 / given.samples) + 1e-12
        assert np.asarray(given).sum() == pytest.approx(size)
        for method in ("exact", "tree"):
            try:
                found = model.marginals_given_size(size, sources, method=method)
            except ValueError:
                continue
            assert np.abs(np.asarray(found) - members(5, joint, size)).max() < 1e-10


def test_impossible_sizes_have_no_probability() -> None:
    model, sources, _ = case("independent odd sure")
    law = model.size_distribution(sources, method="monte-carlo", runs=5_000, rng=0)
    assert law.pmf[:2].tolist() == [0.0, 0.0]
    assert law.log_pmf[0] == -math.inf


# ---------------------------------------------------------------- streams


@pytest.mark.parametrize(
    "name",
    [
        "independent ring mixed",
        "independent ring one",
        "threshold odd damage",
        "linear odd",
        "redistribution ring loads mixed",
    ],
)
def test_neither_workers_nor_more_runs_change_a_run(name: str) -> None:
    model, sources, _ = case(name)
    one = model.sample(sources, runs=3_001, rng=5, workers=1)
    for workers in (2, 3, None):
        other = model.sample(sources, runs=3_001, rng=5, workers=workers)
        assert (one.sizes == other.sizes).all()
        assert (one.durations == other.durations).all()
    more = model.sample(sources, runs=4_000, rng=5, workers=2)
    assert (more.sizes[:3_001] == one.sizes).all()
    again = model.sample(sources, runs=3_001, rng=5, who=True)
    assert (again.sizes == one.sizes).all()
    threads = model.sample(sources, runs=3_001, rng=5, who=True, workers=3)
    for field in ("run", "unit", "by", "step"):
        assert (getattr(again.activations, field) == getattr(threads.activations, field)).all()
    assert (model.sample(sources, runs=3_001, rng=6).sizes != one.sizes).any()
    laws = [model.size_distribution(sources, method="monte-carlo", runs=3_001, rng=5, workers=w).pmf for w in (1, 3)]
    assert (laws[0] == laws[1]).all()
    assert np.allclose(laws[0] * 3_001, np.bincount(one.sizes, minlength=6), atol=1e-9)


def test_what_an_rng_may_be() -> None:
    model, sources, _ = case("independent ring mixed")
    number = model.sample(sources, runs=500, rng=7).sizes
    assert (model.sample(sources, runs=500, rng=np.int64(7)).sizes == number).all()
    sequence = [model.sample(sources, runs=500, rng=np.random.SeedSequence(7)).sizes for _ in range(2)]
    assert (sequence[0] == sequence[1]).all()
    generators = [model.sample(sources, runs=500, rng=np.random.default_rng(7)).sizes for _ in range(2)]
    assert (generators[0] == generators[1]).all()
    one = np.random.default_rng(7)
    assert (model.sample(sources, runs=500, rng=one).sizes != model.sample(sources, runs=500, rng=one).sizes).any()
    assert (model.sample(sources, runs=500).sizes != model.sample(sources, runs=500).sizes).any()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    model.sample(sources, runs=10)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_runs_are_independent_of_each_other() -> None:
    model, _, _ = case("independent ring one")
    sizes = model.sample([0], runs=40_000, rng=8).sizes.astype(float)
    centred = sizes - sizes.mean()
    for lag in (1, 2, 7):
        assert abs((centred[lag:] * centred[:-lag]).mean() / centred.var()) < 4.5 / math.sqrt(40_000)


# ---------------------------------------------------------------- who activated whom


@pytest.mark.parametrize(
    "name",
    ["independent odd mixed", "threshold ring numbers mixed", "linear odd less", "redistribution ring loads mixed"],
)
def test_everyone_was_activated_by_somebody_earlier(name: str) -> None:
    model, sources, _ = case(name)
    runs = 2_000
    sample = model.sample(sources, runs=runs, rng=13, who=True)
    arcs = set(zip(model.wiring.senders.tolist(), model.wiring.receivers.tolist(), strict=True))
    found = sample.activations
    step = {(r, u): s for r, u, s in zip(found.run.tolist(), found.unit.tolist(), found.step.tolist(), strict=True)}
    assert len(step) == len(found.run), "nobody twice in one run"
    for r, u, by, s in zip(
        found.run.tolist(), found.unit.tolist(), found.by.tolist(), found.step.tolist(), strict=True
    ):
        if by < 0:
            assert s == 0
        else:
            assert (by, u) in arcs
            assert s >= 1
            assert step[r, by] == s - 1 if not name.startswith(("threshold", "linear")) else step[r, by] < s


def test_who_succeeded_first_among_two_is_fair() -> None:
    """Two sources try the same unit in the same step: with equal chances either is named as often."""
    model = cascades.IndependentCascade(sf.Wiring.from_edges([0, 1], [2, 2]), [0.5, 0.5])
    found = model.sample([0, 1], runs=20_000, rng=3, who=True).activations
    by = found.by[found.unit == 2]
    assert abs(len(by) - 15_000) < 5 * math.sqrt(20_000 * 3 / 16)
    assert set(by.tolist()) <= {0, 1}
    assert min(np.bincount(by, minlength=2)) >= 4_700, "each succeeds alone in a quarter of the runs"


# ---------------------------------------------------------------- bands


def test_bands_of_sampled_laws() -> None:
    model, sources, joint = case("independent ring mixed")
    exact = np.cumsum(sizes_of(5, joint))
    runs, missed = 400, 0
    for seed in range(200):
        law = model.size_distribution(sources, method="monte-carlo", runs=runs, rng=seed)
        low, high = law.interval()
        half = math.sqrt(math.log(2 / 0.05) / (2 * runs))
        assert np.allclose(low[:-1], np.maximum(law.cdf - half, 0)[:-1], atol=1e-12)
        assert np.allclose(high, np.minimum(law.cdf + half, 1), atol=1e-12)
        assert low[-1] in (1.0, pytest.approx(1 - half))
        missed += bool(((exact < low - 1e-12) | (exact > high + 1e-12)).any())
    assert missed <= 20
    low, high = law.interval(0.9, simultaneous=False)
    count = np.round(law.cdf * runs).astype(int)
    inner = (count > 0) & (count < runs)
    assert np.allclose(low[inner], stats.beta.ppf(0.05, count, runs - count + 1)[inner], rtol=1e-9)
    assert np.allclose(high[inner], stats.beta.ppf(0.95, count + 1, runs - count)[inner], rtol=1e-9)


# ---------------------------------------------------------------- larger networks


def percolation(n: int, arcs: list[Arc], sources: list[int], runs: int, rng: np.random.Generator) -> np.ndarray:
    """Independent cascades by open arcs in a plain loop."""
    near: list[list[tuple[int, float]]] = [[] for _ in range(n)]
    for u, v, p in arcs:
        near[u].append((v, p))
    sizes = np.zeros(runs, dtype=int)
    for r in range(runs):
        active, stack = set(sources), list(sources)
        while stack:
            for v, p in near[stack.pop()]:
                if v not in active and rng.random() < p:
                    active.add(v)
                    stack.append(v)
        sizes[r] = len(active)
    return sizes


@pytest.mark.parametrize("uniform", [True, False])
def test_a_random_network_of_200(uniform: bool) -> None:
    rng = np.random.default_rng(21)
    pairs = [(int(u), int(v)) for u, v in rng.integers(0, 200, (700, 2))]
    p = np.full(700, 0.3) if uniform else rng.uniform(0, 0.6, 700)
    model = cascades.IndependentCascade(wired(200, pairs), 0.3 if uniform else p)
    ours = percolation(200, [(u, v, float(x)) for (u, v), x in zip(pairs, p, strict=True)], [3, 4], 3_000, rng)
    theirs = model.sample([3, 4], runs=30_000, rng=0).sizes
    assert stats.ks_2samp(ours, theirs).pvalue > 1e-4
    assert abs(ours.mean() - theirs.mean()) < 4.5 * math.hypot(ours.std() / 3_000**0.5, theirs.std() / 30_000**0.5)


def test_sampled_tree_against_its_exact_law() -> None:
    tree = sf.wiring.random_tree(150, rng=0)
    for model in (
        cascades.IndependentCascade(tree, 0.7),
        cascades.Threshold(tree, stats.norm(0.5, 0.2)),
        cascades.LinearThreshold(tree),
    ):
        exact = model.size_distribution([0, 7], method="tree")
        sample = model.sample([0, 7], runs=40_000, rng=1)
        sizes, count = np.unique(sample.sizes, return_counts=True)
        fits(dict(zip(sizes.tolist(), count.tolist(), strict=True)), dict(enumerate(exact.pmf.tolist())), 40_000)


def test_long_path_lasts_as_long_as_it_is() -> None:
    path = sf.Wiring.from_edges(range(999), range(1, 1000))
    for model in (
        cascades.IndependentCascade(path, 1.0),
        cascades.Threshold(path, 1.0),
        cascades.LinearThreshold(path),
    ):
        sample = model.sample([0], runs=3, rng=0)
        assert sample.sizes.tolist() == [1000] * 3
        assert sample.durations.tolist() == [999] * 3
    none = cascades.IndependentCascade(path, 0.0).sample([0], runs=3, rng=0)
    assert (none.sizes.tolist(), none.durations.tolist()) == ([1] * 3, [0] * 3)
    nobody = cascades.IndependentCascade(path, 1.0).sample(None, runs=3, rng=0)
    assert (nobody.sizes.tolist(), nobody.durations.tolist()) == ([0] * 3, [0] * 3)


def test_arcs_of_tiny_probability_are_tried_with_it() -> None:
    """The skip from success to success has no bias: 4,000 arcs of 1/4,000 from each source."""
    star = sf.Wiring.from_edges([0] * 4000, range(1, 4001))
    sizes = cascades.IndependentCascade(star, 1 / 4000).sample([0], runs=40_000, rng=2).sizes - 1
    expected = {int(k): float(stats.binom.pmf(k, 4000, 1 / 4000)) for k in range(4001)}
    values, count = np.unique(sizes, return_counts=True)
    fits(dict(zip(values.tolist(), count.tolist(), strict=True)), expected, 40_000)
    assert (cascades.IndependentCascade(star, 1e-300).sample([0], runs=1000, rng=0).sizes == 1).all()


@pytest.mark.slow
def test_simulated_gleeson_cahalane_and_diversification() -> None:
    shares = []
    for z, rho0, share in ((3, 0.01, 0.94120), (5, 0.01, 0.99310), (6, 1e-3, 0.99749)):
        wiring = sf.wiring.erdos_renyi(200_000, mean_degree=z, directed=False, rng=z)
        sizes = cascades.Threshold(wiring, 0.18).sample(np.full(200_000, rho0), runs=3, rng=0).sizes / 200_000
        shares.append((sizes.mean(), share))
    assert all(abs(a - b) < 0.003 for a, b in shares), shares
    law = stats.norm(0.3, 0.2)
    for load, share, most in (("exposure", 0.88496, 0.004), ("damage", 0.59865, 0.006)):
        sizes = []
        for graph in range(4):
            wiring = sf.wiring.erdos_renyi(200_000, mean_degree=3, directed=False, rng=graph)
            sizes.extend(cascades.Threshold(wiring, law, load=load).sample(runs=2, rng=graph).sizes / 200_000)
        assert np.mean(sizes) == pytest.approx(share, abs=most)


@pytest.mark.slow
def test_simulated_bootstrap_percolation() -> None:
    wiring = sf.wiring.erdos_renyi(400_000, 5e-5, directed=False, rng=0)
    model = cascades.Threshold(wiring, 2, load=1.0)
    few = model.sample(np.arange(250), runs=1).sizes[0]
    assert few == pytest.approx(293, rel=0.05)
    assert model.sample(np.arange(600), runs=1).sizes[0] > 399_000


# ---------------------------------------------------------------- influence


def spread_of(n: int, arcs: list[Arc], chosen: Iterable[int]) -> float:
    joint = independent(n, arcs, [1.0 if i in set(chosen) else 0.0 for i in range(n)])
    return sum(weight * mask.bit_count() for (mask, _), weight in joint.items())


def test_one_source_on_five_that_are_all_joined() -> None:
    pairs = both(list(itertools.combinations(range(5), 2)))
    model = cascades.IndependentCascade(wired(5, pairs), 0.2)
    held, spreads = 0, []
    for seed in range(200):
        found = influence.maximise(model, 1, 0.1, rng=seed)
        assert found.interval[0] <= found.spread <= found.interval[1]
        held += found.interval[0] <= 2.2701372416 <= found.interval[1]
        spreads.append(found.spread)
    assert held >= 180
    assert np.mean(spreads) == pytest.approx(2.27014, abs=0.07)


def test_choice_is_within_its_guarantee_of_the_best() -> None:
    rng = np.random.default_rng(31)
    for _ in range(4):
        pairs = [(int(u), int(v)) for u, v in rng.integers(0, 8, (13, 2)) if u != v]
        p = rng.uniform(0.1, 0.7, len(pairs))
        arcs = [(u, v, float(x)) for (u, v), x in zip(pairs, p, strict=True)]
        model = cascades.IndependentCascade(wired(8, pairs), p)
        for k in (1, 2):
            best = max(spread_of(8, arcs, chosen) for chosen in itertools.combinations(range(8), k))
            found = influence.maximise(model, k=k, epsilon=0.05, rng=0)
            reached = spread_of(8, arcs, found.sources.tolist())
            assert reached >= (1 - 1 / math.e) * best
            assert reached >= found.guarantee * best - 1e-9
            assert found.guarantee >= 1 - 1 / math.e - 0.05
            assert found.interval[0] <= reached <= found.interval[1]
            assert found.best >= best - 1e-9
            assert len(set(found.sources.tolist())) == k
            assert found.gains.shape == (k,)


def test_influence_of_linear_thresholds_and_candidates() -> None:
    pairs = [*ODD, (4, 1)]
    model = cascades.LinearThreshold(wired(5, pairs))
    arcs = exposures(5, pairs)
    uniform = [lambda x: min(max(float(x), 0.0), 1.0)] * 5

    def spread(chosen: tuple[int, ...]) -> float:
        joint = thresholds(5, arcs, uniform, [1.0 if i in chosen else 0.0 for i in range(5)])
        return sum(weight * mask.bit_count() for (mask, _), weight in joint.items())

    found = influence.maximise(model, 2, 0.05, rng=0)
    best = max(spread(chosen) for chosen in itertools.combinations(range(5), 2))
    assert spread(tuple(found.sources.tolist())) >= (1 - 1 / math.e) * best
    assert found.interval[0] <= spread(tuple(found.sources.tolist())) <= found.interval[1]
    held = influence.maximise(model, 2, 0.05, candidates=[1, 3, 4], rng=0)
    assert set(held.sources.tolist()) <= {1, 3, 4}
    assert influence.maximise(model, 2, 0.05, rng=0, workers=3).sources.tolist() == found.sources.tolist()
    for k in (0, 6, 2.5):
        with pytest.raises(ValueError, match="k"):
            influence.maximise(model, k, 0.1)


# ---------------------------------------------------------------- backwards: from sizes to probabilities


def test_probability_of_a_path_has_a_formula() -> None:
    """A directed path of four: size s needs s - 1 successes, then a failure unless it ends: a censored geometric."""
    path = sf.Wiring.from_edges([0, 1, 2], [1, 2, 3])
    sizes = [1, 1, 2, 4, 3, 4, 1]
    successes, failures = sum(s - 1 for s in sizes), sum(s < 4 for s in sizes)
    found = infer.fit_probability(path, sizes, sources=[0])
    p = successes / (successes + failures)
    assert found.probability == pytest.approx(p, abs=1e-6)
    assert found.log_likelihood == pytest.approx(successes * math.log(p) + failures * math.log(1 - p), abs=1e-9)
    assert found.error == pytest.approx(math.sqrt(p * (1 - p) / (successes + failures)), rel=1e-3)
    low, high = found.interval(0.95)
    for end in (low, high):
        drop = found.log_likelihood - successes * math.log(end) - failures * math.log(1 - end)
        assert 2 * drop == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-3)
    statistic, p_value = found.test(0.3)
    expected = 2 * (found.log_likelihood - successes * math.log(0.3) - failures * math.log(0.7))
    assert statistic == pytest.approx(expected, abs=1e-6)
    assert p_value == pytest.approx(stats.chi2.sf(expected, 1), rel=1e-5)


def test_probability_at_the_edge() -> None:
    path = sf.Wiring.from_edges([0, 1, 2], [1, 2, 3])
    assert infer.fit_probability(path, [1, 1, 1], sources=[0]).probability == pytest.approx(0, abs=1e-6)
    assert infer.fit_probability(path, [4, 4], sources=[0]).probability == pytest.approx(1, abs=1e-6)
    for wrong, name in (([0, 1], "0"), ([5], "5"), ([1.5], "1.5"), ([], "")):
        with pytest.raises(ValueError, match="size") as caught:
            infer.fit_probability(path, wrong, sources=[0])
        assert name in caught.value.render()


def test_probability_found_again() -> None:
    tree = sf.wiring.random_tree(40, rng=5)
    covered = 0
    for seed in range(20):
        seen = cascades.IndependentCascade(tree, 0.35).sample([0], runs=200, rng=seed).sizes
        low, high = infer.fit_probability(tree, seen, sources=[0]).interval()
        covered += low <= 0.35 <= high
    assert covered >= 15


# ---------------------------------------------------------------- avalanches


def test_avalanches_are_cut_at_empty_bins() -> None:
    rng = np.random.default_rng(41)
    counts = rng.poisson(0.7, 400)
    counts[0], counts[-1] = 3, 2
    runs = [(k, list(g)) for k, g in itertools.groupby(enumerate(counts.tolist()), key=lambda x: x[1] > 0)]
    whole = [g for k, g in runs if k and g[0][0] > 0 and g[-1][0] < 399]
    found = avalanches.cut_avalanches(counts)
    assert found.sizes.tolist() == [sum(c for _, c in g) for g in whole]
    assert found.durations.tolist() == [len(g) for g in whole]
    assert found.starts.tolist() == [g[0][0] for g in whole]
    assert found.cut == 2
    assert len(avalanches.cut_avalanches(counts, keep_cut=True).sizes) == len(whole) + 2


def test_branching_ratio_seen_through_one_in_a_hundred() -> None:
    m, alpha, bins = 0.98, 0.01, 200_000
    rng = np.random.default_rng(42)
    activity = np.zeros(bins, dtype=np.int64)
    now = 5_000
    for t in range(bins):
        now = rng.poisson(m * now + 100)
        activity[t] = now
    seen = rng.binomial(activity, alpha)
    found = avalanches.branching_ratio(seen, rng=0, resamples=200)
    assert found.ratio == pytest.approx(m, abs=0.005)
    assert found.naive == pytest.approx(0.199, abs=0.02)
    assert found.amplitude * found.ratio == pytest.approx(alpha / (alpha + (1 - alpha) * (1 - m * m)) * m, abs=0.02)
    low, high = found.interval()
    assert low <= found.ratio <= high
    assert avalanches.branching_ratio(activity, rng=0, resamples=50).naive == pytest.approx(m, abs=0.005)


@pytest.mark.slow
def test_tail_of_critical_branching() -> None:
    pytest.importorskip("powerlaw")
    n = np.arange(1, 200_001)
    law = np.exp(-n + (n - 1) * np.log(n) - special.gammaln(n + 1))  # Borel
    rng = np.random.default_rng(43)
    sizes = n[np.searchsorted(np.cumsum(law), rng.uniform(0, law.sum(), 100_000))]
    found = avalanches.tail_fit(sizes, xmin=10)
    assert found.exponent == pytest.approx(1.5, abs=0.03)
    tail = sizes[sizes >= 10]
    assert found.tail == len(tail)

    def loss(a: float) -> float:
        return a * np.log(tail).mean() + math.log(special.zeta(a, 10))

    grid = np.linspace(1.4, 1.6, 2001)
    assert found.exponent == pytest.approx(grid[np.argmin([loss(a) for a in grid])], abs=2e-3)
    assert found.error == pytest.approx((found.exponent - 1) / math.sqrt(len(tail)), rel=0.1)


# ---------------------------------------------------------------- odd ends of load redistribution


def test_load_that_nobody_can_take_is_lost() -> None:
    chain_ = sf.Wiring.from_edges([0, 1], [1, 2], units=4)
    model = cascades.LoadRedistribution(chain_, [5, 0, 0, 0], [4, 6, 1, 1])
    sample = model.sample(runs=1)
    assert (sample.sizes.tolist(), sample.durations.tolist()) == ([1], [0])
    assert cascades.LoadRedistribution(chain_, [5, 2, 0, 0], [4, 6, 1, 1]).sample(runs=1).sizes.tolist() == [3]


def test_shares_at_once_then_thresholds() -> None:
    """Two break together: neither gets a share of the other, and the third gets all of both."""
    pairs = [(0, 1), (1, 0), (0, 2), (1, 2)]
    for capacity, size in ((2.0, 3), (2.01, 2)):
        model = cascades.LoadRedistribution(wired(3, pairs), [1, 1, 0], [0.5, 0.5, capacity])
        assert model.sample(runs=1).sizes.tolist() == [size]


def test_a_capacity_may_be_infinite() -> None:
    ring = wired(3, both([(0, 1), (1, 2), (2, 0)]))
    for sharing in ("local", "global"):
        model = cascades.LoadRedistribution(ring, 1.0, [0.5, math.inf, 1.4], sharing=sharing)
        assert model.sample(runs=1).sizes.tolist() == [2]
        assert model.size_distribution().pmf.tolist() == [0, 0, 1, 0]


@pytest.mark.slow
def test_fibre_bundle_of_100_000_comes_to_its_limit() -> None:
    none = sf.Wiring.from_edges([], [], units=100_000)
    for load, share in ((0.1, 0.887298), (0.2, 0.723607), (0.26, 0.0)):
        model = cascades.LoadRedistribution(none, load, stats.uniform(), sharing="global")
        left = 1 - model.sample(runs=4, rng=0).sizes.mean() / 100_000
        assert left == pytest.approx(share, abs=0.01)


def test_a_load_that_equals_the_capacity_breaks() -> None:
    pair = wired(2, [(0, 1), (1, 0)])
    for sharing in ("local", "global"):
        assert cascades.LoadRedistribution(pair, [1, 0], [1, 1], sharing=sharing).sample(runs=1).sizes.tolist() == [2]
        assert cascades.LoadRedistribution(pair, [1, 0], [1, 1.5], sharing=sharing).sample(runs=1).sizes.tolist() == [1]
        assert cascades.LoadRedistribution(pair, 0, 1, sharing=sharing).sample([1], runs=1).sizes.tolist() == [1]
        assert cascades.LoadRedistribution(pair, 0, 0, sharing=sharing).sample(runs=1).sizes.tolist() == [2]


def test_one_unit_in_every_model() -> None:
    single = sf.Wiring.from_edges([], [], units=1)
    for model in (
        cascades.IndependentCascade(single, 0.5),
        cascades.LinearThreshold(single),
        cascades.Threshold(single, 0.5),
        cascades.LoadRedistribution(single, 0.2, 0.5),
        cascades.LoadRedistribution(single, 0.2, 0.5, sharing="global"),
    ):
        for sources, pmf in ((None, [1, 0]), ([0], [0, 1]), ([True], [0, 1]), (np.array([1.0]), [0, 1])):
            assert model.size_distribution(sources, method="monte-carlo", runs=20).pmf.tolist() == pmf
            assert model.size_distribution(sources).pmf.tolist() == pmf
            assert np.asarray(model.marginals(sources)).tolist() == [pmf[1]]
        sizes = model.sample(np.array([0.25]), runs=4000, rng=0).sizes
        assert abs(sizes.mean() - 0.25) < 4.5 * math.sqrt(0.1875 / 4000)


def test_laws_of_sizes_refuse_what_is_none() -> None:
    law = cascades.SizeDistribution.from_samples([0, 1, 1, 3], units=3)
    assert law.pmf.tolist() == [0.25, 0.5, 0, 0.25]
    assert law.survival[-1] == 0
    assert law.cdf[-1] == 1
    for call, name in (
        (lambda: cascades.SizeDistribution.from_samples([0, 4], units=3), "4"),
        (lambda: cascades.SizeDistribution.from_samples([], units=3), "size"),
        (lambda: cascades.SizeDistribution.from_samples([0.5], units=3), "0.5"),
        (lambda: law.quantile(1.5), "1.5"),
        (lambda: law.quantile(math.nan), "nan"),
        (lambda: law.log_likelihood([4]), "4"),
        (lambda: law.log_likelihood([-1]), "-1"),
        (lambda: law.interval(1.5), "1.5"),
    ):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            call()
        assert name in caught.value.render(), caught.value.render()


def test_a_large_network_with_few_active_units() -> None:
    """A subcritical cascade on a large network costs its size: 2,000 runs on 300,000 units, in well under a minute."""
    wiring = sf.wiring.erdos_renyi(300_000, mean_degree=2, rng=0)
    sizes = cascades.IndependentCascade(wiring, 0.25).sample([5], runs=2_000, rng=0).sizes
    later = wiring.out_degrees[5] * 0.25 * 2  # each child starts a Galton–Watson tree of mean 1 / (1 - 0.5)
    assert abs(sizes.mean() - 1 - later) < 4.5 * sizes.std() / math.sqrt(2_000) + 0.15

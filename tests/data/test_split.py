"""Oracle: properties that every split must have, on random problems (hypothesis)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sparsefire.data.problem import Problem
from sparsefire.data.split import _deal, describe_split, folds, split_test
from sparsefire.errors import UserError

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


def problem(target: np.ndarray, **roles: Any) -> Problem:
    classification = target.dtype.kind == "i"
    names = tuple(f"class {i}" for i in range(int(target.max()) + 1)) if classification else ()
    roles |= {f"{kind}_name": kind for kind in ("cluster", "time", "site") if kind in roles}
    if "site" in roles:
        roles["site_names"] = tuple(f"s{i}" for i in range(int(roles["site"].max()) + 1))
    return Problem(
        name="random",
        inputs=np.zeros((len(target), 1), np.float32),
        target=target,
        task="classification" if classification else "regression",
        classes=names,
        target_name="y",
        score="accuracy" if classification else "r2",
        **roles,
    )


@st.composite
def targets(draw: st.DrawFn, least: int = 60) -> np.ndarray:
    rows = draw(st.integers(least, 300))
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    classes = draw(st.integers(1, 4))
    if classes == 1:
        return generator.normal(size=rows)
    target = generator.choice(classes, rows, p=generator.dirichlet(np.full(classes, 2.0)))
    target[: 12 * classes] = np.tile(np.arange(classes), 12)
    return generator.permutation(target).astype(np.int64)


def assert_sound(whole: Problem, rows: np.ndarray, parts: list[tuple[np.ndarray, np.ndarray]]) -> None:
    held = np.concatenate([held_out for _, held_out in parts])
    assert len(np.unique(held)) == len(held)
    for train, held_out in parts:
        assert len(held_out)
        assert (np.diff(train) > 0).all()
        assert (np.diff(held_out) > 0).all()
        assert np.isin(np.concatenate([train, held_out]), rows).all()
        assert not np.isin(train, held_out).any()
        if whole.classes:
            assert len(np.unique(whole.target[train])) == len(whole.classes)


@quick
@given(targets(), st.integers(2, 6), st.integers(0, 2**64))
def test_stratified(target: np.ndarray, k: int, rng: int) -> None:
    whole = problem(target)
    development, test = split_test(whole, rng)
    np.testing.assert_array_equal(np.sort(np.concatenate([development, test])), np.arange(len(target)))
    assert len(test) == int(np.ceil(len(target) / 5))
    parts = folds(whole, development, k, rng)
    assert_sound(whole, development, parts)
    np.testing.assert_array_equal(np.sort(np.concatenate([h for _, h in parts])), development)
    for train, held_out in parts:
        assert len(train) + len(held_out) == len(development)
    if whole.classes:
        for code in range(len(whole.classes)):
            assert abs((target[test] == code).sum() - (target == code).sum() * len(test) / len(target)) <= 1
            counts = [int((target[held_out] == code).sum()) for _, held_out in parts]
            assert max(counts) - min(counts) <= 1
    sizes = [len(held_out) for _, held_out in parts]
    assert max(sizes) - min(sizes) <= 1


@quick
@given(targets(least=120), st.integers(0, 10**6), st.integers(2, 5))
def test_clusters_never_cross(target: np.ndarray, rng: int, k: int) -> None:
    cluster = np.random.default_rng(rng).integers(0, 40, len(target))
    whole = problem(target, cluster=cluster)
    development, test = split_test(whole, rng)
    np.testing.assert_array_equal(np.sort(np.concatenate([development, test])), np.arange(len(target)))
    assert not np.isin(cluster[test], cluster[development]).any()
    assert 0.08 < len(test) / len(target) < 0.35
    parts = folds(whole, development, k, rng)
    assert_sound(whole, development, parts)
    np.testing.assert_array_equal(np.sort(np.concatenate([h for _, h in parts])), development)
    for train, held_out in parts:
        assert not np.isin(cluster[train], cluster[held_out]).any()


@quick
@given(targets(), st.integers(0, 10**6), st.integers(2, 5), st.sampled_from([15, 40, 10**6]))
def test_time_never_looks_ahead(target: np.ndarray, rng: int, k: int, moments: int) -> None:
    time = np.random.default_rng(rng).integers(0, moments, len(target)).astype(float)
    whole = problem(target, time=time)
    try:
        development, test = split_test(whole, rng)
        parts = folds(whole, development, k, rng)
    except UserError:
        # a class may be late or rare among the early rows, or the moments too few
        assume(False)
    assert time[development].max() < time[test].min()
    assert abs(len(test) / len(target) - 0.2) < 0.15
    assert len(parts) == k
    assert_sound(whole, development, parts)
    for train, held_out in parts:
        assert time[train].max() < time[held_out].min()
    assert all((np.isin(a, b)).all() for (a, _), (b, _) in pairwise(parts))
    held = np.concatenate([held_out for _, held_out in parts])
    np.testing.assert_array_equal(np.sort(np.concatenate([parts[0][0], held])), development)


@quick
@given(targets(least=150), st.integers(0, 10**6), st.integers(3, 9), st.integers(2, 6))
def test_sites_are_left_out_whole(target: np.ndarray, rng: int, sites: int, k: int) -> None:
    site = np.random.default_rng(rng).integers(0, sites, len(target))
    site[:sites] = np.arange(sites)
    whole = problem(target, site=site)
    try:
        development, test = split_test(whole, rng)
        parts = folds(whole, development, k, rng)
    except UserError:
        assume(False)  # a class may be at home in one site
    assert len(np.unique(site[test])) == 1
    np.testing.assert_array_equal(np.sort(np.concatenate([development, test])), np.arange(len(target)))
    assert not np.isin(site[development], site[test]).any()
    assert len(parts) == min(k, sites - 1)
    assert_sound(whole, development, parts)
    np.testing.assert_array_equal(np.sort(np.concatenate([h for _, h in parts])), development)
    for train, held_out in parts:
        assert not np.isin(site[train], site[held_out]).any()
    assert describe_split(whole, test) == f"site s{site[test[0]]} left out"


@quick
@given(targets(), st.integers(0, 2**32), st.sampled_from(["none", "cluster", "site"]))
def test_the_same_rng_gives_the_same_parts_and_another_gives_others(target: np.ndarray, rng: int, role: str) -> None:
    codes = np.arange(len(target)) % 30
    whole = problem(target, **({} if role == "none" else {role: codes}))
    try:
        first, again = split_test(whole, rng), split_test(whole, rng)
        rows = np.arange(len(target))
        parts, repeated = folds(whole, rows, 3, rng), folds(whole, rows, 3, rng)
    except UserError:
        assert role != "none"
        return
    np.testing.assert_array_equal(first[1], again[1])
    for (a, b), (c, d) in zip(parts, repeated, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    other = folds(whole, rows, 3, rng + 1)
    assert any(len(b) != len(d) or (b != d).any() for (_, b), (_, d) in zip(parts, other, strict=True))


@quick
@given(targets(), st.integers(0, 10**6))
def test_clusters_across_time_are_left_out_of_what_came_before(target: np.ndarray, rng: int) -> None:
    generator = np.random.default_rng(rng)
    cluster = generator.integers(0, len(target) // 2, len(target))
    time = generator.random(len(target))
    whole = problem(target, cluster=cluster, time=time)
    try:
        development, test = split_test(whole, rng)
        parts = folds(whole, development, 3, rng)
    except UserError:
        return
    assert time[development].max() < time[test].min()
    for train, held_out in [(development, test), *parts]:
        assert not np.isin(cluster[train], cluster[held_out]).any()


def test_own_test_set_is_kept_and_its_clusters_leave_development() -> None:
    target = np.tile([0, 1], 50).astype(np.int64)
    cluster = np.arange(100) // 4
    cluster[90] = cluster[0]
    whole = problem(target, cluster=cluster, test_rows=np.arange(90, 100))
    development, test = split_test(whole, 0)
    assert test.tolist() == list(range(90, 100))
    assert not np.isin(cluster[development], cluster[test]).any()
    assert 0 not in development
    assert describe_split(whole, test) == "the file's own test set"


def test_the_test_site_is_of_medium_size() -> None:
    site = np.repeat([0, 1, 2, 3], [303, 294, 123, 200])
    target = np.tile([0, 1], 460).astype(np.int64)
    chosen = {int(site[split_test(problem(target, site=site), rng)[1][0]]) for rng in range(40)}
    assert chosen == {2, 3}


def test_clusters_of_one_class_each_are_dealt_to_all_folds() -> None:
    cluster = np.arange(300) // 10
    target = (cluster % 5 == 0).astype(np.int64)
    whole = problem(target, cluster=cluster)
    parts = folds(whole, np.arange(300), 5, 0)
    counts = [int(target[held_out].sum()) for _, held_out in parts]
    assert max(counts) - min(counts) <= 10
    assert [len(held_out) for _, held_out in parts] == [60] * 5


LABELS = np.array([0] * 40 + [1] * 3, np.int64)


@pytest.mark.parametrize(
    ("whole", "k", "words"),
    [
        (problem(LABELS), 5, "fewer rows than folds"),
        (problem(np.arange(8.0)), 5, "too few rows"),
        (problem(np.arange(80.0)), 1, "cannot be held out"),
        (problem(np.arange(80.0), cluster=np.arange(80) // 20), 5, "too few values for 5 folds"),
        (problem(np.tile([0, 1], 40), cluster=np.tile([0, 1], 40)), 2, "in one cluster only"),
        (problem(np.repeat([0, 1], 40), time=np.arange(80.0)), 5, None),
        (problem(np.arange(80.0), time=np.arange(80.0) // 40), 5, "cannot be cut"),
        (problem(np.repeat([0, 1], 40), site=np.repeat([0, 1], 40)), 2, "no row of the class"),
        (problem(np.arange(80.0), site=np.zeros(80, int)), 2, "too few sites"),
    ],
)
def test_folds_that_are_not_possible(whole: Problem, k: int, words: str | None) -> None:
    rows = np.arange(whole.rows)
    if words is None:  # the late class is only known from row 41 on: the first training part grows until then
        assert min(len(train) for train, _ in folds(whole, rows, k, 0)) >= 41
        return
    with pytest.raises(UserError, match=words):
        folds(whole, rows, k, 0)


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        (problem(np.array([0] * 40 + [1], np.int64)), "has one row only"),
        (problem(np.arange(40.0), cluster=np.arange(40) // 20), "test rows lack two values"),
        (problem(np.arange(40.0), site=np.arange(40) // 20), "too few sites"),
        (problem(np.arange(40.0), site=np.arange(40)), "can be the test set"),
        (problem(np.arange(40.0), time=(np.arange(40) > 5) * 1.0), "latest fifth"),
        (problem(np.repeat([0, 1], [70, 10]), time=np.arange(80.0)), "no row of the class"),
    ],
)
def test_test_sets_that_are_not_possible(whole: Problem, words: str) -> None:
    with pytest.raises(UserError, match=words):
        split_test(whole, 0)


def scored_by_auc(target: np.ndarray, **roles: Any) -> Problem:
    return replace(problem(target, **roles), score="auc")


FIVE = np.arange(240) // 48
SIDES = np.tile([0, 1], 120)


def rare(*rows: int) -> np.ndarray:
    """Return 100 rows of class 0 but for the given ones."""
    return np.isin(np.arange(100), rows).astype(np.int64)


@pytest.mark.parametrize(
    "whole",
    [
        problem(SIDES, cluster=FIVE),
        problem(SIDES, cluster=np.minimum(np.arange(240), 192), time=np.arange(240.0)),
        problem(SIDES, cluster=np.minimum(np.arange(240), 200), test_rows=np.arange(200, 240)),
        problem(SIDES, cluster=np.repeat([0, 1, 2], 80), site=np.repeat([0, 1, 2], 80)),
    ],
    ids=["cluster", "time", "own test set", "site"],
)
def test_the_test_rows_come_from_two_clusters_at_least(whole: Problem) -> None:
    with pytest.raises(UserError, match=r"two values of|can be the test set") as caught:
        split_test(whole, 0)
    assert 'two values of "cluster"' in caught.value.expected


def test_how_many_clusters_a_test_set_takes() -> None:
    with pytest.raises(UserError) as caught:
        split_test(problem(SIDES, cluster=FIVE), 0)
    assert caught.value.came == "48 rows, 1 cluster"
    assert "about 10 among all rows" in caught.value.expected
    _, test = split_test(problem(SIDES, cluster=np.arange(240) // 24), 0)
    assert len(test) == 48


def test_one_large_cluster_is_not_the_test_set_where_several_small_ones_can_be() -> None:
    cluster = np.concatenate([np.zeros(48, np.int64), np.arange(1, 193) // 6 + 1])
    for rng in range(20):
        _, test = split_test(problem(SIDES, cluster=cluster), rng)
        assert len(np.unique(cluster[test])) >= 2


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        (
            scored_by_auc(rare(*range(0, 60, 5), 90), time=np.arange(100.0)),
            'test rows lack two rows of the class "class 1"',
        ),
        (
            scored_by_auc(rare(*range(0, 60, 5)), time=np.arange(100.0)),
            'test rows lack two rows of the class "class 1"',
        ),
        (scored_by_auc(rare(0, 1, 2, 3)), 'test rows lack two rows of the class "class 1"'),
        (scored_by_auc(rare(0, 1, 2, 98), test_rows=np.arange(80, 100)), "test rows lack two rows"),
        (
            scored_by_auc(rare(*range(8), 88, 89), cluster=np.arange(100) // 4, time=np.arange(100.0)),
            "two clusters of",
        ),
        (scored_by_auc(1 - rare(*range(0, 60, 5), 90), time=np.arange(100.0)), 'lack two rows of the class "class 0"'),
    ],
)
def test_an_auc_takes_two_rows_of_each_class_in_the_test_set(whole: Problem, words: str) -> None:
    split_test(replace(whole, score="accuracy"), 0)
    with pytest.raises(UserError, match=words) as caught:
        split_test(whole, 0)
    assert "--score accuracy" in caught.value.attempt


def test_a_site_with_one_positive_is_not_chosen_for_an_auc() -> None:
    site = np.repeat([0, 1, 2, 3], 25)
    whole = scored_by_auc(rare(3, *range(25, 100, 5)), site=site)
    assert {int(site[split_test(whole, rng)[1][0]]) for rng in range(20)} == {1, 2, 3}
    with pytest.raises(UserError, match="can be the test set") as caught:
        split_test(scored_by_auc(rare(3, 30, 60, 90), site=site), 0)
    assert 'two rows of the class "class 1"' in caught.value.expected


def test_rows_held_out_in_turn_hold_both_classes_for_an_auc() -> None:
    """All positives but one are early, and with a time the early rows are never held out."""
    whole = scored_by_auc(rare(*range(10), 70), time=np.arange(100.0))
    assert len(folds(replace(whole, score="accuracy"), np.arange(100), 3, 0)) == 3
    with pytest.raises(UserError, match="held out in turn lack two rows of the class"):
        folds(whole, np.arange(100), 3, 0)


def test_a_constant_target_is_no_test_set_for_r2() -> None:
    site, y = np.repeat([0, 1, 2, 3], 25), np.arange(100.0)
    y[:25] = 0.1 + 0.2
    assert {int(site[split_test(problem(y, site=site), rng)[1][0]]) for rng in range(20)} == {1, 2, 3}
    with pytest.raises(UserError, match="can be the test set") as caught:
        split_test(problem(site * 1.0, site=site), 0)
    assert 'differ in "y"' in caught.value.expected
    late = np.minimum(np.arange(100.0), 80)
    with pytest.raises(UserError, match='test rows lack two rows that differ in "y"'):
        split_test(problem(late, time=np.arange(100.0)), 0)
    with pytest.raises(UserError, match="for development lack two rows that differ"):
        split_test(problem(np.maximum(np.arange(100.0), 80), test_rows=np.arange(80, 100)), 0)
    with pytest.raises(UserError, match="held out in turn lack two rows that differ"):
        folds(problem(np.minimum(np.arange(100.0), 10), time=np.arange(100.0)), np.arange(100), 3, 0)


def test_a_training_part_without_rows_is_refused() -> None:
    """Every cluster is at both sites, so that nothing is left to train on where one of them is held out."""
    whole = problem(np.arange(40.0), cluster=np.arange(40) % 10, site=np.arange(40) // 20)
    with pytest.raises(UserError, match="training part of fold 1 of 2 would have no rows"):
        folds(whole, np.arange(40), 2, 0)


@quick
@given(st.integers(0, 10**6), st.integers(2, 8), st.integers(0, 30), st.integers(1, 4))
def test_no_deal_leaves_a_fold_without_clusters(rng: int, k: int, more: int, classes: int) -> None:
    generator = np.random.default_rng(rng)
    table = np.floor(generator.pareto(0.5, (k + more, classes)))
    table[np.arange(len(table)), generator.integers(0, classes, len(table))] += 1
    assert set(_deal(table, k, generator)) == set(range(k))

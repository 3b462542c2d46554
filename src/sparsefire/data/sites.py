"""Leaving places out: one site is the test set, the others are held out in turn."""

from __future__ import annotations

import numpy as np

from sparsefire.data.enough import lacking
from sparsefire.data.problem import Problem
from sparsefire.data.words import listing, plural, quote
from sparsefire.errors import UserError

FEWEST_ROWS = 10
_CANDIDATES = 3


def choose_site(problem: Problem, generator: np.random.Generator, share: float) -> int:
    """Return the code of the site that becomes the test set.

    Args:
        problem: with a site.
        generator: draws among the candidates.
        share: of the rows that the site should hold, in (0, 1).

    Returns:
        One of the (at most three) sites nearest to ``share`` that have at least 10 rows and at most half of all, keep
        every class among the other sites, hold at least two classes themselves, and lack nothing that the score needs
        (:func:`~sparsefire.data.enough.lacking`).

    Raises:
        UserError: with fewer than 3 sites, or where no site qualifies.
    """
    assert problem.site is not None
    names = problem.site_names
    if len(names) < 3:
        raise UserError(
            f"{quote(problem.site_name)} has too few sites.",
            came=f"{plural(len(names), 'site')}: {listing(names)}",
            expected="at least 3: one for the test, and two that are held out in turn",
            attempt="leave --site out",
        )
    counts = np.bincount(problem.site, minlength=len(names))
    fit = (counts >= FEWEST_ROWS) & (counts <= 0.5 * problem.rows)
    if problem.task == "classification":
        table = np.zeros((len(names), len(problem.classes)), np.int64)
        np.add.at(table, (problem.site, problem.target), 1)
        fit &= (table < table.sum(axis=0)).all(axis=1) & ((table > 0).sum(axis=1) >= 2)
    lacks = {code: lacking(problem, np.flatnonzero(problem.site == code)) for code in np.flatnonzero(fit)}
    candidates = np.array([code for code, lack in lacks.items() if not lack], np.int64)
    if not len(candidates):
        raise UserError(
            f"no value of {quote(problem.site_name)} can be the test set.",
            came=listing(f"{name}: {count:,}" for name, count in zip(names, counts, strict=True)),
            expected=f"a site with at least {FEWEST_ROWS} rows and at most half of all"
            + (", with at least two classes, and no class at home there alone" if problem.classes else "")
            + (f", and with {next(iter(lacks.values()))}" if lacks else ""),
        )
    distance = np.abs(counts[candidates] / problem.rows - share)
    near = candidates[np.argsort(distance, kind="stable")[:_CANDIDATES]]
    near = near[np.abs(counts[near] / problem.rows - share) <= max(distance.min(), share / 2)]
    return int(generator.choice(np.sort(near)))


def site_folds(
    problem: Problem, rows: np.ndarray, k: int, generator: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs (training rows, held-out rows) that hold whole sites out.

    Args:
        problem: with a site.
        rows: sorted row numbers.
        k: the largest number of folds; each site is a fold where there are at most k of them.
        generator: deals sites to folds where there are more.

    Raises:
        UserError: with fewer than 2 sites among the rows.
    """
    assert problem.site is not None
    present, counts = np.unique(problem.site[rows], return_counts=True)
    if len(present) < 2:
        raise UserError(
            f"the rows for development come from too few sites of {quote(problem.site_name)}.",
            came=plural(len(present), "site"),
            expected="at least 2, to be held out in turn",
        )
    fold_of = np.arange(len(present))
    if len(present) > k:
        order = generator.permutation(len(present))
        order = order[np.argsort(-counts[order], kind="stable")]
        held = np.zeros(k)
        for site in order:  # the largest first, each to the emptiest fold
            fold_of[site] = int(np.argmin(held))
            held[fold_of[site]] += counts[site]
    of_row = fold_of[np.searchsorted(present, problem.site[rows])]
    return [(rows[of_row != fold], rows[of_row == fold]) for fold in range(min(k, len(present)))]

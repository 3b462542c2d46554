"""Small problems and requests that finish in about a second."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sparsefire.data import problem_from_arrays
from sparsefire.search.request import Request
from sparsefire.search.search import search


def blobs(rows=160, distance=3.0, features=3, rng=0):
    """Two Gaussian classes, ``distance`` standard deviations apart along every feature."""
    generator = np.random.default_rng(rng)
    y = np.arange(rows) % 2
    return generator.normal(size=(rows, features)) + distance * y[:, None], y


def request_of(**options):
    """Return a request that is small everywhere."""
    small = {
        "effort": "quick", "densities": [0.5], "folds": 2, "rounds": 2, "epochs": 12, "margin": 0.2, "hidden": [8],
        "rng": 0,
    }  # fmt: skip
    return Request(**(small | options))


def visits(rows=200, rng=0):
    """A table of visits: patients, days, hospitals, sex; ``relapse`` follows ``marker``."""
    generator = np.random.default_rng(rng)
    y = generator.permutation(np.arange(rows) % 2)
    return pd.DataFrame(
        {
            "marker": generator.normal(size=rows) + 3 * y,
            "age": generator.integers(20, 90, rows).astype(float),
            "patient": np.arange(rows) // 4,
            "day": generator.permutation(rows).astype(float),
            "hospital": np.array(["north", "south", "east", "west"])[generator.integers(0, 4, rows)],
            "sex": generator.choice(["f", "m"], rows),
            "relapse": np.array(["no", "yes"])[y],
        }
    )


@pytest.fixture(scope="session")
def small():
    """What the tests of the search build their cases from."""
    return SimpleNamespace(blobs=blobs, request=request_of, visits=visits)


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    """One finished search on easy blobs: problem, request, folder, verdict and the events it told."""
    problem = problem_from_arrays(*blobs())
    request = request_of(densities=[0.5, 0.25])
    folder = tmp_path_factory.mktemp("done") / "run"
    events = []
    verdict = search(problem, request, folder, workers=1, listen=lambda event, details: events.append((event, details)))
    return SimpleNamespace(problem=problem, request=request, folder=folder, verdict=verdict, events=events)

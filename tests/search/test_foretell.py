from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris

import sparsefire as sf
from sparsefire.data import problem_from_arrays
from sparsefire.errors import UserError
from sparsefire.search.foretell import doomed
from sparsefire.search.request import Request
from sparsefire.search.setup import set_up

X, y = load_iris(return_X_y=True)


def foretold(**asked: object) -> dict[str, float]:
    request = Request("quick", folds=2, rounds=2, epochs=1, **asked)  # type: ignore[arg-type]
    found = set_up(problem_from_arrays(X, y), request).foretold
    return {one["candidate"]: one["chance"] for one in found}


def test_dense_and_what_starts_sparse() -> None:
    found = foretold(methods=["gmp", "static", "rigl"], densities=[0.5, 0.1])
    assert list(found) == ["dense", "static@0.5", "static@0.1", "rigl@0.5", "rigl@0.1"]
    assert found["dense"] > 0.9


def test_a_starved_network_is_doomed() -> None:
    found = foretold(methods=["static"], densities=[0.5, 0.01], hidden=[64] * 12)
    assert found["static@0.5"] > 0.5
    assert found["static@0.01"] <= 0.2
    listed = [{"candidate": name, "chance": value, "text": ""} for name, value in found.items()]
    assert [one["candidate"] for one in doomed(listed)] == ["static@0.01"]


def test_layout_and_initialiser_reach_every_network(tmp_path: object) -> None:
    seen: list[dict[str, object]] = []

    def listen(event: str, details: dict[str, object]) -> None:
        if event == "plan":
            seen.append(details)

    result = sf.fit(
        X, y, effort="quick", methods=["static"], densities=[0.6, 0.01], layout="critical", init="typical",
        folds=2, rounds=2, epochs=1, hidden=[48, 48], margin=0.3, workers=1, listen=listen,
    )  # fmt: skip
    methods = {row["method"] for row in result.verdict["candidates"]}
    assert "static/critical" in methods
    assert all(c["density"] != 0.01 for c in result.verdict["candidates"] if c["method"] == "static/critical")
    assert result.verdict["plan"]["init"] == "typical"
    assert [one["candidate"] for one in result.verdict["foretold"]] == ["dense", "static/critical@0.6"]
    assert seen[0]["doomed"] == []


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"layout": "circular"}, "layout"),
        ({"init": "zeros"}, "initialiser"),
        ({"layout": "critical", "densities": [0.001]}, "feasible"),
    ],
)
def test_wrong_use(asked: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=named):
        set_up(problem_from_arrays(X, y), Request("quick", folds=2, rounds=2, **asked))  # type: ignore[arg-type]


def test_other_initialisers_are_other_runs() -> None:
    from sparsefire.search.candidates import DENSE
    from sparsefire.search.runs import Job, settings_of

    studies = [set_up(problem_from_arrays(X, y), Request("quick", init=name)).study for name in ("own", "signs")]
    first, second = (settings_of(study, Job(DENSE, 0, 0)) for study in studies)
    assert first != second
    assert np.array_equal(sorted(first), sorted(set(second) - {"init"}))


def test_python_is_warned_too() -> None:
    asked = {"methods": ["static"], "densities": [0.01], "hidden": [64] * 12, "folds": 2, "rounds": 2, "epochs": 1}
    with pytest.warns(UserWarning, match=r"static@0.01: Unlikely to learn"):
        sf.fit(X, y, effort="quick", margin=0.3, workers=1, **asked)

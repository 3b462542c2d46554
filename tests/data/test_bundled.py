"""Oracle: scikit-learn's own loaders, and a stand-in for its OpenML client (no network in tests)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pandas as pd
import pytest
import sklearn.datasets

from sparsefire.data import open_problem
from sparsefire.data.bundled import BUNDLED, bundled
from sparsefire.errors import UserError


def answer(monkeypatch: pytest.MonkeyPatch, reply: Any) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def fetch(**options: Any) -> Any:
        calls.append(options)
        if isinstance(reply, Exception):
            raise reply
        return reply

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    return calls


@pytest.mark.parametrize("name", BUNDLED)
def test_same_numbers_as_scikit_learn(name: str) -> None:
    ours = bundled(name)
    theirs = getattr(sklearn.datasets, BUNDLED[name][0])()
    assert ours.frame.to_numpy().tolist() == theirs.data.tolist()
    assert ours.target.tolist() == theirs.target.tolist()


def test_openml_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"age": [20.0, 30.0] * 10, "job": pd.Categorical(["a", "b"] * 10)})
    target = pd.Series(pd.Categorical(["good", "bad"] * 10), name="class")
    calls = answer(monkeypatch, SimpleNamespace(data=frame, target=target, details={"name": "credit-g"}))
    problem = open_problem("openml:31")
    assert calls[0]["data_id"] == 31
    assert calls[0]["target_column"] == "default-target"
    assert (problem.name, problem.target_name, problem.classes) == ("credit-g", "class", ("bad", "good"))
    open_problem("openml:31", target="class")
    assert calls[1]["target_column"] == "class"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (URLError("no route to host"), "could not be fetched"),
        (KeyError("Could not find target_column='x'"), "has no column"),
        (SimpleNamespace(data=pd.DataFrame({"a": [1]}), target=None), "names no target"),
        (SimpleNamespace(data=pd.DataFrame({"a": [1]}), target=pd.DataFrame({"u": [1], "v": [2]})), "several targets"),
    ],
)
def test_openml_out_of_reach(monkeypatch: pytest.MonkeyPatch, reply: Any, words: str) -> None:
    answer(monkeypatch, reply)
    with pytest.raises(UserError, match=words):
        open_problem("openml:31", target="x" if isinstance(reply, KeyError) else None)


def test_openml_takes_numbers_only() -> None:
    with pytest.raises(UserError, match="known by number"):
        open_problem("openml:credit-g")

"""Oracle: real public data whose sizes and meaning are known, and wrong input whose mistake is known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import sklearn.datasets

from sparsefire.data import (
    Problem,
    describe,
    fit_preparation,
    folds,
    headline,
    open_problem,
    problem_from_arrays,
    split_test,
)
from sparsefire.errors import UserError

CLASSES, NUMBER = "classification", "regression"


@pytest.mark.parametrize(
    ("name", "options", "rows", "width", "task", "classes", "score"),
    [
        ("adult/adult_train.csv.gz", {"target": "income"}, 32561, 14, CLASSES, ("0", "1"), "accuracy"),
        ("heart_disease/heart_disease.csv.gz", {"target": "num"}, 920, 14, CLASSES, tuple("01234"), "accuracy"),
        ("golub/golub.npz", {}, 72, 7129, CLASSES, ("ALL", "AML"), "accuracy"),
        ("california_housing/california_housing.csv.gz", {"target": "median_house_value"}, 20640, 9, NUMBER, (), "r2"),
        ("wine_quality/wine_quality.csv.gz", {"target": "quality"}, 6497, 12, NUMBER, (), "r2"),
        ("german_credit/german_credit.csv.gz", {"target": "credit_risk"}, 1000, 21, CLASSES, ("0", "1"), "accuracy"),
        ("bank_marketing/bank_marketing.csv.gz", {}, 40004, 16, CLASSES, ("0", "1"), "accuracy"),
        ("breastmnist/breastmnist.npz", {}, 702, 784, CLASSES, ("0", "1"), "accuracy"),
        ("mnist/mnist.npz", {}, 70000, 784, CLASSES, tuple("0123456789"), "accuracy"),
        ("uci_regression/airfoil.npz", {}, 1503, 5, NUMBER, (), "r2"),
        ("uci_regression/concrete.npz", {}, 1030, 8, NUMBER, (), "r2"),
        ("uci_regression/energy.npz", {}, 768, 8, NUMBER, (), "r2"),
        ("uci_regression/protein.npz", {}, 45730, 9, NUMBER, (), "r2"),
        ("uci_regression/yacht.npz", {}, 308, 6, NUMBER, (), "r2"),
        ("support/support.npz", {"target": "e"}, 8873, 14, CLASSES, ("0", "1"), "accuracy"),
        ("credit_default/credit_default.csv.gz", {"target": "default"}, 30000, 23, CLASSES, ("0", "1"), "accuracy"),
    ],
)
def test_real_files_end_to_end(
    shared_data: Callable[[str], Path],
    name: str,
    options: dict[str, str],
    rows: int,
    width: int,
    task: str,
    classes: tuple[str, ...],
    score: str,
) -> None:
    path = shared_data(name)
    problem = open_problem(path, **options)
    assert (problem.rows, problem.width, problem.task, problem.score) == (rows, width, task, score)
    assert problem.classes == classes
    assert problem.identifiers == ()
    assert problem.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    development, test = split_test(problem, 0)
    assert len(development) + len(test) == rows
    if problem.test_rows is not None:
        np.testing.assert_array_equal(test, problem.test_rows)
    parts = folds(problem, development, 5, 0)
    train, held_out = (part[:2000] for part in parts[0])
    prepared = fit_preparation(problem.select(train), problem.columns, feature_names=problem.feature_names)
    values = prepared.transform(problem.select(held_out), warn=False)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert np.prod(values.shape[1:]) == prepared.features
    table = describe(problem, development, test)
    assert [label for label, _ in table[:5]] == ["inputs", "target", "task", "test set", "groups"]
    assert f"{rows:,} rows" in headline(problem)


def test_heart_disease_by_site(shared_data: Callable[[str], Path]) -> None:
    problem = open_problem(shared_data("heart_disease/heart_disease.csv.gz"), target="num", site="site", group="sex")
    assert problem.site_names == ("cleveland", "hungarian", "switzerland", "va")
    assert "site" not in [column.name for column in problem.columns]
    assert isinstance(problem.inputs, pd.DataFrame)
    assert problem.inputs["thal"].isna().sum() == 486
    assert set(problem.groups["sex"]) == {"0", "1"}
    _, test = split_test(problem, 0)
    assert len(test) in (123, 200)


def test_adult_becomes_108_features_with_missing_as_a_level(shared_data: Callable[[str], Path]) -> None:
    problem = open_problem(shared_data("adult/adult_train.csv.gz"), target="income")
    prepared = fit_preparation(problem.inputs, problem.columns)
    assert prepared.features == 108
    assert prepared.logged == ("capital_gain",)
    assert {"workclass=(missing)", "occupation=(missing)", "native_country=(missing)"} <= set(prepared.feature_names)


@pytest.mark.parametrize(
    ("name", "rows", "width", "classes", "target"),
    [
        (None, 1797, 64, 10, "digit"),
        ("breast_cancer", 569, 30, 2, "diagnosis"),
        ("iris", 150, 4, 3, "species"),
        ("wine", 178, 13, 3, "cultivar"),
        ("diabetes", 442, 10, 0, "progression"),
    ],
)
def test_bundled_sets(name: str | None, rows: int, width: int, classes: int, target: str) -> None:
    problem = open_problem(name)
    assert (problem.rows, problem.width, len(problem.classes), problem.target_name) == (rows, width, classes, target)
    assert problem.sha256 == open_problem(name).sha256
    raw = sklearn.datasets.load_breast_cancer()
    if name == "breast_cancer":
        assert problem.classes == ("malignant", "benign")
        np.testing.assert_array_equal(problem.target, raw.target)
        np.testing.assert_array_equal(problem.inputs, raw.data)


def csv(folder: Path, text: str, name: str = "patients.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


TEN = "\n".join(f"{i},{i % 3},{i * 1.5},{'no' if i % 2 else 'yes'}" for i in range(20))
PATIENTS = f"age,stage,marker,relapse\n{TEN}\n"


@pytest.mark.parametrize("role", ["target", "cluster", "time", "site", "group"])
def test_a_column_that_is_not_there(tmp_path: Path, role: str) -> None:
    path = csv(tmp_path, PATIENTS)
    options: dict[str, Any] = {"target": "relapse"} | {role: "stagge"}
    with pytest.raises(UserError) as caught:
        open_problem(path, **options)
    assert caught.value.message == 'patients.csv has no column "stagge".'
    assert caught.value.came == "4 columns: age, stage, marker, relapse"
    assert caught.value.attempt.startswith(f"sparsefire fit {path} --target ")
    assert f"--{role} stage" in caught.value.attempt


def test_no_target_lists_the_columns(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not say which column") as caught:
        open_problem(csv(tmp_path, PATIENTS))
    assert "relapse" in caught.value.came
    assert "--target COLUMN" in caught.value.attempt
    problem = open_problem(csv(tmp_path, PATIENTS.replace("relapse", "Label")))
    assert problem.target_name == "Label"
    assert "found by its name" in problem.notes[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "relapse", "cluster": "relapse"}, "cannot be both"),
        ({"target": "relapse", "group": "relapse"}, "cannot also be a group"),
        ({"target": "relapse", "time": "age", "site": "stage"}, "cannot be used together"),
        ({"target": "relapse", "task": "regression"}, "regression is not possible"),
        ({"target": "relapse", "score": "r2"}, "does not fit"),
    ],
)
def test_options_that_exclude_each_other(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_problem(csv(tmp_path, PATIENTS), **options)


def test_empty_columns_and_tables_without_inputs(tmp_path: Path) -> None:
    empty = PATIENTS.replace("age,stage", "hole,age,stage").replace("\n", "\n,").rstrip(",")
    with pytest.raises(UserError, match="no value in any row: hole"):
        open_problem(csv(tmp_path, empty), target="relapse")
    with pytest.raises(UserError, match="no inputs left"):
        open_problem(csv(tmp_path, "a,b\n" + "\n".join(f"{i % 2},{i}" for i in range(20))), target="a", cluster="b")


def test_sources_that_are_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a file nor a known") as caught:
        open_problem("digit")
    assert caught.value.attempt == "sparsefire fit digits"
    with pytest.raises(UserError, match="not fetched from an address"):
        open_problem("https://example.org/data.csv")
    with pytest.raises(UserError, match="is a folder"):
        open_problem(tmp_path)
    with pytest.raises(UserError, match="there is no file"):
        open_problem(tmp_path / "nothing.csv")


def test_identifiers_are_left_out_and_a_cluster_is_asked_for(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},P{i % 40:03d},{i * 7 % 13},{i % 2}" for i in range(200))
    path = csv(tmp_path, f"visit_no,patient_id,marker,y\n{rows}\n")
    problem = open_problem(path)
    assert problem.identifiers == ("patient_id",)
    assert [column.name for column in problem.columns] == ["marker"]
    groups = dict(describe(problem, *split_test(problem, 0)))["groups"]
    assert groups == "patient_id repeats like an identifier: give --cluster patient_id"
    clustered = open_problem(path, cluster="patient_id")
    assert clustered.identifiers == ()
    assert "40 clusters by patient_id" in dict(describe(clustered, *split_test(clustered, 0)))["groups"]


def test_a_group_stays_an_input_and_says_so(tmp_path: Path) -> None:
    problem = open_problem(csv(tmp_path, PATIENTS), target="relapse", group="stage")
    assert "stage" in [column.name for column in problem.columns]
    assert any("compared by group and is an input too" in note for note in problem.notes)
    hidden = open_problem(csv(tmp_path, PATIENTS), target="relapse", group="stage", cluster="stage")
    assert "stage" not in [column.name for column in hidden.columns]


def test_hostile_names_survive_the_whole_way(tmp_path: Path) -> None:
    names = ["<img src=x onerror=alert(1)>", 'a"b', "line\nbreak", "--target"]
    frame = pd.DataFrame(np.random.default_rng(0).random((40, 4)), columns=names)
    frame["'; DROP TABLE"] = ["<b>", "</td>"] * 20
    frame.to_csv(tmp_path / "h.csv", index=False)
    problem = open_problem(tmp_path / "h.csv", target="'; DROP TABLE", group=None)
    assert [column.name for column in problem.columns] == names
    assert problem.classes == ("</td>", "<b>")
    assert all("\n" not in text for _, text in describe(problem, *split_test(problem, 0)))


def test_npz_roles_and_their_absence(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "d.npz", x=np.random.default_rng(0).random((40, 3)), y=np.arange(40) % 2, who=np.arange(40) // 4
    )
    problem = open_problem(tmp_path / "d.npz", cluster="who")
    assert problem.cluster_name == "who"
    assert problem.cluster is not None
    np.testing.assert_array_equal(problem.cluster, np.arange(40) // 4)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_tables_in_python(kind: str) -> None:
    data = {"a": [1.0, 2.0, None, 4.0] * 10, "b": ["x", "y", "x", None] * 10, "c": list(range(0, 80, 2))}
    frame: Any = pd.DataFrame(data) if kind == "pandas" else pl.DataFrame(data)
    y: Any = (
        pd.Series(["no", "yes"] * 20, name="relapse") if kind == "pandas" else pl.Series("relapse", ["no", "yes"] * 20)
    )
    problem = problem_from_arrays(frame, y, cluster=np.arange(40) // 2, group="b")
    assert problem.target_name == "relapse"
    assert problem.classes == ("no", "yes")
    assert problem.cluster_name == "cluster"
    assert set(problem.groups["b"]) == {"x", "y", "(missing)"}
    named = open_problem(frame, target="c", group="b")
    assert (named.task, named.target_name, list(named.groups)) == ("regression", "c", ["b"])


def test_columns_of_a_table_by_name() -> None:
    frame = pd.DataFrame({"a": np.arange(40.0) * 1.5, "y": [0, 1] * 20, "when": np.arange(40.0), "g": ["u", "v"] * 20})
    problem = problem_from_arrays(frame, "y", time="when", group=["g"])
    assert [column.name for column in problem.columns] == ["a", "g"]
    assert problem.time_name == "when"
    assert open_problem(frame, time="when").columns == problem.columns
    with pytest.raises(UserError, match='no column "whenn"') as caught:
        problem_from_arrays(frame, "y", time="whenn")
    assert caught.value.attempt == "time='when'"


def test_arrays_in_python() -> None:
    x = np.random.default_rng(0).random((20, 3))
    y = np.arange(20) % 2
    plain = problem_from_arrays(x, y)
    assert plain.kind == "array"
    assert plain.sha256 == problem_from_arrays(x.copy(), y).sha256 != problem_from_arrays(x + 1, y).sha256
    np.testing.assert_array_equal(problem_from_arrays(x.tolist(), y.tolist()).inputs, plain.inputs)
    np.testing.assert_array_equal(problem_from_arrays(scipy.sparse.csr_matrix(x), y).inputs, plain.inputs)
    assert problem_from_arrays(x, y[:, None]).target.tolist() == y.tolist()
    images = problem_from_arrays(np.zeros((20, 4, 4), np.uint8), y, group={"sex": ["f", "m"] * 10})
    assert images.inputs.shape == (20, 1, 4, 4)
    assert images.groups["sex"].tolist() == ["f", "m"] * 10


@pytest.mark.parametrize(
    ("X", "y", "options", "words"),
    [
        (np.zeros((5, 2)), [0, 1], {}, "differ in length"),
        (pd.DataFrame({"a": [1, 2]}), [0, 1, 1], {}, "differ in length"),
        (np.zeros((4, 2)), np.eye(4), {}, "not one value per row"),
        (np.zeros((4, 2)), [0, 1] * 2, {"cluster": [1, 2]}, "not one value per row"),
        (np.zeros((4, 2)), [0, 1] * 2, {"feature_names": ["a"]}, "feature_names"),
        ([[1, 2], [3]], [0, 1], {}, "no rectangular array"),
        (np.array([[1, "a"]] * 4, dtype=object), [0, 1] * 2, {}, "no real numbers"),
        (scipy.sparse.csr_matrix((10**6, 10**6)), [0, 1], {}, "too large"),
    ],
)
def test_arrays_that_do_not_fit(X: Any, y: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        problem_from_arrays(X, y, **options)


def test_repeated_names_in_python() -> None:
    with pytest.raises(UserError, match="more than once"):
        problem_from_arrays(pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), [0, 1])


WHO = [f"p{i // 4}" for i in range(40)]
SEX = ["f", "m"] * 20


def table_of_visits() -> pd.DataFrame:
    return pd.DataFrame(
        {"a": np.arange(40.0) * 1.5, "who": WHO, "sex": SEX, "ward": ["u", "v", "v", "u"] * 10, "y": [0, 1] * 20}
    )


def opened(door: str, **options: Any) -> Problem:
    frame = table_of_visits()
    if door == "name":
        return open_problem(frame, target="y", **options)
    if door == "arrays":
        return problem_from_arrays(frame, "y", **options)
    return problem_from_arrays(np.arange(80.0).reshape(40, 2), [0, 1] * 20, **options)


VALUES = [SEX, np.array(SEX), np.array(SEX)[:, None], pd.Series(SEX), pl.Series(SEX), pd.Categorical(SEX), tuple(SEX)]


@pytest.mark.parametrize("door", ["name", "arrays", "array"])
@pytest.mark.parametrize("given", VALUES, ids=lambda given: type(given).__name__)
def test_roles_as_one_value_per_row(door: str, given: Any) -> None:
    problem = opened(door, group=given, cluster=given, site=given)
    assert {name: levels.tolist() for name, levels in problem.groups.items()} == {"group": SEX}
    assert (problem.cluster_name, problem.site_name, problem.site_names) == ("cluster", "site", ("f", "m"))
    assert problem.cluster is not None
    assert problem.cluster.tolist() == [0, 1] * 20
    timed = opened(door, time=np.arange(40))
    assert timed.time is not None
    assert timed.time.tolist() == list(range(40))


@pytest.mark.parametrize("door", ["name", "arrays", "array"])
def test_roles_that_bring_their_names(door: str) -> None:
    problem = opened(door, cluster=pl.Series("patient", WHO), time={"day": np.arange(40)}, group={"g": SEX, "h": WHO})
    assert (problem.cluster_name, problem.time_name, list(problem.groups)) == ("patient", "day", ["g", "h"])
    assert list(opened(door, group=pd.Series(SEX, name="gender")).groups) == ["gender"]


@pytest.mark.parametrize("door", ["name", "arrays"])
def test_a_series_out_of_the_table_is_the_column_of_its_name(door: str) -> None:
    frame = table_of_visits()
    by_name, by_series = opened(door, cluster="who", group=["sex", "ward"]), opened(door, cluster=frame["who"])
    assert [column.name for column in by_series.columns] == [column.name for column in by_name.columns]
    assert "who" not in by_series.inputs
    assert by_name.identity() == by_series.identity()
    assert list(by_name.groups) == ["sex", "ward"]
    assert "y" not in problem_from_arrays(frame, frame["y"]).inputs


@pytest.mark.parametrize("door", ["name", "arrays", "array"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cluster": 3}, "not understood"),
        ({"group": {"f", "m"}}, "not understood"),
        ({"cluster": [[1], [2]] * 20}, "cannot be told apart"),
        ({"site": np.zeros((40, 2))}, "not one value per row"),
        ({"cluster": [1, 2]}, "not one value per row"),
        ({"group": ["sex", "sexx"]}, 'no column "sexx"'),
        ({"cluster": "whoo"}, 'no column "whoo"'),
        ({"cluster": {"a": WHO, "b": WHO}}, "cluster is one column"),
    ],
)
def test_roles_that_are_none(door: str, options: dict[str, Any], words: str) -> None:
    if door == "array":
        words = words.replace("sexx", "sex")
    with pytest.raises(UserError, match=words):
        opened(door, **options)


def test_columns_of_an_array_have_no_names() -> None:
    with pytest.raises(UserError, match='the array has no column "who"') as caught:
        opened("array", cluster="who")
    assert (caught.value.expected, caught.value.attempt) == ("one value per row, or a table with names", "")
    with pytest.raises(UserError, match="target is no name"):
        open_problem(table_of_visits(), target=np.arange(40))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_values_beside_a_file(tmp_path: Path, kind: str) -> None:
    if kind == "csv":
        table_of_visits().to_csv(tmp_path / "d.csv", index=False)
    else:
        np.savez(tmp_path / "d.npz", x=np.arange(80.0).reshape(40, 2), y=np.arange(40) % 2, sex=SEX, ward=SEX)
    problem = open_problem(tmp_path / f"d.{kind}", target="y", cluster=np.array(WHO), group=["sex", "ward"])
    assert problem.cluster is not None
    assert problem.cluster.tolist() == [i // 4 for i in range(40)]
    assert list(problem.groups) == ["sex", "ward"]
    with pytest.raises(UserError, match='no column "wardd"' if kind == "csv" else "no array wardd") as caught:
        open_problem(tmp_path / f"d.{kind}", target="y", cluster=np.array(WHO), group=["sex", "wardd"])
    assert "ward" in caught.value.attempt

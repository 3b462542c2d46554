# Oracle: preparation and torch network called by hand on the rows of the same file.
from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from sparsefire.data import fit_preparation, open_problem, problem_from_arrays
from sparsefire.deploy import load_model, save_model
from sparsefire.errors import UserError
from sparsefire.randomness import stream


def fitted(folder, problem, thin, *, density=0.2, outputs=None, scale=None):
    inputs = problem.select(np.arange(problem.rows))
    preparation = fit_preparation(inputs, problem.columns, feature_names=problem.feature_names)
    description = {"kind": "mlp", "widths": [preparation.features, 30, outputs or len(problem.classes)]}
    network = thin(description, density)
    save_model(folder, description=description, network=network, preparation=preparation, schema=problem.schema(),
               target_scale=scale)  # fmt: skip
    with torch.no_grad():
        expected = network(torch.from_numpy(preparation.transform(inputs))).numpy()
    return inputs, expected


@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_bundled_data(tmp_path, thin, name):
    problem = open_problem(name)
    inputs, expected = fitted(tmp_path, problem, thin)
    model = load_model(tmp_path)
    np.testing.assert_array_equal(model.predict_scores(inputs), expected)
    assert list(model.predict(inputs)) == [problem.classes[code] for code in expected.argmax(1)]
    np.testing.assert_allclose(model.runner(0.001)(model.features(inputs)), expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def table():
    rng = stream(0, "table")
    frame = pd.DataFrame({
        "age, years": rng.normal(50, 10, 200),
        'the "site"': rng.choice(["Genève", "a,b", "<script>"], 200),
        "flag": rng.choice(["yes", "no"], 200),
    })  # fmt: skip
    frame.loc[5:30, "age, years"] = np.nan
    return frame


def test_a_table_with_gaps_and_categories_from_a_file(tmp_path, thin, table):
    problem = problem_from_arrays(table, stream(1, "y").choice(["sick", "well"], 200))
    _inputs, expected = fitted(tmp_path / "m", problem, thin)
    model = load_model(tmp_path / "m")
    table[list(reversed(table.columns))].to_csv(tmp_path / "new.csv", index=False)
    np.testing.assert_array_equal(model.predict_scores(tmp_path / "new.csv"), expected)
    np.testing.assert_array_equal(model.predict_scores(table), expected)
    assert set(model.predict(table)) <= {"sick", "well"}
    assert len(model.feature_names) == model.description["widths"][0]


def test_missing_columns_are_told(tmp_path, thin, table):
    fitted(tmp_path, problem_from_arrays(table, stream(1, "y").choice(["sick", "well"], 200)), thin)
    with pytest.raises(UserError, match="flag"):
        load_model(tmp_path).predict(table.drop(columns="flag"))


def test_unknown_levels_warn_and_still_answer(tmp_path, thin, table):
    fitted(tmp_path, problem_from_arrays(table, stream(1, "y").choice(["sick", "well"], 200)), thin)
    model = load_model(tmp_path)
    new = table.head(3).assign(flag="perhaps")
    with pytest.warns(UserWarning, match="perhaps"):
        assert len(model.predict(new)) == 3


def test_regression(tmp_path, thin, table):
    problem = problem_from_arrays(table, stream(2, "y").normal(100.0, 20.0, 200))
    _inputs, expected = fitted(tmp_path, problem, thin, outputs=1, scale=(100.0, 20.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(load_model(tmp_path).predict(table), expected[:, 0] * 20.0 + 100.0, rtol=1e-5)

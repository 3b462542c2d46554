"""Oracles: scikit-learn's own estimator checks, the stored network of the search, populations with a known answer."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import sparsefire as sf
from sparsefire import SparseClassifier, SparseRegressor, UserError
from sparsefire.data import problem_from_arrays
from sparsefire.spiking import SpikingPerceptron

# No check is expected to fail: an empty table, so that a new failure is a failure of the suite.
EXPECTED_FAILURES: dict[str, str] = {}


def blobs(rows=160, features=4, distance=3.0, rng=0):
    """Two Gaussian classes, ``distance`` standard deviations apart along every feature."""
    generator = np.random.default_rng(rng)
    y = np.arange(rows) % 2
    return generator.normal(size=(rows, features)) + distance * y[:, None], y


@pytest.fixture
def found(monkeypatch):
    """Make the searches of ``density="auto"`` small, and return what each of them found."""
    results = []
    real = sf.estimators.fit

    def small(*args, **options):
        results.append(real(*args, densities=[0.5], folds=2, rounds=2, margin=0.1, **options))
        return results[-1]

    monkeypatch.setattr(sf.estimators, "fit", small)
    return results


@parametrize_with_checks(
    [
        SparseClassifier(density=0.5, hidden=[16], epochs=20, random_state=0),
        SparseRegressor(density=0.5, hidden=[16], epochs=20, random_state=0),
    ],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_defaults_keep_a_tenth_of_the_weights():
    X, y = blobs()
    assert SparseClassifier().density == SparseRegressor().density == 0.1
    model = SparseClassifier(hidden=[32], epochs=5, random_state=0).fit(X, y)
    dense = 4 * 32 + 32 * 2
    assert model.n_weights_ <= round(0.1 * dense) + 1
    assert model.n_weights_ > 0


def test_masked_weights_are_exactly_zero_and_counted():
    X, y = blobs()
    model = SparseClassifier(density=0.5, hidden=[16], epochs=3, random_state=0).fit(X, y)
    weights = [layer.weight for layer in model.network_.modules() if isinstance(layer, torch.nn.Linear)]
    assert model.n_weights_ == sum(int((w != 0).sum()) for w in weights) == round(0.5 * (4 * 16 + 16 * 2))


@pytest.mark.parametrize("method", ["static", "sign-in", "gmp", "rigl", "lrr", "static/balanced"])
def test_every_method_learns_what_is_easy(method):
    X, y = blobs()
    model = SparseClassifier(density=0.3, method=method, hidden=[32], epochs=10, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.95


@pytest.mark.parametrize("rule", ["unit-differences", "direct-feedback-alignment", "two-query"])
def test_rules_without_derivatives_learn_what_is_easy(rule):
    X, y = blobs()
    how = {"density": 0.5, "method": "static", "hidden": [16], "epochs": 20, "random_state": 0}
    model = SparseClassifier(**how, rule=rule).fit(X, y)
    assert model.score(X, y) > 0.95
    other = SparseClassifier(**how).fit(X, y)
    assert not np.array_equal(model.predict_proba(X), other.predict_proba(X))
    assert SparseRegressor(**how, rule=rule).fit(X, y).score(X, y) > 0.5


@pytest.mark.parametrize(
    "options", [{"rule": "forward-forward"}, {"rule": "none"}, {"rule": "two-query", "method": "rigl"}], ids=str
)
def test_a_rule_that_cannot_is_refused(options):
    with pytest.raises(UserError, match="rule"):
        SparseClassifier(**options).fit(*blobs())


def test_a_spiking_network_learns_what_is_easy():
    X, y = blobs()
    how = {"density": 0.5, "hidden": [32], "epochs": 20, "random_state": 0, "model": "spiking"}
    model = SparseClassifier(**how).fit(X, y)
    assert isinstance(model.network_, SpikingPerceptron)
    assert model.score(X, y) > 0.95
    assert SparseRegressor(**how).fit(X, y).score(X, y) > 0.5


def test_the_search_is_told_which_network(monkeypatch):
    class Told(Exception):
        pass

    def told(*_, model, **__):
        raise Told(model)

    monkeypatch.setattr("sparsefire.estimators.fit", told)
    with pytest.raises(Told, match="spiking"):
        SparseClassifier(density="auto", model="spiking").fit(*blobs())


@pytest.mark.parametrize("model", ["cnn", None, 3, "x"])
def test_another_network_is_refused(model):
    with pytest.raises(UserError, match="model"):
        SparseClassifier(model=model).fit(*blobs())


def test_dense_is_density_one():
    X, y = blobs()
    model = SparseClassifier(density=1, hidden=[8], epochs=3, random_state=0).fit(X, y)
    assert model.n_weights_ == 4 * 8 + 8 * 2


def test_labels_come_back_as_they_were_given():
    X, y = blobs()
    words = np.array(["no", "yes"])[y]
    model = SparseClassifier(density=0.5, hidden=[8], epochs=10, random_state=0).fit(X, words)
    assert set(model.predict(X)) == {"no", "yes"}
    assert model.classes_.tolist() == ["no", "yes"]
    chances = model.predict_proba(X)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert (model.classes_[chances.argmax(axis=1)] == model.predict(X)).all()


def test_same_random_state_same_model_another_another():
    X, y = blobs(distance=0.5)
    first, again, other = (
        SparseClassifier(density=0.5, hidden=[8], epochs=2, random_state=r).fit(X, y).predict_proba(X)
        for r in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_global_random_state_is_left_alone():
    X, y = blobs()
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - it is what is looked at
    SparseClassifier(density=0.5, hidden=[8], epochs=2, random_state=1).fit(X, y)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def test_regression_is_in_the_units_of_the_target():
    x = np.linspace(-1, 1, 200)[:, None]
    y = 1e4 + 500 * x[:, 0] ** 2
    model = SparseRegressor(density=0.5, hidden=[32], random_state=0).fit(x, y)
    assert model.score(x, y) > 0.9
    assert np.abs(model.predict(x) - y).max() < 250


def test_a_constant_target_is_predicted():
    X, _ = blobs()
    model = SparseRegressor(density=0.5, hidden=[8], epochs=60, random_state=0).fit(X, np.full(160, 7.0))
    assert model.predict(X) == pytest.approx(7.0, abs=0.2)


@pytest.mark.parametrize("density", [0, -0.1, 1.5, float("nan"), "some", "0.1", None, True, [0.1]])
def test_a_density_that_is_none_is_refused(density):
    X, y = blobs()
    with pytest.raises(UserError, match="density"):
        SparseClassifier(density=density, hidden=[8], epochs=1).fit(X, y)


@pytest.mark.parametrize("method", ["magic", None])
def test_a_method_that_is_none_is_refused(method):
    X, y = blobs()
    with pytest.raises(UserError, match="no method"):
        SparseClassifier(method=method, hidden=[8], epochs=1).fit(X, y)


@pytest.mark.parametrize("density", [0.5, "auto"])
@pytest.mark.parametrize("options", [{"hidden": [8.5]}, {"hidden": "wide"}, {"hidden": [0]}, {"epochs": 0}])
def test_settings_that_are_none_are_refused(options, density):
    X, y = blobs()
    with pytest.raises(UserError):
        SparseClassifier(density=density, **options).fit(X, y)


def test_one_hidden_layer_may_be_a_number_as_in_fit():
    X, y = blobs()
    both = [SparseClassifier(0.5, hidden=hidden, epochs=2, random_state=0).fit(X, y) for hidden in (8, [8])]
    np.testing.assert_array_equal(both[0].predict_proba(X), both[1].predict_proba(X))


def test_fitted_models_are_pickled_whole():
    X, y = blobs()
    model = SparseClassifier(density=0.5, hidden=[8], epochs=2, random_state=0).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))


def test_auto_searches_and_keeps_the_evidence(found):
    X, y = blobs(distance=3)
    labels = np.array(["b", "a"])[y]
    model = SparseClassifier(density="auto", hidden=[8], epochs=10, random_state=0).fit(X, labels)
    assert model.verdict_ is found[0].verdict
    assert model.verdict_["headline"]
    assert model.score(X, labels) > 0.95
    assert model.classes_.tolist() == ["a", "b"]
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    pickle.loads(pickle.dumps(model))
    # The same object, refitted at a fixed density, forgets the preparation of the search.
    model.set_params(density=0.5).fit(X + 100, labels)
    assert model.score(X + 100, labels) > 0.95


def test_auto_predicts_what_the_stored_model_predicts(found):
    """Features far from zero: a preparation rebuilt from rounded numbers would show here."""
    X, y = blobs(distance=1.5)
    X = X * np.array([1.0, 1e-3, 10.0, 0.5]) + np.array([0.0, 5.0, -3e4, 2e3])
    model = SparseClassifier(density="auto", hidden=[8], epochs=5, random_state=0).fit(X, y)
    chances = model.predict_proba(X)
    stored = found[0].model
    stored.network.float()
    np.testing.assert_allclose(chances, stored.predict_proba(X), atol=1e-5)


def test_auto_keeps_the_order_of_more_than_ten_classes(found):
    """Codes 0 … 11 sorted as words would be 0, 1, 10, 11, 2 …"""
    generator = np.random.default_rng(0)
    y = np.arange(360) % 12
    X = np.eye(12)[y] * 6 + generator.normal(size=(360, 12))
    model = SparseClassifier(density="auto", hidden=[16], epochs=8, random_state=0).fit(X, y * 10)
    assert model.score(X, y * 10) > 0.9


def test_auto_regression(found):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(160, 3))
    y = 50 + 10 * X[:, 0] + generator.normal(size=160)
    model = SparseRegressor(density="auto", hidden=[8], epochs=10, random_state=0).fit(X, y)
    assert model.verdict_["data"]["task"] == "regression"
    assert model.score(X, y) > 0.9


def test_clone_keeps_parameters_only():
    model = SparseClassifier(density=0.3, hidden=(8, 4), random_state=3)
    assert clone(model).get_params() == model.get_params()


def test_fit_returns_without_leaving_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = blobs()
    result = sf.fit(
        X, y, effort="quick", densities=[0.5], folds=2, rounds=2, epochs=2, margin=0.3, hidden=[8], workers=1
    )
    assert result.folder is None
    assert result.report is None
    assert list(tmp_path.iterdir()) == []
    assert str(result) == result.verdict["headline"]
    assert set(result.model.predict(X)) <= {0, 1}
    problem = problem_from_arrays(X, y)
    assert result.verdict["data"]["sha256"] == problem.sha256


def test_a_model_that_is_no_network_is_refused():
    X, y = blobs()
    with pytest.raises(UserError, match="model is no network"):
        sf.fit(X, y, model=3)


@pytest.mark.parametrize("name", ["resnet", "no_such_module_:f", "json:no_such_name", "sys:path"])
def test_a_factory_that_cannot_be_had_is_refused(name):
    X, y = blobs()
    with pytest.raises(UserError):
        sf.fit(X, y, model=name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def factory(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import no_such_module_", "ModuleNotFoundError"),
        ("other = 3", "AttributeError"),
    ],
)
def test_a_module_that_fails_on_import_is_told(tmp_path, monkeypatch, text, words):
    name = f"broken_{words.split(':')[0].lower()}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="cannot be imported") as caught:
        sf.estimators.resolve_factory(f"{name}:factory")
    assert caught.value.came.startswith(words)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("role", ["cluster", "group", "time"])
def test_roles_as_arrays_in_both_ways_of_calling(role, monkeypatch):
    """The search itself is left out: it is the problem it is given that counts."""
    X, y = blobs()
    problems = []
    monkeypatch.setattr(sf.estimators, "fit_problem", lambda problem, *_, **__: problems.append(problem))
    values = np.arange(160) // 8
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=y)
    sf.fit(X, y, **{role: values}, out="nowhere")
    sf.fit(frame, target="y", **{role: values}, out="nowhere")
    sf.fit(frame, target="y", **{role: list(values)}, out="nowhere")
    for problem in problems:
        found = problem.groups["group"].astype(int) if role == "group" else getattr(problem, role)
        assert found.tolist() == values.tolist()

# Oracle: the torch network that was saved, on the same prepared rows; and folders tampered with as an attacker would.
from __future__ import annotations

import hashlib
import json
import os
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save

from sparsefire.data import problem_from_arrays
from sparsefire.deploy import Model, load_model, save_model
from sparsefire.deploy.model import probabilities
from sparsefire.errors import UserError
from sparsefire.randomness import stream

SCHEMA = {
    "kind": "array", "columns": [], "shape": [3], "feature_names": [], "scaled": False, "ignored": [],
    "task": "classification", "classes": ["no", "yes"], "target": "y",
}  # fmt: skip
COLUMN = {"name": "age", "kind": "number", "categories": [], "date": False, "not_numbers": []}


def rows(n, width=12):
    return stream(0, "rows", n).standard_normal((n, width)) + np.arange(width)


def expected(network, x):
    with torch.no_grad():
        return network(torch.from_numpy((x - np.arange(x.shape[1])).astype(np.float32))).numpy()


def rewrite(folder, change=None, arrays=None):
    path = folder / "model.json"
    settings = json.loads(path.read_text())
    if arrays is not None:
        content = save(arrays)
        (folder / "model.safetensors").write_bytes(content)
        listed = {name: {"dtype": a.dtype.name, "shape": list(a.shape)} for name, a in arrays.items()}
        settings.update(arrays=listed, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    if change is not None:
        change(settings)
    path.write_text(json.dumps(settings))


def test_same_function_and_words(saved):
    folder, network = saved
    model = load_model(folder)
    x = rows(50)
    np.testing.assert_array_equal(model.predict_scores(x), expected(network, x))
    np.testing.assert_allclose(model.predict_proba(x), torch.softmax(torch.tensor(expected(network, x)), 1), atol=1e-6)
    assert model.classes == ("setosa", "it's", "<b>")
    assert list(model.predict(x)) == [model.classes[code] for code in expected(network, x).argmax(1)]
    assert model.feature_names == tuple(f"x{i}" for i in range(12))
    assert (model.task, model.extra, model.target_scale) == ("classification", {"note": "ü"}, None)
    assert not model.network.training


def test_exact_zeros_and_sparse_layout(saved):
    folder, network = saved
    for ours, theirs in zip(load_model(folder).network.parameters(), network.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    names = load_file(folder / "model.safetensors")
    assert {"network.3.weight#values", "network.3.weight#columns", "network.3.weight#starts", "network.3.bias"} <= set(
        names
    )
    assert "prepare.mean" in names


def test_the_runner_is_the_same_function(saved):
    folder, _network = saved
    model = load_model(folder)
    runner = model.runner(seconds=0.001)
    for n in (1, 3, 40):
        x = model.features(rows(n))
        np.testing.assert_allclose(runner(x), model.outputs(x), rtol=1e-5, atol=1e-6)
    assert len(runner.forms) == 3
    assert runner.widths[1] <= 40


def test_layers(saved):
    folder, network = saved
    layers = load_model(folder).layers
    linear = [module for module in network if isinstance(module, torch.nn.Linear)]
    for (weight, bias), layer in zip(layers, linear, strict=True):
        np.testing.assert_array_equal(weight, layer.weight.detach())
        np.testing.assert_array_equal(bias, layer.bias.detach())


@pytest.mark.parametrize("n", [0, 1, 1023, 1024, 1025, 3000])
def test_any_number_of_rows(saved, n):
    folder, network = saved
    x = rows(n)
    scores = load_model(folder).predict_scores(x)
    assert scores.shape == (n, 3)
    np.testing.assert_allclose(scores, expected(network, x).reshape(n, 3), rtol=1e-5, atol=1e-5)


def test_regression_in_the_users_units(tmp_path, rooms, thin, centre):
    description = {"kind": "mlp", "widths": [4, 8, 1]}
    network = thin(description, 1.0)
    schema = SCHEMA | {"task": "regression", "classes": [], "target": "price"}
    save_model(tmp_path, description=description, network=network, preparation=centre(np.arange(4.0)), schema=schema,
               target_scale=(np.float64(100.0), np.float32(2.5)))  # fmt: skip
    model = load_model(tmp_path)
    x = rows(20, 4)
    np.testing.assert_allclose(model.predict(x), expected(network, x)[:, 0] * 2.5 + 100.0, rtol=1e-6)
    assert model.predict(x).dtype == np.float64
    assert model.classes == ()
    with pytest.raises(UserError, match="no class probabilities"):
        model.predict_proba(x)


def test_one_logit_for_two_classes(tmp_path, rooms, thin, centre):
    description = {"kind": "mlp", "widths": [3, 1]}
    network = thin(description, 1.0)
    save_model(tmp_path, description=description, network=network, preparation=centre(np.arange(3.0)), schema=SCHEMA)
    model = load_model(tmp_path)
    x = rows(40, 3)
    logits = expected(network, x)[:, 0]
    np.testing.assert_allclose(model.predict_proba(x)[:, 1], 1 / (1 + np.exp(-logits.astype(float))), rtol=1e-6)
    assert list(model.predict(x)) == ["yes" if z > 0 else "no" for z in logits]
    assert len(set(model.predict(x))) == 2


def test_probabilities_of_huge_logits_are_finite():
    np.testing.assert_array_equal(probabilities(np.array([[1e30, 0.0], [-1e30, 0.0]])), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(probabilities(np.array([[1e30], [-1e30]])), [[0, 1], [1, 0]])


def test_convolutional_network(tmp_path, rooms, thin, centre):
    description = {"kind": "cnn", "shape": [1, 8, 8], "channels": [3, 4], "hidden": 6, "outputs": 2}
    network = thin(description, 0.2)
    save_model(
        tmp_path, description=description, network=network, preparation=centre(np.zeros((1, 8, 8))), schema=SCHEMA
    )
    model = load_model(tmp_path)
    x = stream(1, "images").standard_normal((5, 1, 8, 8), dtype=np.float32)
    with torch.no_grad():
        images = network(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(model.predict_scores(x), images)
    np.testing.assert_array_equal(model.runner()(x), images)
    assert model.layers is None
    assert model.runner().forms == ()


def own(shape, outputs):
    return torch.nn.Sequential(torch.nn.Linear(shape[0], 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, outputs))


@pytest.fixture
def own_model(tmp_path, rooms, thin, centre):
    """A stored network of the user's own, whose name is that of a module that must never be imported."""
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "sparsefire_trap.py").write_text("raise SystemExit('imported because a file said so')")
    description = {"kind": "factory", "name": "sparsefire_trap:make", "shape": [4], "outputs": 2}
    network = thin(description, 0.3, factory=own).eval()
    save_model(
        tmp_path / "m", description=description, network=network, preparation=centre(np.arange(4.0)), schema=SCHEMA
    )
    return tmp_path / "m", network, trap


def test_a_factory_is_never_imported_because_a_file_says_so(own_model, monkeypatch):
    folder, _, trap = own_model
    monkeypatch.syspath_prepend(trap)
    with pytest.raises(UserError, match="sparsefire_trap:make") as caught:
        load_model(folder)
    assert "factory=" in caught.value.attempt
    assert "sparsefire_trap" not in sys.modules


def test_a_factory_given_by_the_caller(own_model):
    folder, network, _ = own_model
    model = load_model(folder, factory=own)
    x = rows(7, 4)
    np.testing.assert_array_equal(model.predict_scores(x), expected(network, x))
    for name, tensor in network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], tensor)


def test_a_factory_that_makes_another_network(own_model):
    folder, _, _ = own_model
    with pytest.raises(UserError, match="do not fit the network"):
        load_model(folder, factory=lambda shape, outputs: torch.nn.Linear(shape[0], outputs))


def test_a_factory_is_not_asked_for_a_plain_network(saved):
    folder, network = saved
    model = load_model(folder, factory=lambda *_: pytest.fail("was called"))
    np.testing.assert_array_equal(model.predict_scores(rows(3)), expected(network, rows(3)))


def test_terminal_codes_in_a_name_are_shown_not_sent(own_model):
    folder, _, _ = own_model
    rewrite(folder, lambda s: s["description"].update(name="\x1b[2Jevil"))
    with pytest.raises(UserError) as caught:
        load_model(folder)
    assert "\x1b" not in caught.value.render()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s["description"].update(widths=[12, 40, 30, 4]), "do not fit|description"),
        (lambda s: s["description"].update(widths=[12, 30, 40, 3]), "do not fit"),
        (lambda s: s["description"].update(widths=[10**9, 10**9, 3]), "description"),
        (lambda s: s["description"].update(widths=[12]), "description"),
        (lambda s: s["description"].update(widths=None), "description"),
        (lambda s: s["description"].update(widths=["12", "3"]), "description"),
        (
            lambda s: s["description"].update(kind="cnn", shape=[1, 4, 4], channels=[10**6], hidden=3, outputs=3),
            "description",
        ),
        (lambda s: s["description"].update(kind="pickle"), "kind 'pickle'"),
        (lambda s: s["schema"].pop("task"), "task"),
        (lambda s: s["schema"].update(classes=["a", "b"]), "classes and outputs"),
        (lambda s: s["schema"].update(classes="abc"), "list of words"),
        (lambda s: s["schema"].update(classes=["a", "b", 3]), "list of words"),
        (lambda s: s["preparation"].update(kind="other"), "preparation"),
        (lambda s: s["preparation"].clear(), "preparation"),
        (lambda s: s.update(target_scale=[0, 0]), "scale"),
        (lambda s: s.update(target_scale=[0, -1.0]), "scale"),
        (lambda s: s.update(target_scale=[0, 10**400]), "scale|JSON"),
        (lambda s: s.update(target_scale="x"), "scale"),
        (lambda s: s["network"]["1.weight"].update(shape=[12, 40]), "do not fit|damaged"),
        (lambda s: s["network"]["1.weight"].update(layout="dense"), "do not fit together"),
        (lambda s: s["network"].pop("1.bias"), "do not fit together"),
    ],
)
def test_settings_that_lie(saved, change, words):
    folder, _ = saved
    rewrite(folder, change)
    with pytest.raises(UserError, match=words):
        load_model(folder)


@pytest.mark.parametrize("name", ["kind", "columns", "shape", "feature_names", "scaled", "ignored"])
@pytest.mark.parametrize("value", [None, 3, "x", {}, [None]])
def test_a_schema_that_cannot_read_new_rows(saved, name, value):
    folder, _ = saved
    rewrite(folder, lambda settings: settings["schema"].update({name: value}))
    with pytest.raises(UserError, match=r"model\.json describes (column 0|the ')"):
        load_model(folder)
    rewrite(folder, lambda settings: settings["schema"].pop(name))
    with pytest.raises(UserError, match=f"model\\.json describes the '{name}'") as caught:
        load_model(folder)
    assert "fit and save the model again" in caught.value.attempt


@pytest.mark.parametrize("name", COLUMN)
@pytest.mark.parametrize("value", [None, 3, "x", {}, [None]])
def test_a_column_that_cannot_be_read(saved, name, value):
    folder, _ = saved
    rewrite(folder, lambda settings: settings["schema"].update(columns=[COLUMN]))
    load_model(folder)
    if (name, value) == ("name", "x"):
        return
    rewrite(folder, lambda settings: settings["schema"].update(columns=[COLUMN, COLUMN | {name: value}]))
    with pytest.raises(UserError, match=r"model\.json describes column 1"):
        load_model(folder)
    rewrite(folder, lambda settings: settings["schema"]["columns"][1].pop(name))
    with pytest.raises(UserError, match=r"model\.json describes column 1"):
        load_model(folder)


def spoil(name, value):
    def change(arrays):
        arrays[name] = value(arrays[name])

    return change


@pytest.mark.parametrize(
    "change",
    [
        spoil("prepare.mean", lambda a: np.r_[a, 1.0]),
        spoil("network.3.weight#columns", lambda a: np.full_like(a, 65535)),
        spoil("network.3.weight#columns", lambda a: a[::-1].copy()),
        spoil("network.3.weight#starts", lambda a: -a),
        spoil("network.3.weight#starts", lambda a: np.full_like(a, 2**31 - 1)),
        spoil("network.3.weight#values", lambda a: a * np.float32("nan")),
        spoil("network.3.weight#values", lambda a: a[:-1].copy()),
        spoil("network.3.weight#values", lambda a: a.astype(np.float64)),
        spoil("network.3.bias", lambda a: a.astype(np.float64)),
        spoil("network.3.bias", lambda a: a[:-1].copy()),
        spoil("network.3.bias", lambda a: a[None]),
        lambda arrays: arrays.pop("network.3.bias"),
        lambda arrays: arrays.pop("prepare.mean"),
        lambda arrays: arrays.update(stray=np.zeros(1)),
        lambda arrays: arrays.update({"network.9.weight": np.zeros((1, 1), np.float32)}),
    ],
)
def test_arrays_that_lie_with_the_right_hash(saved, change):
    folder, _ = saved
    arrays = dict(load_file(folder / "model.safetensors"))
    change(arrays)
    rewrite(folder, arrays=arrays)
    with pytest.raises(UserError) as caught:
        load_model(folder)
    assert caught.value.attempt


def test_a_masked_network_is_not_saved(tmp_path, centre):
    import torch.nn.utils.parametrize as parametrize

    class Mask(torch.nn.Module):
        def forward(self, weight):
            return weight * 0

    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2))
    parametrize.register_parametrization(network[1], "weight", Mask())
    with pytest.raises(UserError, match="still masked"):
        save_model(tmp_path / "m", description={"kind": "mlp", "widths": [3, 2]}, network=network,
                   preparation=centre(np.zeros(3)), schema=SCHEMA)  # fmt: skip
    assert not (tmp_path / "m").exists()


def test_a_broken_network_is_not_saved(tmp_path, centre, thin):
    network = thin({"kind": "mlp", "widths": [3, 2]}, 1.0)
    with torch.no_grad():
        network[1].bias[0] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        save_model(tmp_path / "m", description={"kind": "mlp", "widths": [3, 2]}, network=network,
                   preparation=centre(np.zeros(3)), schema=SCHEMA)  # fmt: skip


def test_no_pickle_anywhere(saved):
    folder, _ = saved
    for name in os.listdir(folder):
        assert b"pickle" not in (folder / name).read_bytes()
        assert not (folder / name).read_bytes().startswith((b"\x80", b"PK"))


@pytest.mark.parametrize(
    ("labels", "kind"),
    [([3, 7], "i"), ([0.5, 1.5], "f"), ([False, True], "b"), (["no", "yes"], "U"), (pd.Categorical([5, 9]), "i")],
    ids=str,
)
def test_labels_come_back_as_what_they_were(labels, kind):
    target = pd.Series(labels).repeat(6)
    schema = problem_from_arrays(np.arange(24.0).reshape(12, 2), target, task="classification").schema()
    found = Model({}, None, None, schema).labels
    assert found.dtype.kind == kind
    assert list(found) == list(labels)


@pytest.mark.parametrize("kind", ["whole", "truth", "complex"])
def test_labels_of_another_kind_than_stored_are_refused(saved, kind):
    folder, _ = saved
    rewrite(folder, lambda settings: settings["schema"].update(labels=kind))
    with pytest.raises(UserError, match="classes"):
        load_model(folder)


def test_a_spiking_network_has_layers_to_draw_and_runs_as_it_is(tmp_path, rooms, thin, centre):
    description = {"kind": "spiking", "widths": [6, 20, 12, 2], "steps": 5}
    network = thin(description, 0.5)
    save_model(tmp_path, description=description, network=network, preparation=centre(np.arange(6.0)), schema=SCHEMA)
    model = load_model(tmp_path)
    assert [weight.shape for weight, _ in model.layers] == [(20, 6), (12, 20), (2, 12)]
    x = stream(2, "rows").standard_normal((40, 6), dtype=np.float32)
    np.testing.assert_array_equal(model.runner()(x), model.outputs(x))
    assert model.runner().forms == ()

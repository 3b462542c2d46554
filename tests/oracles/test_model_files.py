"""Oracle: model.safetensors and model.json read with NumPy alone; weights, costs and predictions derived from them."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

import sparsefire as sf

CASES = ["accuracy", "strict", "auc", "r2", "cluster", "time", "site", "noise"]


def dense_matrices(folder: Path) -> dict[str, np.ndarray]:
    """Weights and biases by name, rebuilt from dense arrays or sparse rows by a plain loop."""
    arrays = load_file(folder / "model.safetensors")
    settings = json.loads((folder / "model.json").read_text())
    out: dict[str, np.ndarray] = {}
    for name, entry in settings["network"].items():
        if entry["layout"] == "dense":
            out[name] = arrays[f"network.{name}"].reshape(entry["shape"])
            continue
        rows, columns = entry["shape"][0], int(np.prod(entry["shape"][1:]))
        matrix = np.zeros((rows, columns), np.float32)
        values, index = arrays[f"network.{name}#values"], arrays[f"network.{name}#columns"]
        starts = arrays[f"network.{name}#starts"]
        for r in range(rows):
            for at in range(int(starts[r]), int(starts[r + 1])):
                matrix[r, int(index[at])] = values[at]
        out[name] = matrix.reshape(entry["shape"])
    return out


def prepared(folder: Path, table: pd.DataFrame) -> np.ndarray:
    """The inputs of the network, from the stored numbers of the preparation alone."""
    arrays = load_file(folder / "model.safetensors")
    settings = json.loads((folder / "model.json").read_text())["preparation"]
    fill, mean = arrays["prepare.numbers.fill"], arrays["prepare.numbers.mean"]
    scale, log = arrays["prepare.numbers.scale"], arrays["prepare.numbers.log"]
    positions = arrays["prepare.positions"]
    names = [settings["columns"][p] for p in positions]
    block = table[names].to_numpy(dtype=float)
    missing = np.isnan(block)
    block = np.where(missing, fill, block)
    block = np.where(log, np.sign(block) * np.log1p(np.abs(block)), block)
    safe = np.where(scale == 0, 1.0, scale)
    columns = [np.where(scale == 0, 0.0, (block - mean) / safe)]
    columns.append(missing[:, arrays["prepare.numbers.indicators"]].astype(float))
    for encoder in settings["encoders"]:
        values = table[encoder["name"]]
        for level in encoder["levels"]:
            hit = values.isna() if level is None else values == level
            columns.append(hit.to_numpy(dtype=float)[:, None])
    return np.concatenate(columns, axis=1).astype(np.float32)


def forward(matrices: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """A multilayer perceptron with ReLU, in float64."""
    names = sorted({name.split(".")[0] for name in matrices}, key=int)
    out = x.astype(float)
    for number, name in enumerate(names):
        out = out @ matrices[f"{name}.weight"].T.astype(float) + matrices[f"{name}.bias"]
        if number < len(names) - 1:
            out = np.maximum(out, 0)
    return out


def softmax(outputs: np.ndarray) -> np.ndarray:
    """Class probabilities; one column is the log-odds of the second of two classes."""
    if outputs.shape[1] == 1:
        outputs = np.concatenate([np.zeros_like(outputs), outputs], axis=1)
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def handed(it: Any) -> dict[str, Any]:
    """The candidate that is handed over."""
    return next(entry for entry in it.verdict["candidates"] if entry["id"] == it.verdict["handed_over"])


@pytest.mark.parametrize("name", CASES)
def test_the_weights_that_are_told_are_in_the_file(name: str, case: Callable) -> None:
    it = case(name)
    matrices, entry = dense_matrices(it.folder), handed(it)
    nonzero = sum(int((m != 0).sum()) for key, m in matrices.items() if key.endswith("weight"))
    assert entry["weights"] == nonzero
    assert it.final(entry["id"]).result["weights"] == nonzero
    assert entry["macs"] == nonzero  # a perceptron uses every weight once for a row
    arrays = load_file(it.folder / "model.safetensors")
    stored = sum(array.nbytes for key, array in arrays.items() if key.startswith("network."))
    assert entry["bytes"] == stored
    if entry["kind"] == "sparse":
        whole = sum(m.size for key, m in matrices.items() if key.endswith("weight"))
        assert whole == it.candidates("dense")[0]["weights"]
        assert nonzero == round(entry["density"] * whole)


@pytest.mark.parametrize("name", CASES)
def test_densities_and_the_weights_of_rivals(name: str, case: Callable) -> None:
    it = case(name)
    dense = it.candidates("dense")[0]["weights"]
    widths = it.final("dense").result["description"]["widths"]
    assert dense == sum(a * b for a, b in itertools.pairwise(widths))
    for entry in it.candidates("sparse"):
        assert entry["weights"] == round(entry["density"] * dense), entry["id"]
        for run in it.folds(entry["id"]):
            wide = run.result["description"]["widths"]
            own_dense = sum(a * b for a, b in itertools.pairwise(wide))
            assert run.result["weights"] == round(entry["density"] * own_dense), run.key
    for entry in it.candidates("narrow"):
        sparse = [other for other in it.candidates("sparse") if other["density"] == entry["density"]]
        for run in it.folds(entry["id"]):
            widths = run.result["description"]["widths"]
            assert run.result["weights"] == sum(a * b for a, b in itertools.pairwise(widths))
            assert run.result["weights"] <= min(other["weights"] for other in sparse)
            assert len(widths) == len(it.final("dense").result["description"]["widths"])
        if it.folds(entry["id"]):
            assert entry["weights"] <= min(other["weights"] for other in sparse)


@pytest.mark.parametrize("name", CASES)
def test_predictions_are_those_of_plain_matrix_products(name: str, case: Callable) -> None:
    it = case(name)
    model = sf.load_model(it.folder)
    x = prepared(it.folder, it.table)
    np.testing.assert_allclose(model.features(it.table), x, atol=2e-5, rtol=1e-5)
    outputs = forward(dense_matrices(it.folder), x)
    np.testing.assert_allclose(model.outputs(x), outputs, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(model.runner(seconds=0.001)(x), outputs, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(model.runner(seconds=0.001)(x[:1]), outputs[:1], atol=1e-4, rtol=1e-4)
    if model.task == "classification":
        mine = softmax(outputs)
        np.testing.assert_allclose(model.predict_proba(it.table), mine, atol=1e-5)
        clear = np.sort(mine, axis=1)[:, -1] - np.sort(mine, axis=1)[:, -2] > 1e-4
        labels = np.array(it.verdict["data"]["classes"])[mine.argmax(axis=1)]
        assert (np.asarray(model.predict(it.table)).astype(str)[clear] == labels[clear]).all()
    else:
        mean, deviation = json.loads((it.folder / "model.json").read_text())["target_scale"]
        np.testing.assert_allclose(model.predict(it.table), outputs[:, 0] * deviation + mean, rtol=1e-4, atol=1e-2)


def test_the_target_of_a_regression_is_scaled_on_development_rows(case: Callable) -> None:
    it = case("r2")
    mean, deviation = json.loads((it.folder / "model.json").read_text())["target_scale"]
    development = np.setdiff1d(np.arange(len(it.truth)), it.test_rows())
    assert mean == pytest.approx(it.truth[development].mean(), rel=1e-12)
    assert deviation == pytest.approx(it.truth[development].std(), rel=1e-12)


@pytest.mark.parametrize("name", ["accuracy", "r2"])
def test_the_command_line_predicts_the_same(name: str, case: Callable, command: Callable, tmp_path: Path) -> None:
    it = case(name)
    new = it.table.sample(25, random_state=0).drop(columns=["y"])
    new[new.columns[::-1]].to_csv(tmp_path / "new.csv", index=False)  # in any order
    printed = command("predict", str(it.folder), str(tmp_path / "new.csv"))
    rows = list(csv.DictReader(io.StringIO(printed)))
    first = next(iter(rows[0]))
    assert len(rows) == 25
    outputs = forward(dense_matrices(it.folder), prepared(it.folder, new))
    if name == "accuracy":
        mine = softmax(outputs)
        for number, label in enumerate(it.verdict["data"]["classes"]):
            told = [float(row[f"probability of {label}"]) for row in rows]
            np.testing.assert_allclose(told, mine[:, number], atol=1e-4)
        assert [row[first] for row in rows] == [it.verdict["data"]["classes"][code] for code in mine.argmax(axis=1)]
    else:
        mean, deviation = json.loads((it.folder / "model.json").read_text())["target_scale"]
        told = [float(row[first]) for row in rows]
        np.testing.assert_allclose(told, outputs[:, 0] * deviation + mean, rtol=1e-4, atol=1e-2)


def test_multiply_adds_of_a_convolution_by_counting_every_position() -> None:
    import torch
    from torch import nn

    net = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 2, stride=2), nn.Flatten(),
        nn.Linear(4 * 2 * 3, 5),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in (net[0], net[3], net[5]):
            layer.weight.mul_(torch.rand(layer.weight.shape, generator=generator) < 0.4)
    first, second = (int((net[at].weight != 0).sum()) for at in (0, 3))
    expected = first * 8 * 12 + second * 2 * 3 + int((net[5].weight != 0).sum())
    assert sf.evaluate.macs(net, (2, 8, 12)) == expected
    assert sf.evaluate.weights_of(net) == first + second + int((net[5].weight != 0).sum())

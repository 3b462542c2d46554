# Oracle: float64 NumPy matrix products, and torch on the same weights.
from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsefire.kernels.layers as module
from sparsefire.kernels import FORMS, forward, plan
from sparsefire.randomness import stream

ACTIVATIONS = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "none": lambda z: z}


def network(widths, density, *key):
    rng = stream(0, "network", *key)
    layers = []
    for inputs, outputs in itertools.pairwise(widths):
        weight = rng.standard_normal((outputs, inputs)) * (rng.random((outputs, inputs)) < density)
        layers.append(((weight / np.sqrt(max(1.0, density * inputs))).astype(np.float32), rng.standard_normal(outputs)))
    return layers


def reference(layers, x, activation):
    h = np.asarray(x, dtype=np.float64)
    for number, (weight, bias) in enumerate(layers):
        h = h @ weight.astype(np.float64).T + np.float32(bias)
        if number < len(layers) - 1:
            h = ACTIVATIONS[activation](h)
    return h


@settings(max_examples=60, deadline=None)
@given(
    widths=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    rows=st.sampled_from([0, 1, 2, 7, 8, 9, 64, 300]),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    data=st.data(),
)
def test_any_mixture_of_forms_against_numpy(widths, density, rows, activation, data):
    layers = network(widths, density, str(widths))
    forms = [data.draw(st.sampled_from(FORMS)) for _ in layers]
    x = stream(0, "x").standard_normal((rows, widths[0]))
    out = forward(plan(layers, forms, activation), x)
    assert out.shape == (rows, widths[-1])
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, reference(layers, x.astype(np.float32), activation), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [1, 5, 64])
def test_against_torch(form, rows):
    layers = network([64, 256, 256, 10], 0.05)
    net = torch.nn.Sequential()
    for number, (weight, bias) in enumerate(layers):
        linear = torch.nn.utils.skip_init(torch.nn.Linear, weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        net.append(linear)
        if number < 2:
            net.append(torch.nn.ReLU())
    x = stream(1, "x").standard_normal((rows, 64), dtype=np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(forward(plan(layers, [form] * 3), x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [3, 50])
def test_small_integers_are_exact(form, rows):
    rng = stream(2, "integers")
    layers = [(rng.integers(-3, 4, (7, 9)).astype(float), rng.integers(-3, 4, 7).astype(float)),
              (rng.integers(-3, 4, (4, 7)).astype(float), rng.integers(-3, 4, 4).astype(float))]  # fmt: skip
    x = rng.integers(-5, 6, (rows, 9)).astype(float)
    np.testing.assert_array_equal(forward(plan(layers, [form] * 2), x), reference(layers, x, "relu"))


@pytest.mark.parametrize("form", FORMS)
def test_rows_do_not_depend_on_their_neighbours(form):
    packed = plan(network([12, 30, 3], 0.3), [form] * 2)
    x = stream(3, "x").standard_normal((6, 12), dtype=np.float32)
    np.testing.assert_array_equal(forward(packed, x), np.concatenate([forward(packed, row[None]) for row in x]))


@pytest.mark.parametrize("rows", [1, 20])
def test_layers_without_units(rows):
    layers = [(np.zeros((0, 3)), np.zeros(0)), (np.zeros((2, 0)), np.array([1.0, -2.0]))]
    for form in FORMS:
        out = forward(plan(layers, [form] * 2), np.ones((rows, 3)))
        np.testing.assert_array_equal(out, np.tile(np.float32([1, -2]), (rows, 1)))


@pytest.mark.parametrize("form", FORMS)
def test_nan_in_a_row_stays_nan(form):
    out = forward(plan([(np.ones((2, 3)), np.zeros(2))], [form]), np.array([[np.nan, 1.0, 1.0]]))
    assert np.isnan(out).all()


def test_other_memory_layouts_and_types():
    layers = network([5, 4, 3], 1.0)
    packed = plan([(np.asfortranarray(w), b) for w, b in layers])
    x = stream(4, "x").standard_normal((9, 5))
    np.testing.assert_allclose(forward(packed, np.asfortranarray(x)), forward(packed, x.astype(np.float32)), rtol=1e-6)
    np.testing.assert_allclose(forward(packed, x[::2]), forward(packed, x)[::2], rtol=1e-5, atol=1e-6)


def test_threads_may_share_a_plan():
    packed = plan(network([20, 50, 4], 0.2), ["sparse by output"] * 2)
    x = stream(5, "x").standard_normal((40, 3, 20), dtype=np.float32)
    expected = [forward(packed, rows) for rows in x]
    with ThreadPoolExecutor(4) as pool:
        for ours, theirs in zip(pool.map(lambda rows: forward(packed, rows), x), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("x", [np.zeros(5), np.zeros((2, 4)), np.zeros((1, 1, 5))])
def test_wrong_rows(x):
    with pytest.raises(ValueError, match="rows of 5 inputs"):
        forward(plan(network([5, 2], 1.0)), x)


@pytest.mark.parametrize(
    ("layers", "forms", "activation", "words"),
    [
        ([], None, "relu", "at least one layer"),
        (network([5, 2], 1.0), ["dense by output"] * 2, "relu", "a form for each"),
        (network([5, 2], 1.0), ["dense"], "relu", "form is one of"),
        (network([5, 2], 1.0), None, "gelu", "activation is one of"),
        ([(np.zeros((2, 3)), np.zeros(3))], None, "relu", "layer 0"),
        ([(np.zeros((2, 3)), np.zeros(2)), (np.zeros((1, 3)), np.zeros(1))], None, "relu", r"expected \(out, 2\)"),
    ],
)
def test_wrong_networks(layers, forms, activation, words):
    with pytest.raises(ValueError, match=words):
        plan(layers, forms, activation)


def test_without_a_folder_to_write_to(monkeypatch):
    asked = []

    def njit(**options):
        asked.append(options.get("cache", False))
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(module, "njit", njit)
    assert module._compiled(abs)(-3) == 3
    assert asked == [True, False]


def remove(folder):
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may write everywhere")
def test_read_only_installation(request):
    folder = Path(tempfile.mkdtemp())  # not tmp_path: another user has to get in
    request.addfinalizer(lambda: remove(folder))
    package = folder / "sparsefire"
    shutil.copytree(Path(module.__file__).parents[1], package, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    code = """
    import numpy as np
    from sparsefire.kernels import forward, plan
    print(forward(plan([(np.array([[2.0]]), np.array([1.0]))]), np.array([[3.0]])))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    environment = {**os.environ, "PYTHONPATH": str(folder), "HOME": "/nowhere", "XDG_CACHE_HOME": "/nowhere"}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, cwd="/")
    assert done.stdout == "[[7.]]\n", done.stderr


def test_import_is_late_and_without_torch():
    code = """
    import sys, sparsefire.kernels, sparsefire.kernels.csr, sparsefire.kernels.timing
    assert "numba" not in sys.modules
    sparsefire.kernels.plan
    assert "numba" in sys.modules and "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)

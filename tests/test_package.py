"""Oracle: the promises of the package itself, namely its public names, their order of rooms and a cheap import."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sparsefire as sf

ROOMS = (
    "cascades", "convergence", "data", "deploy", "estimators", "evaluate", "kernels", "masks", "parallel",
    "propagation", "randomness", "report", "rules", "search", "sparsity", "spiking", "statistics", "studies", "train",
    "wiring",
)  # fmt: skip
PUBLIC = [
    (room, name) for room in ROOMS for name in getattr(importlib.import_module(f"sparsefire.{room}"), "__all__", ())
]


def fresh(code):
    """Run code in a new interpreter and return what it printed."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("name", sf.__all__)
def test_every_public_name_is_there(name):
    assert getattr(sf, name) is not None
    assert name in dir(sf)


def test_the_rooms_are_all_named():
    folder = Path(sf.__file__).parent
    found = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    commands = {"cascade_command", "convergence_command", "diagnose_command"}
    assert set(ROOMS) == found - {"__init__", "cli", "errors", *commands}
    assert set(ROOMS) <= set(sf.__all__)


@pytest.mark.parametrize(("room", "name"), PUBLIC)
def test_every_public_name_of_a_room_is_documented(room, name):
    value = getattr(importlib.import_module(f"sparsefire.{room}"), name)
    if inspect.isfunction(value) or inspect.isclass(value):
        assert inspect.getdoc(value)
        assert value.__module__.startswith("sparsefire.")


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sf.nonsense


def test_the_version_is_that_of_the_project():
    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    assert tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"] == sf.__version__


def test_the_import_is_cheap_and_loads_no_torch():
    code = (
        "import time; a = time.process_time(); import sparsefire; b = time.process_time(); import sys; "
        "print(b - a, *[m for m in ('torch', 'pandas', 'sklearn', 'scipy', 'numba', 'duckdb') if m in sys.modules])"
    )
    seconds, *loaded = fresh(code).split()
    assert float(seconds) < 1.0
    assert loaded == []


def test_rooms_without_torch():
    rooms = ("errors", "parallel", "randomness", "statistics", "data", "wiring", "kernels", "studies")
    code = "import importlib, sys\n"
    code += f"for room in {rooms}: importlib.import_module('sparsefire.' + room), print(room, 'torch' in sys.modules)"
    assert fresh(code).splitlines() == [f"{room} False" for room in rooms]


def test_the_command_is_installed_and_says_its_version_without_torch():
    code = "import sys; sys.argv = ['sparsefire', '--version']\nfrom sparsefire.cli import main\n"
    code += "try: main()\nexcept SystemExit as stop: print(stop.code, 'torch' in sys.modules)"
    assert fresh(code).split("\n")[:2] == [f"sparsefire {sf.__version__}", "0 False"]


def test_smoke_of_the_front_door(tmp_path):
    import numpy as np
    import torch

    assert "gmp" in set(sf.list_methods()["method"])
    net = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sf.sparsify(net, 0.5, "static", rng=0, optimizer=optimizer)
    sf.bake(net)
    assert sf.density(net) == pytest.approx(0.5)
    error = sf.UserError("wrong.", came="a", expected="b")
    assert error.render().splitlines() == ["wrong.", "  came      a", "  expected  b"]
    with pytest.raises(sf.UserError):
        sf.load_model(tmp_path)
    y = np.arange(40) % 2
    assert sf.SparseClassifier(density=0.5, hidden=[4], epochs=1).fit(y[:, None] + np.zeros((1, 2)), y).n_weights_ > 0
    assert sf.SparseRegressor(density=0.5, hidden=[4], epochs=1).fit(y[:, None] + np.zeros((1, 2)), y).n_weights_ > 0

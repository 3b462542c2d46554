from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from sparsefire import cli
from sparsefire.cli import app

FACTORY = """
from torch import nn

def plain():
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))

def sized(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], 9), nn.ReLU(), nn.Linear(9, outputs))

def images():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))

def broken():
    raise RuntimeError("no such luck")

number = 3
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "nets_of_mine.py").write_text(FACTORY)
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["diagnose", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_network_that_will_fade(here: Path) -> None:
    text = run(
        "mlp", "--shape", "64", "--outputs", "10", "--hidden", ",".join(["128"] * 20), "--density", "0.03",
        "--init", "he", "--out", "layers.csv",
    )  # fmt: skip
    assert "Unlikely to learn" in text
    assert "The signal fades" in text
    assert max(map(len, text.splitlines())) <= 80
    table = pd.read_csv("layers.csv")
    assert len(table) == 21
    assert table["weights"].sum() == round(0.03 * (64 * 128 + 19 * 128 * 128 + 1280))


def test_the_mend_works(here: Path) -> None:
    text = run(
        "mlp", "--shape", "64", "--outputs", "10", "--hidden", ",".join(["128"] * 20), "--density", "0.1",
        "--layout", "critical", "--init", "typical", "--out", "layers.parquet",
    )  # fmt: skip
    assert "Likely to learn" in text
    with duckdb.connect() as connection:
        found = connection.execute("SELECT min(fan_in_min), count(*) FROM 'layers.parquet'").fetchall()
    assert found[0][0] >= 5
    assert found[0][1] == 21


def test_own_networks(here: Path) -> None:
    assert "Layers  nets_of_mine:plain" in run("nets_of_mine:plain")
    assert "VERDICT" in run("nets_of_mine:sized", "--shape", "5", "--outputs", "2", "--redraws", "0")
    np.save("rows.npy", np.random.default_rng(0).normal(size=(8, 1, 8, 8)))
    assert "VERDICT" in run("nets_of_mine:images", "--inputs", "rows.npy")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["mlp"], "--shape 784"),
        (["nothing"], "there is no model"),
        (["mlp", "--shape", "0", "--outputs", "2"], "whole numbers"),
        (["mlp", "--shape", "4", "--outputs", "2", "--density", "1.5"], "density"),
        (["mlp", "--shape", "4", "--outputs", "2", "--layout", "erk"], "--density too"),
        (["mlp", "--shape", "4", "--outputs", "2", "--init", "zeros"], "initialiser"),
        (["mlp", "--shape", "4", "--outputs", "2", "--out", "table.xls"], "CSV or Parquet"),
        (["mlp", "--shape", "4", "--outputs", "2", "--redraws", "1"], "redraws"),
        (["nets_of_mine:images"], "cannot be told"),
        (["nets_of_mine:broken"], "no such luck"),
        (["nets_of_mine:number"], "cannot be called"),
        (["nets_of_mine:plain", "--inputs", "absent.npy"], "cannot be read"),
        (["nets_of_mine:plain", "--inputs", "nets_of_mine.py"], "cannot be read"),
    ],
)
def test_wrong_use_is_one_message(
    here: Path, arguments: list[str], named: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["sparsefire", "diagnose", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert named in capsys.readouterr().err


def test_a_module_by_name(here: Path) -> None:
    (here / "ready_made.py").write_text("from torch import nn\nnet = nn.Linear(4, 2)\n")
    assert "VERDICT" in run("ready_made:net")


def test_the_number_decides_a_factory_that_takes_nothing(here: Path) -> None:
    before = torch.random.get_rng_state()
    first, second, third = (run("nets_of_mine:plain", "--rng", number) for number in ("1", "1", "2"))
    assert first == second != third
    assert torch.equal(before, torch.random.get_rng_state())


def test_he_is_not_the_network_s_own(here: Path) -> None:
    own, he = (run("nets_of_mine:plain", *arguments) for arguments in ((), ("--init", "he")))
    assert own != he

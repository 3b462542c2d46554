"""Oracles: the contract of the command line (exit codes, streams, files), and ``html.parser``."""

from __future__ import annotations

import hashlib
import json
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sparsefire import load_model
from sparsefire.cli import main
from sparsefire.studies.parquet import write_parquet

SMALL = [
    "--effort", "quick", "--densities", "0.5", "--folds", "2", "--rounds", "2", "--epochs", "4", "--margin", "0.3",
    "--hidden", "8", "--workers", "1",
]  # fmt: skip
FILES = {"model.safetensors", "model.json", "results.parquet", "verdict.json", "report.html", "settings.json", "runs"}
HOSTILE = "</script><img src=x onerror=alert(1)>"


def table(rows=120, rng=0):
    """Two classes that the number ``a`` tells apart; ``b`` is a category, ``c`` noise."""
    generator = np.random.default_rng(rng)
    y = np.arange(rows) % 2
    return pd.DataFrame(
        {
            "a": (generator.normal(size=rows) + 4 * y).round(3),
            "b": generator.choice(["red", "green", "blue"], rows),
            "c": generator.normal(size=rows).round(3),
            "y": np.array(["no", "yes"])[y],
        }
    )


def contents(folder):
    """Return path → SHA-256 of every file under a folder."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs the command line here and gives (exit code, stdout, stderr)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["sparsefire", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of the table, made once by the command line."""
    folder = tmp_path_factory.mktemp("finished")
    table().to_csv(folder / "rows.csv", index=False)
    words = ["sparsefire", "fit", str(folder / "rows.csv"), "--target", "y", *SMALL, "--out", str(folder / "run")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as stop:
            main()
    assert stop.value.code == 0
    return folder


def refused(run, *words, out=None):
    """Run, and check everything that a refusal owes: exit code 2, one message on stderr, no traceback, no file."""
    code, _, err = run(*words)
    assert code == 2, err
    lines = err.strip().splitlines()
    assert lines[0].startswith("error: "), err
    assert "Traceback" not in err
    assert any(line.startswith(("  came ", "  expected ", "  try ")) for line in lines), err
    if out is not None:
        assert not out.exists()
    return err


# what a person does --------------------------------------------------------------------------------------------------


def test_fit_writes_the_folder_and_says_what_it_found(finished, run):
    folder = finished / "run"
    assert {path.name for path in folder.iterdir()} == FILES
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    code, out, _ = run("fit", finished / "rows.csv", "--target", "y", *SMALL, "--out", folder)
    assert code == 0
    for block in ("Data ", "Plan ", "Result"):
        assert block in out
    assert verdict["headline"].split(",")[0][:40] in " ".join(out.split())
    assert verdict["plan"]["command"].startswith("sparsefire fit ")
    assert f"{verdict['data']['rows']}" in out


def test_predict_is_what_the_model_predicts(finished, run, tmp_path):
    new = table(30, rng=5).drop(columns="y")
    new.to_csv(tmp_path / "new.csv", index=False)
    code, out, err = run("predict", finished / "run", tmp_path / "new.csv")
    assert (code, err) == (0, "")
    model = load_model(finished / "run")
    (tmp_path / "out.csv").write_text(out, encoding="utf-8")
    printed = pd.read_csv(tmp_path / "out.csv")
    assert list(printed.columns) == ["y", "probability of no", "probability of yes"]
    assert printed["y"].tolist() == model.predict(new).tolist()
    np.testing.assert_allclose(printed.iloc[:, 1:].to_numpy(), model.predict_proba(new), rtol=1e-6)
    assert (printed["y"] == np.where(new["a"] > 2, "yes", "no")).mean() > 0.8


def test_predict_ignores_the_order_of_columns_and_the_target(finished, run, tmp_path):
    new = table(10, rng=6)
    new[["y", "c", "b", "a"]].to_csv(tmp_path / "one.csv", index=False)
    new.drop(columns="y").to_csv(tmp_path / "two.csv", index=False)
    assert run("predict", finished / "run", tmp_path / "one.csv") == run(
        "predict", finished / "run", tmp_path / "two.csv"
    )


def test_predict_warns_of_an_unseen_category_and_predicts(finished, run, tmp_path):
    new = table(10, rng=7).drop(columns="y")
    new.loc[3, "b"] = "violet"
    new.to_csv(tmp_path / "new.csv", index=False)
    code, out, err = run("predict", finished / "run", tmp_path / "new.csv")
    assert code == 0
    assert err.startswith("warning: ")
    assert "violet" in err
    assert len(out.strip().splitlines()) == 11


@pytest.mark.parametrize("change", ["missing", "extra", "text", "infinite"])
def test_predict_refuses_other_columns(finished, run, tmp_path, change):
    new = table(10, rng=8).drop(columns="y")
    if change == "missing":
        new = new.drop(columns="a")
    elif change == "extra":
        new["d"] = 1.5
    elif change == "text":
        new["a"] = "many"
    else:
        new.loc[2, "a"] = np.inf
    new.to_csv(tmp_path / "new.csv", index=False)
    refused(run, "predict", finished / "run", tmp_path / "new.csv")


def test_report_is_rebuilt_to_the_byte(finished, run):
    page = finished / "run" / "report.html"
    before = page.read_bytes()
    assert len(before) < 6_000_000
    page.unlink()
    code, out, _ = run("report", finished / "run")
    assert code == 0
    assert out.strip() == str(page)
    assert page.read_bytes() == before


def test_the_same_command_resumes(finished, run):
    before = {path: path.stat().st_ino for path in (finished / "run" / "runs").iterdir() if path.name != ".lock"}
    code, _, _ = run("fit", finished / "rows.csv", "--target", "y", *SMALL, "--out", finished / "run")
    assert code == 0
    assert {
        path: path.stat().st_ino for path in (finished / "run" / "runs").iterdir() if path.name != ".lock"
    } == before


def test_the_folder_has_a_name_by_default(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().to_csv("my rows.csv", index=False)
    assert run("fit", "my rows.csv", "--target", "y", *SMALL)[0] == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["my-rows"]


def test_no_words_give_help(run):
    code, out, err = run()
    assert "fit" in out + err
    assert "Traceback" not in err
    assert code in (0, 2)


def test_forward_gradients_and_a_report_that_shows_the_cost(finished, run, tmp_path):
    out = tmp_path / "run"
    code, _, err = run(
        "fit", finished / "rows.csv", "--target", "y", *SMALL, "--rule", "forward-gradient", "--out", out
    )
    assert code == 0, err
    assert "backprop" in (out / "report.html").read_text(encoding="utf-8").lower()


def test_a_network_of_ones_own_is_named_again_to_predict(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine_for_the_command.py").write_text(
        "from torch import nn\n\ndef factory(shape, outputs, width=1.0):\n    wide = max(1, int(24 * width))\n"
        "    return nn.Sequential(nn.Linear(shape[0], wide), nn.ReLU(), nn.Linear(wide, outputs))\n"
    )
    rows = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    frame = pd.DataFrame(rows, columns=["a", "b"]).assign(y=np.where(np.hypot(*rows.T) < 0.75, "in", "out"))
    frame.to_csv("ring.csv", index=False)
    name = "mine_for_the_command:factory"
    words = [*SMALL, "--model", name, "--out", "run"]
    words[words.index("--epochs") + 1] = "60"
    words[words.index("--margin") + 1] = "0.1"
    code, _, err = run("fit", "ring.csv", "--target", "y", *words)
    assert code == 0, err
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["handed_over"] != "linear"
    assert "your own code" in refused(run, "predict", "run", "ring.csv")
    code, out, err = run("predict", "run", "ring.csv", "--model", name)
    assert code == 0, err
    assert len(out.strip().splitlines()) == 401


# what is refused -----------------------------------------------------------------------------------------------------


def _missing(path):
    return path / "absent.csv"


def _empty(path):
    (path / "rows.csv").write_bytes(b"")


def _header_only(path):
    (path / "rows.csv").write_text("a,b,c,y\n")


def _no_column(path):
    table().rename(columns={"y": "z"}).to_csv(path / "rows.csv", index=False)


def _one_class(path):
    table().assign(y="yes").to_csv(path / "rows.csv", index=False)


def _nan_target(path):
    frame = table().assign(y=np.linspace(0, 1, 120))
    frame.loc[5, "y"] = np.nan
    frame.to_csv(path / "rows.csv", index=False)


def _infinite_target(path):
    frame = table().assign(y=np.linspace(0, 1, 120))
    frame.loc[5, "y"] = np.inf
    frame.to_csv(path / "rows.csv", index=False)


def _missing_column(path):
    table().assign(c=np.nan).to_csv(path / "rows.csv", index=False)


def _few_rows(path):
    table(4).to_csv(path / "rows.csv", index=False)


def _duplicates(path):
    (path / "rows.csv").write_text(table().to_csv(index=False).replace("a,b,c,y", "a,b,a,y", 1))


def _junk(path):
    (path / "rows.csv").write_bytes(np.random.default_rng(0).bytes(4000))


def _truncated_parquet(path):
    write_parquet(path / "whole.parquet", table().to_dict("records"))
    whole = (path / "whole.parquet").read_bytes()
    (path / "rows.parquet").write_bytes(whole[: len(whole) // 2])
    return path / "rows.parquet"


def _object_arrays(path):
    np.savez(path / "rows.npz", x=np.array([{}, []], dtype=object), y=np.array([0, 1]))
    return path / "rows.npz"


def _truncated_npz(path):
    np.savez(path / "whole.npz", x=np.zeros((50, 3)), y=np.arange(50) % 2)
    (path / "rows.npz").write_bytes((path / "whole.npz").read_bytes()[:300])
    return path / "rows.npz"


def _folder(path):
    (path / "rows.csv").mkdir()


BAD_DATA = [
    _missing, _empty, _header_only, _no_column, _one_class, _nan_target, _infinite_target, _missing_column, _few_rows,
    _duplicates, _junk, _truncated_parquet, _object_arrays, _truncated_npz, _folder,
]  # fmt: skip


@pytest.mark.parametrize("make", BAD_DATA, ids=lambda make: make.__name__.strip("_"))
def test_bad_data_are_refused(run, tmp_path, make):
    source = make(tmp_path) or tmp_path / "rows.csv"
    refused(run, "fit", source, "--target", "y", *SMALL, "--out", tmp_path / "run", out=tmp_path / "run")


BAD_OPTIONS = [
    "--effort heroic", "--methods magic", "--methods gmp,gmp", "--methods static/nowhere", "--densities 0",
    "--densities 1.5", "--densities some", "--densities ,", "--margin 0", "--margin 2", "--margin nan", "--margin much",
    "--margin 0.1 --retain 0.9", "--retain 1.5", "--rule magic", "--rule forward-gradient --methods rigl",
    "--model resnet", "--model no_such_module_:f", "--model json:absent", "--model cnn", "--folds 1", "--folds 1000",
    "--rounds 1", "--epochs 0", "--level 0.9", "--hidden 0", "--hidden -3", "--hidden wide", "--workers 0",
    "--workers -2", "--rng x", "--task guess", "--score beauty", "--score r2", "--cluster absent", "--time absent",
    "--site absent", "--group absent", "--time b", "--cluster y", "--time c --site b", "--colour red", "extra-word",
]  # fmt: skip


@pytest.mark.parametrize("words", BAD_OPTIONS)
def test_bad_options_are_refused(run, tmp_path, words):
    table().to_csv(tmp_path / "rows.csv", index=False)
    fixed = ["--effort", "quick", "--densities", "0.5", "--margin", "0.3", "--folds", "2", "--rounds", "2"]
    named = words.split()
    fixed += ["--epochs", "2", "--hidden", "8", "--workers", "1"]
    given = [w for pair in zip(fixed[::2], fixed[1::2], strict=True) if pair[0] not in named for w in pair]
    if "--retain" in named and "--margin" not in named:
        at = given.index("--margin")
        del given[at : at + 2]
    out = tmp_path / "run"
    refused(run, "fit", tmp_path / "rows.csv", "--target", "y", *given, *named, "--out", out, out=out)


def test_a_folder_of_other_files_is_left_alone(run, tmp_path):
    table().to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    before = contents(tmp_path)
    err = refused(run, "fit", tmp_path / "rows.csv", "--target", "y", *SMALL, "--out", tmp_path / "run")
    assert "not a sparsefire run" in err
    assert contents(tmp_path) == before


@pytest.mark.parametrize("change", ["margin", "data", "rng", "target"])
def test_the_folder_of_another_run_is_left_alone(finished, run, tmp_path, change):
    before = contents(finished / "run")
    frame = table()
    if change == "data":
        frame.loc[0, "c"] += 1
    frame.to_csv(tmp_path / "rows.csv", index=False)
    words = ["--target", "b" if change == "target" else "y", *SMALL]
    if change == "margin":
        words[words.index("--margin") + 1] = "0.2"
    if change == "rng":
        words += ["--rng", "1"]
    err = refused(run, "fit", tmp_path / "rows.csv", *words, "--out", finished / "run")
    assert "another run" in err
    assert contents(finished / "run") == before


def test_out_that_cannot_be_a_folder(run, tmp_path):
    table().to_csv(tmp_path / "rows.csv", index=False)
    for out in (tmp_path / "rows.csv", tmp_path / "rows.csv" / "below", Path("/proc/nothing/here")):
        refused(run, "fit", tmp_path / "rows.csv", "--target", "y", *SMALL, "--out", out)


@pytest.mark.parametrize("damage", ["absent", "cut", "flipped", "no-json", "other-json", "no-folder"])
def test_a_damaged_model_is_refused(finished, run, tmp_path, damage):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.safetensors", "model.json"):
        (folder / name).write_bytes((finished / "run" / name).read_bytes())
    arrays, settings = folder / "model.safetensors", folder / "model.json"
    whole = arrays.read_bytes()
    if damage == "absent":
        arrays.unlink()
    elif damage == "cut":
        arrays.write_bytes(whole[:-7])
    elif damage == "flipped":
        arrays.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "no-json":
        settings.write_bytes(settings.read_bytes()[:50])
    elif damage == "other-json":
        settings.write_text("[]")
    else:
        folder = tmp_path / "nowhere"
    refused(run, "predict", folder, finished / "rows.csv")


def test_predict_and_report_need_what_they_read(finished, run, tmp_path):
    refused(run, "predict", finished / "run", tmp_path / "absent.csv")
    refused(run, "predict", finished / "run")
    refused(run, "report", tmp_path)
    (tmp_path / "verdict.json").write_text('{"state": ')
    refused(run, "report", tmp_path)
    refused(run, "dance")


# hostile words -------------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """Collects the elements of a page and the handlers among their attributes."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []
        self.handlers: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag, attributes):
        self.found.append(tag)
        self.scripts += tag == "script"
        self.handlers += [name for name, value in attributes if name.startswith("on") or "onerror" in name]


def test_hostile_names_stay_text(run, tmp_path):
    frame = table().rename(columns={"a": HOSTILE, "b": f"b{HOSTILE}", "y": f"y{HOSTILE}"})
    frame[f"y{HOSTILE}"] = frame[f"y{HOSTILE}"].map({"no": f"no{HOSTILE}", "yes": "yes\x1b[31m"})
    frame[f"b{HOSTILE}"] = frame[f"b{HOSTILE}"] + HOSTILE
    frame.to_csv(tmp_path / "rows.csv", index=False)
    out = tmp_path / "run"
    code, printed, err = run(
        "fit", tmp_path / "rows.csv", "--target", f"y{HOSTILE}", "--group", f"b{HOSTILE}", *SMALL, "--out", out
    )
    assert code == 0, err
    assert "\x1b[31m" not in printed
    page = (out / "report.html").read_text(encoding="utf-8")
    hostile, plain = Elements(), Elements()
    hostile.feed(page)
    table().to_csv(tmp_path / "plain.csv", index=False)
    assert (
        run("fit", tmp_path / "plain.csv", "--target", "y", "--group", "b", *SMALL, "--out", tmp_path / "plain")[0] == 0
    )
    plain.feed((tmp_path / "plain" / "report.html").read_text(encoding="utf-8"))
    assert "img" not in hostile.found
    assert hostile.handlers == plain.handlers
    assert hostile.scripts == plain.scripts
    assert "onerror=alert(1)>" not in page.replace("&gt;", "")
    assert "<img src=x" not in page

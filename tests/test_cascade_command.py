"""Oracles: the contract of the command line (exit codes, streams, files), and the same law asked for in Python."""

from __future__ import annotations

import json
import sys

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sparsefire import Wiring, cascade_command
from sparsefire.cascades import IndependentCascade, LinearThreshold, Threshold
from sparsefire.cascades.load_redistribution import LoadRedistribution
from sparsefire.cli import main
from sparsefire.errors import UserError
from sparsefire.wiring import erdos_renyi, to_frame

FILES = {"sizes.parquet", "marginals.parquet", "law.json", "cascade.html"}
PATH = "from,to,p,w\na,b,0.5,0.5\nb,c,0.2,1\nc,d,0.9,0.7\n"
RING = "from,to\n7,8\n8,9\n9,7\n"


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


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with two small edge lists."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "path.csv").write_text(PATH)
    (tmp_path / "ring.csv").write_text(RING)
    return tmp_path


def law_in(folder):
    """Return P(0) … P(n) as written."""
    rows = duckdb.execute("SELECT probability FROM read_parquet(?) ORDER BY size", [str(folder / "sizes.parquet")])
    return np.array([value for (value,) in rows.fetchall()])


def refused(run, folder, *words):
    """Run, and check everything that a refusal owes: exit code 2, one message on stderr, no traceback, no file."""
    before = sorted(folder.rglob("*"))
    code, _, err = run("cascade", *words)
    assert code == 2, err
    lines = err.strip().splitlines()
    assert lines[0].startswith("error: "), err
    assert "Traceback" not in err
    assert any(line.startswith(("  came ", "  expected ", "  try ")) for line in lines), err
    assert sorted(folder.rglob("*")) == before
    return err


# what a person does --------------------------------------------------------------------------------------------------


def test_it_writes_the_folder_and_says_what_it_found(run, here):
    code, out, err = run("cascade", "path.csv", "--probability", "p", "--sources", "a")
    assert (code, err) == (0, "")
    folder = here / "runs" / "cascade-path"
    assert {path.name for path in folder.iterdir()} == FILES
    told = json.loads((folder / "law.json").read_text(encoding="utf-8"))
    assert told["headline"] in " ".join(out.split())
    assert told["command"] == "sparsefire cascade path.csv --probability p --sources a"
    assert "100,000 cascades on" in out
    assert out.index("Data") < out.index("Sizes") < out.index("LAW")
    assert law_in(folder) == pytest.approx([0, 0.5, 0.4, 0.01, 0.09])


MODELS = {
    "independent": (["--probability", "p", "--sources", "a"], lambda w: IndependentCascade(w, [0.5, 0.2, 0.9]), [0]),
    "one probability": (["--probability", "0.3", "--sources", "b,a"], lambda w: IndependentCascade(w, 0.3), [0, 1]),
    "by chance": (["--probability", "0.3", "--sources", "20%"], lambda w: IndependentCascade(w, 0.3), [0.2] * 4),
    "linear": (["--model", "linear-threshold", "--sources", "a"], LinearThreshold, [0]),
    "influence": (
        ["--model", "linear-threshold", "--influence", "w", "--sources", "a"],
        lambda w: LinearThreshold(w, [0.5, 1, 0.7]),
        [0],
    ),
    "threshold": (
        ["--model", "threshold", "--threshold", "normal:0.4,0.25"],
        lambda w: Threshold(w, stats.norm(0.4, 0.25)),
        None,
    ),
    "damage": (
        ["--model", "threshold", "--threshold", "0.5", "--load", "damage", "--sources", "a"],
        lambda w: Threshold(w, 0.5, "damage"),
        [0],
    ),
    "load column": (
        ["--model", "threshold", "--threshold", "uniform:0.2,1.2", "--load", "w", "--sources", "a", "--runs", "4000"],
        lambda w: Threshold(w, stats.uniform(0.2, 1.0), [0.5, 1, 0.7]),
        [0],
    ),
    "load": (
        ["--model", "load-redistribution", "--load", "0.15", "--capacity", "uniform", "--sharing", "global"],
        lambda w: LoadRedistribution(w, 0.15, stats.uniform(), "global"),
        None,
    ),
    "load, local": (
        ["--model", "load-redistribution", "--load", "0.3", "--capacity", "1", "--sources", "d", "--runs", "50"],
        lambda w: LoadRedistribution(w, 0.3, 1.0),
        [3],
    ),
}


@pytest.mark.parametrize(
    ("name", "undirected"),
    [
        (name, both) for name in MODELS for both in (False, True) if (name, both) != ("influence", True)
    ],  # above 1 in all
)
def test_every_model_gives_the_law_of_python(run, here, name, undirected):
    words, make, sources = MODELS[name]
    wiring = Wiring.from_edges([0, 1, 2], [1, 2, 3], directed=not undirected)
    runs = int(words[words.index("--runs") + 1]) if "--runs" in words else 100_000
    law = make(wiring).size_distribution(sources, runs=runs, rng=0)
    code, _, err = run("cascade", "path.csv", *words, *["--undirected"] * undirected, "--out", "out")
    assert code == 0, err
    assert law_in(here / "out") == pytest.approx(law.pmf, abs=1e-14)
    assert json.loads((here / "out" / "law.json").read_text())["method"] == law.method


@pytest.mark.parametrize("method", ["monte-carlo", "mean-field", "tree-approximation", "exact", "tree"])
def test_methods_are_passed_on(run, here, method):
    model = IndependentCascade(Wiring.from_edges([0, 1, 2], [1, 2, 3]), 0.4)
    law = model.size_distribution([0.1] * 4, method, runs=3000, rng=5)
    words = ["--probability", "0.4", "--sources", "10%", "--method", method, "--runs", "3000", "--rng", "5"]
    code, out, err = run("cascade", "path.csv", *words, "--workers", "2", "--out", "out")
    assert code == 0, err
    assert law_in(here / "out") == pytest.approx(law.pmf, abs=1e-14)
    assert (here / "out" / "marginals.parquet").exists() == (method != "tree-approximation")
    assert ("3,000 cascades on 2 workers" in out) == (method == "monte-carlo")


def test_marginals_are_those_of_the_same_runs(run, here):
    to_frame(erdos_renyi(60, 0.06, rng=1)).to_csv("net.csv", index=False)
    words = ["--probability", "0.3", "--sources", "3", "--runs", "2000"]
    assert run("cascade", "net.csv", *words, "--out", "one", "--workers", "1")[0] == 0
    assert run("cascade", "net.csv", *words, "--out", "two", "--workers", "2")[0] == 0
    for name in FILES - {"cascade.html", "law.json"}:
        assert (here / "one" / name).read_bytes() == (here / "two" / name).read_bytes()
    units = duckdb.execute("SELECT * FROM read_parquet('one/marginals.parquet')").df()
    pmf = law_in(here / "one")
    assert units["probability"].sum() == pytest.approx(np.arange(len(pmf)) @ pmf)  # the mean size, run by run
    assert (units["low"] <= units["probability"]).all()
    assert (units["probability"] <= units["high"]).all()
    assert units.loc[units["unit"] == "3", "probability"].item() == 1


def test_whole_numbers_are_labels_and_other_columns_may_be_named(run, here):
    pd.DataFrame({"x": [1.5, 2.5], "to": [1000, 10], "from": [20, 1000]}).to_csv("far.tsv", sep="\t", index=False)
    code, out, err = run(
        "cascade", "far.tsv", "--senders", "from", "--receivers", "to", "--probability", "0.5", "--sources", "20"
    )
    assert code == 0, err
    assert "3 units" in out
    assert law_in(here / "runs" / "cascade-far") == pytest.approx([0, 0.5, 0.25, 0.25])


def test_labels_with_commas_and_percent_signs(run, here):
    (here / "odd.csv").write_text('from,to\n"Bern, CH",5%\n5%,"a ""b"""\n')
    for number, sources in enumerate(("Bern, CH", '"Bern, CH"', '5%,"Bern, CH"', '"a ""b""","Bern, CH"')):
        code, _, err = run("cascade", "odd.csv", "--probability", "0", "--sources", sources, "--out", f"out{number}")
        assert code == 0, err
        told = json.loads((here / f"out{number}" / "law.json").read_text())
        assert "Bern, CH" in told["asked"]["sources"]
        assert told["mean"] == len(told["asked"]["sources"])
    code, _, _ = run("cascade", "odd.csv", "--probability", "0", "--sources", "5%", "--out", "label")
    assert code == 0
    assert json.loads((here / "label" / "law.json").read_text())["asked"]["sources"] == ["5%"]


def test_the_same_command_again_and_another(run, here):
    words = ["cascade", "path.csv", "--probability", "0.5", "--sources", "a", "--out", "out"]
    assert run(*words)[0] == 0
    before = {path.name: path.read_bytes() for path in (here / "out").iterdir()}
    assert run(*words)[0] == 0
    assert {path.name: path.read_bytes() for path in (here / "out").iterdir()} == before
    words[3] = "0.6"
    assert "another cascade" in refused(run, here, *words[1:])
    (here / "path.csv").write_text(PATH.replace("0.9", "0.8"))
    words[3] = "0.5"
    assert "sha256" in refused(run, here, *words[1:])
    assert {path.name: path.read_bytes() for path in (here / "out").iterdir()} == before


def test_a_folder_of_other_files_is_left_alone(run, here):
    (here / "out").mkdir()
    (here / "out" / "thesis.txt").write_text("years of work")
    err = refused(run, here, "path.csv", "--probability", "0.5", "--sources", "a", "--out", "out")
    assert "not a cascade" in err


@pytest.mark.parametrize("where", ["size_distribution", "write"])
def test_stopping_leaves_nothing(run, here, monkeypatch, where):
    def stop(*_, **__):
        raise KeyboardInterrupt

    if where == "write":
        monkeypatch.setattr("sparsefire.report.cascade_folder.replace_file", stop)
    else:
        monkeypatch.setattr(IndependentCascade, "size_distribution", stop)
    before = sorted(path for path in here.rglob("*") if path.is_file())
    code, _, err = run("cascade", "path.csv", "--probability", "0.5", "--sources", "a")
    assert code == 130
    assert "half written" in err
    assert sorted(path for path in here.rglob("*") if path.is_file()) == before


# what is refused -----------------------------------------------------------------------------------------------------

BAD_FILES = {
    "missing": None,
    "empty": "",
    "header only": "from,to\n",
    "one column": "from\na\nb\n",
    "no header": "1,2\n2,3\n",
    "missing value": "from,to\na,b\n,c\n",
    "long row": "from,to\na,b\na,b,c\n",
    "zero byte": "from,to\na,\0\n",
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_are_refused(run, here, kind):
    if BAD_FILES[kind] is not None:
        (here / "bad.csv").write_text(BAD_FILES[kind])
    refused(run, here, "bad.csv", "--probability", "0.1", "--sources", "a")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--probability 0.1 --sources 7,3", '"3"'),
        ("--probability 0.1 --sources 7,7", "twice"),
        ("--probability 0.1 --sources ,", "names no unit"),
        ("--probability 0.1 --sources 120%", "percentage"),
        ("--probability 0.1 --sources -1%", "percentage"),
        ("--probability 0.1 --sources x%", "percentage"),
        ("--probability 0.1", "nobody starts"),
        ("--probability 1.5 --sources 7", "1.5"),
        ("--probability -0.1 --sources 7", "-0.1"),
        ("--probability nan --sources 7", "nan"),
        ("--probability chance --sources 7", "chance"),
        ("--sources 7", "--probability"),
        ("--model voter --sources 7", "voter"),
        ("--probability 0.1 --sources 7 --threshold 0.3", "--threshold"),
        ("--probability 0.1 --sources 7 --method magic", "magic"),
        ("--probability 0.1 --sources 7 --method tree", "cycles"),
        ("--model load-redistribution --load 0.1 --capacity 1 --method tree-approximation", "tree-approximation"),
        ("--model load-redistribution --load 0.1 --capacity 1 --method tree", "tree"),
        ("--probability 0.1 --sources 7 --runs 0", "runs"),
        ("--probability 0.1 --sources 7 --runs many", "runs"),
        ("--probability 0.1 --sources 7 --rng -1", "--rng"),
        ("--probability 0.1 --sources 7 --workers 0", "workers"),
        ("--probability 0.1 --sources 7 --senders who", "who"),
        ("--probability 0.1 --sources 7 --senders to --receivers to", "one column"),
        ("--model threshold", "--threshold"),
        ("--model threshold --threshold gamma", "gamma"),
        ("--model threshold --threshold normal:0.5", "normal:0.5"),
        ("--model threshold --threshold normal:0.5,0", "normal:0.5,0"),
        ("--model threshold --threshold normal:0.5,0.1,2", "normal"),
        ("--model threshold --threshold normal:0.5,x,2", "normal"),
        ("--model threshold --threshold uniform:1,0", "uniform:1,0"),
        ("--model threshold --threshold 0.5 --load heavy", "heavy"),
        ("--model threshold --threshold 0.5 --load -1", "-1"),
        ("--model load-redistribution --load 0.1", "--capacity"),
        ("--model load-redistribution --load much --capacity 1", "much"),
        ("--model load-redistribution --load -1 --capacity 1", "load"),
        ("--model load-redistribution --load 0.1 --capacity 1 --sharing none", "none"),
        ("--probability 0.1 --sources 7 --out ring.csv", "is a file"),
        ("--probability 0.1 --sources 7 --out ring.csv/below", "is a file"),
        ("--probability 0.1 --sources 7 --colour red", "colour"),
    ],
)
def test_bad_options_are_refused(run, here, words, said):
    assert said in refused(run, here, "ring.csv", *words.split())


SAME = "from,to,w\n" + "".join(f"{u},{v},{u}\n" for u, v in np.random.default_rng(1).integers(0, 30, (90, 2)))


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            "--probability 0.1 --sources 1% --method exact",
            ["--model independent on 30 units, ", "--method monte-carlo"],
        ),
        (
            "--model linear-threshold --sources 1% --method exact",
            ["--model linear-threshold on ", "--method monte-carlo"],
        ),
        (
            "--model threshold --threshold uniform --load w --method mean-field",
            ["--load exposure, or", "--method monte-carlo"],
        ),
        (
            "--model threshold --threshold uniform --method tree-approximation",
            ["parallel arcs", "--method monte-carlo"],
        ),
        (
            "--model load-redistribution --load 0.1 --capacity uniform --method mean-field",
            ["--sharing local", "--sharing global, or", "--method monte-carlo"],
        ),
        ("--probability 0.1 --sources 1% --workers 0", ["--workers "]),
        ("--probability 0.1 --sources 1% --senders runs=3", ['--senders "runs=3"']),
        ("--probability 0.1 --sources 1% --receivers who", ['--receivers "who"', "3 columns: from, to, w"]),
        ("--model load-redistribution --load -1 --capacity 1", ["--load", "0 or more"]),
    ],
)
def test_messages_speak_of_options(run, here, words, lines):
    (here / "net.csv").write_text(SAME)
    err = refused(run, here, "net.csv", *words.split())
    assert all(line in err for line in lines), err
    python = ("method=", '"monte-carlo"', "Wiring", "workers=", "load=", "sharing=", "sender=", "receiver=")
    assert not any(word in err for word in python), err


def test_arguments_in_messages_become_options():
    given = UserError("no.", came="runs=3 of a", expected="runs=10, or sharing='global'", attempt='method="a" or "b-c"')
    told = cascade_command.in_options(given, "threshold")
    assert (told.message, told.came) == ("no.", "runs=3 of a")  # what a file says stays as it is
    assert (told.expected, told.attempt) == ("--runs 10, or --sharing global", "--method a or b-c")
    assert cascade_command.in_options(UserError("no.", came="runs=3"), "threshold").came == "--runs 3"


def test_a_missing_file_is_no_data_set(run, here):
    err = refused(run, here, "digits", "--probability", "0.1", "--sources", "a")
    assert "the path of an edge list" in err
    assert "data set" not in err


@pytest.mark.parametrize(
    ("table", "words", "said"),
    [
        ("from,to,p\na,b,0.5\nb,c,1.5\n", "--probability p", "1.5 in row 2"),
        ("from,to,p\na,b,0.5\nb,c,often\n", "--probability p", "no numbers"),
        ("from,to,p\na,b,0.5\nb,c,\n", "--probability p", "missing"),
        ("from,to,w\na,c,0.5\nb,c,0.75\nc,a,1\n", "--model linear-threshold --influence w", 'the unit "c"'),
        ("from,to,w\na,c,-0.5\n", "--model linear-threshold --influence w", "-0.5 in row 1"),
        ("from,to,w\na,c,-0.5\n", "--model threshold --threshold 1 --load w", "-0.5 in row 1"),
    ],
)
def test_bad_columns_are_refused(run, here, table, words, said):
    (here / "bad.csv").write_text(table)
    assert said in refused(run, here, "bad.csv", *words.split(), "--sources", "a")


def test_a_label_nearly_right_is_suggested(run, here):
    (here / "air.csv").write_text("from,to\nKEF,LHR\nLHR,JFK\n")
    assert "--sources KEF" in refused(run, here, "air.csv", "--probability", "0.1", "--sources", "kef")


def test_hostile_labels_stay_text(run, here):
    hostile = "</script><img src=x onerror=alert(1)>"
    (here / "bad.csv").write_text(f"from,to\n{hostile},b\nb,{hostile}2\n")
    code, out, err = run("cascade", "bad.csv", "--probability", "0.5", "--sources", hostile)
    assert code == 0, err
    assert "<img src=x" not in (here / "runs" / "cascade-bad" / "cascade.html").read_text(encoding="utf-8")
    (here / "bad.csv").write_text("from,to\na\x1b[31m,b\nb,c\n")
    code, out, _ = run("cascade", "bad.csv", "--probability", "0.5", "--sources", "a\x1b[31m", "--out", "two")
    assert code == 0
    assert "\x1b" not in out
    assert "\x1b" not in (here / "two" / "cascade.html").read_text(encoding="utf-8")


def test_a_terminal_without_unicode(run, here, monkeypatch):
    import io

    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert run("cascade", "path.csv", "--probability", "p", "--sources", "a")[0] == 0
    stream.flush()
    assert b"####" in stream.buffer.getvalue()


def test_every_option_of_a_model_is_known():
    request = cascade_command.CascadeRequest("x")
    assert all(hasattr(request, name) for names in cascade_command.NEEDS.values() for name in names)
    assert set(cascade_command.NEEDS) == set(cascade_command.MODELS)

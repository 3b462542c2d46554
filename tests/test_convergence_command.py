"""Oracles: the contract of the command line (exit codes, streams, files), the same risk asked for in Python, theory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import duckdb
import numpy as np
import pytest

from sparsefire import randomness
from sparsefire.cli import main
from sparsefire.convergence.exact.risk import exact_risk
from sparsefire.convergence.inference.fits import fit_powers, fit_rate
from sparsefire.convergence.simulation.simulate import simulate_risk
from sparsefire.convergence.update import RULES
from sparsefire.convergence_command import ConvergenceRequest, as_options, read_jobs
from sparsefire.errors import UserError
from sparsefire.report.convergence_curves import SIZES, decay, limit_of

FILES = {"risk.parquet", "convergence.json", "convergence.html", "parts"}
SMALL = ("--dimension", "2,3,5", "--samples", "300", "--runs", "64")
COLUMNS = ["dimension", "k", "mean", "low", "high", "median", "q10", "q90", "exact"]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Return a function that runs the command line in an empty folder and gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["sparsefire", "convergence", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return call


def table(folder):
    return duckdb.execute("SELECT * FROM read_parquet(?)", [str(folder / "risk.parquet")]).df()


def told(folder):
    return json.loads((folder / "convergence.json").read_text(encoding="utf-8"))


def jobs(**options):
    return read_jobs(ConvergenceRequest(**{"dimension": "10", "samples": "300", "runs": "64", **options}))


def in_python(dimension, **options):
    (job,) = jobs(dimension=str(dimension), **options)
    return simulate_risk(
        job.update, job.problem, steps=job.samples, step_size=job.schedule, runs=job.runs,
        rng=randomness.integer(0, "convergence", dimension),
    )  # fmt: skip


# what a person does --------------------------------------------------------------------------------------------------


def test_it_writes_the_folder_and_says_what_it_found(run, tmp_path):
    code, out, err = run(*SMALL)
    assert code == 0, err
    assert "Simulate  100%  192 of 192" in err
    folder = tmp_path / "runs" / "convergence-forward-gradient"
    assert {path.name for path in folder.iterdir()} == FILES
    found = told(folder)
    assert found["finished"]
    assert found["headline"] in " ".join(out.split())
    assert found["command"] == "sparsefire convergence --dimension 2,3,5 --samples 300 --runs 64"
    assert "64 runs of 300 samples for each d on" in out
    assert out.index("Rule") < out.index("Risk") < out.index("FINDING") < out.index("convergence.html")


def test_the_table_is_the_risk_of_python(run, tmp_path):
    assert run(*SMALL, "--out", "out")[0] == 0
    rows = table(tmp_path / "out")
    assert list(rows.columns) == COLUMNS
    estimates = [in_python(d) for d in (2, 3, 5)]
    for d, estimate in zip((2, 3, 5), estimates, strict=True):
        mine = rows[rows["dimension"] == d]
        low, high = estimate.interval()
        assert np.array_equal(mine["k"], estimate.steps)
        for name, values in (
            ("mean", estimate.mean()),
            ("low", low),
            ("high", high),
            ("median", estimate.median()),
            ("q10", estimate.quantile(0.1)),
            ("q90", estimate.quantile(0.9)),
        ):
            assert mine[name].to_numpy() == pytest.approx(values, rel=1e-12, abs=1e-15), name
        schedule = lambda k, d=d: 1 / (k + (d + 2) ** 2)  # noqa: E731
        exact = exact_risk("forward-gradient", dimension=d, steps=300, step_size=schedule)
        assert mine["exact"].to_numpy() == pytest.approx(exact, rel=1e-9)
    found = told(tmp_path / "out")
    for estimate, row in zip(estimates, found["dimensions"], strict=True):
        fit = fit_rate(estimate)
        known = fit_rate((estimate.steps, estimate.exact), window=fit.window)
        assert row["in_samples"]["value"] == fit.exponent
        assert (row["in_samples"]["low"], row["in_samples"]["high"]) == fit.interval()
        assert row["in_samples"]["exact"] == pytest.approx(known.exponent, rel=1e-12)
    rising = fit_powers([2, 3, 5], estimates)
    low, high = rising.interval()
    assert found["in_dimension"]["value"] == rising.slope
    assert (found["in_dimension"]["low"], found["in_dimension"]["high"]) == (-high, -low)
    assert found["in_dimension"]["theory"] == 2


def test_the_dimensions_are_independent_of_one_another():
    ends = [in_python(d, runs="2048", samples="20").values[:, -1] for d in (4, 5)]
    assert abs(np.corrcoef(*ends)[0, 1]) < 4 / np.sqrt(2048)


def test_workers_do_not_change_the_results(run, tmp_path):
    for workers in (1, 2):
        assert run(*SMALL, "--workers", workers, "--out", f"out{workers}")[0] == 0
    one, two = ((tmp_path / f"out{workers}" / "risk.parquet").read_bytes() for workers in (1, 2))
    assert one == two


@pytest.mark.parametrize(
    "words",
    [
        ("--rule", "sgd", "--design", "rademacher"),
        ("--rule", "two-query", "--law", "sphere"),
        ("--rule", "one-query", "--law", "rademacher", "--baseline", "mean"),
        ("--rule", "hebbian", "--baseline", "previous"),
        ("--rule", "node-perturbation",),
        ("--rule", "weight-perturbation", "--directions", "3"),
        ("--repeats", "3", "--start", "0"),
        ("--noise", "0"),
        ("--step-size", "0.01"),
        ("--step-size", "0.3/k"),
        ("--samples", "1"),
    ],
)  # fmt: skip
def test_every_rule_and_option_goes_through(run, tmp_path, words):
    code, _, err = run("--dimension", "1,4", "--samples", "200", "--runs", "8", *words, "--out", "out")
    assert code == 0, err
    assert "Traceback" not in err
    page = (tmp_path / "out" / "convergence.html").read_text(encoding="utf-8")
    assert "nan" not in page.lower().split()


# interrupted and repeated --------------------------------------------------------------------------------------------


def test_the_same_command_again_simulates_nothing(run, tmp_path, monkeypatch):
    words = (*SMALL, "--out", "out")
    assert run(*words)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}

    def never(*_, **__):
        raise AssertionError("simulated again")

    monkeypatch.setattr("sparsefire.convergence.simulation.simulate.simulate_risk", never)
    assert run(*words)[0] == 0
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_an_interrupted_command_goes_on_where_it_stopped(run, tmp_path, monkeypatch):
    assert run(*SMALL, "--out", "whole")[0] == 0
    calls = []

    def stopping(update, problem, **given):
        calls.append(problem.dimension)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return simulate_risk(update, problem, **given)

    monkeypatch.setattr("sparsefire.convergence.simulation.simulate.simulate_risk", stopping)
    code, _, err = run(*SMALL, "--out", "out")
    assert code == 130
    assert "the same command resumes" in err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"convergence.json", "parts"}
    assert not told(tmp_path / "out")["finished"]
    code, _, err = run(*SMALL, "--out", "out")
    assert code == 0, err
    assert calls == [2, 3, 5, 5]
    assert (tmp_path / "out" / "risk.parquet").read_bytes() == (tmp_path / "whole" / "risk.parquet").read_bytes()


def test_stopping_while_writing_leaves_no_half_file(run, tmp_path, monkeypatch):
    assert run(*SMALL, "--out", "out")[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("sparsefire.report.convergence_folder.replace_file", stop)
    assert run(*SMALL, "--out", "out")[0] == 130
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_ctrl_c_stops_a_long_command(tmp_path):
    words = ["convergence", "--dimension", "2,30", "--samples", "1e7", "--runs", "1000", "--workers", "2"]
    code = "from sparsefire.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words, "--out", "out"], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs do not hear it
    )  # fmt: skip
    try:
        waited = time.monotonic() + 120
        while not (tmp_path / "out" / "parts").exists() and time.monotonic() < waited:
            time.sleep(0.1)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert b"the same command resumes" in err
    assert b"Traceback" not in err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"convergence.json", "parts"}


def test_a_folder_of_another_command_is_left_alone(run, tmp_path):
    assert run(*SMALL, "--out", "out")[0] == 0
    err = refused(run, tmp_path, *SMALL, "--noise", "2", "--out", "out")
    assert "another convergence" in err
    assert "differ: noise" in err
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "years.txt").write_text("of work")
    assert "not a convergence" in refused(run, tmp_path, *SMALL, "--out", "thesis")


# what is refused and what is warned of -------------------------------------------------------------------------------


def refused(run, folder, *words):
    """Run, and check everything that a refusal owes: exit code 2, one message on stderr, no traceback, no file."""
    before = sorted(folder.rglob("*"))
    code, out, err = run(*words)
    assert code == 2, err
    lines = err.strip().splitlines()
    assert lines[0].startswith("error: "), err
    assert "Traceback" not in err
    assert out == ""
    assert any(line.startswith(("  came ", "  expected ", "  try ")) for line in lines), err
    assert sorted(folder.rglob("*")) == before
    return err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--runs 0", "--runs"),
        ("--runs 1", "no spread"),
        ("--runs many", "--runs"),
        ("--rule backprop", "forward-gradient"),
        ("--dimension 0", "--dimension"),
        ("--dimension 10,x", "--dimension"),
        ("--dimension 1.5", "--dimension"),
        ("--dimension ,", "--dimension"),
        ("--dimension 10,10", "twice"),
        ("--samples 0", "--samples"),
        ("--samples 10.5", "--samples"),
        ("--samples inf", "--samples"),
        ("--samples 1e12", "--samples"),
        ("--step-size nan", "nan"),
        ("--step-size inf", "inf"),
        ("--step-size 0", "--step-size"),
        ("--step-size -0.1", "--step-size"),
        ("--step-size k/2", "c/(k+k0)"),
        ("--step-size 1/(k+nan)", "--step-size"),
        ("--step-size 1/(j+3)", "--step-size"),
        ("--law cauchy", "cauchy"),
        ("--design cauchy", "rademacher"),
        ("--baseline best", "previous"),
        ("--baseline mean", "one-query"),
        ("--directions 0", "directions"),
        ("--directions 2 --repeats 2", "exclude"),
        ("--rule sgd --directions 2", "--directions or --repeats"),
        ("--noise -1", "noise"),
        ("--noise nan", "noise"),
        ("--noise 0 --rule one-query", "--noise 0"),
        ("--start -1", "start"),
        ("--workers 0", "--workers"),
        ("--rng -1", "--rng"),
        ("--colour red", "colour"),
    ],
)
def test_bad_options_are_refused(run, tmp_path, words, said):
    assert said in refused(run, tmp_path, *words.split())


def test_steps_beyond_the_limit_are_told_with_the_limit(run, tmp_path):
    code, out, _ = run("--dimension", "10", "--samples", "200", "--runs", "64", "--step-size", "0.02", "--out", "out")
    assert code == 0
    spoken = " ".join(out.split())
    assert spoken.count("At d = 10 steps are beyond the stability limit") == 2  # before the work and with the result
    assert "0.02 against 0.0139" in spoken
    (row,) = told(tmp_path / "out")["dimensions"]
    assert row["stability_limit"] == pytest.approx(2 / 144)


def test_a_mean_that_few_runs_carry_is_told(run, tmp_path):
    words = ["--dimension", "10", "--samples", "1000", "--runs", "500", "--noise", "0", "--step-size", 1.9 / 144]
    assert run(*words, "--out", "out")[0] == 0
    assert any("few runs carry the mean" in text for text in told(tmp_path / "out")["cautions"])


def test_student_inputs_are_told(run, tmp_path):
    assert run(*SMALL, "--design", "student", "--out", "out")[0] == 0
    assert any("medians do" in text for text in told(tmp_path / "out")["cautions"])


def test_diverged_runs_give_a_page_without_exponents(run, tmp_path):
    words = ["--dimension", "5,6,7", "--samples", "3000", "--runs", "8", "--step-size", "1", "--out", "out"]
    code, out, err = run(*words)
    assert code == 0, err
    found = told(tmp_path / "out")
    assert "grew instead of falling" in found["headline"]
    assert found["in_dimension"] is None
    assert [row["in_samples"] for row in found["dimensions"]] == [None] * 3
    assert "overflow" in out


# theory --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, 120),
        ({"law": "rademacher"}, 100),
        ({"rule": "sgd"}, 10),
        ({"rule": "two-query", "noise": 2.0}, 480),
        ({"directions": 5}, 32),
        ({"repeats": 5}, 32),
        ({"repeats": 10}, 21),
        ({"step_size": "0.75/(k+108)"}, 135),
        ({"step_size": "2/(k+288)"}, 160),
        ({"step_size": "0.5/(k+72)"}, None),
        ({"step_size": "0.01"}, None),
        ({"noise": 0.0}, None),
        ({"rule": "one-query", "law": "rademacher"}, 300),
        ({"rule": "one-query", "law": "rademacher", "baseline": "previous"}, 400),
        ({"rule": "hebbian"}, None),
    ],
)
def test_limits_of_k_times_risk(options, limit):
    (job,) = jobs(**options)
    assert limit_of(job) == (None if limit is None else pytest.approx(limit, rel=1e-6))


@pytest.mark.parametrize("options", [{"repeats": 4}, {"step_size": "1.5/(k+80)"}, {"rule": "node-perturbation"}])
def test_the_limit_is_where_the_recursion_goes(options):
    (job,) = jobs(dimension="3", **options)
    steps = 1_000_000
    risk = exact_risk(job.update, job.problem, steps=steps, step_size=job.schedule)
    assert steps * risk[-1] == pytest.approx(limit_of(job), rel=2e-3)


def test_slow_schedules_keep_their_own_exponent():
    (job,) = jobs(dimension="3", step_size="0.25/(k+6)")
    assert decay(job) == 0.5
    risk = exact_risk(job.update, job.problem, steps=10**6, step_size=job.schedule)
    assert fit_rate((np.arange(10**6 + 1)[::1000], risk[::1000])).exponent == pytest.approx(0.5, abs=0.01)


def test_constant_steps_have_a_floor(run, tmp_path):
    words = ["--dimension", "10", "--samples", "20000", "--runs", "64", "--step-size", 0.2 / 144, "--out", "out"]
    assert run(*words)[0] == 0
    found = told(tmp_path / "out")
    assert found["dimensions"][0]["floor"] == pytest.approx(0.0926, abs=5e-5)
    assert "stops falling near 0.09259" in found["headline"]


def test_automatic_steps_are_those_of_the_library():
    (job,) = jobs()
    assert (job.schedule.factor, job.schedule.offset) == (1.0, 144.0)
    assert str(job.schedule) == "1/(k + 144)"
    assert job.schedule(np.array([1.0, 2.0])) == pytest.approx([1 / 145, 1 / 146])


def test_every_option_of_the_command_is_in_the_request():
    import inspect

    from sparsefire import cli

    options = set(inspect.signature(cli.convergence).parameters) - {"out"}
    assert options | {"command"} == set(ConvergenceRequest.__dataclass_fields__)
    assert set(SIZES) <= set(RULES)


def test_errors_speak_of_options():
    with pytest.raises(UserError) as caught, as_options():
        raise UserError("no.", came="step_size=3 of noise=0", expected="runs= above 1")
    assert caught.value.came == "--step-size 3 of --noise 0"
    assert caught.value.expected == "--runs above 1"

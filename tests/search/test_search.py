"""Oracles: the promises of the search (repeat, resume, kill, refuse) checked on files; populations of known answer."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import pytest
import torch

import sparsefire as sf
from sparsefire import UserError
from sparsefire.data import open_problem, problem_from_arrays, split_test
from sparsefire.report.run_folder import read_curves
from sparsefire.search import runs
from sparsefire.search.folder import SETTINGS_FILE
from sparsefire.search.plan import everyone
from sparsefire.search.search import search
from sparsefire.studies import Store

FILES = {"model.safetensors", "model.json", "results.parquet", "verdict.json", "settings.json", "runs"}
VARIES = {"timing", "latency_us", "workers"}  # times, and how many worked on it


def lasting(value):
    """Return a verdict without what may differ from one run to the next."""
    if isinstance(value, dict):
        return {k: lasting(v) for k, v in value.items() if k not in VARIES}
    return [lasting(v) for v in value] if isinstance(value, list) else value


def stored(folder):
    """Return run key → (inode, time of change) of every finished run."""
    found = {}
    store = Store(folder / "runs")
    for key in store.keys():  # noqa: SIM118 - a store is no dict
        info = (folder / "runs" / key / "done").stat()
        found[key] = info.st_ino, info.st_mtime_ns
    return found


def results(folder):
    """Return ``results.parquet`` as a frame."""
    return duckdb.execute("SELECT * FROM read_parquet(?)", [str(folder / "results.parquet")]).df()


def files_below(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# what it leaves ------------------------------------------------------------------------------------------------------


def test_every_file_is_written(done):
    assert {path.name for path in done.folder.iterdir()} == FILES
    assert json.loads((done.folder / "verdict.json").read_text(encoding="utf-8")) == done.verdict
    assert done.verdict["state"] in ("confirmed", "not-confirmable", "not-confirmed")
    assert done.verdict["selected"]["weights"] < done.verdict["selected"]["dense_weights"]


def test_results_have_one_row_per_run(done):
    table = results(done.folder)
    kept = Store(done.folder / "runs").keys()
    assert sorted(table["key"]) == sorted(kept)
    assert {"dense", "linear", "boosting", "narrow@0.5", "gmp@0.5"} <= set(table["candidate"])
    dense = table[(table["candidate"] == "dense") & (table["round"] != runs.FINAL)]
    assert sorted(zip(dense["round"], dense["fold"], strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert (dense["rows_train"] + dense["rows_held_out"] == done.verdict["data"]["rows_development"]).all()
    assert (dense["curve"].map(len) == dense["epochs"]).all()


def test_the_plan_is_told_first_then_progress(done):
    names = [name for name, _ in done.events]
    assert names.count("plan") == 1
    told = done.events[names.index("plan") + 1 :]
    assert {name for name, _ in told} == {"progress"}
    counts = [details["done"] for _, details in told]
    assert counts == sorted(counts)
    assert all(details["done"] <= details["total"] for _, details in told)
    assert done.events[names.index("plan")][1]["power"]["text"]


def test_a_first_run_resumes_nothing_and_a_second_everything(done):
    assert done.verdict["timing"]["resumed"] == 0
    before = stored(done.folder)
    again = search(done.problem, done.request, done.folder, workers=1)
    assert stored(done.folder) == before
    assert done.verdict["timing"]["runs"] == len(before)
    assert again["timing"] == done.verdict["timing"]  # of the start that did the work
    assert lasting(again) == lasting(done.verdict)


def test_workers_change_nothing(done, tmp_path):
    two = search(done.problem, done.request, tmp_path / "two", workers=2)
    assert lasting(two) == lasting(done.verdict)
    same = ["key", "candidate", "round", "fold", "score", "weights", "rate"]
    pd.testing.assert_frame_equal(results(tmp_path / "two")[same], results(done.folder)[same])


def test_workers_do_not_enter_the_plan(small, tmp_path, monkeypatch):
    """A machine that is far too slow: the plan is cut, and by the same amount whatever the workers."""
    from sparsefire.search import search as module

    class Enough(Exception):
        pass

    def stop(event, details):
        if event == "progress":
            raise Enough

    def here(function, jobs, *, workers, **options):  # seven processes need not be started to be counted
        return sf.parallel.run_all(function, jobs, workers=1, **options)

    plans = []
    monkeypatch.setitem(module.BUDGET_BY_EFFORT, "quick", 0.2)
    monkeypatch.setattr("sparsefire.search.worker.run_all", here)
    problem, request = problem_from_arrays(*small.blobs()), small.request(folds=None, rounds=None, epochs=2)
    for workers in (1, 7):
        folder = tmp_path / str(workers)
        with pytest.raises(Enough):
            search(problem, request, folder, workers=workers, listen=stop)
        plans.append(json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))["plan"])
    assert plans[0] == plans[1]
    assert plans[0]["rounds"] == 3


def test_another_rng_is_another_result(done, small, tmp_path):
    other = search(done.problem, small.request(densities=[0.5, 0.25], rng=1), tmp_path / "other", workers=1)
    assert lasting(other)["candidates"] != lasting(done.verdict)["candidates"]


# killed and repeated -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_killing_at_any_moment_loses_and_repeats_nothing(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(120, 2)), np.arange(120) % 2
    frame = pd.DataFrame(X + 3 * y[:, None], columns=["a", "b"]).assign(y=np.array(["no", "yes"])[y])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    words = ["fit", "rows.csv", "--target", "y", "--effort", "quick", "--densities", "0.5,0.2", "--folds", "3",
             "--rounds", "3", "--epochs", "15", "--margin", "0.2", "--hidden", "16", "--workers", "1"]  # fmt: skip
    command = [sys.executable, "-c", "from sparsefire.cli import main; main()", *words]
    quiet = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    generator = np.random.default_rng(1)
    out = tmp_path / "run"
    seen: dict = {}
    for _ in range(5):
        process = subprocess.Popen([*command, "--out", str(out)], **quiet)
        while process.poll() is None and not (out / SETTINGS_FILE).exists():  # it has begun
            time.sleep(0.01)
        time.sleep(float(generator.uniform(0, 0.5)))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if not (out / "runs").exists():
            continue
        now = stored(out)
        assert seen.items() <= now.items()  # nothing lost, nothing written again
        seen = now
        if process.returncode == 0:
            break
    finished = subprocess.run([*command, "--out", str(out)], check=False, **quiet)
    assert finished.returncode == 0, finished.stderr
    assert seen.items() <= stored(out).items()
    whole = subprocess.run([*command, "--out", str(tmp_path / "whole")], check=False, **quiet)
    assert whole.returncode == 0, whole.stderr
    killed, calm = (json.loads((f / "verdict.json").read_text(encoding="utf-8")) for f in (out, tmp_path / "whole"))
    killed["plan"].pop("command")
    calm["plan"].pop("command")
    assert lasting(killed) == lasting(calm)


@pytest.mark.parametrize("after", [4, *(pytest.param(runs, marks=pytest.mark.slow) for runs in (0, 9))])
def test_stopping_after_any_run_resumes_there(done, tmp_path, monkeypatch, after):
    class Stopped(Exception):
        pass

    real, count = runs.execute, []

    def cut(study, job, store):
        if len(count) == after:
            raise Stopped
        count.append(job)
        return real(study, job, store)

    with monkeypatch.context() as patch:
        patch.setattr("sparsefire.search.worker.execute", cut)
        patch.setattr("sparsefire.search.search.execute", cut)  # the pilot
        with pytest.raises(Stopped):
            search(done.problem, done.request, tmp_path / "run", workers=1)
    before = stored(tmp_path / "run")
    assert len(before) == after
    verdict = search(done.problem, done.request, tmp_path / "run", workers=1)
    assert before.items() <= stored(tmp_path / "run").items()
    assert verdict["timing"]["resumed"] == after
    assert lasting(verdict) == lasting(done.verdict)


@pytest.mark.parametrize("left", ["empty folder", "half-written settings"])
def test_a_kill_before_the_first_run_does_not_lock_the_folder(small, tmp_path, left):
    folder = tmp_path / "run"
    folder.mkdir()
    if left == "half-written settings":
        (folder / f".{SETTINGS_FILE}.123").write_text('{"asked": {')
    assert search(problem_from_arrays(*small.blobs()), small.request(epochs=2), folder, workers=1)["state"]


def test_a_broken_run_is_done_again(done, small, tmp_path):
    request = small.request(epochs=2)
    first = search(done.problem, request, tmp_path / "run", workers=1)
    before = stored(tmp_path / "run")
    key = sorted(before)[0]
    (tmp_path / "run" / "runs" / key / "arrays.npz").write_bytes(b"gone")
    again = search(done.problem, request, tmp_path / "run", workers=1)
    assert lasting(again) == lasting(first)
    now = stored(tmp_path / "run")
    assert {k for k in now if now[k] != before.get(k)} == {key}


# refused -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"margin": 0.1}, {"rng": 1}, {"epochs": 3}, {"hidden": [9]}, {"folds": 3}, {"rounds": 3}, {"level": 0.1},
        {"densities": [0.4]}, {"methods": ["static"]}, {"effort": "standard"}, {"margin": None, "retain": 0.9},
        {"rule": "forward-gradient"},
    ],
    ids=str,
)  # fmt: skip
def test_another_request_leaves_the_folder_alone(done, small, change):
    before = files_below(done.folder)
    with pytest.raises(UserError, match="another run") as error:
        search(done.problem, small.request(**({"densities": [0.5, 0.25]} | change)), done.folder, workers=1)
    assert "settings differ" in error.value.came
    assert files_below(done.folder) == before


def test_other_data_leave_the_folder_alone(done, small):
    before = files_below(done.folder)
    X, y = small.blobs()
    X[0, 0] += 1e-3
    with pytest.raises(UserError, match="another run"):
        search(problem_from_arrays(X, y), done.request, done.folder, workers=1)
    assert files_below(done.folder) == before


def test_another_network_of_the_same_class_leaves_the_folder_alone(small, tmp_path):
    X, y = small.blobs()
    nets = [torch.nn.Sequential(torch.nn.Linear(3, w), torch.nn.ReLU(), torch.nn.Linear(w, 2)) for w in (8, 9)]
    problem, request = problem_from_arrays(X, y), small.request(epochs=2, model="a copy of Sequential")
    search(problem, request, tmp_path / "run", workers=1, factory=nets[0])
    with pytest.raises(UserError, match="another run"):
        search(problem, request, tmp_path / "run", workers=1, factory=nets[1])


@pytest.mark.parametrize(
    "change",
    [
        {"folds": 100}, {"methods": ["magic"]}, {"densities": [2.0]}, {"margin": -1.0}, {"hidden": [0]},
        {"effort": "none"}, {"rule": "none"}, {"model": "cnn"}, {"model": "nothing"}, {"epochs": 0}, {"rounds": 1},
        {"methods": ["rigl"], "rule": "forward-gradient"},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_request_writes_nothing(small, tmp_path, change):
    with pytest.raises(UserError):
        search(problem_from_arrays(*small.blobs()), small.request(**change), tmp_path / "run", workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "factory",
    [
        lambda shape, outputs: torch.nn.Linear(shape[0] + 1, outputs),  # takes other rows
        lambda shape, outputs: torch.nn.Linear(shape[0], outputs + 1),  # returns too much
        lambda shape, outputs: "a network",
    ],
    ids=["inputs", "outputs", "no network"],
)
def test_a_network_that_does_not_fit_writes_nothing(small, tmp_path, factory):
    with pytest.raises(UserError, match="network"):
        search(
            problem_from_arrays(*small.blobs()), small.request(model="mine:factory"), tmp_path / "run", workers=1,
            factory=factory,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


# what it decides -----------------------------------------------------------------------------------------------------


def test_no_signal_needs_no_network(small, tmp_path):
    X, _ = small.blobs(distance=0.0)
    y = np.random.default_rng(3).integers(0, 2, len(X))
    verdict = search(problem_from_arrays(X, y), small.request(margin=0.05), tmp_path / "run", workers=1)
    assert verdict["state"] == "no-network-needed"
    assert verdict["selected"] is None
    assert verdict["kind"] is None
    assert not verdict["confirmed"]
    assert not verdict["gate"]["passed"]
    assert "no evidence" in verdict["headline"].lower()
    trained = {row["id"] for row in verdict["candidates"] if row["score"] is not None}
    assert trained == {"dense", "linear", "boosting"}  # behind a closed gate nothing is trained
    assert sf.load_model(tmp_path / "run").predict(X).shape == (len(X),)


def test_a_linear_problem_is_given_to_the_linear_model(small, tmp_path):
    verdict = search(
        problem_from_arrays(*small.blobs(rows=200)), small.request(densities=[0.9]), tmp_path / "run", workers=1
    )
    assert verdict["kind"] == "linear"
    assert verdict["selected"]["candidate"] == "linear"
    assert verdict["selected"]["weights"] == 3


@pytest.mark.slow
def test_a_network_is_chosen_where_a_line_will_not_do(small, tmp_path):
    generator = np.random.default_rng(0)
    X = generator.uniform(-1, 1, (400, 2))
    y = (np.hypot(*X.T) < 0.75).astype(int)
    verdict = search(
        problem_from_arrays(X, y), small.request(hidden=[64], densities=[0.5], epochs=60, margin=0.1), tmp_path / "run",
        workers=1,
    )  # fmt: skip
    by_id = {row["id"]: row for row in verdict["candidates"]}
    assert by_id["linear"]["walk"] == "fell-short"
    assert verdict["kind"] in ("sparse", "narrow")
    assert verdict["selected"]["weights"] == round(0.5 * 64 * 4) or verdict["kind"] == "narrow"


def test_test_rows_never_influence_the_selection(small, tmp_path):
    X, y = small.blobs(distance=1.0)
    problem = replace(problem_from_arrays(X, y), test_rows=np.arange(120, 160))
    shuffled = problem.target.copy()
    shuffled[120:] = 1 - shuffled[120:]
    other = replace(problem, target=shuffled)
    request = small.request(margin=0.1)
    one, two = (search(p, request, tmp_path / n, workers=1) for p, n in ((problem, "one"), (other, "two")))
    assert lasting(one["candidates"]) == lasting(two["candidates"])
    assert one["gate"] == two["gate"]
    assert one["selected"] == two["selected"]
    assert one["margin"] == two["margin"]
    assert one["test_scores"] != two["test_scores"]


def test_everything_fitted_sees_training_rows_only(small, tmp_path, monkeypatch):
    X, y = small.blobs()
    X[:, 0] = np.arange(len(X))  # the first input says which row it is
    problem = problem_from_arrays(X, y)
    seen = []
    real = runs.fit_preparation

    def spy(inputs, *rest, **options):
        seen.append(np.sort(np.asarray(inputs)[:, 0].astype(int)))
        return real(inputs, *rest, **options)

    monkeypatch.setattr(runs, "fit_preparation", spy)
    search(problem, small.request(epochs=2, effort="standard", methods=["static"]), tmp_path / "run", workers=1)
    development, test = split_test(problem, sf.randomness.stream(sf.randomness.entropy(0), "test set"))
    assert seen
    assert not any(np.isin(test, rows).any() for rows in seen)
    assert any(len(rows) < len(development) for rows in seen)
    for run in map(Store(tmp_path / "run" / "runs").read, Store(tmp_path / "run" / "runs").keys()):
        if run.settings["round"] == runs.FINAL:
            assert np.array_equal(run.arrays["rows"], test)
        else:
            assert not np.isin(run.arrays["rows"], test).any()
            held = set(run.arrays["rows"].tolist())
            fitted = sorted(set(development.tolist()) - held)
            assert any(np.array_equal(rows, fitted) for rows in seen)


def test_retain_sets_the_margin_from_the_gain(small, tmp_path):
    X, y = small.blobs(distance=1.0)
    verdict = search(problem_from_arrays(X, y), small.request(margin=None, retain=0.5), tmp_path / "run", workers=1)
    dense = next(row for row in verdict["candidates"] if row["id"] == "dense")
    constant = dense["score"] - verdict["gate"]["estimate"]
    assert verdict["margin"] == pytest.approx(0.5 * (dense["score"] - constant), rel=1e-6)
    assert verdict["plan"]["retain"] == 0.5


# kinds of data and of networks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "split"),
    [
        ({"cluster": "patient"}, "by patient"),
        ({"time": "day"}, "the latest rows by day"),
        ({"site": "hospital"}, "left out"),
        ({"group": "sex"}, "stratified"),
    ],
    ids=["cluster", "time", "site", "group"],
)
def test_roles_of_columns(small, tmp_path, role, split):
    path = tmp_path / "visits.csv"
    small.visits().to_csv(path, index=False)
    problem = open_problem(path, target="relapse", **role)
    verdict = search(problem, small.request(epochs=4), tmp_path / "run", workers=1)
    sf.report.write_report(tmp_path / "run")
    assert split in verdict["data"]["split"]
    development, test = split_test(problem, sf.randomness.stream(sf.randomness.entropy(0), "test set"))
    assert verdict["data"]["rows_test"] == len(test)
    store = Store(tmp_path / "run" / "runs")
    held = [run.arrays["rows"] for run in map(store.read, store.keys()) if run.settings["round"] != runs.FINAL]
    if "cluster" in role:
        assert verdict["data"]["clusters"] == len(np.unique(problem.cluster[development]))
        for rows in held:
            rest = np.setdiff1d(development, rows)
            assert not set(problem.cluster[rows]) & set(problem.cluster[rest])
    elif "time" in role:
        assert problem.time[development].max() < problem.time[test].min()
    elif "site" in role:
        assert len(np.unique(problem.site[test])) == 1
        assert problem.site[test[0]] not in problem.site[development]
    else:
        assert [g["column"] for g in verdict["groups"]] == ["sex"]
        assert {row["name"] for row in verdict["groups"][0]["rows"]} == {"f", "m"}
        assert sum(row["rows"] for row in verdict["groups"][0]["rows"]) == len(test)


@pytest.mark.parametrize("role", [{"site": "hospital"}, {"time": "day"}, {"cluster": "patient"}], ids=str)
def test_tuning_inside_the_folds_respects_roles(small, tmp_path, role):
    """Three hospitals: one is the test, one is held out, and a single one is left to tune in."""
    frame = small.visits(120)
    frame = frame[frame["hospital"] != "west"] if "site" in role else frame
    frame.to_csv(tmp_path / "visits.csv", index=False)
    problem = open_problem(tmp_path / "visits.csv", target="relapse", **role)
    request = small.request(effort="standard", methods=["static"], epochs=2)
    assert search(problem, request, tmp_path / "run", workers=1)["plan"]["rates"] == 3


def test_regression(small, tmp_path):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(160, 3))
    y = 100 + 20 * X[:, 0] + generator.normal(size=160)
    verdict = search(problem_from_arrays(X, y), small.request(epochs=20), tmp_path / "run", workers=1)
    sf.report.write_report(tmp_path / "run")
    assert verdict["data"]["task"] == "regression"
    assert verdict["data"]["score"] == "r2"
    assert set(verdict["errors"]["residuals"]) == {"prediction", "residual"}
    assert np.corrcoef(sf.load_model(tmp_path / "run").predict(X), y)[0, 1] > 0.9


def test_a_file_with_its_own_test_set(small, tmp_path):
    X, y = small.blobs()
    np.savez(tmp_path / "two.npz", x_train=X[:130], y_train=y[:130], x_test=X[130:], y_test=y[130:], more=np.zeros(3))
    problem = open_problem(tmp_path / "two.npz")
    verdict = search(problem, small.request(epochs=2), tmp_path / "run", workers=1)
    assert (verdict["data"]["rows_development"], verdict["data"]["rows_test"]) == (130, 30)
    assert "own test set" in verdict["data"]["split"]
    assert any("more" in note for note in verdict["data"]["notes"])


def test_images_and_a_convolutional_network(small, tmp_path):
    generator = np.random.default_rng(0)
    y = np.arange(120) % 2
    images = (generator.uniform(0, 100, (120, 8, 8)) + 120 * y[:, None, None] * (np.arange(8) < 4)).astype(np.uint8)
    np.savez(tmp_path / "images.npz", x=images, y=y)
    problem = open_problem(tmp_path / "images.npz")
    verdict = search(problem, small.request(model="cnn", epochs=3), tmp_path / "run", workers=1)
    sf.report.write_report(tmp_path / "run")
    assert verdict["plan"]["architecture"] == {"kind": "cnn", "channels": [16, 32], "hidden": 8}
    assert sf.load_model(tmp_path / "run").predict(images[:5]).shape == (5,)


def test_images_too_small_for_the_network_write_nothing(small, tmp_path):
    problem = problem_from_arrays(np.random.default_rng(0).uniform(size=(60, 1, 3, 3)), np.arange(60) % 2)
    with pytest.raises(UserError, match="too small"):
        search(problem, small.request(model="cnn"), tmp_path / "run", workers=1)
    assert list(tmp_path.iterdir()) == []


def test_forward_gradients_run_beside_a_yardstick(small, tmp_path):
    problem = problem_from_arrays(*small.blobs())
    verdict = search(problem, small.request(rule="forward-gradient", epochs=6), tmp_path / "run", workers=1)
    sf.report.write_report(tmp_path / "run")
    by_id = {row["id"]: row for row in verdict["candidates"]}
    assert verdict["plan"]["rule"] == "forward-gradient"
    assert by_id["backprop"]["walk"] == "yardstick"
    assert by_id["backprop"]["score"] is not None
    assert by_id["backprop"]["queries"] is None
    assert by_id["dense"]["queries"] > 6 * 16  # slopes of 16 directions in every step
    reads = read_curves(tmp_path / "run" / "results.parquet", "losses_read")
    assert "backprop" not in reads
    for run in reads["dense"]:
        assert len(run) == verdict["plan"]["epochs"]
        assert np.diff(run, prepend=0) == pytest.approx(run[0])  # every epoch has as many steps
    assert reads["dense"][0][-1] == by_id["dense"]["queries"]
    assert by_id["dense"]["score"] > 0.6  # it learns, though more slowly


FACTORY = textwrap.dedent(
    """
    from torch import nn

    def factory(shape, outputs):
        return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.1),
                             nn.Linear(12, outputs))
    """
)


def test_a_factory_is_named_again_to_load_it(tmp_path, monkeypatch):
    (tmp_path / "mine_for_the_search.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    name = "mine_for_the_search:factory"
    options = {"effort": "quick", "densities": [0.5], "folds": 2, "rounds": 2, "workers": 1}
    # Margin and data are such that the network, not the linear model, is handed over: a ring in two dimensions.
    X = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    y = (np.hypot(*X.T) < 0.75).astype(int)
    result = sf.fit(X, y, model=name, out=tmp_path / "run", epochs=25, margin=0.1, **options)
    assert not any(row["kind"] == "narrow" for row in result.verdict["candidates"])  # it has no width to scale
    assert result.verdict["gate"]["passed"]
    if result.model.description["kind"] != "factory":
        pytest.fail("the ring must not be given to a linear model")
    sys.modules.pop("mine_for_the_search")
    with pytest.raises(UserError, match="your own code"):
        sf.load_model(tmp_path / "run")
    assert "mine_for_the_search" not in sys.modules
    from sparsefire.estimators import resolve_factory

    again = sf.load_model(tmp_path / "run", factory=resolve_factory(name))
    np.testing.assert_array_equal(again.predict(X), result.model.predict(X))


def test_a_module_in_python_is_copied_and_left_alone(small, tmp_path):
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    before = copy.deepcopy(net.state_dict())
    X, y = small.blobs()
    result = sf.fit(
        X, y, model=net, effort="quick", densities=[0.5], folds=2, rounds=2, epochs=3, margin=0.3, workers=1,
        out=tmp_path / "run",
    )  # fmt: skip
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert (tmp_path / "run" / "report.html").exists()
    assert result.verdict["plan"]["model"] == "a copy of Sequential"


def test_everyone_stands_in_the_verdict(done):
    from sparsefire.search.plan import Plan

    settings = json.loads((done.folder / SETTINGS_FILE).read_text(encoding="utf-8"))
    plan = Plan(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings["plan"].items()})
    assert [row["id"] for row in done.verdict["candidates"]] == [c.id for c in everyone(plan)]
    assert os.path.basename(done.verdict["data"]["name"]) == done.verdict["data"]["name"]

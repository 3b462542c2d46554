# Oracle: what was put in comes out, hostile paths included; processes killed at random moments; plain file reads.
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sparsefire.randomness import stream
from sparsefire.studies import Store, files, key_of

HOSTILE = [
    "plain", "a b", "it's", 'dq"x', "{x,y}", "{a", "br[ac]ket", "[!x]", "st*r", "**", "q?m", "back\\slash", "$HOME",
    "~", "per%cent", "semi;colon--", "ünï", "new\nline", "-dash", "s3:", "''; DROP TABLE x",
]  # fmt: skip


def spec(i, **more):
    return {"method": "gmp", "density": 0.1, "fold": i, **more}


def put(store, settings, **result):
    return store.write(key_of(settings), settings, [{"epoch": 0, "loss": 0.5}], result, {"p": np.arange(3.0)})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def test_round_trip(store):
    settings = spec(1, widths=(3, 2), nested={"rule": "adam"})
    arrays = {"prediction": np.float32([[1, 2]]), "rows": np.arange(2), "name": np.array(["é"])}
    metrics = [{"epoch": 0, "loss": float("nan")}, {"epoch": 1, "loss": np.float32(0.5)}]
    assert store.write(key_of(settings), settings, metrics, {"score": 0.25, "curve": np.array([1.0, 2.0])}, arrays)
    run = store.read(key_of(settings))
    assert run.key == key_of(settings)
    assert run.settings == {**settings, "widths": [3, 2]}
    assert run.metrics == [{"epoch": 0, "loss": None}, {"epoch": 1, "loss": 0.5}]
    assert run.result == {"score": 0.25, "curve": [1.0, 2.0]}
    assert list(run.arrays) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(run.arrays[name], array)


def test_another_store_of_the_same_folder_sees_it(store):
    assert not store.finished(key_of(spec(1)))
    put(store, spec(1))
    assert Store(store.path).finished(key_of(spec(1)))
    assert Store(store.path).keys() == [key_of(spec(1))]


def test_absent_run(store):
    with pytest.raises(KeyError, match="no finished run"):
        store.read(key_of(spec(1)))


@pytest.mark.parametrize(
    "key", ["", "..", "../" + "a" * 17, "A" * 20, "a" * 21, "a" * 19 + "/", "a" * 19 + "\n", "a" * 20 + "\n"]
)
def test_keys_that_are_none(store, key):
    with pytest.raises(ValueError, match="20 hexadecimal digits"):
        store.finished(key)


def test_the_key_must_be_that_of_the_settings(store):
    with pytest.raises(ValueError, match="not the key"):
        store.write(key_of(spec(1)), spec(2))


def test_a_failed_write_leaves_nothing(store):
    with pytest.raises(ValueError, match="Object arrays"):
        store.write(key_of(spec(1)), spec(1), [], {}, {"x": np.array([{}])})
    assert [name for name in os.listdir(store.path) if name != ".lock"] == []


def test_second_writer_changes_nothing(store):
    assert put(store, spec(1), score=1) is True
    assert put(store, spec(1), score=2) is False
    assert store.read(key_of(spec(1))).result == {"score": 1}


@pytest.mark.parametrize("name", [*files.CONTENTS, files.DONE])
@pytest.mark.parametrize("damage", ["remove", "truncate", "flip"])
def test_broken_runs_count_as_not_finished_and_are_replaced(store, name, damage):
    put(store, spec(1), score=1)
    put(store, spec(2), score=5)
    key = key_of(spec(1))
    path = store.path / key / name
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        content[-3] ^= 1
        path.write_bytes(content if damage == "flip" else content[:-3])
    assert not store.finished(key)
    with pytest.raises(KeyError):
        store.read(key)
    assert list(store.table()["key"]) == [key_of(spec(2))]
    assert put(store, spec(1), score=2)
    assert store.read(key).result == {"score": 2}
    assert len(store.table()) == 2
    assert not [entry for entry in os.listdir(store.path) if entry.startswith(f".{key}")]


@pytest.mark.parametrize("debris", ["file", "empty folder", "link"])
def test_something_else_in_the_place_of_a_run(store, debris):
    place = store.path / key_of(spec(1))
    if debris == "file":
        place.write_text("x")
    elif debris == "link":
        place.symlink_to(store.path / "nowhere")
    else:
        place.mkdir()
    assert not store.finished(key_of(spec(1)))
    assert put(store, spec(1), score=3)
    assert store.read(key_of(spec(1))).result == {"score": 3}


def test_many_writers_of_the_same_runs(store):
    def work(worker):
        mine = Store(store.path)
        return [put(mine, spec(i), worker=worker) for i in range(10)]

    with ThreadPoolExecutor(8) as pool:
        stored = np.array(list(pool.map(work, range(8))))
    np.testing.assert_array_equal(stored.sum(axis=0), 1)  # of each run exactly one writer won
    for i in range(10):
        assert store.read(key_of(spec(i))).result == {"worker": int(np.argmax(stored[:, i]))}


def test_many_writers_over_a_broken_run(store):
    for i in range(5):
        put(store, spec(i))
        (store.path / key_of(spec(i)) / files.RESULT).write_text("{")
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda w: [put(Store(store.path), spec(i), worker=w) for i in range(5)], range(8)))
    np.testing.assert_array_equal(np.sum(stored, axis=0), 1)
    assert len(store.keys()) == 5


def test_readers_never_see_half_a_run(store):
    stop = threading.Event()
    seen = []

    def read():
        while not stop.is_set():
            for name in os.listdir(store.path):
                if len(name) == 20:
                    seen.append(store.read(name).result["score"])

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(20):
        put(store, spec(i), score=i)
    stop.set()
    reader.join()
    assert set(seen) <= set(range(20))


def test_leftovers_are_ignored_and_cleaned(store):
    put(store, spec(1))
    leftover = store.path / f".{key_of(spec(2))}.123.abcdef"
    leftover.mkdir()
    (leftover / files.SPEC).write_text("{}")
    other = store.path / ".notes"
    other.mkdir()
    assert Store(store.path).keys() == [key_of(spec(1))]
    assert list(store.table()["fold"]) == [1]
    assert leftover.exists()  # perhaps somebody is still writing
    old = time.time() - 7200
    os.utime(leftover, (old, old))
    Store(store.path)
    assert not leftover.exists()
    assert other.exists()
    leftover.mkdir()
    assert store.clean() == 1
    assert store.finished(key_of(spec(1)))


def test_empty_table(store):
    table = store.table()
    assert len(table) == 0
    assert list(table.columns) == ["key"]


def test_table(store):
    put(
        store,
        spec(1, net={"widths": [3], "kind": "mlp"}, when="2026-01-01"),
        score=0.5,
        fold="result",
        deep={"a": {"b": 2}},
    )
    put(store, spec(2, extra="x"), score=None)
    table = store.table().set_index("fold")
    assert set(table.columns) == {
        "key", "method", "density", "net.widths", "net.kind", "when", "score", "result.fold", "deep.a.b", "extra"
    }  # fmt: skip
    assert table.loc[1, "net.widths"] == [3]
    assert table.loc[1, "when"] == "2026-01-01"  # a string stays a string
    assert table.loc[1, "result.fold"] == "result"
    assert table.loc[1, "deep.a.b"] == 2
    assert table.loc[2, "extra"] == "x"
    assert np.isnan(table.loc[2, "score"])
    assert table.loc[1, "key"] == key_of(spec(1, net={"widths": [3], "kind": "mlp"}, when="2026-01-01"))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_paths(tmp_path, name):
    decoy = Store(tmp_path / "x" / "runs")  # what {x,y}, *, ? and [..] would also match
    put(decoy, spec(99))
    store = Store(tmp_path / name / "runs")
    put(store, spec(1), score=0.5)
    put(store, spec(2), score=0.25)
    assert sorted(store.table()["fold"]) == [1, 2]
    store.export(tmp_path / name / "out.parquet", [{"a": 1}])
    assert (tmp_path / name / "out.parquet").stat().st_size > 0


def test_backslash_takes_no_neighbour(tmp_path):
    put(Store(tmp_path / "a?b"), spec(1))
    put(Store(tmp_path / "a\\b"), spec(2))
    assert list(Store(tmp_path / "a\\b").table()["fold"]) == [2]


def test_relative_path_survives_a_change_of_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store("runs")
    put(store, spec(1))
    monkeypatch.chdir("/")
    assert store.finished(key_of(spec(1)))


WORKER = """
    import os, random, sys, time
    from sparsefire.parallel import run_all
    from sparsefire.studies import Store, key_of

    root, log, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
    store = Store(root)

    def note(word, key):
        with open(log, "a") as file:  # one short line: appended whole
            file.write(f"{word} {key} {os.getpid()}\\n")

    def run(settings):
        key = key_of(settings)
        note("start", key)
        total = 0.0
        for step in range(20):
            time.sleep(0.001)
            total += step * settings["fold"]
        result = {"total": total, "token": os.urandom(8).hex()}
        Store(root).write(key, settings, [{"epoch": 0}], result, {"x": [total] * 200})
        note("end", key)

    todo = [s for s in ({"fold": i} for i in range(24)) if not store.finished(key_of(s))]
    for _ in run_all(run, todo, workers=workers):
        pass
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_random_moments_nothing_is_lost_and_nothing_repeated(tmp_path, workers):
    store = Store(tmp_path / "runs")
    log = tmp_path / "log"
    log.touch()
    keys = [key_of({"fold": i}) for i in range(24)]
    rng = stream(3, "kill", workers)
    done: dict[str, str] = {}  # key -> token of the run that finished first
    kills = 0
    for _ in range(60):
        before = len(log.read_text().splitlines())
        script = [sys.executable, "-c", textwrap.dedent(WORKER), str(store.path), str(log), str(workers)]
        process = subprocess.Popen(script, start_new_session=True)
        deadline = time.monotonic() + 30  # the random moment counts from the first run, not from the imports
        while process.poll() is None and len(log.read_text().splitlines()) == before and time.monotonic() < deadline:
            time.sleep(0.002)
        try:
            code = process.wait(timeout=float(rng.uniform(0.0, 0.5)))
        except subprocess.TimeoutExpired:
            if workers == 1 or rng.random() < 0.5:
                process.kill()  # the parent alone: its workers have to notice
                process.wait()
                wait_for_group(process.pid)
            else:
                os.killpg(process.pid, signal.SIGKILL)  # all at once
                process.wait()
            kills += 1
            code = None
        started = [line.split()[1] for line in log.read_text().splitlines()[before:] if line.startswith("start")]
        assert len(started) == len(set(started))  # once per attempt
        assert not set(started) & set(done)  # no finished run is executed again
        for key in keys:
            if store.finished(key):
                token = store.read(key).result["token"]
                assert done.setdefault(key, token) == token  # and none is overwritten
            else:
                assert key not in done  # none is lost
        for line in log.read_text().splitlines():
            word, key, _ = line.split()
            assert word == "start" or key in done  # whoever was told "stored" is stored
        if code == 0:
            break
    assert code == 0
    assert kills >= 2
    assert set(done) == set(keys)
    ended = [line.split()[1] for line in log.read_text().splitlines() if line.startswith("end")]
    assert len(ended) == len(set(ended))
    for i, key in enumerate(keys):
        run = store.read(key)
        assert run.result["total"] == 190.0 * i
        np.testing.assert_array_equal(run.arrays["x"], [190.0 * i] * 200)
    assert len(store.table()) == 24
    store.clean()
    assert sorted(os.listdir(store.path)) == sorted([".lock", *keys])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("broken_before", [False, True])
def test_killed_at_every_step_of_a_write(store, broken_before):
    """Die at the first, second, third ... call that touches the disk: the run is there as a whole, or not at all."""
    steps = 0
    while True:
        steps += 1
        settings = spec(steps)
        key = key_of(settings)
        if broken_before:
            put(store, settings, score=-1.0)
            (store.path / key / files.RESULT).write_text("{")
        child = os.fork()
        if child == 0:
            try:
                die_at(steps)
                put(store, settings, score=0.5)
                os._exit(0)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 9)
        if store.finished(key):
            assert store.read(key).result == {"score": 0.5}
            assert not put(store, settings, score=1.0)
        else:
            assert code == 9
            assert put(store, settings, score=0.5)  # nothing that was left behind is in the way
        if code == 0:
            break
    assert steps > 10
    assert len(store.table()) == steps
    assert set(store.table()["score"]) == {0.5}
    store.clean()
    assert len([name for name in os.listdir(store.path) if name != ".lock"]) == steps


def die_at(step):
    """Make this process die at the given call, counted over all that change the disk."""
    left = [step]

    def dying(function):
        def call(*arguments, **named):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
            return function(*arguments, **named)

        return call

    for name in ("mkdir", "open", "fsync", "replace", "rename", "unlink", "rmdir"):
        setattr(os, name, dying(getattr(os, name)))
    files.open = dying(open)


def wait_for_group(group):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)


def test_files_are_plain(store):
    put(store, spec(1), score=0.5)
    folder = store.path / key_of(spec(1))
    assert json.loads((folder / "spec.json").read_text()) == spec(1)
    assert [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()] == [
        {"epoch": 0, "loss": 0.5}
    ]
    assert json.loads((folder / "result.json").read_text()) == {"score": 0.5}
    with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["p"], np.arange(3.0))

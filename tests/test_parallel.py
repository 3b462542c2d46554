# Oracle: plain loops, a clock that is set by hand, and processes that are killed on purpose.
from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from sparsefire import parallel
from sparsefire.errors import UserError
from sparsefire.parallel import TimeLeft, one_thread, run_all, workers_available


def square(x):
    return x * x


def threads_seen(_):
    import torch
    from threadpoolctl import threadpool_info

    np.ones((64, 64)) @ np.ones((64, 64))
    return torch.get_num_threads(), max((pool["num_threads"] for pool in threadpool_info()), default=1), os.getpid()


def complain(x):
    if x == 2:
        raise UserError("bad row.", came="x", expected="y", attempt="z")
    return x


def die(x):
    if x == 1:
        os._exit(9)
    return x


def total(array):
    return float(array.sum())


def nap(seconds):
    time.sleep(seconds)
    return seconds


@pytest.mark.parametrize("workers", [1, 2])
def test_same_results_as_a_loop(workers):
    jobs = list(range(23))
    assert dict(run_all(square, jobs, workers=workers)) == {i: i * i for i in jobs}


def test_one_worker_keeps_the_order_and_stays_here():
    assert list(run_all(lambda x: (x, os.getpid()), "abc", workers=1)) == [
        (i, (c, os.getpid())) for i, c in enumerate("abc")
    ]


def test_results_come_as_they_finish():
    order = [index for index, _ in run_all(nap, [0.6, 0.05, 0.05], workers=2)]
    assert order[-1] == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_no_jobs(workers):
    assert list(run_all(square, [], workers=workers)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_one_thread_per_job_and_restored(workers):
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for _, (torch_threads, pool_threads, pid) in run_all(threads_seen, range(3), workers=workers):
            assert (torch_threads, pool_threads) == (1, 1)
            assert (pid == os.getpid()) == (workers == 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_one_thread_restores_after_an_error():
    import torch

    before = torch.get_num_threads()
    with pytest.raises(KeyError), one_thread():
        raise KeyError("x")
    assert torch.get_num_threads() == before


def test_one_thread_before_torch_is_loaded():
    code = """
    import os
    os.environ.pop("OMP_NUM_THREADS", None)
    from sparsefire.parallel import one_thread, workers_available
    with one_thread():
        import torch
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == workers_available()
    assert "OMP_NUM_THREADS" not in os.environ
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)


def test_workers_stay_warm():
    first = {pid for _, (_, _, pid) in run_all(threads_seen, range(6), workers=2)}
    second = {pid for _, (_, _, pid) in run_all(threads_seen, range(6), workers=2)}
    assert len(first | second) <= 2


@pytest.mark.parametrize("workers", [1, 2])
def test_user_error_arrives_whole(workers):
    with pytest.raises(UserError) as caught:
        list(run_all(complain, [1, 2, 3], workers=workers))
    assert (caught.value.message, caught.value.came, caught.value.expected, caught.value.attempt) == (
        "bad row.",
        "x",
        "y",
        "z",
    )


def test_a_dead_worker_is_told_and_the_next_call_works():
    with pytest.raises(UserError, match="died") as caught:
        list(run_all(die, list(range(6)), workers=2))
    assert "9" in caught.value.came
    assert sorted(run_all(square, [1, 2], workers=2)) == [(0, 1), (1, 4)]


def test_large_arrays_are_shared_read_only():
    big = np.ones((400, 400))
    assert [value for _, value in run_all(total, [big, big], workers=2)] == [160000.0] * 2


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_gets_the_time_of_each_job(workers):
    seen = []
    list(run_all(nap, [0.05, 0.1], workers=workers, progress=lambda index, seconds: seen.append((index, seconds))))
    assert sorted(index for index, _ in seen) == [0, 1]
    assert all(seconds >= 0.04 for _, seconds in seen)


def test_closing_early_drops_the_rest_quickly():
    start = time.monotonic()
    results = run_all(nap, [0.01, 30.0, 30.0, 30.0], workers=2)
    assert next(results) == (0, 0.01)
    results.close()
    assert time.monotonic() - start < 15


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", True])
def test_wrong_workers(workers):
    with pytest.raises(UserError, match="positive whole number"):
        run_all(square, [1], workers=workers)


def test_workers_available_is_within_the_affinity():
    assert 1 <= workers_available() <= len(os.sched_getaffinity(0))


def hear_ctrl_c():
    """In a child: a shell that runs the tests in the background has told all of its children not to."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("workers", [1, 2])
def test_keyboard_interrupt_stops_cleanly(workers, tmp_path):
    code = f"""
    import sys, time
    from sparsefire.parallel import run_all
    def job(seconds):
        time.sleep(seconds)
        return seconds
    kept = []
    try:
        for index, _ in run_all(job, [0.01, 0.01, 60.0, 60.0], workers={workers}):
            kept.append(index)
            if len(kept) == 2:
                print("ready", flush=True)
    except KeyboardInterrupt:
        print("kept", sorted(kept), flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=hear_ctrl_c,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does on Ctrl-C
    out, err = process.communicate(timeout=30)
    assert out == "kept [0, 1]\n"
    assert "Traceback" not in err
    assert process.returncode == 0


def test_workers_die_with_their_parent(tmp_path):
    code = f"""
    import os, sys, time
    from sparsefire.parallel import run_all
    def job(k):
        open(os.path.join({str(tmp_path)!r}, str(os.getpid())), "w").close()
        time.sleep(60)
    list(run_all(job, [0, 1], workers=2))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], start_new_session=True)
    deadline = time.monotonic() + 30
    while len(os.listdir(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = [int(name) for name in os.listdir(tmp_path)]
    assert len(workers) == 2
    process.kill()
    process.wait()
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in workers)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_time_left_weighs_by_cost(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(parallel.time, "monotonic", lambda: clock[0])
    left = TimeLeft(100.0, workers=2)
    assert left.seconds() is None
    clock[0] = 3.0
    left.finish(10.0, 3.0)
    assert left.seconds() == pytest.approx(90 * 0.3 / 2)
    clock[0] = 5.0  # counts down in between
    assert left.seconds() == pytest.approx(90 * 0.3 / 2 - 2)
    left.finish(20.0, 9.0)  # slower than thought: 12 s for 30 units
    assert left.seconds() == pytest.approx(70 * 0.4 / 2)
    left.skip(30.0)
    assert left.seconds() == pytest.approx(40 * 0.4 / 2)
    left.finish(50.0, 1.0)
    assert left.seconds() == 0.0


@pytest.mark.parametrize(("cost", "workers"), [(0.0, 1), (-1.0, 1), (float("nan"), 1), (1.0, 0)])
def test_time_left_rejects(cost, workers):
    with pytest.raises(ValueError, match="positive"):
        TimeLeft(cost, workers)

# Oracle: a terminal of two lines emulated here, and the promise that what is told never runs backwards.
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsefire.report.progress import Progress


class Screen(io.StringIO):
    """A terminal: remembers what is written and can show the lines a reader would see."""

    def isatty(self):
        return True

    def shown(self):
        lines, row, column = [""], 0, 0
        for token in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|\n|\r|[^\x1b\n\r]+", self.getvalue()):
            if token == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif token == "\r":
                column = 0
            elif token.endswith("A") and token.startswith("\x1b"):
                row -= int(token[2:-1])
            elif token == "\x1b[2K":
                lines[row] = ""
            elif not token.startswith("\x1b"):
                lines[row] = lines[row][:column] + token
                column += len(token)
        return lines


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    return Screen()


def ticking():
    now = iter(range(10_000))
    return lambda: float(next(now))


def test_one_bar_is_rewritten_in_place(screen):
    with Progress(screen, colour=False, clock=ticking()) as progress:
        for done in range(0, 391):
            progress.update(done, 390, 104.0, "gmp 0.02, fold 3", "gmp 0.05, 4,224 weights")
            if done == 254:
                assert screen.shown() == [
                    "Train  ━━━━━━━━━━━━━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌  254 of 390   1 min 44 s left",
                    "       now gmp 0.02, fold 3 · smallest passed: gmp 0.05, 4,224 weights",
                ]
    lines = screen.shown()
    assert len(lines) == 3  # the bar, what it is doing, and an empty line for what follows
    assert "390 of 390" in lines[0]
    assert "left" not in lines[0]
    assert lines[2] == ""


def test_a_narrow_terminal_is_never_wrapped(screen, monkeypatch):
    monkeypatch.setenv("COLUMNS", "44")
    with Progress(screen, colour=False, clock=ticking()) as progress:
        progress.update(3, 390, 104.0, "a very long name " * 9, "gmp 0.05")
    assert all(len(line) < 44 for line in screen.shown())


def test_drawings_are_throttled_but_the_last_is_kept(screen):
    progress = Progress(screen, colour=False, clock=lambda: 0.0)
    for done in range(101):
        progress.update(done, 100)
    assert screen.getvalue().count("Train") == 2
    assert "100 of 100" in screen.shown()[0]


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 400)), max_size=60))
def test_without_a_terminal_the_lines_only_go_up(updates):
    stream = io.StringIO()
    progress = Progress(stream)
    for done, total in updates:
        progress.update(min(done, total), total, 10.0, "gmp 0.02")
    told = [int(share) for share in re.findall(r"^Train +(\d+)%", stream.getvalue(), re.MULTILINE)]
    assert told == sorted(set(told))
    assert len(told) <= 10
    assert len({share // 10 for share in told}) == len(told)
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()
    assert all(len(line) <= 80 for line in stream.getvalue().splitlines())


def test_ten_lines_for_a_hundred_runs():
    stream = io.StringIO()
    with Progress(stream) as progress:
        for done in range(101):
            progress.update(done, 100, 100.0 - done)
    lines = stream.getvalue().splitlines()
    assert [int(line[6:10]) for line in lines] == list(range(10, 101, 10))
    assert "50 s left" in lines[4]
    assert "left" not in lines[-1]


def test_ascii_streams_get_plain_signs():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream.isatty = lambda: True
    Progress(stream, colour=False).update(1, 2)
    stream.flush()
    assert b"#" in stream.buffer.getvalue()


def test_a_name_with_escapes_is_shown_not_obeyed():
    stream = io.StringIO()
    Progress(stream).update(1, 2, 3.0, "\x1b[2Jevil\n")
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().count("\n") == 1

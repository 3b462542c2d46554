"""What is finished is kept, whatever happens to the rest; programs are asked in one way."""

import deep_sparse
import open_gap
import price
import published
import pytest
import resume
import sparse_methods
import synaptic_noise
import unit_wise
import without_derivatives

PROGRAMS = [
    deep_sparse, open_gap, price, published, sparse_methods, synaptic_noise, unit_wise, without_derivatives,
]  # fmt: skip


def made(piece):
    if piece > 2:
        raise ArithmeticError(piece)
    return [{"piece": piece, "square": piece**2}, {"piece": piece, "square": -(piece**2)}]


def test_finished_pieces_are_kept_when_one_fails(tmp_path, capsys):
    path = tmp_path / "new" / "cases.jsonl"
    with pytest.raises(ArithmeticError):
        resume.run([1, 2, 3], made, 1, path, lambda record: f"piece {record['piece']}")
    assert resume.stored(path) == made(1) + made(2)
    said = capsys.readouterr().err
    assert "2 of 3" in said
    assert "piece 2" in said


def test_records_come_back_as_they_are_stored(tmp_path):
    path = tmp_path / "cases.jsonl"
    found = resume.run([2, 1], made, 2, path, str)
    assert found == resume.stored(path)
    assert sorted(map(str, found)) == sorted(map(str, made(1) + made(2)))
    assert resume.run([], made, 2, path, str) == []
    assert resume.stored(path) == found


def test_nothing_is_kept_without_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resume.run([1], made, 1, None, str) == made(1)
    assert resume.stored(tmp_path / "missing.jsonl") == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
@pytest.mark.parametrize("workers", ["0", "-1", "two"])
def test_work_needs_a_worker(program, workers, capsys):
    with pytest.raises(SystemExit) as error:
        program.main(["--quick", f"--workers={workers}"])
    assert error.value.code == 2
    assert f"{workers!r} is not a whole number from 1 on" in capsys.readouterr().err


def test_what_is_asked_for_is_done():
    ways = [lambda: "quick", lambda: "kept", lambda: "everything"]
    for asked, found in (([], "everything"), (["--quick"], "quick"), (["--table"], "kept")):
        assert resume.asked(resume.parser(None).parse_args(asked), *ways) == found
    assert resume.parser(None, workers=3).parse_args([]).workers == 3


def test_a_stop_is_told_and_leaves_with_its_code(capsys):
    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as error:
        resume.asked(resume.parser(None).parse_args([]), stopped, stopped, stopped)
    assert error.value.code == 130
    assert resume.STOPPED in capsys.readouterr().err

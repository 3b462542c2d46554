"""What is finished is kept, whatever happens to the rest."""

import pytest
import resume


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

"""Oracle: files made by hand, each wrong in its own way."""

import pytest

from sparsefire.data.bounded import existing
from sparsefire.data.read import open_problem
from sparsefire.errors import UserError


def test_a_file_with_something_in_it_is_returned(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x")
    assert existing(path) == path


def test_what_could_have_been_named_is_for_the_caller_to_say(tmp_path):
    for words, said in (((), "the path of a file"), (("an edge list",), "an edge list")):
        with pytest.raises(UserError, match="there is no file") as caught:
            existing(tmp_path / "a.csv", *words)
        assert caught.value.expected == said
    for name in ("a.csv", "a.npz"):
        with pytest.raises(UserError, match="there is no file") as caught:
            open_problem(tmp_path / name)
        assert "data set such as digits" in caught.value.expected


def test_folders_and_empty_files_are_refused(tmp_path):
    (tmp_path / "a.csv").touch()
    with pytest.raises(UserError, match=r"a\.csv is empty"):
        existing(tmp_path / "a.csv")
    with pytest.raises(UserError, match="is a folder"):
        existing(tmp_path)

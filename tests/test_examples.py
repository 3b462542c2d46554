"""Oracle: the programs themselves; each must end without an error or a warning on stderr, and say its result."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SAYS = {
    "fit_table.py": r"state: (confirmed|not-confirm|contradicted|nothing-passed|no-network-needed)",
    "forward_gradient.py": r"474 weights +forward gradient \d\.\d+ +back-propagation \d\.\d+",
    "sparse_loop.py": r"density 0\.050.*\n.*held-out rows: 9\d\.\d%",
}
UNSHOWN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


def test_every_example_is_run() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, which has imported what it needs; warnings are those that Python shows unasked."""
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert [str(one.message) for one in told if not issubclass(one.category, UNSHOWN)] == []
    said = capsys.readouterr()
    assert "Warning" not in said.err
    assert re.search(SAYS[name], said.out), said.out
    assert not any(tmp_path.iterdir()), "an example leaves nothing behind"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SAYS))
def test_example_in_a_process_of_its_own(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8",
        timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert re.search(SAYS[name], done.stdout), done.stdout
    assert not any(tmp_path.iterdir()), "an example leaves nothing behind"

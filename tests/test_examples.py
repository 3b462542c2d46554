"""Oracle: the programs themselves; each must end without an error or a warning on stderr, and say its result."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SAYS = {
    "fit_table.py": r"state: (confirmed|not-confirm|contradicted|nothing-passed|no-network-needed)",
    "forward_gradient.py": r"474 weights +forward gradient \d\.\d+ +back-propagation \d\.\d+",
    "sparse_loop.py": r"density 0\.050.*\n.*held-out rows: 9\d\.\d%",
}


def test_every_example_is_run() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8",
        timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert re.search(SAYS[name], done.stdout), done.stdout
    assert not any(tmp_path.iterdir()), "an example leaves nothing behind"

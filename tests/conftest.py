"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Return a function that gives the path of a real data file, or skips the test where it is absent."""
    root = Path(__file__).resolve().parents[1]
    given = os.environ.get("SPARSEFIRE_DATA")
    folders = [Path(given)] if given else [root / "shared" / "data", root.parent / "shared" / "data"]

    def find(name: str) -> Path:
        for folder in folders:
            if (folder / name).exists():
                return folder / name
        pytest.skip(f"the data {name} is not here; SPARSEFIRE_DATA names the folder that holds it")

    return find

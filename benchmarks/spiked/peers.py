"""Where the packages live that we are compared with and that cannot live beside us."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def interpreter(peers: Path | None, name: str) -> Path | None:
    """Return the Python of a peer's environment ``peers/name``, or None, saying so, where there is none."""
    if peers is None:
        print(f"{name} is left out: --peers names the folder of its environment", file=sys.stderr)
        return None
    python = peers / name / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if python.exists():
        return python
    print(f"{name} is left out: there is no {python}", file=sys.stderr)
    return None

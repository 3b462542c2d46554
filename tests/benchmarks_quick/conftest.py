"""Make the scripts of benchmarks/ importable; skip where this copy has none."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
if BENCHMARKS.is_dir():
    sys.path.insert(0, str(BENCHMARKS))
else:
    collect_ignore_glob = ["test_*.py"]

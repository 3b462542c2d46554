"""Find a small network for a table and read the verdict in Python.

The settings are tiny so that this runs in seconds; leave `folds`, `rounds`, `epochs`, `densities` and `hidden` out for
a real answer. Run: python examples/fit_table.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from sklearn.datasets import load_breast_cancer

import sparsefire as sf


def main() -> None:
    """Fit, print what was decided, predict two rows with the stored model."""
    table, target = load_breast_cancer(return_X_y=True, as_frame=True)
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "run"
        result = sf.fit(
            table, target, score="auc", margin=0.05, effort="quick", out=out,
            folds=3, rounds=2, epochs=5, densities=[0.2], hidden=[32], workers=1,
        )  # fmt: skip
        print(result)
        print("state:", result.verdict["state"])
        for row in result.verdict["candidates"]:
            if row["score"] is not None:
                weights = "–" if row["weights"] is None else f"{row['weights']:,}"
                print(f"  {row['id']:<12} {weights:>7} weights   AUC {row['score']:.3f}   {row['walk']}")
        print("report:", result.report.stat().st_size // 1000 if result.report else 0, "kB of HTML")
        print("first rows:", list(sf.load_model(out).predict(table.head(2))))


if __name__ == "__main__":
    main()

"""How fast cascades are sampled and their exact laws found, beside the packages that do the same.

    python benchmarks/cascades.py [--quick] [--json FILE] [--docs FILE] [--rounds N] [--only NAME] [--peers-venv DIR]

Every graph is made once and handed to all. Rounds are interleaved, everybody is warm before the first, and what counts
is CPU seconds of one thread. Before a ratio is printed, mean sizes must agree within four standard errors of their
difference, exact laws to 1e-12. CyNetDiff, EoN and networkx come with ``pip install 'sparsefire[bench]'``; NDlib lives
in an environment of its own, which ``--peers-venv`` makes from benchmarks/peers/ndlib.txt if it is not there.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path

from cascade_speed.comparison import Effort, Record
from cascade_speed.entrants import DISTRIBUTIONS
from cascade_speed.exact import exact_law
from cascade_speed.large_file import large_file, read_and_run
from cascade_speed.ndlib_apart import make_environment
from cascade_speed.page import HEAD, page, row
from cascade_speed.sampling import independent, linear_threshold, per_edge, two_workers, watts

SMALL, LARGE = 100_000, 1_000_000
JOBS: dict[str, Callable[[Effort], list[Record]]] = {
    "independent-0.05": lambda effort: independent(effort, SMALL, 0.05, 5, 10),
    "independent-0.12": lambda effort: independent(effort, SMALL, 0.12, 4, 10),
    "edges-0.05": lambda effort: per_edge(effort, SMALL, 0.05, 3, 6),
    "edges-0.12": lambda effort: per_edge(effort, SMALL, 0.12, 3, 6),
    "edges-trivalency": lambda effort: per_edge(effort, SMALL, None, 3, 6),
    "linear-threshold": lambda effort: linear_threshold(effort, SMALL, 5, 10),
    "watts": lambda effort: watts(effort, SMALL),
    "tree-1000": lambda effort: exact_law(effort, 1_000, 0.02, 0.01),
    "workers": lambda effort: two_workers(effort, SMALL),
    "tree-10000": lambda effort: exact_law(effort, 10_000, 1.0, 0.4),
    "large-0.05": lambda effort: independent(effort, LARGE, 0.05, 3, 8),
    "large-0.12": lambda effort: independent(effort, LARGE, 0.12, 4, 8),
    "large-linear-threshold": lambda effort: linear_threshold(effort, LARGE, 4, 10),
    "file": lambda effort: large_file(effort, 2 * LARGE),
}
QUICK = tuple(JOBS)[:9]


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="at most a minute: two short rounds, small graphs")
    parser.add_argument("--json", type=Path, help="write the records here")
    parser.add_argument("--docs", type=Path, help="write the table of the documentation here")
    parser.add_argument("--rounds", type=int, help="of every job (default 5, 2 if quick)")
    parser.add_argument("--only", help=f"jobs whose names begin so: {', '.join(JOBS)}")
    parser.add_argument("--peers-venv", type=Path, help="the environment of NDlib, made if it is not there")
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)  # the process that reads the large file
    given = parser.parse_args(arguments)
    if given.read:
        print(json.dumps(read_and_run(Path(given.read[0]), int(given.read[1]))))
        return
    missing = [name for name in DISTRIBUTIONS.values() if importlib.util.find_spec(name) is None]
    if missing:
        parser.error(f"there is nobody to compare with: pip install 'sparsefire[bench]' brings {', '.join(missing)}")
    names = [name for name in JOBS if name.startswith(given.only or "") and (not given.quick or name in QUICK)]
    if not names or (given.rounds is not None and given.rounds < 1):
        parser.error(f"--only is the beginning of one of {', '.join(JOBS)}, --rounds at least 1")
    rounds = given.rounds or (2 if given.quick else 5)
    if given.peers_venv:
        make_environment(given.peers_venv)
    elif not given.quick:
        print("NDlib is left out: --peers-venv names the environment it is in, or where to make it.", flush=True)
    effort = Effort(rounds, 0.2 if given.quick else 1.0, None if given.quick else given.peers_venv)

    start, records = time.perf_counter(), []
    print(HEAD, end="", flush=True)
    for name in names:
        found = JOBS[name](effort)
        print(*map(row, found), sep="\n", flush=True)
        records += found
    print(f"results agree; {time.perf_counter() - start:.0f} s in all")
    if given.json:
        given.json.write_text(json.dumps(records, indent=1) + "\n")
    if given.docs:
        given.docs.write_text(page(records))


if __name__ == "__main__":
    main()

"""How fast spiking networks run, beside the packages that do the same: CPU time of one thread.

    python benchmarks/spiking.py [--quick] [--json FILE] [--docs FILE] [--only JOB] [--peers DIR]

stack     two layers of neurons over 100 steps, forward and backward, beside snnTorch, SpikingJelly and Norse
network   balanced random networks, 4,000 × 400 and 20,000 × 1,000, beside Brian2
stdp      a competitive network that learns by STDP, one sample, beside Brian2 and BindsNET

Results must agree before a ratio is printed: spike for spike where both can do the same arithmetic, in firing rate and
CV where they draw numbers of their own. Rounds are interleaved, medians count. snnTorch comes with
``pip install 'sparsefire[bench]'``; the others live in environments DIR/spikingjelly, DIR/norse, DIR/brian2 and
DIR/bindsnet, made from the files in benchmarks/peers; those that are not there are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spiked import network, picture, stack, stdp

Record = dict[str, Any]
JOBS = {"stack": stack.records, "network": network.records, "stdp": stdp.records}
HEAD = """# Speed of spiking networks

`python benchmarks/spiking.py` runs all jobs and writes this table. CPU time of one thread, ours and the peer's in turn
within one run, medians; results agree before a ratio is told. A floor is what we promised ourselves, a stretch what we
would be proud of.
"""
TABLE = """
| job | ours | peer | ratio | floor | stretch |
|---|---|---|---|---|---|
"""
TAIL = """
*stack*: 700-128-20 leaky integrate-and-fire neurons, 100 steps, batch 64, 3% of the input spikes; the spikes of all are
the same. *Indexed* input is looked up by the inputs that fired, *dense* input is not. *Noisy* neurons fire by escape
noise: our compiled ones beside our loop in torch, which draws the same numbers. *Balanced network*: CPU seconds for one
biological second, dt 0.1 ms, delay 1.5 ms, an external Poisson input for each neuron; mean firing rates and CVs within
3%. *STDP*: 784 inputs, 400 units, 350 ms at dt 1 ms; spikes equal, weights to 1e-5. BindsNET's network has an
inhibitory layer, pairs instead of triplets and neurons that ours has not, so ours runs its own network of that shape on
the same input, and what is equal to 1e-5 are the weights of the rule at the spikes of BindsNET's units. Compilation is
left out for all. More about each in the files of `benchmarks/spiked`.
"""


def row(record: Record) -> str:
    """Return a line of the table."""
    ours, peer = (f"{record[name]:.3g}" for name in ("ours", "peer"))
    goals = ["–" if record.get(name) is None else f"{record[name]:g}" for name in ("floor", "stretch")]
    job, unit = record["job"], record["unit"]
    return f"| {job} | {ours} {unit} | {record['peer_name']} {peer} | **{record['ratio']:.1f}** | {' | '.join(goals)} |"


def page(records: Sequence[Record]) -> str:
    """Return the page of the documentation."""
    return HEAD + "\n" + picture.SHOWN + TABLE + "\n".join(map(row, records)) + "\n" + TAIL


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="at most a minute: fewer rounds, the small network")
    parser.add_argument("--json", type=Path, help="write the records here")
    parser.add_argument("--docs", type=Path, help="write the page of the documentation here")
    parser.add_argument("--only", choices=tuple(JOBS), help="one job")
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments")
    given = parser.parse_args(arguments)
    found: list[Record] = []
    for name, records in JOBS.items():
        if given.only in (None, name):
            fresh = records(given.quick, given.peers)
            print(*map(row, fresh), sep="\n", flush=True)
            found += fresh
    if not found:
        print("there is nobody to compare with: pip install 'sparsefire[bench]', or --peers DIR", file=sys.stderr)
        return 1
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if given.docs:
        given.docs.write_text(page(found), encoding="utf-8")
        picture.draw(found, given.docs.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())

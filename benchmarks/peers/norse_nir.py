"""A NIR file run by Norse: the spikes of its last layer, in a process of its own.

    <environment>/bin/python benchmarks/peers/norse_nir.py GRAPH.nir INPUT.npz OUTPUT.npz

INPUT.npz holds ``x`` [time, batch, unit] and ``dt`` in seconds; OUTPUT.npz gets ``spikes`` [time, batch, unit]. One
line of output is a JSON object with Norse's version.
"""

import json
import sys
from importlib.metadata import version

import nir
import norse.torch
import numpy as np
import torch


def main() -> None:
    """Run the file step by step."""
    with np.load(sys.argv[2]) as given:
        x, dt = torch.from_numpy(given["x"]), float(given["dt"])
    net = norse.torch.from_nir(nir.read(sys.argv[1]), dt=dt)
    state, found = None, []
    with torch.no_grad():
        for step in x:
            out, state = net(step, state)
            found.append(out)
    np.savez(sys.argv[3], spikes=torch.stack(found).numpy())
    print(json.dumps({"version": version("norse")}), flush=True)


if __name__ == "__main__":
    main()

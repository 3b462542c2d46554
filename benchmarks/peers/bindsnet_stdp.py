"""BindsNET's network of Diehl and Cook, in a process of its own: it learns once for every line it reads.

    <environment>/bin/python benchmarks/peers/bindsnet_stdp.py NETWORK.npz FOLDER

NETWORK.npz holds ``fired`` (input spikes [samples, steps, inputs]), ``weights`` [inputs, units], ``pre``, ``post`` and
``total``. The first line of output has BindsNET's version, and FOLDER/found.npz the spikes of the units, ``units``
[samples, steps, units], and ``weights`` after the last sample; then every line of input is answered with one: CPU
seconds of the steps. Networks and models alone are imported: the whole package wants data sets, games and OpenCV.
"""

import importlib.metadata
import importlib.util
import json
import sys
import time
import types
from pathlib import Path

import numpy as np
import torch

package = types.ModuleType("bindsnet")
package.__path__ = list(importlib.util.find_spec("bindsnet").submodule_search_locations)
sys.modules["bindsnet"] = package
import bindsnet.network  # noqa: E402, F401 - before the models, which import it in a circle
from bindsnet.models import DiehlAndCook2015  # noqa: E402
from bindsnet.network.monitors import Monitor  # noqa: E402


def learn(given, record=False):
    """Return CPU seconds of the steps, weights [inputs, units] and, if recorded, spikes [samples, steps, units]."""
    torch.manual_seed(0)  # it chooses one of the units that fire at once
    _, steps, inputs = given["fired"].shape
    net = DiehlAndCook2015(
        inputs, n_neurons=given["weights"].shape[1], dt=1.0, nu=(float(given["pre"]), float(given["post"])),
        norm=float(given["total"]),
    )  # fmt: skip
    weights = net.connections[("X", "Ae")].pipeline[0].value
    weights.data.copy_(torch.from_numpy(given["weights"]))
    if record:
        net.add_monitor(Monitor(net.layers["Ae"], ["s"], time=steps), "units")
    fired = torch.from_numpy(given["fired"].astype(np.uint8)).unsqueeze(2)  # [samples, steps, batch, inputs]
    seconds, spikes = 0.0, []
    for sample in fired:
        start = time.process_time()
        net.run({"X": sample}, time=steps)
        seconds += time.process_time() - start
        if record:
            spikes.append(net.monitors["units"].get("s").reshape(steps, -1).numpy().astype(bool))
    return seconds, net.connections[("X", "Ae")].pipeline[0].value.detach().numpy().copy(), np.array(spikes)


def main() -> None:
    """Learn once with a record, then answer."""
    torch.set_num_threads(1)
    with np.load(sys.argv[1]) as file:
        given = {name: file[name] for name in file.files}
    _, weights, spikes = learn(given, record=True)
    np.savez(Path(sys.argv[2]) / "found.npz", weights=weights, units=spikes)
    print(json.dumps({"version": importlib.metadata.version("bindsnet")}), flush=True)
    for _ in sys.stdin:
        seconds, again, _ = learn(given)
        assert np.array_equal(weights, again), "the record changed what was learned"
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()

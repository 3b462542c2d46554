"""A balanced network in Brian2, in a process of its own: it runs once for every line that it reads.

    <environment>/bin/python benchmarks/peers/brian2_network.py NETWORK.npz cython|cpp_standalone FOLDER

NETWORK.npz holds ``senders``, ``receivers``, ``units``, ``excitatory`` (how many, the first), ``weight``,
``inhibitory`` (weight), ``sources`` and ``rate`` (external, per unit), ``initial``, ``delay``, ``tau``,
``threshold``, ``reset``, ``refractory``, ``dt`` and ``duration``. The first line of output has Brian2's version;
then every line of input, a number for the noise, is answered with one, the CPU seconds of the simulation alone; its
spikes are then in FOLDER/spikes.npz.

The order of a step is made ours, so that both have one law: arrivals come before the threshold is tested, so spikes are
sent a step later, with a delay shorter by a step; and a refractory period counts the step of the spike.
"""

import json
import sys
import time
from pathlib import Path

import brian2 as b2
import numpy as np


def main() -> None:
    """Build the network once, then answer."""
    with np.load(sys.argv[1]) as file:
        given = {name: file[name] for name in file.files}
    target, folder = sys.argv[2], Path(sys.argv[3])
    x = {name: float(value) for name, value in given.items() if value.ndim == 0}
    if target == "cpp_standalone":
        b2.set_device("cpp_standalone", build_on_run=False)
    else:
        b2.prefs.codegen.target = "cython"
        b2.prefs.codegen.runtime.cython.cache_dir = str(Path(sys.prefix) / "cache")  # kept: compiling takes a minute
    b2.defaultclock.dt = x["dt"] * b2.second
    group = b2.NeuronGroup(
        int(x["units"]), "dv/dt = -v/tau : 1 (unless refractory)", method="exact", threshold="v > threshold",
        reset="v = v_reset", refractory=(x["refractory"] + x["dt"]) * b2.second,
        namespace={"tau": x["tau"] * b2.second, "threshold": x["threshold"], "v_reset": x["reset"]},
    )  # fmt: skip
    group.v = given["initial"]
    split, delay = int(x["excitatory"]), (x["delay"] - x["dt"]) * b2.second
    parts = []
    # two kinds of constant weights: the faster way to say this in Brian2
    for chosen, weight in ((given["senders"] < split, x["weight"]), (given["senders"] >= split, x["inhibitory"])):
        part = b2.Synapses(group, group, on_pre="v_post += w", delay=delay, namespace={"w": weight})
        part.connect(i=given["senders"][chosen], j=given["receivers"][chosen])
        parts.append(part)
    outside = b2.PoissonInput(group, "v", int(x["sources"]), x["rate"] * b2.Hz, weight=x["weight"])
    monitor = b2.SpikeMonitor(group)
    network = b2.Network(group, *parts, outside, monitor)
    network.schedule = ["start", "groups", "synapses", "thresholds", "resets", "end"]
    duration = x["duration"] * b2.second
    if target == "cpp_standalone":
        network.run(duration)
        b2.device.build(directory=str(folder / "built"), run=False)
    else:
        network.store()
        network.run(5 * x["dt"] * b2.second)  # compiles
    print(json.dumps({"version": b2.__version__}), flush=True)
    for line in sys.stdin:
        if target == "cpp_standalone":
            b2.device.run()  # draws another seed by itself
            seconds = b2.device._last_run_time  # std::clock over the steps, without the making of synapses
        else:
            network.restore()
            b2.seed(int(line))
            start = time.process_time()
            network.run(duration)
            seconds = time.process_time() - start
        times, units = np.asarray(monitor.t / b2.second), np.asarray(monitor.i)
        np.savez(folder / "spikes.npz", times=times, units=units)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()

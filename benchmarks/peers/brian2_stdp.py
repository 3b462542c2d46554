"""A competitive network that learns by STDP in Brian2, in a process of its own: it runs once for every line it reads.

    <environment>/bin/python benchmarks/peers/brian2_stdp.py NETWORK.npz numpy|cpp_standalone FOLDER

NETWORK.npz holds ``steps`` and ``inputs`` of the input spikes, ``duration`` (steps), ``dt`` (ms), ``weights`` [inputs,
units], ``theta`` (mV), ``h``, ``keep_e``, ``keep_i``, ``wait`` (steps), ``level`` (mV), ``jump`` (mV), ``strength``,
``pre``, ``post`` and ``taus`` (ms). The first line of output has Brian2's version; then every line of input is answered
with one: CPU seconds of the steps alone. Counts and weights lie in FOLDER/found.npz.
"""

import json
import sys
import time
from pathlib import Path

import brian2 as b2
import numpy as np

MOVE = """
v = (v + h*(-65.0 - 100.0*gi))/(1.0 + h*(1.0 + ge + gi))
v = v*int(t_in_timesteps >= free) - 65.0*int(t_in_timesteps < free)
ge = ge*keep_e
gi = gi*keep_i
"""
SYNAPSE = """
w : 1
dx/dt = -x/tau_pre : 1 (event-driven)
dy/dt = -y/tau_post : 1 (event-driven)
dz/dt = -z/tau_slow : 1 (event-driven)
"""
PRE = """
ge_post += w
w = clip(w - pre_rate*y, 0.0, 1.0)
x = 1.0
"""
POST = """
w = clip(w + post_rate*x*z, 0.0, 1.0)
y = 1.0
z = 1.0
"""


def main() -> None:
    """Build the network once, then answer."""
    with np.load(sys.argv[1]) as file:
        given = {name: file[name] for name in file.files}
    target, folder = sys.argv[2], Path(sys.argv[3])
    x = {name: float(value) for name, value in given.items() if value.ndim == 0}
    if target == "cpp_standalone":
        b2.set_device("cpp_standalone", build_on_run=False)
    else:
        b2.prefs.codegen.target = "numpy"
    dt = x["dt"] * b2.ms
    b2.defaultclock.dt = dt
    inputs, units = given["weights"].shape
    source = b2.SpikeGeneratorGroup(inputs, given["inputs"], given["steps"] * dt)
    constants = {
        "h": x["h"], "keep_e": x["keep_e"], "keep_i": x["keep_i"], "level": x["level"], "jump": x["jump"],
        "wait": x["wait"], "strength": x["strength"], "pre_rate": x["pre"], "post_rate": x["post"],
        "tau_pre": given["taus"][0] * b2.ms, "tau_post": given["taus"][1] * b2.ms, "tau_slow": given["taus"][2] * b2.ms,
    }  # fmt: skip
    group = b2.NeuronGroup(
        units, "v : 1\nge : 1\ngi : 1\ntheta : 1\nfree : 1", threshold="v > level + theta",
        reset="v = -65.0\ntheta += jump\nfree = t_in_timesteps + 1 + wait", namespace=constants,
    )  # fmt: skip
    group.run_regularly(MOVE, dt=dt, when="groups")
    group.v, group.theta = -65.0, given["theta"]
    learning = b2.Synapses(source, group, SYNAPSE, on_pre=PRE, on_post=POST, namespace=constants)
    learning.connect()
    learning.pre.order, learning.post.order = 0, 1
    learning.w = given["weights"].ravel()
    rivals = b2.Synapses(group, group, on_pre="gi_post += strength", namespace=constants)
    rivals.connect(condition="i != j")
    monitor = b2.SpikeMonitor(group)
    network = b2.Network(source, group, learning, rivals, monitor)
    if target == "cpp_standalone":
        network.run(x["duration"] * dt)
        b2.device.build(directory=str(folder / "built"), run=False)
    else:
        network.store()
        network.run(2 * dt)  # generates code
    print(json.dumps({"version": b2.__version__}), flush=True)
    for _ in sys.stdin:
        if target == "cpp_standalone":
            b2.device.run()
            seconds = b2.device._last_run_time  # std::clock over the steps, without the making of synapses
        else:
            network.restore()
            start = time.process_time()
            network.run(x["duration"] * dt)
            seconds = time.process_time() - start
        weights = np.asarray(learning.w[:]).reshape(inputs, units)
        steps = np.asarray(np.round(np.asarray(monitor.t / dt)), int)
        np.savez(folder / "found.npz", units=np.asarray(monitor.i), steps=steps, weights=weights)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()

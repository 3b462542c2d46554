"""A stack of two spiking layers in snnTorch, SpikingJelly or Norse, in a process of its own.

    <environment>/bin/python benchmarks/peers/spiking_stack.py PEER JOB.npz OUT.npz

JOB.npz holds ``x`` [time, batch, in], ``weight0``, ``bias0``, ``weight1``, ``bias1``, ``by`` (the loss is the sum of
the last spikes times it) and ``tau`` in steps. Spikes and the gradient of the first weights go to OUT.npz. The first
line of output is a JSON object with the peer's version; then each line of input, ``forward`` or ``both`` (forward and
backward), is answered with the CPU milliseconds of one run in one thread.
"""

import gc
import json
import sys
import time
from importlib.metadata import version

import numpy as np
import torch
from torch import nn

STEEPNESS = 10.0


def layers(job, scale=1.0):
    """The two linear layers; currents are multiplied by ``scale``."""
    made = []
    for number in range(2):
        weight, bias = (torch.from_numpy(job[f"{name}{number}"]) * scale for name in ("weight", "bias"))
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        made.append(layer)
    return made


def snntorch(job):
    """The loop of its tutorials. v ← β v + I, so currents carry the factor 1 − β; its reset has no gradient."""
    import snntorch as snn
    from snntorch import surrogate

    beta = 1 - 1 / float(job["tau"])
    scale = 1 / float(job["tau"])
    first, second = layers(job, scale)
    slope = surrogate.fast_sigmoid(slope=STEEPNESS)
    one, two = (snn.Leaky(beta=beta, reset_mechanism="zero", spike_grad=slope) for _ in range(2))

    def forward(x):
        v_one, v_two = one.init_leaky(), two.init_leaky()
        found = []
        for part in x:
            spikes, v_one = one(first(part), v_one)
            spikes, v_two = two(second(spikes), v_two)
            found.append(spikes)
        return torch.stack(found)

    return forward, first, second, scale


def spikingjelly(job):
    """Its multi-step mode, the torch backend, the linear layers over all steps at once."""
    from spikingjelly.activation_based import functional, neuron

    first, second = layers(job)
    net = nn.Sequential(
        first, neuron.LIFNode(tau=float(job["tau"]), detach_reset=True, step_mode="m"),
        second, neuron.LIFNode(tau=float(job["tau"]), detach_reset=True, step_mode="m"),
    )  # fmt: skip

    def forward(x):
        functional.reset_net(net)
        return net(x)

    return forward, first, second, None  # another surrogate: gradients are not compared


def norse(job):
    """Its neuron with one state, LIFBoxCell, in the user's loop."""
    from norse.torch import LIFBoxCell
    from norse.torch.functional.lif_box import LIFBoxParameters

    first, second = layers(job)
    p = LIFBoxParameters(tau_mem_inv=torch.tensor(1e3 / float(job["tau"])))
    one, two = LIFBoxCell(p=p, dt=1e-3), LIFBoxCell(p=p, dt=1e-3)

    def forward(x):
        s_one = s_two = None
        found = []
        for part in x:
            spikes, s_one = one(first(part), s_one)
            spikes, s_two = two(second(spikes), s_two)
            found.append(spikes)
        return torch.stack(found)

    return forward, first, second, 1.0


def main():
    """Compute once for the comparison, then answer."""
    torch.set_num_threads(1)
    name, path, out = sys.argv[1:]
    with np.load(path) as given:
        job = {key: given[key] for key in given.files}
    forward, first, second, scale = {"snntorch": snntorch, "spikingjelly": spikingjelly, "norse": norse}[name](job)
    x, by = torch.from_numpy(job["x"]), torch.from_numpy(job["by"])
    parameters = [*first.parameters(), *second.parameters()]

    def both():
        for parameter in parameters:
            parameter.grad = None
        spikes = forward(x)
        (spikes * by).sum().backward()
        return spikes

    def only():
        with torch.no_grad():
            return forward(x)

    spikes = both().detach().numpy()
    found = {"spikes": spikes}
    if scale is not None:
        found["gradient"] = first.weight.grad.numpy() * scale
    np.savez(out, **found)
    print(json.dumps({"version": version(name)}), flush=True)
    for line in sys.stdin:
        run = both if line.strip() == "both" else only
        gc.disable()
        start = time.process_time()
        run()
        print((time.process_time() - start) * 1e3, flush=True)
        gc.enable()


if __name__ == "__main__":
    main()

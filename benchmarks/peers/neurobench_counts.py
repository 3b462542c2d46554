"""What NeuroBench counts in a spiking network of snnTorch neurons, in a process of its own.

    <environment>/bin/python benchmarks/peers/neurobench_counts.py JOB.npz COUNTS.npz

JOB.npz holds ``x`` [time, batch, in], ``tau`` in steps, and ``weight0``, ``bias0``, ``weight1``, ``bias1``. COUNTS.npz
gets ``spikes`` [time, batch, out] and each metric as a number. One line of output is a JSON object with the version.
"""

import json
import sys
from importlib.metadata import version

import numpy as np
import snntorch as snn
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.static import ConnectionSparsity
from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
from neurobench.models import SNNTorchModel
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def network(job):
    """Two layers of neurons; v ← β v + I, so currents carry the factor 1 − β = 1/τ."""
    tau, parts = float(job["tau"]), []
    for number in range(2):
        weight, bias = (torch.from_numpy(job[f"{name}{number}"]) / tau for name in ("weight", "bias"))
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        parts += [layer, snn.Leaky(1 - 1 / tau, reset_mechanism="zero", init_hidden=True, output=number == 1)]
    return nn.Sequential(*parts)


def main():
    """Count in one batch."""
    with np.load(sys.argv[1]) as given:
        job = dict(given)
    x = torch.from_numpy(job["x"]).transpose(0, 1)  # theirs is [batch, time, in]
    model, seen = SNNTorchModel(network(job)), []
    data = DataLoader(TensorDataset(x, torch.zeros(len(x))), batch_size=len(x))
    metrics = [[ConnectionSparsity], [ActivationSparsity, SynapticOperations]]
    with torch.no_grad():
        found = Benchmark(model, data, [], [lambda spikes: seen.append(spikes) or spikes], metrics).run(quiet=True)
    counts = {
        "acs": found["SynapticOperations"]["Effective_ACs"],
        "macs": found["SynapticOperations"]["Effective_MACs"],
        "dense": found["SynapticOperations"]["Dense"],
        "activation_sparsity": found["ActivationSparsity"],
        "connection_sparsity": found["ConnectionSparsity"],
    }
    np.savez(sys.argv[2], spikes=seen[0].transpose(0, 1).numpy(), **{k: float(v) for k, v in counts.items()})
    print(json.dumps({"version": version("neurobench")}), flush=True)


if __name__ == "__main__":
    main()

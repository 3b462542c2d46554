"""NDlib's independent cascade in a process of its own: it reads how many runs are wanted, line by line.

    <environment>/bin/python benchmarks/peers/ndlib_cascades.py EDGES.npz

EDGES.npz holds ``senders`` and ``receivers`` (each undirected edge once), ``units``, ``sources`` and ``probability``.
The first line of output is a JSON object with NDlib's version; then every line of input, a number of runs, is answered
with one: the CPU seconds that these runs took and the final size of each.
"""

import json
import sys
import time
from importlib.metadata import version

import networkx as nx
import numpy as np
from ndlib.models.epidemics import IndependentCascadesModel
from ndlib.models.ModelConfig import Configuration

INFECTED, REMOVED = 1, 2


def main() -> None:
    """Build the model once, then answer."""
    with np.load(sys.argv[1]) as given:
        edges = list(zip(given["senders"].tolist(), given["receivers"].tolist()))  # noqa: B905
        units, probability = int(given["units"]), float(given["probability"])
        sources = given["sources"].tolist()
    graph = nx.Graph()
    graph.add_nodes_from(range(units))
    graph.add_edges_from(edges)
    model = IndependentCascadesModel(graph, seed=0)
    config = Configuration()
    config.add_model_initial_configuration("Infected", sources)
    for edge in edges:
        config.add_edge_configuration("threshold", edge, probability)
    model.set_initial_status(config)
    print(json.dumps({"version": version("ndlib")}), flush=True)
    for line in sys.stdin:
        sizes, start = [], time.process_time()
        for _ in range(int(line)):
            model.reset(infected_nodes=sources)
            counts = model.iteration(node_status=False)["node_count"]
            while counts[INFECTED]:
                counts = model.iteration(node_status=False)["node_count"]
            sizes.append(counts[REMOVED])
        print(json.dumps({"seconds": time.process_time() - start, "sizes": sizes}), flush=True)


if __name__ == "__main__":
    main()

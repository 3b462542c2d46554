"""Statistics of two spike trains by elephant, in a process of its own.

    <environment>/bin/python benchmarks/peers/elephant_statistics.py TRAINS.npz FOUND.npz

TRAINS.npz holds ``first`` and ``second``, times in seconds; ``duration``; ``window`` for counts; ``width`` of the bins
of the correlogram, on which all times lie, and ``half``, the bins either side of the middle. FOUND.npz gets an array
for each statistic. One line of output is a JSON object with the version.
"""

import json
import sys
from importlib.metadata import version

import numpy as np
import quantities as pq
from elephant import spike_train_correlation, statistics
from elephant.conversion import BinnedSpikeTrain
from neo import SpikeTrain


def main():
    """Read, compute, write."""
    with np.load(sys.argv[1]) as given:
        job = dict(given)
    end, window, width, half = (float(job[name]) for name in ("duration", "window", "width", "half"))
    trains = [SpikeTrain(job[name] * pq.s, t_stop=end * pq.s) for name in ("first", "second")]
    intervals = [np.diff(job[name]) for name in ("first", "second")]
    coarse = BinnedSpikeTrain(trains, bin_size=window * pq.s, tolerance=1e-8)
    fine = [BinnedSpikeTrain(train, bin_size=width * pq.s, tolerance=1e-8) for train in trains]
    counted, _ = spike_train_correlation.cross_correlation_histogram(*fine, window=[-int(half), int(half)])
    steps = np.arange(round(end / window))
    parts = [[train.time_slice(k * window * pq.s, (k + 1) * window * pq.s) for k in steps] for train in trains]
    np.savez(
        sys.argv[2],
        cv=[statistics.cv(x) for x in intervals],
        cv2=[statistics.cv2(x) for x in intervals],
        lv=[statistics.lv(x) for x in intervals],
        fano=[statistics.fanofactor(part) for part in parts],
        correlation=spike_train_correlation.correlation_coefficient(coarse)[0, 1],
        correlogram=np.asarray(counted.magnitude).ravel(),
    )
    print(json.dumps({"version": version("elephant")}), flush=True)


if __name__ == "__main__":
    main()

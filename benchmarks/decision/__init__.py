"""Populations, fast learners and experiments of ``benchmarks/decision_level.py``."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy is loaded: workers share the cores, one thread each

"""The graphs, entrants, jobs and page of ``benchmarks/cascades.py``."""

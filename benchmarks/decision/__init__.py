"""Populations, fast learners and experiments of ``benchmarks/decision_level.py``."""

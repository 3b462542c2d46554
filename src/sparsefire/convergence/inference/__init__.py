"""Exponents, transitions and intervals from runs."""

"""Exact risk: recursions, constants, limits of stability."""

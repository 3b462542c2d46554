"""Simulated risk: compiled runs with counter-based random numbers, and what they tell."""

"""Sparsity inside trainers that own the loop: one thin callback for each."""

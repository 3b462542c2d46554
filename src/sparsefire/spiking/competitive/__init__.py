"""Unsupervised competitive spiking networks: units that fire inhibit each other and learn what made them fire.

Nothing in this room needs torch.
"""

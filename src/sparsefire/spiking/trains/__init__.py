"""Laws of spike trains, and how well spikes keep to them: renewal, Poisson, Hawkes, time rescaling, statistics, checks.

Nothing in this room needs torch.
"""

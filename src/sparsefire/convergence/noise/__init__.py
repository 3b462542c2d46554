"""Exact laws of rules whose noise shapes what is learned: dropout, stochastic sharpness, spike timing."""

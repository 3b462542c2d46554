"""Gradients for spiking networks that are gathered forwards in time: e-prop and OTTT."""

"""How weights change by spikes: rules of pairs and triplets, of reward, layers that learn, homeostasis, rewiring."""

"""What neuromorphic chips allow, as constraints to train under, and what a network would cost on one."""

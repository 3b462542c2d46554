"""How fast learning really is: exact risk, simulated risk, and the inference of exponents, side by side."""

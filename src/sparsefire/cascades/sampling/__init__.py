"""Many runs at once: compiled kernels, and how their runs are shared out over threads."""

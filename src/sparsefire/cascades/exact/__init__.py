"""Exact laws: recursions on forests, closed forms, and all that can happen on tiny graphs."""

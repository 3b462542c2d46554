"""Approximate laws, each with its name: spanning trees, independent units, limits of large random networks."""

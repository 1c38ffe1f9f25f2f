"""Models in formats that run without JAX."""

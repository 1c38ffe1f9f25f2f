"""Sources of labelled steel images and the grain pipeline; imports no jax."""

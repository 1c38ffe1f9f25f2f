"""Few-image steel defects, carried to other surfaces: DT-GAN and its family in JAX."""

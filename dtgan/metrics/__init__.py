"""Scores: features, distances between sets, transfer error, copies. Knows no data set and no GAN."""

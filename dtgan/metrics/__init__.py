"""Scores of images: features, distances, transfer error, copies. Knows no data set, no GAN."""

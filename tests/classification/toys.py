"""A classifier that trains in no time, in the place of `training.Trainer`."""

import numpy as np

from dtgan.classification.training import Trained


class Nearest:
    """In the place of a Trainer: the class of the nearest mean grey, weighted by share."""

    config = None

    def __init__(self):
        self.trained = 0

    def train(self, images, val, seeds, share=None, until=None):
        del val, until
        self.trained += 1
        rng = np.random.default_rng(seeds[0])
        grey = images.image.mean((1, 2, 3)) + rng.normal(0, 4, len(images.label))
        weight = np.where(images.synthetic, share or 0.5, 1 - (share or 0.5))
        means = [
            np.average(grey[images.label == k], weights=weight[images.label == k])
            for k in range(images.label.max() + 1)
        ]
        zero = np.zeros(1)
        return Trained(np.asarray(means), zero, zero.astype(int), np.zeros(len(images.label)))

    def evaluate(self, means, image):
        return -np.abs(image.mean((1, 2, 3))[:, None] - means)[None]

    def cross_entropy(self, logits, label):
        total = np.log(np.exp(logits).sum(-1))
        return total - logits[np.arange(len(label)), label]

    def decide(self, logits):
        return logits.argmax(-1)

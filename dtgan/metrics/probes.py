"""Linear probes of codes, and the collapse of anchors onto other images."""

import numpy as np
from scipy.spatial.distance import cdist

from dtgan.config import ConfigError
from dtgan.metrics.intervals import wilson

RIDGES = 10.0 ** np.arange(2, -7, -1)  # relative to the mean eigenvalue, strongest first


def linear_probe(train, val, test, num_classes):
    """Measure how well a linear classifier predicts the class from features.

    Ridge regression on one-hot targets, every class of the same total weight, features scaled by
    the training set; the ridge is the strongest of those with the best balanced accuracy on `val`.

    train, val, test: (features [N, d], labels int [N] in 0..num_classes-1). Returns fractions
    0..1 of the test set: "accuracy" with its Wilson interval "accuracy_ci95", "balanced_accuracy"
    (mean recall of the classes present), the same of the best constant guess: "chance" (the
    frequency of the largest class) and "chance_balanced" (1 / classes present); "num_train",
    "num_test". Raises ConfigError for a set without images.
    """
    for name, (_, labels) in {"train": train, "val": val, "test": test}.items():
        if not len(labels):
            raise ConfigError(f"the probe's {name} set has no images; take a split that has some")
    chosen, best = None, -1.0
    for scores in _ridge_scores(train, [val[0], test[0]], num_classes):
        on_val, on_test = (np.argmax(score, axis=-1) for score in scores)
        value = _balanced_accuracy(on_val, val[1])
        if value > best:
            chosen, best = on_test, value
    labels = np.asarray(test[1])
    hits, counts = int(np.sum(chosen == labels)), np.bincount(labels)
    return {
        "accuracy": hits / len(labels),
        "accuracy_ci95": list(wilson(hits, len(labels))),
        "balanced_accuracy": _balanced_accuracy(chosen, labels),
        "chance": float(counts.max() / len(labels)),
        "chance_balanced": 1.0 / np.count_nonzero(counts),
        "num_train": len(train[1]),
        "num_test": len(labels),
    }


def anchor_collapse(x4, x2):
    """Measure how often the anchor x4 of a normal image x2 resembles another normal image.

    x4, x2: embeddings [N, D] of the rendered anchors and of their normal images, in the same order,
    whose squared Euclidean distance is the metric (as LPIPS is); every normal image once. Returns
      "collapse": fraction of x4 nearer to another x2 than to their own (ties are no collapse),
        with its Wilson interval "collapse_ci95"; "chance": 1 - 1/N, that of x4 unrelated to x2
      "largest_share": fraction of x4 whose nearest x2 is the most frequent one; 1/N at best
      "num": N
    """
    distance = cdist(x4, x2, "sqeuclidean")  # not by products: equal images must tie exactly
    own, nearest = np.arange(len(distance)), np.argmin(distance, axis=1)
    nearest = np.where(distance[own, own] <= distance[own, nearest], own, nearest)
    number, others = len(own), int(np.sum(nearest != own))
    return {
        "collapse": others / number,
        "collapse_ci95": list(wilson(others, number)),
        "chance": 1.0 - 1.0 / number,
        "largest_share": float(np.bincount(nearest).max() / number),
        "num": number,
    }


def _ridge_scores(train, features, num_classes):
    """Yield for every ridge the class scores [N, num_classes] of each array in `features`."""
    x, labels = np.asarray(train[0], np.float64), np.asarray(train[1])
    # An infinite scale removes constant features; their deviation may be rounding instead of 0.
    scale = np.where(np.ptp(x, axis=0) > 0, x.std(0), np.inf)
    counts = np.bincount(labels, minlength=num_classes)
    weights = 1.0 / (counts[labels] * np.count_nonzero(counts))
    targets = np.eye(num_classes)[labels]
    center, offset = weights @ x, weights @ targets
    a = np.sqrt(weights)[:, None] * (x - center) / scale
    b = np.sqrt(weights)[:, None] * (targets - offset)
    queries = [(np.asarray(f, np.float64) - center) / scale for f in features]

    dual = a.shape[1] > a.shape[0]  # A'(AA' + r)^-1 B equals (A'A + r)^-1 A'B: take the smaller
    gram, right = (a @ a.T, b) if dual else (a.T @ a, a.T @ b)
    unit = np.trace(gram) / len(gram) or 1.0  # 0 where all features are constant
    for ridge in RIDGES * unit:
        solution = np.linalg.solve(gram + ridge * np.eye(len(gram)), right)
        kernel = a.T @ solution if dual else solution
        yield [query @ kernel + offset for query in queries]


def _balanced_accuracy(guess, labels):
    """Compute the mean recall of the classes that occur in `labels`."""
    return float(np.mean([np.mean(guess[labels == c] == c) for c in np.unique(labels)]))

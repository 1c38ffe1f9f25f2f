"""Labels of classes: a class "a+b" shows both, as in CODEBRIM's non-exclusive defects."""

import numpy as np

SEPARATOR = "+"
ANOTHER = "another set"  # name for a predicted set of labels that is no class


def names(classes):
    """List the single labels of all classes, in the order in which they first appear.

    >>> names(("normal", "crack", "crack+spot"))
    ('normal', 'crack', 'spot')
    """
    return tuple(dict.fromkeys(label for name in classes for label in name.split(SEPARATOR)))


def targets(classes):
    """Tabulate which of the A labels (`names`) each of the K classes shows: bool [K, A]."""
    known = names(classes)
    return np.array([[label in name.split(SEPARATOR) for label in known] for name in classes])


def exact_match(decisions, table):
    """Find the class whose labels are exactly those decided on, K where there is none.

    decisions: bool [..., A]; table: `targets` of the K classes -> int [...].
    """
    hits = np.all(decisions[..., None, :] == table, axis=-1)
    return np.where(hits.any(-1), hits.argmax(-1), len(table))

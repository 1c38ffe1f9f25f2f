"""Pins the automatic split: the order of listing, covered classes, what groups a file."""

import numpy as np

from dtgan.data.folders import assign


def test_assign_ignores_the_order_of_listing():
    names = [f"c{i % 3}/{i}.png" for i in range(60)]
    labels, groups = np.arange(60) % 3, np.arange(60) // 4
    first = dict(zip(names, assign.assign(names, labels, groups, (0.6, 0.2, 0.2), 7), strict=True))
    order = np.random.default_rng(0).permutation(60)
    again = [names[i] for i in order]
    renumbered = np.unique(-groups[order], return_inverse=True)[1]
    second = assign.assign(again, labels[order], renumbered, (0.6, 0.2, 0.2), 7)
    assert first == dict(zip(again, second, strict=True))


def test_assign_finds_the_order_that_covers_linked_classes():
    # Four classes in a chain of shared groups: only alternating splits cover every class.
    pairs = [(0, 1), (2, 3), (1, 2), (3, 4)]
    labels = np.repeat(np.arange(4), 2)
    groups = np.asarray(pairs).ravel()
    names = [f"{label}/{i}" for i, label in enumerate(labels)]
    for seed in range(20):
        chosen = np.asarray(assign.assign(names, labels, groups, (0.7, 0.15, 0.15), seed))
        assert all(set(chosen[labels == label]) == {"train", "val"} for label in range(4))


def test_group_key_is_the_parenthesis_the_match_or_the_stem():
    assert assign.group_key("exp1_num_17", "num_([0-9])") == ("match", "1")
    assert assign.group_key("exp1_num_17", "num_[0-9]") == ("match", "num_1")
    assert assign.group_key("other", "num_([0-9])") == ("stem", "other")
    assert assign.group_key("other", "") is None

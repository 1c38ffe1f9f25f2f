"""Pins the automatic split and the folds: order of listing, covered classes, groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtgan.config import ConfigError
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
    stems = ("exp1_num_17", "other", "\udcff")
    keys = (("match", "1"), ("stem", "other"), ("stem", "\udcff"))
    assert assign.group_keys(stems, "num_([0-9])") == keys
    assert assign.group_keys(stems, "num_[0-9]")[0] == ("match", "num_1")
    assert assign.group_keys(stems, "(x)|other")[1] == ("stem", "other")
    assert assign.group_keys(stems, "") == (None,) * 3


def test_an_expression_that_runs_away_is_ended_and_named(monkeypatch):
    monkeypatch.setattr(assign, "_SECONDS", 1.0)
    with pytest.raises(ConfigError, match=r"takes more than 1 s, at last for 'aaa.*!'; write one"):
        assign.group_keys(("b1", "a" * 40 + "!", "b2"), "^(a+)+$")


def _set(draw):
    """Names, labels and groups of images; most groups are of one class, as many as folds need."""
    number = draw(st.integers(2, 5))
    sizes = draw(
        st.lists(
            st.lists(st.integers(1, 6), min_size=max(number, 4), max_size=9),
            min_size=2,
            max_size=4,
        )
    )
    labels = [k for k, own in enumerate(sizes) for n in own for _ in range(n)]
    groups = np.repeat(np.arange(sum(map(len, sizes))), [n for own in sizes for n in own])
    names = [f"c{label}/{i}.png" for i, label in enumerate(labels)]
    return names, np.asarray(labels), groups, number, draw(st.integers(0, 99))


@given(st.data())
def test_every_image_is_a_test_image_in_exactly_one_fold(data):
    names, labels, groups, number, seed = _set(data.draw)
    classes, fractions = [f"c{k}" for k in range(1 + labels.max())], (0.6, 0.2, 0.2)
    tested = np.zeros(len(names), int)
    for part in range(number):
        splits = np.asarray(
            assign.assign_fold(names, classes, labels, groups, fractions, (part, number), seed)
        )
        tested += splits == "test"
        for group in set(groups):
            assert len(set(splits[groups == group])) == 1
        for label in set(labels):
            assert set(splits[labels == label]) == {"train", "val", "test"}
    assert np.all(tested == 1)


@given(st.integers(2, 6), st.lists(st.integers(6, 30), min_size=1, max_size=4), st.integers(0, 9))
def test_single_images_are_spread_evenly(number, counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    names = [f"{label}/{i}" for i, label in enumerate(labels)]
    parts = assign.fold_numbers(names, labels, np.arange(len(names)), number, seed)
    for label, count in enumerate(counts):
        held = np.bincount(parts[labels == label], minlength=number)
        assert held.min() == count // number and held.max() == -(-count // number)
    total = np.bincount(parts, minlength=number)
    assert total.max() - total.min() <= 1
    order = np.random.default_rng(seed).permutation(len(names))
    again = assign.fold_numbers(
        [names[i] for i in order], labels[order], np.arange(len(names)), number, seed
    )
    assert np.array_equal(again, parts[order])


def test_large_groups_are_balanced_by_small_ones():
    """Parts of 6 + 1 + 1, 4 + 4 and 5 + 3 images."""
    sizes = [6, 5, 4, 4, 3, 1, 1]
    groups = np.repeat(np.arange(len(sizes)), sizes)
    names = [f"c/{i:02d}" for i in range(len(groups))]
    parts = assign.fold_numbers(names, np.zeros(len(groups), int), groups, 3, 0)
    assert np.bincount(parts).tolist() == [8, 8, 8]


def test_a_quarter_of_what_is_left_validates():
    names, labels = [f"c/{i}" for i in range(60)], np.zeros(60, int)
    splits = assign.assign_fold(names, ["c"], labels, np.arange(60), (0.6, 0.2, 0.2), (1, 3), 0)
    assert [splits.count(name) for name in ("train", "val", "test")] == [30, 10, 20]


def test_more_folds_than_groups_are_refused():
    labels = np.repeat([0, 1], [12, 8])
    groups = np.concatenate([np.arange(12), 12 + np.arange(8) // 2])
    names = [f"{label}/{i}" for i, label in enumerate(labels)]
    arguments = names, ("normal", "spot"), labels, groups, (0.7, 0.15, 0.15)
    for fold in ((1, 2), (3, 4)):
        assert assign.assign_fold(*arguments, fold, 0).count("test") == 20 // fold[1]
    with pytest.raises(ConfigError, match=r"class 'spot' has 4 groups of .* at most 4 folds"):
        assign.assign_fold(*arguments, (0, 5), 0)


def test_groups_that_tie_classes_together_are_refused():
    """Each group of "spot" holds all of a group of "tear" too: one part goes without a class."""
    labels = np.array([0] * 9 + [1, 1, 1, 2, 2, 2, 2])
    groups = np.array([*range(9), 9, 10, 11, 9, 9, 9, 9])
    names = [f"{label}/{i}" for i, label in enumerate(labels)]
    with pytest.raises(ConfigError, match="class 'tear' has 1 group of images; add images of it"):
        assign.assign_fold(
            names, ("normal", "spot", "tear"), labels, groups, (0.7, 0.3, 0), (0, 3), 0
        )
    groups[-3:] = 10, 12, 12  # tear: groups 9, 10 and 12
    splits = assign.assign_fold(
        names, ("normal", "spot", "tear"), labels, groups, (0.7, 0.3, 0.0), (0, 3), 0
    )
    assert {labels[i] for i, split in enumerate(splits) if split == "test"} == {0, 1, 2}

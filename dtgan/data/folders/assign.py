"""Division of files into train, val and test: groups, splits.csv, the automatic split."""

import csv
import functools
import hashlib
import json
import math
import re
import subprocess
import sys
import unicodedata

import numpy as np

from dtgan.config import ConfigError
from dtgan.data.folders.scan import stem
from dtgan.data.splits import SPLITS

_ATTEMPTS = 32  # orders tried until every class is in train and in val
_SECONDS = 10.0  # for all matches of an expression; 100,000 of a usual one take one
# An expression may run away, and nothing but its process can be ended then.
_MATCHER = """
import json, re, sys
group, stems = json.load(sys.stdin)
pattern = re.compile(group)
for stem in stems:
    match = pattern.search(stem)
    key = match and (match[1] if pattern.groups else match[0])
    print(json.dumps(key), flush=True)
"""


def check_fractions(fractions):
    """Return `fractions` as three floats for train, val, test. Raises ConfigError for others."""
    rule = "give 3 numbers >= 0 for train, val, test with sum 1, train > 0 and val > 0"
    try:
        values = tuple(float(value) for value in fractions)
    except (TypeError, ValueError):
        values = ()
    usable = len(values) == 3 and all(math.isfinite(v) and v >= 0 for v in values)
    if not usable or abs(sum(values) - 1) > 1e-6 or min(values[:2]) <= 0:
        raise ConfigError(f"data.fractions={fractions!r} cannot split a set; {rule}")
    return values


def check_group(group):
    """Raise ConfigError where data.group is not a regular expression."""
    try:
        re.compile(group)
    except (re.error, OverflowError) as error:
        raise ConfigError(
            f"data.group={group!r} is not a regular expression ({error}); "
            "write one like '^(tile[0-9]+)' or leave it empty"
        ) from None


@functools.lru_cache(maxsize=8)
def group_keys(stems, group):
    """Compute the group keys of files: the matches of the regular expression `group` in stems.

    Files of equal keys stay in one split. A key is the first parenthesis if there is one, else the
    whole match; the stem where nothing matches; None where `group` is empty. stems: a tuple.
    Raises ConfigError for a bad expression, and for one that takes _SECONDS.
    """
    if not group:
        return (None,) * len(stems)
    check_group(group)
    command = [sys.executable, "-I", "-S", "-c", _MATCHER]
    asked = json.dumps([group, stems]).encode()
    try:
        found = subprocess.run(
            command, input=asked, capture_output=True, timeout=_SECONDS, check=True
        )
    except subprocess.TimeoutExpired as late:
        done = (late.stdout or b"").count(b"\n")
        raise ConfigError(
            f"data.group={group!r} takes more than {_SECONDS:g} s, at last for {stems[done]!r}; "
            "write one without repetitions of repetitions, like '^(tile[0-9]+)'"
        ) from None
    keys = map(json.loads, found.stdout.splitlines())
    pairs = zip(stems, keys, strict=True)
    return tuple(("stem", stem) if key is None else ("match", key) for stem, key in pairs)


def components(keys):
    """Number the connected groups of files that share a key.

    keys: per file an iterable of hashable keys, None among them ignored.
    Returns int [N]: equal numbers for files that are linked, directly or through others.
    """
    parent = list(range(len(keys)))

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first = {}
    for i, own in enumerate(keys):
        for key in own:
            if key is not None:
                parent[root(i)] = root(first.setdefault(key, i))
    roots = np.asarray([root(i) for i in range(len(keys))], np.int64)
    return np.unique(roots, return_inverse=True)[1]


def groups_of(records, group):
    """Number the groups of `scan.Record`s that belong together, int [N].

    Those whose stems match alike (`group_keys`), and those with the same pixels, maybe mirrored.
    """
    keys = group_keys(tuple(stem(r.image) for r in records), group)
    pixels = [("pixels", r.canonical) for r in records]
    return components(list(zip(keys, pixels, strict=True)))


def assign(names, labels, groups, fractions, seed):
    """Split a set by class and by group, the same way for the same names in any order.

    Each class first gets one group in val, in test (unless the class is too small) and in train,
    as far as its groups allow; then each other group, largest first, goes to the split where it
    leaves the smallest distance from `fractions`: squares of shares of a class, summed over
    classes.

    names: unique strings [N]; labels: int [N]; groups: int [N], never torn apart;
    fractions: train, val, test. Returns a list of split names [N].
    """
    members, titles = _table(names, labels, groups)
    for attempt in range(_ATTEMPTS):
        ranks = [_rank(seed, attempt, titles[g]) for g in range(len(members))]
        chosen, complete = _cover(members, ranks, fractions[2])
        if complete:
            break
    target = members.sum(0)[:, None] * np.asarray(fractions)
    weight = 1 / np.maximum(members.sum(0), 1) ** 2
    count = np.stack([members[chosen == s].sum(0) for s in range(len(SPLITS))], axis=1)
    closed = np.asarray([0.0 if fraction > 0 else np.inf for fraction in fractions])
    for g in sorted(np.flatnonzero(chosen < 0), key=lambda g: (-members[g].sum(), ranks[g])):
        added = members[g][:, None]
        cost = weight @ (added * (2 * (count - target) + added)) + closed
        chosen[g] = int(np.argmin(cost))
        count[:, chosen[g]] += members[g]
    return [SPLITS[chosen[group]] for group in groups]


def assign_fold(names, classes, labels, groups, fractions, fold, seed):
    """Split a set for fold (k, K) of a cross-validation: a list of split names [N].

    Part k of `fold_numbers` is the test split; `assign` divides the rest into train and val in the
    proportion of the first two `fractions`. classes: name of every label. Raises ConfigError where
    a class has too few groups for K folds.
    """
    part, number = fold
    _check_groups(classes, labels, groups, fold)
    parts = fold_numbers(names, labels, groups, number, seed)
    for label in np.flatnonzero(~_usable(parts, labels, groups, number)):
        raise ConfigError(
            f"data.fold={part}/{number}: no division found that tests, validates and trains class "
            f"{classes[label]!r} in every fold; use fewer folds, or a data.group that makes "
            "smaller groups"
        )
    rest = np.flatnonzero(parts != part)
    train = fractions[0] / (fractions[0] + fractions[1])
    drawn = assign(
        [names[row] for row in rest],
        np.asarray(labels)[rest],
        np.unique(np.asarray(groups)[rest], return_inverse=True)[1],
        (train, 1 - train, 0.0),
        seed,
    )
    splits = ["test"] * len(names)
    for row, split in zip(rest, drawn, strict=True):
        splits[row] = split
    return splits


def fold_numbers(names, labels, groups, number, seed):
    """Divide a set into parts of about equally many images of each class: int [N] in 0..number-1.

    The groups of the classes with fewest groups come first, of these the largest; each goes where
    it leaves the smallest sum of squared shares of a class, and of equals to the smallest part.
    Other orders are tried if that leaves a class out of the test, the validation or the training of
    a fold. Arguments as in `assign`; the result is a function of the names, whatever their order,
    and of the seed.
    """
    members, titles = _table(names, labels, groups)
    weight = 1 / np.maximum(members.sum(0), 1) ** 2
    rarest = np.where(members > 0, (members > 0).sum(0), np.inf).min(1)
    for attempt in range(_ATTEMPTS):
        ranks = [_rank(seed, attempt, titles[g]) for g in range(len(members))]
        size = members.sum(1) if attempt == 0 else np.zeros(len(members))
        held, chosen = np.zeros((number, members.shape[1])), np.zeros(len(members), int)
        for g in sorted(range(len(members)), key=lambda g: (rarest[g], -size[g], ranks[g])):
            cost = (members[g] * (2 * held + members[g])) @ weight
            chosen[g] = np.lexsort((held.sum(1), cost))[0]
            held[chosen[g]] += members[g]
        parts = chosen[np.asarray(groups)]
        if np.all(_usable(parts, labels, groups, number)):
            break
    return parts


def _usable(parts, labels, groups, number):
    """Tell of each class whether each part tests it and leaves two groups to train and validate."""
    found = []
    for label in range(int(np.max(labels)) + 1):
        own = {(p, g) for p, g, k in zip(parts, groups, labels, strict=True) if k == label}
        held = np.bincount([p for p, _ in own], minlength=number)
        found.append(held.min() >= 1 and len(own) - held.max() >= 2)
    return np.asarray(found)


def _check_groups(classes, labels, groups, fold):
    """Raise ConfigError where a class has too few groups to test, validate and train in a fold."""
    part, number = fold
    count = [len(set(np.asarray(groups)[np.asarray(labels) == k])) for k in range(len(classes))]
    least = int(np.argmin(count))
    # Of two halves each must leave one group to train and one to validate.
    if count[least] < max(number, 4 if number == 2 else 3):
        most = count[least] if count[least] > 2 else 0
        remedy = f"use at most {most} folds, " if most else "add images of it, "
        groups = "1 group" if count[least] == 1 else f"{count[least]} groups"
        raise ConfigError(
            f"data.fold={part}/{number}: class {classes[least]!r} has {groups} of images; "
            f"{remedy}or a data.group that makes smaller groups"
        )


def _table(names, labels, groups):
    """Count the images of each group by class, [G, K], and name each group by its first image."""
    members = np.zeros((int(np.max(groups)) + 1, int(np.max(labels)) + 1))
    np.add.at(members, (groups, labels), 1)
    titles = {}
    for group, name in zip(groups, names, strict=True):
        titles[group] = min(name, titles.get(group, name))
    return members, titles


def _cover(members, ranks, test_fraction):
    """Give each class a group in val, test and train, classes of few groups first.

    Returns (int [G] with -1 where still free, whether every class is in val and in train).
    """
    chosen, complete = np.full(len(members), -1), True
    present = members > 0
    share = (members / np.maximum(members.sum(0), 1)).max(1)  # of the class it holds most of
    for label in np.argsort(present.sum(0), kind="stable"):
        own = np.flatnonzero(present[:, label])
        own = sorted(own, key=lambda g: (share[g], ranks[g]))
        # The smallest groups validate and test, so that most of a few-shot class trains.
        wanted = ["val", "train"] if len(own) > 1 else ["train"]
        if len(own) > 2 and members[:, label].sum() * test_fraction >= 0.75:
            wanted.insert(1, "test")
        for name in wanted:
            split = SPLITS.index(name)
            if any(chosen[g] == split for g in own):
                continue
            free = [g for g in own if chosen[g] < 0]
            if free:
                chosen[free[0]] = split
            elif name != "test":
                complete = False
    return chosen, complete


def _rank(seed, attempt, title):
    """Compute a sort key for a seeded random order; it depends on the name, not on the others."""
    return hashlib.sha256(f"{seed}/{attempt}/{title}".encode("utf-8", "surrogateescape")).digest()


def read_csv(path):
    """Read a splits.csv with the columns `file` (<class>/<name>) and `split`.

    Returns a list of (line number, "<class>/<name>", split word as written).
    Raises ConfigError where the file is not such a table, or no file.
    """
    if not path.is_file():  # of a pipe the other end may never come
        raise ConfigError(f"{path} is not a regular file; save it as UTF-8 CSV")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = [str(name).strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            if "file" not in columns or "split" not in columns:
                raise ConfigError(
                    f"{path} has the columns {', '.join(columns) or '(none)'}; "
                    "the first line must be: file,split"
                )
            rows = [(reader.line_num, row["file"] or "", row["split"] or "") for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read ({error}); save it as UTF-8 CSV") from None
    clean = []
    for line, name, split in rows:
        name = unicodedata.normalize("NFC", name.strip().replace("\\", "/"))
        clean.append((line, name.removeprefix("images/"), split.strip()))
    return clean

"""Pins how a folder is split: shares, groups, copies, splits.csv, folds."""

import collections

import numpy as np
import pytest

from dtgan.config import ConfigError
from dtgan.data.splits import SPLITS
from tests.data.folders import (
    audit_of,
    errors_of,
    make,
    open_split,
    picture,
    save,
    split_of,
    warnings_of,
)


def test_splits_are_stratified_disjoint_and_complete(tmp_path):
    make(tmp_path, normal=40, crack=20, masks=False)
    counts = audit_of(tmp_path).counts
    assert counts["normal"] == {"train": 28, "val": 6, "test": 6}
    assert counts["crack"] == {"train": 14, "val": 3, "test": 3}
    assert len(split_of(tmp_path)) == 60
    assert split_of(tmp_path) != split_of(tmp_path, seed=1)


def test_the_smallest_class_trains_and_validates(tmp_path):
    make(tmp_path, crack=2)
    assert audit_of(tmp_path).counts["crack"] == {"train": 1, "val": 1, "test": 0}
    source = open_split(tmp_path, "test", fractions=(0.5, 0.5, 0))
    assert len(source) == 0 and source.sizes.shape == (0, 2)


def test_groups_stay_together_across_classes(tmp_path):
    for tile in range(12):
        for shot in range(3):
            kind = "crack" if tile % 2 and shot else "normal"
            seed = 10 * tile + shot
            save(tmp_path / f"images/{kind}/exp{shot}_tile{tile}.png", picture(seed))
    seen = collections.defaultdict(set)
    for name, split in split_of(tmp_path, group="_tile([0-9]+)$").items():
        seen[name.split("_")[1]].add(split)
    assert len(seen) == 12 and all(len(found) == 1 for found in seen.values())
    assert audit_of(tmp_path, group="_tile([0-9]+)$").num_groups == 12


def test_copies_and_mirror_images_share_a_split(tmp_path):
    make(tmp_path, masks=False)
    flips = (lambda a: a, np.flipud, np.fliplr, lambda a: a[::-1, ::-1])
    for i, flip in enumerate(flips):
        save(tmp_path / f"images/normal/copy{i}.bmp", np.ascontiguousarray(flip(picture(0))))
    grey = picture(0)
    save(tmp_path / "images/normal/rgb.png", np.stack([grey] * 3, axis=-1))
    found = split_of(tmp_path)
    same = {found[f"normal/copy{i}.bmp"] for i in range(4)} | {found["normal/n0.png"]}
    assert len(same | {found["normal/rgb.png"]}) == 1
    warnings = dict(warnings_of(tmp_path))
    assert warnings["images/normal/rgb.png"] == "duplicate" and not errors_of(tmp_path)


def _write_table(root, rows):
    (root / "splits.csv").write_text("file,split\n" + "".join(f"{a},{b}\n" for a, b in rows))


def _rows(root):
    files = sorted((root / "images").glob("*/*"))
    return [(f"{file.parent.name}/{file.name}", SPLITS[i % 3]) for i, file in enumerate(files)]


def test_splits_csv_decides(tmp_path):
    rows = _rows(make(tmp_path))
    _write_table(tmp_path, [("images/" + rows[0][0], rows[0][1]), *rows[1:]])
    assert split_of(tmp_path) == dict(rows)
    assert split_of(tmp_path, seed=5) == dict(rows)
    assert len(open_split(tmp_path, "train+val")) == 8


def test_splits_csv_faults(tmp_path):
    rows = _rows(make(tmp_path))
    rows[0] = (rows[0][0], "trian")
    _write_table(tmp_path, [*rows[:-1], ("crack/gone.png", "train"), (rows[2][0], "val")])
    found = [(f.file, f.reason, f.detail) for f in audit_of(tmp_path).errors]
    assert [(file, reason) for file, reason, _ in found] == [
        ("splits.csv:13", "unknown file"),
        ("images/crack/c0.png", "unknown split"),
        ("images/crack/c2.png", "unknown split"),
        ("images/normal/n5.png", "unknown split"),
    ]
    assert "did you mean 'train'" in found[1][2]
    assert open_split(tmp_path, skip_bad=True).skipped == 3
    (tmp_path / "splits.csv").write_text("name,part\n")
    with pytest.raises(ConfigError, match="first line must be: file,split"):
        open_split(tmp_path)


def test_copies_across_splits_leave_train_first(tmp_path):
    make(tmp_path, normal=9, crack=9)
    save(tmp_path / "images/normal/copy of n1.png", picture(1)[:, ::-1].copy())
    save(tmp_path / "images/crack/like n2.png", picture(2))
    rows = dict(_rows(tmp_path))
    rows |= {"normal/copy of n1.png": "train", "normal/n1.png": "val"}
    rows |= {"crack/like n2.png": "test", "normal/n2.png": "val"}
    _write_table(tmp_path, rows.items())
    assert errors_of(tmp_path) == [
        ("images/normal/copy of n1.png", "cross-split duplicate"),
        ("images/normal/n2.png", "label conflict: normal and crack"),
    ]
    with pytest.raises(ConfigError, match=r"^2 files in .* fail the audit"):
        open_split(tmp_path)
    source = open_split(tmp_path, "train+val+test", skip_bad=True)
    ids = {item["id"] for item in source}
    assert source.skipped == 2 and len(ids) == 18
    assert "normal/n1.png" in ids and "crack/like n2.png" in ids and "normal/n2.png" not in ids


def test_a_class_of_one_group_cannot_validate(tmp_path):
    make(tmp_path, crack=1)
    save(tmp_path / "images/crack/again.png", picture(100))
    assert errors_of(tmp_path) == [("images/crack/", "class without an image in val")]
    with pytest.raises(ConfigError, match="class without an image in val"):
        open_split(tmp_path, skip_bad=True)


def test_the_files_that_a_class_lost_come_before_what_it_lacks(tmp_path):
    make(tmp_path, crack=1)
    (tmp_path / "images/crack/torn.png").write_bytes(b"\x89PNG")
    torn, lacks = errors_of(tmp_path)
    assert torn[0] == "images/crack/torn.png" and torn[1] > lacks[1]
    assert lacks == ("images/crack/", "class without an image in val")


def test_folds_test_each_image_once_whatever_splits_csv_says(tmp_path):
    make(tmp_path, normal=9, crack=7)
    (tmp_path / "splits.csv").write_text("file,split\nnormal/n0.png,train\n")
    tested = []
    for part in range(3):
        found = split_of(tmp_path, fold=f"{part}/3")
        assert len(found) == 16 and set(found.values()) == set(SPLITS)
        tested += [name for name, split in found.items() if split == "test"]
    assert len(tested) == len(set(tested)) == 16
    assert warnings_of(tmp_path, fold="0/3")[0] == ("splits.csv", "not used")
    prints = {audit_of(tmp_path, fold=f"{part}/3").fingerprint for part in range(3)}
    assert len(prints) == 3


@pytest.mark.parametrize("fold", ["3/3", "-1/3", "0/1", "1", "a/b"])
def test_a_fold_that_is_none_is_refused(tmp_path, fold):
    make(tmp_path)
    with pytest.raises(ConfigError, match="is not k/K with 0 <= k < K and K >= 2; for example"):
        audit_of(tmp_path, fold=fold)

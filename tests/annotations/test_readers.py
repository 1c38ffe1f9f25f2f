"""Holds what readers of others expect of a set, as rules; benchmarks/readers.py runs the readers.

The set is that of the benchmark: strips and plates, 8 and 16 bit, grey and colour, PNG and TIFF,
two instances, two classes, a hole, the border.
"""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from benchmarks import readers
from dtgan import images

PLANTED = {pathlib.Path(one.file).stem: one for one in readers.planted()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(the set, the files that were read for its labels, in order)."""
    out, decoded = tmp_path_factory.mktemp("readers") / "set", []
    decode = images.decode
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(images, "decode", lambda path, *a: decoded.append(path) or decode(path, *a))
        readers.make(out, PLANTED.values())
    return out, decoded


@pytest.fixture(scope="module")
def root(made):
    return made[0]


@pytest.fixture(scope="module")
def coco(root):
    return json.loads((root / "annotations" / "instances_train.json").read_text())


def pictures(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_folder_of_pictures_is_a_class(root):
    """torchvision's ImageFolder: images/<class>/, nothing else beside or in between."""
    folders = list((root / "images").iterdir())
    assert {folder.name for folder in folders} == {"normal", "scratch", "scratch+spot", "spot"}
    assert all(sorted(folder.iterdir()) == pictures(folder) for folder in folders)
    assert {path.stem for path in pictures(root / "images")} == set(PLANTED)


def test_coco_names_pictures_from_its_images_folder(root, coco):
    """datumaro looks for instances_<subset>.json, then for names below images/, and is silent about
    those that it does not find; an id 0 would be no class to it."""
    assert [c["id"] for c in coco["categories"]] == [1, 2]
    assert [c["name"] for c in coco["categories"]] == list(readers.CLASSES)
    assert [i["id"] for i in coco["images"]] == list(range(1, len(PLANTED) + 1))
    assert [a["id"] for a in coco["annotations"]] == list(range(1, len(coco["annotations"]) + 1))
    for entry in coco["images"]:
        assert not entry["file_name"].startswith(("/", ".", "images/"))
        with Image.open(root / "images" / entry["file_name"]) as picture:
            assert picture.size == (entry["width"], entry["height"])
    assert not (root / "images" / "train").exists()  # would be taken for the subset's pictures


def test_coco_gives_each_instance_its_class_box_and_pixels(coco):
    files = {entry["id"]: pathlib.Path(entry["file_name"]).stem for entry in coco["images"]}
    found = {stem: [] for stem in PLANTED}
    names = {c["id"]: c["name"] for c in coco["categories"]}
    for entry in coco["annotations"]:
        assert entry["iscrowd"] == 0 and isinstance(entry["segmentation"]["counts"], str)
        mask = coco_mask.decode(entry["segmentation"]).astype(bool)
        assert entry["bbox"] == list(readers.box(mask)) and entry["area"] == mask.sum()
        found[files[entry["image_id"]]].append((names[entry["category_id"]], mask))
    for stem, one in PLANTED.items():
        assert len(found[stem]) == len(one.defects)
        for label, mask in one.defects:
            assert any(name == label and np.array_equal(m, mask) for name, m in found[stem])


def test_yolo_finds_a_label_file_for_each_picture(root):
    """ultralytics: the last images/ of a path becomes labels/, the suffix .txt; rows of a class and
    three corners or more in 0..1; `train`, `val` and `names` in data.yaml, and no `path`."""
    lines = (root / "data.yaml").read_text().splitlines()
    assert [line for line in lines if line.startswith("train: images ")]
    assert [line for line in lines if line.startswith("val: images ")]
    assert lines[lines.index("names:") + 1 :] == ['  0: "scratch"', '  1: "spot"']
    assert not [line for line in lines if line.startswith("path")]
    for path in pictures(root / "images"):
        before, _, after = str(path).rpartition("/images/")
        rows = pathlib.Path(f"{before}/labels/{after}").with_suffix(".txt").read_text().splitlines()
        one = PLANTED[path.stem]
        assert len(rows) == len(one.defects)
        for row, (label, mask) in zip(rows, one.defects, strict=True):
            number, *numbers = row.split()
            corners = np.array(numbers, float).reshape(-1, 2)
            assert readers.CLASSES[int(number)] == label and len(corners) >= 3
            assert corners.min() >= 0 and corners.max() <= 1
            low, high = corners.min(0) * one.size[::-1], corners.max(0) * one.size[::-1]
            x, y, width, height = readers.box(mask)
            np.testing.assert_allclose([*low, *(high - low)], [x, y, width, height], atol=0.01)


def test_the_mvtec_tree_is_read_by_sorted_names(root):
    """anomalib reads .png alone and pairs pictures and masks by their places in sorted lists."""
    tree = root / "mvtec"
    assert all(path.suffix == ".png" for path in pictures(tree))
    assert {path.parent.name for path in pictures(tree / "train")} == {"good"}
    tested = [path for path in pictures(tree / "test") if path.parent.name != "good"]
    masks = pictures(tree / "ground_truth")
    assert [p.parent.name for p in tested] == [m.parent.name for m in masks]
    assert [f"{p.stem}_mask" for p in tested] == [m.stem for m in masks]
    for path, file in zip(tested, masks, strict=True):
        mask = images.read_image(file, 1)[..., 0]
        assert set(np.unique(mask)) == {0, 255}
        planted = np.any([m for _, m in PLANTED[path.stem].defects], axis=0)
        np.testing.assert_array_equal(mask > 0, planted)


def test_numbers_of_one_length_sort_as_masks_do():
    """As `records.pictured` pads them; anomalib refuses a tree where these orders differ."""
    names = [f"tear_{number:06d}" for number in (0, 1, 9, 10, 99, 100, 12345)]
    for suffix in ("", "_mask"):
        files = [f"{name}{suffix}.png" for name in names]
        assert files == sorted(files)


def test_a_tiff_is_in_the_tree_with_all_of_its_bits(root):
    stems = {path.stem for path in pictures(root / "mvtec")}
    assert {"wide", "small"} <= stems  # TIFF, of 16 bit and of colour
    for stem in ("wide", "small"):
        (path,) = (root / "mvtec").glob(f"t*/*/{stem}.png")
        with Image.open(path) as picture:
            np.testing.assert_array_equal(np.asarray(picture), readers.pixels(PLANTED[stem]))


def test_masks_are_read_once_in_the_order_of_the_records(made):
    root, decoded = made
    files = [pathlib.Path(one.file).with_suffix(".png") for one in PLANTED.values() if one.defects]
    assert [path for path in decoded if "masks" in path.parts] == [
        root / "masks" / f for f in files
    ]


def read(one, **changed):
    """What a reader that makes no mistake gives of a Planted, but for what is changed."""
    masks = [mask for _, mask in one.defects]
    whole = {
        "image": readers.pixels(one),
        "labels": np.array([label for label, _ in one.defects]),
        "boxes": np.array([readers.box(mask) for mask in masks], float),
        "masks": np.array(masks),
    }
    return whole | changed


def verdict(found, outlines=False, one=PLANTED["part"]):
    return readers.summarise([readers.judge(one, found, outlines)], 1)["verdict"]


def test_the_benchmark_notices_what_a_reader_gets_wrong():
    one = PLANTED["part"]
    right = read(one)
    assert verdict(right) == "right"
    swapped = {key: right[key][::-1] for key in ("labels", "boxes", "masks")}
    assert verdict(right | swapped) == "right"  # in another order
    assert verdict(right | {"labels": right["labels"][::-1]}) == "wrong boxes, masks"
    assert verdict(right | {"labels": np.array(["spot", "spot"])}) == "wrong classes"
    assert verdict(right | {"boxes": right["boxes"] + (1, -1, 0, 0)}) == "right"
    assert verdict(right | {"boxes": right["boxes"] + (0, 2, 0, 0)}) == "wrong boxes"
    assert verdict(right | {"masks": np.roll(right["masks"], 1, axis=1)}) == "right"
    assert verdict(right | {"masks": np.roll(right["masks"], 2, axis=1)}) == "wrong masks"
    doubled = {key: np.concatenate([right[key]] * 2) for key in ("labels", "boxes", "masks")}
    assert verdict(right | doubled) == "wrong classes"
    assert readers.summarise([], 1)["verdict"] == "wrong images"
    labels = {"scratch+spot": "right", readers.ANY: "right", "spot": "wrong classes"}
    for label, expected in labels.items():
        assert verdict({"image": right["image"], "label": np.array(label)}) == expected
    seen = {"image": right["image"], "label": np.array(readers.ANY)}
    assert verdict(seen, one=one._replace(file="normal/part.png", defects=())) == "wrong classes"


def test_the_benchmark_tells_what_became_of_16_bit():
    one = PLANTED["plate"]
    values = readers.pixels(one)
    told = {
        "16 bit": values,
        "8 bit": (values >> 8).astype(np.uint8),
        "cut at 255": values.clip(max=255),
        "modulo 256": values % 256,
        "changed": values // 3,
    }
    assert {readers.depth(image, values) for image in told.values()} == set(told)
    for way, image in told.items():
        assert readers.depth(image, values) == way
    colours = np.repeat(told["8 bit"][..., None] / 255, 3, axis=-1)
    assert readers.depth(colours, values) == "8 bit"


def test_a_reader_that_is_missing_is_a_row_with_the_reason(root, tmp_path):
    nothing = tmp_path / "python"
    nothing.write_text(
        "#!/bin/sh\necho \"ModuleNotFoundError: No module named 'datumaro'\" >&2\nexit 1\n"
    )
    nothing.chmod(0o755)
    row = readers.row("datumaro", str(nothing), root, PLANTED)
    assert row["verdict"] == "ModuleNotFoundError: No module named 'datumaro'"


def test_the_recorded_readers_are_those_of_the_benchmark():
    told = json.loads(readers.RESULTS.read_text())
    assert told["readers"].keys() == readers.READERS.keys() and told["pictures"] == len(PLANTED)
    assert all(row["verdict"] == "right" for row in told["readers"].values())

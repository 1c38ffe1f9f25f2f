"""Pins what is said of labels that are wrong: file, place and rule, one line each, all at once."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtgan.config import ConfigError
from dtgan.data.folders import audit
from dtgan.data.folders.folder import FolderSource
from tests.data import formats
from tests.data.folders import data_of, save

MADE = formats.Set()


def assert_refused(layout, file, text, message):
    """Write a set in a layout below the file's folder, the text over its file of labels, audit."""
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    data = formats.write(MADE, layout, root)
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        audit.audit(data)


COCO_FAULTS = {
    "missing": (
        lambda c: c["images"].append({"id": 99, "file_name": "gone.png"}),
        "images/gone.png: missing picture: annotations/instances_all.json image 99 names it",
    ),
    "outside": (
        lambda c: c["images"].append({"id": 99, "file_name": "../secret.png"}),
        "images/../secret.png: picture out of the set",
    ),
    "twice": (
        lambda c: c["images"].append({"id": 99, "file_name": "n0.png"}),
        "annotations/instances_all.json image 99: image named twice: n0.png is there already",
    ),
    "id": (
        lambda c: c["images"].append({"id": 1, "file_name": "n9.png"}),
        "annotations/instances_all.json image 1: image named twice: its id",
    ),
    "size": (
        lambda c: c["images"][9].update(width=48),
        "instances_all.json annotation 9: wrong annotation: 48x20 for an image of 24x20",
    ),
    "category": (
        lambda c: c["annotations"][1].update(category_id=3),
        "annotation 9: unknown category: category_id 3 is none of categories",
    ),
    "image": (
        lambda c: c["annotations"][1].update(image_id=555),
        "annotation 9: unknown image: image_id 555 is none of images",
    ),
    "corners": (
        lambda c: c["annotations"][1].update(segmentation=[[1, 1, 5, 5]]),
        "annotation 9: wrong annotation: an outline of 2 points; it needs 3",
    ),
    "nan": (
        lambda c: c["annotations"][1].update(segmentation=[[1, 1, 5, 5, 3, float("nan")]]),
        "annotation 9: wrong annotation: an outline with something that is no finite number",
    ),
    "huge": (
        lambda c: c["annotations"][1].update(segmentation=[[1, 1, 5, 5, 3, 10**400]]),
        "annotation 9: wrong annotation: an outline with something that is no finite number",
    ),
    "beyond": (
        lambda c: c["annotations"][1].update(segmentation=[[1, 1, 50, 1, 50, 9]]),
        "wrong annotation: x from 1 to 50, y from 1 to 9; the picture is 24x20, 480 pixels",
    ),
    "counts": (
        lambda c: c["annotations"][1].update(segmentation={"size": [20, 24], "counts": [9, 9]}),
        "wrong annotation: run lengths of 18 pixels; the picture is 24x20, 480 pixels",
    ),
    "other counts": (
        lambda c: c["annotations"][1].update(segmentation={"size": [20, 25], "counts": [500]}),
        "wrong annotation: run lengths of 25x20 pixels; the picture is 24x20",
    ),
    "compressed": (
        lambda c: c["annotations"][1].update(segmentation={"size": [20, 24], "counts": "oooo"}),
        "wrong annotation: compressed run lengths that are damaged or of another size",
    ),
    "nothing": (
        lambda c: c["annotations"][1].update(segmentation=[]),
        "annotation 9: wrong annotation: it has neither a segmentation nor a bbox",
    ),
}


def test_all_that_is_wrong_with_a_coco_file_is_named_at_once(tmp_path):
    save(tmp_path / "set/secret.png", MADE.pictures["normal/n0.png"])
    data = formats.write(MADE, formats.coco, tmp_path / "set")
    file = tmp_path / "set/annotations/instances_all.json"
    whole = json.loads(file.read_text())
    for change, line in COCO_FAULTS.values():
        content = json.loads(json.dumps(whole))
        change(content)
        file.write_text(json.dumps(content))
        errors = [str(finding) for finding in audit.audit(data).errors]
        assert len(errors) == 1 and line in errors[0], (line, errors)
    several = ("missing", "category", "corners")
    for number, name in enumerate(several):
        content = {**whole, "annotations": whole["annotations"][number:]}
        COCO_FAULTS[name][0](content)
        whole = {**whole, "images": content["images"]}
    file.write_text(json.dumps(whole))
    assert len(audit.audit(data).errors) == len(several)
    data.skip_bad = True
    source = FolderSource(data, "train+val+test")
    assert source.skipped == len(several) and len(source) == len(MADE.masks) - 2


def places_in(value, place=()):
    """List the places of all values in JSON."""
    keys = value if isinstance(value, dict) else ()
    for key in range(len(value)) if isinstance(value, list) else keys:
        yield (*place, key)
        yield from places_in(value[key], (*place, key))


STRANGE = [None, True, -1, 2.5, float("nan"), 10**30, "", "normal", "../x", "\0", "x" * 300]
STRANGE += [
    [],
    [[]],
    {},
    [1, 2, 3],
    {"size": [20, 24], "counts": "a"},
    {"size": 1, "counts": [480]},
]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_coco_file_with_any_values_is_read_or_refused_in_lines(small, data):
    config, file, content = small
    content = json.loads(content)
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(list(places_in(content))))
        inside = content
        for key in way:
            inside = inside[key]
        inside[last] = copy.deepcopy(data.draw(st.sampled_from(STRANGE)))
    file.write_text(json.dumps(content))
    try:
        lines = audit.audit(config).lines()
    except ConfigError as error:
        lines = [str(error)]
    assert not any("\n" in line for line in lines)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    root = tmp_path_factory.mktemp("small")
    config = formats.write(formats.Set(2, 2), formats.coco_outlines, root)
    file = root / "annotations/instances_all.json"
    return config, file, file.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", r"instances_all.json cannot be read as COCO \(a list in the place of an object"),
        ("{", r"cannot be read as COCO \(Expecting"),
        ("[" * 100_000, "cannot be read as COCO"),
        ('{"x": ' + "9" * 5000 + "}", "cannot be read as COCO"),
        ('{"images": [], "annotations": []}', "has no list 'categories' of objects"),
        ('{"images": [], "annotations": [], "categories": [{}]}', "the category {} has no id"),
        ('{"images": [], "annotations": [], "categories": []}', "names no picture"),
    ],
)
def test_a_file_that_is_not_of_coco_is_refused(tmp_path, text, message):
    assert_refused(formats.coco, tmp_path / "annotations/instances_all.json", text, message)


def test_pictures_elsewhere_are_asked_for(tmp_path):
    data = formats.write(MADE, formats.coco, tmp_path)
    (tmp_path / "images").rename(tmp_path / "shots")
    with pytest.raises(ConfigError, match=r"none of the 20 pictures .*--config.data.images=DIR"):
        audit.audit(data)
    data.images = "shots"
    assert not audit.audit(data).errors
    data.images = "shot"
    with pytest.raises(ConfigError, match=r"data.images=shot is not a folder"):
        audit.audit(data)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("0 0.1 0.1 1.5 0.1 0.5 0.5", "1.5 is outside 0..1"),
        ("0 0.1 0.1 -0.5 0.1 0.5 0.5", "-0.5 is outside 0..1"),
        ("0 12 30 40 50", "is outside 0..1"),
        ("7 0.1 0.1 0.5 0.1 0.5 0.5", "class 7 is none of 0..1 of names"),
        ("-1 0.1 0.1 0.5 0.1 0.5 0.5", "class -1 is none of 0..1 of names"),
        ("0 0.1 0.1 0.5 0.1 0.5", "an outline of 5 numbers, which are no pairs x y"),
        ("0 0.1 0.1", "an outline of 2 numbers|an outline of 1 points"),
        ("0 0.1 nan 0.5 0.1 0.5 0.5", "an outline with something that is no finite number"),
        ("0 a b c d", "it holds something that is no number"),
        ("0 0.5 0.5 0 0.5", "a box of 0x0.5"),
    ],
)
def test_a_wrong_row_of_yolo_is_named(tmp_path, row, line):
    data = formats.write(MADE, formats.yolo, tmp_path)
    (tmp_path / "labels/c1.txt").write_text(f"\n{row}\n")
    (error,) = [str(finding) for finding in audit.audit(data).errors]
    assert error.startswith("labels/c1.txt:2: wrong annotation: ")
    assert any(part in error for part in line.split("|")), error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "data.yaml holds a list in the place of keys and values"),
        ("a: [", "data.yaml cannot be read as YAML"),
        ("train: images\n", "data.yaml: names is no list of class names"),
        ("train: images\nnames: [yes, no]\n", "words such as yes and no in quotes"),
        ("train: pictures\nnames: [a]\n", "train: 'pictures' is no folder of pictures"),
        ("names: [a]\n", "has no train with pictures"),
    ],
)
def test_a_data_yaml_that_cannot_be_used_is_refused(tmp_path, text, message):
    assert_refused(formats.yolo, tmp_path / "data.yaml", text, message)


def test_a_picture_in_two_splits_of_yolo_is_named(tmp_path):
    data = formats.write(MADE, formats.yolo, tmp_path)
    names = [f"images/{name}" for _, name, _ in MADE.items()]
    (tmp_path / "train.txt").write_text("\n".join(names[2:]))
    (tmp_path / "val.txt").write_text("\n".join([*names[:3], "images/gone.png"]))
    (tmp_path / "data.yaml").write_text("train: train.txt\nval: val.txt\nnames: [crack, spot]\n")
    assert [str(finding) for finding in audit.audit(data).errors] == [
        "images/gone.png: missing picture: val.txt:4 names it",
        "images/n2.png: picture in two splits: in val and in train, says data.yaml",
    ]


def test_all_that_is_wrong_with_a_table_is_named_at_once(tmp_path):
    data = formats.write(MADE, formats.severstal, tmp_path)
    file = tmp_path / "train.csv"
    lines = file.read_text().splitlines()
    rows = [
        "gone.jpg,crack,1 2",
        lines[1],
        "n0.png,crack,1 2 3",
        "n1.png,crack,470 20",
        "n2.png,crack,0 4",
        "n3.png,crack,a b",
        "n4.png,,1 2",
        "n5.png,good,1 2",
        "c2.png,normal,",
    ]
    file.write_text("\n".join([*lines, *rows]))
    assert [str(finding) for finding in audit.audit(data).errors] == [
        "train_images/c2.png: label conflict: train.csv has it as normal and as crack",
        "train_images/gone.jpg: missing picture: train.csv:14 names it",
        "train.csv:15: row twice: c0.png is there already",
        "train.csv:16: wrong annotation: run lengths of 3 numbers, which are no pairs start length",
        "train.csv:17: wrong annotation: run lengths up to pixel 489; the picture is 24x20, 480 "
        "pixels",
        "train.csv:18: wrong annotation: a run 0 4; pixels are counted from 1, lengths are above 0",
        "train.csv:19: wrong annotation: run lengths with something that is no whole number",
        "train.csv:20: wrong annotation: a defect of the class ''",
        "train.csv:21: wrong annotation: a defect of the class 'good'",
    ]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("a,b\nx,y\n", "", "has the columns a, b; say which hold the file and the class"),
        ("file,kind\nx,y\n", "class:kin", "no 'kin' .did you mean 'kind'"),
        ("file,class\n", "clas:class", "'clas' is not one of .*did you mean 'class'"),
        ("file,class\n", "class", "'class' is not FIELD:COLUMN"),
        ("file,class,x,y\n", "", "a box needs four of them: x, y, w and h"),
        ("file,class\n", "", "names no picture"),
        ("", "", r"has the columns \(none\)"),
        ("\0\xff", "", "has the columns|cannot be read"),
    ],
)
def test_a_table_without_the_columns_is_refused(tmp_path, text, columns, message):
    file = tmp_path / "labels.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=message):
        audit.audit(data_of(file, source="csv", csv_columns=columns))


def test_a_set_in_which_every_mask_is_empty_is_an_error(tmp_path):
    data = formats.write(MADE, formats.folder, tmp_path)
    for name, mask in MADE.masks.items():
        if mask is not None:
            save(tmp_path / "masks" / name, np.zeros(formats.SIZE, np.uint8))
    (error,) = audit.audit(data).errors
    assert str(error).startswith("masks/: every mask is empty: none of 12 marks a pixel")
    data.skip_bad = True
    with pytest.raises(ConfigError, match="every mask is empty"):
        FolderSource(data)

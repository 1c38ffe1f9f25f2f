"""Pins the layouts: one set reads the same in each, and its labels come back as they were."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from dtgan import annotations
from dtgan.config import ConfigError, base_config
from dtgan.data import account, catalog, drawn
from dtgan.data.folders import audit, shapes
from dtgan.data.folders.folder import FolderSource
from tests.data import formats
from tests.data.folders import data_of, save

MADE = formats.Set()


def audited(data):
    report = audit.audit(data)
    return [str(finding) for finding in report.errors + report.warnings]


def records(data):
    config = base_config()
    config.data.update(data)
    return {item["id"]: item for item in catalog.open_source(config, "train+val+test")}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    data = formats.write(MADE, formats.folder, tmp_path_factory.mktemp("folder"))
    return audit.audit(data), records(data)


@pytest.mark.parametrize("layout", formats.EXACT + formats.OUTLINED, ids=lambda x: x.__name__)
def test_a_set_is_the_same_in_every_layout(tmp_path, plain, layout):
    data = formats.write(MADE, layout, tmp_path)
    report, (wanted, items) = audit.audit(data), plain
    assert not report.errors and not report.warnings
    # The outlines run along the edges of pixels, so nothing is lost in them either.
    assert report.fingerprint == wanted.fingerprint
    assert [(r.id, r.split, r.label) for r in report.records] == [
        (r.id, r.split, r.label) for r in wanted.records
    ]
    for name, item in records(data).items():
        for part in ("image", "mask", "has_mask"):
            np.testing.assert_array_equal(item[part], items[name][part])


def test_the_labels_that_are_written_are_read(tmp_path):
    formats.folder(MADE, tmp_path)
    written = [
        {"file": f"images/{name}", "class": name.split("/")[0], "size": formats.SIZE}
        | ({} if mask is None else {"mask": f"masks/{name}"})
        for name, mask in MADE.masks.items()
    ]
    annotations.write(tmp_path, written, MADE.classes, "whole", with_mvtec=True)
    wanted = audit.audit(data_of(tmp_path)).fingerprint
    for source in ("coco", "yolo"):
        report = audit.audit(data_of(tmp_path, source=source))
        assert not report.errors and report.fingerprint == wanted
    assert audit.audit(data_of(tmp_path / "mvtec")).fingerprint == wanted


def test_outlines_through_the_middles_of_pixels_are_within_a_pixel(tmp_path, plain):
    def segment(mask):
        return [[value - 0.5 for value in formats.outline(mask)]]

    data = formats.write(MADE, lambda made, root: formats.coco(made, root, segment), tmp_path)
    for name, item in records(data).items():
        true, found = plain[1][name]["mask"][..., 0] > 0, item["mask"][..., 0] > 0
        around = np.ones((3, 3), bool)
        assert not (found & ~ndimage.binary_dilation(true, around)).any()
        assert not (ndimage.binary_erosion(true, around) & ~found).any()


def test_mvtec_2_is_one_class_of_defects(tmp_path):
    data = formats.write(MADE, formats.mvtec_2, tmp_path)
    save(tmp_path / "test_private" / "x.png", MADE.pictures["normal/n0.png"])
    assert [line.split(": ")[:2] for line in audited(data)] == [["test_private/", "not read"]]
    assert audit.audit(data).classes == ("normal", "bad")
    assert all(item["has_mask"] for item in records(data).values())


def test_pictures_of_one_name_in_two_folders_are_told_apart(tmp_path):
    data = formats.write(MADE, formats.mvtec, tmp_path)
    save(tmp_path / "test/good/n0.png", np.full(formats.SIZE, 7, np.uint8))
    names = {name for name in records(data) if "n0" in name}
    assert names == {"normal/train_good_n0.png", "normal/test_good_n0.png"}


def test_the_products_of_mvtec_are_told(tmp_path):
    formats.write(MADE, formats.mvtec, tmp_path / "bottle")
    with pytest.raises(ConfigError, match=r"holds the sets bottle; give one .*path=.*/bottle"):
        audit.audit(data_of(tmp_path))


def test_a_picture_of_two_classes_is_a_record_of_each(tmp_path):
    content = formats.coco_content(MADE, formats.compressed)
    crowd = {"image_id": 8, "category_id": 8, "iscrowd": 1}
    other = np.zeros(formats.SIZE, bool)
    other[:3, :5] = True
    crowd["segmentation"] = formats.uncompressed(other)
    content["annotations"].append(crowd)
    MADE.flat(tmp_path)
    (tmp_path / "labels.json").write_text(json.dumps(content))
    data = data_of(tmp_path / "labels.json", source="coco")
    items = records(data)
    parts = items["crack+spot/c0.png#crack"], items["crack+spot/c0.png#spot"]
    assert len(items) == len(MADE.masks) + 1 and [part["label"] for part in parts] == [1, 2]
    np.testing.assert_array_equal(parts[0]["mask"][..., 0] > 0, MADE.masks["crack/c0.png"])
    np.testing.assert_array_equal(parts[1]["mask"][..., 0] > 0, other)
    assert drawn.file_of("crack+spot/c0.png#crack") == "crack+spot/c0#crack.png"
    splits = {r.split for r in audit.audit(data).records if r.name == "c0.png"}
    assert len(splits) == 1


def test_files_and_keys_and_columns_of_splits_divide_the_set(tmp_path):
    items, parts = MADE.items(), ("train", "val", "test")
    wanted = {name: parts[k % 3] for k, (_, name, _) in enumerate(items)}
    coco, beside, yolo, table = (tmp_path / n for n in ("coco", "beside", "yolo", "table"))
    whole = formats.coco_content(MADE, formats.compressed)
    rows = {"normal": "", "crack": "0 0.5 0.5 0.25 0.5\n", "spot": "1 0.5 0.5 0.25 0.5\n"}
    for part, word in zip(parts, ("train2017", "val2017", "test"), strict=True):
        pictures = [one for one in whole["images"] if wanted[one["file_name"]] == part]
        numbers = {one["id"] for one in pictures}
        marks = [one for one in whole["annotations"] if one["image_id"] in numbers]
        for file in (
            coco / f"annotations/instances_{word}.json",
            beside / part.replace("val", "valid") / "_annotations.coco.json",
        ):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({**whole, "images": pictures, "annotations": marks}))
        for class_name, name, _ in items:
            if wanted[name] == part:
                pixels = MADE.pictures[f"{class_name}/{name}"]
                save(coco / word / name, pixels)
                save(file.parent / name, pixels)
                save(yolo / part / "images" / name, pixels)
                save(table / "images" / name, pixels)
                label = yolo / part / "labels" / f"{name[:-4]}.txt"
                label.parent.mkdir(exist_ok=True)
                label.write_text(rows[class_name])
    # As some tools write it, for a folder that lies beside.
    folders = "train: ../train/images\nval: ../val/images\ntest: ../test/images\n"
    (yolo / "data.yaml").write_text(f"{folders}nc: 2\nnames: [crack, spot]\n")
    lines = [f"{name};{kind};{wanted[name]}" for kind, name, _ in items]
    (table / "labels.csv").write_text("\n".join(["file;class;split", *lines]))
    for data in (
        data_of(coco, source="coco"),
        data_of(beside, source="coco"),
        data_of(yolo, source="yolo"),
        data_of(table, source="csv"),
    ):
        report = audit.audit(data)
        assert not report.errors and report.num_groups == 0
        assert {r.name: r.split for r in report.records} == wanted
        data.fold = "0/3"
        assert [f.reason for f in audit.audit(data).warnings][-1] == "not used"


def test_a_table_of_classes_alone_is_a_folder_without_masks(tmp_path):
    made = formats.Set()
    made.flat(tmp_path)
    words = {"normal": "OK", "crack": "crack", "spot": "spot"}
    rows = [f"{name},{words[kind]}" for kind, name, _ in made.items()]
    (tmp_path / "labels.csv").write_text("\n".join(["picture,what", *rows]))
    columns = "file:picture,class:what"
    report = audit.audit(data_of(tmp_path, source="csv", csv_columns=columns))
    formats.folder(made, tmp_path / "folder")
    (tmp_path / "folder/masks").rename(tmp_path / "masks")
    assert report.fingerprint == audit.audit(data_of(tmp_path / "folder")).fingerprint
    assert not report.has_masks and not report.errors


def test_the_first_form_of_severstal_is_read(tmp_path, plain):
    MADE.flat(tmp_path / "images")
    rows = [
        f"{name}_{kind},{formats.runs(mask) if kind == own else ''}"
        for own, name, mask in MADE.items()
        for kind in MADE.classes
    ]
    (tmp_path / "train.csv").write_text("\n".join(["ImageId_ClassId,EncodedPixels", *rows]))
    columns = "file_class:ImageId_ClassId,rle:EncodedPixels"
    data = data_of(tmp_path / "train.csv", source="csv", csv_columns=columns)
    assert audit.audit(data).fingerprint == plain[0].fingerprint


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_run_lengths_of_every_kind_give_the_mask_back(mask):
    size = mask.shape
    forms = [
        shapes.parse_runs(formats.runs(mask)),
        shapes.Counts(size, np.asarray(formats.uncompressed(mask)["counts"], np.int64)),
        shapes.Counts(size, formats.compressed(mask)["counts"].encode()),
    ]
    for form in forms:
        found = np.zeros(size, bool)
        form.mark(found)
        np.testing.assert_array_equal(found, mask)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=12) | st.text("0PoO1a", max_size=12).map(str.encode))
def test_compressed_run_lengths_of_any_bytes_are_read_or_refused(counts):
    try:
        shapes.Counts((5, 4), counts).mark(np.zeros((5, 4), bool))
    except ValueError as error:
        assert "5" in str(error)


def test_a_change_of_a_label_is_seen(tmp_path):
    data = formats.write(MADE, formats.yolo, tmp_path)
    before = audit.audit(data).fingerprint
    (tmp_path / "labels/c1.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    assert audit.audit(data).fingerprint != before


def test_boxes_limit_where_the_defect_is(tmp_path):
    content = formats.coco_content(MADE, lambda mask: None)
    for one in content["annotations"]:
        one["bbox"] = [2, 3.5, 8, 6]
    MADE.flat(tmp_path / "images")
    (tmp_path / "labels.json").write_text(json.dumps(content))
    rows = [f"{name},{kind},2,3.5,8,6" for kind, name, mask in MADE.items() if mask is not None]
    (tmp_path / "labels.csv").write_text("\n".join(["file,class,x,y,w,h", *rows]))
    coco, table = (data_of(tmp_path, source=name) for name in ("coco", "csv"))
    report = audit.audit(coco)
    assert report.fingerprint == audit.audit(table).fingerprint
    assert not report.errors and not report.warnings and not report.has_masks
    wanted = np.zeros(formats.SIZE, np.uint8)
    wanted[3:10, 2:10] = 255
    for name, item in records(coco).items():
        assert not item["has_mask"]
        defect = not name.startswith("normal")
        np.testing.assert_array_equal(item["mask"][..., 0], wanted * defect)
    assert account.account(FolderSource(coco), coco)["crack"]["with_mask"] == 0

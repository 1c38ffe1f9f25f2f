"""Pins instances, boxes, run lengths, outlines, and the formats as their own readers see them."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from scipy import ndimage

from dtgan import annotations, images
from dtgan.annotations import coco, instances, runs, yolo


@pytest.fixture(params=["blob", "two", "many", "line", "border", "ring"])
def mask(request):
    mask = np.zeros((48, 64), np.uint8)
    ys, xs = np.mgrid[:48, :64]
    radius = np.hypot(ys - 20, xs - 40)
    if request.param == "blob":
        mask[radius < 9.5] = 255
    elif request.param == "two":
        mask[5:12, 8:20] = mask[30:40, 50:60] = 255
    elif request.param == "many":
        mask[(ys % 12 < 10) & (xs % 12 < 10) & (ys > 0)] = 255
    elif request.param == "line":  # its pixels touch at corners alone
        mask[np.arange(4, 44), np.arange(10, 50)] = 255
    elif request.param == "border":
        mask[40:, 55:] = 255
    else:
        mask[(radius > 8) & (radius < 12)] = 255
    return mask


def painted(part, shape):
    """A Part's pixels in a picture: bool [H, W]."""
    picture = np.zeros(shape, bool)
    x, y, width, height = part.box
    picture[y : y + height, x : x + width] = part.pixels()
    return picture


def test_box_is_that_of_the_pixels(mask):
    x, y, width, height = instances.box(mask)
    assert mask[y : y + height, x : x + width].sum() == mask.sum()
    for inner in (mask[y, :], mask[y + height - 1, :], mask[:, x], mask[:, x + width - 1]):
        assert inner.any()


def test_the_parts_of_a_mask_touch_nowhere_and_are_no_specks():
    mask = np.zeros((48, 64), np.uint8)
    mask[np.arange(40), np.arange(40)] = 255  # a diagonal, one part
    mask[30:32, 2:4] = 255  # as small as a part may be
    mask[2, 50:53] = mask[20, 60] = 255  # specks
    line, square = instances.split(mask, "parts")
    assert instances.measure(line) == {"box": (0, 0, 40, 40), "area": 40}
    assert instances.measure(square) == {"box": (2, 30, 2, 2), "area": 4}
    (whole,) = instances.split(mask, "whole")
    np.testing.assert_array_equal(painted(whole, mask.shape), mask > 0)
    mask[:40] = 0
    mask[40, 3:5] = mask[44, 7:10] = 255  # specks alone
    (largest,) = instances.split(mask, "parts")
    assert instances.measure(largest) == {"box": (7, 44, 3, 1), "area": 3}


def test_run_lengths_return_the_mask(mask):
    found = coco.rle(runs.find(mask), mask.shape)
    np.testing.assert_array_equal(coco_mask.decode(found), mask > 0)
    encoded = coco_mask.encode(np.asfortranarray(mask != 0, np.uint8))
    assert found == encoded | {"counts": encoded["counts"].decode()}


def filled(outline, shape):
    """A polygon's pixels: filled at eight times the size and read back at the pixels' centres."""
    height, width = shape
    sheet = Image.new("L", (8 * width, 8 * height))
    corners = [(8 * width * x, 8 * height * y) for x, y in outline]
    ImageDraw.Draw(sheet).polygon(corners, fill=255)
    return np.asarray(sheet)[4::8, 4::8] > 127


@pytest.mark.parametrize("how", instances.HOW)
def test_one_outline_covers_an_instance(mask, how):
    """All of its pixels and no others; at one bridge between two pieces a few pixels more."""
    for part in instances.split(mask, how):
        outline = yolo.polygon(part, mask.shape)
        assert outline.min() >= 0 and outline.max() <= 1 and len(outline) >= 3
        back = filled(outline, mask.shape)
        expected = ndimage.binary_fill_holes(painted(part, mask.shape))
        x, y = outline.T * [[mask.shape[1]], [mask.shape[0]]]
        area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        assert area == pytest.approx(expected.sum(), rel=0.1)
        assert (back & expected).sum() == expected.sum()
        assert (back & expected).sum() / (back | expected).sum() > 0.97


def make_set(out, masks):
    """Records of a set on disk: tears in two parts on two surfaces, with or without their masks."""
    mask = np.zeros((8, 8, 1), np.uint8)
    mask[3:5, 2:6] = mask[7, 0:5] = 255
    names = [(name, number) for name in ("tear", "normal") for number in range(2)]
    records = [
        {"file": f"images/{name}/{k}.png", "class": name, "size": [8, 8], "surface_index": k}
        for name, k in names
    ]
    for record in records:
        images.write_image(out / record["file"], np.full((8, 8, 1), 90, np.uint8))
        if masks and record["class"] == "tear":
            record["mask"] = record["file"].replace("images", "masks")
            images.write_image(out / record["mask"], mask)
    return records


def files(out):
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}


def test_a_set_without_masks_gets_no_labels(tmp_path, caplog):
    records = make_set(tmp_path, masks=False)
    before = files(tmp_path)
    with caplog.at_level("WARNING", logger="dtgan"):
        annotations.write(tmp_path, records, ("tear",), with_mvtec=True)
    assert files(tmp_path) == before
    assert "the model draws no masks" in caplog.text


def test_a_set_with_masks_gets_the_labels_of_every_format(tmp_path):
    records = make_set(tmp_path, masks=True)
    before = files(tmp_path)
    annotations.write(tmp_path, records, ("tear",))
    written = {"annotations/instances_train.json", "data.yaml"}
    written |= {r["file"].replace("images", "labels").replace("png", "txt") for r in records}
    assert files(tmp_path) - before == written
    assert (tmp_path / "labels/tear/0.txt").read_text().startswith("0 ")
    assert (tmp_path / "labels/normal/0.txt").read_text() == ""
    # From any working directory a reader finds the images beside the file.
    assert "path" not in (tmp_path / "data.yaml").read_text()


@pytest.mark.parametrize(("how", "count"), [("parts", 2), ("whole", 1)])
def test_the_formats_agree_on_the_instances(tmp_path, how, count):
    annotations.write(tmp_path, make_set(tmp_path, masks=True), ("tear",), how)
    content = json.loads((tmp_path / "annotations/instances_train.json").read_text())
    assert [a["image_id"] for a in content["annotations"]] == [1] * count + [2] * count
    assert len((tmp_path / "labels/tear/1.txt").read_text().splitlines()) == count
    found = [coco_mask.decode(a["segmentation"]) for a in content["annotations"][:count]]
    mask = images.read_image(tmp_path / "masks/tear/0.png", 1)[..., 0]
    np.testing.assert_array_equal(sum(found), mask > 0)
    assert [a["area"] for a in content["annotations"][:count]] == [f.sum() for f in found]


def test_no_test_image_of_the_mvtec_tree_stands_on_a_surface_of_its_training(tmp_path, caplog):
    records = make_set(tmp_path, masks=True)
    with caplog.at_level("INFO", logger="dtgan"):
        annotations.write(tmp_path, records, ("tear",), with_mvtec=True)
    assert {name for name in files(tmp_path) if name.startswith("mvtec")} == {
        "mvtec/train/good/1.png",
        "mvtec/test/good/0.png",
        "mvtec/test/tear/0.png",
        "mvtec/ground_truth/tear/0_mask.png",
    }
    assert "1 surfaces in train/good, 1 in test/good; left out are 1 hybrids" in caplog.text


def test_crops_of_one_picture_go_to_one_part_of_the_mvtec_tree(tmp_path):
    records = make_set(tmp_path, masks=True)
    for record in records:
        record["surface"] = f"normal/a.png#{record['surface_index']}".removesuffix("#0")
    annotations.write(tmp_path, records, ("tear",), with_mvtec=True)
    good = {name for name in files(tmp_path / "mvtec") if "good" in name}
    assert good == {"test/good/0.png", "test/good/1.png"}

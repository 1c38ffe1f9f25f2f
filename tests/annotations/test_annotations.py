"""Pins boxes, run lengths and outlines of masks, and the formats as their own readers see them."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from dtgan import annotations, images
from dtgan.annotations import coco, yolo


@pytest.fixture(params=["blob", "two", "line", "border"])
def mask(request):
    mask = np.zeros((48, 64), np.uint8)
    if request.param == "blob":
        ys, xs = np.mgrid[:48, :64]
        mask[(ys - 20) ** 2 + (xs - 40) ** 2 < 90] = 255
    elif request.param == "two":
        mask[5:12, 8:20] = mask[30:40, 50:60] = 255
    elif request.param == "line":
        mask[np.arange(10, 40), np.arange(10, 40)] = 255
        mask[np.arange(10, 40), np.arange(11, 41)] = 255
    else:
        mask[40:, 55:] = 255
    return mask


def test_box_is_that_of_the_pixels(mask):
    x, y, width, height = coco.box(mask)
    assert mask[y : y + height, x : x + width].sum() == mask.sum()
    for inner in (mask[y, :], mask[y + height - 1, :], mask[:, x], mask[:, x + width - 1]):
        assert inner.any()


def test_run_lengths_return_the_mask(mask):
    decoded = coco_mask.decode(coco.rle(mask))
    np.testing.assert_array_equal(decoded, mask > 0)


def test_outlines_cover_the_mask(mask):
    """Filled at eight times the size and read back at the pixels' centres."""
    height, width = mask.shape
    sheet = Image.new("L", (8 * width, 8 * height))
    for outline in yolo.polygons(mask):
        assert outline.min() >= 0 and outline.max() <= 1 and len(outline) >= 3
        corners = [(8 * width * x, 8 * height * y) for x, y in outline]
        ImageDraw.Draw(sheet).polygon(corners, fill=255)
    back = np.asarray(sheet)[4::8, 4::8] > 127
    assert (back & (mask > 0)).sum() / (back | (mask > 0)).sum() > 0.97


def make_set(out, masks):
    """Records of a set on disk: a tear, with or without its mask, and a normal."""
    records = [
        {"file": "images/tear/0.png", "class": "tear", "size": [8, 8]},
        {"file": "images/normal/0.png", "class": "normal", "size": [8, 8]},
    ]
    for record in records:
        images.write_image(out / record["file"], np.full((8, 8, 1), 90, np.uint8))
    if masks:
        records[0] |= {"mask": "masks/tear/0.png", "box": [2, 3, 4, 2], "area": 8}
        mask = np.zeros((8, 8, 1), np.uint8)
        mask[3:5, 2:6] = 255
        images.write_image(out / "masks/tear/0.png", mask)
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
    written = {"annotations/instances.json", "data.yaml"}
    written |= {"labels/tear/0.txt", "labels/normal/0.txt"}
    assert files(tmp_path) - before == written
    assert (tmp_path / "labels/tear/0.txt").read_text().startswith("0 ")
    assert (tmp_path / "labels/normal/0.txt").read_text() == ""
    annotations.write(tmp_path, records, ("tear",), with_mvtec=True)
    trees = {"mvtec/train/good/0.png", "mvtec/test/tear/0.png"}
    trees.add("mvtec/ground_truth/tear/0_mask.png")
    assert files(tmp_path) - before - written == trees

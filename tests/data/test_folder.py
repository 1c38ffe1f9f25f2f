"""Pins the folder source: what it reads, and what it says about bad files."""

import shutil

import numpy as np
import pytest
from PIL import Image

from dtgan.config import ConfigError
from dtgan.data.folders import audit
from dtgan.data.splits import SPLITS
from tests.data.folders import (
    audit_of,
    errors_of,
    make,
    open_split,
    picture,
    plant,
    save,
    warnings_of,
)


def test_reads_every_format_with_one_contract(tmp_path):
    make(tmp_path, normal=2, crack=2, masks=False)
    folder = tmp_path / "images/Ünter grad 裂纹"
    colour = np.stack([picture(i) for i in range(3)], axis=-1)
    save(folder / "a b.png", (picture(11).astype(np.uint16)) * 257)
    save(folder / "rot é.jpg", colour)
    save(folder / "c.BMP", picture(2, (30, 7)))
    save(folder / "d.tiff", colour[:9])
    save(folder / "e.tif", picture(13).astype(np.uint16) * 257)
    for channels in (1, 3):
        source = open_split(tmp_path, "train+val+test", channels=channels)
        assert source.classes == ("normal", "crack", "Ünter grad 裂纹")
        assert len(source) == 9 and source.skipped == 0
        assert source.labels.dtype == np.int32 and source.sizes.dtype == np.int32
        assert sorted(source.labels) == [0, 0, 1, 1, 2, 2, 2, 2, 2]
        for i, item in enumerate(source):
            assert item["image"].dtype == np.uint8
            assert item["image"].shape == (*source.sizes[i], channels)
            assert item["mask"].shape == (*source.sizes[i], 1) and not item["mask"].any()
            assert isinstance(item["has_mask"], np.bool_) and not item["has_mask"]
            assert item["label"] == source.labels[i]
        ids = {item["id"] for item in source}
        assert "Ünter grad 裂纹/a b.png" in ids and "Ünter grad 裂纹/rot é.jpg" in ids
    report = audit_of(tmp_path)
    assert report.formats == {"16-bit grey": 2, "8-bit RGB": 2, "8-bit grey": 5}
    assert report.sizes == {"height": (9, 20, 30), "width": (7, 24, 24)}


def test_sixteen_bits_scale_by_the_full_range(tmp_path):
    make(tmp_path, masks=False)
    values = np.asarray([[0, 128, 129, 257], [32767, 32768, 65278, 65535]], np.uint16)
    save(tmp_path / "images/crack/wide.png", values)
    items = {item["id"]: item for item in open_split(tmp_path, "train+val+test")}
    expected = [[0, 0, 1, 1], [127, 128, 254, 255]]
    np.testing.assert_array_equal(items["crack/wide.png"]["image"][..., 0], expected)


def test_masks_of_defects_normals_and_gaps(tmp_path):
    make(tmp_path)
    (tmp_path / "masks/crack/c5.png").unlink()
    mask = np.zeros((20, 24), np.uint8)
    mask[0, 0], mask[1, 1], mask[0, 1] = 101, 200, 100
    (tmp_path / "masks/crack/c4.png").unlink()
    save(tmp_path / "masks/crack/c4.bmp", mask)
    items = {item["id"]: item for item in open_split(tmp_path, "train+val+test")}
    assert set(np.unique(items["crack/c0.png"]["mask"])) == {0, 255}
    np.testing.assert_array_equal(np.argwhere(items["crack/c4.png"]["mask"]), [[0] * 3, [1, 1, 0]])
    assert items["crack/c4.png"]["has_mask"] and not items["crack/c5.png"]["has_mask"]
    assert items["normal/n0.png"]["has_mask"] and not items["normal/n0.png"]["mask"].any()
    assert warnings_of(tmp_path) == [("images/crack/c5.png", "no mask")]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("normal", "; take one of them out"), ("dent", "put it into images/crack+dent/ alone")],
)
def test_one_picture_under_two_labels_is_an_error_inside_a_split(tmp_path, name, remedy):
    make(tmp_path)
    for i in range(3):
        save(tmp_path / f"images/dent/d{i}.png", picture(200 + i))
    save(tmp_path / f"images/{name}/again.png", picture(100)[::-1])
    (found,) = audit_of(tmp_path).errors
    first, second = ("crack", "normal") if name == "normal" else ("dent", "crack")
    assert found.reason == f"label conflict: {first} and {second}"
    assert found.detail.startswith("mirror image as images/") and remedy in found.detail
    source = open_split(tmp_path, "train+val+test", skip_bad=True)
    assert source.skipped == 1 and len(source) == 15


def test_every_bad_file_is_named_with_its_reason(tmp_path):
    make(tmp_path)
    plant(tmp_path)
    cut = tmp_path / "images/normal/cut.jpg"
    save(cut, picture(7, (64, 64)))
    cut.write_bytes(cut.read_bytes()[:-600])
    save(tmp_path / "images/normal/thin.png", picture(8, (9, 1)))
    save(tmp_path / "images/loose.png", picture(9))
    mask = np.full((20, 24), 255, np.uint8)
    save(tmp_path / "masks/crack/gone.png", mask)
    save(tmp_path / "masks/dent/d.png", mask)
    save(tmp_path / "masks/normal/n0.png", mask)
    save(tmp_path / "masks/crack/c1.bmp", mask)
    save(tmp_path / "masks/crack/c2.png", np.vstack([mask[:10] // 2, mask[10:]]))
    save(tmp_path / "masks/crack/c3.png", mask * 0)
    (tmp_path / "images/crack/notes.txt").write_text("x")
    (tmp_path / "images/crack/.hidden.png").write_text("x")
    (tmp_path / "images/crack/Thumbs.db").write_text("x")
    (tmp_path / "images/crack/nested").mkdir()
    assert sorted(errors_of(tmp_path)) == [
        ("images/crack/text.png", "unreadable"),
        ("images/loose.png", "unknown label"),
        ("images/normal/cut.jpg", "unreadable"),
        ("images/normal/empty.bmp", "empty file"),
        ("images/normal/thin.png", "zero area"),
        ("masks/crack/c0.png", "wrong-size mask"),
        ("masks/crack/c1.png", "second mask"),
        ("masks/crack/c2.png", "several values"),
        ("masks/crack/gone.png", "mask without an image"),
        ("masks/dent/d.png", "unknown label"),
        ("masks/normal/n0.png", "mask on a normal image"),
    ]
    assert sorted(warnings_of(tmp_path)) == [
        ("images/crack/nested", "folder in a class folder"),
        ("images/crack/notes.txt", "unsupported file type"),
        ("images/crack/text.png", "no mask"),
        ("masks/crack/c3.png", "zero-area mask"),
    ]
    lines = audit_of(tmp_path).lines()
    told = "wrong-size mask: 10x10 for an image of 24x20; save it in the size of its image"
    assert f"error: masks/crack/c0.png: {told}" in lines
    assert not any(str(tmp_path) in line for line in lines)
    source = open_split(tmp_path, "train+val+test", skip_bad=True)
    assert source.skipped == 11
    items = {item["id"]: item for item in source}
    assert not items.keys() & {"crack/c0.png", "crack/c2.png", "normal/n0.png"}
    assert items["crack/c3.png"]["has_mask"].item() is False


def test_the_complaint_is_capped_and_names_the_remedy(tmp_path):
    make(tmp_path)
    plant(tmp_path, number=25)
    with pytest.raises(ConfigError) as caught:
        open_split(tmp_path, group="n(.)")
    lines = str(caught.value).split("\n")
    assert lines[0].startswith(f"25 files in {tmp_path} fail the audit; ")
    assert f"python -m dtgan.audit --path={tmp_path} --group='n(.)'" in lines[0]
    assert "--config.data.skip_bad=True" in lines[0]
    assert len(lines) == 22 and lines[-1] == "  ... and 5 more"
    assert open_split(tmp_path, skip_bad=True).skipped == 25


def test_pictures_too_small_for_data_scale_are_listed_and_can_be_left_out(tmp_path):
    make(tmp_path)
    for name, size in (("n2", (15, 40)), ("n4", (90, 4)), ("n5", (16, 16))):
        save(tmp_path / f"images/normal/{name}.png", picture(9, size))
    fields = {"res": 32, "scale": 2.0}
    assert errors_of(tmp_path, **fields) == [
        (f"images/normal/{n}.png", "too small") for n in ("n2", "n4")
    ]
    assert (
        "error: images/normal/n2.png: too small: 40x15, below 16 pixels (data.res=32 at "
        "data.scale=2); use data.scale=2.14 or more, a smaller data.res, or "
        "--config.data.upscale=True for such pictures"
    ) in audit_of(tmp_path, **fields).lines()
    with pytest.raises(ConfigError, match=r"2 files in .* --config.data.scale=2.0.*skip_bad=True"):
        open_split(tmp_path, **fields)
    assert open_split(tmp_path, skip_bad=True, **fields).skipped == 2
    assert not errors_of(tmp_path, upscale=True, **fields)
    with pytest.raises(ConfigError, match=r"data.scale=-1 is not in \(0, 4\]"):
        audit_of(tmp_path, scale=-1.0)


def test_skip_bad_still_needs_two_images_a_class(tmp_path):
    make(tmp_path, crack=2, masks=False)
    (tmp_path / "images/crack/c0.png").write_bytes(b"")
    with pytest.raises(ConfigError, match="class 'crack' has 1 image; every class needs"):
        open_split(tmp_path, skip_bad=True)


def test_fingerprint_is_of_content_alone(tmp_path):
    first = open_split(make(tmp_path / "one"))
    shutil.copytree(tmp_path / "one", tmp_path / "elsewhere/two")
    second = open_split(tmp_path / "elsewhere/two", "val", channels=3)
    assert first.fingerprint == second.fingerprint and len(first.fingerprint) == 16
    assert int(first.fingerprint, 16) >= 0
    mask = np.zeros((20, 24), np.uint8)
    mask[0, 0] = 255
    changes = {"masks/crack/c0.png": mask, "images/normal/n0.png": picture(50)}
    for name, array in changes.items():
        save(tmp_path / "elsewhere/two" / name, array)
        third = open_split(tmp_path / "elsewhere/two")
        assert third.fingerprint not in (first.fingerprint, second.fingerprint)
        second = third
    assert open_split(tmp_path / "one", seed=1).fingerprint != first.fingerprint


def test_splits_of_one_set_share_one_audit(tmp_path):
    make(tmp_path)
    before = audit._audit.cache_info().misses
    for split in SPLITS:
        open_split(tmp_path, split)
    assert audit._audit.cache_info().misses == before + 1
    (tmp_path / "images/crack/c0.png").rename(tmp_path / "images/crack/c0 new.png")
    assert ("images/crack/c0 new.png", "no mask") in warnings_of(tmp_path)


def _one_image(root):
    shutil.rmtree(root / "images/crack")
    save(root / "images/crack/c0.png", picture(100))


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (shutil.rmtree, {}, "is not a folder"),
        (lambda p: (p / "images").rename(p / "pictures"), {}, "has no folder images/"),
        (
            lambda p: (p / "images/normal").rename(p / "images/Normal"),
            {},
            "'Normal' reads like .* rename it",
        ),
        (lambda p: shutil.rmtree(p / "images/crack"), {}, "no defect class"),
        (_one_image, {}, "class 'crack' has 1 image; every class needs at least 2"),
        (lambda p: (p / "images/dent").mkdir(), {}, "class 'dent' has 0 images"),
        (None, {"group": "tile("}, "not a regular expression"),
        (None, {"fractions": (0.5, 0.5)}, "give 3 numbers"),
        (None, {"fractions": (0.8, 0.3, -0.1)}, "give 3 numbers"),
        (None, {"fractions": (1.0, 0.0, 0.0)}, "val > 0"),
        (None, {"fractions": (0.5, 0.2, 0.2)}, "sum 1"),
        (None, {"fractions": ("a", 0.5, 0.5)}, "give 3 numbers"),
        (None, {"split": "trian"}, "did you mean 'train'"),
        (None, {"split": "train+"}, "not one of train, val, test"),
        (None, {"channels": 2}, "is not 1 .grey. or 3"),
    ],
)
def test_mistakes_are_one_clear_line(tmp_path, spoil, options, message):
    root = make(tmp_path / "set")
    if spoil:
        spoil(root)
    with pytest.raises(ConfigError, match=message) as caught:
        open_split(root, **options)
    assert "\n" not in str(caught.value)


def test_16_bit_pictures_of_a_camera_are_warned_of_once_for_the_set(tmp_path):
    for i in range(6):
        for name in ("normal", "crack"):
            bright = 1 if i else 8  # the greatest value is in two files alone
            wide = picture(i + 10 * (name == "crack")).astype(np.uint16) * bright
            save(tmp_path / f"images/{name}/{i}.png", wide)
    (finding,) = audit_of(tmp_path).warnings
    assert finding.reason == "nearly black"
    assert finding.detail.startswith("12 16-bit pictures use 0..20")
    assert finding.detail.endswith("of 0..65535; a 12-bit camera? --config.data.range=4095")
    assert not warnings_of(tmp_path, range=4095)
    errors = audit_of(tmp_path, range=1023).errors
    assert {f.reason for f in errors} == {"value out of range"} and len(errors) == 2
    assert "above data.range=1023; --config.data.range=4095, or write" in errors[0].detail
    dark = open_split(tmp_path, "train+val+test")
    bright = open_split(tmp_path, "train+val+test", range=4095)
    assert dark.fingerprint != bright.fingerprint
    assert max(item["image"].max() for item in dark) < 9
    assert max(item["image"].max() for item in bright) > 120
    for value in (0, 65536):
        with pytest.raises(ConfigError, match=f"data.range={value} is not in 1..65535"):
            audit_of(tmp_path, range=value)


def test_values_that_are_no_brightness_are_errors(tmp_path):
    make(tmp_path)
    save(tmp_path / "images/crack/below.tif", picture(1).astype(np.int32) - 9)
    save(tmp_path / "images/crack/above.tif", picture(2).astype(np.int32) * 1000)
    save(tmp_path / "images/crack/float.tif", picture(3).astype(np.float32))
    assert errors_of(tmp_path) == [
        ("images/crack/float.tif", "unreadable"),
        ("images/crack/above.tif", "value out of range"),
        ("images/crack/below.tif", "value out of range"),
    ]


@pytest.mark.parametrize("tag", [3, 6])
def test_masks_are_of_the_picture_as_viewers_show_it(tmp_path, tag):
    make(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = tag
    stored = np.full((24, 20) if tag == 6 else (20, 24), 200, np.uint8)
    upright = np.full((20, 24), 200, np.uint8)
    upright[3:6, 4:9] = 20  # where the mask is
    stored = np.rot90(upright, {3: 2, 6: 1}[tag])
    Image.fromarray(stored).save(tmp_path / "images/crack/c0.png", exif=exif)
    (item,) = (i for i in open_split(tmp_path, "train+val+test") if i["id"] == "crack/c0.png")
    np.testing.assert_array_equal(item["mask"] == 255, item["image"] < 100)


def test_a_mask_in_the_layout_of_the_file_names_the_tag(tmp_path):
    make(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(100)).save(tmp_path / "images/crack/c0.png", exif=exif)
    (finding,) = audit_of(tmp_path).errors
    told = "24x20 for an image of 20x24, which its EXIF orientation 6 turns; save it in"
    assert finding.detail.startswith(told)


def test_pages_and_large_files_are_told(tmp_path):
    make(tmp_path, masks=False)
    frames = [Image.fromarray(picture(50 + k, (40, 40))) for k in range(5)]
    frames[0].save(tmp_path / "images/crack/stack.tif", save_all=True, append_images=frames[1:])
    (finding,) = audit_of(tmp_path).warnings
    assert str(finding) == (
        "images/crack/stack.tif: several pages: 5 of them, of which the first is read; save each "
        "as its own file"
    )
    (finding,) = audit_of(tmp_path, max_megapixels=0.001).errors
    assert str(finding).startswith(
        "images/crack/stack.tif: too large: 0.002 megapixels, above data.max_megapixels=0.001; "
        "raise it (--config.data.max_megapixels=0.002"
    )
    with pytest.raises(ConfigError, match=r"data.max_megapixels=0 is not above 0"):
        audit_of(tmp_path, max_megapixels=0.0)


def test_a_class_of_webp_is_read_and_one_of_unread_files_is_named(tmp_path):
    make(tmp_path, masks=False)
    for k in range(4):
        save(tmp_path / f"images/dent/d{k}.WebP", picture(200 + k))
    assert sum(audit_of(tmp_path).counts["dent"].values()) == 4
    for k in range(6):
        (tmp_path / "images/rust").mkdir(exist_ok=True)
        (tmp_path / f"images/rust/r{k}.xyz").write_text("x")
    with pytest.raises(ConfigError) as error:
        audit_of(tmp_path)
    assert str(error.value).startswith(
        "class 'rust' has 6 files of a type that is not read (.xyz); read are .png .jpg"
    )
    save(tmp_path / "images/rust/r.png", picture(300))
    with pytest.raises(ConfigError, match=r"'rust' has 1 image and 6 files of a type that is not"):
        audit_of(tmp_path)


def test_masks_with_the_endings_of_labelling_tools_belong_to_their_pictures(tmp_path):
    make(tmp_path)
    names = ("_mask", "_GT", "-Mask", "_label", "_SEG", " mask")
    for k, ending in enumerate(names):
        mask = tmp_path / f"masks/crack/c{k}.png"
        mask.rename(mask.with_stem(f"c{k}{ending}"))
    report = audit_of(tmp_path)
    assert not report.errors and not report.warnings
    assert sum(record.mask is not None for record in report.records) == 6
    save(tmp_path / "masks/crack/c0.png", np.full((20, 24), 255, np.uint8))
    assert errors_of(tmp_path) == [("masks/crack/c0_mask.png", "second mask")]
    # The picture with the ending in its own name has the exact match.
    (tmp_path / "masks/crack/c0.png").unlink()
    save(tmp_path / "images/crack/c0_mask.png", picture(400))
    assert ("images/crack/c0_mask.png", "looks like a mask") in errors_of(tmp_path)


def test_masks_among_the_pictures_are_errors(tmp_path):
    make(tmp_path, masks=False)
    mask = np.zeros((20, 24), np.uint8)
    mask[3:6, 4:9] = 255
    save(tmp_path / "images/crack/c0_mask.bmp", mask)
    save(tmp_path / "images/crack/c1_GT.png", mask)
    save(tmp_path / "images/crack/lone_mask.png", picture(7))
    found = audit_of(tmp_path).errors
    assert [str(f) for f in found] == [
        "images/crack/c0_mask.bmp: looks like a mask: of c0.png; move it to masks/crack/, or "
        "rename it",
        "images/crack/c1_GT.png: looks like a mask: of c1.png; move it to masks/crack/, or "
        "rename it",
    ]


def test_a_comma_in_a_class_name_is_refused(tmp_path):
    make(tmp_path)
    save(tmp_path / "images/dent, deep/a.png", picture(7))
    with pytest.raises(ConfigError, match=r"'dent, deep' has a comma .*; rename it"):
        audit_of(tmp_path)


def test_files_of_viewers_and_archives_are_no_classes(tmp_path):
    make(tmp_path)
    for name in ("images/.ipynb_checkpoints/a.png", "images/__MACOSX/._a.png", "images/._b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "masks/crack/._c0.png").write_text("x")
    report = audit_of(tmp_path)
    assert report.classes == ("normal", "crack") and not report.errors and not report.warnings


def test_a_content_that_its_name_does_not_say_is_read_and_told(tmp_path):
    make(tmp_path)
    Image.fromarray(picture(50)).save(tmp_path / "images/crack/c9.png", "BMP")
    assert warnings_of(tmp_path) == [
        ("images/crack/c9.png", "no mask"),
        ("images/crack/c9.png", "other format"),
    ]

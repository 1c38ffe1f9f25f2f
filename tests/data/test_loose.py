"""Pins: folders given by a flag are listed, checked and read as a data set is, masks included."""

import logging

import numpy as np
import pytest
from PIL import Image

from dtgan.config import ConfigError, base_config
from dtgan.data.folders import loose

CLASSES = ("normal", "pit", "tear")


def _picture(seed, size=(20, 24)):
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def _save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def _data(**fields):
    data = base_config().data
    data.update(fields)
    return data


def _labelled(root, normals=False, **fields):
    return loose.open_labelled(root, CLASSES, _data(**fields), "--test", normals=normals)


MASK = np.zeros((20, 24), np.uint8)
MASK[2:6, 15:20] = 1


@pytest.mark.parametrize("images", ["images/", ""])
def test_masks_beside_the_images_are_read(tmp_path, images):
    for k in range(3):
        _save(tmp_path / f"{images}pit/p{k}.png", _picture(k))
        _save(tmp_path / f"{images}normal/n{k}.png", _picture(10 + k))
    _save(tmp_path / "masks/pit/p0.png", MASK)
    _save(tmp_path / "masks/pit/p1_GT.png", MASK)
    source = _labelled(tmp_path, normals=True)
    items = {item["id"]: item for item in source}
    assert len(items) == 6 and source.labels.tolist() == [0, 0, 0, 1, 1, 1]
    for k in (0, 1):
        np.testing.assert_array_equal(items[f"{images}pit/p{k}.png"]["mask"][..., 0], MASK * 255)
    assert (
        not items[f"{images}pit/p2.png"]["has_mask"] and items[f"{images}normal/n0.png"]["has_mask"]
    )
    assert source.sizes.tolist() == [[20, 24]] * 6
    assert len(_labelled(tmp_path)) == 3
    _save(tmp_path / "masks/pit/p0.png", MASK[::-1])
    assert _labelled(tmp_path, normals=True).fingerprint != source.fingerprint


def test_the_fields_of_a_run_apply(tmp_path):
    kinds = MASK * 100
    kinds[10:12] = 200
    _save(tmp_path / "images/all/a.png", _picture(0).astype(np.uint16) * 16)
    _save(tmp_path / "masks/all/a.png", kinds)
    source = _labelled(tmp_path, range=4095, mask_values="100:pit,200:tear", channels=3)
    assert [item["label"] for item in source] == [1, 2]
    assert [item["id"] for item in source] == ["images/all/a.png#pit", "images/all/a.png#tear"]
    np.testing.assert_array_equal(source[0]["mask"][..., 0], MASK * 255)
    assert source[1]["mask"].sum() == 255 * 48
    expected = np.round(_picture(0).astype(int) * 16 * 255 / 4095)
    np.testing.assert_array_equal(source[0]["image"], expected[..., None].repeat(3, -1))
    with pytest.raises(ConfigError, match=r"--test=.*: images/all/a.png: value out of range: 40"):
        _labelled(tmp_path, range=1023, mask_values="100:pit,200:tear")
    with pytest.raises(ConfigError, match="the class 'all', which is not known here; known: nor"):
        _labelled(tmp_path, range=4095)


def test_orientation_shows_in_sizes_and_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    _save(tmp_path / "a.png", _picture(0), exif=exif)
    source = loose.open_surfaces(tmp_path, CLASSES, _data())
    assert source.sizes.tolist() == [[24, 20]]
    np.testing.assert_array_equal(source[0]["image"][..., 0], np.rot90(_picture(0), -1))


def test_viewers_files_are_ignored_and_others_are_told_once(tmp_path, caplog):
    _save(tmp_path / "a.PNG", _picture(0))
    for name in ("._a.png", ".DS_Store", "Thumbs.db", ".ipynb_checkpoints/a-checkpoint.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    frames = [Image.fromarray(_picture(k)) for k in range(3)]
    frames[0].save(tmp_path / "b.tif", save_all=True, append_images=frames[1:])
    with caplog.at_level(logging.WARNING, "dtgan"):
        assert len(loose.open_surfaces(tmp_path, CLASSES, _data())) == 2
    told = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert [text.partition(": ")[0] for text in told] == ["notes.txt", "b.tif"]
    assert "several pages: 3 of them" in told[1]


@pytest.mark.parametrize(
    ("spoil", "fields", "message"),
    [
        (lambda p: (p / "pit/a.png").write_bytes(b"\x89PNG"), {}, "pit/a.png: unreadable: "),
        (lambda p: (p / "pit/a.png").write_bytes(b""), {}, "pit/a.png: empty file: 0 bytes"),
        (None, {"max_megapixels": 1e-4}, "pit/a.png: too large: 0.001 megapixels, above"),
        (lambda p: _save(p / "masks/pit/a.png", MASK[:9]), {}, "wrong-size mask: 24x9 for an ima"),
        (lambda p: _save(p / "masks/pit/b.png", MASK), {}, "b.png: mask without an image"),
        (lambda p: _save(p / "pit/a_mask.png", MASK), {}, "looks like a mask: of a.png; move it"),
        (lambda p: (p / "pit").rename(p / "pitt"), {}, "'pitt', which is not known here .did you"),
        (lambda p: (p / "pit/a.png").rename(p / "pit/a.xyz"), {}, "1 file of a type .*(.xyz)"),
        (None, {"mask_values": "x"}, "'x' is not VALUE:CLASS"),
    ],
)
def test_mistakes_are_one_line_with_the_flag(tmp_path, spoil, fields, message):
    _save(tmp_path / "pit/a.png", _picture(0))
    if spoil:
        spoil(tmp_path)
    with pytest.raises(ConfigError, match=message) as error:
        _labelled(tmp_path, **fields)
    assert "\n" not in str(error.value)
    assert "mask_values" in fields or str(error.value).startswith(f"--test={tmp_path}")


def test_backgrounds_without_pictures_name_what_is_there(tmp_path):
    for k in range(2):
        (tmp_path / f"{k}.heic").write_text("x")
    with pytest.raises(ConfigError, match=r"no images, but 2 files of a type .* \(.heic\); put"):
        loose.open_surfaces(tmp_path, CLASSES, _data())
    with pytest.raises(ConfigError, match=r"--backgrounds=.*nowhere holds no images"):
        loose.open_surfaces(tmp_path / "nowhere", CLASSES, _data())


def test_a_file_that_is_lost_later_is_one_line(tmp_path):
    _save(tmp_path / "a.png", _picture(0))
    source = loose.open_surfaces(tmp_path, CLASSES, _data())
    (tmp_path / "a.png").unlink()
    with pytest.raises(ConfigError, match=r"a\.png or its mask cannot be read any more"):
        source[0]

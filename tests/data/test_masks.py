"""Pins how masks are read by their values, and what a set of them must not hold."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from dtgan.config import ConfigError, base_config
from dtgan.data.folders import audit, masks
from dtgan.data.folders.folder import FolderSource

SIDE = 48


def disc(y, x, r=8):
    i, j = np.mgrid[:SIDE, :SIDE]
    return (i - y) ** 2 + (j - x) ** 2 <= r * r


A, B = disc(12, 12), disc(34, 34)


def coloured(*areas):
    """RGB uint8 of (where, colour), black elsewhere."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    for where, colour in areas:
        image[where] = colour
    return image


def palette(indices, *colours):
    image = Image.fromarray(indices.astype(np.uint8), "L")
    image.putpalette([part for colour in colours for part in colour])
    return image


def layers(colour, alpha):
    return Image.fromarray(np.dstack([colour, alpha.astype(np.uint8)]))


def soft(binary, radius=2):
    return Image.fromarray(binary.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(radius))


def read(tmp_path, image, suffix=".png", options=None, **fields):
    """(parts, fault) of an image written to a file."""
    path = tmp_path / f"mask{suffix}"
    if not isinstance(image, Image.Image):
        image = Image.fromarray(np.asarray(image))
    image.save(path, **options or {})
    data = base_config().data
    data.update(fields)
    mask = masks.read_mask(path, data)
    return masks.parts(mask, data), masks.fault(mask, data)


BLACK, WHITE, RED, GREEN = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0)
CONSTANT = np.full((SIDE, SIDE, 3), 7, np.uint8)
PHOTO = np.random.default_rng(0).integers(60, 200, (SIDE, SIDE, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "suffix"),
    [
        (A, ".png"),
        (A.astype(np.uint8), ".png"),
        (A * np.uint8(100), ".bmp"),
        (A * np.uint8(255), ".webp"),
        (A.astype(np.uint16), ".png"),
        (A * np.uint16(65535), ".tif"),
        (Image.frombytes("I;16B", (SIDE, SIDE), A.astype(">u2").tobytes()), ".tif"),
        (A.astype(np.int32), ".tif"),
        (A.astype(np.uint8), ".pgm"),
        (palette(A, BLACK, BLACK), ".png"),
        (palette(A, (9, 9, 9), RED), ".png"),
        (palette(~A, WHITE, BLACK), ".png"),
        (palette(A, BLACK, RED), ".gif"),
        (coloured((A, RED)), ".png"),
        (coloured((A, (0, 0, 40))), ".png"),
        (coloured((A, (1, 1, 1))), ".png"),
        (layers(CONSTANT, A * 255), ".png"),
        (layers(CONSTANT * 0, A * 255), ".png"),
        (layers(PHOTO, A * 255), ".png"),
        (layers(coloured((~A, WHITE), (A, RED)), A * 255), ".png"),
        (layers(coloured((A, RED)), np.full_like(A, 255)), ".png"),
        (Image.fromarray(np.dstack([CONSTANT[..., 0], A * np.uint8(255)]), "LA"), ".png"),
        (A * np.uint8(255), ".jpg"),
        (coloured((A, RED)), ".jpg"),
        (Image.fromarray(coloured((A, WHITE))).convert("CMYK"), ".jpg"),
    ],
)
def test_one_value_beside_0_is_the_defect_in_every_kind_of_file(tmp_path, image, suffix):
    exact = suffix not in (".jpg",)
    options = {"lossless": True} if suffix == ".webp" else {}
    parts, fault = read(tmp_path, image, suffix, options)
    assert fault is None
    assert (parts[""] != A).mean() <= (0 if exact else 0.01)


def test_soft_edges_are_cut_at_half_of_the_greatest_value(tmp_path):
    for image in (
        soft(A | B),
        soft(A | B, 6),
        soft(A).resize((SIDE, SIDE), reducing_gap=None).point(lambda v: v * 0.4),
        Image.fromarray(A * np.uint8(255)).resize((20, 20)).resize((SIDE, SIDE)),
        Image.fromarray(A.repeat(2, 0).repeat(2, 1) * np.uint8(255)).reduce(2),
        layers(CONSTANT, np.asarray(soft(A))),
        Image.merge("RGB", [soft(A), *[Image.new("L", (SIDE, SIDE))] * 2]),
        Image.fromarray(np.asarray(soft(A)).astype(np.uint16) * 200),
    ):
        parts, fault = read(tmp_path, image)
        assert fault is None
        wanted = np.asarray(image.split()[-1] if image.mode == "RGBA" else image).astype(int)
        wanted = wanted.max(-1) if wanted.ndim == 3 else wanted
        np.testing.assert_array_equal(parts[""], 2 * wanted > wanted.max())


def test_a_mask_that_was_a_jpeg_once_has_no_levels(tmp_path):
    for quality in (10, 30, 60, 75, 90):
        Image.fromarray((A | B) * np.uint8(255)).save(tmp_path / "once.jpg", quality=quality)
        parts, fault = read(tmp_path, Image.open(tmp_path / "once.jpg").copy())
        assert fault is None and (parts[""] != (A | B)).mean() < 0.01


@pytest.mark.parametrize(
    ("image", "listed"),
    [
        (A * np.uint8(100) + B * np.uint8(200), "100 (197 pixels), 200 (197 pixels)"),
        (A * np.uint8(1) + B * np.uint8(2), "1 (197 pixels), 2 (197 pixels)"),
        (A * np.uint16(1) + B * np.uint16(300), "1 (197 pixels), 300 (197 pixels)"),
        (np.where(A, np.uint8(2), np.uint8(1)), "1 (2107 pixels), 2 (197 pixels)"),
        (palette(A + 2 * B, BLACK, RED, GREEN), "1 (197 pixels), 2 (197 pixels)"),
        (coloured((A, RED), (B, GREEN)), "#00ff00 (197 pixels), #ff0000 (197 pixels)"),
        (coloured((A, RED), (B, (120, 0, 0))), "#780000 (197 pixels), #ff0000 (197 pixels)"),
        (coloured((A | B, WHITE), (disc(12, 34, 1), GREEN)), "#ffffff (394 pixels), #00ff00 (5"),
        (layers(coloured((A, RED), (B, GREEN)), (A | B) * 255), "#00ff00 (197 pixels), #ff0000"),
        (A * np.uint8(15) + disc(34, 34, 3) * np.uint8(255), "15 (197 pixels), 255 (29 pixels)"),
    ],
)
def test_levels_and_colours_are_an_error_that_lists_them(tmp_path, image, listed):
    _, (reason, detail) = read(tmp_path, image)
    assert reason == "several values" and detail.startswith(listed)
    assert "normal for background: --config.data.mask_values=" in detail


def test_levels_with_soft_edges_are_found_all_the_same(tmp_path):
    levels = Image.fromarray(A * np.uint8(100) + B * np.uint8(200))
    _, (reason, detail) = read(tmp_path, levels.filter(ImageFilter.GaussianBlur(1)))
    assert reason == "several values" and detail.startswith("100 (") and "200 (" in detail


def test_a_picture_in_the_place_of_a_mask_is_an_error(tmp_path):
    picture = np.random.default_rng(0).normal(110, 9, (SIDE, SIDE)).clip(0, 255).astype(np.uint8)
    assert read(tmp_path, picture)[1][0] == "no mask but a picture"


@pytest.mark.parametrize(("suffix", "options"), [(".jpg", {}), (".webp", {"quality": 80})])
def test_lossy_files_mark_above_127(tmp_path, suffix, options):
    parts, fault = read(tmp_path, A * np.uint8(180), suffix, options)
    assert fault is None and (parts[""] != A).mean() < 0.01
    _, (reason, detail) = read(tmp_path, A * np.uint8(90), suffix, options)
    assert reason == "wrong mask values" and "save it as PNG" in detail
    _, (reason, detail) = read(tmp_path, A * np.uint8(90) + B * np.uint8(200), suffix, options)
    assert reason == "several values" and detail.startswith(("about 90", "about 89", "about 91"))
    assert read(tmp_path, soft(A | B, 4), suffix, options)[1] is None
    _, (reason, _) = read(tmp_path, A * np.uint8(180), suffix, options, mask_values="180:scratch")
    assert reason == "lossy mask"


def test_named_values_divide_a_mask(tmp_path):
    image = A * np.uint8(100) + B * np.uint8(200) + disc(40, 6, 3) * np.uint8(9)
    parts, fault = read(tmp_path, image, mask_values="100:scratch,200:stain,9:scratch, 7:dent")
    assert fault is None and list(parts) == ["scratch", "stain"]
    np.testing.assert_array_equal(parts["scratch"], A | disc(40, 6, 3))
    np.testing.assert_array_equal(parts["stain"], B)
    mixed = Image.fromarray(image).filter(ImageFilter.GaussianBlur(1))
    fault = read(tmp_path, mixed, mask_values="100:scratch,200:stain,9:scratch")[1]
    assert fault[0] == "unnamed mask values" and "soft edges mix the values" in fault[1]
    parts, fault = read(tmp_path, image, mask_values="200:stain,9:normal")
    assert fault[0] == "unnamed mask values" and fault[1].startswith("100 (197 pixels); name")


def test_named_colours_are_read_from_every_kind_of_file(tmp_path):
    kinds = "#ff0000:scratch,#FFFFFF:stain"
    for image in (
        coloured((A, RED), (B, WHITE)),
        palette(A + 2 * B, BLACK, RED, WHITE),
        palette(1 - A + B, RED, BLACK, WHITE),
        layers(coloured((A, RED), (~A, WHITE)), (A | B) * 255),
    ):
        parts, fault = read(tmp_path, image, mask_values=kinds)
        assert fault is None
        np.testing.assert_array_equal(parts["scratch"], A)
        np.testing.assert_array_equal(parts["stain"], B)
    parts, fault = read(tmp_path, B * np.uint8(255), mask_values=kinds)
    assert fault is None and list(parts) == ["stain"]
    assert read(tmp_path, coloured((A, RED)), mask_values="255:scratch")[1][1].startswith("#ff0000")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("100", "'100' is not VALUE:CLASS"),
        ("100:", "'100:' is not VALUE:CLASS"),
        ("-1:scratch", "'-1:scratch' is not"),
        ("#ff:scratch", "'#ff:scratch' is not"),
        ("100:a,,200:b", "'' is not VALUE:CLASS"),
        ("100:a/b", "'100:a/b' is not"),
        ("100:a,100:b", "names the value 100 twice"),
        ("100:a,#ff0000:b", "mixes numbers and colours"),
        ("100:normal", "names no defect"),
    ],
)
def test_a_wrong_mapping_is_one_line(text, message):
    with pytest.raises(ConfigError) as error:
        masks.parse_kinds(text)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.fixture
def folder(tmp_path):
    """Write a set: save(mask of picture k) for k < 6, and six normals; returns its data."""
    rng = np.random.default_rng(0)

    def save(path, array):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(array)).save(path)

    def make(mask_of, name="spot", **fields):
        for k in range(6):
            save(f"images/normal/n{k}.png", rng.integers(0, 255, (SIDE, SIDE), np.uint8))
            save(f"images/{name}/s{k}.png", rng.integers(0, 255, (SIDE, SIDE), np.uint8))
            mask = mask_of(k)
            if mask is not None:
                save(f"masks/{name}/s{k}.png", mask)
        data = base_config().data
        data.update(path=str(tmp_path), **fields)
        return data

    return make


KINDS = {"mask_values": "100:scratch,200:stain"}


def test_a_picture_has_a_record_for_each_class_in_its_mask(folder):
    def mask_of(k):
        return None if k > 3 else A * np.uint8(100) + B * np.uint8(200 * (k % 2))

    data = folder(mask_of, fractions=(0.5, 0.5, 0.0), **KINDS)
    report = audit.audit(data)
    assert report.classes == ("normal", "scratch", "spot", "stain") and not report.errors
    assert {finding.reason for finding in report.warnings} == {"no mask"}
    counts = {name: sum(splits.values()) for name, splits in report.counts.items()}
    assert counts == {"normal": 6, "scratch": 4, "spot": 2, "stain": 2}
    splits = {}
    for record in report.records:
        splits.setdefault(record.file, set()).add(record.split)
    assert all(len(found) == 1 for found in splits.values()) and len(splits) == 12
    items = {item["id"]: item for item in FolderSource(data, "train+val")}
    np.testing.assert_array_equal(items["spot/s1.png#scratch"]["mask"][..., 0] == 255, A)
    np.testing.assert_array_equal(items["spot/s1.png#stain"]["mask"][..., 0] == 255, B)
    assert items["spot/s1.png#stain"]["label"] == 3
    assert items["spot/s5.png"]["label"] == 2 and not items["spot/s5.png"]["has_mask"]


def test_a_mapping_goes_with_splits_csv_and_with_a_class_of_a_folder(folder, tmp_path):
    data = folder(lambda k: A * np.uint8(100) + B * np.uint8(200), name="scratch", **KINDS)
    lines = ["file,split"]
    for name in ("normal/n", "scratch/s"):
        lines += [f"{name}{k}.png,{('train', 'val', 'test')[k % 3]}" for k in range(6)]
    (tmp_path / "splits.csv").write_text("\n".join(lines))
    report = audit.audit(data)
    assert not report.errors and not report.warnings
    assert report.counts["stain"] == {"train": 2, "val": 2, "test": 2}
    assert {r.id for r in report.records if r.label == 1} == {f"scratch/s{k}.png" for k in range(6)}


def test_a_name_that_no_mask_has_and_an_empty_mask_are_told(folder):
    data = folder(lambda k: A * np.uint8(100), mask_values="100:scratch,20:stain")
    with pytest.raises(ConfigError, match=r"0 masks have the value of 'stain'"):
        audit.audit(data)
    data.mask_values = "100:scratch"
    assert not audit.audit(data).errors
    data = folder(lambda k: A * np.uint8(100 * (k > 0)), mask_values="100:scratch")
    (finding,) = audit.audit(data).errors
    assert (finding.file, finding.reason) == ("masks/spot/s0.png", "zero-area mask")


def _reasons(data):
    report = audit.audit(data)
    return [(f.file, f.reason) for f in (*report.errors, *report.warnings)]


def test_black_defects_are_warned_of_once_and_read_on_request(folder):
    data = folder(lambda k: ~A * np.uint8(255))
    (finding,) = audit.audit(data).warnings
    assert str(finding) == (
        "masks/: large masks: masks cover 91 % of the picture (median of 6): is the defect black? "
        "--config.data.mask_invert=True"
    )
    data.mask_invert = True
    assert not _reasons(data)
    source = FolderSource(data)
    k = int(np.flatnonzero(source.labels)[0])
    np.testing.assert_array_equal(source[k]["mask"][..., 0] == 255, A)
    data.mask_values = "100:scratch"
    with pytest.raises(ConfigError, match=r"mask_invert=True does not go with data.mask_values"):
        audit.audit(data)


def test_other_values_in_other_files_are_warned_of_once(folder):
    data = folder(lambda k: A * np.uint8(100 if k < 4 else 200))
    (finding,) = audit.audit(data).warnings
    assert finding.file == "masks/" and finding.reason == "different values"
    assert finding.detail.startswith("100 in 4 files, 200 in 2 files; all read as defect")
    assert finding.detail.endswith("--config.data.mask_values=100:NAME,200:NAME")
    data.mask_values = "100:scratch,200:stain"
    assert not _reasons(data)


def test_16_bit_labels_are_read(folder):
    data = folder(lambda k: A.astype(np.uint16))
    assert not _reasons(data)
    source = FolderSource(data, "train+val+test")
    for k in np.flatnonzero(source.labels):
        np.testing.assert_array_equal(source[k]["mask"][..., 0] == 255, A)

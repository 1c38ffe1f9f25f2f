"""Pins whole pictures: every bit outside of the masks, depth and mode, windows, boxes, limits."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from dtgan import generate
from dtgan.config import ConfigError, base_config
from dtgan.data.folders import loose
from dtgan.generation import native
from dtgan.generation.native import Mark, Pictures

RES = 32
KINDS = {  # name -> (mode, bits, type of file)
    "grey": ("L", 8, "png"),
    "deep": ("I;16", 16, "png"),
    "deep_tiff": ("I;16", 16, "tif"),
    "colour": ("RGB", 8, "png"),
    "clear": ("RGBA", 8, "png"),
    "half_clear": ("LA", 8, "png"),
    "bitmap": ("L", 8, "bmp"),
}


def picture(mode, bits, size, seed=0):
    """A Pillow image of noise about middle grey, (height, width) = size."""
    rng, middle = np.random.default_rng(seed), 2 ** (bits - 1)
    shape = size if len(mode) == 1 or bits == 16 else (*size, len(mode))
    values = rng.integers(middle - middle // 2, middle + middle // 2, shape)
    return Image.fromarray(values.astype(np.uint8 if bits == 8 else np.uint16))


def opened(folder, channels=1, scale=1.0, white=65535, threshold=0.1):
    """The Pictures of a folder, sorted by name."""
    data = base_config().data
    data.res, data.channels, data.range = RES, channels, white
    source = loose.open_surfaces(folder, ("normal", "dent"), data)
    return Pictures(source, data, scale, threshold)


def dent(channels=1, depth=-0.5, corner=(7, 11)):
    """A round dent whose matte tails off."""
    ys, xs = np.mgrid[:RES, :RES] - (RES - 1) / 2
    matte = np.clip(1.5 - np.hypot(ys, xs) / 8, 0.0, 1.0).astype(np.float32)
    return Mark(corner, np.full((RES, RES, channels), depth, np.float32) * matte[..., None], matte)


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_bit_outside_of_the_mask_stays_in_depth_and_mode(tmp_path, kind, channels, scale):
    mode, bits, suffix = KINDS[kind]
    before = picture(mode, bits, (90, 160))
    before.save(tmp_path / f"a.{suffix}")
    pictures, mark = opened(tmp_path, channels, scale), dent(channels)
    out = tmp_path / "out" / f"b{pictures.suffix(0)}"
    pictures.write(out, 0, [mark])
    pictures.write_mask(tmp_path / "out/mask.png", 0, [(mark.corner, pictures.hard(mark))])
    after = Image.open(out)
    assert after.mode == before.mode and out.suffix == (".png" if suffix == "bmp" else f".{suffix}")
    mask = np.array(Image.open(tmp_path / "out/mask.png")) > 0
    assert mask.shape == (90, 160)
    ys, xs = np.nonzero(mask)
    side = round(RES / scale)
    assert ys.min() >= 7 and xs.min() >= 11 and ys.max() < 7 + side and xs.max() < 11 + side
    old, new = (np.array(image).astype(int) for image in (before, after))
    changed = (old != new).reshape(90, 160, -1).any(-1)
    assert not changed[~mask].any()
    assert np.count_nonzero(changed & mask) >= 0.95 * np.count_nonzero(mask)
    if mode.endswith("A"):
        np.testing.assert_array_equal(old[..., -1], new[..., -1])
    colours = slice(0, 3 if mode.startswith("RGB") else 1)
    middle = (7 + side // 2, 11 + side // 2)
    fall = (old - new).reshape(90, 160, -1)[middle][colours]
    assert np.all(np.abs(fall - 0.25 * (2**bits - 1)) <= 1)  # half of the range from -1 to 1
    with pictures.open(0) as image:
        np.testing.assert_array_equal(np.array(image), np.array(before))  # left as it was


def test_a_camera_of_twelve_bits_keeps_its_range(tmp_path):
    Image.fromarray(np.full((40, 40), 300, np.uint16)).save(tmp_path / "a.png")
    pictures = opened(tmp_path, white=4095)
    assert pictures.crop(0, (0, 0))[0, 0, 0] == round(255 * 300 / 4095)
    pictures.write(tmp_path / "out/dark.png", 0, [dent(corner=(0, 0))])
    pictures.write(tmp_path / "out/bright.png", 0, [dent(depth=5.0, corner=(0, 0))])
    found = [np.array(Image.open(tmp_path / f"out/{n}.png")) for n in ("dark", "bright")]
    assert (found[0].min(), found[0].max(), found[1].max()) == (0, 300, 4095)


def test_the_model_sees_the_window_at_its_own_scale(tmp_path):
    before = picture("L", 8, (64, 200))
    before.save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        opened(tmp_path).crop(0, (3, 50))[..., 0], np.array(before)[3:35, 50:82]
    )
    halved = before.crop((50, 0, 114, 64)).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(
        opened(tmp_path, scale=0.5).crop(0, (0, 50))[..., 0], np.array(halved)
    )


def test_defects_of_one_picture_add_up_and_masks_join(tmp_path):
    picture("L", 8, (64, 64)).save(tmp_path / "a.png")
    pictures = opened(tmp_path)
    marks = [dent(corner=(0, 0)), dent(corner=(4, 4))]
    pictures.write_mask(
        tmp_path / "out/m.png", 0, [(mark.corner, pictures.hard(mark)) for mark in marks]
    )
    both = np.zeros((64, 64), bool)
    for mark in marks:
        y, x = mark.corner
        both[y : y + RES, x : x + RES] |= pictures.hard(mark)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "out/m.png")) > 0, both)


def test_a_defect_ends_at_its_box_to_the_pixel(tmp_path):
    picture("L", 8, (80, 80)).save(tmp_path / "a.png")
    pictures = opened(tmp_path, scale=0.5)
    mark = dent(corner=(8, 8))._replace(box=(33, 30, 9, 13))  # x, y, width, height
    inside = np.zeros((80, 80), bool)
    inside[8:72, 8:72] = pictures.hard(mark)
    assert inside[30:43, 33:42].all() and np.count_nonzero(inside) == 9 * 13


def test_decoded_pictures_are_kept_within_a_limit(tmp_path, monkeypatch):
    for k in range(6):
        picture("L", 8, (40, 40), seed=k).save(tmp_path / f"{k}.png")
    pictures = opened(tmp_path)
    monkeypatch.setattr(native, "KEPT", 4 * 1600)
    monkeypatch.setattr(Pictures.forget, "__defaults__", (2 * 1600,))
    seen = [pictures.crop(k % 6, (0, 0)).copy() for k in range(12)]
    assert sum(image.width * image.height for image in pictures._kept.values()) <= native.KEPT
    np.testing.assert_array_equal(seen[:6], seen[6:])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("P", (64, 64)), "a.png has mode P, which would not be kept; save it as grey"),
        (picture("L", 8, (64, 20)), "a.png is 20x64, smaller than the window of 32 pixels"),
    ],
)
def test_pictures_that_cannot_be_drawn_on_are_one_line(tmp_path, image, message):
    image.save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=message):
        opened(tmp_path).crop(0, (0, 0))


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """Strips, plates of 16 bits, coloured parts on a dark table, limits and boxes."""
    root = tmp_path_factory.mktemp("plant")
    for folder in ("strips", "plates", "parts", "limits"):
        (root / folder).mkdir()
    for k in range(3):
        picture("L", 8, (64, 400), seed=k).save(root / f"strips/s{k}.png")
        allowed = np.zeros((64, 400), np.uint8)
        allowed[:, 200:] = 255
        Image.fromarray(allowed).save(root / f"limits/s{k}.png")
    picture("I;16", 16, (300, 300)).save(root / "plates/p.tif")
    part = np.array(picture("RGB", 8, (200, 260)))
    part[:60], part[:, 200:] = 3, 3
    Image.fromarray(part).save(root / "parts/r.png")
    boxes = (
        "picture,class,x,y,w,h\ns0.png,tear,100,30,20,16\ns0,mark,300,2,14,24\ns2,mark,0,0,9,9\n"
    )
    (root / "boxes.csv").write_text(boxes)
    return root


@pytest.fixture(scope="module")
def workdir(run_main, tmp_path_factory):
    """Of a run of Crop&Paste, whose defects have no soft edges and need no training."""
    path = tmp_path_factory.mktemp("runs") / "paste"
    process = run_main("--config=configs/paste.py:smoke", f"--workdir={path}")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return path


@pytest.fixture(scope="module")
def made(workdir, small_blocks, plant, tmp_path_factory):
    """A function of flags that makes a set of whole pictures: (its folder, records of defects)."""

    def make(name, *flags):
        out = tmp_path_factory.mktemp("sets") / name
        given = ["--size=native", "--compilation_cache=", f"--workdir={workdir}", f"--out={out}"]
        assert generate.main([*given, "--no_visibility", *flags]) == 0
        lines = (out / "manifest.jsonl").read_text().splitlines()
        return out, [r for r in map(json.loads, lines) if r["synthetic"]]

    return make


def check_set(out, records):
    """Compare pictures, twins, masks and records of a set, pixel by pixel."""
    for r in records:
        image, twin = (Image.open(out / r[name]) for name in ("file", "twin"))
        mask, soft = (np.array(Image.open(out / r[name])) for name in ("mask", "soft_mask"))
        assert image.mode == twin.mode and [*mask.shape] == r["size"]
        changed = np.array(image) != np.array(twin)
        changed = changed.any(-1) if changed.ndim == 3 else changed
        assert not changed[mask == 0].any() and np.array_equal(mask > 0, soft > 0)
        assert np.count_nonzero(changed) >= 0.95 * np.count_nonzero(mask)
        assert np.count_nonzero(mask) == r["area"] == sum(one["area"] for one in r["defects"])
        for one in [r, *r["defects"]]:
            x, y, width, height = one["box"]
            part = mask[y : y + height, x : x + width] > 0
            assert np.count_nonzero(part) >= one["area"]
            assert part[0].any() and part[-1].any() and part[:, 0].any() and part[:, -1].any()


def test_a_method_that_draws_one_defect_refuses_more(workdir, plant, tmp_path, capsys):
    given = [f"--workdir={workdir}", f"--out={tmp_path / 'set'}", "--compilation_cache="]
    assert generate.main([*given, "--num_per_class=1", "--defects=2"]) == 1
    assert "--defects=2: method=paste draws one defect an image" in capsys.readouterr().err


def test_strips_carry_several_defects_beside_each_other(made, plant):
    flags = [f"--backgrounds={plant / 'strips'}", "--num_per_class=2", "--windows=3", "--mvtec"]
    out, records = made("strips", *flags, "--classes=tear,mark")
    check_set(out, records)
    assert [r["class"] for r in records] == ["tear"] * 2 + ["mark"] * 2
    assert max(len(r["defects"]) for r in records) == 3
    for r in records:
        corners = [one["window"][:2] for one in r["defects"]]
        for k, a in enumerate(corners):
            assert all(max(abs(a[0] - b[0]), abs(a[1] - b[1])) >= RES for b in corners[:k])
    coco = COCO(str(out / "annotations/instances_train.json"))
    assert len(coco.anns) == sum(len(r["instances"]) for r in records)
    _, same = made("strips", *flags, "--classes=tear,mark")
    assert same == records


def test_a_defect_comes_to_lie_where_it_was(made, plant):
    flags = [f"--backgrounds={plant / 'strips'}", "--num_per_class=1", "--classes=tear"]
    _, records = made("own", *flags, "--place=own", "--vary=none")
    # Training pictures are as large as a crop, whose place is then the middle.
    assert records[0]["defects"][0]["window"] == [(400 - RES) // 2, (64 - RES) // 2, RES, RES]


def test_plates_keep_their_depth(made, plant):
    out, records = made("plates", f"--backgrounds={plant / 'plates'}", "--num_per_class=1")
    check_set(out, records)
    assert {Image.open(out / r["file"]).mode for r in records} == {"I;16"}
    assert {r["file"].rpartition(".")[2] for r in records} == {"tif"}


def test_no_defect_lies_on_the_background_of_a_part(made, plant):
    flags = [f"--backgrounds={plant / 'parts'}", "--num_per_class=2", "--classes=tear,mark"]
    out, records = made("parts", *flags, "--surface_above=50")
    check_set(out, records)
    for r in records:
        mask, twin = np.array(Image.open(out / r["mask"])), np.array(Image.open(out / r["twin"]))
        assert np.mean(twin[mask > 0].mean(-1) > 50) > 0.99


def test_limits_and_boxes_say_where(made, plant):
    strips = f"--backgrounds={plant / 'strips'}"
    flags = [strips, f"--limits={plant / 'limits'}", "--num_per_class=2", "--classes=tear"]
    out, records = made("limits", *flags)
    check_set(out, records)
    assert all(r["box"][0] >= 200 for r in records)
    out, records = made("boxes", strips, f"--boxes={plant / 'boxes.csv'}")
    check_set(out, records)
    assert [r["class"] for r in records] == ["mark+tear", "mark"]
    found = {(r["surface"], d["class"]): d["box"] for r in records for d in r["defects"]}
    wanted = {("s0.png", "tear"): (100, 30, 20, 16), ("s0.png", "mark"): (300, 2, 14, 24)}
    for key, (x, y, width, height) in wanted.items():
        left, top, across, down = found[key]
        assert x <= left and y <= top and left + across <= x + width and top + down <= y + height
    table = json.loads((out / "annotations/instances_train.json").read_text())
    names = {c["id"]: c["name"] for c in table["categories"]}
    assert {names[a["category_id"]] for a in table["annotations"]} == {"mark", "tear"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size=whole"], "--size=whole is not one of crop, native"),
        (["--windows=2", "--size=crop"], "--windows=2 is of whole pictures; add --size=native"),
        (["--place=left"], "--place=left is not one of random, own"),
        (["--surface_above=300"], "--surface_above=300 is no grey level"),
        (["--defects=0"], "--defects=0 is not at least 1"),
        (["--shift=2,0"], "--shift=2,0 is not two numbers within -1..1; write --shift=0.1,-0.2"),
        (["--flip=left"], "--flip=left is not one of none, up_down, left_right, both"),
        (["--boxes=BOXES", "--num_per_class=3"], "does not go with --boxes="),
        (["--boxes=MISSING"], "cannot be read"),
        (["--boxes=WRONG"], "line 2: there is no picture 'zz'; line 3: 'dent' is no defect class"),
        (
            ["--boxes=COLUMNS"],
            "has the columns file; the first line must be: picture,class,x,y,w,h",
        ),
    ],
)
def test_wrong_requests_are_one_line(workdir, plant, tmp_path, capsys, flags, message):
    files = {
        "BOXES": plant / "boxes.csv",
        "MISSING": tmp_path / "no.csv",
        "WRONG": tmp_path / "wrong.csv",
        "COLUMNS": tmp_path / "columns.csv",
    }
    head = "picture,class,x,y,w,h\n"
    files["WRONG"].write_text(f"{head}zz,tear,0,0,4,4\ns0,dent,0,0,4,4\ns0,tear,399,0,4,4\n")
    files["COLUMNS"].write_text("file\ns0\n")
    for name, path in files.items():
        flags = [flag.replace(f"={name}", f"={path}") for flag in flags]
    given = [f"--workdir={workdir}", f"--out={tmp_path / 'set'}", "--compilation_cache="]
    given += ["--size=native", f"--backgrounds={plant / 'strips'}"]
    given += [] if any("boxes" in flag for flag in flags) else ["--num_per_class=1"]
    assert generate.main([*given, *flags]) == 1
    assert message in capsys.readouterr().err

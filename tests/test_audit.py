"""Pins the audit command: exit status, counts, reasons, last line."""

import numpy as np
import pytest
from PIL import Image

from dtgan import audit


@pytest.fixture
def folder(tmp_path):
    """A clean set: 6 normal and 4 scratch images, one of them 16 bit."""
    random = np.random.default_rng(0)
    for name, number in (("normal", 6), ("scratch", 4)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(number):
            pixels = random.integers(0, 256, (12, 16), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    wide = random.integers(0, 65536, (12, 16)).astype(np.uint16)
    Image.fromarray(wide).save(tmp_path / "images/scratch/0.png")
    return tmp_path


def test_a_clean_set_passes(folder, capsys):
    assert audit.main([f"--path={folder}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["class", "all", "masks", "train", "val", "test"]
    assert lines[1].split()[:3] == ["normal", "6", "0"]
    assert "sizes in pixels: height 12..12 (median 12), width 16..16 (median 16)" in lines
    assert "formats: 1 16-bit grey, 9 8-bit grey" in lines
    assert lines[-1] == "OK: 10 images, 2 classes, 0 errors, 0 warnings"


def test_bad_files_fail_with_their_reasons(folder, capsys):
    (folder / "images/scratch/bad ü.png").write_bytes(b"\x89PNG")
    (folder / "images/normal/copy.png").write_bytes((folder / "images/normal/0.png").read_bytes())
    assert audit.main([f"--path={folder}"]) == 1
    out = capsys.readouterr().out
    assert "error: images/scratch/bad ü.png: unreadable: " in out
    assert "warning: images/normal/copy.png: duplicate: same pixels as images/normal/0.png" in out
    assert out.splitlines()[-1] == "FAILED: 11 images, 2 classes, 1 error, 1 warning"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--path=/no/such/folder", "data.path=/no/such/folder is not a folder"),
        ("--group=(", "is not a regular expression"),
        ("--fractions=1,2", "give 3 numbers"),
    ],
)
def test_an_unusable_option_is_one_line(folder, capsys, option, message):
    assert audit.main([f"--path={folder}", option]) == 2
    captured = capsys.readouterr()
    assert not captured.out and len(captured.err.splitlines()) == 1
    assert message in captured.err


def test_help_explains_the_options(capsys):
    with pytest.raises(SystemExit) as caught:
        audit.main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert "regular expression" in out and "Exit status: 0 = usable" in out


@pytest.fixture
def kinds(folder):
    """The set with masks of two values for the scratches."""
    mask = np.zeros((12, 16), np.uint8)
    mask[1:5, 1:5], mask[6:11, 6:15] = 100, 200
    (folder / "masks/scratch").mkdir(parents=True)
    for i in range(4):
        Image.fromarray(mask).save(folder / f"masks/scratch/{i}.png")
    return folder


def test_any_field_of_the_data_is_a_flag(kinds, capsys):
    assert audit.main([f"--path={kinds}"]) == 1
    assert "--config.data.mask_values=100:NAME,200:NAME" in capsys.readouterr().out
    named = ["--config.data.mask_values=100:line,200:spot", "--config.data.fractions=(0.5,0.5,0)"]
    assert audit.main([f"--path={kinds}", *named]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["normal", "6", "0"],
        ["line", "4", "4"],
        ["spot", "4", "4"],
    ]
    assert lines[1].split()[3:] == ["3", "3", "0"]
    assert audit.main([f"--path={kinds}", *named, "--config.data.fold=0/3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[-1] == "2" and any("fold 0/3, drawn from" in line for line in lines)
    assert audit.main([f"--path={kinds}", *named, "--config.data.fold=0/9"]) == 2
    assert "class 'line' has 4 groups of images; use at most 4 folds" in capsys.readouterr().err
    assert audit.main([f"--path={kinds}", *named, "--config.data.range=9"]) == 1
    assert "value out of range" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.data.rnge=4095", "'data.rnge' does not exist (did you mean 'data.range'?)"),
        ("--config.data.range=many", "--config.data.range=many: invalid literal for int()"),
        ("--config.data.mask_invert=2", "--config.data.mask_invert=2: "),
        ("--config.seed=1", "--config.seed=1 is not a flag; write --config.data.FIELD=VALUE"),
        ("--grup=x", "--grup=x is not a flag"),
        ("extra", "extra is not a flag"),
    ],
)
def test_a_wrong_flag_is_one_line(folder, capsys, flag, message):
    assert audit.main([f"--path={folder}", flag]) == 2
    captured = capsys.readouterr()
    assert not captured.out and len(captured.err.splitlines()) == 1 and message in captured.err


def strips(root, count=6):
    """Strips with two pits far apart, of which the masks know."""
    random = np.random.default_rng(1)
    for name in ("normal", "pit"):
        for kind in ("images", "masks"):
            (root / kind / name).mkdir(parents=True)
        for i in range(count):
            pixels = random.integers(90, 110, (64, 640), np.uint8)
            mask = np.zeros((64, 640), np.uint8)
            if name == "pit":
                mask[20:40, 10:30] = mask[20:40, 600:620] = 255
                Image.fromarray(mask).save(root / "masks" / name / f"{i}.png")
            Image.fromarray(pixels - np.uint8(60) * (mask > 0)).save(
                root / "images" / name / f"{i}.png"
            )
    return root


def test_what_scaling_and_cropping_leave_is_told(tmp_path, capsys):
    set_of_strips = strips(tmp_path / "strips")
    assert audit.main([f"--path={set_of_strips}", "--config.data.res=32"]) == 0
    out = capsys.readouterr().out
    (row,) = [line for line in out.splitlines() if line.startswith("train pit")]
    assert row.split()[2:] == ["4", "8", "3200", "800", "800", "0", "%", "9.5", "px"]
    assert "warning: train: pit: 4 pictures give 8 fixed crops" in out
    assert "now: 0.5 9.5 px 9.5 px (pit) 100 % 0" in " ".join(out.split())
    assert "proposed: --config.data.scale=1: 100 % of the defects fit into a crop of 32 px" in out
    for mask in (set_of_strips / "masks" / "pit").iterdir():
        mask.unlink()
    assert audit.main([f"--path={set_of_strips}", "--config.data.res=32"]) == 0
    out = capsys.readouterr().out
    assert "train pit" not in out and "proposed: " not in out
    assert "without masks are up to 10 crops of 32 px large" in out


def test_nearly_equal_pictures_are_named_and_drawn(folder, tmp_path, capsys):
    for i in range(4):
        (folder / "images" / "scratch" / f"{i}.png").unlink()
        picture = Image.open(folder / "images" / "normal" / f"{i}.png")
        noisy = np.asarray(picture).astype(int) + np.random.default_rng(i).integers(-3, 4, (12, 16))
        noisy = np.clip(noisy, 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / "images" / "scratch" / f"{i}.png")
    flag = f"--near={tmp_path / 'pairs.png'}"
    assert audit.main([f"--path={folder}", flag]) == 0
    out = capsys.readouterr().out
    assert "scratch/0.png" in out and "images/normal" not in out
    assert sum("nearly equal: " in line for line in out.splitlines()) >= 4
    assert Image.open(tmp_path / "pairs.png").width == 2 * 194 + 2

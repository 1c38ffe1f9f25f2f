"""Pins: the TFDS set returns its source's records, without TensorFlow; its errors and command."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from dtgan import images
from dtgan.config import ConfigError, base_config
from dtgan.data import catalog
from dtgan.data.folders.folder import FolderSource
from dtgan.data.procedural import ProceduralSteel
from dtgan.data.steel_defects import prepare
from dtgan.data.steel_defects.steel_defects import main
from dtgan.data.tfds import TfdsSource

SMALL = {"res": 32, "scale_counts": 0.02}


def assert_same(got, want):
    """Equal as sources: what they say without decoding, and every record."""
    assert got.classes == tuple(want.classes) and got.fingerprint == want.fingerprint
    for name in ("labels", "sizes"):
        a, b = getattr(got, name), getattr(want, name)
        assert np.array_equal(a, b) and a.dtype == b.dtype
    assert len(got) == len(want)
    for i in range(len(want)):
        a, b = got[i], want[i]
        assert a.keys() == b.keys()
        for name in a:
            assert np.array_equal(a[name], b[name]) and type(a[name]) is type(b[name])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("tfds")
    prepare(path, **SMALL)
    return path


def write_folder(path):
    rng = np.random.default_rng(0)
    for name in ("normal", "tear"):
        for i in range(8):
            size = (32 + i, 40)
            image = rng.integers(0, 256, (*size, 3), np.uint8)
            images.write_image(path / "images" / name / f"{name}{i}.png", image)
            if name == "tear" and i != 2:
                mask = np.where(rng.random((*size, 1)) < 0.2, 255, 0).astype(np.uint8)
                images.write_image(path / "masks" / name / f"{name}{i}.png", mask)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_procedural_round_trip(prepared, split):
    want = ProceduralSteel(split=split, size=32, scale_counts=0.02)
    assert_same(TfdsSource(prepared, split), want)


def test_folder_round_trip(tmp_path):
    write_folder(tmp_path / "files")
    fields = {"folder": str(tmp_path / "files"), "fractions": (0.5, 0.25, 0.25)}
    builder = prepare(tmp_path / "tfds", channels=3, **fields)
    for split in ("train", "val", "test"):
        for channels in (3, 1):
            data = base_config().data
            data.update(path=fields["folder"], channels=channels, fractions=fields["fractions"])
            want = FolderSource(data, split)
            assert_same(TfdsSource(tmp_path / "tfds", split, channels), want)
    assert_same(TfdsSource(builder.data_dir, split), want)


def test_the_catalog_opens_it(prepared):
    config = base_config()
    config.data.update({"source": "tfds", "path": str(prepared)})
    source = catalog.open_source(config, "train+val")
    parts = [TfdsSource(prepared, split) for split in ("train", "val")]
    assert len(source) == sum(map(len, parts))
    assert catalog.describe(source).counts["tear"] == sum((p.labels == 5).sum() for p in parts)
    assert "tensorflow" not in sys.modules


def test_preparing_again_keeps_the_same_and_refuses_another(prepared):
    prepare(prepared, **SMALL)
    with pytest.raises(ConfigError, match="already holds another data set"):
        prepare(prepared, res=32, scale_counts=0.02, seed=1)


def test_errors_name_the_command(tmp_path, prepared):
    with pytest.raises(ConfigError, match=r"python -m dtgan\.data\.steel_defects --data_dir="):
        TfdsSource(tmp_path / "missing")
    with pytest.raises(ConfigError, match=r"holds no prepared data; .*--data_dir="):
        TfdsSource(tmp_path)
    assert len(TfdsSource(prepared, "dev")) == 0  # TFDS stores no empty split
    with pytest.raises(ConfigError, match="cannot prepare steel_defects: size=7"):
        prepare(tmp_path / "new", res=7)


def test_a_description_runs_no_code_and_names_no_other_folder(prepared, tmp_path, monkeypatch):
    """What TFDS would import lies in the current directory, where it would be found."""
    (tmp_path / "trap.py").write_text("open('sprung', 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (source,) = prepared.glob("steel_defects/*/*.*.*")
    ours = "tensorflow_datasets.core.features.text_feature.Text"
    changes = {
        "features.json": [(ours, "trap.Text"), ('"id": {', '"other": {'), ("{", "[")],
        "dataset_info.json": [("dtgan.data.steel_defects.steel_defects", "trap")],
        "metadata.json": [('"tear"', '"../tear"'), ("{", "")],
    }
    for file, pairs in changes.items():
        for old, new in pairs:
            copy = shutil.copytree(source, tmp_path / "set", dirs_exist_ok=True)
            text = (copy / file).read_text()
            assert old in text
            (copy / file).write_text(text.replace(old, new, 1))
            with pytest.raises(ConfigError) as refused:
                TfdsSource(copy)
            assert "\n" not in str(refused.value)
    assert not (tmp_path / "sprung").exists()


def test_two_sets_in_one_directory_are_told_apart(tmp_path):
    write_folder(tmp_path / "files")
    prepare(tmp_path, **SMALL)
    builder = prepare(tmp_path, folder=str(tmp_path / "files"), fractions=(0.5, 0.25, 0.25))
    with pytest.raises(ConfigError, match=r"holds 2 data sets; set data\.path to one of"):
        TfdsSource(tmp_path)
    assert TfdsSource(builder.data_dir).classes == ("normal", "tear")


def test_the_command_prints_counts_and_flags(prepared, capsys):
    main([f"--data_dir={prepared}", "--res=32", "--scale_counts=0.02"])
    out = capsys.readouterr().out
    assert "train: " in out and "normal 15" in out
    assert f"--config.data.source=tfds --config.data.path={prepared}" in out
    with pytest.raises(SystemExit, match="already holds another"):
        main([f"--data_dir={prepared}", "--res=64"])


def test_the_command_is_quiet_and_needs_no_tensorflow(tmp_path):
    code = (
        "import sys; from dtgan.data.steel_defects.steel_defects import main; "
        f"main(['--data_dir={tmp_path}', '--res=32', '--scale_counts=0.01']); "
        "assert 'tensorflow' not in sys.modules and 'jax' not in sys.modules"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stderr == "" and len(out.stdout.splitlines()) == 4

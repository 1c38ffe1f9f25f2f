"""Pins that checkpoints of earlier formats are read, and that strange ones are refused in a line.

tests/golden/checkpoint_<format>.zip is a run of 4 steps of the toy family `tail`
(tests/methods/toys.py) with tests/smoke.py; 0 is of the time before formats had numbers.
"""

import contextlib
import json
import logging
import pathlib
import shutil
import tempfile
import zipfile

import jax
import numpy as np
import pytest

from dtgan import cli
from dtgan.config import ConfigError
from dtgan.data import catalog
from dtgan.runs import checkpoints
from dtgan.sampling.sampler import load
from dtgan.training.loop import train_and_evaluate
from tests.methods import toys

pytestmark = pytest.mark.faults
GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module", autouse=True)
def with_toys():
    with toys.registered():
        yield


def unpack(number, workdir):
    with zipfile.ZipFile(GOLDEN / f"checkpoint_{number}.zip") as file:
        file.extractall(workdir)
    return workdir


def resume(workdir):
    config = cli.read_config("tests/smoke.py:tail")
    config.data.classes, config.data.batch_size = "tear", 8
    config.train.duration = "6steps"
    return train_and_evaluate(config, workdir)


def test_every_format_has_a_golden_checkpoint():
    found = {path.stem for path in GOLDEN.glob("checkpoint_*.zip")}
    assert found == {f"checkpoint_{number}" for number in range(checkpoints.FORMAT + 1)}


@pytest.mark.parametrize("number", range(checkpoints.FORMAT + 1))
def test_a_golden_checkpoint_is_loaded_drawn_from_and_resumed(number, tmp_path):
    workdir = unpack(number, tmp_path)
    golden = np.load(GOLDEN / "checkpoint.npz")
    drawn = load(workdir)({}, seed=3, numbers=np.arange(8))["image"]
    np.testing.assert_allclose(drawn[:2], golden["drawn"], atol=1e-5)
    state = resume(workdir)
    assert int(state.step) == 6 and float(state.extra["seen"]) == golden["seen"]
    for name, array in state.nets["G"].params.items():
        np.testing.assert_allclose(np.asarray(array), golden[name], atol=1e-5)


def test_formats_draw_the_same(tmp_path):
    both = [load(unpack(number, tmp_path / str(number))) for number in (0, 1)]
    first, second = (sampler({}, numbers=np.arange(8))["image"] for sampler in both)
    np.testing.assert_array_equal(first, second)


def edit(item, **fields):
    """Change fields of a JSON item; a dot in a name leads into the next dict."""

    def change(step):
        file = step / item / "metadata"
        content = json.loads(file.read_text())
        for name, value in fields.items():
            *path, last = name.split("__")
            inner = content
            for part in path:
                inner = inner[part]
            inner[last] = value
        file.write_text(json.dumps(content))

    return change


def replace(name, text):
    return lambda step: (step / name).write_text(text)


def remove(name):
    return lambda step: shutil.rmtree(step / name)


HOSTILE = {
    "a config that is no JSON": replace("config/metadata", "{"),
    "a config that is a list": replace("config/metadata", "[]"),
    "an unknown method": edit("config", method="../../other"),
    "a method that is no text": edit("config", method=["tail"]),
    "a field of another type": edit("config", data="here"),
    "another resolution": edit("config", data__res=64),
    "an absurd resolution": edit("config", data__res=10**9),
    "a channel count that is no number": edit("config", data__channels="many"),
    "a class that leaves its folder": edit("data", classes=["normal", "../../out"]),
    "a class that commands a terminal": edit("data", classes=["normal", "\x1b[2J"]),
    "classes that are no list": edit("data", classes={"normal": 1}),
    "no classes": edit("data", classes=[]),
    "a later format": edit("data", format=99),
    "a fingerprint that is no text": edit("data", fingerprint=[1]),
    "data that are no JSON": replace("data/metadata", "\ufffd"),
    "no running means": remove("ema"),
    "arrays that are no arrays": replace("ema/_METADATA", "{}"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_strange_checkpoint_is_refused_in_a_line(name, tmp_path):
    """Its checksums are right: who makes such a file makes those, too."""
    workdir = unpack(1, tmp_path)
    step = workdir / "checkpoints" / "4"
    HOSTILE[name](step)
    sums = json.dumps(checkpoints._checksums(step))
    (step / checkpoints.CHECKSUMS).write_text(sums)
    with pytest.raises(ConfigError) as refused:
        load(workdir)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("sums", ["[]", "{", '{"../../config.json": 5}', '{"a": []}'])
def test_strange_checksums_make_a_damaged_step(sums, tmp_path):
    workdir = unpack(1, tmp_path)
    (workdir / "checkpoints" / "4" / checkpoints.CHECKSUMS).write_text(sums)
    good, damaged = checkpoints.verified_steps(workdir / "checkpoints")
    assert good == [] and list(damaged) == [4]


@pytest.mark.parametrize(
    "change",
    [
        {"position": "here"},
        {"position": {"global_next_index": "many"}},
        {"position": {"other": 1}},
        {"position": {"global_next_index": -5}},
        {"donor": "somebody"},
        {"fingerprint": "0" * 16},
    ],
    ids=str,
)
def test_a_run_does_not_resume_from_strange_data(change, tmp_path):
    workdir = unpack(1, tmp_path)
    step = workdir / "checkpoints" / "4"
    edit("data", **change)(step)
    (step / checkpoints.CHECKSUMS).write_text(json.dumps(checkpoints._checksums(step)))
    with pytest.raises(ConfigError) as refused:
        resume(workdir)
    assert str(refused.value).isprintable()


def test_where_data_are_read_is_shown_first(tmp_path, caplog):
    """A checkpoint may name any place."""
    config = cli.read_config("tests/smoke.py:tail")
    config.data.source, config.data.path = "folder", str(tmp_path / "strange")
    logging.getLogger("dtgan").propagate = True
    with caplog.at_level(logging.INFO, "dtgan"), contextlib.suppress(ConfigError):
        catalog.open_source(config, "train")
    assert f"reading folder {tmp_path / 'strange'}" in caplog.text


if __name__ == "__main__":  # python -m tests.faults.test_golden_checkpoints: writes checkpoint.npz
    with toys.registered(), tempfile.TemporaryDirectory() as root:
        workdir = unpack(checkpoints.FORMAT, pathlib.Path(root))
        drawn = load(workdir)({}, seed=3, numbers=np.arange(8))["image"]
        state = resume(workdir)
        found = jax.tree.map(np.asarray, state.nets["G"].params)
        np.savez_compressed(
            GOLDEN / "checkpoint.npz",
            drawn=drawn[:2],
            seen=np.asarray(state.extra["seen"]),
            **found,
        )

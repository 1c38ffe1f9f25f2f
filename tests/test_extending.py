"""Runs docs/extending.md: its family trains, generates and exports."""

import importlib.util
import pathlib
import re

import numpy as np
import pytest

from dtgan import cli, export, generate
from dtgan.config import ConfigError, base_config, families, validate
from dtgan.data import catalog
from dtgan.methods.registry import METHODS
from dtgan.sampling.sampler import load
from dtgan.training.loop import train_and_evaluate

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "extending.md"


@pytest.fixture(scope="module")
def blot(tmp_path_factory):
    """The page's files in a folder of their own, and its line in the registry."""
    root = tmp_path_factory.mktemp("blot")
    files = re.findall(r"`([\w/]+/blot\.py)`.*?```python\n(.*?)```", PAGE.read_text(), re.S)
    assert [name for name, _ in files] == [
        "dtgan/config/families/blot.py",
        "dtgan/methods/blot.py",
        "configs/blot.py",
    ]
    for name, text in files:
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)
    spec = importlib.util.spec_from_file_location("blot", root / "dtgan/methods/blot.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    families.__path__.append(str(root / "dtgan/config/families"))
    METHODS["blot"] = module.make
    yield root
    families.__path__.pop()
    del METHODS["blot"]


def test_the_page_is_short(blot):
    code = (blot / "dtgan/methods/blot.py").read_text().partition("def make")[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= 40


def test_the_family_of_the_page_trains_generates_and_exports(blot, tmp_path):
    config = cli.read_config(f"{blot / 'configs/blot.py'}:smoke")
    config.data.batch_size, config.train.duration = 8, "100steps"
    config.checkpoint.every = 50
    train_and_evaluate(config, tmp_path / "run")
    tone = np.asarray(load(tmp_path / "run").ema["G"]["tone"])
    steel = catalog.open_source(config, "train")
    shades = np.array([steel[i]["image"].mean() / 127.5 - 1 for i in range(len(steel))])
    means = np.array([shades[steel.labels == k].mean() for k in range(1, len(tone))])
    # Of each class the mean brightness, which the start, 0, is far from.
    assert np.abs(tone[1:] - means).mean() < 0.2 * np.abs(means).mean(), (tone, means)
    flags = [f"--workdir={tmp_path / 'run'}", "--compilation_cache="]
    assert generate.main([*flags, f"--out={tmp_path / 'set'}", "--num_per_class=2"]) == 0
    assert (tmp_path / "set" / "annotations" / "instances_train.json").exists()
    formats = "--format=stablehlo,safetensors,onnx"
    assert export.main([*flags, f"--out={tmp_path / 'files'}", formats]) == 0


def test_the_check_of_the_page_refuses(blot):
    config = base_config("blot")
    config.model.radius = 0.7
    with pytest.raises(ConfigError, match=r"model.radius=0.7 is not in \(0, 0.5\]"):
        validate(config)

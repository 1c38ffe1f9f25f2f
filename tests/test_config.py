"""Pins durations, the messages of a user's mistakes, JSON, and every file of configs/."""

import json
import pathlib

import jax
import numpy as np
import pytest

from dtgan import cli
from dtgan import config as config_lib
from dtgan.config import ConfigError, base_config, families
from dtgan.data.procedural import CLASSES
from dtgan.methods.registry import METHODS, abstract_state, make_method
from dtgan.sampling import requests
from tests.smoke import FAMILY

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"
ARGUMENTS = {  # beside the default and smoke
    "quickstart": ["", *(f"method={name}" for name in METHODS if name in ("layered", "dtgan"))],
}
GANS = sorted(path.stem for path in CONFIGS.glob("*.py") if path.stem != "classifier")


@pytest.mark.parametrize(
    ("name", "arg"), [(n, a) for n in GANS for a in ARGUMENTS.get(n, ["", "smoke"])]
)
def test_every_config_builds(name, arg):
    config = cli.read_config(f"{CONFIGS / name}.py:{arg}")
    config_lib.validate(config)
    method = make_method(config, CLASSES)
    state = abstract_state(method, config)
    noise = jax.eval_shape(lambda key: method.draw_noise(key, 2), jax.random.key(0))
    shape = (2, config.data.res, config.data.res)
    request = {
        field: np.zeros((2, *requests.entry_shape(field, *shape[1:2], config.data.channels, 7)))
        for field in method.needs
    }
    request = {name: x.astype(requests.FIELDS[name].dtype) for name, x in request.items()}
    out = jax.eval_shape(method.infer, state.ema, request, noise)
    assert out["image"].shape == (*shape, config.data.channels)


def test_the_files_of_a_family_have_its_name():
    for name in METHODS:
        assert (CONFIGS / f"{name}.py").exists(), name
    assert set(METHODS) == set(families.names())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("res", [32, 64, 128, 256])
def test_grey_and_colour_of_every_size_build(res, channels, method):
    config = base_config(method)
    config.data.res, config.data.channels = res, channels
    if "ch" in config.get("model", ()):
        config.model.ch = 4
    method = make_method(config, CLASSES[:4])
    state = abstract_state(method, config)
    assert all(x.dtype != np.float64 for x in jax.tree.leaves(state.ema))
    if method.classify:
        image = np.zeros((8, res, res, channels), np.uint8)
        assert jax.eval_shape(method.classify, state.nets, image).shape == (8, 4)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("500steps", 500),
        ("12epochs", 150),
        ("1.5kimg", 188),
        ("800 kimg", 100_000),
        ("0.1steps", 1),
    ],
)
def test_durations(text, steps):
    assert config_lib.to_steps(text, batch_size=8, num_defects=100) == steps


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("train.duration", "5 hours", "write 500steps, 12epochs or 800kimg"),
        ("data.batch_size", 10, "data.batch_size=10 is not divisible by 8 devices; use 8 or 16"),
        ("data.res", 100, "data.res=100 is not one of 32, 64, 128, 256"),
        ("data.source", "foldr", "did you mean 'folder'"),
        ("data.source", "folder", "--config.data.path=DIR"),
        ("loss.rec", -1.0, "loss.rec=-1.0 is negative"),
        ("loss.rec", float("nan"), "is not finite"),
        ("data.scale", float("nan"), "data.scale=nan is not finite"),
        ("data.scale", -0.5, "data.scale=-0.5 is not in (0, 4]; give pixels of training per"),
        ("data.scale", 5.0, "data.scale=5 is not in (0, 4]"),
        ("data.shortcut", 1.5, "data.shortcut=1.5 is outside 0..1"),
        ("train.duration", "1.2.3steps", "write 500steps"),
        ("train.duration", "0steps", "write 500steps"),
        ("data.workers", -1, "data.workers=-1 is below 1"),
        ("patches.max_side", 0.1, "are not 0 < min <= max <= 1"),
        ("model.d_base", 64, "use 128 or more"),
        ("optim.ema", 1.0, "is not below 1"),
        ("checkpoint.keep", 0, "checkpoint.keep=0 is below 1"),
    ],
)
def test_bad_values_get_one_line(field, value, message):
    config = base_config(FAMILY)
    group, name = field.split(".")
    config[group][name] = value
    with pytest.raises(ConfigError) as error:
        config_lib.validate(config, num_devices=8)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_unknown_methods_name_the_nearest():
    config = base_config(FAMILY)
    config.method = FAMILY[:-1]
    with pytest.raises(ConfigError, match=f"did you mean '{FAMILY}'"):
        make_method(config, CLASSES)
    with pytest.raises(ConfigError, match=f"did you mean '{FAMILY}'"):
        base_config(FAMILY[:-1])
    with pytest.raises(ConfigError, match="method='' is unknown"):
        config_lib.validate(base_config())


def test_a_family_has_the_shared_fields_and_its_own():
    shared = config_lib.flatten(base_config())
    for name in METHODS:
        fields = config_lib.flatten(base_config(name))
        own = config_lib.flatten(families.load(name).FIELDS)
        assert set(fields) == set(shared) | set(own)


def test_fields_of_another_family_are_refused_with_the_nearest_own_one():
    argv = ["main", "--config=configs/paste.py", "--config.model.ch=4"]
    with pytest.raises(ConfigError, match=r"'model.ch' does not exist in method=paste"):
        cli.check_config_flags(argv, None, "")
    argv = ["main", f"--config=configs/{FAMILY}.py", "--config.model.skip_gain=1"]
    with pytest.raises(ConfigError, match=f"does not exist in method={FAMILY}"):
        cli.check_config_flags(argv, None, "")


@pytest.mark.parametrize("name", ["layered", "dtgan"])
def test_files_of_before_families_had_own_fields_load(name):
    """tests/golden/config_*.json were written when every file held the fields of both families."""
    if name not in METHODS:
        pytest.skip("the family is gone")
    text = (pathlib.Path(__file__).parent / "golden" / f"config_{name}.json").read_text()
    old, config = json.loads(text), config_lib.from_json(text)
    fields, known = config_lib.flatten(old), config_lib.flatten(config)
    assert config.method == name and len(fields) == 71
    new = {
        "data.classes",
        "init.workdir",
        "init.step",
        "data.max_megapixels",
        "data.max_compression",
    }
    new |= {"data.range", "data.mask_values", "data.mask_invert", "data.fold"}
    new |= {"data.images", "data.csv_columns"}
    new |= {"data.masks_from", "data.masks_above", "data.merged", "data.scale", "data.clean_parts"}
    assert set(known) - set(fields) == new
    for field in set(known) - new:
        value = known[field]
        assert (list(value) if isinstance(value, tuple) else value) == fields[field]
    with pytest.raises(ConfigError, match=r"'loss\.fil' is unknown"):
        config_lib.from_dict(old | {"loss": {"fil": 1.0}})


def test_arguments():
    arg = config_lib.parse_arg("res=128,smoke", res=64, smoke=False, anchor="zero")
    assert (arg.res, arg.smoke, arg.anchor) == (128, True, "zero")
    assert config_lib.parse_arg("anchor=learned", anchor="zero").anchor == "learned"
    with pytest.raises(ConfigError, match="did you mean 'res'"):
        config_lib.parse_arg("rs=3", res=64)
    with pytest.raises(ConfigError, match="needs a value like 64"):
        config_lib.parse_arg("res=big", res=64)


def test_json_round_trip_and_diff():
    config = base_config(FAMILY)
    config.optim.lr = 0.01
    config.data.fractions = (0.8, 0.1, 0.1)
    again = config_lib.from_json(config_lib.to_json(config))
    assert config_lib.diff(config, again) == {}
    assert set(config_lib.diff(base_config(FAMILY), again)) == {"optim.lr", "data.fractions"}
    assert config_lib.is_changeable("optim.lr", FAMILY) and config_lib.is_changeable(
        "data.path", FAMILY
    )
    assert not config_lib.is_changeable("model.ch", FAMILY) and not config_lib.is_changeable(
        "seed", FAMILY
    )
    with pytest.raises(ConfigError, match=r"optim\.lrr"):
        config_lib.from_json(json.dumps({"method": FAMILY, "optim": {"lrr": 1}}))

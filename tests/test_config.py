"""Pins durations, the messages of a user's mistakes, JSON, and every file of configs/."""

import importlib.util
import pathlib

import jax
import pytest

from dtgan import config as config_lib
from dtgan.config import ConfigError, base_config
from dtgan.data import pipeline
from dtgan.methods.registry import METHODS, make_method

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "configs"
VARIANTS = {
    "quickstart": [
        "",
        "method=dtgan",
        "method=dtgan,anchor=learned",
        "method=dtgan,anchor=fourier",
    ],
    "dtgan": ["", "smoke", "layered", "layered,smoke"],
}


def load(name, arg):
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(arg)


@pytest.mark.parametrize(("name", "arg"), [(n, a) for n in VARIANTS for a in VARIANTS[n]])
def test_every_config_builds(name, arg):
    config = load(name, arg)
    config_lib.validate(config)
    method, spec = make_method(config, 7), pipeline.batch_spec(config)
    state = jax.eval_shape(lambda key: method.init(key, spec), jax.random.key(0))
    new, metrics = jax.eval_shape(method.step, state, spec)
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert all(m.shape == () and m.dtype == "float32" for m in metrics.values())
    out = jax.eval_shape(method.infer, state.ema, spec, jax.random.key(0))
    assert out["image"].shape == spec["image"].shape


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("res", [32, 64, 128, 256])
def test_grey_and_colour_of_every_size_build(res, channels, method):
    config = base_config(method)
    config.data.res, config.data.channels, config.model.ch = res, channels, 4
    method, spec = make_method(config, 4), pipeline.batch_spec(config)
    state = jax.eval_shape(lambda key: method.init(key, spec), jax.random.key(0))
    out = jax.eval_shape(method.infer, state.ema, spec, jax.random.key(0))
    assert out["image"].shape == (8, res, res, channels)
    assert jax.eval_shape(method.classify, state.nets, spec["image"]).shape == (8, 4)


def test_no_config_is_left_out():
    gans = {path.stem for path in CONFIGS.glob("*.py")} - {"classifier"}  # tests/classification
    assert gans == set(VARIANTS)


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
    config = base_config()
    group, name = field.split(".")
    config[group][name] = value
    with pytest.raises(ConfigError) as error:
        config_lib.validate(config, num_devices=8)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_unknown_method_names_the_nearest():
    config = base_config()
    config.method = "dtgn"
    with pytest.raises(ConfigError, match="did you mean 'dtgan'"):
        make_method(config, 7)


def test_arguments():
    arg = config_lib.parse_arg("res=128,smoke", res=64, smoke=False, anchor="zero")
    assert (arg.res, arg.smoke, arg.anchor) == (128, True, "zero")
    assert config_lib.parse_arg("anchor=learned", anchor="zero").anchor == "learned"
    with pytest.raises(ConfigError, match="did you mean 'res'"):
        config_lib.parse_arg("rs=3", res=64)
    with pytest.raises(ConfigError, match="needs a value like 64"):
        config_lib.parse_arg("res=big", res=64)


def test_json_round_trip_and_diff():
    config = base_config()
    config.optim.lr = 0.01
    config.data.fractions = (0.8, 0.1, 0.1)
    again = config_lib.from_json(config_lib.to_json(config))
    assert config_lib.diff(config, again) == {}
    assert set(config_lib.diff(base_config(), again)) == {"optim.lr", "data.fractions"}
    assert config_lib.is_changeable("optim.lr") and config_lib.is_changeable("data.path")
    assert not config_lib.is_changeable("model.ch") and not config_lib.is_changeable("seed")
    with pytest.raises(ConfigError, match=r"optim\.lrr"):
        config_lib.from_json('{"optim": {"lrr": 1}}')

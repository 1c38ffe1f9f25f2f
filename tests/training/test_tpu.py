"""Pins what is told of chips that are not here; the compiler for them is not needed."""

import jax
import jax.numpy as jnp
import pytest

from configs import dtgan as dtgan_config
from dtgan import sharding
from dtgan.config import ConfigError
from dtgan.training import tpu


def test_topologies_are_read():
    chip, count = tpu.parse("v5e:2x4")
    assert (chip, count) == (tpu.CHIPS["v5e"], 8)
    assert tpu.parse("v4:2x2x4")[1] == 16
    for text in ("v5e", "v5e:", "v9:2x2", "v5e:2x", "2x4"):
        with pytest.raises(ConfigError, match="for example v5e:2x4"):
            tpu.parse(text)


def test_roofline():
    chip = tpu.Chip(flops=100.0, hbm_bytes=1.0, hbm_rate=10.0, link_rate=5.0)
    bound = tpu.roofline(chip, 4, flops=200.0, moved=10.0, talk=20.0)
    assert bound == {"compute": 2.0, "memory": 0.0, "links": 2 * 3 / 4 * 20 / 5}
    assert tpu.roofline(chip, 1, 200.0, 50.0, 20.0) == {
        "compute": 2.0,
        "memory": 3.0,
        "links": 0.0,
    }


@pytest.fixture
def lowered():
    """A product whose mean is taken over eight devices."""
    mesh = sharding.make_mesh()
    x = jax.ShapeDtypeStruct((16, 32), jnp.float32, sharding=sharding.split(mesh))
    w = jax.ShapeDtypeStruct((32, 8), jnp.float32, sharding=sharding.replicated(mesh))
    return jax.jit(lambda a, b: jnp.mean(a @ b, 0)).lower(x, w)


def test_a_compiled_program_is_measured_per_chip(lowered):
    found = tpu.measure(lowered.compile(), tpu.CHIPS["v5e"], 8, pairs=16)
    assert found["flops"] == pytest.approx(2 * 2 * 32 * 8, rel=0.2)  # two of sixteen rows
    assert found["memory_bytes"] >= 4 * (2 * 32 + 32 * 8 + 8) and found["fits"]
    assert found["collectives"] == {"all-reduce": {"count": 1, "bytes": 32}}
    assert found["pairs_per_second"] == pytest.approx(16 / sum(found["seconds"].values()))


def test_results_are_kept_until_the_program_changes(lowered, tmp_path, monkeypatch):
    calls, version = [], [""]

    class Lowered:
        def __init__(self, config, devices):
            self.batch = config.data.batch_size

        def as_text(self):
            return f"{self.batch} {version}"

        def compile(self):
            calls.append(self.batch)
            return lowered.compile()

    monkeypatch.setattr(tpu, "lower_for", Lowered)
    monkeypatch.setattr(tpu, "devices_of", lambda name: jax.devices())
    config = dtgan_config.get_config("smoke")
    config.data.batch_size = 16
    first = tpu.describe(config, "v5e:2x4", str(tmp_path))
    assert tpu.describe(config, "v5e:2x4", str(tmp_path)) == first and calls == [16]
    assert first["pairs_per_chip"] == 2 and first["chips"] == 8
    version[0] = "another step"
    again = tpu.describe(config, "v5e:2x4", str(tmp_path))
    assert calls == [16, 16]
    assert again == {**first, "compile_seconds": again["compile_seconds"]}
    config.data.batch_size = 32
    assert tpu.describe(config, "v5e:2x4", str(tmp_path))["pairs_per_chip"] == 4
    config.data.batch_size = 12
    with pytest.raises(ConfigError, match="not divisible by 8 devices"):
        tpu.describe(config, "v5e:2x4", str(tmp_path))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config=configs/dtgan.py:smoke"], "--topology is missing"),
        (["--config=configs/dtgan.py:smoke", "--topology=v5:2"], "is not KIND:SHAPE"),
        (["--topology=v5e:2x4"], "--config is missing"),
        (["--config=configs/dtgan.py:smoke", "--config.data.rez=3"], "did you mean 'data.res'"),
    ],
)
def test_bad_input_is_one_line(run_main, flags, message):
    process = run_main(*flags, module="dtgan.estimate")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and message in output
    assert len(output.strip().splitlines()) == 1, output

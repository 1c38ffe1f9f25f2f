"""Pins what is told of chips that are not here; the compiler for them is not needed."""

import jax
import jax.numpy as jnp
import pytest

from dtgan import sharding
from dtgan.config import ConfigError
from dtgan.methods.base import Phase
from dtgan.training import tpu
from tests.smoke import get_config


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
    found = tpu.measure(lowered.compile(), tpu.CHIPS["v5e"], 8)
    assert found["flops"] == pytest.approx(2 * 2 * 32 * 8, rel=0.2)  # two of sixteen rows
    assert found["memory_bytes"] >= 4 * (2 * 32 + 32 * 8 + 8)
    assert found["collectives"] == {"all-reduce": {"count": 1, "bytes": 32}}


def test_a_step_is_the_mean_of_its_phases():
    chip = tpu.Chip(flops=100.0, hbm_bytes=50.0, hbm_rate=10.0, link_rate=5.0)
    phases = (Phase("rare", 4, None), Phase("step", 1, None))
    seconds = {"compute": 2.0, "memory": 1.0, "links": 0.0}
    one = {"memory_bytes": 40, "flops": 200.0, "bytes": 30.0, "seconds": seconds}
    found = tpu.whole_step(phases, {"rare": one | {"memory_bytes": 51}, "step": one}, chip, 10)
    assert found["memory_bytes"] == 51 and not found["fits"]
    assert found["flops"] == 250.0 and found["bytes"] == 37.5
    assert found["seconds"] == {"compute": 2.5, "memory": 1.25, "links": 0.0}
    assert found["pairs_per_second"] == pytest.approx(10 / 3.75)
    assert found["utilisation"] == pytest.approx(2.5 / 3.75)


def test_results_are_kept_until_the_program_changes(lowered, tmp_path, monkeypatch):
    calls, version = [], [""]

    class Lowered:
        def __init__(self, batch):
            self.batch = batch

        def as_text(self):
            return f"{self.batch} {version}"

        def compile(self):
            calls.append(self.batch)
            return lowered.compile()

    def lower_for(config, devices):
        return (Phase("step", 1, None),), {"step": Lowered(config.data.batch_size)}

    monkeypatch.setattr(tpu, "lower_for", lower_for)
    monkeypatch.setattr(tpu, "devices_of", lambda name: jax.devices())
    config = get_config()
    config.data.batch_size = 16
    first = tpu.describe(config, "v5e:2x4", str(tmp_path))
    assert tpu.describe(config, "v5e:2x4", str(tmp_path)) == first and calls == [16]
    assert first["pairs_per_chip"] == 2 and first["chips"] == 8
    version[0] = "another step"
    again = tpu.describe(config, "v5e:2x4", str(tmp_path))
    assert calls == [16, 16] and again["memory_bytes"] == first["memory_bytes"]
    config.data.batch_size = 32
    assert tpu.describe(config, "v5e:2x4", str(tmp_path))["pairs_per_chip"] == 4
    config.data.batch_size = 12
    with pytest.raises(ConfigError, match="not divisible by 8 devices"):
        tpu.describe(config, "v5e:2x4", str(tmp_path))


def test_every_phase_of_a_step_is_lowered():
    config = get_config()
    config.data.batch_size = 8
    phases, lowered = tpu.lower_for(config, jax.devices())
    assert set(lowered) == {phase.name for phase in phases} == {"r1", "step"}
    assert all("stablehlo" in program.as_text() for program in lowered.values())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config=tests/smoke.py"], "--topology is missing"),
        (["--config=tests/smoke.py", "--topology=v5:2"], "is not KIND:SHAPE"),
        (["--topology=v5e:2x4"], "--config is missing"),
        (["--config=tests/smoke.py", "--config.data.rez=3"], "did you mean 'data.res'"),
    ],
)
def test_bad_input_is_one_line(run_main, flags, message):
    process = run_main(*flags, module="dtgan.estimate")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and message in output
    assert len(output.strip().splitlines()) == 1, output

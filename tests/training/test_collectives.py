"""Pins the reading of compiled programs."""

import jax
import jax.numpy as jnp
import numpy as np

from dtgan import sharding
from dtgan.training import collectives

TEXT = """
  %a = f32[8,4]{1,0} all-reduce(f32[8,4]{1,0} %x), channel_id=1
  %b = (f32[3]{0}, bf16[2,2]{1,0}) all-reduce(%x, %y), to_apply=%sum
  %c = (f32[2]{0}, f32[4]{0}) all-gather-start(f32[2]{0} %x), dimensions={0}
  %d = f32[4]{0} all-gather-done(%c)
  %e = pred[5]{0} collective-permute(%x), metadata={op_name="all-to-all"}
  %f = f32[9]{0} fusion(%a), calls=%all-reduce.1
"""


def test_kinds_are_counted_and_weighed():
    assert collectives.collectives(TEXT) == {
        "all-reduce": {"count": 2, "bytes": 8 * 4 * 4 + 12 + 8},
        "all-gather": {"count": 1, "bytes": 12},
        "collective-permute": {"count": 1, "bytes": 5},
    }


def test_a_mean_over_devices_is_one_all_reduce_and_a_roll_is_not():
    mesh = sharding.make_mesh()
    x = jax.device_put(jnp.arange(16.0), sharding.split(mesh))
    whole, rows = sharding.replicated(mesh), sharding.split(mesh)

    def of(function, out):
        program = jax.jit(function, in_shardings=rows, out_shardings=out)
        return collectives.collectives(program.lower(x).compile().as_text())

    assert of(jnp.mean, whole) == {"all-reduce": {"count": 1, "bytes": 4}}
    assert of(lambda v: 2 * v, rows) == {}
    assert set(of(lambda v: jnp.roll(v, 1), rows)) - {"all-reduce"}
    np.testing.assert_allclose(jnp.mean(x), 7.5)

#!/usr/bin/env bash
# Package: jax and jaxlib 0.10.2, seen 2026-11-29.
# Expected: in a data-parallel step the mean over devices of the gradients of local mean losses is
#   the gradient of the mean loss, in jax.shard_map as in jax.pmap.
# Happens: jax.shard_map knows which values are the same on all devices (check_vma=True) and adds up
#   the gradient of such parameters over devices by itself. A pmean of it changes nothing, and the
#   step is as many times too large as there are devices. Right is the gradient of the pmean of
#   losses, which in turn is each device's own gradient, the mean of none, with check_vma=False.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=4 "$folder/venv/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P

print("jax", jax.__version__, "on", jax.device_count(), "devices")
mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
x = jnp.arange(1.0, 9.0)


def loss(w, x):
    return jnp.mean(w * x)


def mean_loss(w, x):
    return jax.lax.pmean(loss(w, x), "data")


def mean_of_gradients(w, x):
    return jax.lax.pmean(jax.grad(loss)(w, x), "data")


def sharded(step, check_vma):
    specs = {"in_specs": (P(), P("data")), "out_specs": P()}
    return float(jax.shard_map(step, mesh=mesh, check_vma=check_vma, **specs)(1.0, x))


one, first = (float(jax.grad(loss)(1.0, part)) for part in (x, x[:2]))
mapped = jax.pmap(mean_of_gradients, axis_name="data", in_axes=(None, 0))(1.0, x.reshape(4, 2))
print("one device:                     ", one, "and of the first device's part", first)
print("pmap, pmean of gradients:       ", float(mapped[0]))
found = {}
for check in (True, False):
    found[check] = sharded(mean_of_gradients, check), sharded(jax.grad(mean_loss), check)
    print(f"shard_map, check_vma={check}:", *found[check], "(pmean of gradients, of losses)")
assert float(mapped[0]) == one
assert found[True] == (4 * one, one), "changed: the gradient is not added up over devices"
assert found[False] == (one, first), "changed: without check_vma"
PYTHON

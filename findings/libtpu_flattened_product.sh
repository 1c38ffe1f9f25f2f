#!/usr/bin/env bash
# Package: jax 0.10.2 with libtpu 0.0.42.1, programs compiled ahead of time for a v5e, no TPU
#   needed, seen 2026-11-30.
# Expected: x.reshape(-1, I) @ w, reshaped back, and einsum("nhwi,io->nhwo") are the same product of
#   matrices (a 1x1 convolution), and a reshape of leading axes is free, so both programs are equal.
# Happens: with one output channel the gradient of the flattened form converts the whole bfloat16 map
#   to float32 and copies it into another layout: 5.46 GB moved and 1.07 GB of temporaries, against
#   2.89 and 0.27 of the einsum.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check jax==0.10.2 libtpu==0.0.42.1
export TPU_SKIP_MDS_QUERY=1 ALLOW_MULTIPLE_LIBTPU_LOAD=1 JAX_PLATFORMS=cpu
"$folder/venv/bin/python" - 2>"$folder/log" <<'PYTHON'
import importlib.metadata

import jax
import jax.numpy as jnp
from jax.experimental import topologies

print("jax", jax.__version__, "libtpu", importlib.metadata.version("libtpu"))
devices = topologies.get_topology_desc(
    topology_name="v5e:1x1", platform="tpu", chips_per_host_bounds=(1, 1, 1)
).devices
place = jax.sharding.SingleDeviceSharding(devices[0])


def flattened(x, w):
    y = jnp.dot(x.reshape(-1, x.shape[-1]), w, preferred_element_type=jnp.float32)
    return y.reshape(*x.shape[:-1], -1)


def whole(x, w):
    return jnp.einsum("nhwi,io->nhwo", x, w, preferred_element_type=jnp.float32)


def gradient_of(product):
    def loss(kernel, w, x):
        layout = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)
        return jnp.mean(jnp.square(product(jax.nn.relu(y), w)))

    return jax.grad(loss, argnums=(0, 1, 2))


def array(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.bfloat16, sharding=place)


moved, held = {}, {}
for product in (flattened, whole):
    arrays = array(3, 3, 128, 128), array(128, 1), array(16, 256, 256, 128)
    compiled = jax.jit(gradient_of(product)).lower(*arrays).compile()
    name = product.__name__
    moved[name] = compiled.cost_analysis()["bytes accessed"] / 1e9
    held[name] = compiled.memory_analysis().temp_size_in_bytes / 1e9
    print(f"{name}: {moved[name]:.2f} GB moved, {held[name]:.2f} GB of temporaries")
if moved["flattened"] < 1.2 * moved["whole"] or held["flattened"] < 2 * held["whole"]:
    raise SystemExit("this has changed")
PYTHON

#!/usr/bin/env bash
# Package: jax and jaxlib 0.10.2 on CPU, seen 2026-11-29.
# Expected: gradients of a convolution that are summed over micro-batches by jax.lax.scan cost as
#   much as the same ones summed one after the other.
# Happens: within the loop XLA leaves the kernel's gradient as it was written, with the batch where
#   channels belong, and has no fast code for that: more than ten times as slow, with equal values.
#   The forward pass is as fast within as without. scan(..., unroll=True) leaves no loop.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import statistics
import time

import jax
import jax.numpy as jnp

print("jax", jax.__version__)
batches = jax.random.normal(jax.random.key(0), (2, 4, 16, 16, 32))
kernel = jax.random.normal(jax.random.key(1), (3, 3, 32, 32)) / 17
layout = ("NHWC", "HWIO", "NHWC")


def loss(kernel, x):
    y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)
    return jnp.sum(jnp.square(y))


def summed(function, unroll):
    """Sum of function(kernel, x) over both batches, by a scan."""

    def total(kernel, batches):
        start = jnp.zeros_like(function(kernel, batches[0]))
        return jax.lax.scan(
            lambda total, x: (total + function(kernel, x), None), start, batches, unroll=unroll
        )[0]

    return total


def measured(function):
    """(values, median seconds of CPU)."""
    program = jax.jit(function).lower(kernel, batches).compile()
    times = []
    for _ in range(15):
        start = time.process_time()
        values = jax.block_until_ready(program(kernel, batches))
        times.append(time.process_time() - start)
    return values, statistics.median(times)


ratios = {}
for name, function in (("loss", loss), ("gradient", jax.grad(loss))):
    looped, loop_time = measured(summed(function, unroll=False))
    unrolled, unrolled_time = measured(summed(function, unroll=True))
    assert jnp.allclose(looped, unrolled, rtol=1e-3, atol=1e-2)
    ratios[name] = loop_time / unrolled_time
    print(f"{name}: loop {1000 * loop_time:.2f} ms of CPU, unrolled {1000 * unrolled_time:.2f}")
print("ratios", {name: round(ratio, 1) for name, ratio in ratios.items()})
assert ratios["loss"] < 3
assert ratios["gradient"] > 5, "changed: gradients within a loop are no longer slow"
PYTHON

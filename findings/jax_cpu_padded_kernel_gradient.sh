#!/usr/bin/env bash
# Package: jax and jaxlib 0.10.2 on CPU, seen 2026-11-29.
# Expected: a convolution that pads its input costs as much to differentiate as the same convolution
#   of an input padded beforehand.
# Happens: where padding makes the output larger than the input (a 2x2 kernel, one zero on each
#   side), the kernel's gradient is a convolution whose "kernel" is larger than its "input". XLA
#   swaps the two, and has no fast code for the reversed kernel (rhs_reversal) that this gives: ten
#   times as slow. Padding with jnp.pad first avoids it.
set -euo pipefail
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install -qq --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu "$dir/venv/bin/python" - <<'PY'
import statistics
import time

import jax
import jax.numpy as jnp

print("jax", jax.__version__)
x = jax.random.normal(jax.random.key(0), (8, 32, 32, 16))
kernel = jax.random.normal(jax.random.key(1), (2, 2, 16, 32))
layout = ("NHWC", "HWIO", "NHWC")


def conv(x, kernel, pad):
    pads = ((pad, pad), (pad, pad))
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=layout)


def padded(x):
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


forms = {
    "padded by the convolution": lambda kernel, x: conv(x, kernel, 1),
    "padded before it": lambda kernel, x: conv(padded(x), kernel, 0),
}
seconds, reversed_ = {}, {}
for name, form in forms.items():
    gradient = jax.jit(jax.grad(lambda kernel, x, form=form: jnp.sum(jnp.square(form(kernel, x)))))
    program = gradient.lower(kernel, x).compile()
    reversed_[name] = "rhs_reversal" in program.as_text()
    times = []
    for _ in range(20):
        start = time.process_time()
        jax.block_until_ready(program(kernel, x))
        times.append(time.process_time() - start)
    seconds[name] = statistics.median(times)
    print(f"{name}: rhs_reversal {reversed_[name]}, {1000 * seconds[name]:.1f} ms of CPU")
a, b = (forms["padded by the convolution"](kernel, x), forms["padded before it"](kernel, x))
assert jnp.array_equal(a, b) or float(jnp.abs(a - b).max()) < 1e-3
assert list(reversed_.values()) == [True, False]
ratio = seconds["padded by the convolution"] / seconds["padded before it"]
print(f"ratio {ratio:.1f}")
assert ratio > 2
PY

#!/usr/bin/env bash
# Package: jax 0.10.2 on CPU, seen 2026-11-30.
# Expected: drawing 32 arrays compiles about as fast as drawing one, since each is the same small
#   function; and arrays of other shapes hold other numbers.
# Happens: every draw is compiled anew, at some 0.3 s of processor time, 8 to 12 s in all, for a
#   program that runs for milliseconds; so is the `init` of a network, parameter by parameter. And
#   draws of one key are prefixes of each other: rows of the largest size, drawn by one vmap and cut,
#   are the same numbers to the bit, and compile five times faster.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check jax==0.10.2
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import time

import jax
import jax.numpy as jnp

print("jax", jax.__version__)
SIZES = [1000 + 64 * i for i in range(32)]


def apart(key):
    return [jax.random.normal(jax.random.fold_in(key, i), (n,)) for i, n in enumerate(SIZES)]


def as_rows(key):
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(len(SIZES)))
    rows = jax.vmap(lambda k: jax.random.normal(k, (max(SIZES),)))(keys)
    return [row[:n] for row, n in zip(rows, SIZES)]


key, seconds, drawn = jax.random.key(0), {}, {}
for draw in (apart, as_rows):
    lowered, start = jax.jit(draw).lower(key), time.process_time()
    compiled = lowered.compile()
    seconds[draw.__name__] = time.process_time() - start
    start = time.process_time()
    drawn[draw.__name__] = jax.block_until_ready(compiled(key))
    took = time.process_time() - start
    print(f"{draw.__name__}: compiled in {seconds[draw.__name__]:.1f} s, ran in {1e3 * took:.1f} ms")
same = all(bool((a == b).all()) for a, b in zip(drawn["apart"], drawn["as_rows"]))
print("the same numbers:", same)
if not same or seconds["apart"] < 3 * seconds["as_rows"]:
    raise SystemExit("this has changed")
PYTHON

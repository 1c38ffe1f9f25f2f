"""Traces of a function at two batch sizes, from which its form at any batch size follows.

A number in which they differ must be a multiple of the batch size: `Batch`. JAX's symbolic shapes
would give that from one trace, but with them `len(x)` fails and a slice becomes a gather.
"""

import itertools
from typing import NamedTuple

import jax
import numpy as np
from jax.extend import core

from dtgan.config import ConfigError
from dtgan.nn import platforms

BATCHES = (5, 7)  # the sizes to trace at: primes, and not 1, which broadcasting treats differently


CALLS = {  # primitives that call a jaxpr, and the parameter that holds it
    "jit": "jaxpr",
    "remat2": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}


class Batch(NamedTuple):
    """A dimension that is `times` the batch size."""

    times: int = 1

    def __str__(self):
        return "batch" if self.times == 1 else f"{self.times}*batch"


def free(shape):
    """Tell whether a shape depends on the batch size."""
    return any(isinstance(d, Batch) for d in shape)


def trace(fn, inputs, outputs, size):
    """Trace fn on `size` rows -> its ClosedJaxpr and the names of its results."""
    names = []

    def in_order(*arrays):
        result = fn(*arrays)
        if isinstance(result, dict):
            names.extend(outputs or result)
            if missing := sorted(set(names) - set(result)):
                raise ConfigError(f"the function returns no {missing[0]!r}, but {list(result)}")
            result = [result[name] for name in names]
        else:
            names.extend(outputs or ())
        if (count := len(jax.tree.leaves(result))) != len(names):
            raise ConfigError(f"the function returns {count} arrays for the outputs {names}")
        return result

    specs = [jax.ShapeDtypeStruct((size, *shape), dtype) for shape, dtype in inputs.values()]
    # Products of constants are computed here: on GPU, too, in full precision.
    with platforms.target(None), jax.default_matmul_precision("highest"):
        return jax.make_jaxpr(in_order)(*specs), tuple(names)


def called(eqn):
    """Return the jaxpr that an equation calls (None where it calls none) and the atoms it reads.

    Of jax.lax.platform_dependent that is the default branch.
    """
    if key := CALLS.get(eqn.primitive.name):
        return eqn.params[key], eqn.invars
    if platforms := eqn.params.get("branches_platforms"):
        return eqn.params["branches"][platforms.index(None)], eqn.invars[1:]
    return None, eqn.invars


def needed(jaxpr, used):
    """List the equations, in order, that the `used` results need: (equation, bool per result).

    An empty array needs none; jnp.pad with mode="edge" makes such arrays from the last row of a
    batch.
    """
    wanted, kept = set(), []

    def want(atoms):
        wanted.update(a for a in atoms if isinstance(a, core.Var) and 0 not in a.aval.shape)

    want(itertools.compress(jaxpr.outvars, used))
    for eqn in reversed(jaxpr.eqns):
        own = [v in wanted for v in eqn.outvars]
        if any(own):
            want(called(eqn)[1])
            kept.append((eqn, own))
    return kept[::-1]


def dims(aval, twin):
    """Compute the shape of a value, with Batch, from its avals at both batch sizes."""
    return tuple(same(a, b) for a, b in zip(aval.shape, twin.shape, strict=True))


def same(a, b):
    """Merge parameters a and b of the two traces, with Batch where they vary."""
    if isinstance(a, dict):
        return {key: same(a[key], b[key]) for key in a}
    if type(a) is tuple:
        return tuple(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, (int, np.integer)):
        a, b = int(a), int(b)
        times = a // BATCHES[0]
        if a != b and (a, b) == (times * BATCHES[0], times * BATCHES[1]):
            return Batch(times)
    if isinstance(a, (int, float, np.generic, np.ndarray)):
        return equal(a, b)
    return a  # functions, jaxprs, settings


def equal(a, b):
    """Return the number or array a. Raises ConfigError where b, of the other trace, differs."""
    if a is b or (np.shape(a) == np.shape(b) and np.array_equal(a, b, equal_nan=True)):
        return a
    raise ConfigError("a number depends on the batch size otherwise than in proportion")

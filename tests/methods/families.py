"""Small configs, batches and states of families, for the tests of this folder."""

import jax
import numpy as np
import pytest

from dtgan import sharding
from dtgan.config import ConfigError, base_config, validate
from dtgan.data import pipeline
from dtgan.data.procedural import CLASSES
from dtgan.methods.registry import METHODS, make_method


def tiny(method, **fields):
    """A small config of a family; data__batch_size=2 sets data.batch_size."""
    config = base_config(method)
    config.data.res, config.data.batch_size = 32, 8
    config.model.ch = 2
    for name, value in fields.items():
        group, field = name.split("__")
        config[group][field] = value
    return config


def batch_of(config, reads, seed=0):
    """A random batch of what a family reads."""
    rng = np.random.default_rng(seed)
    batch = {}
    for name, array in pipeline.batch_spec(config, pipeline.READS).items():
        high = {"label": 7, "has_mask": 2}.get(name, 256)
        batch[name] = rng.integers(0, high, array.shape).astype(array.dtype)
    batch["label"] = np.maximum(batch["label"], 1)
    return {name: batch[name] for name in reads}


def refusal(name, field, value):
    """The one line that a family's config gets for a value of a field."""
    config = base_config(name)
    group, key = field.split(".")
    config[group][key] = value
    with pytest.raises(ConfigError) as error:
        validate(config)
    assert "\n" not in str(error.value)
    return str(error.value)


def start(config):
    """(Method, its state of step 0)."""
    method = make_method(config, CLASSES)
    spec = pipeline.batch_spec(config, method.reads)
    return method, jax.jit(lambda key: method.init(key, spec))(jax.random.key(0))


def run_of(method, name):
    """The function of a phase."""
    return next(phase.run for phase in method.phases if phase.name == name)


def on_eight_devices(run, state, batch):
    """Run a phase with its rows split over eight devices: (new state, losses, HLO text)."""
    mesh = sharding.make_mesh()
    assert mesh.size == 8
    whole, rows = sharding.replicated(mesh), sharding.split(mesh)
    inputs = jax.device_put(state, whole), sharding.put_batch(batch, mesh)
    jitted = jax.jit(run, in_shardings=(whole, rows), out_shardings=whole)
    program = jitted.lower(*inputs).compile()
    return *program(*inputs), program.as_text()


def assert_same_step(one, eight, nets, atol=0.0):
    """Compare (state, losses) of one device and of eight: losses, and the gradients of `nets`.

    Gradients by Adam's mean of them; parameters after Adam magnify rounding.
    """
    (state, losses), (spread, found) = one, eight
    for name, value in losses.items():
        np.testing.assert_allclose(float(found[name]), float(value), rtol=3e-5, atol=atol)
    for name in nets:
        ours, theirs = (jax.tree.leaves(s.nets[name].opt_state[0].mu) for s in (state, spread))
        scale = max(float(np.abs(g).max()) for g in ours)
        assert scale > 0
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(np.asarray(b), np.asarray(a), rtol=1e-5, atol=1e-5 * scale)


def leaves(net):
    return [np.asarray(x) for x in jax.tree.leaves(net.params)]


def moved(before, after):
    return any(not np.array_equal(a, b) for a, b in zip(leaves(before), leaves(after), strict=True))


# Families that train against the judges D, Dpatch and C.
JUDGED = [name for name in METHODS if "r1_d" in base_config(name).get("loss", {})]
